/* What the mesh needs of an EndpointSlice: which address serves which ports of a service, as
 * Kubernetes worked it out. One thread. */
#ifndef CLUSTER_SLICE_H
#define CLUSTER_SLICE_H

#include <jansson.h>

#include "base/addr.h"
#include "base/err.h"

struct cluster_slice;

struct cluster_slice_port {
    const char *name; /* "" for one without; the name that the service's port has */
    uint16_t port;    /* of the endpoints: a named target port is resolved already */
};

struct cluster_endpoint {
    struct addr ip;
    const char *pod; /* the pod's name, in the slice's namespace; NULL: none is named */
    bool ready, serving, terminating;
    struct cluster_slice *slice;
    struct cluster_endpoint *next, **link; /* of those at this address; not of this file */
};

/* One block. */
struct cluster_slice {
    const char *service; /* name of the service, in the slice's namespace */
    const struct cluster_slice_port *ports;
    unsigned port_count;
    struct cluster_endpoint *endpoints;
    unsigned endpoint_count;
    struct cluster_service_slot *slot; /* not of this file, as what follows */
    struct cluster_slice *next_of_slot, **link_of_slot;
};

/* Reads a slice of namespace `ns`. *out stays NULL when it is none for the mesh: of no service, or
 * of names instead of addresses. The caller frees it with free(). ERR_NO_MEMORY. */
enum err_code cluster_slice_read(const char *ns, const json_t *object, struct cluster_slice **out,
                                 struct err *err);
/* Nothing that matters to the mesh differs; either may be NULL. */
bool cluster_slice_equal(const struct cluster_slice *a, const struct cluster_slice *b);

#endif
