/* A cluster for tests: objects go in as they come from the API, and what proxies would know comes
 * out as a snapshot of the mesh. */
#ifndef BED_H
#define BED_H

#include "control/cluster.h"
#include "mesh/authorize.h"
#include "xds/store.h"

#define BED_DOMAIN "cluster.local"
#define BED_ROOT "handfast-system"
#define BED_ISTIO_ROOT "istio-system"

enum { BED_VERDICTS = 32 };

struct bed_verdict {
    enum cluster_kind kind;
    char key[64], reason[32], sentence[512], resource[64];
    int64_t generation;
    bool accepted;
};

struct bed {
    struct loop loop;
    struct timers timers;
    struct tally tally;
    struct cluster cluster;
    unsigned compiled; /* meshes that went out */
    unsigned failures; /* of them, from now on, are lost */
    unsigned workloads, services, policies;
    struct xds_store store; /* the last one */
    struct mesh_snapshot *mesh;
    struct bed_verdict verdicts[BED_VERDICTS]; /* since bed_settle() was called last */
    unsigned verdict_count;
    bool timers_closed;
};

/* A cluster of which every kind is listed already, with the kinds of Istio; and one of which none
 * is. */
void bed_start(struct bed *bed);
void bed_start_unsynced(struct bed *bed, bool istio);
void bed_stop(struct bed *bed);

/* An object from JSON in which ' stands for ". */
json_t *bed_json(const char *format, ...) __attribute__((format(printf, 1, 2)));
void bed_put(struct bed *bed, enum cluster_kind kind, const char *key, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* A running pod as a kubelet reports it; what is absent is as usual. */
struct bed_pod {
    const char *ip, *ip6, *account, *node, *phase, *created;
    const char *labels; /* "'app': 'web'" */
    const char *owner_kind, *owner;
    bool plain; /* not injected */
    bool unready, terminating, host;
};
void bed_pod(struct bed *bed, const char *key, struct bed_pod pod);
json_t *bed_pod_json(const char *key, struct bed_pod pod);
/* A service with a selector; `ports` is "{'port': 80}, ...". An empty `ip` is headless. */
void bed_service(struct bed *bed, const char *key, const char *ip, const char *ports);
/* A slice of the service called `service` with the port "", or with none when it is 0. `endpoints`
 * are bed_endpoint()s. */
void bed_slice(struct bed *bed, const char *key, const char *service, unsigned port,
               const char *endpoints);
/* One endpoint as JSON: ready, of that pod ("": of none). Static, for one slice at a time: valid
 * until the eighth call from now. */
const char *bed_endpoint(const char *ip, const char *pod);
/* The same with conditions: "'ready': false". */
const char *bed_endpoint_that(const char *ip, const char *pod, const char *conditions);
/* Policies with that spec, created at 10:<minute>; the generation is 1. */
void bed_policy(struct bed *bed, const char *key, const char *spec);
void bed_mtls(struct bed *bed, const char *key, unsigned minute, const char *spec);
void bed_remove(struct bed *bed, enum cluster_kind kind, const char *key);

/* Runs the loop until all that was put has gone out, and forgets older verdicts. */
void bed_settle(struct bed *bed);

/* What the proxies know after the last bed_settle(). "shop/web" means the pod's uid or the
 * service's hostname. NULL: they do not know it. */
const struct mesh_workload *bed_workload(const struct bed *bed, const char *key);
const struct mesh_service *bed_service_of(const struct bed *bed, const char *key);
/* Endpoints as "name:port,name:port" in order of names, for a port of the service; "" for none.
 * Static. */
const char *bed_endpoints(const struct bed *bed, const char *key, uint16_t port);
/* What a workload's record names, joined by commas. Static. */
const char *bed_policies_of(const struct bed *bed, const char *key);
/* The keys of all policies in order, joined by commas. Static. */
const char *bed_policies(const struct bed *bed);

/* Is a connection allowed? `from` is a pod "namespace/account" with an identity of the mesh, or an
 * address: plaintext from there. */
bool bed_allows(const struct bed *bed, const char *from, const char *to, uint16_t port);
/* The verdict of the last settling on that object, or NULL. */
const struct bed_verdict *bed_verdict_on(const struct bed *bed, enum cluster_kind kind,
                                         const char *key);

#endif
