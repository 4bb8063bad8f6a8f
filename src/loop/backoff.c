#include "loop/backoff.h"

#include <sys/random.h>

int64_t backoff_random_ms(int64_t below)
{
    uint64_t bits = 0;
    if (below <= 0)
        return 0;
    if (getrandom(&bits, sizeof bits, 0) != (ssize_t)sizeof bits)
        return below / 2;
    return (int64_t)(bits % (uint64_t)below);
}

int64_t backoff_next_ms(struct backoff *backoff)
{
    int64_t delay = backoff->first_ms;
    for (unsigned i = 0; i < backoff->failures && delay < backoff->max_ms; i++)
        delay *= 2;
    if (delay > backoff->max_ms)
        delay = backoff->max_ms;
    backoff->failures++;
    return delay - backoff_random_ms(delay / 2 + 1);
}

void backoff_reset(struct backoff *backoff)
{
    backoff->failures = 0;
}
