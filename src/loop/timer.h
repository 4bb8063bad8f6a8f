/* Deadlines on a loop. A timer lives in its owner's memory and is free to go as soon as
 * timer_stop() returns: a loop keeps one uv_timer and a heap of deadlines of its own, so stopping
 * needs no close callback. Loop thread. */
#ifndef TIMER_H
#define TIMER_H

#include "loop/loop.h"

struct timer {
    int64_t due_ms; /* monotonic */
    void (*on_due)(struct timer *timer);
    uint32_t slot; /* place in the heap + 1; 0 = not running */
};

/* A heap of deadlines; one for each loop, made by its owner. */
struct timers {
    uv_timer_t uv;
    struct timer **heap;
    uint32_t count, capacity;
    void (*on_closed)(struct timers *);
};

/* ERR_SYSTEM; the memory must not move. */
enum err_code timers_init(struct timers *timers, struct loop *loop, struct err *err);
/* No timer fires after this; on_closed (may be NULL) says when the memory is free. */
void timers_close(struct timers *timers, void (*on_closed)(struct timers *));

/* (Re)starts `timer` to fire once, delay_ms from now (>= 0). A zeroed struct timer is a stopped
 * one. Returns false when out of memory: the timer is then stopped. */
bool timer_start(struct timers *timers, struct timer *timer, int64_t delay_ms,
                 void (*on_due)(struct timer *));
/* Stops it if it runs. Safe inside any timer callback. */
void timer_stop(struct timers *timers, struct timer *timer);

#endif
