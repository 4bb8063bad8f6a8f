/* Exponential backoff with jitter below a ceiling. Pure: no clock, the caller sleeps. */
#ifndef BACKOFF_H
#define BACKOFF_H

#include <stdint.h>

struct backoff {
    int64_t first_ms, max_ms;
    unsigned failures;
};

/* The next delay: between half of and the whole of min(max_ms, first_ms * 2^failures); counts one
 * more failure. */
int64_t backoff_next_ms(struct backoff *backoff);
/* After a success. */
void backoff_reset(struct backoff *backoff);
/* Uniform in [0, below), from the kernel's random numbers; 0 when below <= 0. */
int64_t backoff_random_ms(int64_t below);

#endif
