/* Who stands behind a service, as proxies see it. */
#include "control/cluster_members.h"

#include <stdio.h>
#include <string.h>

#include "bed.h"
#include "suite.h"

#define UNREADY "'ready': false, 'serving': false, 'terminating': false"
#define LEAVING "'ready': false, 'serving': true, 'terminating': true"
#define GONE "'ready': false, 'serving': false, 'terminating': true"

static struct bed bed;

static const char *list(const char *a, const char *b)
{
    static char text[1024];
    snprintf(text, sizeof text, "%s, %s", a, b);
    return text;
}

/* shop/web on 10.96.0.1:80 with the pods web-1 and web-2 on 8080. */
static void setup(void)
{
    bed_start(&bed);
    bed_pod(&bed, "shop/web-1", (struct bed_pod){.ip = "10.1.0.1"});
    bed_pod(&bed, "shop/web-2", (struct bed_pod){.ip = "10.1.0.2"});
    bed_service(&bed, "shop/web", "10.96.0.1", "{'port': 80, 'targetPort': 8080}");
    bed_slice(&bed, "shop/web-abcde", "web", 8080,
              list(bed_endpoint("10.1.0.1", "web-1"), bed_endpoint("10.1.0.2", "web-2")));
    bed_settle(&bed);
}

#define EXPECT_ENDPOINTS(key, port, expected)                                                      \
    do {                                                                                           \
        const char *found_ = bed_endpoints(&bed, key, port);                                       \
        CU_ASSERT_STRING_EQUAL(found_, expected);                                                  \
        if (strcmp(found_, expected) != 0)                                                         \
            fprintf(stderr, "\nfound    %s\nexpected %s\n", found_, expected);                     \
    } while (0)

static bool service_is_at(const char *key, const char *ip)
{
    struct addr addr;
    CU_ASSERT_FATAL(addr_parse(&addr, ip));
    const struct mesh_service *service = mesh_find_address(bed.mesh, &addr).service;
    return service && service == bed_service_of(&bed, key);
}

static void service_leads_to_the_ready_pods_of_its_slices(void)
{
    setup();
    EXPECT_ENDPOINTS("shop/web", 80, "web-1:8080,web-2:8080");
    CU_ASSERT_TRUE(service_is_at("shop/web", "10.96.0.1"));
    bed_slice(
        &bed, "shop/web-abcde", "web", 8080,
        list(bed_endpoint_that("10.1.0.1", "web-1", UNREADY), bed_endpoint("10.1.0.2", "web-2")));
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "web-2:8080");
    bed_slice(&bed, "shop/web-abcde", "web", 8080, "");
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "");
    bed_stop(&bed);
}

static void service_does_not_wait_for_its_slice_to_leave_a_pod_out(void)
{
    setup();
    bed_pod(&bed, "shop/web-1", (struct bed_pod){.ip = "10.1.0.1", .unready = true});
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "web-2:8080");
    bed_pod(&bed, "shop/web-1", (struct bed_pod){.ip = "10.1.0.1", .terminating = true});
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "web-2:8080");
    bed_remove(&bed, CLUSTER_PODS, "shop/web-2");
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "web-1:8080"); /* the last one, to its end */
    bed_remove(&bed, CLUSTER_PODS, "shop/web-1");
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "");
    bed_stop(&bed);
}

static void service_falls_back_to_pods_that_terminate_and_still_serve(void)
{
    setup();
    bed_slice(&bed, "shop/web-abcde", "web", 8080,
              list(bed_endpoint_that("10.1.0.1", "web-1", LEAVING),
                   bed_endpoint_that("10.1.0.2", "web-2", GONE)));
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "web-1:8080");
    /* One that is not ready is no fallback, and one that is ready ends it. */
    bed_slice(&bed, "shop/web-abcde", "web", 8080,
              list(bed_endpoint_that("10.1.0.1", "web-1", LEAVING),
                   bed_endpoint_that("10.1.0.2", "web-2", UNREADY)));
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "web-1:8080");
    bed_slice(
        &bed, "shop/web-abcde", "web", 8080,
        list(bed_endpoint_that("10.1.0.1", "web-1", LEAVING), bed_endpoint("10.1.0.2", "web-2")));
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "web-2:8080");
    CU_ASSERT_FALSE(bed_service_of(&bed, "shop/web")->allow_unhealthy);
    bed_stop(&bed);
}

static void service_that_publishes_unready_addresses_leads_to_them(void)
{
    setup();
    bed_pod(&bed, "shop/web-1", (struct bed_pod){.ip = "10.1.0.1", .unready = true});
    bed_pod(&bed, "shop/web-2", (struct bed_pod){.ip = "10.1.0.2", .terminating = true});
    bed_put(&bed, CLUSTER_SERVICES, "shop/web",
            "{'spec': {'clusterIPs': ['None'], 'selector': {'app': 'web'}, 'ports': [{'port': 80}],"
            "'publishNotReadyAddresses': true}}");
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "web-1:8080,web-2:8080");
    bed_stop(&bed);
}

/* Endpoint slices group pods by what a named port comes to in them. */
static void service_ports_with_names_are_each_pods_own(void)
{
    setup();
    bed_service(&bed, "shop/web", "10.96.0.1",
                "{'name': 'http', 'port': 80, 'targetPort': 'web'}, "
                "{'name': 'admin', 'port': 81, 'targetPort': 9000}, "
                "{'name': 'dns', 'port': 53, 'protocol': 'UDP'}");
    bed_put(&bed, CLUSTER_SLICES, "shop/web-abcde",
            "{'metadata': {'labels': {'kubernetes.io/service-name': 'web'}}, 'addressType': 'IPv4',"
            "'ports': [{'name': 'admin', 'port': 9000}, {'name': 'http', 'port': 8080, 'protocol': "
            "'TCP'}, {'name': 'dns', 'port': 53, 'protocol': 'UDP'}], 'endpoints': [%s]}",
            bed_endpoint("10.1.0.1", "web-1"));
    bed_put(&bed, CLUSTER_SLICES, "shop/web-fghij",
            "{'metadata': {'labels': {'kubernetes.io/service-name': 'web'}}, 'addressType': 'IPv4',"
            "'ports': [{'name': 'http', 'port': 7070}, {'name': 'none', 'port': null}],"
            "'endpoints': [%s]}",
            bed_endpoint("10.1.0.2", "web-2"));
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "web-1:8080,web-2:7070");
    EXPECT_ENDPOINTS("shop/web", 53, "web-1:0,web-2:0");
    CU_ASSERT_EQUAL(bed_service_of(&bed, "shop/web")->port_count, 2);
    bed_stop(&bed);
}

static void service_of_both_families_has_both_addresses(void)
{
    setup();
    bed_pod(&bed, "shop/web-1", (struct bed_pod){.ip = "10.1.0.1", .ip6 = "fd00:1::1"});
    bed_put(&bed, CLUSTER_SERVICES, "shop/web",
            "{'spec': {'clusterIP': '10.96.0.1', 'clusterIPs': ['10.96.0.1', 'fd00:96::1'], "
            "'selector': {'app': 'web'}, 'ports': [{'port': 80, 'targetPort': 8080}]}}");
    bed_slice(&bed, "shop/web-v6", "web", 8080, bed_endpoint("fd00:1::1", "web-1"));
    bed_settle(&bed);
    CU_ASSERT_TRUE(service_is_at("shop/web", "10.96.0.1"));
    CU_ASSERT_TRUE(service_is_at("shop/web", "fd00:96::1"));
    EXPECT_ENDPOINTS("shop/web", 80, "web-1:8080,web-2:8080");
    /* The pod stays as long as one of its slices has it. */
    bed_slice(&bed, "shop/web-abcde", "web", 8080, "");
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "web-1:8080");
    bed_stop(&bed);
}

static void service_without_an_address_is_reached_by_those_of_its_pods(void)
{
    struct addr ip;
    setup();
    bed_service(&bed, "shop/web", "", "{'port': 80, 'targetPort': 8080}");
    bed_settle(&bed);
    CU_ASSERT_EQUAL(bed_service_of(&bed, "shop/web")->address_count, 0);
    EXPECT_ENDPOINTS("shop/web", 80, "web-1:8080,web-2:8080");
    CU_ASSERT_FATAL(addr_parse(&ip, "10.1.0.2"));
    CU_ASSERT_PTR_EQUAL(mesh_find_address(bed.mesh, &ip).workload,
                        bed_workload(&bed, "shop/web-2"));
    bed_stop(&bed);
}

static void service_by_another_name_is_none(void)
{
    setup();
    bed_put(&bed, CLUSTER_SERVICES, "shop/web",
            "{'spec': {'type': 'ExternalName', 'externalName': 'example.org'}}");
    bed_settle(&bed);
    CU_ASSERT_PTR_NULL(bed_service_of(&bed, "shop/web"));
    CU_ASSERT_EQUAL(bed_workload(&bed, "shop/web-1")->link_count, 0);
    bed_stop(&bed);
}

static void service_and_slices_come_and_go_in_any_order(void)
{
    bed_start(&bed);
    bed_slice(&bed, "shop/web-abcde", "web", 8080, bed_endpoint("10.1.0.1", "web-1"));
    bed_settle(&bed);
    bed_service(&bed, "shop/web", "10.96.0.1", "{'port': 80}");
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "");
    bed_pod(&bed, "shop/web-1", (struct bed_pod){.ip = "10.1.0.1"});
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "web-1:8080");
    bed_remove(&bed, CLUSTER_SERVICES, "shop/web");
    bed_settle(&bed);
    CU_ASSERT_PTR_NULL(bed_service_of(&bed, "shop/web"));
    CU_ASSERT_EQUAL(bed_workload(&bed, "shop/web-1")->link_count, 0);
    bed_service(&bed, "shop/web", "10.96.0.1", "{'port': 81}");
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 81, "web-1:8080");
    /* The slice turns to another service. */
    bed_service(&bed, "shop/other", "10.96.0.2", "{'port': 80}");
    bed_slice(&bed, "shop/web-abcde", "other", 8080, bed_endpoint("10.1.0.1", "web-1"));
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 81, "");
    EXPECT_ENDPOINTS("shop/other", 80, "web-1:8080");
    bed_remove(&bed, CLUSTER_SLICES, "shop/web-abcde");
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/other", 80, "");
    bed_stop(&bed);
}

static const struct mesh_workload *at(const char *ip)
{
    struct addr addr;
    CU_ASSERT_FATAL(addr_parse(&addr, ip));
    return mesh_find_workload_at(bed.mesh, &addr);
}

/* A database outside the cluster, by slices that somebody wrote. */
static void service_without_a_selector_leads_to_addresses_outside(void)
{
    setup();
    bed_put(&bed, CLUSTER_SERVICES, "shop/db",
            "{'spec': {'clusterIPs': ['10.96.0.9'], 'ports': [{'name': 'sql', 'port': 5432}]}}");
    bed_put(&bed, CLUSTER_SLICES, "shop/db-1",
            "{'metadata': {'labels': {'kubernetes.io/service-name': 'db'}}, 'addressType': 'IPv4',"
            "'ports': [{'name': 'sql', 'port': 6543}], 'endpoints': [%s, %s, %s]}",
            bed_endpoint_that("192.0.2.1", "", ""), bed_endpoint("192.0.2.2", ""),
            bed_endpoint_that("192.0.2.3", "", "'ready': false"));
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/db", 5432, "192.0.2.1:6543,192.0.2.2:6543");
    const struct mesh_workload *outside = at("192.0.2.1");
    CU_ASSERT_PTR_NOT_NULL_FATAL(outside);
    CU_ASSERT_EQUAL(outside->tunnel, MESH_TUNNEL_NONE);
    CU_ASSERT_STRING_EQUAL(outside->uid,
                           "Kubernetes/discovery.k8s.io/EndpointSlice/shop/db/192.0.2.1");
    CU_ASSERT_STRING_EQUAL(outside->workload_name, "db");
    CU_ASSERT_PTR_NULL(at("192.0.2.3"));
    /* The service names no target, so that a port that the slice does not say is not served. */
    bed_put(&bed, CLUSTER_SERVICES, "shop/db",
            "{'spec': {'clusterIPs': ['10.96.0.9'], 'ports': [{'name': 'x', 'port': 5432}]}}");
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/db", 5432, "192.0.2.1:0,192.0.2.2:0");
    bed_remove(&bed, CLUSTER_SLICES, "shop/db-1");
    bed_settle(&bed);
    CU_ASSERT_PTR_NULL(at("192.0.2.1"));
    CU_ASSERT_EQUAL(bed.workloads, 2);
    bed_stop(&bed);
}

/* It must not be a way around its identity. */
static void endpoint_that_names_no_pod_is_the_pod_at_its_address(void)
{
    setup();
    bed_put(&bed, CLUSTER_SERVICES, "other/back",
            "{'spec': {'clusterIPs': ['10.96.0.9'], 'ports': [{'port': 80}]}}");
    bed_slice(&bed, "other/back-1", "back", 9090, bed_endpoint("10.1.0.1", ""));
    bed_settle(&bed);
    EXPECT_ENDPOINTS("other/back", 80, "web-1:9090");
    CU_ASSERT_EQUAL(at("10.1.0.1")->tunnel, MESH_TUNNEL_LEGACY_MTLS);
    CU_ASSERT_EQUAL(bed.workloads, 2);
    /* Without the pod it is just an address, and it is the pod's again when one has it. */
    bed_remove(&bed, CLUSTER_PODS, "shop/web-1");
    bed_settle(&bed);
    EXPECT_ENDPOINTS("other/back", 80, "10.1.0.1:9090");
    bed_pod(&bed, "shop/web-3", (struct bed_pod){.ip = "10.1.0.1"});
    bed_settle(&bed);
    EXPECT_ENDPOINTS("other/back", 80, "web-3:9090");
    CU_ASSERT_EQUAL(bed.workloads, 2);
    bed_stop(&bed);
}

static void endpoint_waits_for_its_pod_to_have_the_address(void)
{
    setup();
    bed_slice(&bed, "shop/web-abcde", "web", 8080, bed_endpoint("10.1.0.3", "web-3"));
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "");
    CU_ASSERT_PTR_NULL(at("10.1.0.3"));
    bed_pod(&bed, "shop/web-3", (struct bed_pod){.ip = "10.1.0.4"});
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, ""); /* the slice speaks of an earlier pod of that name */
    bed_pod(&bed, "shop/web-3", (struct bed_pod){.ip = "10.1.0.3"});
    bed_settle(&bed);
    EXPECT_ENDPOINTS("shop/web", 80, "web-3:8080");
    bed_stop(&bed);
}

static void endpoint_cannot_name_a_pod_of_another_namespace(void)
{
    setup();
    bed_put(&bed, CLUSTER_SERVICES, "other/back",
            "{'spec': {'clusterIPs': ['10.96.0.9'], 'ports': [{'port': 80}]}}");
    bed_slice(&bed, "other/back-1", "back", 9090,
              "{'addresses': ['192.0.2.1'], 'targetRef': {'kind': 'Pod', 'namespace': 'shop', "
              "'name': 'web-1'}}");
    bed_settle(&bed);
    EXPECT_ENDPOINTS("other/back", 80, "192.0.2.1:9090");
    bed_stop(&bed);
}

static void pods_on_one_host_are_told_apart(void)
{
    setup();
    bed_pod(&bed, "sys/agent-a", (struct bed_pod){.ip = "192.168.0.1", .host = true});
    bed_pod(&bed, "sys/agent-b", (struct bed_pod){.ip = "192.168.0.1", .host = true});
    bed_service(&bed, "sys/a", "10.96.0.11", "{'port': 80}");
    bed_service(&bed, "sys/b", "10.96.0.12", "{'port': 80}");
    bed_slice(&bed, "sys/a-1", "a", 8001, bed_endpoint("192.168.0.1", "agent-a"));
    bed_slice(&bed, "sys/b-1", "b", 8002, bed_endpoint("192.168.0.1", "agent-b"));
    bed_settle(&bed);
    EXPECT_ENDPOINTS("sys/a", 80, "agent-a:8001");
    EXPECT_ENDPOINTS("sys/b", 80, "agent-b:8002");
    CU_ASSERT_EQUAL(bed_workload(&bed, "sys/agent-a")->tunnel, MESH_TUNNEL_NONE);
    CU_ASSERT_EQUAL(bed_workload(&bed, "sys/agent-b")->network_mode, MESH_NETWORK_HOST);
    /* An endpoint without a pod at the node's address (the API server's) hides none of them. */
    bed_put(&bed, CLUSTER_SERVICES, "default/kubernetes",
            "{'spec': {'clusterIPs': ['10.96.0.13'], 'ports': [{'port': 443}]}}");
    bed_slice(&bed, "default/kubernetes", "kubernetes", 6443, bed_endpoint("192.168.0.1", ""));
    bed_settle(&bed);
    EXPECT_ENDPOINTS("default/kubernetes", 443, "192.168.0.1:6443");
    const struct mesh_service *service = bed_service_of(&bed, "default/kubernetes");
    struct mesh_endpoints endpoints = mesh_service_endpoints(bed.mesh, service);
    CU_ASSERT_EQUAL(endpoints.items[0].workload->network_mode, MESH_NETWORK_HOST);
    bed_remove(&bed, CLUSTER_PODS, "sys/agent-a");
    bed_remove(&bed, CLUSTER_PODS, "sys/agent-b");
    bed_settle(&bed);
    CU_ASSERT_EQUAL(at("192.168.0.1")->network_mode, MESH_NETWORK_STANDARD);
    bed_stop(&bed);
}

static void address_that_changes_hands_belongs_to_the_next_pod(void)
{
    setup();
    bed_pod(&bed, "shop/web-1", (struct bed_pod){.ip = "10.1.0.1", .terminating = true});
    bed_pod(&bed, "shop/old",
            (struct bed_pod){.ip = "10.1.0.1", .created = "2026-08-01T09:00:00Z"});
    bed_settle(&bed);
    CU_ASSERT_STRING_EQUAL(at("10.1.0.1")->name, "old");
    CU_ASSERT_PTR_NULL(bed_workload(&bed, "shop/web-1"));
    bed_pod(&bed, "shop/new",
            (struct bed_pod){.ip = "10.1.0.1", .created = "2026-08-01T11:00:00Z"});
    bed_settle(&bed);
    CU_ASSERT_STRING_EQUAL(at("10.1.0.1")->name, "new");
    CU_ASSERT_PTR_NULL(bed_workload(&bed, "shop/old"));
    bed_remove(&bed, CLUSTER_PODS, "shop/new");
    bed_remove(&bed, CLUSTER_PODS, "shop/old");
    bed_settle(&bed);
    CU_ASSERT_STRING_EQUAL(at("10.1.0.1")->name, "web-1");
    bed_stop(&bed);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(service_leads_to_the_ready_pods_of_its_slices),
        SUITE_CASE(service_does_not_wait_for_its_slice_to_leave_a_pod_out),
        SUITE_CASE(service_falls_back_to_pods_that_terminate_and_still_serve),
        SUITE_CASE(service_that_publishes_unready_addresses_leads_to_them),
        SUITE_CASE(service_ports_with_names_are_each_pods_own),
        SUITE_CASE(service_of_both_families_has_both_addresses),
        SUITE_CASE(service_without_an_address_is_reached_by_those_of_its_pods),
        SUITE_CASE(service_by_another_name_is_none),
        SUITE_CASE(service_and_slices_come_and_go_in_any_order),
        SUITE_CASE(service_without_a_selector_leads_to_addresses_outside),
        SUITE_CASE(endpoint_that_names_no_pod_is_the_pod_at_its_address),
        SUITE_CASE(endpoint_waits_for_its_pod_to_have_the_address),
        SUITE_CASE(endpoint_cannot_name_a_pod_of_another_namespace),
        SUITE_CASE(pods_on_one_host_are_told_apart),
        SUITE_CASE(address_that_changes_hands_belongs_to_the_next_pod),
        SUITE_END,
    };
    return suite_main("control.cluster_members", cases, argc, argv);
}
