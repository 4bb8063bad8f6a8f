/* Two mesh identities of one authority, made once per test program. */
#ifndef IDENTITIES_H
#define IDENTITIES_H

#include "tls/conn.h"

/* A fresh connection as client that expects the server, and as server. Aborts when it cannot be
 * made. */
struct tls_conn *identities_client(void);
struct tls_conn *identities_server(void);

#endif
