/* What a worker needs to know at one moment: the mesh and our identity. Immutable and
 * reference-counted; main makes one at each change and mails it to the workers. Any thread. */
#ifndef VIEW_H
#define VIEW_H

#include "base/ref.h"
#include "mesh/snapshot.h"
#include "tls/context.h"

/* What our sidecars say to each other in ALPN; a null-terminated list. */
extern const char *const view_alpn[];

struct view {
    struct ref ref;
    struct mesh_snapshot *snapshot; /* never NULL */
    struct tls_context *context;    /* NULL before the first certificate */
    bool complete; /* every wildcard type has had its first answer: what is not in the snapshot is
                      not in the mesh */
};

/* Takes references of its own. NULL: out of memory. */
struct view *view_new(struct mesh_snapshot *snapshot, struct tls_context *context, bool complete);
struct view *view_ref(struct view *view);
/* NULL is allowed. */
void view_unref(struct view *view);

/* True when connections may be made with it; else *err says what is missing (ERR_CONN_NOT_READY).
 * `view` may be NULL. */
bool view_usable(const struct view *view, struct err *err);

#endif
