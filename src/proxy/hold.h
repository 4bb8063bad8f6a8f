/* Connections that wait for something that is on its way: the first certificate and configuration,
 * a policy, the pod's own record. Bounded in number and in time. Loop thread.
 *
 *   hold_start -> hold_wake_all -> on_wake(false): look again, and hold_start once more if need be
 *   hold_start -> the deadline passes -> on_wake(true): refuse */
#ifndef HOLD_H
#define HOLD_H

#include "loop/timer.h"

struct hold {
    struct hold **link, *next; /* private; link is NULL outside a queue */
    struct hold_queue *queue;
    struct timer deadline;
    void (*on_wake)(struct hold *hold, bool expired);
};

struct hold_queue {
    const char *whose; /* waits here, for the sentence: "inbound connections" */
    struct timers *timers;
    struct hold *first, **last; /* who came first is woken first */
    unsigned count, max;
};

/* Waits until hold_wake_all() or the monotonic time `due_ms`, then calls on_wake once, from the
 * loop; the hold's memory is the callee's again. ERR_BUSY: `max` wait already; ERR_NO_MEMORY. Then
 * on_wake never comes. */
enum err_code hold_start(struct hold_queue *queue, struct hold *hold, int64_t due_ms,
                         void (*on_wake)(struct hold *, bool), struct err *err);
/* on_wake does not come. */
void hold_cancel(struct hold *hold);
/* Takes one that waits out of the queue; its on_wake(false) comes in the next round of the loop. */
void hold_wake_soon(struct hold *hold);
/* Wakes everybody who waits now; who holds again meanwhile is left for the next time. */
void hold_wake_all(struct hold_queue *queue);

#endif
