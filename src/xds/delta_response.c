/* The response half of a delta stream: what goes out next. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xds/delta_stream.h"

/* Field numbers of envoy.service.discovery.v3.DeltaDiscoveryResponse. The resources are encoded
 * already, so the response is put together by hand around them. */
enum {
    FIELD_SYSTEM_VERSION = 1,
    FIELD_RESOURCES = 2,
    FIELD_TYPE_URL = 4,
    FIELD_NONCE = 5,
    FIELD_REMOVED = 6
};

struct response {
    uint8_t *data;
    size_t len, capacity, target;
    bool failed; /* out of memory */
    size_t resources, removals;
};

static bool reserve(struct response *response, size_t more)
{
    if (response->len + more <= response->capacity)
        return true;
    size_t capacity = response->capacity ? response->capacity * 2 : 4096;
    while (capacity < response->len + more)
        capacity *= 2;
    uint8_t *data = realloc(response->data, capacity);
    if (!data) {
        response->failed = true;
        return false;
    }
    response->data = data;
    response->capacity = capacity;
    return true;
}

/* Appends a length-delimited field. */
static void append(struct response *response, unsigned field, const void *data, size_t len)
{
    if (response->failed || !reserve(response, len + 12))
        return;
    uint8_t *at = response->data + response->len;
    *at++ = (uint8_t)(field << 3 | 2);
    size_t rest = len;
    for (; rest > 127; rest >>= 7)
        *at++ = (uint8_t)(rest | 128);
    *at++ = (uint8_t)rest;
    if (len > 0)
        memcpy(at, data, len);
    response->len = (size_t)(at - response->data) + len;
}

static void append_text(struct response *response, unsigned field, const char *text)
{
    append(response, field, text, strlen(text));
}

/* The next `len` bytes belong into another response. */
static bool is_full(const struct response *response, size_t len)
{
    return response->resources + response->removals > 0 && response->len + len > response->target;
}

static void add_resource(struct response *response, const struct xds_resource *resource)
{
    append(response, FIELD_RESOURCES, resource->wire, resource->wire_len);
    response->resources++;
}

static void add_removal(struct response *response, const char *name)
{
    append_text(response, FIELD_REMOVED, name);
    response->removals++;
}

/* --- where resources and removals come from: each returns false when the response is full --- */

/* A name that somebody has by now is left to the walk. */
static bool is_back(const struct xds_list *list, const char *name)
{
    return xds_list_find(list, name) || xds_index_get(&list->aliases, name);
}

static bool add_lost(struct response *response, const struct xds_list *list,
                     struct xds_delta_type *type)
{
    static char told; /* the value of a name that an earlier response of this round held */
    size_t position = 0;
    for (struct map_entry *at; (at = map_next(&type->lost, &position));) {
        if (at->value == &told || is_back(list, at->key))
            continue;
        if (is_full(response, at->key_len))
            return false;
        add_removal(response, at->key);
        at->value = &told;
    }
    map_deinit(&type->lost);
    return true;
}

static bool add_due(struct response *response, const struct xds_list *list,
                    struct xds_delta_type *type)
{
    for (int64_t id = xds_bits_next(&type->due, 0); id >= 0 && !response->failed;
         id = xds_bits_next(&type->due, (uint64_t)id + 1)) {
        const struct xds_entry *entry = list->by_id[id];
        if (entry && entry->gone) {
            if (is_full(response, strlen(entry->resource->name)))
                return false;
            add_removal(response, entry->resource->name);
            xds_bits_clear(&type->held, entry->id);
        } else if (entry && entry->seq <= type->cursor) {
            if (is_full(response, entry->resource->wire_len))
                return false;
            add_resource(response, entry->resource);
            if (!xds_bits_set(&type->held, entry->id))
                response->failed = true;
        } /* else it has changed since: the walk comes to it */
        xds_bits_clear(&type->due, (uint32_t)id);
    }
    return true;
}

/* Whether and what the walk says about one entry. */
static bool walk_entry(struct response *response, const struct xds_list *list,
                       struct xds_delta_type *type, const struct xds_entry *entry)
{
    uint32_t id = entry->id;
    bool held = xds_bits_has(&type->held, id);
    if (entry->gone) {
        if (held && is_full(response, strlen(entry->resource->name)))
            return false;
        if (held)
            add_removal(response, entry->resource->name);
        xds_bits_clear(&type->held, id);
        return true;
    }
    bool fresh = entry->seq <= type->start && xds_bits_has(&type->fresh, id);
    if (fresh || !(held || xds_delta_wants(list, type, entry->resource)))
        return true;
    if (is_full(response, entry->resource->wire_len))
        return false;
    add_resource(response, entry->resource);
    if (!xds_bits_set(&type->held, id))
        response->failed = true;
    return true;
}

static bool add_changes(struct response *response, const struct xds_list *list,
                        struct xds_delta_type *type)
{
    for (const struct xds_entry *entry = xds_list_after(list, type->cursor); entry;
         entry = entry->newer) {
        if (response->failed || !walk_entry(response, list, type, entry))
            return false;
        type->cursor = entry->seq;
    }
    if (type->cursor >= type->start)
        xds_bits_deinit(&type->fresh);
    return true;
}

/* --- the response --- */

static void finish(struct xds_delta_server *stream, struct response *response, const char *type_url,
                   const char *version)
{
    char nonce[24];
    snprintf(nonce, sizeof nonce, "%" PRIu64, ++stream->last_nonce);
    append_text(response, FIELD_SYSTEM_VERSION, version);
    append_text(response, FIELD_TYPE_URL, type_url);
    append_text(response, FIELD_NONCE, nonce);
    if (!stream->stats)
        return;
    stream->stats->responses++;
    stream->stats->resources_sent += response->resources;
    stream->stats->removals_sent += response->removals;
    stream->stats->bytes_sent += response->len;
}

static void answer_type(struct xds_delta_server *stream, enum xds_type which,
                        struct response *response)
{
    const struct xds_list *list = &stream->store->lists[which];
    struct xds_delta_type *type = &stream->types[which];
    bool complete = add_lost(response, list, type) && add_due(response, list, type) &&
                    add_changes(response, list, type);
    if (type->lost.count == 0) {
        xds_delta_forget(stream, type->lost_cost);
        type->lost_cost = 0;
    }
    if (response->failed || response->resources + response->removals + type->owes_answer == 0)
        return;
    char version[24];
    snprintf(version, sizeof version, "%" PRIu64 "%s", type->cursor, complete ? "" : "+");
    finish(stream, response, xds_type_url(which), version);
    type->owes_answer = false;
    type->in_flight = true;
    type->nonce = stream->last_nonce;
}

static void answer_unknown(struct xds_delta_server *stream, struct response *response)
{
    struct xds_delta_unknown *unknown = &stream->unknown[stream->unknown_answered++];
    for (size_t i = 0; i < unknown->name_count; i++)
        add_removal(response, unknown->names[i]);
    finish(stream, response, unknown->type_url, "0");
    xds_delta_unknown_clear(stream, unknown);
}

/* Tombstones that this type has not passed yet are no longer there. */
static bool is_behind(const struct xds_delta_server *stream, enum xds_type which)
{
    uint64_t place;
    return xds_delta_server_place(stream, which, &place) &&
           place < stream->store->lists[which].floor;
}

enum err_code xds_delta_server_next(struct xds_delta_server *stream, void **data, size_t *len,
                                    struct err *err)
{
    struct response response = {.target = stream->target_bytes};
    *data = NULL;
    for (unsigned i = 0; i < XDS_TYPE_COUNT && response.len == 0 && !response.failed; i++) {
        enum xds_type which = (enum xds_type)((stream->turn + i) % XDS_TYPE_COUNT);
        if (!stream->types[which].started || stream->types[which].in_flight)
            continue;
        if (is_behind(stream, which))
            return err_set(err, ERR_CANCELLED,
                           "%s is more than %zu removed resources of type %s behind; it has to "
                           "come back and say what it holds",
                           xds_delta_server_node(stream), stream->store->tombstones_max,
                           xds_type_name(which));
        answer_type(stream, which, &response);
        if (response.len > 0)
            stream->turn = (which + 1) % XDS_TYPE_COUNT;
    }
    if (response.len == 0 && !response.failed && stream->unknown_answered < stream->unknown_count)
        answer_unknown(stream, &response);
    if (response.failed) {
        free(response.data);
        return err_set(err, ERR_NO_MEMORY, "out of memory for a response to %s",
                       xds_delta_server_node(stream));
    }
    *data = response.data;
    *len = response.len;
    return ERR_OK;
}
