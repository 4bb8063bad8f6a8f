/* What a large cluster costs the control plane: time and memory until the first mesh, and the time
 * of single changes after that.
 *
 *     build/release/tests/bench_cluster [pods] [services]
 *
 * Objects are of about the size that an API server sends; parsing their JSON is not counted. A
 * change is taken in, compiled, and put into the store that proxies are fed from; the 20 ms of
 * CLUSTER_SETTLE_MS are not counted. The median of 21 runs is shown. */
#include <malloc.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/log.h"
#include "control/cluster.h"
#include "control/cluster_compile.h"
#include "xds/store.h"

enum { RUNS = 21, NAMESPACES = 50, PER_SLICE = 100 };

static struct cluster cluster;
static struct xds_store store;
static unsigned pods = 10000, services = 500;

/* Of the processor: whoever else is busy on the machine does not count. */
static double now_ms(void)
{
    struct timespec time;
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &time);
    return (double)time.tv_sec * 1e3 + (double)time.tv_nsec / 1e6;
}

static double megabytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return (double)(info.uordblks + info.hblkhd) / 1e6;
}

static json_t *parse(const char *format, ...) __attribute__((format(printf, 1, 2)));
static json_t *parse(const char *format, ...)
{
    char *text;
    va_list list;
    va_start(list, format);
    if (vasprintf(&text, format, list) < 0)
        abort();
    va_end(list);
    for (char *at = text; *at; at++)
        *at = *at == '\'' ? '"' : *at;
    json_t *json = json_loads(text, 0, NULL);
    free(text);
    if (!json)
        abort();
    return json;
}

static double took_ms; /* by cluster_put() alone */

static void put(enum cluster_kind kind, const char *key, json_t *object)
{
    double begin = now_ms();
    if (cluster_put(&cluster, kind, key, object, NULL) != ERR_OK)
        abort();
    took_ms += now_ms() - begin;
    json_decref(object);
}

/* Pod i is in namespace i % NAMESPACES and behind service i % services, which is in the same one:
 * the number of services is a multiple of that of namespaces. */
static void put_pod(unsigned i, bool ready)
{
    char key[64];
    snprintf(key, sizeof key, "ns-%u/web-%u", i % NAMESPACES, i);
    put(CLUSTER_PODS, key,
        parse("{'apiVersion': 'v1', 'kind': 'Pod', 'metadata': {'name': 'web-%u', 'generateName': "
              "'web-5d4f8c7b9d-', 'uid': '5d7b8a52-6a2c-4d0e-8f5f-0c6a0e2b9d3a', "
              "'resourceVersion': '81234', 'creationTimestamp': '2026-08-01T10:00:00Z', 'labels': "
              "{'app': 'app-%u', 'pod-template-hash': '5d4f8c7b9d', 'version': 'v1'}, "
              "'annotations': {'handfast.io/status': '{}'}, 'ownerReferences': [{'apiVersion': "
              "'apps/v1', 'kind': 'ReplicaSet', 'name': 'web-5d4f8c7b9d', 'controller': true}]}, "
              "'spec': {'serviceAccountName': 'web', 'nodeName': 'node-%u', 'containers': [{'name':"
              " 'app', 'image': 'registry/web:1', 'ports': [{'name': 'http', 'containerPort': "
              "8080}]}]}, 'status': {'phase': 'Running', 'podIP': '10.%u.%u.%u', 'podIPs': [{'ip': "
              "'10.%u.%u.%u'}], 'conditions': [{'type': 'Ready', 'status': '%s'}]}}",
              i, i % services, i % 100, i >> 16, i >> 8 & 255, i & 255, i >> 16, i >> 8 & 255,
              i & 255, ready ? "True" : "False"));
}

static void put_service(unsigned i)
{
    char key[64];
    snprintf(key, sizeof key, "ns-%u/svc-%u", i % NAMESPACES, i);
    put(CLUSTER_SERVICES, key,
        parse("{'spec': {'clusterIPs': ['172.16.%u.%u'], 'selector': {'app': 'app-%u'}, 'ports': "
              "[{'name': 'http', 'port': 80, 'targetPort': 'http'}]}}",
              i >> 8, i & 255, i));
}

/* Every slice of service i. */
static void put_slices(unsigned i, bool ready)
{
    char key[64];
    unsigned number = 0;
    for (unsigned pod = i; pod < pods; number++) {
        json_t *slice = parse("{'metadata': {'labels': {'kubernetes.io/service-name': 'svc-%u'}}, "
                              "'addressType': 'IPv4', 'ports': [{'name': 'http', 'port': 8080, "
                              "'protocol': 'TCP'}], 'endpoints': []}",
                              i);
        for (unsigned n = 0; n < PER_SLICE && pod < pods; n++, pod += services)
            json_array_append_new(
                json_object_get(slice, "endpoints"),
                parse("{'addresses': ['10.%u.%u.%u'], 'conditions': {'ready': %s, 'serving': true, "
                      "'terminating': false}, 'nodeName': 'node-1', 'targetRef': {'kind': 'Pod', "
                      "'namespace': 'ns-%u', 'name': 'web-%u'}}",
                      pod >> 16, pod >> 8 & 255, pod & 255, n > 0 || ready ? "true" : "false",
                      pod % NAMESPACES, pod));
        snprintf(key, sizeof key, "ns-%u/svc-%u-%u", i % NAMESPACES, i, number);
        put(CLUSTER_SLICES, key, slice);
    }
}

static void put_policy(const char *key, unsigned port, const char *selector)
{
    put(CLUSTER_POLICIES, key,
        parse("{'spec': {%s 'rules': [{'from': [{'source': {'principals': "
              "['cluster.local/ns/ns-1/sa/*']}}], 'to': [{'operation': {'ports': ['%u']}}]}]}}",
              selector, port));
}

static void publish(struct compiled *compiled)
{
    bool changed;
    struct err err;
    struct xds_set *policies = xds_set_new();
    for (unsigned i = 0; i < compiled->policy_count; i++)
        xds_set_add(policies, xds_resource_ref(compiled->policies[i].resource), &err);
    xds_store_update(&store, XDS_ADDRESS, compiled->addresses, &changed, &err);
    xds_store_update(&store, XDS_AUTHORIZATION, policies, &changed, &err);
    compiled->addresses = NULL;
    compiled_deinit(compiled);
}

static double compile_ms(void)
{
    struct err err;
    struct compiled compiled;
    double begin = now_ms();
    if (cluster_compile(&cluster.graph, &err) != ERR_OK)
        abort();
    if (cluster.graph.changed) {
        if (cluster_compile_take(&cluster.graph, &compiled, &err) != ERR_OK)
            abort();
        publish(&compiled);
    }
    return now_ms() - begin;
}

static int compare(const void *a, const void *b)
{
    double left = *(const double *)a, right = *(const double *)b;
    return left < right ? -1 : left > right;
}

/* The median over changes made by `change(run)`. */
static void measure(const char *what, void (*change)(unsigned run))
{
    double runs[RUNS];
    uint64_t encoded = cluster.graph.encoded;
    for (unsigned run = 0; run < RUNS; run++) {
        took_ms = 0;
        change(run);
        double put_ms = took_ms;
        runs[run] = put_ms + compile_ms();
    }
    qsort(runs, RUNS, sizeof *runs, compare);
    printf("%-44s %7.2f ms   %5.0f records made\n", what, runs[RUNS / 2],
           (double)(cluster.graph.encoded - encoded) / RUNS);
}

static void change_nothing(unsigned run)
{
    (void)run;
    put_pod(77, true);
}

static void change_pod(unsigned run)
{
    put_pod(77, run % 2);
}

static void change_slice(unsigned run)
{
    put_slices(1, run % 2);
}

static void change_policy(unsigned run)
{
    put_policy("ns-1/all", 80 + run, "");
}

static void change_selector(unsigned run)
{
    char selector[64];
    snprintf(selector, sizeof selector, "'selector': {'matchLabels': {'app': 'app-%u'}},",
             1 + run % 2 * NAMESPACES);
    put_policy("ns-1/some", 80, selector);
}

static void change_mesh(unsigned run)
{
    static const char *const selectors[] = {"", "'selector': {'matchLabels': {'version': 'v1'}},"};
    put_policy("handfast-system/all", 80, selectors[run % 2]);
}

int main(int argc, char **argv)
{
    static struct timers timers;
    static struct tally tally;
    static const struct cluster_events events = {0};
    const struct cluster_config config = {.cluster_id = "Kubernetes",
                                          .trust_domain = "cluster.local",
                                          .root_namespace = "handfast-system"};
    if (argc > 1)
        pods = (unsigned)atoi(argv[1]);
    if (argc > 2)
        services = ((unsigned)atoi(argv[2]) + NAMESPACES - 1) / NAMESPACES * NAMESPACES;
    log_set_level(LOG_LEVEL_ERROR);
    xds_store_init(&store);
    cluster_init(&cluster, &config, &timers, &tally, &events, NULL);
    double before = megabytes();
    for (unsigned i = 0; i < pods; i++)
        put_pod(i, true);
    for (unsigned i = 0; i < services; i++) {
        put_service(i);
        put_slices(i, true);
    }
    for (unsigned i = 0; i < NAMESPACES; i++) {
        char key[64], selector[64];
        snprintf(key, sizeof key, "ns-%u/some", i);
        snprintf(selector, sizeof selector, "'selector': {'matchLabels': {'app': 'app-%u'}},", i);
        put_policy(key, 80, selector);
    }
    printf("%u pods, %u services, %u policies\n", pods, services, NAMESPACES);
    printf("%-44s %7.2f ms\n", "taking the objects in", took_ms);
    double first_ms = compile_ms();
    printf("%-44s %7.2f ms   %5.0f records made\n", "the first mesh", first_ms,
           (double)cluster.graph.encoded);
    printf("%-44s %7.1f MB\n", "memory for all of it", megabytes() - before);
    measure("a pod that says the same", change_nothing);
    measure("a pod is ready or is not", change_pod);
    measure("an endpoint is ready or is not", change_slice);
    measure("a namespace's policy has another rule", change_policy);
    measure("a policy selects other pods", change_selector);
    measure("a policy of the mesh selects all pods or not", change_mesh);
    cluster_deinit(&cluster);
    xds_store_deinit(&store);
    return 0;
}
