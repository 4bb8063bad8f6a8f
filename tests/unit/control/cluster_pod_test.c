/* What is made of a pod. */
#include "control/cluster_pod.h"

#include <stdio.h>
#include <string.h>

#include "bed.h"
#include "suite.h"

static struct cluster_pod read_json(json_t *object)
{
    struct cluster_pod pod;
    struct err err = {0};
    CU_ASSERT_EQUAL(cluster_pod_read("Kubernetes", "shop", "web-1", object, &pod, &err), ERR_OK);
    json_decref(object);
    return pod;
}

static struct cluster_pod read_pod(struct bed_pod from)
{
    return read_json(bed_pod_json("shop/web-1", from));
}

static void pod_becomes_a_workload_with_all_its_addresses(void)
{
    char text[ADDR_TEXT_MAX];
    struct cluster_pod pod = read_pod((struct bed_pod){.ip = "10.1.0.7",
                                                       .ip6 = "fd00:1::7",
                                                       .account = "web",
                                                       .node = "node-3",
                                                       .labels = "'app': 'web', 'tier': 'front'"});
    const struct mesh_workload *workload = pod.workload;
    CU_ASSERT_PTR_NOT_NULL_FATAL(workload);
    CU_ASSERT_STRING_EQUAL(workload->uid, "Kubernetes//Pod/shop/web-1");
    CU_ASSERT_STRING_EQUAL(workload->name, "web-1");
    CU_ASSERT_STRING_EQUAL(workload->namespace, "shop");
    CU_ASSERT_STRING_EQUAL(workload->service_account, "web");
    CU_ASSERT_STRING_EQUAL(workload->node, "node-3");
    CU_ASSERT_STRING_EQUAL(workload->cluster, "Kubernetes");
    CU_ASSERT_STRING_EQUAL(mesh_workload_label(workload, "tier"), "front");
    CU_ASSERT_EQUAL_FATAL(workload->address_count, 2);
    CU_ASSERT_STRING_EQUAL(addr_format(&workload->addresses[0], text), "10.1.0.7");
    CU_ASSERT_STRING_EQUAL(addr_format(&workload->addresses[1], text), "fd00:1::7");
    CU_ASSERT_EQUAL(workload->status, MESH_HEALTHY);
    CU_ASSERT_EQUAL(workload->tunnel, MESH_TUNNEL_LEGACY_MTLS);
    CU_ASSERT_EQUAL(workload->network_mode, MESH_NETWORK_STANDARD);
    cluster_pod_deinit(&pod);
}

static void expect_owner(const char *kind, const char *owner, const char *labels, const char *name,
                         enum mesh_workload_type type)
{
    struct cluster_pod pod = read_pod(
        (struct bed_pod){.ip = "10.1.0.7", .owner_kind = kind, .owner = owner, .labels = labels});
    CU_ASSERT_STRING_EQUAL(pod.workload->workload_name, name);
    CU_ASSERT_EQUAL(pod.workload->type, type);
    cluster_pod_deinit(&pod);
}

static void pod_is_called_after_what_made_it(void)
{
    expect_owner(NULL, NULL, NULL, "web-1", MESH_TYPE_POD);
    expect_owner("ReplicaSet", "web-5d4f8c7b9d", "'pod-template-hash': '5d4f8c7b9d'", "web",
                 MESH_TYPE_DEPLOYMENT);
    expect_owner("ReplicaSet", "web-5d4f8c7b9d", "'app': 'web'", "web-5d4f8c7b9d", MESH_TYPE_POD);
    expect_owner("ReplicaSet", "5d4f8c7b9d", "'pod-template-hash': '5d4f8c7b9d'", "5d4f8c7b9d",
                 MESH_TYPE_POD);
    expect_owner("Job", "import", NULL, "import", MESH_TYPE_JOB);
    expect_owner("Job", "report-29482560", NULL, "report", MESH_TYPE_CRONJOB);
    expect_owner("Job", "report-2026", NULL, "report-2026", MESH_TYPE_JOB);
    expect_owner("Job", "-29482560", NULL, "-29482560", MESH_TYPE_JOB);
    expect_owner("StatefulSet", "db", NULL, "db", MESH_TYPE_POD);
    expect_owner("Node", "node-1", NULL, "web-1", MESH_TYPE_POD);
}

static void pod_names_its_application_by_labels(void)
{
    struct cluster_pod pod = read_pod(
        (struct bed_pod){.ip = "10.1.0.7",
                         .labels = "'app': 'a', 'app.kubernetes.io/name': 'b', "
                                   "'service.istio.io/canonical-name': 'c', 'version': 'v1', "
                                   "'app.kubernetes.io/version': 'v2'"});
    CU_ASSERT_STRING_EQUAL(pod.workload->canonical_name, "c");
    CU_ASSERT_STRING_EQUAL(pod.workload->canonical_revision, "v2");
    cluster_pod_deinit(&pod);
    pod = read_pod((struct bed_pod){.ip = "10.1.0.7", .owner_kind = "StatefulSet", .owner = "db"});
    CU_ASSERT_STRING_EQUAL(pod.workload->canonical_name, "db");
    CU_ASSERT_STRING_EQUAL(pod.workload->canonical_revision, "latest");
    cluster_pod_deinit(&pod);
}

static void pod_that_is_finished_or_has_no_address_has_no_place(void)
{
    CU_ASSERT_PTR_NULL(read_pod((struct bed_pod){.ip = NULL}).workload);
    CU_ASSERT_PTR_NULL(read_pod((struct bed_pod){.ip = "10.1.0.7", .phase = "Failed"}).workload);
    CU_ASSERT_PTR_NULL(read_pod((struct bed_pod){.ip = "10.1.0.7", .phase = "Succeeded"}).workload);
}

static void pod_that_is_not_ready_or_goes_away_is_unhealthy(void)
{
    struct cluster_pod pod = read_pod((struct bed_pod){.ip = "10.1.0.7", .unready = true});
    CU_ASSERT_EQUAL(pod.workload->status, MESH_UNHEALTHY);
    CU_ASSERT_FALSE(pod.terminating);
    cluster_pod_deinit(&pod);
    pod = read_pod((struct bed_pod){.ip = "10.1.0.7", .terminating = true});
    CU_ASSERT_EQUAL(pod.workload->status, MESH_UNHEALTHY);
    CU_ASSERT_TRUE(pod.terminating && pod.ready);
    cluster_pod_deinit(&pod);
}

static enum mesh_tunnel tunnel_of(const char *metadata, const char *spec)
{
    struct cluster_pod pod = read_json(bed_json(
        "{'metadata': {%s}, 'spec': {%s}, 'status': {'podIP': '10.1.0.7'}}", metadata, spec));
    CU_ASSERT_PTR_NOT_NULL_FATAL(pod.workload);
    enum mesh_tunnel tunnel = pod.workload->tunnel;
    cluster_pod_deinit(&pod);
    return tunnel;
}

static void pod_is_of_the_mesh_when_it_was_injected(void)
{
    CU_ASSERT_EQUAL(tunnel_of("", ""), MESH_TUNNEL_NONE);
    CU_ASSERT_EQUAL(tunnel_of("'annotations': {'handfast.io/status': '{}'}", ""),
                    MESH_TUNNEL_LEGACY_MTLS);
    CU_ASSERT_EQUAL(tunnel_of("", "'containers': [{'name': 'app'}, {'name': 'handfast-proxy'}]"),
                    MESH_TUNNEL_LEGACY_MTLS);
    CU_ASSERT_EQUAL(tunnel_of("", "'containers': [{'name': 'app'}], 'initContainers': [{'name': "
                                  "'handfast-redirect'}, {'name': 'handfast-proxy'}]"),
                    MESH_TUNNEL_LEGACY_MTLS);
    CU_ASSERT_EQUAL(tunnel_of("", "'initContainers': [{'name': 'handfast-redirect'}]"),
                    MESH_TUNNEL_NONE);
    CU_ASSERT_EQUAL(tunnel_of("'annotations': {'handfast.io/status': '{}'}", "'hostNetwork': true"),
                    MESH_TUNNEL_NONE);
}

static void pod_on_its_hosts_network_says_so(void)
{
    struct cluster_pod pod = read_pod((struct bed_pod){.ip = "192.168.0.1", .host = true});
    CU_ASSERT_EQUAL(pod.workload->network_mode, MESH_NETWORK_HOST);
    cluster_pod_deinit(&pod);
}

static void pod_is_equal_unless_something_that_matters_differs(void)
{
    const struct bed_pod base = {.ip = "10.1.0.7", .labels = "'app': 'web', 'x': 'y'"};
    struct bed_pod others[] = {base, base, base, base, base, base, base, base};
    others[0].ip = "10.1.0.8";
    others[1].ip6 = "fd00::7";
    others[2].labels = "'app': 'web', 'x': 'z'";
    others[3].labels = "'app': 'web'";
    others[4].unready = true;
    others[5].terminating = true;
    others[6].account = "other";
    others[7].plain = true;
    struct cluster_pod pod = read_pod(base), same;
    json_t *json = bed_pod_json("shop/web-1", (struct bed_pod){
                                                  .ip = "10.1.0.7",
                                                  .labels = "'x': 'y', 'app': 'web'",
                                              });
    json_object_set_new(json_object_get(json, "metadata"), "resourceVersion", json_string("999"));
    same = read_json(json);
    CU_ASSERT_TRUE(cluster_pod_equal(&pod, &same));
    cluster_pod_deinit(&same);
    for (size_t i = 0; i < sizeof others / sizeof others[0]; i++) {
        struct cluster_pod other = read_pod(others[i]);
        CU_ASSERT_FALSE(cluster_pod_equal(&pod, &other));
        cluster_pod_deinit(&other);
    }
    cluster_pod_deinit(&pod);
}

static void pod_is_read_as_far_as_it_makes_sense(void)
{
    struct cluster_pod pod = read_json(
        bed_json("{'metadata': {'labels': {'a': 1, 'b': 'c'}, 'annotations': [], "
                 "'ownerReferences': [null, {'controller': 1}]}, 'spec': {'containers': [3], "
                 "'nodeName': {}, 'hostNetwork': 'yes'}, 'status': {'conditions': {'type': 'x'}, "
                 "'podIPs': [{'ip': 7}, {}, 'x', {'ip': 'nonsense'}, {'ip': '10.1.0.7'}, "
                 "{'ip': '10.1.0.7'}, {'ip': '0.0.0.0'}]}}"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(pod.workload);
    CU_ASSERT_EQUAL(pod.workload->address_count, 1);
    CU_ASSERT_EQUAL(pod.workload->label_count, 1);
    CU_ASSERT_EQUAL(pod.workload->status, MESH_UNHEALTHY);
    CU_ASSERT_EQUAL(pod.workload->network_mode, MESH_NETWORK_STANDARD);
    cluster_pod_deinit(&pod);
    CU_ASSERT_PTR_NULL(read_json(bed_json("[]")).workload);
}

static void pod_that_the_mesh_refuses_is_refused_with_a_sentence(void)
{
    struct cluster_pod pod;
    struct err err = {0};
    json_t *json = bed_pod_json("shop/web-1", (struct bed_pod){.ip = "10.1.0.7", .account = "a b"});
    CU_ASSERT_EQUAL(cluster_pod_read("Kubernetes", "shop", "web-1", json, &pod, &err),
                    ERR_XDS_RESOURCE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "service_account"));
    CU_ASSERT_PTR_NULL(pod.workload);
    json_decref(json);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(pod_becomes_a_workload_with_all_its_addresses),
        SUITE_CASE(pod_is_called_after_what_made_it),
        SUITE_CASE(pod_names_its_application_by_labels),
        SUITE_CASE(pod_that_is_finished_or_has_no_address_has_no_place),
        SUITE_CASE(pod_that_is_not_ready_or_goes_away_is_unhealthy),
        SUITE_CASE(pod_is_of_the_mesh_when_it_was_injected),
        SUITE_CASE(pod_on_its_hosts_network_says_so),
        SUITE_CASE(pod_is_equal_unless_something_that_matters_differs),
        SUITE_CASE(pod_is_read_as_far_as_it_makes_sense),
        SUITE_CASE(pod_that_the_mesh_refuses_is_refused_with_a_sentence),
        SUITE_END,
    };
    return suite_main("control.cluster_pod", cases, argc, argv);
}
