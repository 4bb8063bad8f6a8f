/* What `handfast check` finds: a list of lines, each with how bad it is, what was looked at, what
 * was seen and what to do about it. */
#ifndef FINDING_H
#define FINDING_H

#include <jansson.h>
#include <stdbool.h>

#include "base/err.h"

enum finding_level {
    FINDING_OK,
    FINDING_UNKNOWN, /* it cannot be seen from here; nothing is wrong for that */
    FINDING_WARNING,
    FINDING_FAILED,
};

struct findings {
    json_t *list; /* of {level, subject, found, advice} */
    unsigned count[FINDING_FAILED + 1];
};

void findings_init(struct findings *findings);
void findings_deinit(struct findings *findings);

/* One more line. `advice` may be NULL; the rest is what was found. */
void finding_add(struct findings *findings, enum finding_level level, const char *subject,
                 const char *advice, const char *format, ...) __attribute__((format(printf, 5, 6)));

/* What could not be looked at: a warning when whoever asks may not, else failed. */
void finding_add_err(struct findings *findings, const char *subject, const struct err *err);

/* To stdout, as a page or as {"failed": n, "warnings": n, "findings": [...]}. */
void findings_print(const struct findings *findings, bool json);

/* Names for one sentence: "a, b, c and 12 more". Zeroed is empty. */
enum { NAMES_SHOWN = 5 };
struct names {
    char text[400];
    size_t len;
    unsigned count;
};
void names_add(struct names *names, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* Valid until the next names_add. */
const char *names_text(struct names *names);

#endif
