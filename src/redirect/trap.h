/* A listener for a moment on one of the proxy's ports, to see a captured connection arrive.
 * Blocking up to a deadline; one thread. */
#ifndef TRAP_H
#define TRAP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/err.h"

enum { TRAP_WAIT_MS = 3000 }; /* for a connection inside this machine */

struct trap {
    int fd; /* -1 when the port is taken: the proxy runs already */
};

/* Listens on every address of the family (AF_INET or AF_INET6). ERR_OK also when the port is taken;
 * ERR_NOT_FOUND when this network namespace does not have the family; ERR_SYSTEM. */
enum err_code trap_open(struct trap *trap, int family, uint16_t port, struct err *err);
void trap_close(struct trap *trap);

/* Waits for the connection that comes from `from` and asks the kernel where it was going before
 * the redirect (SO_ORIGINAL_DST). Other connections that arrive meanwhile are reset.
 * ERR_CAPTURE_FAILED when it does not arrive or was going elsewhere. */
enum err_code trap_catch(struct trap *trap, const struct addr_port *from,
                         const struct addr_port *destination, struct err *err);

enum trap_answer {
    TRAP_CONNECTED, /* also when the other side closed or reset at once */
    TRAP_NO_ROUTE,  /* nothing was sent: this namespace has no way or no address */
    TRAP_REFUSED,
    TRAP_SILENT,
    TRAP_BROKEN /* a system call failed; errno says why */
};

/* Connects to `to` within TRAP_WAIT_MS. The socket, to be closed with trap_drop, is in *fd and its
 * own address in *local unless the answer is TRAP_NO_ROUTE or TRAP_BROKEN. */
enum trap_answer trap_connect(const struct addr_port *to, int *fd, struct addr_port *local);

/* Closes with a reset, so that nothing of the trial stays behind. */
void trap_drop(int fd);

#endif
