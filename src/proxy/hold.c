#include "proxy/hold.h"

#include <stddef.h>

#include "base/clock.h"

static void take_out(struct hold *hold)
{
    *hold->link = hold->next;
    if (hold->next)
        hold->next->link = hold->link;
    else
        hold->queue->last = hold->link;
    hold->link = NULL;
    hold->queue->count--;
    timer_stop(hold->queue->timers, &hold->deadline);
}

static void on_due(struct timer *timer)
{
    struct hold *hold = (struct hold *)((char *)timer - offsetof(struct hold, deadline));
    take_out(hold);
    hold->on_wake(hold, true);
}

enum err_code hold_start(struct hold_queue *queue, struct hold *hold, int64_t due_ms,
                         void (*on_wake)(struct hold *, bool), struct err *err)
{
    int64_t delay_ms = due_ms - clock_now_ms();
    *hold = (struct hold){.queue = queue, .on_wake = on_wake};
    if (queue->count == queue->max)
        return err_set(err, ERR_BUSY, "%u %s wait already, the most that may", queue->max,
                       queue->whose);
    if (!timer_start(queue->timers, &hold->deadline, delay_ms > 0 ? delay_ms : 0, on_due))
        return err_set(err, ERR_NO_MEMORY, "no memory for a deadline");
    hold->link = queue->first ? queue->last : &queue->first;
    *hold->link = hold;
    queue->last = &hold->next;
    queue->count++;
    return ERR_OK;
}

void hold_cancel(struct hold *hold)
{
    if (hold->link)
        take_out(hold);
    else if (hold->queue)
        timer_stop(hold->queue->timers, &hold->deadline);
}

static void on_soon(struct timer *timer)
{
    struct hold *hold = (struct hold *)((char *)timer - offsetof(struct hold, deadline));
    hold->on_wake(hold, false);
}

void hold_wake_soon(struct hold *hold)
{
    take_out(hold);
    /* It has just given a place in the heap back, so there is one. */
    timer_start(hold->queue->timers, &hold->deadline, 0, on_soon);
}

void hold_wake_all(struct hold_queue *queue)
{
    /* Who holds again goes to the end of the queue, behind those that are counted here. */
    for (unsigned left = queue->count; left > 0; left--) {
        struct hold *hold = queue->first;
        if (!hold)
            return;
        take_out(hold);
        hold->on_wake(hold, false);
    }
}
