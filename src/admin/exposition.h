/* Writes the Prometheus text format 0.0.4 into memory: a family's HELP and TYPE once, then its
 * samples. One thread. */
#ifndef EXPOSITION_H
#define EXPOSITION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "admin/metrics.h"

enum { EXPOSITION_MAX = 16 << 20 }; /* bytes; a longer one is refused whole */

#define EXPOSITION_CONTENT_TYPE "text/plain; version=0.0.4; charset=utf-8"

struct exposition {
    char *data;
    size_t len, capacity;
    enum err_code failed; /* ERR_OK, ERR_NO_MEMORY or ERR_TOO_LARGE; further calls do nothing */
    const char *family;   /* name of the family whose samples come now, borrowed */
};

/* Starts a family: its name must not have been written before. `name` is borrowed until the next
 * family. */
void exposition_family(struct exposition *text, const char *name, enum metrics_type type,
                       const char *help);

/* One sample of the family. Label names and values (escaped here) come as `count` pairs in two
 * arrays; count may be 0. */
void exposition_int(struct exposition *text, const char *const *names, const char *const *values,
                    unsigned count, int64_t value);
void exposition_uint(struct exposition *text, const char *const *names, const char *const *values,
                     unsigned count, uint64_t value);
void exposition_real(struct exposition *text, const char *const *names, const char *const *values,
                     unsigned count, double value);

/* A gauge without labels, the family and its only sample at once. */
void exposition_gauge(struct exposition *text, const char *name, const char *help, double value);

#endif
