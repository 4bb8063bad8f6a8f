/* What became of a policy object: for its status condition, and for people. One thread. */
#ifndef CLUSTER_VERDICT_H
#define CLUSTER_VERDICT_H

#include <stdbool.h>

#include "base/err.h"

enum cluster_reason {
    CLUSTER_ACCEPTED,    /* in force as it is written */
    CLUSTER_UNSUPPORTED, /* asks for something that the mesh does not do */
    CLUSTER_INVALID,     /* says something that makes no sense */
    CLUSTER_CONFLICT,    /* another object goes before it */
};

/* Problems of one object; the first one's sentence is kept, the others are counted. */
struct cluster_finding {
    enum cluster_reason reason;
    unsigned problems;
    char text[ERR_TEXT_MAX];
};

/* Notes a problem; INVALID goes before UNSUPPORTED as the reason of all. */
void cluster_finding_add(struct cluster_finding *finding, enum cluster_reason reason,
                         const char *format, ...) __attribute__((format(printf, 3, 4)));
/* Sets the sentence of an object without problems; otherwise says how many more there were. */
void cluster_finding_finish(struct cluster_finding *finding, const char *accepted);
bool cluster_finding_equal(const struct cluster_finding *a, const struct cluster_finding *b);
/* "Accepted" and so on, as a condition's reason is written. */
const char *cluster_reason_name(enum cluster_reason reason);

#endif
