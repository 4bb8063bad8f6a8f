#include "base/clock.h"

#include <time.h>

/* Atomic only because tests turn the fake clock while other threads read it. */
static int64_t fake_now_ms = -1, fake_wall_ms = -1;

static int64_t load(const int64_t *from)
{
    return __atomic_load_n(from, __ATOMIC_ACQUIRE);
}

static int64_t read_ms(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (int64_t)t.tv_sec * 1000 + t.tv_nsec / 1000000;
}

int64_t clock_now_ms(void)
{
    return load(&fake_wall_ms) >= 0 ? load(&fake_now_ms) : read_ms(CLOCK_MONOTONIC);
}

int64_t clock_wall_ms(void)
{
    int64_t fake = load(&fake_wall_ms);
    return fake >= 0 ? fake : read_ms(CLOCK_REALTIME);
}

int64_t clock_wall_s(void)
{
    return clock_wall_ms() / 1000;
}

void clock_fake(int64_t now_ms, int64_t wall_ms)
{
    __atomic_store_n(&fake_now_ms, now_ms, __ATOMIC_RELEASE);
    __atomic_store_n(&fake_wall_ms, wall_ms, __ATOMIC_RELEASE);
}

const char *clock_format(int64_t seconds, char text[CLOCK_TEXT_MAX])
{
    time_t t = (time_t)seconds;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(text, CLOCK_TEXT_MAX, "%Y-%m-%dT%H:%M:%SZ", &tm) == 0)
        text[0] = 0;
    return text;
}
