/* All that the control plane does with a Kubernetes cluster, as one thing: started, and ended,
 * together. Loop thread.
 *
 *   kube_plane_start -> the authority is read or made -> on_authority (the first time, and at every
 *     change) -> kube_plane_serve: the mesh is read, what the leader keeps is kept
 *   kube_plane_close -> the lease is given back, the connection ends -> on_closed */
#ifndef KUBE_PLANE_H
#define KUBE_PLANE_H

#include "control/ads.h"
#include "control/config.h"
#include "control/kube_authority.h"
#include "control/kube_lease.h"
#include "control/kube_reviews.h"
#include "control/kube_source.h"
#include "control/kube_trust.h"
#include "control/kube_webhook.h"

struct kube_plane {
    const struct config *config; /* borrowed, as all up to on_authority */
    struct relay_env *env;
    struct tally *tally;
    struct ca_state *state;
    struct ads *ads;
    void (*on_authority)(struct kube_plane *plane);

    struct kube_config access; /* private, as all here */
    char *ns;                  /* the installation's namespace */
    char holder[256];          /* this replica, in the Lease */
    struct kube_client *client;
    struct kube_call *owner_call;
    struct kube_keeper keeper;
    struct kube_authority authority;
    struct kube_reviews reviews;
    struct kube_lease lease;
    struct kube_trust trust;
    struct kube_webhook webhook;
    struct kube_status status;
    struct cluster cluster;
    struct kube_source source;
    struct timer renewal, retry;
    bool serving;
    void (*on_closed)(struct kube_plane *plane);
};

/* ERR_NOT_FOUND, ERR_INVALID (no cluster to be found, a kubeconfig that is no good) and others. */
enum err_code kube_plane_start(struct kube_plane *plane, struct err *err);
enum err_code kube_plane_serve(struct kube_plane *plane, struct err *err);
/* The first mesh has gone out. */
bool kube_plane_is_ready(const struct kube_plane *plane);
void kube_plane_close(struct kube_plane *plane, void (*on_closed)(struct kube_plane *plane));

#endif
