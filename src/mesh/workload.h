/* A workload as the control plane describes it: who it is, where it is, what it serves and which
 * policies guard it. Immutable and reference-counted; any thread. */
#ifndef MESH_WORKLOAD_H
#define MESH_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/ref.h"

/* The numbers are istio.workload's. */
enum mesh_tunnel {
    MESH_TUNNEL_NONE = 0,        /* plaintext only: not in the mesh */
    MESH_TUNNEL_HBONE = 1,       /* a ztunnel; we do not speak it */
    MESH_TUNNEL_LEGACY_MTLS = 2, /* ours: mTLS on the application's own port */
};
enum mesh_network_mode { MESH_NETWORK_STANDARD = 0, MESH_NETWORK_HOST = 1 };
enum mesh_status { MESH_HEALTHY = 0, MESH_UNHEALTHY = 1 };
enum mesh_workload_type {
    MESH_TYPE_DEPLOYMENT = 0,
    MESH_TYPE_CRONJOB = 1,
    MESH_TYPE_POD = 2,
    MESH_TYPE_JOB = 3
};

struct mesh_port {
    uint16_t service_port;
    uint16_t target_port; /* 0: each workload resolves it for itself (a named port) */
};

/* One service that the workload belongs to. */
struct mesh_link {
    const char *service; /* "namespace/hostname" */
    const struct mesh_port *ports;
    unsigned port_count;
};

struct mesh_label {
    const char *key, *value;
};

enum { MESH_TEXT_MAX = 1024 }; /* longest single text of a record, without the null */
enum {
    MESH_WORKLOAD_ADDRESSES_MAX = 64,
    MESH_WORKLOAD_LINKS_MAX = 4096,
    MESH_WORKLOAD_POLICIES_MAX = 4096,
    MESH_WORKLOAD_LABELS_MAX = 256,
    MESH_PORTS_MAX = 4096,
};

/* Texts are never NULL in a record that mesh_workload_new() made; "" where nothing was said. */
struct mesh_workload {
    struct ref ref;   /* private */
    uint32_t hash;    /* private: of uid */
    const char *uid;  /* the key: "<cluster>//Pod/<namespace>/<name>" */
    const char *name; /* the pod */
    const char *namespace;
    const char *service_account; /* as given; "" means `default` */
    const char *trust_domain;    /* as given; "" means the mesh's */
    const char *network;
    const char *node;
    const char *cluster;
    const char *hostname;
    const char *canonical_name, *canonical_revision;
    const char *workload_name; /* the owner, a Deployment for example */
    enum mesh_workload_type type;
    enum mesh_tunnel tunnel;
    enum mesh_network_mode network_mode;
    enum mesh_status status;
    const struct addr *addresses;
    unsigned address_count;
    const struct mesh_link *links; /* the services map */
    unsigned link_count;
    const char *const *policies; /* authorization_policies: keys "namespace/name" */
    unsigned policy_count;
    const struct mesh_label *labels; /* not on the wire: for the control plane's selectors */
    unsigned label_count;
};

/* Makes a record from `from`, whose texts and arrays are copied (NULL texts become ""); the caller
 * owns one reference. ERR_XDS_RESOURCE when a field breaks a rule (the sentence names it: no uid, a
 * namespace or service account that could not stand in a SPIFFE ID, a count or text over its
 * limit), ERR_NO_MEMORY; *out is then untouched. */
enum err_code mesh_workload_new(const struct mesh_workload *from, struct mesh_workload **out,
                                struct err *err);
/* NULL is allowed in unref. Returns its argument. */
struct mesh_workload *mesh_workload_ref(struct mesh_workload *workload);
void mesh_workload_unref(struct mesh_workload *workload);

/* The service account and the trust domain with their defaults put in; borrowed. */
const char *mesh_workload_account(const struct mesh_workload *workload);
const char *mesh_workload_trust_domain(const struct mesh_workload *workload,
                                       const char *mesh_trust_domain);

enum {
    MESH_SPIFFE_MAX = 512
}; /* as SPIFFE_TEXT_MAX of tls/spiffe.h: longer ones are issued to nobody */

/* Writes "spiffe://<trust domain>/ns/<namespace>/sa/<service account>" and returns its length; 0
 * and "" when it would not fit. */
size_t mesh_workload_spiffe_id(const struct mesh_workload *workload, const char *mesh_trust_domain,
                               char text[MESH_SPIFFE_MAX]);

/* The value of a label, or NULL. */
const char *mesh_workload_label(const struct mesh_workload *workload, const char *key);

#endif
