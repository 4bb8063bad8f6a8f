#include "control/cluster_values.h"

#include <string.h>

#include "control/source_pattern.h"
#include "mesh/check.h"
#include "mesh/workload.h"

static bool refuse(struct err *err, const char *text, const char *expected)
{
    err_set(err, ERR_INVALID, "holds \"%.100s\", expected %s", text, expected);
    return false;
}

/* A star counts at one end only. In the middle it would be a plain character that no name has, and
 * a DENY rule would silently never match. */
static bool read_pattern(struct source_arena *arena, const char *text, struct mesh_string *out,
                         struct err *err)
{
    size_t len = strlen(text);
    unsigned stars = 0;
    for (size_t i = 0; i < len; i++)
        stars += text[i] == '*' ? (i == 0 || i + 1 == len ? 1 : 2) : 0;
    if (len == 0 || len > MESH_TEXT_MAX || stars > 1)
        return refuse(err, text, "a text, text*, *text or *");
    *out = source_pattern(arena, text);
    return true;
}

/* In a policy "cluster.local" stands for the mesh's own trust domain, whatever that is: as in
 * Istio, so that policies outlive a change of its name. */
static const char *own_domain(const struct cluster_values_context *context, const char *text)
{
    static const char scheme[] = "spiffe://", alias[] = "cluster.local/";
    if (strncmp(text, scheme, sizeof scheme - 1) == 0)
        text += sizeof scheme - 1;
    if (strncmp(text, alias, sizeof alias - 1) != 0)
        return text;
    const char *own = source_arena_format(context->arena, "%s/%s", context->trust_domain,
                                          text + sizeof alias - 1);
    return own ? own : text;
}

static bool read_port(const char *text, uint16_t *out, struct err *err)
{
    unsigned value = 0;
    size_t len = strlen(text);
    bool good = len > 0 && len <= 5 && text[0] != '0';
    for (size_t i = 0; good && i < len; i++) {
        good = text[i] >= '0' && text[i] <= '9';
        value = value * 10 + (unsigned)(text[i] - '0');
    }
    if (!good || value > UINT16_MAX)
        return refuse(err, text, "a port from \"1\" to \"65535\"");
    *out = (uint16_t)value;
    return true;
}

static bool read_account(const struct cluster_values_context *context, const char *text,
                         struct mesh_account *out, struct err *err)
{
    const char *slash = strchr(text, '/');
    out->namespace =
        slash ? source_arena_text(context->arena, text, (size_t)(slash - text)) : context->ns;
    out->name = slash ? slash + 1 : text;
    if (mesh_check_segment("", out->namespace, NULL) == ERR_OK &&
        mesh_check_segment("", out->name, NULL) == ERR_OK)
        return true;
    return refuse(err, text, "<namespace>/<service account>, or a service account");
}

static bool read_value(const struct cluster_values_context *context, enum cluster_values_kind kind,
                       const char *text, void *items, size_t index, struct err *err)
{
    switch (kind) {
    case CLUSTER_PRINCIPALS:
        return read_pattern(context->arena, own_domain(context, text),
                            &((struct mesh_string *)items)[index], err);
    case CLUSTER_NAMESPACES:
        return read_pattern(context->arena, text, &((struct mesh_string *)items)[index], err);
    case CLUSTER_PREFIXES:
        return addr_prefix_parse(&((struct addr_prefix *)items)[index], text) ||
               refuse(err, text, "an address, or a prefix such as 10.0.0.0/8 or fd00::/8");
    case CLUSTER_PORTS:
        return read_port(text, &((uint16_t *)items)[index], err);
    case CLUSTER_ACCOUNTS:
        return read_account(context, text, &((struct mesh_account *)items)[index], err);
    }
    return false;
}

static void keep(enum cluster_values_kind kind, const void *items, unsigned count, void *target)
{
    switch (kind) {
    case CLUSTER_PRINCIPALS:
    case CLUSTER_NAMESPACES:
        *(struct mesh_strings *)target = (struct mesh_strings){items, count};
        break;
    case CLUSTER_PREFIXES:
        *(struct mesh_prefixes *)target = (struct mesh_prefixes){items, count};
        break;
    case CLUSTER_PORTS:
        *(struct mesh_ports *)target = (struct mesh_ports){items, count};
        break;
    case CLUSTER_ACCOUNTS:
        *(struct mesh_accounts *)target = (struct mesh_accounts){items, count};
        break;
    }
}

bool cluster_values_read(const struct cluster_values_context *context,
                         enum cluster_values_kind kind, const json_t *list, void *target,
                         struct err *err)
{
    static const size_t sizes[] = {
        [CLUSTER_PRINCIPALS] = sizeof(struct mesh_string),
        [CLUSTER_NAMESPACES] = sizeof(struct mesh_string),
        [CLUSTER_PREFIXES] = sizeof(struct addr_prefix),
        [CLUSTER_PORTS] = sizeof(uint16_t),
        [CLUSTER_ACCOUNTS] = sizeof(struct mesh_account),
    };
    size_t index, count = json_array_size(list);
    const json_t *item;
    if (!json_is_array(list)) {
        err_set(err, ERR_INVALID, "is no list");
        return false;
    }
    void *items = source_arena_array(context->arena, count + 1, sizes[kind]);
    json_array_foreach(list, index, item)
    {
        if (!json_is_string(item)) {
            err_set(err, ERR_INVALID, "holds a value that is no text");
            return false;
        }
        if (items && !read_value(context, kind, json_string_value(item), items, index, err))
            return false;
    }
    if (items)
        keep(kind, items, (unsigned)count, target);
    return true;
}
