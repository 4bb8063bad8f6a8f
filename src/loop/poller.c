#include <errno.h>
#include <unistd.h>

#include "loop/loop.h"
#include "loop/poller.h"

enum { POLLER_BATCH = 256 };

/* Takes `item` out of the list of those that asked to be called again, whichever list it is in. */
static void again_unlink(struct poll_item *item)
{
    if (!item->again_prev)
        return;
    *item->again_prev = item->again_next;
    if (item->again_next)
        item->again_next->again_prev = item->again_prev;
    item->again_prev = NULL;
    item->again_next = NULL;
}

static void again_link(struct poll_item **first, struct poll_item *item)
{
    item->again_next = *first;
    item->again_prev = first;
    if (*first)
        (*first)->again_prev = &item->again_next;
    *first = item;
}

/* Runs those that asked before this round; who asks again meanwhile gets the next round. */
static void on_idle(uv_idle_t *idle)
{
    struct poller *poller = idle->data;
    struct poll_item *now = poller->again_first;
    poller->again_first = NULL;
    if (now)
        now->again_prev = &now;
    while (now) {
        struct poll_item *item = now;
        again_unlink(item);
        item->on_events(item, 0);
    }
    if (!poller->again_first)
        uv_idle_stop(idle);
}

static void on_readable(uv_poll_t *poll, int status, int events)
{
    (void)status;
    (void)events;
    struct poller *poller = poll->data;
    struct epoll_event batch[POLLER_BATCH];
    int count = epoll_wait(poller->epoll_fd, batch, POLLER_BATCH, 0);
    poller->batch = batch;
    poller->batch_count = count;
    for (int i = 0; i < count; i++) {
        poller->batch_at = i;
        struct poll_item *item = batch[i].data.ptr;
        if (item)
            item->on_events(item, batch[i].events);
    }
    poller->batch = NULL;
}

enum err_code poller_init(struct loop *loop, struct err *err)
{
    struct poller *poller = &loop->poller;
    *poller = (struct poller){.epoll_fd = epoll_create1(EPOLL_CLOEXEC)};
    if (poller->epoll_fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "create an epoll instance");
    int failed = uv_poll_init(&loop->uv, &poller->poll, poller->epoll_fd);
    if (failed) {
        close(poller->epoll_fd);
        return err_sys(err, ERR_SYSTEM, failed, "put an epoll instance into the loop");
    }
    uv_idle_init(&loop->uv, &poller->idle);
    poller->poll.data = poller;
    poller->idle.data = poller;
    uv_poll_start(&poller->poll, UV_READABLE, on_readable);
    uv_unref((uv_handle_t *)&poller->poll);
    return ERR_OK;
}

void poller_close(struct loop *loop)
{
    uv_close((uv_handle_t *)&loop->poller.poll, NULL);
    uv_close((uv_handle_t *)&loop->poller.idle, NULL);
}

void poller_deinit(struct loop *loop)
{
    close(loop->poller.epoll_fd);
}

enum err_code poll_item_add(struct loop *loop, struct poll_item *item, int fd,
                            void (*on_events)(struct poll_item *, uint32_t), struct err *err)
{
    *item = (struct poll_item){.fd = fd, .on_events = on_events};
    struct epoll_event event = {.events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET,
                                .data.ptr = item};
    if (epoll_ctl(loop->poller.epoll_fd, EPOLL_CTL_ADD, fd, &event) == 0)
        return ERR_OK;
    int sys = errno;
    item->fd = -1;
    return err_sys(err, ERR_SYSTEM, sys, "watch socket %d", fd);
}

void poll_item_remove(struct loop *loop, struct poll_item *item)
{
    struct poller *poller = &loop->poller;
    if (item->fd < 0)
        return;
    epoll_ctl(poller->epoll_fd, EPOLL_CTL_DEL, item->fd, NULL);
    item->fd = -1;
    again_unlink(item);
    for (int i = poller->batch ? poller->batch_at + 1 : 0; poller->batch && i < poller->batch_count;
         i++) {
        if (poller->batch[i].data.ptr == item)
            poller->batch[i].data.ptr = NULL;
    }
}

void poll_item_again(struct loop *loop, struct poll_item *item)
{
    if (item->again_prev)
        return;
    again_link(&loop->poller.again_first, item);
    if (!uv_is_active((uv_handle_t *)&loop->poller.idle))
        uv_idle_start(&loop->poller.idle, on_idle);
}
