#include "loop/timer.h"

#include <stdlib.h>

static int64_t now_ms(void)
{
    return (int64_t)(uv_hrtime() / 1000000);
}

static void place(struct timers *timers, uint32_t at, struct timer *timer)
{
    timers->heap[at] = timer;
    timer->slot = at + 1;
}

static void sift_up(struct timers *timers, uint32_t at, struct timer *timer)
{
    while (at > 0 && timers->heap[(at - 1) / 2]->due_ms > timer->due_ms) {
        place(timers, at, timers->heap[(at - 1) / 2]);
        at = (at - 1) / 2;
    }
    place(timers, at, timer);
}

static void sift_down(struct timers *timers, uint32_t at, struct timer *timer)
{
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child >= timers->count)
            break;
        if (child + 1 < timers->count &&
            timers->heap[child + 1]->due_ms < timers->heap[child]->due_ms)
            child++;
        if (timers->heap[child]->due_ms >= timer->due_ms)
            break;
        place(timers, at, timers->heap[child]);
        at = child;
    }
    place(timers, at, timer);
}

static void on_uv_timer(uv_timer_t *uv);

/* Sets the one uv_timer to the earliest deadline. */
static void arm(struct timers *timers)
{
    if (timers->count == 0) {
        uv_timer_stop(&timers->uv);
        return;
    }
    int64_t wait = timers->heap[0]->due_ms - now_ms();
    uv_update_time(timers->uv.loop);
    uv_timer_start(&timers->uv, on_uv_timer, wait > 0 ? (uint64_t)wait : 0, 0);
}

static void remove_at(struct timers *timers, uint32_t at)
{
    timers->heap[at]->slot = 0;
    struct timer *last = timers->heap[--timers->count];
    if (at == timers->count)
        return;
    if (at > 0 && timers->heap[(at - 1) / 2]->due_ms > last->due_ms)
        sift_up(timers, at, last);
    else
        sift_down(timers, at, last);
}

static void on_uv_timer(uv_timer_t *uv)
{
    struct timers *timers = uv->data;
    int64_t now = now_ms();
    while (timers->count > 0 && timers->heap[0]->due_ms <= now) {
        struct timer *timer = timers->heap[0];
        remove_at(timers, 0);
        timer->on_due(timer);
    }
    if (!uv_is_closing((uv_handle_t *)uv))
        arm(timers);
}

enum err_code timers_init(struct timers *timers, struct loop *loop, struct err *err)
{
    *timers = (struct timers){0};
    int failed = uv_timer_init(&loop->uv, &timers->uv);
    if (failed)
        return err_sys(err, ERR_SYSTEM, failed, "make a timer");
    timers->uv.data = timers;
    return ERR_OK;
}

static void on_uv_closed(uv_handle_t *handle)
{
    struct timers *timers = handle->data;
    free(timers->heap);
    timers->heap = NULL;
    if (timers->on_closed)
        timers->on_closed(timers);
}

void timers_close(struct timers *timers, void (*on_closed)(struct timers *))
{
    while (timers->count > 0)
        timers->heap[--timers->count]->slot = 0;
    timers->on_closed = on_closed;
    uv_close((uv_handle_t *)&timers->uv, on_uv_closed);
}

bool timer_start(struct timers *timers, struct timer *timer, int64_t delay_ms,
                 void (*on_due)(struct timer *))
{
    timer_stop(timers, timer);
    if (timers->count == timers->capacity) {
        uint32_t capacity = timers->capacity ? timers->capacity * 2 : 64;
        struct timer **heap = realloc(timers->heap, capacity * sizeof(struct timer *));
        if (!heap)
            return false;
        timers->heap = heap;
        timers->capacity = capacity;
    }
    timer->due_ms = now_ms() + delay_ms;
    timer->on_due = on_due;
    sift_up(timers, timers->count++, timer);
    if (timer->slot == 1)
        arm(timers);
    return true;
}

void timer_stop(struct timers *timers, struct timer *timer)
{
    /* The uv_timer may now fire early, for nobody; that is cheaper than setting it anew each time.
     */
    if (timer->slot)
        remove_at(timers, timer->slot - 1);
}
