#include "kit.h"

#include <CUnit/CUnit.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "xds/encode.h"
#include "xds/wire.h"

#define REQUEST Envoy__Service__Discovery__V3__DeltaDiscoveryRequest
#define VERSION Envoy__Service__Discovery__V3__DeltaDiscoveryRequest__InitialResourceVersionsEntry

struct xds_resource *kit_workload_at(const char *uid, int revision, const char *ip,
                                     const char *service)
{
    char name[32];
    struct addr addr = {0};
    const struct mesh_port port = {80, 8080};
    const struct mesh_link link = {service, &port, 1};
    snprintf(name, sizeof name, "revision-%d", revision);
    if (ip)
        CU_ASSERT_FATAL(addr_parse(&addr, ip));
    const struct mesh_workload from = {.uid = uid,
                                       .name = name,
                                       .namespace = "shop",
                                       .addresses = &addr,
                                       .address_count = ip ? 1 : 0,
                                       .links = &link,
                                       .link_count = service ? 1 : 0};
    struct mesh_workload *workload;
    struct xds_resource *resource;
    CU_ASSERT_FATAL(mesh_workload_new(&from, &workload, NULL) == ERR_OK);
    CU_ASSERT_FATAL(xds_encode_workload(workload, "mesh.test", &resource, NULL) == ERR_OK);
    mesh_workload_unref(workload);
    return resource;
}

struct xds_resource *kit_workload(const char *uid, int revision)
{
    return kit_workload_at(uid, revision, NULL, NULL);
}

struct xds_resource *kit_service(const char *host, const char *ip)
{
    struct addr addr;
    CU_ASSERT_FATAL(addr_parse(&addr, ip));
    struct mesh_service *service;
    struct xds_resource *resource;
    const struct mesh_service from = {
        .hostname = host, .namespace = "shop", .addresses = &addr, .address_count = 1};
    CU_ASSERT_FATAL(mesh_service_new(&from, &service, NULL) == ERR_OK);
    CU_ASSERT_FATAL(xds_encode_service(service, &resource, NULL) == ERR_OK);
    mesh_service_unref(service);
    return resource;
}

struct xds_resource *kit_policy(const char *name, bool deny)
{
    struct mesh_policy *policy;
    struct xds_resource *resource;
    const struct mesh_policy from = {.name = name,
                                     .namespace = "shop",
                                     .scope = MESH_SCOPE_NAMESPACE,
                                     .action = deny ? MESH_ACTION_DENY : MESH_ACTION_ALLOW};
    CU_ASSERT_FATAL(mesh_policy_new(&from, &policy, NULL) == ERR_OK);
    CU_ASSERT_FATAL(xds_encode_policy(policy, &resource, NULL) == ERR_OK);
    mesh_policy_unref(policy);
    return resource;
}

struct xds_resource *kit_bundle(const char *pem)
{
    const struct xds_trust_domain domain = {"", pem, strlen(pem)};
    const struct xds_bundle bundle = {&domain, 1};
    struct xds_resource *resource;
    CU_ASSERT_FATAL(xds_encode_bundle(&bundle, &resource, NULL) == ERR_OK);
    return resource;
}

struct xds_resource *kit_blob_of(enum xds_type type, const char *name, const void *body, size_t len)
{
    const struct xds_resource_spec spec = {
        .type_url = xds_type_url(type), .name = name, .body = body, .body_len = len};
    struct xds_resource *resource;
    CU_ASSERT_FATAL(xds_resource_new(&spec, &resource, NULL) == ERR_OK);
    return resource;
}

struct xds_resource *kit_blob(const char *name, const void *body, size_t len)
{
    return kit_blob_of(XDS_ADDRESS, name, body, len);
}

void kit_publish(struct xds_store *store, enum xds_type type, ...)
{
    struct xds_set *set = xds_set_new();
    struct xds_resource *resource;
    va_list list;
    va_start(list, type);
    while ((resource = va_arg(list, struct xds_resource *)))
        CU_ASSERT_FATAL(xds_set_add(set, resource, NULL) == ERR_OK);
    va_end(list);
    bool changed;
    CU_ASSERT_FATAL(xds_store_update(store, type, set, &changed, NULL) == ERR_OK);
}

enum err_code kit_send_message(struct xds_delta_server *stream, REQUEST *message)
{
    void *data;
    size_t len;
    struct err err;
    CU_ASSERT_FATAL(xds_pack(&message->base, &data, &len));
    enum err_code code = xds_delta_server_request(stream, data, len, &err);
    free(data);
    return code;
}

static size_t count_texts(const char *const *texts)
{
    size_t count = 0;
    while (texts[count])
        count++;
    return count;
}

enum err_code kit_send(struct xds_delta_server *stream, const struct kit_request *request)
{
    REQUEST message = ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_REQUEST__INIT;
    Envoy__Config__Core__V3__Node node = ENVOY__CONFIG__CORE__V3__NODE__INIT;
    Google__Rpc__Status status = GOOGLE__RPC__STATUS__INIT;
    VERSION versions[8], *list[8];
    const char *node_id = request->node ? request->node : KIT_NODE;
    node.id = (char *)(uintptr_t)node_id;
    message.node = *node_id ? &node : NULL;
    message.type_url =
        (char *)(uintptr_t)(request->type_url ? request->type_url : xds_type_url(XDS_ADDRESS));
    message.resource_names_subscribe = (char **)(uintptr_t)request->subscribe;
    message.n_resource_names_subscribe = count_texts(request->subscribe);
    message.resource_names_unsubscribe = (char **)(uintptr_t)request->unsubscribe;
    message.n_resource_names_unsubscribe = count_texts(request->unsubscribe);
    message.initial_resource_versions = list;
    for (size_t i = 0; i + 1 < 16 && request->versions[i]; i += 2) {
        VERSION *version = &versions[i / 2];
        envoy__service__discovery__v3__delta_discovery_request__initial_resource_versions_entry__init(
            version);
        version->key = (char *)(uintptr_t)request->versions[i];
        version->value = (char *)(uintptr_t)request->versions[i + 1];
        list[message.n_initial_resource_versions++] = version;
    }
    if (request->nonce)
        message.response_nonce = (char *)(uintptr_t)request->nonce;
    if (request->error) {
        status.code = 3;
        status.message = (char *)(uintptr_t)request->error;
        message.error_detail = &status;
    }
    return kit_send_message(stream, &message);
}

KIT_RESPONSE *kit_next(struct xds_delta_server *stream)
{
    void *data;
    size_t len;
    CU_ASSERT_FATAL(xds_delta_server_next(stream, &data, &len, NULL) == ERR_OK);
    if (!data)
        return NULL;
    KIT_RESPONSE *response =
        envoy__service__discovery__v3__delta_discovery_response__unpack(NULL, len, data);
    CU_ASSERT_PTR_NOT_NULL_FATAL(response);
    free(data);
    return response;
}

void kit_free(KIT_RESPONSE *response)
{
    if (response)
        envoy__service__discovery__v3__delta_discovery_response__free_unpacked(response, NULL);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

const char *kit_text(KIT_RESPONSE *response)
{
    static char text[1024];
    const char *names[64];
    size_t count = 0, len = 0;
    if (!response)
        return "nothing";
    for (size_t i = 0; i < response->n_resources && count < 64; i++)
        names[count++] = response->resources[i]->name;
    qsort(names, count, sizeof *names, compare);
    text[0] = 0;
    for (size_t i = 0; i < count; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s%s", len ? "," : "", names[i]);
    if (response->n_removed_resources)
        qsort(response->removed_resources, response->n_removed_resources, sizeof(char *), compare);
    for (size_t i = 0; i < response->n_removed_resources && len < 900; i++)
        len += (size_t)snprintf(text + len, sizeof text - len, "%s-%s", len ? "," : "",
                                response->removed_resources[i]);
    return text;
}

const char *kit_step(struct xds_delta_server *stream)
{
    KIT_RESPONSE *response = kit_next(stream);
    const char *text = kit_text(response);
    if (response) {
        const struct kit_request ack = {.type_url = response->type_url, .nonce = response->nonce};
        CU_ASSERT_EQUAL(kit_send(stream, &ack), ERR_OK);
    }
    kit_free(response);
    return text;
}
