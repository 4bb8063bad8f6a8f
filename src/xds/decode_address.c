/* istio.workload.Address -> struct mesh_workload or struct mesh_service. */
#include <string.h>

#include "istio/workload/workload.pb-c.h"
#include "xds/decode.h"
#include "xds/wire.h"

static enum err_code no_memory(struct err *err)
{
    return err_set(err, ERR_NO_MEMORY, "out of memory for a resource");
}

static enum err_code decode_ports(struct xds_arena *arena, Istio__Workload__Port **from,
                                  size_t count, const struct mesh_port **out, unsigned *out_count,
                                  struct err *err)
{
    if (count > MESH_PORTS_MAX)
        return err_set(err, ERR_XDS_RESOURCE, "ports has %zu entries, at most %d are allowed",
                       count, MESH_PORTS_MAX);
    struct mesh_port *ports = xds_arena_take(arena, (count + 1) * sizeof *ports);
    if (!ports)
        return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        if (from[i]->service_port > UINT16_MAX || from[i]->target_port > UINT16_MAX)
            return err_set(err, ERR_XDS_RESOURCE, "ports[%zu] maps %u to %u, which is no port", i,
                           from[i]->service_port, from[i]->target_port);
        ports[i] =
            (struct mesh_port){(uint16_t)from[i]->service_port, (uint16_t)from[i]->target_port};
    }
    *out = ports;
    *out_count = (unsigned)count;
    return ERR_OK;
}

static enum err_code decode_links(struct xds_arena *arena, const Istio__Workload__Workload *from,
                                  struct mesh_workload *out, struct err *err)
{
    size_t count = from->n_services;
    if (count > MESH_WORKLOAD_LINKS_MAX)
        return err_set(err, ERR_XDS_RESOURCE, "services has %zu entries, at most %d are allowed",
                       count, MESH_WORKLOAD_LINKS_MAX);
    struct mesh_link *links = xds_arena_take(arena, (count + 1) * sizeof *links);
    if (!links)
        return no_memory(err);
    for (size_t i = 0; i < count; i++) {
        const Istio__Workload__Workload__ServicesEntry *entry = from->services[i];
        links[i].service = entry->key;
        if (!entry->value)
            continue;
        enum err_code code = decode_ports(arena, entry->value->ports, entry->value->n_ports,
                                          &links[i].ports, &links[i].port_count, err);
        if (code) {
            err_wrap(err, "services[%.128s]", entry->key);
            return code;
        }
    }
    out->links = links;
    out->link_count = (unsigned)count;
    return ERR_OK;
}

static enum err_code decode_addresses(struct xds_arena *arena,
                                      const Istio__Workload__Workload *from,
                                      struct mesh_workload *out, struct err *err)
{
    struct addr *addresses = xds_arena_take(arena, (from->n_addresses + 1) * sizeof *addresses);
    if (!addresses)
        return no_memory(err);
    for (size_t i = 0; i < from->n_addresses; i++) {
        if (!addr_from_bytes(&addresses[i], from->addresses[i].data, from->addresses[i].len))
            return err_set(err, ERR_XDS_RESOURCE,
                           "addresses[%zu] has %zu bytes, an IP address has 4 or 16", i,
                           from->addresses[i].len);
    }
    out->addresses = addresses;
    out->address_count = (unsigned)from->n_addresses;
    return ERR_OK;
}

static enum err_code decode_workload(struct xds_arena *arena, const Istio__Workload__Workload *from,
                                     struct mesh_workload **out, struct err *err)
{
    struct mesh_workload workload = {
        .uid = from->uid,
        .name = from->name,
        .namespace = from->namespace_,
        .service_account = from->service_account,
        .trust_domain = from->trust_domain,
        .network = from->network,
        .node = from->node,
        .cluster = from->cluster_id,
        .hostname = from->hostname,
        .canonical_name = from->canonical_name,
        .canonical_revision = from->canonical_revision,
        .workload_name = from->workload_name,
        .type = (unsigned)from->workload_type <= MESH_TYPE_JOB
                    ? (enum mesh_workload_type)from->workload_type
                    : MESH_TYPE_DEPLOYMENT,
        /* A number that we do not know stays: whoever would connect says that it cannot. */
        .tunnel = (enum mesh_tunnel)from->tunnel_protocol,
        .network_mode = from->network_mode == ISTIO__WORKLOAD__NETWORK_MODE__HOST_NETWORK
                            ? MESH_NETWORK_HOST
                            : MESH_NETWORK_STANDARD,
        .status = from->status == ISTIO__WORKLOAD__WORKLOAD_STATUS__HEALTHY ? MESH_HEALTHY
                                                                            : MESH_UNHEALTHY,
        .policies = (const char *const *)from->authorization_policies,
        .policy_count = (unsigned)from->n_authorization_policies,
    };
    enum err_code code = decode_addresses(arena, from, &workload, err);
    if (!code)
        code = decode_links(arena, from, &workload, err);
    return code ? code : mesh_workload_new(&workload, out, err);
}

/* Prefixes (an address with fewer bits than it has) are no virtual addresses that we route to: left
 * out. */
static enum err_code decode_virtual_addresses(struct xds_arena *arena,
                                              const Istio__Workload__Service *from,
                                              struct mesh_service *out, struct err *err)
{
    struct addr *addresses = xds_arena_take(arena, (from->n_addresses + 1) * sizeof *addresses);
    if (!addresses)
        return no_memory(err);
    unsigned count = 0;
    for (size_t i = 0; i < from->n_addresses; i++) {
        const Istio__Workload__NetworkAddress *at = from->addresses[i];
        if (!addr_from_bytes(&addresses[count], at->address.data, at->address.len))
            return err_set(err, ERR_XDS_RESOURCE,
                           "addresses[%zu] has %zu bytes, an IP address has 4 or 16", i,
                           at->address.len);
        if (at->has_length_case == ISTIO__WORKLOAD__NETWORK_ADDRESS__HAS_LENGTH_LENGTH &&
            at->length > at->address.len * 8)
            return err_set(err, ERR_XDS_RESOURCE, "addresses[%zu] has %u bits, more than there are",
                           i, at->length);
        if (at->has_length_case != ISTIO__WORKLOAD__NETWORK_ADDRESS__HAS_LENGTH_LENGTH ||
            at->length == at->address.len * 8)
            count++;
    }
    out->addresses = addresses;
    out->address_count = count;
    return ERR_OK;
}

static enum err_code decode_service(struct xds_arena *arena, const Istio__Workload__Service *from,
                                    struct mesh_service **out, struct err *err)
{
    const Istio__Workload__LoadBalancing *balancing = from->load_balancing;
    struct mesh_service service = {
        .name = from->name,
        .namespace = from->namespace_,
        .hostname = from->hostname,
        .subject_alt_names = (const char *const *)from->subject_alt_names,
        .subject_alt_name_count = (unsigned)from->n_subject_alt_names,
        .allow_unhealthy =
            balancing &&
            balancing->health_policy == ISTIO__WORKLOAD__LOAD_BALANCING__HEALTH_POLICY__ALLOW_ALL,
    };
    enum err_code code = decode_virtual_addresses(arena, from, &service, err);
    if (!code)
        code = decode_ports(arena, from->ports, from->n_ports, &service.ports, &service.port_count,
                            err);
    return code ? code : mesh_service_new(&service, out, err);
}

enum err_code xds_decode_address(const void *data, size_t len, struct xds_address *out,
                                 struct err *err)
{
    struct err local;
    err = err ? err : &local;
    struct xds_arena arena;
    xds_arena_init(&arena);
    struct xds_address address = {0};
    enum err_code code = ERR_OK;
    const Istio__Workload__Address *from = xds_unpack(&arena, &istio__workload__address__descriptor,
                                                      data, len, XDS_GROWTH_RESOURCE, err);
    if (!from)
        code = err->code;
    else if (from->type_case == ISTIO__WORKLOAD__ADDRESS__TYPE_WORKLOAD && from->workload)
        code = decode_workload(&arena, from->workload, &address.workload, err);
    else if (from->type_case == ISTIO__WORKLOAD__ADDRESS__TYPE_SERVICE && from->service)
        code = decode_service(&arena, from->service, &address.service, err);
    else
        code = err_set(err, ERR_XDS_RESOURCE, "the address is neither a workload nor a service");
    xds_arena_deinit(&arena);
    if (!code)
        *out = address;
    return code;
}
