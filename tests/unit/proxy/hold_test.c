#include "proxy/hold.h"

#include "base/clock.h"
#include "suite.h"

struct waiter {
    struct hold hold; /* first: the callback gets it back by a cast */
    struct hold_queue *queue;
    int woken, expired;
    int again; /* how often it holds again when woken */
};

static struct loop loop;
static struct timers timers;

static void begin(void)
{
    struct err err;
    CU_ASSERT_EQUAL_FATAL(loop_init(&loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(timers_init(&timers, &loop, &err), ERR_OK);
}

static void end(void)
{
    timers_close(&timers, NULL);
    loop_run(&loop);
    loop_deinit(&loop);
}

static void on_wake(struct hold *hold, bool expired)
{
    struct waiter *waiter = (struct waiter *)hold;
    waiter->woken += !expired;
    waiter->expired += expired;
    if (!expired && waiter->again-- > 0)
        hold_start(waiter->queue, hold, clock_now_ms() + 60000, on_wake, NULL);
}

static void everybody_is_woken_once_and_who_holds_again_waits_on(void)
{
    struct hold_queue queue = {.whose = "tests", .timers = &timers, .max = 8};
    struct waiter waiters[3] = {
        {.queue = &queue}, {.queue = &queue, .again = 1}, {.queue = &queue}};
    begin();
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(hold_start(&queue, &waiters[i].hold, clock_now_ms() + 60000, on_wake, NULL),
                        ERR_OK);
    hold_wake_all(&queue);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(waiters[i].woken, 1);
    CU_ASSERT_EQUAL(queue.count, 1);
    hold_wake_all(&queue);
    CU_ASSERT_EQUAL(waiters[1].woken, 2);
    CU_ASSERT_EQUAL(queue.count, 0);
    end();
}

static void the_deadline_wakes_who_nobody_woke(void)
{
    struct hold_queue queue = {.whose = "tests", .timers = &timers, .max = 8};
    struct waiter waiter = {.queue = &queue};
    begin();
    CU_ASSERT_EQUAL(hold_start(&queue, &waiter.hold, clock_now_ms(), on_wake, NULL), ERR_OK);
    while (!waiter.expired)
        uv_run(&loop.uv, UV_RUN_ONCE);
    CU_ASSERT_EQUAL(waiter.woken, 0);
    CU_ASSERT_EQUAL(queue.count, 0);
    end();
}

static void no_more_wait_than_the_queue_has_places(void)
{
    struct hold_queue queue = {.whose = "tests", .timers = &timers, .max = 1};
    struct waiter first = {.queue = &queue}, second = {.queue = &queue};
    struct err err;
    begin();
    int64_t due_ms = clock_now_ms() + 60000;
    CU_ASSERT_EQUAL(hold_start(&queue, &first.hold, due_ms, on_wake, &err), ERR_OK);
    CU_ASSERT_EQUAL(hold_start(&queue, &second.hold, due_ms, on_wake, &err), ERR_BUSY);
    hold_cancel(&second.hold);
    hold_cancel(&first.hold);
    hold_cancel(&first.hold);
    CU_ASSERT_EQUAL(queue.count, 0);
    CU_ASSERT_EQUAL(hold_start(&queue, &second.hold, due_ms, on_wake, &err), ERR_OK);
    hold_cancel(&second.hold);
    CU_ASSERT_EQUAL(first.woken + first.expired + second.woken + second.expired, 0);
    end();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(everybody_is_woken_once_and_who_holds_again_waits_on),
        SUITE_CASE(the_deadline_wakes_who_nobody_woke),
        SUITE_CASE(no_more_wait_than_the_queue_has_places),
        SUITE_END,
    };
    return suite_main("proxy/hold", cases, argc, argv);
}
