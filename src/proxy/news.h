/* What a new view means for this pod, told to the log: the first configuration, other policies that
 * guard us, addresses of ours that the mesh does not know. Main loop. */
#ifndef NEWS_H
#define NEWS_H

#include "loop/timer.h"
#include "proxy/config.h"
#include "proxy/view.h"

enum {
    NEWS_GRACE_MS = 5000, /* a pod's record may get its address a little later than the pod */
    NEWS_NAMES_MAX = 256, /* bytes of a line's list of policies */
};

struct news {
    const struct config *config;
    struct timers *timers;
    int64_t grace_ms;
    struct view *view; /* the last one that was complete, own reference; NULL before it */
    struct timer grace;
    bool warned[CONFIG_POD_IPS_MAX]; /* once for each address */
};

/* `view` is in force. config, timers and grace_ms are set by the caller. */
void news_view(struct news *news, struct view *view);
/* Stops the timer and drops the view. */
void news_close(struct news *news);

/* True when a record of this pod has its address number `at`, or when nobody can know yet (`view`
 * is NULL or not complete); else *err says whose it is, and what follows. Pure; any thread. */
bool news_knows_address(const struct config *config, const struct view *view, unsigned at,
                        struct err *err);

#endif
