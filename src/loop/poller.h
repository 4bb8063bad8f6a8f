/* The part of the loop that watches sockets; only loop.c calls these. */
#ifndef POLLER_H
#define POLLER_H

#include "loop/loop.h"

enum err_code poller_init(struct loop *loop, struct err *err);
/* Closes its handles; they are gone when the loop has run once more. */
void poller_close(struct loop *loop);
/* After that: closes the epoll instance. */
void poller_deinit(struct loop *loop);

#endif
