#include "xds/delta_client.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "xds/metadata.h"
#include "xds/wire.h"

/* What protoc-c makes of the package's name. */
#define REQUEST Envoy__Service__Discovery__V3__DeltaDiscoveryRequest
#define RESPONSE Envoy__Service__Discovery__V3__DeltaDiscoveryResponse
#define RESOURCE Envoy__Service__Discovery__V3__Resource
#define VERSION Envoy__Service__Discovery__V3__DeltaDiscoveryRequest__InitialResourceVersionsEntry

enum { STATUS_INVALID_ARGUMENT = 3 }; /* google.rpc.Code */

/* A version that no server gives: it makes the server send the resource again, or say that it is
 * gone. */
static char nobodys[] = "-";

struct held_type {
    struct map versions; /* name -> malloc'd version, or `nobodys` */
    bool answered;       /* the first answer has come, the whole of it */
    bool current;        /* and so it has on the present stream */
    bool partial;        /* the server has said that the rest of an answer follows */
};

struct xds_delta_client {
    const struct xds_delta_events *events;
    void *arg;
    char *node_id;
    void *metadata;
    size_t metadata_len;
    struct held_type types[XDS_TYPE_COUNT];
    struct xds_delta_client_counts counts;
};

/* The refusals of one response. */
struct refusal {
    unsigned count;
    char text[ERR_TEXT_MAX];
};

static void free_version(void *version)
{
    if (version != nobodys)
        free(version);
}

struct xds_delta_client *xds_delta_client_new(const struct xds_delta_node *node,
                                              const struct xds_delta_events *events, void *arg)
{
    const struct xds_metadata_field fields[] = {
        {"NAMESPACE", node->namespace},
        {"CLUSTER_ID", node->cluster},
    };
    struct xds_delta_client *client = calloc(1, sizeof *client);
    if (!client)
        return NULL;
    client->events = events;
    client->arg = arg;
    client->node_id = strdup(node->id);
    if (!client->node_id ||
        !xds_metadata_pack(fields, 2, &client->metadata, &client->metadata_len)) {
        xds_delta_client_free(client);
        return NULL;
    }
    return client;
}

void xds_delta_client_free(struct xds_delta_client *client)
{
    if (!client)
        return;
    for (int i = 0; i < XDS_TYPE_COUNT; i++) {
        size_t position = 0;
        for (struct map_entry *at; (at = map_next(&client->types[i].versions, &position));)
            free_version(at->value);
        map_deinit(&client->types[i].versions);
    }
    free(client->metadata);
    free(client->node_id);
    free(client);
}

void xds_delta_client_forget(struct xds_delta_client *client)
{
    for (int i = 0; i < XDS_TYPE_COUNT; i++) {
        size_t position = 0;
        client->types[i].answered = false;
        for (struct map_entry *at; (at = map_next(&client->types[i].versions, &position));) {
            free_version(at->value);
            at->value = nobodys;
        }
    }
}

bool xds_delta_client_ready(const struct xds_delta_client *client)
{
    return client->types[XDS_ADDRESS].answered && client->types[XDS_AUTHORIZATION].answered;
}

bool xds_delta_client_settled(const struct xds_delta_client *client)
{
    return !client->types[XDS_ADDRESS].partial && !client->types[XDS_AUTHORIZATION].partial;
}

bool xds_delta_client_current(const struct xds_delta_client *client)
{
    return client->types[XDS_ADDRESS].current && client->types[XDS_AUTHORIZATION].current;
}

const struct xds_delta_client_counts *xds_delta_client_counts(const struct xds_delta_client *client)
{
    return &client->counts;
}

static enum err_code no_memory(struct err *err)
{
    return err_set(err, ERR_NO_MEMORY, "out of memory for the control protocol");
}

/* --- requests --- */

static enum err_code emit(struct xds_delta_client *client, REQUEST *request, enum xds_type type,
                          struct err *err)
{
    void *data;
    size_t len;
    request->type_url = (char *)(uintptr_t)xds_type_url(type);
    if (!xds_pack(&request->base, &data, &len))
        return no_memory(err);
    client->events->on_request(data, len, client->arg);
    return ERR_OK;
}

/* The versions that are held, into the request; their memory is the arena's. */
static bool add_versions(struct xds_arena *arena, const struct map *versions, REQUEST *request)
{
    VERSION **list = xds_arena_take(arena, (versions->count + 1) * sizeof(*list));
    VERSION *items = xds_arena_take(arena, (versions->count + 1) * sizeof *items);
    if (!list || !items)
        return false;
    size_t count = 0, position = 0;
    for (struct map_entry *at; (at = map_next(versions, &position)); count++) {
        envoy__service__discovery__v3__delta_discovery_request__initial_resource_versions_entry__init(
            &items[count]);
        items[count].key = at->key;
        items[count].value = at->value;
        list[count] = &items[count];
    }
    request->initial_resource_versions = list;
    request->n_initial_resource_versions = count;
    return true;
}

enum err_code xds_delta_client_start(struct xds_delta_client *client, struct err *err)
{
    static char rootca[] = XDS_ROOTCA;
    char *names[] = {rootca};
    Envoy__Config__Core__V3__Node node = ENVOY__CONFIG__CORE__V3__NODE__INIT;
    node.id = client->node_id;
    node.metadata = (ProtobufCBinaryData){client->metadata_len, client->metadata};
    enum err_code code = ERR_OK;
    for (int i = 0; i < XDS_TYPE_COUNT && !code; i++) {
        REQUEST request = ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_REQUEST__INIT;
        struct xds_arena arena;
        xds_arena_init(&arena);
        request.node = &node;
        /* Nothing follows any more on the stream that ended. */
        client->types[i].partial = client->types[i].current = false;
        if (i == XDS_SECRET) {
            request.resource_names_subscribe = names;
            request.n_resource_names_subscribe = 1;
        }
        if (!add_versions(&arena, &client->types[i].versions, &request))
            code = no_memory(err);
        else
            code = emit(client, &request, (enum xds_type)i, err);
        xds_arena_deinit(&arena);
    }
    return code;
}

/* What peers sent may stand in the text: the wire wants UTF-8, ASCII is enough. */
static void make_printable(char *text)
{
    for (; *text; text++) {
        if (!isprint((unsigned char)*text) || (unsigned char)*text > 126)
            *text = '?';
    }
}

static enum err_code answer(struct xds_delta_client *client, const RESPONSE *response,
                            enum xds_type type, struct refusal *refusal, struct err *err)
{
    REQUEST request = ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_REQUEST__INIT;
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    request.response_nonce = response->nonce;
    if (refusal->count > 0) {
        client->counts.nacks++;
        make_printable(refusal->text);
        memcpy(client->counts.last_nack, refusal->text, sizeof client->counts.last_nack);
        status.code = STATUS_INVALID_ARGUMENT;
        status.message = refusal->text;
        request.error_detail = &status;
    }
    return emit(client, &request, type, err);
}

/* --- responses --- */

static void refuse(struct xds_delta_client *client, struct refusal *refusal,
                   const RESOURCE *resource, const struct err *err)
{
    client->counts.rejected++;
    if (refusal->count++ == 0)
        snprintf(refusal->text, sizeof refusal->text, "%.160s: %.300s", resource->name, err->text);
}

static enum err_code check_name(const RESOURCE *resource, const char *key, struct err *err)
{
    if (strcmp(resource->name, key) == 0)
        return ERR_OK;
    return err_set(err, ERR_XDS_RESOURCE, "the resource is named so, but its key is %.160s", key);
}

static enum err_code apply_address(struct xds_delta_client *client, const RESOURCE *resource,
                                   const ProtobufCBinaryData *body, struct err *err)
{
    struct xds_address address;
    enum err_code code = xds_decode_address(body->data, body->len, &address, err);
    if (code)
        return code;
    if (address.workload) {
        code = check_name(resource, address.workload->uid, err);
        if (!code)
            client->events->on_workload(address.workload, client->arg);
    } else {
        code = check_name(resource, address.service->key, err);
        if (!code)
            client->events->on_service(address.service, client->arg);
    }
    mesh_workload_unref(address.workload);
    mesh_service_unref(address.service);
    return code;
}

static enum err_code apply_policy(struct xds_delta_client *client, const RESOURCE *resource,
                                  const ProtobufCBinaryData *body, struct err *err)
{
    struct mesh_policy *policy;
    enum err_code code = xds_decode_policy(body->data, body->len, &policy, err);
    if (code)
        return code;
    code = check_name(resource, policy->key, err);
    if (!code)
        client->events->on_policy(policy, client->arg);
    mesh_policy_unref(policy);
    return code;
}

/* Nobody knows what it says, so whom it may guard must not be left unguarded. */
static enum err_code apply_unreadable(struct xds_delta_client *client, const RESOURCE *resource,
                                      const char *why, struct err *err)
{
    struct mesh_policy *policy;
    const Google__Protobuf__Any *any = resource->resource;
    bool is_policy = strcmp(any->type_url, xds_type_url(XDS_AUTHORIZATION)) == 0;
    enum err_code code = xds_decode_unreadable(resource->name, is_policy ? any->value.data : NULL,
                                               any->value.len, why, &policy, err);
    if (code)
        return code;
    client->events->on_unreadable_policy(policy, client->arg);
    mesh_policy_unref(policy);
    return ERR_OK;
}

static enum err_code apply_bundle(struct xds_delta_client *client, const RESOURCE *resource,
                                  const ProtobufCBinaryData *body, struct err *err)
{
    struct xds_bundle *bundle;
    if (strcmp(resource->name, XDS_ROOTCA) != 0)
        return err_set(err, ERR_XDS_RESOURCE, "only the secret " XDS_ROOTCA " was asked for");
    enum err_code code = xds_decode_bundle(body->data, body->len, &bundle, err);
    if (code)
        return code;
    client->events->on_bundle(bundle, client->arg);
    free(bundle);
    return ERR_OK;
}

static enum err_code apply_resource(struct xds_delta_client *client, enum xds_type type,
                                    const RESOURCE *resource, struct err *err)
{
    const Google__Protobuf__Any *any = resource->resource;
    if (strcmp(any->type_url, xds_type_url(type)) != 0)
        return err_set(err, ERR_XDS_RESOURCE, "the resource is a `%.128s` in a response of `%s`",
                       any->type_url, xds_type_url(type));
    switch (type) {
    case XDS_ADDRESS:
        return apply_address(client, resource, &any->value, err);
    case XDS_AUTHORIZATION:
        return apply_policy(client, resource, &any->value, err);
    case XDS_SECRET:
        return apply_bundle(client, resource, &any->value, err);
    }
    return ERR_XDS_UNKNOWN_TYPE;
}

static enum err_code hold(struct held_type *held, const RESOURCE *resource, struct err *err)
{
    void *old;
    char *version = strdup(resource->version);
    if (!version || !map_set_str(&held->versions, resource->name, version, &old)) {
        free(version);
        return no_memory(err);
    }
    free_version(old);
    return ERR_OK;
}

/* The version of what stays in force is still true, unless it says nothing: then the server could
 * not see that ours is the older one. Of a policy that could not be read there is a record that the
 * server must be able to take back. */
static enum err_code hold_after_refusal(struct xds_delta_client *client, enum xds_type type,
                                        const RESOURCE *resource, struct err *err)
{
    struct map *versions = &client->types[type].versions;
    const char *version = map_get_str(versions, resource->name);
    void *old = NULL;
    if (version ? *version != 0 : type != XDS_AUTHORIZATION)
        return ERR_OK;
    if (!map_set_str(versions, resource->name, nobodys, &old))
        return no_memory(err);
    free_version(old);
    return ERR_OK;
}

static enum err_code take_refusal(struct xds_delta_client *client, enum xds_type type,
                                  const RESOURCE *resource, struct refusal *refusal,
                                  struct err *why, struct err *err)
{
    make_printable(why->text);
    refuse(client, refusal, resource, why);
    enum err_code code = ERR_OK;
    if (type == XDS_AUTHORIZATION)
        code = apply_unreadable(client, resource, why->text, err);
    return code ? code : hold_after_refusal(client, type, resource, err);
}

static enum err_code take_resources(struct xds_delta_client *client, enum xds_type type,
                                    const RESPONSE *response, struct refusal *refusal,
                                    struct err *err)
{
    for (size_t i = 0; i < response->n_resources; i++) {
        const RESOURCE *resource = response->resources[i];
        if (!resource->resource) /* a sign of life for a resource with a lifetime; we have none */
            continue;
        struct err why;
        enum err_code code = apply_resource(client, type, resource, &why);
        if (code == ERR_NO_MEMORY)
            return no_memory(err);
        if (code) {
            code = take_refusal(client, type, resource, refusal, &why, err);
        } else {
            client->counts.resources++;
            code = hold(&client->types[type], resource, err);
        }
        if (code)
            return code;
    }
    return ERR_OK;
}

static void take_removals(struct xds_delta_client *client, enum xds_type type,
                          const RESPONSE *response)
{
    for (size_t i = 0; i < response->n_removed_resources; i++) {
        const char *name = response->removed_resources[i];
        client->counts.removed++;
        free_version(map_remove_str(&client->types[type].versions, name));
        if (type == XDS_ADDRESS)
            client->events->on_removed_address(name, client->arg);
        else if (type == XDS_AUTHORIZATION)
            client->events->on_removed_policy(name, client->arg);
        /* A bundle that is removed stays: without one nobody could be verified. */
    }
}

static enum err_code take_response(struct xds_delta_client *client, const RESPONSE *response,
                                   struct err *err)
{
    enum xds_type type;
    if (!xds_type_parse(response->type_url, &type))
        return err_set(err, ERR_XDS_UNKNOWN_TYPE,
                       "a response of type `%.128s` came, which nobody asked for",
                       response->type_url);
    struct refusal refusal = {0};
    take_removals(client, type, response);
    enum err_code code = take_resources(client, type, response, &refusal, err);
    if (code)
        return code;
    size_t version_len = strlen(response->system_version_info);
    struct held_type *held = &client->types[type];
    held->partial = version_len > 0 && response->system_version_info[version_len - 1] == '+';
    held->answered = held->answered || !held->partial;
    held->current = held->current || !held->partial;
    return answer(client, response, type, &refusal, err);
}

enum err_code xds_delta_client_response(struct xds_delta_client *client, const void *data,
                                        size_t len, struct err *err)
{
    struct err local;
    err = err ? err : &local;
    client->counts.responses++;
    struct xds_arena arena;
    xds_arena_init(&arena);
    const RESPONSE *response =
        xds_unpack(&arena, &envoy__service__discovery__v3__delta_discovery_response__descriptor,
                   data, len, XDS_GROWTH_RESPONSE, err);
    enum err_code code = response ? take_response(client, response, err) : err->code;
    xds_arena_deinit(&arena);
    return code;
}
