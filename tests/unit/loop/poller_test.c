#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#include "loop/loop.h"
#include "suite.h"

struct watched {
    struct poll_item item;
    struct watched *other;
    int calls, agains;
};

static struct loop loop;
static struct watched pair[2];
static uv_timer_t alive;

static void on_alive(uv_timer_t *timer)
{
    (void)timer;
}

static void set_up(int fds[2][2])
{
    memset(pair, 0, sizeof pair);
    CU_ASSERT_EQUAL_FATAL(loop_init(&loop, NULL), ERR_OK);
    uv_timer_init(&loop.uv, &alive);
    uv_timer_start(&alive, on_alive, 1, 1);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, fds[i]), 0);
        pair[i].other = &pair[1 - i];
    }
}

static void tear_down(int fds[2][2])
{
    for (int i = 0; i < 2; i++) {
        poll_item_remove(&loop, &pair[i].item);
        close(fds[i][0]);
        close(fds[i][1]);
    }
    uv_close((uv_handle_t *)&alive, NULL);
    loop_deinit(&loop);
}

static void remove_the_other(struct poll_item *item, uint32_t events)
{
    (void)events;
    struct watched *self = (struct watched *)item;
    self->calls++;
    poll_item_remove(&loop, &self->other->item);
}

static void poller_never_calls_an_item_removed_in_the_same_batch(void)
{
    int fds[2][2];
    set_up(fds);
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(poll_item_add(&loop, &pair[i].item, fds[i][0], remove_the_other, NULL),
                        ERR_OK);
    for (int i = 0; i < 5; i++)
        uv_run(&loop.uv, UV_RUN_ONCE);
    CU_ASSERT_EQUAL(pair[0].calls + pair[1].calls, 1);
    tear_down(fds);
}

static void ask_again_three_times(struct poll_item *item, uint32_t events)
{
    struct watched *self = (struct watched *)item;
    self->calls++;
    self->agains += events == 0;
    if (self->agains < 3)
        poll_item_again(&loop, item);
}

static void poller_calls_again_once_a_round_until_nobody_asks(void)
{
    int fds[2][2];
    set_up(fds);
    for (int i = 0; i < 2; i++)
        CU_ASSERT_EQUAL(poll_item_add(&loop, &pair[i].item, fds[i][0], ask_again_three_times, NULL),
                        ERR_OK);
    for (int i = 0; i < 20; i++)
        uv_run(&loop.uv, UV_RUN_ONCE);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(pair[i].agains, 3);
        CU_ASSERT_EQUAL(pair[i].calls, 4);
    }
    tear_down(fds);
}

static uint32_t seen;

static void note_events(struct poll_item *item, uint32_t events)
{
    (void)item;
    seen |= events;
}

static void poller_reports_a_hang_up_to_one_who_does_not_read(void)
{
    int fds[2][2];
    set_up(fds);
    CU_ASSERT_EQUAL(poll_item_add(&loop, &pair[0].item, fds[0][0], note_events, NULL), ERR_OK);
    CU_ASSERT_EQUAL(write(fds[0][1], "unread", 6), 6);
    uv_run(&loop.uv, UV_RUN_ONCE);
    uv_run(&loop.uv, UV_RUN_ONCE);
    CU_ASSERT((seen & EPOLLIN) && !(seen & EPOLLHUP));
    close(fds[0][1]);
    for (int i = 0; i < 5; i++)
        uv_run(&loop.uv, UV_RUN_ONCE);
    CU_ASSERT(seen & EPOLLHUP);
    fds[0][1] = dup(fds[1][1]);
    tear_down(fds);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(poller_never_calls_an_item_removed_in_the_same_batch),
        SUITE_CASE(poller_calls_again_once_a_round_until_nobody_asks),
        SUITE_CASE(poller_reports_a_hang_up_to_one_who_does_not_read),
        SUITE_END,
    };
    return suite_main("poller", cases, argc, argv);
}
