#include "xds/delta_server.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "xds/delta_stream.h"
#include "xds/node.h"
#include "xds/wire.h"

/* What protoc-c makes of the package's name. */
#define REQUEST Envoy__Service__Discovery__V3__DeltaDiscoveryRequest

static char subscribed; /* the value of every subscribed name */

struct xds_delta_server *xds_delta_server_new(const struct xds_store *store, const char *namespace,
                                              size_t target_bytes, struct xds_server_stats *stats)
{
    struct xds_delta_server *stream = calloc(1, sizeof *stream);
    if (!stream)
        return NULL;
    stream->store = store;
    stream->stats = stats;
    stream->target_bytes = target_bytes ? target_bytes : XDS_DELTA_TARGET_BYTES;
    if (namespace && !(stream->namespace = strdup(namespace))) {
        free(stream);
        return NULL;
    }
    return stream;
}

void xds_delta_server_share(struct xds_delta_server *stream, struct xds_delta_budget *budget)
{
    stream->budget = budget;
}

void xds_delta_forget(struct xds_delta_server *stream, size_t cost)
{
    stream->cost -= cost;
    if (stream->budget)
        stream->budget->used -= cost;
}

static size_t cost_of(const char *name)
{
    return strlen(name) + XDS_DELTA_NAME_COST;
}

/* A name is going to be remembered; *cost is the sum that it belongs to. */
static enum err_code remember(struct xds_delta_server *stream, const char *name, size_t *cost,
                              struct err *err)
{
    struct xds_delta_budget *budget = stream->budget;
    size_t more = cost_of(name);
    if (budget && budget->used + more > budget->max)
        return err_set(err, ERR_QUOTA,
                       "the streams of this identity make us remember %zu bytes of names, at most "
                       "%zu are allowed",
                       budget->used, budget->max);
    if (budget)
        budget->used += more;
    stream->cost += more;
    *cost += more;
    return ERR_OK;
}

void xds_delta_unknown_clear(struct xds_delta_server *stream, struct xds_delta_unknown *unknown)
{
    xds_delta_forget(stream, unknown->cost);
    for (size_t i = 0; i < unknown->name_count; i++)
        free(unknown->names[i]);
    free(unknown->names);
    free(unknown->type_url);
    *unknown = (struct xds_delta_unknown){0};
}

void xds_delta_server_free(struct xds_delta_server *stream)
{
    if (!stream)
        return;
    for (int i = 0; i < XDS_TYPE_COUNT; i++) {
        struct xds_delta_type *type = &stream->types[i];
        map_deinit(&type->names);
        map_deinit(&type->lost);
        xds_bits_deinit(&type->held);
        xds_bits_deinit(&type->fresh);
        xds_bits_deinit(&type->due);
    }
    for (unsigned i = 0; i < stream->unknown_count; i++)
        xds_delta_unknown_clear(stream, &stream->unknown[i]);
    xds_delta_forget(stream, stream->cost);
    free(stream->namespace);
    free(stream->node);
    free(stream);
}

const char *xds_delta_server_node(const struct xds_delta_server *stream)
{
    return stream->node ? stream->node : "";
}

bool xds_delta_server_place(const struct xds_delta_server *stream, enum xds_type type,
                            uint64_t *seq)
{
    const struct xds_delta_type *state = &stream->types[type];
    *seq = state->cursor > state->start ? state->cursor : state->start;
    return state->started;
}

static enum err_code no_memory(struct err *err)
{
    return err_set(err, ERR_NO_MEMORY, "out of memory for a stream's subscriptions");
}

/* --- what a stream wants --- */

bool xds_delta_wants(const struct xds_list *list, const struct xds_delta_type *type,
                     const struct xds_resource *resource)
{
    if (type->wildcard)
        return true;
    if (type->names.count == 0)
        return false;
    if (map_get_str(&type->names, resource->name))
        return true;
    for (unsigned i = 0; i < resource->alias_count; i++) {
        if (map_get_str(&type->names, resource->aliases[i]))
            return true;
    }
    for (unsigned i = 0; i < resource->group_count; i++) {
        if (map_get_str(&type->names, resource->groups[i]))
            return true;
        const struct xds_entry *group = xds_list_find(list, resource->groups[i]);
        for (unsigned k = 0; group && k < group->resource->alias_count; k++) {
            if (map_get_str(&type->names, group->resource->aliases[k]))
                return true;
        }
    }
    return false;
}

/* The client asks for this entry: now if it lies before the cursor, with the walk otherwise. */
static bool ask_entry(struct xds_delta_type *type, const struct xds_entry *entry)
{
    xds_bits_clear(&type->fresh, entry->id);
    return entry->seq > type->cursor || xds_bits_set(&type->due, entry->id);
}

static bool ask_members(struct xds_delta_type *type, const struct xds_members *members)
{
    for (uint32_t i = 0; members && i < members->count; i++) {
        if (!ask_entry(type, members->items[i]))
            return false;
    }
    return true;
}

static bool ask_group(const struct xds_list *list, struct xds_delta_type *type,
                      const struct xds_entry *entry)
{
    return ask_entry(type, entry) &&
           ask_members(type, xds_index_get(&list->groups, entry->resource->name));
}

/* Nobody has this name: that is the answer. */
static enum err_code lose_name(struct xds_delta_server *stream, struct xds_delta_type *type,
                               const char *name, struct err *err)
{
    enum err_code code = ERR_OK;
    if (!map_get_str(&type->lost, name))
        code = remember(stream, name, &type->lost_cost, err);
    if (code == ERR_OK && !map_set_str(&type->lost, name, &subscribed, NULL))
        code = no_memory(err);
    return code;
}

static enum err_code ask_name(struct xds_delta_server *stream, const struct xds_list *list,
                              struct xds_delta_type *type, const char *name, struct err *err)
{
    const struct xds_entry *entry = xds_list_find(list, name);
    if (entry)
        return ask_group(list, type, entry) ? ERR_OK : no_memory(err);
    const struct xds_members *members = xds_index_get(&list->aliases, name);
    if (!members)
        return lose_name(stream, type, name, err);
    for (uint32_t i = 0; i < members->count; i++) {
        if (!ask_group(list, type, members->items[i]))
            return no_memory(err);
    }
    return ERR_OK;
}

/* From the beginning of the store's order: what the client has the present version of is skipped.
 */
static bool start_walk(const struct xds_store *store, const struct xds_list *list,
                       struct xds_delta_type *type)
{
    /* An earlier walk may have been given up half-way; what changed since is no longer fresh. */
    for (int64_t id = xds_bits_next(&type->fresh, 0); id >= 0;
         id = xds_bits_next(&type->fresh, (uint64_t)id + 1)) {
        const struct xds_entry *entry = list->by_id[id];
        if (!entry || entry->seq > type->start)
            xds_bits_clear(&type->fresh, (uint32_t)id);
    }
    for (int64_t id = xds_bits_next(&type->held, 0); id >= 0;
         id = xds_bits_next(&type->held, (uint64_t)id + 1)) {
        const struct xds_entry *entry = list->by_id[id];
        if (entry && entry->seq <= type->cursor && !xds_bits_has(&type->due, (uint32_t)id) &&
            !xds_bits_set(&type->fresh, (uint32_t)id))
            return false;
    }
    type->wildcard = true;
    type->cursor = 0;
    type->start = store->seq;
    return true;
}

/* --- the parts of a request --- */

static enum err_code check_name(const char *name, struct err *err)
{
    if (strlen(name) > XDS_DELTA_NAME_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE, "a resource name has %zu bytes, at most %d are allowed",
                       strlen(name), XDS_DELTA_NAME_MAX_BYTES);
    return ERR_OK;
}

static enum err_code subscribe(struct xds_delta_server *stream, const struct xds_list *list,
                               struct xds_delta_type *type, const char *name, struct err *err)
{
    if (strcmp(name, "*") == 0) {
        if (!type->wildcard && !start_walk(stream->store, list, type))
            return no_memory(err);
        return ERR_OK;
    }
    enum err_code code = check_name(name, err);
    if (code)
        return code;
    if (!map_get_str(&type->names, name)) {
        size_t cost = 0;
        code = remember(stream, name, &cost, err);
        if (code)
            return code;
        if (!map_set_str(&type->names, name, &subscribed, NULL))
            return no_memory(err);
        type->names_bytes += strlen(name);
    }
    if (type->names.count > XDS_DELTA_NAMES_MAX || type->names_bytes > XDS_DELTA_NAMES_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE,
                       "the stream subscribes to more than %d names or %d bytes of them",
                       XDS_DELTA_NAMES_MAX, XDS_DELTA_NAMES_MAX_BYTES);
    return ask_name(stream, list, type, name, err);
}

/* Forgets what the client no longer wants, after names were taken away. */
static void drop_unwanted(const struct xds_list *list, struct xds_delta_type *type)
{
    for (int64_t id = xds_bits_next(&type->held, 0); id >= 0;
         id = xds_bits_next(&type->held, (uint64_t)id + 1)) {
        const struct xds_entry *entry = list->by_id[id];
        if (!entry || !xds_delta_wants(list, type, entry->resource))
            xds_bits_clear(&type->held, (uint32_t)id);
    }
    for (int64_t id = xds_bits_next(&type->due, 0); id >= 0;
         id = xds_bits_next(&type->due, (uint64_t)id + 1)) {
        const struct xds_entry *entry = list->by_id[id];
        if (!entry || !xds_delta_wants(list, type, entry->resource))
            xds_bits_clear(&type->due, (uint32_t)id);
    }
}

static void unsubscribe(struct xds_delta_server *stream, const struct xds_list *list,
                        struct xds_delta_type *type, char *const *names, size_t count)
{
    for (size_t i = 0; i < count; i++) {
        if (strcmp(names[i], "*") == 0) {
            type->wildcard = false;
        } else if (map_remove_str(&type->names, names[i])) {
            type->names_bytes -= strlen(names[i]);
            xds_delta_forget(stream, cost_of(names[i]));
        }
        if (map_remove_str(&type->lost, names[i])) {
            type->lost_cost -= cost_of(names[i]);
            xds_delta_forget(stream, cost_of(names[i]));
        }
    }
    if (count > 0 && !type->wildcard)
        drop_unwanted(list, type);
}

/* What the client holds from an earlier stream. */
static enum err_code take_versions(struct xds_delta_server *stream, const struct xds_list *list,
                                   struct xds_delta_type *type, const REQUEST *request,
                                   struct err *err)
{
    for (size_t i = 0; i < request->n_initial_resource_versions; i++) {
        const char *name = request->initial_resource_versions[i]->key;
        const char *version = request->initial_resource_versions[i]->value;
        enum err_code code = check_name(name, err);
        if (code)
            return code;
        const struct xds_entry *entry = xds_list_find(list, name);
        if (!entry) {
            code = lose_name(stream, type, name, err);
            if (code)
                return code;
            continue;
        }
        if (!xds_delta_wants(list, type, entry->resource))
            continue;
        if (!xds_bits_set(&type->held, entry->id))
            return no_memory(err);
        if (strcmp(version, entry->resource->version) != 0)
            continue;
        xds_bits_clear(&type->due, entry->id);
        if (!xds_bits_set(&type->fresh, entry->id))
            return no_memory(err);
    }
    return ERR_OK;
}

static enum err_code start_type(struct xds_delta_server *stream, const struct xds_list *list,
                                struct xds_delta_type *type, const REQUEST *request,
                                struct err *err)
{
    type->started = true;
    type->owes_answer = true;
    /* Names are answered one by one; only a wildcard walks from the beginning. */
    type->cursor = type->start = stream->store->seq;
    if (request->n_resource_names_subscribe == 0 && !start_walk(stream->store, list, type))
        return no_memory(err);
    return ERR_OK;
}

static void take_answer(struct xds_delta_server *stream, struct xds_delta_type *type,
                        const char *type_name, const REQUEST *request)
{
    char nonce[24];
    snprintf(nonce, sizeof nonce, "%" PRIu64, type->nonce);
    bool answers = type->in_flight && strcmp(request->response_nonce, nonce) == 0;
    if (answers)
        type->in_flight = false;
    if (!stream->stats)
        return;
    if (request->error_detail) {
        stream->stats->nacks++;
        snprintf(stream->stats->last_nack, sizeof stream->stats->last_nack,
                 "%.160s refuses %s: %.240s", xds_delta_server_node(stream), type_name,
                 request->error_detail->message);
    } else if (answers) {
        stream->stats->acks++;
    }
}

/* --- a type that we do not know --- */

static enum err_code take_unknown(struct xds_delta_server *stream, const REQUEST *request,
                                  struct err *err)
{
    if (stream->stats)
        stream->stats->unknown_types++;
    /* The answer to our own answer, or a NACK: nothing is waited for. */
    if (*request->response_nonce || request->error_detail)
        return ERR_OK;
    size_t count = request->n_resource_names_subscribe;
    if (strlen(request->type_url) > XDS_DELTA_NAME_MAX_BYTES ||
        count > XDS_DELTA_UNKNOWN_NAMES_MAX || stream->unknown_count == XDS_DELTA_UNKNOWN_MAX)
        return err_set(err, ERR_XDS_UNKNOWN_TYPE, "the stream goes on asking for type `%.128s`",
                       request->type_url);
    struct xds_delta_unknown *unknown = &stream->unknown[stream->unknown_count++];
    unknown->type_url = strdup(request->type_url);
    unknown->names = calloc(count + 1, sizeof *unknown->names);
    if (!unknown->type_url || !unknown->names)
        return no_memory(err);
    for (; unknown->name_count < count; unknown->name_count++) {
        const char *name = request->resource_names_subscribe[unknown->name_count];
        enum err_code code = check_name(name, err);
        if (!code)
            code = remember(stream, name, &unknown->cost, err);
        if (code)
            return code;
        if (!(unknown->names[unknown->name_count] = strdup(name)))
            return no_memory(err);
    }
    return ERR_OK;
}

/* --- the whole --- */

static enum err_code take_node(struct xds_delta_server *stream, const REQUEST *request,
                               struct err *err)
{
    const char *id = request->node ? request->node->id : "";
    if (stream->node)
        return ERR_OK;
    if (strlen(id) > XDS_DELTA_NAME_MAX_BYTES)
        return err_set(err, ERR_XDS_NODE, "the node identifier has %zu bytes", strlen(id));
    if (stream->namespace) {
        enum err_code code = xds_node_check(id, stream->namespace, err);
        if (code)
            return code;
    }
    stream->node = strdup(id);
    return stream->node ? ERR_OK : no_memory(err);
}

static enum err_code take_request(struct xds_delta_server *stream, const REQUEST *request,
                                  struct err *err)
{
    enum err_code code = take_node(stream, request, err);
    if (code)
        return code;
    enum xds_type which;
    if (!xds_type_parse(request->type_url, &which))
        return take_unknown(stream, request, err);
    const struct xds_list *list = &stream->store->lists[which];
    struct xds_delta_type *type = &stream->types[which];
    bool first = !type->started;
    take_answer(stream, type, xds_type_name(which), request);
    if (first)
        code = start_type(stream, list, type, request, err);
    for (size_t i = 0; i < request->n_resource_names_subscribe && !code; i++)
        code = subscribe(stream, list, type, request->resource_names_subscribe[i], err);
    if (code)
        return code;
    unsubscribe(stream, list, type, request->resource_names_unsubscribe,
                request->n_resource_names_unsubscribe);
    return first ? take_versions(stream, list, type, request, err) : ERR_OK;
}

enum err_code xds_delta_server_request(struct xds_delta_server *stream, const void *data,
                                       size_t len, struct err *err)
{
    struct err local;
    err = err ? err : &local;
    if (stream->stats)
        stream->stats->requests++;
    struct xds_arena arena;
    xds_arena_init(&arena);
    const REQUEST *request =
        xds_unpack(&arena, &envoy__service__discovery__v3__delta_discovery_request__descriptor,
                   data, len, XDS_GROWTH_REQUEST, err);
    enum err_code code = request ? take_request(stream, request, err) : err->code;
    xds_arena_deinit(&arena);
    return code;
}
