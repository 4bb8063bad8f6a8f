#include "xds/encode.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "istio/workload/workload.pb-c.h"
#include "xds/encode_policy.h"
#include "xds/types.h"
#include "xds/wire.h"

/* protobuf-c's fields are not const; packing only reads them. */
static char *text(const char *from)
{
    return (char *)(uintptr_t)from;
}

static ProtobufCBinaryData bytes(const void *data, size_t len)
{
    return (ProtobufCBinaryData){len, (uint8_t *)(uintptr_t)data};
}

static enum err_code no_memory(struct err *err)
{
    return err_set(err, ERR_NO_MEMORY, "out of memory for a resource");
}

/* Packs `message` as the body of `spec` and makes the resource. */
static enum err_code make(const ProtobufCMessage *message, enum xds_type type,
                          struct xds_resource_spec *spec, struct xds_resource **out,
                          struct err *err)
{
    void *body;
    if (!xds_pack(message, &body, &spec->body_len))
        return no_memory(err);
    spec->body = body;
    spec->type_url = xds_type_url(type);
    enum err_code code = xds_resource_new(spec, out, err);
    free(body);
    return code;
}

/* "network/ip" for every address. */
static const char *const *make_aliases(struct xds_arena *arena, const char *network,
                                       const struct addr *addresses, unsigned count)
{
    const char **aliases = xds_arena_take(arena, (count + 1) * sizeof *aliases);
    for (unsigned i = 0; aliases && i < count; i++) {
        char ip[ADDR_TEXT_MAX];
        addr_format(&addresses[i], ip);
        size_t size = strlen(network) + strlen(ip) + 2;
        char *alias = xds_arena_take(arena, size);
        if (!alias)
            return NULL;
        snprintf(alias, size, "%s/%s", network, ip);
        aliases[i] = alias;
    }
    return aliases;
}

static Istio__Workload__Port **make_ports(struct xds_arena *arena, const struct mesh_port *ports,
                                          unsigned count)
{
    Istio__Workload__Port **list = xds_arena_take(arena, (count + 1) * sizeof *list);
    Istio__Workload__Port *items = xds_arena_take(arena, (count + 1) * sizeof *items);
    if (!list || !items)
        return NULL;
    for (unsigned i = 0; i < count; i++) {
        istio__workload__port__init(&items[i]);
        items[i].service_port = ports[i].service_port;
        items[i].target_port = ports[i].target_port;
        list[i] = &items[i];
    }
    return list;
}

/* A services map entry with the port list that it holds. */
struct link_message {
    Istio__Workload__Workload__ServicesEntry entry;
    Istio__Workload__PortList ports;
};

static bool add_links(struct xds_arena *arena, const struct mesh_workload *from,
                      Istio__Workload__Workload *to, const char ***groups)
{
    unsigned count = from->link_count;
    to->services = xds_arena_take(arena, (count + 1) * sizeof *to->services);
    struct link_message *links = xds_arena_take(arena, (count + 1) * sizeof *links);
    *groups = xds_arena_take(arena, (count + 1) * sizeof **groups);
    if (!to->services || !links || !*groups)
        return false;
    for (unsigned i = 0; i < count; i++) {
        istio__workload__workload__services_entry__init(&links[i].entry);
        istio__workload__port_list__init(&links[i].ports);
        links[i].entry.key = text(from->links[i].service);
        links[i].entry.value = &links[i].ports;
        links[i].ports.n_ports = from->links[i].port_count;
        links[i].ports.ports = make_ports(arena, from->links[i].ports, from->links[i].port_count);
        if (!links[i].ports.ports)
            return false;
        to->services[i] = &links[i].entry;
        (*groups)[i] = from->links[i].service;
    }
    to->n_services = count;
    return true;
}

static bool add_addresses(struct xds_arena *arena, const struct mesh_workload *from,
                          Istio__Workload__Workload *to)
{
    to->addresses = xds_arena_take(arena, (from->address_count + 1) * sizeof *to->addresses);
    if (!to->addresses)
        return false;
    for (unsigned i = 0; i < from->address_count; i++)
        to->addresses[i] = bytes(from->addresses[i].bytes, from->addresses[i].len);
    to->n_addresses = from->address_count;
    return true;
}

static void add_texts(const struct mesh_workload *from, const char *trust_domain,
                      Istio__Workload__Workload *to)
{
    to->uid = text(from->uid);
    to->name = text(from->name);
    to->namespace_ = text(from->namespace);
    to->network = text(from->network);
    to->node = text(from->node);
    to->cluster_id = text(from->cluster);
    to->hostname = text(from->hostname);
    to->canonical_name = text(from->canonical_name);
    to->canonical_revision = text(from->canonical_revision);
    to->workload_name = text(from->workload_name);
    if (strcmp(from->trust_domain, trust_domain) != 0)
        to->trust_domain = text(from->trust_domain);
    if (strcmp(from->service_account, "default") != 0)
        to->service_account = text(from->service_account);
}

enum err_code xds_encode_workload(const struct mesh_workload *workload, const char *trust_domain,
                                  struct xds_resource **out, struct err *err)
{
    struct xds_arena arena;
    xds_arena_init(&arena);
    Istio__Workload__Workload message = ISTIO__WORKLOAD__WORKLOAD__INIT;
    add_texts(workload, trust_domain, &message);
    message.tunnel_protocol = (Istio__Workload__TunnelProtocol)workload->tunnel;
    message.workload_type = (Istio__Workload__WorkloadType)workload->type;
    message.status = (Istio__Workload__WorkloadStatus)workload->status;
    message.network_mode = (Istio__Workload__NetworkMode)workload->network_mode;
    message.n_authorization_policies = workload->policy_count;
    message.authorization_policies = (char **)(uintptr_t)workload->policies;
    Istio__Workload__Address address = ISTIO__WORKLOAD__ADDRESS__INIT;
    address.type_case = ISTIO__WORKLOAD__ADDRESS__TYPE_WORKLOAD;
    address.workload = &message;

    const char **groups;
    struct xds_resource_spec spec = {.name = workload->uid,
                                     .alias_count = workload->address_count,
                                     .group_count = workload->link_count};
    spec.aliases =
        make_aliases(&arena, workload->network, workload->addresses, workload->address_count);
    enum err_code code;
    if (!spec.aliases || !add_addresses(&arena, workload, &message) ||
        !add_links(&arena, workload, &message, &groups)) {
        code = no_memory(err);
    } else {
        spec.groups = groups;
        code = make(&address.base, XDS_ADDRESS, &spec, out, err);
    }
    xds_arena_deinit(&arena);
    return code;
}

static bool add_virtual_addresses(struct xds_arena *arena, const struct mesh_service *from,
                                  Istio__Workload__Service *to)
{
    size_t count = from->address_count;
    to->addresses = xds_arena_take(arena, (count + 1) * sizeof *to->addresses);
    Istio__Workload__NetworkAddress *items = xds_arena_take(arena, (count + 1) * sizeof *items);
    if (!to->addresses || !items)
        return false;
    for (size_t i = 0; i < count; i++) {
        istio__workload__network_address__init(&items[i]);
        items[i].address = bytes(from->addresses[i].bytes, from->addresses[i].len);
        to->addresses[i] = &items[i];
    }
    to->n_addresses = count;
    return true;
}

enum err_code xds_encode_service(const struct mesh_service *service, struct xds_resource **out,
                                 struct err *err)
{
    struct xds_arena arena;
    xds_arena_init(&arena);
    Istio__Workload__Service message = ISTIO__WORKLOAD__SERVICE__INIT;
    Istio__Workload__LoadBalancing balancing = ISTIO__WORKLOAD__LOAD_BALANCING__INIT;
    Istio__Workload__Address address = ISTIO__WORKLOAD__ADDRESS__INIT;
    address.type_case = ISTIO__WORKLOAD__ADDRESS__TYPE_SERVICE;
    address.service = &message;
    message.name = text(service->name);
    message.namespace_ = text(service->namespace);
    message.hostname = text(service->hostname);
    message.n_subject_alt_names = service->subject_alt_name_count;
    message.subject_alt_names = (char **)(uintptr_t)service->subject_alt_names;
    message.n_ports = service->port_count;
    message.ports = make_ports(&arena, service->ports, service->port_count);
    if (service->allow_unhealthy) {
        balancing.health_policy = ISTIO__WORKLOAD__LOAD_BALANCING__HEALTH_POLICY__ALLOW_ALL;
        message.load_balancing = &balancing;
    }
    struct xds_resource_spec spec = {.name = service->key, .alias_count = service->address_count};
    spec.aliases = make_aliases(&arena, "", service->addresses, service->address_count);
    enum err_code code;
    if (!spec.aliases || !message.ports || !add_virtual_addresses(&arena, service, &message))
        code = no_memory(err);
    else
        code = make(&address.base, XDS_ADDRESS, &spec, out, err);
    xds_arena_deinit(&arena);
    return code;
}

enum err_code xds_encode_policy(const struct mesh_policy *policy, struct xds_resource **out,
                                struct err *err)
{
    struct xds_arena arena;
    xds_arena_init(&arena);
    Istio__Security__Authorization message;
    struct xds_resource_spec spec = {.name = policy->key};
    enum err_code code = xds_policy_message(&arena, policy, &message)
                             ? make(&message.base, XDS_AUTHORIZATION, &spec, out, err)
                             : no_memory(err);
    xds_arena_deinit(&arena);
    return code;
}
