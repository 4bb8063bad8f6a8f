#include "xds/resource.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "mesh/block.h"
#include "xds/wire.h"

enum { WIRE_MAX = 3 << 20 };

/* FNV-1a, 64 bits. */
static uint64_t hash_more(uint64_t hash, const void *data, size_t len)
{
    const uint8_t *at = data;
    for (size_t i = 0; i < len; i++)
        hash = (hash ^ at[i]) * 1099511628211u;
    return hash;
}

static uint64_t hash_spec(const struct xds_resource_spec *spec)
{
    uint64_t hash = hash_more(14695981039346656037u, spec->body, spec->body_len);
    /* With the null, so that ["ab"] is not ["a", "b"]. */
    for (unsigned i = 0; i < spec->alias_count; i++)
        hash = hash_more(hash, spec->aliases[i], strlen(spec->aliases[i]) + 1);
    return hash;
}

struct plan {
    const struct xds_resource_spec *spec;
    struct xds_resource head;
    const ProtobufCMessage *message;
};

static void lay_out(const struct plan *plan, struct mesh_block *block)
{
    const struct xds_resource_spec *spec = plan->spec;
    struct xds_resource *out = mesh_block_take(block, sizeof *out);
    struct xds_resource copy = plan->head;
    copy.name = mesh_block_text(block, spec->name);
    copy.aliases = mesh_block_texts(block, spec->aliases, spec->alias_count);
    copy.groups = mesh_block_texts(block, spec->groups, spec->group_count);
    uint8_t *wire = mesh_block_take(block, copy.wire_len);
    if (!out)
        return;
    protobuf_c_message_pack(plan->message, wire);
    copy.wire = wire;
    *out = copy;
    ref_init(&out->ref);
}

enum err_code xds_resource_new(const struct xds_resource_spec *spec, struct xds_resource **out,
                               struct err *err)
{
    struct plan plan = {.spec = spec};
    plan.head.alias_count = spec->alias_count;
    plan.head.group_count = spec->group_count;
    plan.head.hash = hash_spec(spec);
    snprintf(plan.head.version, sizeof plan.head.version, "%016" PRIx64, plan.head.hash);

    Google__Protobuf__Any any = GOOGLE__PROTOBUF__ANY__INIT;
    Envoy__Service__Discovery__V3__Resource message = ENVOY__SERVICE__DISCOVERY__V3__RESOURCE__INIT;
    /* protobuf-c's fields are not const; packing only reads them. */
    any.type_url = (char *)(uintptr_t)spec->type_url;
    any.value = (ProtobufCBinaryData){spec->body_len, (uint8_t *)(uintptr_t)spec->body};
    message.version = plan.head.version;
    message.resource = &any;
    message.name = (char *)(uintptr_t)spec->name;
    message.n_aliases = spec->alias_count;
    message.aliases = (char **)(uintptr_t)spec->aliases;
    plan.message = &message.base;
    plan.head.wire_len = protobuf_c_message_get_packed_size(&message.base);
    if (plan.head.wire_len > WIRE_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "resource %.128s has %zu bytes, at most %d fit into a response", spec->name,
                       plan.head.wire_len, WIRE_MAX);

    struct mesh_block block = {0};
    lay_out(&plan, &block);
    block.base = malloc(block.used);
    if (!block.base)
        return err_set(err, ERR_NO_MEMORY, "out of memory for resource %.128s", spec->name);
    block.used = 0;
    lay_out(&plan, &block);
    *out = (struct xds_resource *)(void *)block.base;
    return ERR_OK;
}

struct xds_resource *xds_resource_ref(struct xds_resource *resource)
{
    ref_get(&resource->ref);
    return resource;
}

void xds_resource_unref(struct xds_resource *resource)
{
    if (resource && ref_put(&resource->ref))
        free(resource);
}
