#include "injector/probe.h"

#include <stdlib.h>
#include <string.h>

#include "kit.h"
#include "suite.h"

#define POD(container)                                                                             \
    "{'metadata': {'name': 'p'}, 'spec': {'containers': [{'name': 'web'" container "}]}}"

/* HANDFAST_APP_PROBES of the proxy, parsed; NULL when there is none. */
static json_t *table(json_t *pod)
{
    size_t index;
    json_t *row;
    json_array_foreach(kit_at(pod, "/spec/initContainers/1/env"), index, row)
    {
        if (strcmp(kit_text(row, "/name"), "HANDFAST_APP_PROBES") == 0)
            return json_loads(kit_text(row, "/value"), JSON_REJECT_DUPLICATES, NULL);
    }
    return NULL;
}

/* Injects `probe` as the container's readiness probe; the entry of the table has to be `entry`. */
static void expect_entry(const char *ports, const char *probe, const char *entry)
{
    char text[1000];
    snprintf(text, sizeof text, POD(", 'ports': [%s], 'readinessProbe': %s"), ports, probe);
    json_t *pod = kit_injected(text, NULL, NULL), *want = kit_json(entry), *have = table(pod);
    json_t *row = json_object_get(have, "/app-health/web/readyz");
    if (!json_equal(row, want))
        json_dumpf(have ? have : json_null(), stdout, 0);
    CU_ASSERT(json_equal(row, want));
    CU_ASSERT_EQUAL(json_object_size(have), 1);
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/containers/0/readinessProbe/httpGet/path"),
                           "/app-health/web/readyz");
    CU_ASSERT_EQUAL(
        json_integer_value(kit_at(pod, "/spec/containers/0/readinessProbe/httpGet/port")), 15021);
    CU_ASSERT_PTR_NULL(kit_at(pod, "/spec/containers/0/readinessProbe/tcpSocket"));
    CU_ASSERT_PTR_NULL(kit_at(pod, "/spec/containers/0/readinessProbe/grpc"));
    json_decref(have);
    json_decref(want);
    json_decref(pod);
}

static void http_tcp_and_grpc_probes_go_into_the_table(void)
{
    expect_entry(
        "", "{'httpGet': {'port': 8080, 'path': '/ok?x=1'}}",
        "{'kind': 'http', 'port': 8080, 'path': '/ok?x=1', 'headers': [], 'timeout_s': 1}");
    expect_entry("",
                 "{'httpGet': {'port': 8443, 'scheme': 'HTTPS', 'path': 'ok', 'httpHeaders':"
                 " [{'name': 'Host', 'value': 'shop'}, {'name': 'X-A', 'value': ''}]},"
                 " 'timeoutSeconds': 7}",
                 "{'kind': 'https', 'port': 8443, 'path': '/ok', 'headers': [['Host', 'shop'],"
                 " ['X-A', '']], 'timeout_s': 7}");
    expect_entry("", "{'httpGet': {'port': 8080}}",
                 "{'kind': 'http', 'port': 8080, 'path': '/', 'headers': [], 'timeout_s': 1}");
    expect_entry("", "{'tcpSocket': {'port': 6379}, 'timeoutSeconds': 0}",
                 "{'kind': 'tcp', 'port': 6379, 'timeout_s': 1}");
    expect_entry("", "{'grpc': {'port': 9000}}",
                 "{'kind': 'grpc', 'port': 9000, 'service': '', 'timeout_s': 1}");
    expect_entry("", "{'grpc': {'port': 9000, 'service': 'shop'}}",
                 "{'kind': 'grpc', 'port': 9000, 'service': 'shop', 'timeout_s': 1}");
}

static void ports_are_found_by_name(void)
{
    expect_entry("{'name': 'admin', 'containerPort': 1}, {'name': 'http', 'containerPort': 8080}",
                 "{'tcpSocket': {'port': 'http'}}",
                 "{'kind': 'tcp', 'port': 8080, 'timeout_s': 1}");
    expect_entry("", "{'tcpSocket': {'port': '8080'}}",
                 "{'kind': 'tcp', 'port': 8080, 'timeout_s': 1}");
}

static void everything_else_of_a_probe_stays(void)
{
    json_t *pod = kit_injected(
        POD(", 'livenessProbe': {'tcpSocket': {'port': 1}, 'periodSeconds': 3, 'timeoutSeconds': 2,"
            " 'failureThreshold': 9, 'initialDelaySeconds': 4,"
            " 'terminationGracePeriodSeconds': 5}"),
        NULL, NULL);
    json_t *want = kit_json("{'httpGet': {'path': '/app-health/web/livez', 'port': 15021,"
                            " 'scheme': 'HTTP'}, 'periodSeconds': 3, 'timeoutSeconds': 2,"
                            " 'failureThreshold': 9, 'initialDelaySeconds': 4,"
                            " 'terminationGracePeriodSeconds': 5}");
    CU_ASSERT(json_equal(kit_at(pod, "/spec/containers/0/livenessProbe"), want));
    json_decref(want);
    json_decref(pod);
}

static void every_container_that_stays_and_every_kind_is_rewritten(void)
{
    json_t *pod =
        kit_injected("{'metadata': {'name': 'p'}, 'spec': {'initContainers': [{'name': 'agent',"
                     " 'restartPolicy': 'Always', 'startupProbe': {'tcpSocket': {'port': 1}}}],"
                     " 'containers': [{'name': 'a', 'livenessProbe': {'tcpSocket': {'port': 2}},"
                     " 'startupProbe': {'tcpSocket': {'port': 3}}},"
                     " {'name': 'b', 'readinessProbe': {'tcpSocket': {'port': 4}}}]}}",
                     NULL, NULL);
    json_t *have = table(pod);
    static const char *const paths[] = {"/app-health/agent/startupz", "/app-health/a/livez",
                                        "/app-health/a/startupz", "/app-health/b/readyz"};
    CU_ASSERT_EQUAL(json_object_size(have), 4);
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(
            json_integer_value(json_object_get(json_object_get(have, paths[i]), "port")), i + 1);
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/initContainers/2/startupProbe/httpGet/path"),
                           paths[0]);
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/containers/1/readinessProbe/httpGet/path"),
                           paths[3]);
    json_decref(have);
    json_decref(pod);
}

static void expect_untouched(const char *probe, const char *warning)
{
    char text[1000];
    snprintf(text, sizeof text, POD(", 'livenessProbe': %s"), probe);
    json_t *pod = kit_injected(text, NULL, warning), *want = kit_json(probe);
    CU_ASSERT(json_equal(kit_at(pod, "/spec/containers/0/livenessProbe"), want));
    CU_ASSERT_PTR_NULL(table(pod));
    json_decref(want);
    json_decref(pod);
}

static void what_cannot_go_through_the_proxy_stays_and_says_why(void)
{
    expect_untouched("{'exec': {'command': ['true']}}", NULL);
    expect_untouched("{'httpGet': {'port': 80, 'host': '10.0.0.1'}}", "a host of its own");
    expect_untouched("{'tcpSocket': {'port': 80, 'host': 'db'}}", "a host of its own");
    expect_untouched("{'tcpSocket': {'port': 'http'}}", "its port is none of the container's");
    expect_untouched("{'tcpSocket': {'port': 0}}", "its port is none of the container's");
    expect_untouched("{'tcpSocket': {'port': 70000}}", "its port is none of the container's");
    expect_untouched("{'tcpSocket': {'port': 15021}}", "its port is the proxy's");
    expect_untouched("{'httpGet': {'port': 80, 'path': '/a\\nb'}}", "cannot be sent");
    expect_untouched("{'httpGet': {'port': 80, 'httpHeaders': [{'name': 'A B', 'value': ''}]}}",
                     "cannot be sent");
    expect_untouched(
        "{'httpGet': {'port': 80, 'httpHeaders': [{'name': 'A', 'value': 'x\\r\\nB: y'}]}}",
        "cannot be sent");
}

static void a_choice_leaves_all_of_them_alone(void)
{
    static const char *const names[] = {"handfast.io/rewrite-probes",
                                        "sidecar.istio.io/rewriteAppHTTPProbers"};
    for (int i = 0; i < 2; i++) {
        char text[500];
        snprintf(text, sizeof text,
                 "{'metadata': {'annotations': {'%s': 'false'}}, 'spec': {'containers':"
                 " [{'name': 'web', 'livenessProbe': {'tcpSocket': {'port': 80}}}]}}",
                 names[i]);
        json_t *pod = kit_injected(text, NULL, NULL);
        CU_ASSERT_PTR_NULL(table(pod));
        CU_ASSERT(kit_at(pod, "/spec/containers/0/livenessProbe/tcpSocket") != NULL);
        json_decref(pod);
    }
}

static void no_dollar_is_left_for_the_kubelet_to_expand(void)
{
    json_t *pod = kit_injected(POD(", 'livenessProbe': {'httpGet': {'port': 80, 'path': "
                                   "'/$(POD_NAME)/$$'}}"),
                               NULL, NULL);
    CU_ASSERT_PTR_NULL(strchr(kit_text(pod, "/spec/initContainers/1/env/4/value"), '$'));
    json_t *have = table(pod);
    CU_ASSERT_STRING_EQUAL(
        json_string_value(json_object_get(json_object_get(have, "/app-health/web/livez"), "path")),
        "/$(POD_NAME)/$$");
    json_decref(have);
    json_decref(pod);
}

static void a_table_over_its_ceiling_is_refused(void)
{
    char *text = malloc(PROBE_TABLE_MAX_BYTES + 500), *at = text;
    at += sprintf(at, "%s",
                  "{'spec': {'containers': [{'name': 'web', 'livenessProbe': {'httpGet':"
                  " {'port': 80, 'path': '/");
    memset(at, 'x', PROBE_TABLE_MAX_BYTES);
    sprintf(at + PROBE_TABLE_MAX_BYTES, "'}}}]}}");
    struct inject_result result;
    kit_inject(text, NULL, &result);
    CU_ASSERT_EQUAL(result.outcome, INJECT_REFUSED);
    CU_ASSERT(strstr(result.err.text, "handfast.io/rewrite-probes") != NULL);
    inject_result_deinit(&result);
    free(text);
}

static void hooks_over_the_network_are_warned_of(void)
{
    json_decref(kit_injected(POD(", 'lifecycle': {'preStop': {'httpGet': {'port': 80}}}"), NULL,
                             "preStop hook of the container 'web' in plaintext"));
    json_decref(kit_injected(POD(", 'lifecycle': {'preStop': {'exec': {'command': ['true']}}}"),
                             NULL, NULL));
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(http_tcp_and_grpc_probes_go_into_the_table),
        SUITE_CASE(ports_are_found_by_name),
        SUITE_CASE(everything_else_of_a_probe_stays),
        SUITE_CASE(every_container_that_stays_and_every_kind_is_rewritten),
        SUITE_CASE(what_cannot_go_through_the_proxy_stays_and_says_why),
        SUITE_CASE(a_choice_leaves_all_of_them_alone),
        SUITE_CASE(no_dollar_is_left_for_the_kubelet_to_expand),
        SUITE_CASE(a_table_over_its_ceiling_is_refused),
        SUITE_CASE(hooks_over_the_network_are_warned_of),
        SUITE_END,
    };
    return suite_main("injector.probe", cases, argc, argv);
}
