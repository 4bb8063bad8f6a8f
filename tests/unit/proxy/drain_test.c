#include "proxy/drain.h"

#include "suite.h"

static struct {
    struct loop loop;
    struct timers timers;
    struct timer alive;
    struct config config;
    struct ceiling ceiling;
    struct drain drain;
    unsigned begun, done;
} bed;

static void on_begin(struct drain *drain)
{
    (void)drain;
    bed.begun++;
}

static void on_done(struct drain *drain)
{
    (void)drain;
    bed.done++;
}

static void on_alive(struct timer *timer)
{
    (void)timer;
}

static void begin(int64_t drain_ms, int live)
{
    struct err err;
    bed.begun = bed.done = 0;
    log_set_level(LOG_LEVEL_ERROR);
    CU_ASSERT_EQUAL_FATAL(loop_init(&bed.loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(timers_init(&bed.timers, &bed.loop, &err), ERR_OK);
    timer_start(&bed.timers, &bed.alive, 60000, on_alive);
    bed.config.drain_ms = drain_ms;
    atomic_store(&bed.ceiling.live[CONN_OUTBOUND], live);
    bed.drain = (struct drain){.config = &bed.config,
                               .timers = &bed.timers,
                               .ceiling = &bed.ceiling,
                               .on_begin = on_begin,
                               .on_done = on_done};
}

static void end(void)
{
    timers_close(&bed.timers, NULL);
    loop_run(&bed.loop);
    loop_deinit(&bed.loop);
}

static void it_ends_when_the_last_connection_has(void)
{
    begin(60000, 1);
    drain_and_end(&bed.drain);
    CU_ASSERT_EQUAL(bed.begun, 1);
    uv_run(&bed.loop.uv, UV_RUN_ONCE);
    CU_ASSERT_EQUAL(bed.done, 0);
    atomic_store(&bed.ceiling.live[CONN_OUTBOUND], 0);
    uv_run(&bed.loop.uv, UV_RUN_ONCE);
    CU_ASSERT_EQUAL(bed.done, 1);
    end();
}

static void it_ends_when_the_grace_period_does(void)
{
    begin(120, 1);
    drain_and_end(&bed.drain);
    for (int i = 0; i < 10 && !bed.done; i++)
        uv_run(&bed.loop.uv, UV_RUN_ONCE);
    CU_ASSERT_EQUAL(bed.done, 1);
    CU_ASSERT_EQUAL(ceiling_live(&bed.ceiling), 1);
    end();
}

static void the_second_signal_ends_it_at_once(void)
{
    begin(60000, 1);
    drain_and_end(&bed.drain);
    drain_and_end(&bed.drain);
    CU_ASSERT_EQUAL(bed.done, 1);
    drain_and_end(&bed.drain);
    CU_ASSERT_EQUAL(bed.done, 1);
    CU_ASSERT_EQUAL(bed.begun, 1);
    end();
}

static void draining_on_request_does_not_end_the_program(void)
{
    begin(60000, 0);
    drain_begin(&bed.drain);
    drain_begin(&bed.drain);
    CU_ASSERT_EQUAL(bed.begun, 1);
    CU_ASSERT_EQUAL(bed.drain.poll.slot, 0);
    CU_ASSERT_EQUAL(bed.done, 0);
    end();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(it_ends_when_the_last_connection_has),
        SUITE_CASE(it_ends_when_the_grace_period_does),
        SUITE_CASE(the_second_signal_ends_it_at_once),
        SUITE_CASE(draining_on_request_does_not_end_the_program),
        SUITE_END,
    };
    return suite_main("proxy/drain", cases, argc, argv);
}
