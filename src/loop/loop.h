/* One libuv loop and the things that live on it. Everything here belongs to the thread that runs
 * the loop, except mailbox_post(). Handles never move; they are free again only when their close
 * callback has run. */
#ifndef LOOP_H
#define LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/epoll.h>
#include <uv.h>

#include "base/err.h"

/* --- poller: sockets, edge-triggered --------------------------------------------------------------
 *
 * An epoll instance inside the libuv loop. A socket is registered once, for everything (EPOLLIN, EPOLLOUT,
 * EPOLLRDHUP, edge-triggered), and never again: whoever reads or writes goes on until EAGAIN and
 * remembers what it may do next. Why not a uv_poll each: a reset must reach us also while we do not
 * read (uv_poll reports EPOLLERR only as EBADF and a level-triggered EPOLLRDHUP would spin under
 * backpressure), and interest that never changes costs no system call. */
struct poll_item {
    int fd;
    /* `events` are EPOLL* bits. The item may be removed, and its memory freed, inside the callback.
     */
    void (*on_events)(struct poll_item *item, uint32_t events);
    /* private: the list of items that asked to be called again; again_prev is NULL outside it */
    struct poll_item *again_next, **again_prev;
};

struct poller {
    uv_poll_t poll;
    uv_idle_t idle;
    struct poll_item *again_first;
    struct epoll_event
        *batch; /* the events being dispatched, so that a removal can void the rest */
    int batch_at, batch_count;
    int epoll_fd;
};

/* --- the loop --------------------------------------------------------------------------------- */

struct loop {
    uv_loop_t uv;
    struct poller poller;
};

/* Makes a loop in the caller's memory. ERR_SYSTEM, and then there is nothing to undo. */
enum err_code loop_init(struct loop *loop, struct err *err);
/* Runs until loop_stop(); call from the thread that is to own everything on it. */
void loop_run(struct loop *loop);
/* Makes loop_run() return after the present round. Own thread only (post a message from others). */
void loop_stop(struct loop *loop);
/* Closes what the loop itself made and frees it; aborts when somebody left a handle open. After
 * loop_run returned. */
void loop_deinit(struct loop *loop);

/* Registers item->fd, which must be non-blocking, and calls item->on_events from now on; the first
 * call comes when the socket is first ready (a connected socket: at once, writable). The fd stays
 * the caller's. ERR_SYSTEM. */
enum err_code poll_item_add(struct loop *loop, struct poll_item *item, int fd,
                            void (*on_events)(struct poll_item *, uint32_t), struct err *err);
/* Deregisters; no callback after this. Call before close(fd). Safe inside any callback, and on an
 * item never added whose fd is -1. */
void poll_item_remove(struct loop *loop, struct poll_item *item);
/* Asks for one more on_events(item, 0) in the next round of the loop: for whoever stopped before
 * EAGAIN to let others have a turn. */
void poll_item_again(struct loop *loop, struct poll_item *item);

#endif
