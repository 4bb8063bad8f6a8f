#include "control/cluster_service.h"

#include <stdlib.h>
#include <string.h>

#include "control/cluster_json.h"
#include "control/compile_record.h"
#include "mesh/block.h"

/* spec.clusterIPs, or spec.clusterIP alone; "None" is the word for headless. */
static void read_addresses(struct source_arena *arena, const json_t *object,
                           struct mesh_service *draft)
{
    size_t index;
    const json_t *item, *list = cluster_json_at(object, "spec.clusterIPs");
    const char *single = cluster_json_text(object, "spec.clusterIP");
    struct addr *items = source_arena_array(arena, json_array_size(list) + 1, sizeof *items);
    if (!items)
        return;
    if (json_array_size(list) == 0 && single && addr_parse(&items[0], single))
        draft->address_count = 1;
    json_array_foreach(list, index, item)
    {
        const char *text = json_string_value(item);
        draft->address_count += text && addr_parse(&items[draft->address_count], text);
    }
    draft->addresses = items;
}

static uint16_t target_of(const json_t *port, uint16_t service_port, bool selects)
{
    if (!selects)
        return 0;
    return json_object_get(port, "targetPort") ? cluster_json_port(port, "targetPort")
                                               : service_port;
}

static void read_ports(struct source_arena *arena, const json_t *object, struct mesh_service *draft,
                       const char ***names)
{
    size_t index;
    const json_t *item, *list = cluster_json_at(object, "spec.ports");
    bool selects = !cluster_json_says_nothing(cluster_json_at(object, "spec.selector"));
    struct mesh_port *ports = source_arena_array(arena, json_array_size(list) + 1, sizeof *ports);
    *names = source_arena_array(arena, json_array_size(list) + 1, sizeof **names);
    if (!ports || !*names)
        return;
    json_array_foreach(list, index, item)
    {
        const char *protocol = cluster_json_text(item, "protocol");
        const char *name = cluster_json_text(item, "name");
        uint16_t port = cluster_json_port(item, "port");
        if (port == 0 || (protocol && strcmp(protocol, "TCP") != 0))
            continue;
        (*names)[draft->port_count] = name ? name : "";
        ports[draft->port_count++] = (struct mesh_port){port, target_of(item, port, selects)};
    }
    draft->ports = ports;
}

static const char *const *copy_names(const char *const *names, unsigned count)
{
    struct mesh_block block = {0};
    mesh_block_texts(&block, names, count);
    block.base = malloc(block.used + 1);
    if (!block.base)
        return NULL;
    block.used = 0;
    const char *const *copy = mesh_block_texts(&block, names, count);
    return copy ? copy : (const char *const *)(void *)block.base;
}

static enum err_code make(struct source_arena *arena, const char *ns, const char *name,
                          const json_t *object, struct cluster_service *out, struct err *err)
{
    const char **names = NULL;
    const char *key = compile_service_key(arena, ns, name);
    struct mesh_service draft = {.name = name, .namespace = ns};
    out->publish_not_ready = cluster_json_flag(object, "spec.publishNotReadyAddresses", false);
    read_addresses(arena, object, &draft);
    read_ports(arena, object, &draft, &names);
    if (!arena->failed)
        out->port_names = copy_names(names, draft.port_count);
    if (!out->port_names)
        return err_set(err, ERR_NO_MEMORY, "no memory for service %s/%s", ns, name);
    draft.hostname = strchr(key, '/') + 1;
    return mesh_service_new(&draft, &out->service, err);
}

enum err_code cluster_service_read(const char *ns, const char *name, const json_t *object,
                                   struct cluster_service *out, struct err *err)
{
    struct source_arena arena = {0};
    const char *type = cluster_json_text(object, "spec.type");
    *out = (struct cluster_service){0};
    if (type && strcmp(type, "ExternalName") == 0)
        return ERR_OK;
    enum err_code code = make(&arena, ns, name, object, out, err);
    source_arena_free(&arena);
    if (code != ERR_OK)
        cluster_service_deinit(out);
    return code;
}

bool cluster_service_equal(const struct cluster_service *a, const struct cluster_service *b)
{
    const struct mesh_service *left = a->service, *right = b->service;
    if (!left || !right)
        return left == right;
    if (a->publish_not_ready != b->publish_not_ready ||
        left->address_count != right->address_count || left->port_count != right->port_count)
        return false;
    for (unsigned i = 0; i < left->address_count; i++) {
        if (!addr_equal(&left->addresses[i], &right->addresses[i]))
            return false;
    }
    for (unsigned i = 0; i < left->port_count; i++) {
        if (left->ports[i].service_port != right->ports[i].service_port ||
            left->ports[i].target_port != right->ports[i].target_port ||
            strcmp(a->port_names[i], b->port_names[i]) != 0)
            return false;
    }
    return true;
}

void cluster_service_deinit(struct cluster_service *service)
{
    mesh_service_unref(service->service);
    free((void *)(uintptr_t)service->port_names);
    *service = (struct cluster_service){0};
}
