/* The mesh as a Kubernetes cluster has it: objects come from reflectors, one at a time and in any
 * order, and the mesh goes out as from a mesh file.
 *
 *   cluster_put, cluster_remove -> cluster_graph (what matters, what is dirty)
 *     -> CLUSTER_SETTLE_MS later, once for many -> cluster_compile -> on_compiled, on_verdict
 *
 * Nothing goes out before every kind has been listed once: a workload without the policies that
 * guard it must not be seen. After that a change makes anew what depends on it and nothing else;
 * what says the same as before keeps its resource. Loop thread. */
#ifndef CLUSTER_H
#define CLUSTER_H

#include "control/cluster_graph.h"
#include "control/compile.h"
#include "control/tally.h"
#include "loop/timer.h"

enum cluster_kind {
    CLUSTER_PODS,
    CLUSTER_SERVICES,
    CLUSTER_SLICES,         /* discovery.k8s.io/v1 */
    CLUSTER_POLICIES,       /* handfast.io/v1 AuthorizationPolicy */
    CLUSTER_MTLS,           /* handfast.io/v1 PeerAuthentication */
    CLUSTER_ISTIO_POLICIES, /* security.istio.io/v1, of the same shape */
    CLUSTER_ISTIO_MTLS,
};
enum { CLUSTER_KINDS = 7 };

enum {
    CLUSTER_SETTLE_MS = 20,      /* a change is rarely one event */
    CLUSTER_SETTLE_MAX_MS = 300, /* events that never end are not waited for longer */
    CLUSTER_RETRY_MS = 1000,     /* after there was no memory */
};

/* What became of a policy object. */
struct cluster_verdict {
    enum cluster_kind kind;
    const char *key;      /* "namespace/name" */
    int64_t generation;   /* of the object that was looked at */
    bool accepted;        /* in force as it is written */
    const char *reason;   /* "Accepted", "Unsupported", "Invalid", "Conflict" */
    const char *sentence; /* what is in force instead, too */
    const char *resource; /* its name on the wire; NULL when it has none of its own */
};

struct cluster_config {
    const char *cluster_id, *trust_domain; /* borrowed, as all here */
    /* Policies there without a selector hold for the whole mesh, those with one select in every
     * namespace. */
    const char *root_namespace;
    /* The same for the kinds of Istio; NULL: they are not read, and not waited for. */
    const char *istio_root_namespace;
};

struct cluster_events {
    /* A new mesh, whose records are those that changed: takes what is in `compiled`. Anything but
     * ERR_OK: they are lost, and all of them come again in a while. */
    enum err_code (*on_compiled)(struct compiled *compiled, void *arg);
    /* After that, for each policy of which there is something new to say. May be NULL. */
    void (*on_verdict)(const struct cluster_verdict *verdict, void *arg);
};

struct cluster {
    struct cluster_config config; /* private, as all here */
    struct cluster_events events;
    void *arg;
    struct timers *timers;
    struct tally *tally;
    struct cluster_graph graph;
    bool synced[CLUSTER_KINDS];
    bool published;
    struct timer settle;
    int64_t first_event_ms; /* of the change that is under way; 0: none is */
};

/* `timers` and `tally` outlive it. */
void cluster_init(struct cluster *cluster, const struct cluster_config *config,
                  struct timers *timers, struct tally *tally, const struct cluster_events *events,
                  void *arg);
/* An object that is new or has changed; `key` is "namespace/name". The object is borrowed for the
 * call. ERR_NO_MEMORY: it was not taken in, and what was known of it stands; put it again. */
enum err_code cluster_put(struct cluster *cluster, enum cluster_kind kind, const char *key,
                          const json_t *object, struct err *err);
void cluster_remove(struct cluster *cluster, enum cluster_kind kind, const char *key);
/* The first list of this kind is complete, or the cluster does not know the kind. */
void cluster_synced(struct cluster *cluster, enum cluster_kind kind);
/* Every kind that is read has been listed, and the mesh has gone out. */
bool cluster_is_published(const struct cluster *cluster);
/* Calls on_verdict for every policy again, at the next compilation: for whoever takes over the
 * writing of status conditions. */
void cluster_report(struct cluster *cluster);
void cluster_deinit(struct cluster *cluster);

#endif
