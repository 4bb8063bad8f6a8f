/* PeerAuthentications, and what they come to for a workload: strict is "deny whoever has no
 * identity" (source_guard.h).
 *
 * Which mode holds for a port: of the one that selects the workload the port's mode, then its mode;
 * then the mode of the namespace's; then the mesh's; then permissive. UNSET goes on to the next.
 * Where several are left the oldest counts alone. All as in Istio. One thread. */
#ifndef CLUSTER_MTLS_H
#define CLUSTER_MTLS_H

#include <jansson.h>

#include "control/cluster_pod.h"
#include "control/cluster_selector.h"
#include "control/cluster_verdict.h"
#include "control/source_guard.h"

enum cluster_mode { CLUSTER_MODE_UNSET, CLUSTER_MODE_PERMISSIVE, CLUSTER_MODE_STRICT };

struct cluster_mtls_port {
    uint16_t port;
    enum cluster_mode mode;
};

struct cluster_mtls {
    struct cluster_selector *selector; /* NULL: refused */
    enum cluster_mode mode;
    struct cluster_mtls_port *ports;
    unsigned port_count;
    char *key;      /* "namespace/name" */
    unsigned group; /* of two objects of one age and one key the lower one counts as older */
    char created[CLUSTER_TIME_MAX];
    int64_t generation;
    struct cluster_finding finding;       /* of the object alone */
    const struct cluster_mtls *beaten_by; /* not of reading, as what follows */
    bool reported;
    struct cluster_mtls *next, **link;
};

/* Reads security.istio.io/v1's PeerAuthentication, which handfast.io/v1's is too; `root`: of the
 * namespace whose PeerAuthentications hold for the whole mesh, where one with a selector is refused
 * (Istio passes it over). DISABLE is held as PERMISSIVE: plaintext gets in, and so does mutual TLS,
 * which peers of the mesh go on using. Ports without a selector are left out. *out is on the heap;
 * cluster_mtls_free(). ERR_NO_MEMORY.
 */
enum err_code cluster_mtls_read(const char *key, unsigned group, bool root, const json_t *object,
                                struct cluster_mtls **out, struct err *err);
bool cluster_mtls_equal(const struct cluster_mtls *a, const struct cluster_mtls *b);
/* NULL is allowed. */
void cluster_mtls_free(struct cluster_mtls *mtls);

/* `other`, either may be NULL, unless `mtls` is older. */
const struct cluster_mtls *cluster_mtls_older(const struct cluster_mtls *mtls,
                                              const struct cluster_mtls *other);

/* Those that hold somewhere; each may be NULL. */
struct cluster_mtls_levels {
    const struct cluster_mtls *workload, *ns, *mesh;
};

/* What the levels come to, as the guard of `scope` in namespace `ns` ("" for the mesh), named.
 * False when everything is permissive. Without memory the arena has failed. */
bool cluster_mtls_guard(struct source_arena *arena, const struct cluster_mtls_levels *levels,
                        enum mesh_scope scope, const char *ns, struct source_guard *out);

#endif
