/* Clocks. Two of them: one that only moves forward, for deadlines, and the wall clock, for
 * certificates and tokens. Tests replace both with clock_fake(). Any thread. */
#ifndef CLOCK_H
#define CLOCK_H

#include <stdint.h>

/* Milliseconds since some fixed point, monotonic. */
int64_t clock_now_ms(void);

/* Milliseconds and seconds since 1970-01-01 UTC. */
int64_t clock_wall_ms(void);
int64_t clock_wall_s(void);

/* Tests only: from now on both clocks stand still at these values. wall_ms < 0 brings the real
 * clocks back. */
void clock_fake(int64_t now_ms, int64_t wall_ms);

enum { CLOCK_TEXT_MAX = 32 };

/* Writes `seconds` since 1970 as "2026-11-23T10:00:00Z" and returns `text`. */
const char *clock_format(int64_t seconds, char text[CLOCK_TEXT_MAX]);

#endif
