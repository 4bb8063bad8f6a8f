/* The cluster as the mesh sees it, and what has to be made anew after a change.
 *
 *   slice --names--> service slot --links--> workload --guarded by--> policies, a guard
 *     endpoint --at--> place <--at-- pod
 *
 * Objects come one at a time and in any order. Each is reduced to what matters to the mesh; when
 * that is as it was, nothing happens. Otherwise whatever is derived from it is marked dirty, and
 * cluster_compile() does the work, once for many changes.
 *
 * Endpoints and pods meet at an address. An endpoint that names a pod counts once that pod has the
 * address, so neither a slice nor a pod that is behind leads anywhere wrong; one that names none is
 * the pod at the address all the same, so that nobody is sent to a pod of the mesh in plaintext,
 * and a workload of its own where there is no pod. One thread. */
#ifndef CLUSTER_GRAPH_H
#define CLUSTER_GRAPH_H

#include "base/map.h"
#include "control/cluster_mtls.h"
#include "control/cluster_pod.h"
#include "control/cluster_policy.h"
#include "control/cluster_service.h"
#include "control/cluster_slice.h"
#include "xds/store.h"

/* Strict mTLS of the mesh, a namespace or some workloads; lives as long as somebody uses it. */
struct cluster_guard {
    struct xds_resource *resource;
    enum mesh_scope scope;
    unsigned uses;
};

struct cluster_namespace {
    char *name;
    struct cluster_workload *pods;
    unsigned meshed;                 /* pods of the mesh */
    struct cluster_policy *policies; /* but for the root namespace's */
    struct cluster_mtls *mtls;
    const struct cluster_mtls *level; /* the one that holds for the whole namespace */
    bool selects;                     /* one of them picks workloads */
    struct cluster_guard *guard;
    bool dirty;
    struct cluster_namespace *next_gone; /* private to a walk */
};

/* A pod at one of its addresses. */
struct cluster_at {
    struct cluster_workload *workload;
    struct cluster_at *next, **link;
};

/* Who is at an address. */
struct cluster_place {
    struct cluster_at *pods; /* several on a host's network, or when an address changes hands */
    struct cluster_endpoint *endpoints;
};

/* A workload behind a service. */
struct cluster_link {
    struct cluster_service_slot *slot;
    struct cluster_workload *workload;
    struct cluster_link *next_of_slot, **link_of_slot;
    struct cluster_link *next_of_workload, **link_of_workload;
    bool known;         /* private to cluster_members.c: there was one before */
    uint16_t targets[]; /* for each port of the service; 0: does not serve it */
};

/* A pod, or an endpoint that is none. */
struct cluster_workload {
    struct cluster_pod pod;       /* its workload is never NULL */
    struct cluster_namespace *ns; /* NULL for an endpoint that is no pod */
    struct cluster_workload *next_of_ns, **link_of_ns;
    struct cluster_at *at; /* one for each address */
    struct cluster_link *links;
    struct cluster_link *pending; /* private to cluster_members.c */
    struct cluster_guard *guard;
    struct xds_resource *resource; /* NULL: not sent */
    bool dirty;
    struct cluster_workload *next_gone; /* private to a walk */
};

/* A service, or the name of one that slices speak of. */
struct cluster_service_slot {
    char *ns, *name;
    struct cluster_service service; /* its service is NULL when there is none */
    struct cluster_slice *slices;
    struct cluster_link *links;
    bool same_ports;      /* the links were made with the ports that the service has */
    bool allow_unhealthy; /* all that are linked count, healthy or not */
    struct xds_resource *resource;
    bool dirty;
    struct cluster_service_slot *next_gone; /* private to a walk */
};

enum { CLUSTER_GROUPS = 2 /* handfast.io and security.istio.io */ };

struct cluster_graph {
    const char *cluster_id, *trust_domain; /* borrowed, set by the owner; all else starts as zero */
    struct map pods, externals, places, slots, slices, namespaces, guards;
    struct map policies[CLUSTER_GROUPS], mtls[CLUSTER_GROUPS];
    struct cluster_policy *policies_everywhere; /* the root namespace's */
    struct cluster_mtls *mtls_everywhere;
    const struct cluster_mtls *level; /* the one that holds for the whole mesh */
    bool by_namespace;                /* strictness is not the same everywhere */
    struct cluster_guard *guard;
    bool mtls_dirty;
    struct xds_set *changes; /* records that came, went or are others since the last mesh */
    bool whole;              /* they are not known: the next mesh says all of them */
    bool changed;            /* a policy came, went or is another one, or a record */
    uint64_t encoded;        /* workloads and services, since the start */
};

/* Each takes in one object: ERR_NO_MEMORY, and then nothing has changed. What the mesh's own rules
 * refuse is logged and counts as absent. */
enum err_code cluster_graph_put_pod(struct cluster_graph *graph, const char *ns, const char *name,
                                    const json_t *object, struct err *err);
enum err_code cluster_graph_put_service(struct cluster_graph *graph, const char *ns,
                                        const char *name, const json_t *object, struct err *err);
enum err_code cluster_graph_put_slice(struct cluster_graph *graph, const char *ns, const char *name,
                                      const json_t *object, struct err *err);
/* `group` is an index below CLUSTER_GROUPS; context->root says where its policies hold. */
enum err_code cluster_graph_put_policy(struct cluster_graph *graph, unsigned group,
                                       const struct cluster_policy_context *context,
                                       const json_t *object, struct err *err);
enum err_code cluster_graph_put_mtls(struct cluster_graph *graph, unsigned group, const char *ns,
                                     const char *name, bool root, const json_t *object,
                                     struct err *err);
/* Each is fine with what is not there. `key` is "namespace/name". */
void cluster_graph_remove_pod(struct cluster_graph *graph, const char *key);
void cluster_graph_remove_service(struct cluster_graph *graph, const char *key);
void cluster_graph_remove_slice(struct cluster_graph *graph, const char *key);
void cluster_graph_remove_policy(struct cluster_graph *graph, unsigned group, const char *key);
void cluster_graph_remove_mtls(struct cluster_graph *graph, unsigned group, const char *key);

void cluster_graph_deinit(struct cluster_graph *graph);

/* --- for the cluster's own files -------------------------------------------------------------- */

/* The namespace, made when it is not there; NULL without memory. */
struct cluster_namespace *cluster_graph_namespace(struct cluster_graph *graph, const char *name);
/* The place of an address, or NULL. */
struct cluster_place *cluster_graph_place(const struct cluster_graph *graph, const struct addr *ip);
/* The same, made when it is not there; NULL without memory. */
struct cluster_place *cluster_graph_make_place(struct cluster_graph *graph, const struct addr *ip);
/* Drops a place where nobody is any more. */
void cluster_graph_drop_place(struct cluster_graph *graph, const struct addr *ip);
/* The pod whose address it is: of those with a network of their own, one that does not terminate
 * goes before one that does, and a later one before an earlier. NULL: there is none. */
struct cluster_workload *cluster_graph_owner(const struct cluster_place *place);
/* Puts `resource`, which it takes and which may be NULL, in the place of *slot, unless both say the
 * same, and notes the change. */
void cluster_graph_keep(struct cluster_graph *graph, struct xds_resource **slot,
                        struct xds_resource *resource);
/* Frees a workload, its links included. */
void cluster_graph_free_workload(struct cluster_graph *graph, struct cluster_workload *workload);
void cluster_graph_free_link(struct cluster_link *link);
void cluster_graph_free_slot(struct cluster_graph *graph, struct cluster_service_slot *slot);
/* Puts `item` in front of the list at `head`, through its members `next` and `link`. */
#define CLUSTER_LIST_ADD(head, item, next, link)                                                   \
    do {                                                                                           \
        (item)->next = *(head);                                                                    \
        if ((item)->next)                                                                          \
            (item)->next->link = &(item)->next;                                                    \
        *(head) = (item);                                                                          \
        (item)->link = (head);                                                                     \
    } while (0)
/* Takes it out; an item that is in no list has a NULL `link`. */
#define CLUSTER_LIST_REMOVE(item, next, link)                                                      \
    do {                                                                                           \
        if ((item)->link) {                                                                        \
            *(item)->link = (item)->next;                                                          \
            if ((item)->next)                                                                      \
                (item)->next->link = (item)->link;                                                 \
            (item)->link = NULL;                                                                   \
        }                                                                                          \
    } while (0)

#endif
