/* The control plane from outside: the mesh over a proxy's stream, and what happens to it when the
 * file is edited. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "client.h"
#include "mesh/authorize.h"
#include "suite.h"

static struct plane plane;
static struct client client;
static struct line line;

/* A proxy: its stream, and the last mesh that it was told. */
struct proxy {
    struct xds_client *xds;
    struct mesh_snapshot *snapshot;
    uint64_t snapshots, wanted;
    char bundle[2048];
    bool ended, closed;
    struct err err;
};

static void on_snapshot(struct mesh_snapshot *snapshot, void *arg)
{
    struct proxy *proxy = arg;
    mesh_snapshot_unref(proxy->snapshot);
    proxy->snapshot = snapshot;
    proxy->snapshots++;
}

static void on_bundle(const struct xds_bundle *bundle, void *arg)
{
    struct proxy *proxy = arg;
    if (bundle->domain_count == 1)
        snprintf(proxy->bundle, sizeof proxy->bundle, "%s", bundle->domains[0].pem);
}

static void on_end(const struct err *err, bool answered, void *arg)
{
    struct proxy *proxy = arg;
    (void)answered;
    proxy->err = *err;
    proxy->ended = true;
}

static bool has_enough(void *arg)
{
    struct proxy *proxy = arg;
    return proxy->snapshots >= proxy->wanted || proxy->ended;
}

static bool has_everything(void *arg)
{
    struct proxy *proxy = arg;
    return proxy->snapshots > 0 && proxy->bundle[0];
}

static bool has_ended(void *arg)
{
    return ((struct proxy *)arg)->ended;
}

static bool is_closed(void *arg)
{
    return ((struct proxy *)arg)->closed;
}

static bool wait_snapshots(struct proxy *proxy, uint64_t count)
{
    proxy->wanted = count;
    return client_wait(&client, has_enough, proxy) && !proxy->ended;
}

static void proxy_open(struct proxy *proxy, const char *namespace, const char *token)
{
    static const struct xds_client_events events = {
        .on_snapshot = on_snapshot, .on_bundle = on_bundle, .on_end = on_end};
    const struct xds_client_config config = {.pod_ip = "10.9.0.2",
                                             .pod_name = "web-1",
                                             .namespace = namespace,
                                             .cluster_id = "Kubernetes",
                                             .trust_domain = "test.mesh"};
    struct err err = {0};
    *proxy = (struct proxy){0};
    proxy->xds = xds_client_new(&client.timers, &config, &events, proxy, &err);
    CU_ASSERT_FATAL(proxy->xds != NULL);
    CU_ASSERT_EQUAL_FATAL(xds_client_attach(proxy->xds, line.channel, token, &err), ERR_OK);
}

static void on_proxy_closed(void *arg)
{
    ((struct proxy *)arg)->closed = true;
}

static void proxy_close(struct proxy *proxy)
{
    xds_client_close(proxy->xds, on_proxy_closed, proxy);
    CU_ASSERT_FATAL(client_wait(&client, is_closed, proxy));
    mesh_snapshot_unref(proxy->snapshot);
}

static void setup(const char *mesh)
{
    plane_start(&plane, mesh);
    client_start(&client, &plane);
    CU_ASSERT_FATAL(line_open(&line, &client, plane.port, "control.test"));
}

static void setup_proxy(struct proxy *proxy, const char *mesh)
{
    setup(mesh);
    char *token = plane_token(&plane, "web");
    proxy_open(proxy, "shop", token);
    free(token);
    CU_ASSERT_FATAL(client_wait(&client, has_everything, proxy));
}

static void teardown(void)
{
    line_close(&line);
    client_stop(&client);
    plane_stop(&plane);
}

/* Renames a new file over the old one, as editors do. */
static void edit(const char *mesh)
{
    CU_ASSERT_FATAL(folder_write(&plane.folder, "mesh.yaml.new", mesh, 0644));
    CU_ASSERT_FATAL(rename(folder_path(&plane.folder, "mesh.yaml.new"),
                           folder_path(&plane.folder, "mesh.yaml")) == 0);
}

static char *with(const char *more)
{
    static char text[8192];
    snprintf(text, sizeof text, "%s%s", plane_mesh, more);
    return text;
}

static struct mesh_target at(struct proxy *proxy, const char *ip)
{
    struct addr addr;
    CU_ASSERT_FATAL(addr_parse(&addr, ip));
    return mesh_find_address(proxy->snapshot, &addr);
}

/* May `principal` (NULL: plaintext) talk to web-1 at `port`? */
static enum mesh_decision decide(struct proxy *proxy, const char *principal, uint16_t port)
{
    struct mesh_request request = {.destination_port = port, .principal = principal};
    struct mesh_verdict verdict;
    request.principal_len = principal ? strlen(principal) : 0;
    addr_parse(&request.source_ip, "10.9.0.3");
    addr_parse(&request.destination_ip, "10.9.0.2");
    mesh_authorize(proxy->snapshot,
                   mesh_find_workload(proxy->snapshot, "Kubernetes//Pod/shop/web-1"), &request,
                   &verdict);
    return verdict.decision;
}

static void stream_carries_the_mesh_of_the_file(void)
{
    struct proxy proxy;
    setup_proxy(&proxy, plane_mesh);
    char *root = plane_root(&plane), id[MESH_SPIFFE_MAX];
    const struct mesh_workload *web = at(&proxy, "10.9.0.2").workload;
    const struct mesh_service *service = at(&proxy, "10.96.0.1").service;
    CU_ASSERT_FATAL(web && service);
    CU_ASSERT_STRING_EQUAL(web->uid, "Kubernetes//Pod/shop/web-1");
    CU_ASSERT_STRING_EQUAL(web->canonical_name, "web");
    CU_ASSERT_STRING_EQUAL(web->canonical_revision, "v2");
    CU_ASSERT_EQUAL(web->tunnel, MESH_TUNNEL_LEGACY_MTLS);
    CU_ASSERT_PTR_EQUAL(at(&proxy, "fd09::2").workload, web);
    mesh_workload_spiffe_id(web, "test.mesh", id);
    CU_ASSERT_STRING_EQUAL(id, "spiffe://test.mesh/ns/shop/sa/web");
    CU_ASSERT_STRING_EQUAL(service->hostname, "web.shop.svc.cluster.local");
    struct mesh_endpoints endpoints = mesh_service_endpoints(proxy.snapshot, service);
    CU_ASSERT_EQUAL_FATAL(endpoints.count, 1);
    CU_ASSERT_PTR_EQUAL(endpoints.items[0].workload, web);
    CU_ASSERT_EQUAL(mesh_endpoint_port(&endpoints.items[0], service, 80), 8080);
    const struct mesh_workload *old = at(&proxy, "10.9.0.4").workload;
    CU_ASSERT_FATAL(old != NULL);
    CU_ASSERT_EQUAL(old->tunnel, MESH_TUNNEL_NONE);
    mesh_workload_spiffe_id(old, "test.mesh", id);
    CU_ASSERT_STRING_EQUAL(id, "spiffe://test.mesh/ns/shop/sa/default");
    CU_ASSERT_EQUAL(decide(&proxy, NULL, 8080), MESH_ALLOW);
    CU_ASSERT_STRING_EQUAL(proxy.bundle, root);
    free(root);
    proxy_close(&proxy);
    teardown();
}

static void stream_is_told_of_an_edit_and_of_nothing_else(void)
{
    struct proxy proxy;
    setup_proxy(&proxy, plane_mesh);
    uint64_t sent = xds_client_stats(proxy.xds)->resources;
    char text[4096], *found;
    strcpy(text, plane_mesh);
    found = strstr(text, "10.9.0.3");
    found[7] = '7';
    edit(text);
    CU_ASSERT_TRUE(wait_snapshots(&proxy, 2));
    CU_ASSERT_PTR_NULL(at(&proxy, "10.9.0.3").workload);
    CU_ASSERT_PTR_NOT_NULL(at(&proxy, "10.9.0.7").workload);
    CU_ASSERT_EQUAL(xds_client_stats(proxy.xds)->resources, sent + 1);
    CU_ASSERT_EQUAL(plane_metric(&plane, "handfast_control_mesh_loads_total"), 2);
    proxy_close(&proxy);
    teardown();
}

static void stream_keeps_the_last_good_mesh_after_a_bad_edit(void)
{
    struct proxy proxy;
    setup_proxy(&proxy, plane_mesh);
    edit("trust_domain: test.mesh\nworkloads: 7\n");
    CU_ASSERT(plane_metric_reaches(&plane, "handfast_control_mesh_load_failures_total", 1));
    CU_ASSERT_EQUAL(plane_metric(&plane, "handfast_control_mesh_loads_total"), 1);
    edit("trust_domain: other.mesh\n");
    CU_ASSERT(plane_metric_reaches(&plane, "handfast_control_mesh_load_failures_total", 2));
    CU_ASSERT_EQUAL(proxy.snapshots, 1);
    /* The next good one is taken. */
    edit(with("  - {name: more, namespace: shop, ports: [{port: 81}], workloads: [client-1]}\n"));
    CU_ASSERT_TRUE(wait_snapshots(&proxy, 2));
    CU_ASSERT_PTR_NOT_NULL(mesh_find_service(proxy.snapshot, "shop/more.shop.svc.cluster.local"));
    proxy_close(&proxy);
    teardown();
}

static void stream_brings_policies_and_the_records_that_name_them(void)
{
    struct proxy proxy;
    setup_proxy(&proxy, with("policies:\n"
                             "  - name: only-client\n"
                             "    namespace: shop\n"
                             "    selector: {app: web}\n"
                             "    action: allow\n"
                             "    rules:\n"
                             "      - from: [{principals: [test.mesh/ns/shop/sa/client]}]\n"
                             "        to: [{ports: [8080]}]\n"
                             "mtls:\n"
                             "  - {mode: strict}\n"
                             "  - {mode: permissive, selector: {app: web}, ports: [9090]}\n"));
    const struct mesh_workload *web = at(&proxy, "10.9.0.2").workload;
    CU_ASSERT_EQUAL_FATAL(web->policy_count, 2);
    CU_ASSERT_STRING_EQUAL(web->policies[0], "shop/only-client");
    CU_ASSERT_STRING_EQUAL(web->policies[1], "shop/strict-mtls-selected-except-9090");
    CU_ASSERT_EQUAL(decide(&proxy, "test.mesh/ns/shop/sa/client", 8080), MESH_ALLOW);
    CU_ASSERT_EQUAL(decide(&proxy, "test.mesh/ns/shop/sa/client", 8081), MESH_DENY);
    CU_ASSERT_EQUAL(decide(&proxy, "test.mesh/ns/shop/sa/web", 8080), MESH_DENY);
    CU_ASSERT_EQUAL(decide(&proxy, NULL, 8080), MESH_DENY);
    /* client-1 is strict on every port, old-1 has nobody to be strict. */
    const struct mesh_workload *other = at(&proxy, "10.9.0.3").workload;
    CU_ASSERT_EQUAL_FATAL(other->policy_count, 1);
    CU_ASSERT_STRING_EQUAL(other->policies[0], "shop/strict-mtls-selected");
    CU_ASSERT_EQUAL(at(&proxy, "10.9.0.4").workload->policy_count, 0);
    proxy_close(&proxy);
    teardown();
}

static const char guard_mesh[] = "mtls: [{mode: strict}]\n";
static const char guard_selected[] = "mtls: [{mode: strict, selector: {app: web}}]\n";

/* From a policy of the whole mesh to one that records name, and back: plaintext never gets in. */
static void stream_never_leaves_a_workload_without_its_guard(void)
{
    struct proxy proxy;
    setup_proxy(&proxy, with(guard_mesh));
    CU_ASSERT_EQUAL(decide(&proxy, NULL, 8080), MESH_DENY);
    for (int round = 0; round < 2; round++) {
        edit(with(round == 0 ? guard_selected : guard_mesh));
        const char *gone = round == 0 ? "/strict-mtls" : "shop/strict-mtls-selected";
        while (mesh_find_policy(proxy.snapshot, gone)) {
            CU_ASSERT_FATAL(wait_snapshots(&proxy, proxy.snapshots + 1));
            CU_ASSERT_NOT_EQUAL(decide(&proxy, NULL, 8080), MESH_ALLOW);
        }
        CU_ASSERT_EQUAL(decide(&proxy, NULL, 8080), MESH_DENY);
    }
    proxy_close(&proxy);
    teardown();
}

/* The same policy, first for the namespace, then for selected workloads, then for the namespace. */
static void stream_never_leaves_a_workload_without_its_policy(void)
{
    static const char wide[] =
        "policies: [{name: p, namespace: shop, action: deny, rules: [{}]}]\n";
    static const char narrow[] = "policies: [{name: p, namespace: shop, action: deny, rules: [{}], "
                                 "selector: {app: web}}]\n";
    struct proxy proxy;
    setup_proxy(&proxy, with(wide));
    for (int round = 0; round < 2; round++) {
        enum mesh_scope wanted = round == 0 ? MESH_SCOPE_WORKLOAD : MESH_SCOPE_NAMESPACE;
        edit(with(round == 0 ? narrow : wide));
        do {
            CU_ASSERT_FATAL(wait_snapshots(&proxy, proxy.snapshots + 1));
            CU_ASSERT_EQUAL(decide(&proxy, NULL, 8080), MESH_DENY);
        } while (mesh_find_policy(proxy.snapshot, "shop/p")->scope != wanted);
    }
    proxy_close(&proxy);
    teardown();
}

static void stream_is_refused_to_a_node_of_another_namespace(void)
{
    struct proxy proxy;
    setup(plane_mesh);
    char *token = plane_token(&plane, "web");
    proxy_open(&proxy, "elsewhere", token);
    CU_ASSERT_TRUE(client_wait(&client, has_ended, &proxy));
    CU_ASSERT_EQUAL(proxy.snapshots, 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(proxy.err.text, "namespace"));
    free(token);
    proxy_close(&proxy);
    teardown();
}

static void stream_ends_when_the_control_plane_does(void)
{
    struct proxy proxy;
    setup_proxy(&proxy, plane_mesh);
    plane_end(&plane);
    CU_ASSERT_TRUE(client_wait(&client, has_ended, &proxy));
    CU_ASSERT_PTR_NOT_NULL(strstr(proxy.err.text, "UNAVAILABLE: the control plane ends"));
    proxy_close(&proxy);
    line_close(&line);
    CU_ASSERT_EQUAL(line.err.code, ERR_OK); /* a clean end, no reset */
    plane_join(&plane);
    client_stop(&client);
}

static void stream_ends_when_its_token_does(void)
{
    struct proxy proxy;
    setup(plane_mesh);
    char *token = plane_token_for(
        &plane, &(struct token_claims){
                    .audience = "handfast", .ns = "shop", .service_account = "web", .ttl_s = 3});
    proxy_open(&proxy, "shop", token);
    CU_ASSERT_TRUE(client_wait(&client, has_ended, &proxy));
    CU_ASSERT(plane_metric_reaches(&plane, "handfast_control_streams_expired_total", 1));
    free(token);
    proxy_close(&proxy);
    teardown();
}

static void stream_of_what_is_no_message_ends_alone(void)
{
    struct proxy proxy;
    setup_proxy(&proxy, plane_mesh);
    char *token = plane_token(&plane, "web");
    const struct request malformed = {
        .path = XDS_METHOD_DELTA, .token = token, .data = "\x0f\xff\xff", .len = 3, .stream = true};
    struct answer answer = line_call(&line, &malformed);
    CU_ASSERT_EQUAL(answer.status, RPC_INVALID_ARGUMENT);
    answer_free(&answer);
    char *large = calloc(1, 5 << 20);
    const struct request huge = {
        .path = XDS_METHOD_DELTA, .token = token, .data = large, .len = 5 << 20, .stream = true};
    answer = line_call(&line, &huge);
    CU_ASSERT_EQUAL(answer.status, RPC_RESOURCE_EXHAUSTED);
    answer_free(&answer);
    CU_ASSERT_FALSE(proxy.ended);
    free(large);
    free(token);
    proxy_close(&proxy);
    teardown();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(stream_carries_the_mesh_of_the_file),
        SUITE_CASE(stream_is_told_of_an_edit_and_of_nothing_else),
        SUITE_CASE(stream_keeps_the_last_good_mesh_after_a_bad_edit),
        SUITE_CASE(stream_brings_policies_and_the_records_that_name_them),
        SUITE_CASE(stream_never_leaves_a_workload_without_its_guard),
        SUITE_CASE(stream_never_leaves_a_workload_without_its_policy),
        SUITE_CASE(stream_is_refused_to_a_node_of_another_namespace),
        SUITE_CASE(stream_ends_when_the_control_plane_does),
        SUITE_CASE(stream_ends_when_its_token_does),
        SUITE_CASE(stream_of_what_is_no_message_ends_alone),
        SUITE_END,
    };
    return suite_main("control.stream", cases, argc, argv);
}
