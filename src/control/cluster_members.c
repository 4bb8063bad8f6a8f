#include "control/cluster_members.h"

#include <stdlib.h>
#include <string.h>

struct gathering {
    struct cluster_graph *graph;
    struct cluster_service_slot *slot;
    struct cluster_link *links; /* the new ones */
    bool last_resort;           /* take those that terminate and serve */
    struct err *err;
};

/* --- endpoints that are no pods --------------------------------------------------------------- */

/* The address may be a node's: then pods on that host's network are there too, and none of them is
 * to be hidden by this one. */
static bool is_host(const struct cluster_place *place)
{
    return place && place->pods && !cluster_graph_owner(place);
}

static bool make_facts(struct gathering *gathering, const struct cluster_endpoint *endpoint,
                       const char *uid, bool host, struct mesh_workload **out)
{
    char ip[ADDR_TEXT_MAX];
    const struct cluster_service_slot *slot = gathering->slot;
    const struct mesh_workload draft = {
        .uid = uid,
        .name = addr_format(&endpoint->ip, ip),
        .namespace = slot->ns,
        .service_account = "default",
        .cluster = gathering->graph->cluster_id,
        .canonical_name = slot->name,
        .canonical_revision = "latest",
        .workload_name = slot->name,
        .type = MESH_TYPE_POD,
        .tunnel = MESH_TUNNEL_NONE,
        .network_mode = host ? MESH_NETWORK_HOST : MESH_NETWORK_STANDARD,
        .addresses = &endpoint->ip,
        .address_count = 1,
    };
    return mesh_workload_new(&draft, out, gathering->err) == ERR_OK;
}

static struct cluster_workload *add_external(struct gathering *gathering, const char *uid)
{
    struct cluster_workload *workload = calloc(1, sizeof *workload);
    if (workload && map_set_str(&gathering->graph->externals, uid, workload, NULL))
        return workload;
    free(workload);
    err_set(gathering->err, ERR_NO_MEMORY, "no memory for endpoint %s", uid);
    return NULL;
}

/* One for each address of each service; NULL on failure. */
static struct cluster_workload *external_at(struct gathering *gathering,
                                            const struct cluster_endpoint *endpoint)
{
    char ip[ADDR_TEXT_MAX];
    struct source_arena arena = {0};
    const struct cluster_service_slot *slot = gathering->slot;
    struct cluster_graph *graph = gathering->graph;
    bool host = is_host(cluster_graph_place(graph, &endpoint->ip));
    const char *uid =
        source_arena_format(&arena, "%s/discovery.k8s.io/EndpointSlice/%s/%s/%s", graph->cluster_id,
                            slot->ns, slot->name, addr_format(&endpoint->ip, ip));
    struct cluster_workload *workload = uid ? map_get_str(&graph->externals, uid) : NULL;
    if (!uid)
        err_set(gathering->err, ERR_NO_MEMORY, "no memory for an endpoint of %s/%s", slot->ns,
                slot->name);
    else if (!workload)
        workload = add_external(gathering, uid);
    const struct mesh_workload *known = workload ? workload->pod.workload : NULL;
    if (workload && (!known || (known->network_mode == MESH_NETWORK_HOST) != host)) {
        struct mesh_workload *facts;
        if (make_facts(gathering, endpoint, uid, host, &facts)) {
            mesh_workload_unref(workload->pod.workload);
            workload->pod.workload = facts;
            workload->dirty = true;
        } else if (!known) {
            free(map_remove_str(&graph->externals, uid));
            workload = NULL;
        }
    }
    source_arena_free(&arena);
    return workload;
}

/* --- who counts ------------------------------------------------------------------------------- */

/* The pod that the endpoint is; NULL when there is none, and then *external says whether that makes
 * it a workload of its own. */
static struct cluster_workload *pod_of(const struct gathering *gathering,
                                       const struct cluster_endpoint *endpoint, bool *external)
{
    const struct cluster_place *place = cluster_graph_place(gathering->graph, &endpoint->ip);
    *external = false;
    if (!endpoint->pod) {
        struct cluster_workload *owner = cluster_graph_owner(place);
        *external = !owner;
        return owner;
    }
    for (const struct cluster_at *at = place->pods; at; at = at->next) {
        const struct mesh_workload *pod = at->workload->pod.workload;
        if (strcmp(pod->name, endpoint->pod) == 0 &&
            strcmp(pod->namespace, gathering->slot->ns) == 0)
            return at->workload;
    }
    return NULL;
}

static bool counts(const struct gathering *gathering, const struct cluster_endpoint *endpoint,
                   const struct cluster_workload *pod)
{
    bool terminating = endpoint->terminating || (pod && pod->pod.terminating);
    bool serving = endpoint->serving && (!pod || pod->pod.ready);
    if (gathering->last_resort)
        return terminating && serving;
    if (gathering->slot->service.publish_not_ready)
        return endpoint->ready;
    return endpoint->ready && serving && !terminating;
}

/* --- links ------------------------------------------------------------------------------------ */

static struct cluster_link *add_link(struct gathering *gathering, struct cluster_workload *workload)
{
    unsigned count = gathering->slot->service.service->port_count;
    struct cluster_link *link = calloc(1, sizeof *link + count * sizeof link->targets[0]);
    if (!link) {
        err_set(gathering->err, ERR_NO_MEMORY, "no memory for the endpoints of %s/%s",
                gathering->slot->ns, gathering->slot->name);
        return NULL;
    }
    link->slot = gathering->slot;
    link->workload = workload;
    workload->pending = link;
    CLUSTER_LIST_ADD(&gathering->links, link, next_of_slot, link_of_slot);
    return link;
}

/* Ports of service and slice go together by name. */
static void add_ports(const struct cluster_service *service, const struct cluster_slice *slice,
                      struct cluster_link *link)
{
    for (unsigned i = 0; i < service->service->port_count; i++) {
        uint16_t *target = &link->targets[i];
        for (unsigned j = 0; j < slice->port_count; j++) {
            const struct cluster_slice_port *port = &slice->ports[j];
            /* Slices that disagree, for a moment, do so in whatever order they come. */
            if (strcmp(service->port_names[i], port->name) == 0 &&
                (*target == 0 || port->port < *target))
                *target = port->port;
        }
    }
}

static bool gather_endpoint(struct gathering *gathering, const struct cluster_endpoint *endpoint)
{
    bool external;
    struct cluster_workload *workload = pod_of(gathering, endpoint, &external);
    if ((!workload && !external) || !counts(gathering, endpoint, workload))
        return true;
    if (external)
        workload = external_at(gathering, endpoint);
    struct cluster_link *link = workload ? workload->pending : NULL;
    if (workload && !link)
        link = add_link(gathering, workload);
    if (link)
        add_ports(&gathering->slot->service, endpoint->slice, link);
    return link != NULL;
}

static bool gather_slices(struct gathering *gathering)
{
    const struct cluster_slice *slice = gathering->slot->slices;
    for (; slice; slice = slice->next_of_slot) {
        for (unsigned i = 0; i < slice->endpoint_count; i++) {
            if (!gather_endpoint(gathering, &slice->endpoints[i]))
                return false;
        }
    }
    return true;
}

static void forget(struct gathering *gathering)
{
    for (struct cluster_link *link = gathering->links; link; link = link->next_of_slot)
        link->workload->pending = NULL;
}

/* --- old and new ------------------------------------------------------------------------------ */

static void install(struct gathering *gathering)
{
    struct cluster_service_slot *slot = gathering->slot;
    /* Targets can be compared as long as the service's ports are as they were. */
    bool ports = slot->same_ports;
    size_t size = ports ? slot->service.service->port_count * sizeof(uint16_t) : 0;
    while (slot->links) {
        struct cluster_link *old = slot->links, *link = old->workload->pending;
        if (link)
            link->known = ports && memcmp(link->targets, old->targets, size) == 0;
        if (!link || !link->known)
            old->workload->dirty = true;
        cluster_graph_free_link(old);
    }
    forget(gathering);
    while (gathering->links) {
        struct cluster_link *link = gathering->links;
        struct cluster_workload *workload = link->workload;
        workload->dirty = workload->dirty || !link->known;
        CLUSTER_LIST_REMOVE(link, next_of_slot, link_of_slot);
        CLUSTER_LIST_ADD(&slot->links, link, next_of_slot, link_of_slot);
        CLUSTER_LIST_ADD(&workload->links, link, next_of_workload, link_of_workload);
    }
}

enum err_code cluster_members_gather(struct cluster_graph *graph, struct cluster_service_slot *slot,
                                     struct err *err)
{
    struct gathering gathering = {.graph = graph, .slot = slot, .err = err};
    bool good = true;
    if (slot->service.service) {
        good = gather_slices(&gathering);
        if (good && !gathering.links && !slot->service.publish_not_ready) {
            gathering.last_resort = true;
            good = gather_slices(&gathering);
        }
    }
    if (!good) {
        forget(&gathering);
        while (gathering.links)
            cluster_graph_free_link(gathering.links);
        return err->code;
    }
    slot->allow_unhealthy =
        slot->service.publish_not_ready || (gathering.last_resort && gathering.links);
    install(&gathering);
    slot->same_ports = slot->service.service != NULL;
    return ERR_OK;
}
