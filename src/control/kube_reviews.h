/* Who is calling, by the cluster's own word: TokenReview (authentication.k8s.io/v1), with our
 * audience, for a token that is bound to a pod which is there. Loop thread.
 *
 *   good -> remembered for REVIEW_KEEP_S by the token's hash; the pod is looked up each time anew
 *   refused -> ERR_TOKEN_* with the server's reason, not remembered
 *   the API server cannot be asked -> ERR_TIMEOUT or what the client says; callers try again
 *
 * A deleted pod's token is accepted by the API server for some seconds more; not here, where the
 * pod must be in the mesh's own view. */
#ifndef KUBE_REVIEWS_H
#define KUBE_REVIEWS_H

#include "base/map.h"
#include "control/authenticator.h"
#include "kube/client.h"

enum {
    REVIEW_KEEP_S = 60,
    REVIEW_CALL_MS = 5000,
    REVIEW_KNOWN_MAX = 20000, /* remembered tokens; then all are forgotten */
    REVIEW_ASKING_MAX = 1024, /* questions to the API server at once */
};

struct kube_reviews {
    struct authenticator authenticator; /* first */
    struct kube_client *client;         /* borrowed, as all up to pod_exists */
    const char *audience;
    /* Whether this pod is there: by namespace, name and uid. */
    bool (*pod_exists)(void *arg, const char *ns, const char *name, const char *uid);
    void *arg;

    struct map known; /* private, as all here: SHA-256 of a token -> what it proved */
    struct review *asking;
    unsigned asking_count;
    bool closed;
    uint64_t asked, hits, failed; /* for the metrics */
};

void kube_reviews_init(struct kube_reviews *reviews);
/* Answers what is still open with ERR_CANCELLED, and whatever is asked later: ports close after
 * the client has. */
void kube_reviews_deinit(struct kube_reviews *reviews);

#endif
