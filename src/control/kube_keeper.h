/* Objects that the control plane makes in its cluster and keeps as they should be, by server-side
 * apply. They belong to the installation's ClusterRole, so that they go when it does. Loop thread.
 */
#ifndef KUBE_KEEPER_H
#define KUBE_KEEPER_H

#include <stdbool.h>

#include "kube/client.h"
#include "kube/reflector.h"

enum { KEEPER_CALL_MS = 10000, KEEPER_NAME_MAX = 320 };

#define KEEPER_OWNER "handfast-control" /* the ClusterRole, and the field manager's name */

struct kube_keeper {
    struct kube_client *client; /* borrowed, as `ns` */
    const char *ns;             /* the installation's namespace */
    json_t *owner;              /* ownerReferences; NULL: there is no owner to be had */
    bool leading;               /* only the leader writes */
    uint64_t written, failures; /* objects; for the metrics */
};

/* Takes the owner from the answer to a GET of KEEPER_OWNER_PATH; any other answer leaves objects
 * without one. */
#define KEEPER_OWNER_PATH "/apis/rbac.authorization.k8s.io/v1/clusterroles/" KEEPER_OWNER
void kube_keeper_set_owner(struct kube_keeper *keeper, const struct kube_answer *answer);
void kube_keeper_deinit(struct kube_keeper *keeper);

/* {apiVersion, kind, metadata: {name, namespace, labels, ownerReferences}}; NULL without memory. */
json_t *kube_keeper_object(const struct kube_keeper *keeper, const char *version, const char *kind,
                           const char *ns, const char *name);

/* Applies `object` at `path`. As kube_request. `object` is taken; NULL: it could not be made, for
 * the reason that is in `err` already or for want of memory. */
struct kube_call *kube_keeper_apply(struct kube_keeper *keeper, const char *path, json_t *object,
                                    kube_on_answer on_answer, void *arg, struct err *err);

/* Turns an answer into ERR_OK (2xx) or a reason with the server's sentence; counts, and logs a
 * failure as `what`. */
enum err_code kube_keeper_result(struct kube_keeper *keeper, const struct kube_answer *answer,
                                 const struct err *err, const char *what);

#endif
