#include "bed.h"

#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "mesh/builder.h"
#include "suite.h"
#include "xds/decode.h"

enum { WAIT_MS = 10000, TEXT = 4096 };

/* --- what the proxies get --------------------------------------------------------------------- */

static void add_address(struct mesh_builder *builder, const void *data, size_t len)
{
    struct xds_address address = {0};
    CU_ASSERT_EQUAL_FATAL(xds_decode_address(data, len, &address, NULL), ERR_OK);
    if (address.workload)
        CU_ASSERT_FATAL(mesh_builder_put_workload(builder, address.workload));
    if (address.service)
        CU_ASSERT_FATAL(mesh_builder_put_service(builder, address.service));
    mesh_workload_unref(address.workload);
    mesh_service_unref(address.service);
}

static void add_policy(struct mesh_builder *builder, const void *data, size_t len)
{
    struct mesh_policy *policy;
    CU_ASSERT_EQUAL_FATAL(xds_decode_policy(data, len, &policy, NULL), ERR_OK);
    CU_ASSERT_FATAL(mesh_builder_put_policy(builder, policy));
    mesh_policy_unref(policy);
}

static void add_list(struct mesh_builder *builder, const struct xds_list *list,
                     void (*add)(struct mesh_builder *, const void *, size_t))
{
    for (const struct xds_entry *entry = list->oldest; entry; entry = entry->newer) {
        if (entry->gone)
            continue;
        Envoy__Service__Discovery__V3__Resource *resource =
            envoy__service__discovery__v3__resource__unpack(NULL, entry->resource->wire_len,
                                                            entry->resource->wire);
        CU_ASSERT_PTR_NOT_NULL_FATAL(resource);
        add(builder, resource->resource->value.data, resource->resource->value.len);
        envoy__service__discovery__v3__resource__free_unpacked(resource, NULL);
    }
}

static void publish(struct bed *bed, enum xds_type type, struct xds_set *set)
{
    bool changed;
    CU_ASSERT_EQUAL_FATAL(xds_store_update(&bed->store, type, set, &changed, NULL), ERR_OK);
}

static enum err_code on_compiled(struct compiled *compiled, void *arg)
{
    struct bed *bed = arg;
    struct xds_set *policies = xds_set_new();
    bed->compiled++;
    bed->workloads = compiled->workload_count;
    bed->services = compiled->service_count;
    bed->policies = compiled->policy_count;
    for (unsigned i = 0; i < compiled->policy_count; i++)
        xds_set_add(policies, xds_resource_ref(compiled->policies[i].resource), NULL);
    CU_ASSERT_EQUAL(xds_set_count(policies), compiled->policy_count);
    if (bed->failures > 0) {
        bed->failures--;
        xds_set_free(policies);
        compiled_deinit(compiled);
        return ERR_NO_MEMORY;
    }
    publish(bed, XDS_ADDRESS, compiled->addresses);
    publish(bed, XDS_AUTHORIZATION, policies);
    compiled->addresses = NULL;
    CU_ASSERT_EQUAL(bed->store.lists[XDS_ADDRESS].count,
                    compiled->workload_count + compiled->service_count);
    compiled_deinit(compiled);

    struct mesh_snapshot *empty = mesh_snapshot_new(BED_DOMAIN);
    struct mesh_builder *builder = mesh_builder_new(empty);
    add_list(builder, &bed->store.lists[XDS_ADDRESS], add_address);
    add_list(builder, &bed->store.lists[XDS_AUTHORIZATION], add_policy);
    mesh_snapshot_unref(bed->mesh);
    CU_ASSERT_EQUAL_FATAL(mesh_builder_finish(builder, &bed->mesh, NULL), ERR_OK);
    mesh_snapshot_unref(empty);
    return ERR_OK;
}

static void on_verdict(const struct cluster_verdict *verdict, void *arg)
{
    struct bed *bed = arg;
    CU_ASSERT_FATAL(bed->verdict_count < BED_VERDICTS);
    struct bed_verdict *out = &bed->verdicts[bed->verdict_count++];
    *out = (struct bed_verdict){
        .kind = verdict->kind, .generation = verdict->generation, .accepted = verdict->accepted};
    snprintf(out->key, sizeof out->key, "%s", verdict->key);
    snprintf(out->reason, sizeof out->reason, "%s", verdict->reason);
    snprintf(out->sentence, sizeof out->sentence, "%s", verdict->sentence);
    snprintf(out->resource, sizeof out->resource, "%s", verdict->resource ? verdict->resource : "");
}

/* --- its life --------------------------------------------------------------------------------- */

void bed_start_unsynced(struct bed *bed, bool istio)
{
    static const struct cluster_events events = {on_compiled, on_verdict};
    const struct cluster_config config = {.cluster_id = "Kubernetes",
                                          .trust_domain = BED_DOMAIN,
                                          .root_namespace = BED_ROOT,
                                          .istio_root_namespace = istio ? BED_ISTIO_ROOT : NULL};
    log_init(open("/dev/null", O_WRONLY | O_CLOEXEC), LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    *bed = (struct bed){0};
    CU_ASSERT_EQUAL_FATAL(loop_init(&bed->loop, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(timers_init(&bed->timers, &bed->loop, NULL), ERR_OK);
    xds_store_init(&bed->store);
    cluster_init(&bed->cluster, &config, &bed->timers, &bed->tally, &events, bed);
}

void bed_start(struct bed *bed)
{
    bed_start_unsynced(bed, true);
    for (int kind = 0; kind < CLUSTER_KINDS; kind++)
        cluster_synced(&bed->cluster, (enum cluster_kind)kind);
    bed_settle(bed);
}

static void on_timers_closed(struct timers *timers)
{
    ((struct bed *)(void *)((char *)timers - offsetof(struct bed, timers)))->timers_closed = true;
}

void bed_stop(struct bed *bed)
{
    cluster_deinit(&bed->cluster);
    mesh_snapshot_unref(bed->mesh);
    xds_store_deinit(&bed->store);
    timers_close(&bed->timers, on_timers_closed);
    while (!bed->timers_closed)
        uv_run(&bed->loop.uv, UV_RUN_ONCE);
    loop_deinit(&bed->loop);
}

void bed_settle(struct bed *bed)
{
    int64_t end = clock_now_ms() + WAIT_MS;
    bed->verdict_count = 0;
    while (bed->cluster.settle.slot != 0 && clock_now_ms() < end)
        uv_run(&bed->loop.uv, UV_RUN_ONCE);
    CU_ASSERT_EQUAL_FATAL(bed->cluster.settle.slot, 0);
}

/* --- objects ---------------------------------------------------------------------------------- */

__attribute__((format(printf, 1, 0))) static json_t *parse(const char *format, va_list list)
{
    char *text = NULL;
    json_error_t error;
    CU_ASSERT_FATAL(vasprintf(&text, format, list) >= 0);
    for (char *at = text; *at; at++)
        *at = *at == '\'' ? '"' : *at;
    json_t *json = json_loads(text, JSON_REJECT_DUPLICATES, &error);
    if (!json)
        fprintf(stderr, "\n%s\n%s\n", error.text, text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(json);
    free(text);
    return json;
}

json_t *bed_json(const char *format, ...)
{
    va_list list;
    va_start(list, format);
    json_t *json = parse(format, list);
    va_end(list);
    return json;
}

static void put(struct bed *bed, enum cluster_kind kind, const char *key, json_t *object)
{
    CU_ASSERT_EQUAL(cluster_put(&bed->cluster, kind, key, object, NULL), ERR_OK);
    json_decref(object);
}

void bed_put(struct bed *bed, enum cluster_kind kind, const char *key, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    put(bed, kind, key, parse(format, list));
    va_end(list);
}

void bed_remove(struct bed *bed, enum cluster_kind kind, const char *key)
{
    cluster_remove(&bed->cluster, kind, key);
}

static const char * or (const char *text, const char *fallback)
{
    return text ? text : fallback;
}

json_t *bed_pod_json(const char *key, struct bed_pod pod)
{
    const char *name = strchr(key, '/') + 1;
    char owner[256] = "", addresses[256] = "";
    if (pod.owner)
        snprintf(owner, sizeof owner,
                 "'ownerReferences': [{'apiVersion': 'apps/v1', 'kind': '%s', 'name': '%s', "
                 "'uid': '0f8c', 'controller': true, 'blockOwnerDeletion': true}],",
                 pod.owner_kind, pod.owner);
    if (pod.ip)
        snprintf(addresses, sizeof addresses, "'podIP': '%s', 'podIPs': [{'ip': '%s'}%s%s%s],",
                 pod.ip, pod.ip, pod.ip6 ? ", {'ip': '" : "", or (pod.ip6, ""),
                 pod.ip6 ? "'}" : "");
    return bed_json(
        "{'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': '%s', 'namespace': '%.*s', %s "
        "'resourceVersion': '812', 'creationTimestamp': '%s', %s 'annotations': {%s}, "
        "'labels': {%s}}, "
        "'spec': {'serviceAccountName': '%s', 'nodeName': '%s', %s 'containers': [{'name': 'app', "
        "'image': 'web:1', 'ports': [{'name': 'http', 'containerPort': 8080}]}]}, "
        "'status': {'phase': '%s', %s 'conditions': [{'type': 'PodScheduled', 'status': 'True'}, "
        "{'type': 'Ready', 'status': '%s'}]}}",
        name, (int)(name - 1 - key), key, owner, or (pod.created, "2026-08-01T10:00:00Z"),
        pod.terminating ? "'deletionTimestamp': '2026-08-01T11:00:30Z'," : "",
        pod.plain || pod.host ? "'note': 'none'" : "'handfast.io/status': '{}'",
        or (pod.labels, ""), or (pod.account, "default"), or (pod.node, "node-1"),
        pod.host ? "'hostNetwork': true," : "", or (pod.phase, "Running"), addresses,
        pod.unready ? "False" : "True");
}

void bed_pod(struct bed *bed, const char *key, struct bed_pod pod)
{
    put(bed, CLUSTER_PODS, key, bed_pod_json(key, pod));
}

void bed_service(struct bed *bed, const char *key, const char *ip, const char *ports)
{
    bed_put(bed, CLUSTER_SERVICES, key,
            "{'metadata': {'name': 'x'}, 'spec': {'type': 'ClusterIP', 'clusterIP': '%s', "
            "'clusterIPs': ['%s'], 'selector': {'app': 'web'}, 'ports': [%s]}}",
            *ip ? ip : "None", *ip ? ip : "None", ports);
}

void bed_slice(struct bed *bed, const char *key, const char *service, unsigned port,
               const char *endpoints)
{
    char ports[64] = "";
    if (port)
        snprintf(ports, sizeof ports, "{'name': '', 'port': %u, 'protocol': 'TCP'}", port);
    bed_put(bed, CLUSTER_SLICES, key,
            "{'metadata': {'name': 'x', 'labels': {'kubernetes.io/service-name': '%s'}}, "
            "'addressType': '%s', 'ports': [%s], 'endpoints': [%s]}",
            service, strchr(endpoints, '[') && strstr(endpoints, "['fd") ? "IPv6" : "IPv4", ports,
            endpoints);
}

const char *bed_endpoint_that(const char *ip, const char *pod, const char *conditions)
{
    static char texts[8][256];
    static unsigned turn;
    char *text = texts[turn++ % 8];
    if (*pod)
        snprintf(text, sizeof texts[0],
                 "{'addresses': ['%s'], 'conditions': {%s}, 'nodeName': 'node-1', "
                 "'targetRef': {'kind': 'Pod', 'name': '%s'}}",
                 ip, conditions, pod);
    else
        snprintf(text, sizeof texts[0], "{'addresses': ['%s'], 'conditions': {%s}}", ip,
                 conditions);
    return text;
}

const char *bed_endpoint(const char *ip, const char *pod)
{
    return bed_endpoint_that(ip, pod, "'ready': true, 'serving': true, 'terminating': false");
}

void bed_policy(struct bed *bed, const char *key, const char *spec)
{
    bed_put(bed, CLUSTER_POLICIES, key,
            "{'apiVersion': 'handfast.io/v1', 'kind': 'AuthorizationPolicy', "
            "'metadata': {'name': 'x', 'generation': 1}, 'spec': %s}",
            spec);
}

void bed_mtls(struct bed *bed, const char *key, unsigned minute, const char *spec)
{
    bed_put(bed, CLUSTER_MTLS, key,
            "{'apiVersion': 'handfast.io/v1', 'kind': 'PeerAuthentication', 'metadata': {'name': "
            "'x', 'generation': 1, 'creationTimestamp': '2026-08-01T10:%02u:00Z'}, 'spec': %s}",
            minute, spec);
}

/* --- what came of it -------------------------------------------------------------------------- */

const struct mesh_workload *bed_workload(const struct bed *bed, const char *key)
{
    char uid[256];
    snprintf(uid, sizeof uid, "Kubernetes//Pod/%s", key);
    return mesh_find_workload(bed->mesh, uid);
}

const struct mesh_service *bed_service_of(const struct bed *bed, const char *key)
{
    char name[256];
    const char *slash = strchr(key, '/');
    snprintf(name, sizeof name, "%s.%.*s.svc.cluster.local", key, (int)(slash - key), key);
    return mesh_find_service(bed->mesh, name);
}

static int compare(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static const char *join(char **texts, unsigned count)
{
    static char out[TEXT];
    size_t used = 0;
    out[0] = 0;
    if (count > 1)
        qsort(texts, count, sizeof *texts, compare);
    for (unsigned i = 0; i < count; i++) {
        used += (size_t)snprintf(out + used, sizeof out - used, "%s%s", i ? "," : "", texts[i]);
        free(texts[i]);
    }
    return out;
}

const char *bed_endpoints(const struct bed *bed, const char *key, uint16_t port)
{
    char *texts[64];
    unsigned count = 0;
    const struct mesh_service *service = bed_service_of(bed, key);
    struct mesh_endpoints endpoints = {0};
    if (service)
        endpoints = mesh_service_endpoints(bed->mesh, service);
    for (unsigned i = 0; i < endpoints.count; i++) {
        uint16_t target = mesh_endpoint_port(&endpoints.items[i], service, port);
        CU_ASSERT_FATAL(
            asprintf(&texts[count++], "%s:%u", endpoints.items[i].workload->name, target) > 0);
    }
    return join(texts, count);
}

const char *bed_policies_of(const struct bed *bed, const char *key)
{
    char *texts[64];
    const struct mesh_workload *workload = bed_workload(bed, key);
    CU_ASSERT_PTR_NOT_NULL_FATAL(workload);
    for (unsigned i = 0; i < workload->policy_count; i++)
        texts[i] = strdup(workload->policies[i]);
    return join(texts, workload->policy_count);
}

const char *bed_policies(const struct bed *bed)
{
    char *texts[64];
    unsigned count = 0;
    for (; count < mesh_policy_count(bed->mesh); count++)
        texts[count] = strdup(mesh_policy_at(bed->mesh, count)->key);
    return join(texts, count);
}

bool bed_allows(const struct bed *bed, const char *from, const char *to, uint16_t port)
{
    char principal[256];
    struct mesh_verdict verdict;
    struct mesh_request request = {.destination_port = port};
    const struct mesh_workload *workload = bed_workload(bed, to);
    const char *slash = strchr(from, '/');
    CU_ASSERT_PTR_NOT_NULL_FATAL(workload);
    request.destination_ip = workload->addresses[0];
    CU_ASSERT_FATAL(addr_parse(&request.source_ip, slash ? "10.1.200.1" : from));
    if (slash) {
        snprintf(principal, sizeof principal, "spiffe://" BED_DOMAIN "/ns/%.*s/sa/%s",
                 (int)(slash - from), from, slash + 1);
        request.principal = principal;
        request.principal_len = strlen(principal);
    }
    mesh_authorize(bed->mesh, workload, &request, &verdict);
    CU_ASSERT_NOT_EQUAL(verdict.decision, MESH_PENDING);
    return verdict.decision == MESH_ALLOW;
}

const struct bed_verdict *bed_verdict_on(const struct bed *bed, enum cluster_kind kind,
                                         const char *key)
{
    for (unsigned i = 0; i < bed->verdict_count; i++) {
        if (bed->verdicts[i].kind == kind && strcmp(bed->verdicts[i].key, key) == 0)
            return &bed->verdicts[i];
    }
    return NULL;
}
