#include "proxy/drain.h"

void drain_begin(struct drain *drain)
{
    if (drain->begun)
        return;
    drain->begun = true;
    LOG_INFO("draining", F_INT("connections", ceiling_live(drain->ceiling)));
    for (unsigned i = 0; i < drain->worker_count; i++) {
        if (!worker_post_drain(&drain->workers[i]))
            LOG_ERROR("drain_lost", F_INT("worker", i), F_STR("error", "out of memory"));
    }
    drain->on_begin(drain);
}

static void finish(struct drain *drain, const char *why)
{
    if (drain->done)
        return;
    drain->done = true;
    timer_stop(drain->timers, &drain->deadline);
    timer_stop(drain->timers, &drain->poll);
    LOG_INFO("drained", F_STR("because", why), F_INT("connections", ceiling_live(drain->ceiling)));
    drain->on_done(drain);
}

static void on_deadline(struct timer *timer)
{
    finish((struct drain *)((char *)timer - offsetof(struct drain, deadline)),
           "the grace period ended");
}

static void on_poll(struct timer *timer)
{
    struct drain *drain = (struct drain *)((char *)timer - offsetof(struct drain, poll));
    if (ceiling_live(drain->ceiling) == 0)
        finish(drain, "the last connection ended");
    else if (!timer_start(drain->timers, timer, DRAIN_POLL_MS, on_poll))
        finish(drain, "out of memory");
}

void drain_and_end(struct drain *drain)
{
    if (drain->ending) {
        finish(drain, "asked for twice");
        return;
    }
    drain->ending = true;
    drain_begin(drain);
    if (!timer_start(drain->timers, &drain->deadline, drain->config->drain_ms, on_deadline) ||
        !timer_start(drain->timers, &drain->poll, 0, on_poll))
        finish(drain, "out of memory");
}
