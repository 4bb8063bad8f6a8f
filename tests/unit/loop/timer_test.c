#include "loop/timer.h"

#include <string.h>

#include "loop/backoff.h"
#include "suite.h"

enum { COUNT = 200 };

static struct loop loop;
static struct timers timers;
static struct {
    struct timer timer;
    int fired_at;
} all[COUNT];
static int fired, expected;

static void on_due(struct timer *timer)
{
    for (int i = 0; i < COUNT; i++) {
        if (&all[i].timer == timer)
            all[i].fired_at = ++fired;
    }
    if (fired == expected)
        timers_close(&timers, NULL);
}

static void set_up(int expect)
{
    memset(all, 0, sizeof all);
    fired = 0;
    expected = expect;
    CU_ASSERT_EQUAL_FATAL(loop_init(&loop, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(timers_init(&timers, &loop, NULL), ERR_OK);
}

static void timers_fire_in_the_order_of_their_deadlines(void)
{
    set_up(COUNT);
    for (int i = 0; i < COUNT; i++)
        CU_ASSERT(timer_start(&timers, &all[i].timer, (i * 37) % COUNT, on_due));
    loop_run(&loop);
    for (int i = 0; i + 1 < COUNT; i++) {
        for (int j = 0; j < COUNT; j++) {
            if ((i * 37) % COUNT + 3 < (j * 37) % COUNT)
                CU_ASSERT(all[i].fired_at < all[j].fired_at);
        }
    }
    loop_deinit(&loop);
}

static void timers_that_were_stopped_never_fire(void)
{
    set_up(COUNT / 2);
    for (int i = 0; i < COUNT; i++)
        CU_ASSERT(timer_start(&timers, &all[i].timer, 20 + i % 7, on_due));
    for (int i = 0; i < COUNT; i += 2)
        timer_stop(&timers, &all[i].timer);
    timer_stop(&timers, &all[0].timer);
    loop_run(&loop);
    CU_ASSERT_EQUAL(fired, COUNT / 2);
    for (int i = 0; i < COUNT; i++)
        CU_ASSERT_EQUAL(all[i].fired_at > 0, i % 2 == 1);
    loop_deinit(&loop);
}

static void timers_started_again_fire_once(void)
{
    set_up(1);
    CU_ASSERT(timer_start(&timers, &all[0].timer, 1, on_due));
    CU_ASSERT(timer_start(&timers, &all[0].timer, 10, on_due));
    loop_run(&loop);
    CU_ASSERT_EQUAL(fired, 1);
    CU_ASSERT_EQUAL(all[0].timer.slot, 0);
    loop_deinit(&loop);
}

static void backoff_grows_to_its_ceiling_and_starts_over(void)
{
    struct backoff backoff = {.first_ms = 10, .max_ms = 1000};
    int64_t ceiling = 10;
    for (int i = 0; i < 20; i++) {
        int64_t delay = backoff_next_ms(&backoff);
        CU_ASSERT(delay >= ceiling / 2 && delay <= ceiling);
        ceiling = ceiling * 2 > 1000 ? 1000 : ceiling * 2;
    }
    backoff_reset(&backoff);
    CU_ASSERT(backoff_next_ms(&backoff) <= 10);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(timers_fire_in_the_order_of_their_deadlines),
        SUITE_CASE(timers_that_were_stopped_never_fire),
        SUITE_CASE(timers_started_again_fire_once),
        SUITE_CASE(backoff_grows_to_its_ceiling_and_starts_over),
        SUITE_END,
    };
    return suite_main("timer", cases, argc, argv);
}
