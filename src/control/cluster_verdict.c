#include "control/cluster_verdict.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

void cluster_finding_add(struct cluster_finding *finding, enum cluster_reason reason,
                         const char *format, ...)
{
    if (finding->problems == 0 || reason == CLUSTER_INVALID)
        finding->reason = reason;
    if (finding->problems++ > 0)
        return;
    va_list list;
    va_start(list, format);
    vsnprintf(finding->text, sizeof finding->text, format, list);
    va_end(list);
}

void cluster_finding_finish(struct cluster_finding *finding, const char *accepted)
{
    char more[48];
    if (finding->problems == 0)
        snprintf(finding->text, sizeof finding->text, "%s", accepted);
    if (finding->problems < 2)
        return;
    int len = snprintf(more, sizeof more, " (and %u more)", finding->problems - 1);
    size_t at = strlen(finding->text);
    if (at + (size_t)len >= sizeof finding->text)
        at = sizeof finding->text - (size_t)len - 1;
    memcpy(finding->text + at, more, (size_t)len + 1);
}

bool cluster_finding_equal(const struct cluster_finding *a, const struct cluster_finding *b)
{
    return a->reason == b->reason && strcmp(a->text, b->text) == 0;
}

const char *cluster_reason_name(enum cluster_reason reason)
{
    static const char *const names[] = {"Accepted", "Unsupported", "Invalid", "Conflict"};
    return names[reason];
}
