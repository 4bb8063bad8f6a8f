#include "control/cluster_slice.h"

#include <stdlib.h>
#include <string.h>

#include "control/cluster_json.h"
#include "mesh/block.h"

/* A null port means that the endpoints do not say: nobody can be sent there. */
static unsigned lay_out_ports(struct mesh_block *block, const json_t *object,
                              struct cluster_slice_port *ports)
{
    size_t index;
    unsigned count = 0;
    const json_t *item;
    json_array_foreach(json_object_get(object, "ports"), index, item)
    {
        const char *protocol = cluster_json_text(item, "protocol");
        const char *name = cluster_json_text(item, "name");
        uint16_t port = cluster_json_port(item, "port");
        if (port == 0 || (protocol && strcmp(protocol, "TCP") != 0))
            continue;
        const char *copy = mesh_block_text(block, name);
        if (ports)
            ports[count] = (struct cluster_slice_port){copy, port};
        count++;
    }
    return count;
}

/* The pod that an endpoint names. A slice speaks for its own namespace only. */
static const char *pod_of(const char *ns, const json_t *endpoint)
{
    const json_t *target = json_object_get(endpoint, "targetRef");
    const char *kind = cluster_json_text(target, "kind"), *name = cluster_json_text(target, "name");
    const char *space = cluster_json_text(target, "namespace");
    if (!kind || !name || strcmp(kind, "Pod") != 0 || (space && strcmp(space, ns) != 0))
        return NULL;
    return name;
}

/* An endpoint has one address in practice; several would be the same endpoint again. What a
 * condition does not say is as the API defines it: ready, serving as it is ready, not terminating.
 */
static unsigned lay_out_endpoints(struct mesh_block *block, const char *ns, const json_t *object,
                                  struct cluster_endpoint *endpoints)
{
    size_t index;
    unsigned count = 0;
    const json_t *item;
    json_array_foreach(json_object_get(object, "endpoints"), index, item)
    {
        struct cluster_endpoint endpoint = {0};
        const char *text = json_string_value(json_array_get(json_object_get(item, "addresses"), 0));
        const char *pod = pod_of(ns, item);
        if (!text || !addr_parse(&endpoint.ip, text))
            continue;
        endpoint.pod = pod ? mesh_block_text(block, pod) : NULL;
        endpoint.ready = cluster_json_flag(item, "conditions.ready", true);
        endpoint.serving = cluster_json_flag(item, "conditions.serving", endpoint.ready);
        endpoint.terminating = cluster_json_flag(item, "conditions.terminating", false);
        if (endpoints)
            endpoints[count] = endpoint;
        count++;
    }
    return count;
}

static void lay_out(struct mesh_block *block, const char *ns, const char *service,
                    const json_t *object)
{
    size_t ports = json_array_size(json_object_get(object, "ports"));
    size_t endpoints = json_array_size(json_object_get(object, "endpoints"));
    struct cluster_slice *out = mesh_block_take(block, sizeof *out);
    struct cluster_slice_port *port_items = mesh_block_take(block, ports * sizeof *port_items);
    struct cluster_endpoint *items = mesh_block_take(block, endpoints * sizeof *items);
    const char *name = mesh_block_text(block, service);
    unsigned port_count = lay_out_ports(block, object, port_items);
    unsigned count = lay_out_endpoints(block, ns, object, items);
    if (!out)
        return;
    *out = (struct cluster_slice){.service = name,
                                  .ports = port_items,
                                  .port_count = port_count,
                                  .endpoints = items,
                                  .endpoint_count = count};
    for (unsigned i = 0; i < count; i++)
        items[i].slice = out;
}

enum err_code cluster_slice_read(const char *ns, const json_t *object, struct cluster_slice **out,
                                 struct err *err)
{
    const json_t *labels = cluster_json_at(object, "metadata.labels");
    const char *service = json_string_value(json_object_get(labels, "kubernetes.io/service-name"));
    const char *type = cluster_json_text(object, "addressType");
    struct mesh_block block = {0};
    *out = NULL;
    if (!service || !type || (strcmp(type, "IPv4") != 0 && strcmp(type, "IPv6") != 0))
        return ERR_OK;
    lay_out(&block, ns, service, object);
    block.base = malloc(block.used);
    if (!block.base)
        return err_set(err, ERR_NO_MEMORY, "no memory for a slice of service %s/%s", ns, service);
    block.used = 0;
    lay_out(&block, ns, service, object);
    *out = (struct cluster_slice *)(void *)block.base;
    return ERR_OK;
}

static bool equal_endpoints(const struct cluster_endpoint *a, const struct cluster_endpoint *b)
{
    bool same_pod = a->pod && b->pod ? strcmp(a->pod, b->pod) == 0 : a->pod == b->pod;
    return same_pod && addr_equal(&a->ip, &b->ip) && a->ready == b->ready &&
           a->serving == b->serving && a->terminating == b->terminating;
}

bool cluster_slice_equal(const struct cluster_slice *a, const struct cluster_slice *b)
{
    if (!a || !b)
        return a == b;
    if (strcmp(a->service, b->service) != 0 || a->port_count != b->port_count ||
        a->endpoint_count != b->endpoint_count)
        return false;
    for (unsigned i = 0; i < a->port_count; i++) {
        if (a->ports[i].port != b->ports[i].port || strcmp(a->ports[i].name, b->ports[i].name) != 0)
            return false;
    }
    for (unsigned i = 0; i < a->endpoint_count; i++) {
        if (!equal_endpoints(&a->endpoints[i], &b->endpoints[i]))
            return false;
    }
    return true;
}
