/* What the mesh needs of a Service. One thread. */
#ifndef CLUSTER_SERVICE_H
#define CLUSTER_SERVICE_H

#include <jansson.h>

#include "mesh/service.h"

struct cluster_service {
    /* Addresses and TCP ports. Where the target port is a name, or endpoint slices alone say it
     * because there is no selector, it is 0. NULL: nothing for the mesh (ExternalName). */
    struct mesh_service *service;
    const char *const *port_names; /* of the service's ports, "" for one without; one block */
    bool publish_not_ready;        /* endpoints count whether they are ready or not */
};

/* Reads the Service `ns`/`name`. *out is a value of the caller's; cluster_service_deinit() frees
 * what it holds. ERR_XDS_RESOURCE: the mesh's own rules refuse it (with a sentence); ERR_NO_MEMORY.
 */
enum err_code cluster_service_read(const char *ns, const char *name, const json_t *object,
                                   struct cluster_service *out, struct err *err);
/* Nothing that matters to the mesh differs. */
bool cluster_service_equal(const struct cluster_service *a, const struct cluster_service *b);
void cluster_service_deinit(struct cluster_service *service);

#endif
