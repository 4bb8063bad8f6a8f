/* What verify found: checks, differences and counters, printed once at the end as text or JSON. One
 * thread. */
#ifndef REPORT_H
#define REPORT_H

#include <stdbool.h>
#include <stdio.h>

#include "base/err.h"
#include "redirect/listing.h"

enum report_result {
    REPORT_PROVEN,
    REPORT_FAILED,
    REPORT_SKIPPED /* could not be tried here; the sentence says why */
};

enum { REPORT_CHECKS_MAX = 8, REPORT_DIFFERENCES_MAX = 64 };

struct report_check {
    const char *name; /* "outbound_ipv4" */
    enum report_result result;
    struct err found; /* the code, ERR_OK unless failed, and the sentence in any case */
};

struct report {
    unsigned check_count, difference_count;
    unsigned differences_left_out;
    struct report_check checks[REPORT_CHECKS_MAX];
    char *differences[REPORT_DIFFERENCES_MAX];
};

void report_init(struct report *report);
void report_deinit(struct report *report);

/* Adds a check with its sentence; `code` is ERR_OK unless `result` is REPORT_FAILED. */
void report_add(struct report *report, const char *name, enum report_result result,
                enum err_code code, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* Adds one difference; more than REPORT_DIFFERENCES_MAX are counted only. */
void report_difference(struct report *report, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The code of the first failed check, ERR_OK when none failed. */
enum err_code report_code(const struct report *report);

/* Prints everything; `installed` has the counters and may be NULL. ERR_NO_MEMORY. */
enum err_code report_print(const struct report *report, const struct listing *installed, bool json,
                           FILE *out, struct err *err);

#endif
