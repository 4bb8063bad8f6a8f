#include "proxy/view.h"

#include "base/clock.h"

const char *const view_alpn[] = {"istio", NULL};

struct view *view_new(struct mesh_snapshot *snapshot, struct tls_context *context, bool complete)
{
    struct view *view = calloc(1, sizeof *view);
    if (!view)
        return NULL;
    ref_init(&view->ref);
    view->snapshot = mesh_snapshot_ref(snapshot);
    view->context = context ? tls_context_ref(context) : NULL;
    view->complete = complete;
    return view;
}

struct view *view_ref(struct view *view)
{
    ref_get(&view->ref);
    return view;
}

void view_unref(struct view *view)
{
    if (!view || !ref_put(&view->ref))
        return;
    mesh_snapshot_unref(view->snapshot);
    if (view->context)
        tls_context_unref(view->context);
    free(view);
}

bool view_usable(const struct view *view, struct err *err)
{
    char when[CLOCK_TEXT_MAX];
    if (!view || !view->context) {
        err_set(err, ERR_CONN_NOT_READY, "the proxy has no certificate yet");
        return false;
    }
    if (!view->complete) {
        err_set(err, ERR_CONN_NOT_READY, "the proxy has no configuration yet");
        return false;
    }
    int64_t not_after_s = tls_context_identity(view->context)->not_after_s;
    if (clock_wall_s() >= not_after_s) {
        err_set(err, ERR_CONN_NOT_READY, "the proxy's own certificate expired at %s",
                clock_format(not_after_s, when));
        return false;
    }
    return true;
}
