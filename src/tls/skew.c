#include "tls/skew.h"

#include <inttypes.h>
#include <stdatomic.h>
#include <stdio.h>

#include "base/clock.h"
#include "tls/context.h"

static _Atomic int64_t skew_s = INT64_MIN; /* INT64_MIN: never measured */

void tls_clock_skew_set(int64_t control_minus_ours_s)
{
    atomic_store_explicit(&skew_s, control_minus_ours_s, memory_order_relaxed);
}

const char *skew_describe(int64_t now_s, char *text, size_t size)
{
    int64_t skew = atomic_load_explicit(&skew_s, memory_order_relaxed);
    char ours[CLOCK_TEXT_MAX], theirs[CLOCK_TEXT_MAX];
    clock_format(now_s, ours);
    if (skew == INT64_MIN)
        snprintf(text, size, "our clock says %s, the control plane's has not been measured", ours);
    else
        snprintf(text, size, "our clock says %s, the control plane's %s (%" PRId64 " s %s ours)",
                 ours, clock_format(now_s + skew, theirs), skew < 0 ? -skew : skew,
                 skew < 0 ? "behind" : "ahead of");
    return text;
}
