/* A service: a name, the virtual addresses it answers at, and its ports. Immutable and
 * reference-counted; any thread. Which workloads stand behind it is in their own records; see
 * mesh_service_endpoints() in snapshot.h. */
#ifndef MESH_SERVICE_H
#define MESH_SERVICE_H

#include "mesh/workload.h"

enum { MESH_SERVICE_ADDRESSES_MAX = 1024 };

struct mesh_service {
    struct ref ref;   /* private */
    uint32_t hash;    /* private: of key */
    const char *key;  /* "namespace/hostname"; mesh_service_new() makes it, whatever `from` says */
    const char *name; /* "web" */
    const char *namespace;
    const char *hostname; /* "web.shop.svc.cluster.local" */
    const struct addr *addresses;
    unsigned address_count; /* 0: headless */
    const struct mesh_port *ports;
    unsigned port_count;
    const char *const *subject_alt_names; /* extra identities a client should accept; rarely set */
    unsigned subject_alt_name_count;
    bool allow_unhealthy; /* health policy ALLOW_ALL: endpoints that are not ready count too */
};

/* As mesh_workload_new(). */
enum err_code mesh_service_new(const struct mesh_service *from, struct mesh_service **out,
                               struct err *err);
struct mesh_service *mesh_service_ref(struct mesh_service *service);
void mesh_service_unref(struct mesh_service *service);

/* The port entry for `service_port`, or NULL. */
const struct mesh_port *mesh_service_port(const struct mesh_service *service,
                                          uint16_t service_port);

#endif
