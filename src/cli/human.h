/* Numbers as a person reads them at 3 a.m. */
#ifndef HUMAN_H
#define HUMAN_H

#include <stdint.h>

enum { HUMAN_TEXT_MAX = 64 };

/* Two units at most: "11h 52m", "3d 4h", "45s"; a negative one reads as its opposite. */
const char *human_duration(int64_t seconds, char text[HUMAN_TEXT_MAX]);
/* As human_duration, and "0.8s" below ten seconds. */
const char *human_age(int64_t milliseconds, char text[HUMAN_TEXT_MAX]);
/* "512 B", "4.1 KiB", "2.3 GiB". */
const char *human_bytes(int64_t bytes, char text[HUMAN_TEXT_MAX]);
/* A moment (seconds since 1970) as seen from now: "in 11h 52m" or "3m 5s ago". */
const char *human_moment(int64_t moment_s, int64_t now_s, char text[HUMAN_TEXT_MAX]);
/* "1 policy", "3 policies": `plural` is the whole word. */
const char *human_count(int64_t count, const char *one, const char *plural,
                        char text[HUMAN_TEXT_MAX]);

#endif
