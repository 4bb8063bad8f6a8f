/* Reference counts for immutable things that cross threads. Any thread. */
#ifndef REF_H
#define REF_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>

struct ref {
    atomic_uint count;
};

static inline void ref_init(struct ref *ref)
{
    atomic_init(&ref->count, 1);
}

static inline void ref_get(struct ref *ref)
{
    if (atomic_fetch_add_explicit(&ref->count, 1, memory_order_relaxed) == 0)
        abort();
}

/* True when this was the last one: the caller frees. */
static inline bool ref_put(struct ref *ref)
{
    unsigned before = atomic_fetch_sub_explicit(&ref->count, 1, memory_order_acq_rel);
    if (before == 0)
        abort();
    return before == 1;
}

#endif
