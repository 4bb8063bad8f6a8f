#include "control/cluster_mtls.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "control/cluster_json.h"

/* --- reading ---------------------------------------------------------------------------------- */

static enum cluster_mode read_mode(const json_t *json, const char *field,
                                   struct cluster_finding *finding)
{
    const char *text = json_string_value(json);
    if (cluster_json_says_nothing(json) || (text && strcmp(text, "UNSET") == 0))
        return CLUSTER_MODE_UNSET;
    if (text && strcmp(text, "STRICT") == 0)
        return CLUSTER_MODE_STRICT;
    if (text && strcmp(text, "PERMISSIVE") == 0)
        return CLUSTER_MODE_PERMISSIVE;
    if (text && strcmp(text, "DISABLE") == 0) {
        cluster_finding_add(finding, CLUSTER_UNSUPPORTED,
                            "%s DISABLE is held as PERMISSIVE: plaintext gets in, and mutual TLS, "
                            "which peers of the mesh go on using, gets in too",
                            field);
        return CLUSTER_MODE_PERMISSIVE;
    }
    cluster_finding_add(finding, CLUSTER_INVALID,
                        "%s is \"%.64s\", expected STRICT, PERMISSIVE, DISABLE or UNSET: it is "
                        "held as STRICT",
                        field, text ? text : "no text");
    return CLUSTER_MODE_STRICT;
}

/* The number of a port, 0 when it is none. */
static uint16_t parse_port(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long number = digits > 0 && digits <= 5 && text[0] != '0' && text[digits] == 0
                               ? strtoul(text, NULL, 10)
                               : 0;
    return number <= UINT16_MAX ? (uint16_t)number : 0;
}

static bool read_ports(const json_t *json, struct cluster_mtls *mtls)
{
    const char *key;
    const json_t *value;
    mtls->ports = calloc(json_object_size(json) + 1, sizeof *mtls->ports);
    if (!mtls->ports)
        return false;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        char field[64];
        uint16_t number = parse_port(key);
        if (number == 0) {
            cluster_finding_add(&mtls->finding, CLUSTER_INVALID,
                                "portLevelMtls has the key \"%.64s\", expected a port from 1 to "
                                "65535: it is left out",
                                key);
            continue;
        }
        snprintf(field, sizeof field, "portLevelMtls[%u].mode", number);
        mtls->ports[mtls->port_count++] = (struct cluster_mtls_port){
            number, read_mode(json_object_get(value, "mode"), field, &mtls->finding)};
    }
    return true;
}

static enum err_code read_spec(const json_t *object, bool root, struct cluster_mtls *mtls,
                               struct err *err)
{
    const json_t *spec = json_object_get(object, "spec");
    const json_t *ports = json_object_get(spec, "portLevelMtls");
    const char *created = cluster_json_text(object, "metadata.creationTimestamp");
    snprintf(mtls->created, sizeof mtls->created, "%s", created ? created : "");
    mtls->generation = json_integer_value(cluster_json_at(object, "metadata.generation"));
    enum err_code code =
        cluster_selector_read(json_object_get(spec, "selector"), &mtls->selector, err);
    if (code == ERR_NO_MEMORY)
        return code;
    if (code != ERR_OK) {
        cluster_finding_add(&mtls->finding, CLUSTER_INVALID, "%s: the object is not in force",
                            err->text);
        return ERR_OK;
    }
    if (root && mtls->selector->count > 0) {
        cluster_finding_add(&mtls->finding, CLUSTER_UNSUPPORTED,
                            "a selector has no meaning in this namespace, whose "
                            "PeerAuthentications are for the whole mesh: the object is not in "
                            "force");
        free(mtls->selector);
        mtls->selector = NULL;
        return ERR_OK;
    }
    mtls->mode = read_mode(cluster_json_at(spec, "mtls.mode"), "mtls.mode", &mtls->finding);
    if (cluster_json_says_nothing(ports))
        return ERR_OK;
    if (mtls->selector->count == 0) {
        cluster_finding_add(&mtls->finding, CLUSTER_INVALID,
                            "portLevelMtls is for those that select workloads: the ports are left "
                            "out");
        return ERR_OK;
    }
    return read_ports(ports, mtls) ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory for ports");
}

enum err_code cluster_mtls_read(const char *key, unsigned group, bool root, const json_t *object,
                                struct cluster_mtls **out, struct err *err)
{
    struct cluster_mtls *mtls = calloc(1, sizeof *mtls);
    if (mtls) {
        mtls->key = strdup(key);
        mtls->group = group;
    }
    enum err_code code = mtls && mtls->key ? read_spec(object, root, mtls, err)
                                           : err_set(err, ERR_NO_MEMORY, "no memory for %s", key);
    if (code != ERR_OK) {
        cluster_mtls_free(mtls);
        return code;
    }
    cluster_finding_finish(&mtls->finding, "in force as it is written");
    *out = mtls;
    return ERR_OK;
}

static bool equal_ports(const struct cluster_mtls *a, const struct cluster_mtls *b)
{
    for (unsigned i = 0; i < a->port_count; i++) {
        unsigned j = 0;
        while (j < b->port_count && a->ports[i].port != b->ports[j].port)
            j++;
        if (j == b->port_count || a->ports[i].mode != b->ports[j].mode)
            return false;
    }
    return a->port_count == b->port_count;
}

bool cluster_mtls_equal(const struct cluster_mtls *a, const struct cluster_mtls *b)
{
    return !a->selector == !b->selector &&
           (!a->selector || cluster_selector_equal(a->selector, b->selector)) &&
           a->mode == b->mode && equal_ports(a, b) && strcmp(a->created, b->created) == 0 &&
           a->generation == b->generation && cluster_finding_equal(&a->finding, &b->finding);
}

void cluster_mtls_free(struct cluster_mtls *mtls)
{
    if (!mtls)
        return;
    free(mtls->selector);
    free(mtls->ports);
    free(mtls->key);
    free(mtls);
}

/* --- meaning ---------------------------------------------------------------------------------- */

const struct cluster_mtls *cluster_mtls_older(const struct cluster_mtls *mtls,
                                              const struct cluster_mtls *other)
{
    if (!mtls || !other)
        return mtls ? mtls : other;
    int order = strcmp(mtls->created, other->created);
    if (order == 0)
        order = strcmp(mtls->key, other->key);
    if (order == 0)
        order = (int)mtls->group - (int)other->group;
    return order < 0 ? mtls : other;
}

static enum cluster_mode mode_of(const struct cluster_mtls *mtls)
{
    return mtls ? mtls->mode : CLUSTER_MODE_UNSET;
}

bool cluster_mtls_guard(struct source_arena *arena, const struct cluster_mtls_levels *levels,
                        enum mesh_scope scope, const char *ns, struct source_guard *out)
{
    const struct cluster_mtls *selecting = levels->workload;
    unsigned port_count = selecting ? selecting->port_count : 0;
    enum cluster_mode mode = mode_of(selecting);
    if (mode == CLUSTER_MODE_UNSET)
        mode = mode_of(levels->ns);
    if (mode == CLUSTER_MODE_UNSET)
        mode = mode_of(levels->mesh);
    *out =
        (struct source_guard){.scope = scope, .ns = ns, .all_ports = mode == CLUSTER_MODE_STRICT};
    out->ports = source_arena_array(arena, port_count + 1, sizeof *out->ports);
    for (unsigned i = 0; out->ports && i < port_count; i++) {
        const struct cluster_mtls_port *port = &selecting->ports[i];
        if (port->mode != CLUSTER_MODE_UNSET &&
            (port->mode == CLUSTER_MODE_STRICT) != out->all_ports)
            out->ports[out->port_count++] = port->port;
    }
    if (!out->all_ports && out->port_count == 0)
        return false;
    /* No object of Kubernetes has a colon in its name. */
    source_guard_name(arena, out, "mtls:strict");
    return out->key != NULL;
}
