#include "proxy/hold.h"

#include <stddef.h>

#include "base/clock.h"

static void take_out(struct hold *hold)
{
    *hold->link = hold->next;
    if (hold->next)
        hold->next->link = hold->link;
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
        return err_set(err, ERR_BUSY, "%u connections wait already", queue->max);
    if (!timer_start(queue->timers, &hold->deadline, delay_ms > 0 ? delay_ms : 0, on_due))
        return err_set(err, ERR_NO_MEMORY, "no memory for a deadline");
    hold->next = queue->first;
    hold->link = &queue->first;
    if (hold->next)
        hold->next->link = &hold->next;
    queue->first = hold;
    queue->count++;
    return ERR_OK;
}

void hold_cancel(struct hold *hold)
{
    if (hold->link)
        take_out(hold);
}

void hold_wake_all(struct hold_queue *queue)
{
    /* The list moves to a head of its own, so that a hold that starts again is not woken again. */
    struct hold *waiting = queue->first;
    queue->first = NULL;
    if (waiting)
        waiting->link = &waiting;
    while (waiting) {
        struct hold *hold = waiting;
        take_out(hold);
        hold->on_wake(hold, false);
    }
}
