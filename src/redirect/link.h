/* A pair of virtual interfaces, made through rtnetlink. Blocking; one thread. Every function works
 * in the network namespace of its caller and answers ERR_PERMISSION, ERR_NOT_FOUND (the kernel
 * lacks the kind of interface, or the address family) or ERR_SYSTEM. */
#ifndef LINK_H
#define LINK_H

#include <stdbool.h>
#include <sys/types.h>

#include "base/addr.h"
#include "base/err.h"

/* Makes a veth pair, both ends of that name: one here, one in the namespace of process `peer`. */
enum err_code link_add_pair(const char *name, pid_t peer, struct err *err);

/* Gives the interface an address, at once usable (no duplicate address detection). */
enum err_code link_add_address(const char *name, const struct addr_prefix *address,
                               struct err *err);

enum err_code link_set_up(const char *name, struct err *err);

/* True when both ends are up, within `wait_ms`. */
bool link_await_running(const char *name, int wait_ms);

/* Removes the interface and with it the other end. */
enum err_code link_remove(const char *name, struct err *err);

#endif
