/* What both ends of the admin socket must agree on. The documents are in contract.md. */
#ifndef ADMIN_CONTRACT_H
#define ADMIN_CONTRACT_H

#define ADMIN_SOCKET_DEFAULT "/run/handfast/admin.sock"
#define ADMIN_SOCKET_ENV "HANDFAST_ADMIN_SOCKET"

enum {
    ADMIN_CONNECTIONS_DEFAULT = 1000, /* connections listed when no limit is given */
    ADMIN_CONNECTIONS_MAX = 20000
};

#endif
