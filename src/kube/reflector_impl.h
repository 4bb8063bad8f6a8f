/* The inside of a reflector, for reflector.c (what comes next) and reflector_read.c (what has
 * arrived) only. */
#ifndef KUBE_REFLECTOR_IMPL_H
#define KUBE_REFLECTOR_IMPL_H

#include "kube/call.h"
#include "kube/cutter.h"
#include "kube/known.h"
#include "kube/reflector.h"
#include "loop/backoff.h"

enum {
    REFLECTOR_CONTINUE_MAX = 2048, /* bytes of a continue token */
    REFLECTOR_STATUS_MAX = 64 << 10,
};

enum reflector_step { REFLECTOR_LIST, REFLECTOR_PAGE, REFLECTOR_WATCH };

/* What a watch event said beyond objects. */
enum reflector_verdict {
    REFLECTOR_FINE,
    REFLECTOR_EXPIRED, /* 410: the version is too old */
    REFLECTOR_REFUSED, /* any other ERROR */
    REFLECTOR_BROKEN,  /* an event that cannot be read: what it said is lost */
};

struct kube_reflector {
    struct kube_client *client;
    const struct kube_reflector_events *events;
    void *arg;
    char *path;
    struct kube_known known;
    char version[KUBE_VERSION_MAX];    /* to watch from */
    char page[REFLECTOR_CONTINUE_MAX]; /* the continue token of the next page, or "" */
    struct kube_call *call;
    struct kube_cutter cutter;
    struct kube_buffer refusal; /* the body of an answer other than 200 */
    int status;
    int64_t retry_after_s;
    int64_t started_ms; /* when the answer began */
    int64_t watch_ms;   /* what a watch may take */
    struct err err;     /* what is wrong with the answer, or why a call could not be started */
    enum reflector_step step;
    enum reflector_verdict verdict;
    bool damaged; /* something in this list could not be read */
    bool synced, closed;
    unsigned absent;   /* 404 in a row */
    unsigned busy;     /* callbacks that are running */
    unsigned refusals; /* of the watch in a row, by the server */
    struct timer wait;
    struct backoff backoff;
};

/* --- reflector_read.c --- */

/* kube_cutter's on_piece; arg is the reflector. */
bool reflector_take_item(void *arg, const char *bytes, size_t len);
bool reflector_take_event(void *arg, const char *bytes, size_t len);
/* The list's own metadata: version and continue token. False, and reflector->err, when it has none.
 */
bool reflector_take_frame(struct kube_reflector *reflector);
/* Reports and forgets what no item of the list was; false: closed meanwhile. */
bool reflector_sweep(struct kube_reflector *reflector);

#endif
