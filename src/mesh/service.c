#include "mesh/service.h"

#include <stdlib.h>
#include <string.h>

#include "mesh/block.h"
#include "mesh/check.h"

static enum err_code check(const struct mesh_service *from, struct err *err)
{
    if (!from->hostname || !*from->hostname)
        return err_set(err, ERR_XDS_RESOURCE, "hostname is empty");
    enum err_code code = mesh_check_segment("namespace", from->namespace, err);
    if (!code)
        code = mesh_check_text("hostname", from->hostname, err);
    if (!code)
        code = mesh_check_text("name", from->name, err);
    if (!code)
        code = mesh_check_count("addresses", from->address_count, MESH_SERVICE_ADDRESSES_MAX, err);
    if (!code)
        code = mesh_check_count("ports", from->port_count, MESH_PORTS_MAX, err);
    if (!code)
        code = mesh_check_texts("subject_alt_names", from->subject_alt_names,
                                from->subject_alt_name_count, MESH_PORTS_MAX, err);
    return code;
}

/* "namespace/hostname" */
static const char *lay_out_key(const struct mesh_service *from, struct mesh_block *block)
{
    size_t space = strlen(from->namespace), host = strlen(from->hostname);
    char *key = mesh_block_take(block, space + host + 2);
    if (key) {
        memcpy(key, from->namespace, space);
        key[space] = '/';
        memcpy(key + space + 1, from->hostname, host + 1);
    }
    return key;
}

static void lay_out(const struct mesh_service *from, struct mesh_block *block)
{
    struct mesh_service *out = mesh_block_take(block, sizeof *out);
    struct mesh_service copy = *from;
    copy.key = lay_out_key(from, block);
    copy.name = mesh_block_text(block, from->name);
    copy.namespace = mesh_block_text(block, from->namespace);
    copy.hostname = mesh_block_text(block, from->hostname);
    copy.addresses =
        mesh_block_array(block, from->addresses, from->address_count, sizeof(struct addr));
    copy.ports = mesh_block_array(block, from->ports, from->port_count, sizeof(struct mesh_port));
    copy.subject_alt_names =
        mesh_block_texts(block, from->subject_alt_names, from->subject_alt_name_count);
    if (out) {
        *out = copy;
        ref_init(&out->ref);
        out->hash = mesh_hash(out->key);
    }
}

enum err_code mesh_service_new(const struct mesh_service *from, struct mesh_service **out,
                               struct err *err)
{
    enum err_code code = check(from, err);
    if (code)
        return code;
    struct mesh_block block = {0};
    lay_out(from, &block);
    block.base = malloc(block.used);
    if (!block.base)
        return err_set(err, ERR_NO_MEMORY, "out of memory for service %.128s", from->hostname);
    block.used = 0;
    lay_out(from, &block);
    *out = (struct mesh_service *)(void *)block.base;
    return ERR_OK;
}

struct mesh_service *mesh_service_ref(struct mesh_service *service)
{
    ref_get(&service->ref);
    return service;
}

void mesh_service_unref(struct mesh_service *service)
{
    if (service && ref_put(&service->ref))
        free(service);
}

const struct mesh_port *mesh_service_port(const struct mesh_service *service, uint16_t service_port)
{
    for (unsigned i = 0; i < service->port_count; i++) {
        if (service->ports[i].service_port == service_port)
            return &service->ports[i];
    }
    return NULL;
}
