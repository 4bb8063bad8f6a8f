#include "injector/choice.h"

#include <string.h>

#include "injector/value.h"
#include "kit.h"
#include "suite.h"

#define POD(annotations)                                                                           \
    "{'metadata': {'name': 'p', 'annotations': {" annotations                                      \
    "}}, 'spec': {'containers': [{'name': 'web'}]}}"

static bool has_argument(json_t *pod, const char *container, const char *argument)
{
    size_t index;
    json_t *have;
    json_array_foreach(kit_at(kit_at(pod, container), "/args"), index, have)
    {
        if (strcmp(json_string_value(have), argument) == 0)
            return true;
    }
    return false;
}

static const char redirect[] = "/spec/initContainers/0", proxy[] = "/spec/initContainers/1";

/* What both names of every choice lead to. */
static void every_annotation_and_its_alias_reach_the_container(void)
{
    static const struct {
        const char *annotation, *alias, *value, *container, *argument;
    } rows[] = {
        {"exclude-inbound-ports", "excludeInboundPorts", "9000, 9001", redirect,
         "--exclude-inbound-ports=9000,9001"},
        {"include-inbound-ports", "includeInboundPorts", "80,443", redirect,
         "--include-inbound-ports=80,443"},
        {"exclude-outbound-ports", "excludeOutboundPorts", "3306", redirect,
         "--exclude-outbound-ports=3306"},
        {"include-outbound-ports", "includeOutboundPorts", "3306", redirect,
         "--include-outbound-ports=3306"},
        {"exclude-outbound-cidrs", "excludeOutboundIPRanges", "10.1.0.0/16,fd00::/8", redirect,
         "--exclude-outbound-cidrs=10.1.0.0/16,fd00::/8"},
        {"include-outbound-cidrs", "includeOutboundIPRanges", "10.0.0.0/8", redirect,
         "--include-outbound-cidrs=10.0.0.0/8"},
        {"exclude-interfaces", "excludeInterfaces", "net1,net2", redirect,
         "--exclude-interfaces=net1,net2"},
        {"log-level", NULL, "debug", proxy, "--log-level=debug"},
        {"access-log", NULL, "json", proxy, "--access-log=json"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        for (int alias = 0; alias < (rows[i].alias ? 2 : 1); alias++) {
            char text[300];
            snprintf(text, sizeof text, POD("'%s%s': '%s'"),
                     alias ? "traffic.sidecar.istio.io/" : "handfast.io/",
                     alias ? rows[i].alias : rows[i].annotation, rows[i].value);
            json_t *pod = kit_injected(text, NULL, NULL);
            bool there = has_argument(pod, rows[i].container, rows[i].argument);
            if (!there)
                printf("\n%s: no %s\n", text, rows[i].argument);
            CU_ASSERT(there);
            json_decref(pod);
        }
    }
}

static void amounts_are_requests_and_limits(void)
{
    static const char *const texts[] = {
        POD("'handfast.io/proxy-cpu': '200m', 'handfast.io/proxy-cpu-limit': '1',"
            " 'handfast.io/proxy-memory': '64Mi', 'handfast.io/proxy-memory-limit': '128Mi'"),
        POD("'sidecar.istio.io/proxyCPU': '200m', 'sidecar.istio.io/proxyCPULimit': '1',"
            " 'sidecar.istio.io/proxyMemory': '64Mi', 'sidecar.istio.io/proxyMemoryLimit': "
            "'128Mi'")};
    json_t *want = kit_json("{'requests': {'cpu': '200m', 'memory': '64Mi'},"
                            " 'limits': {'cpu': '1', 'memory': '128Mi'}}");
    for (int i = 0; i < 2; i++) {
        json_t *pod = kit_injected(texts[i], NULL, NULL);
        CU_ASSERT(json_equal(kit_at(pod, "/spec/initContainers/0/resources"), want));
        CU_ASSERT(json_equal(kit_at(pod, "/spec/initContainers/1/resources"), want));
        json_decref(pod);
    }
    json_decref(want);
}

static void a_default_gives_way_to_what_was_chosen(void)
{
    json_t *pod = kit_injected(POD("'handfast.io/proxy-memory': '1Gi'"), NULL, NULL);
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/initContainers/1/resources/limits/memory"), "1Gi");
    json_decref(pod);
    pod = kit_injected(POD("'handfast.io/proxy-memory-limit': '20Mi'"), NULL, NULL);
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/initContainers/1/resources/requests/memory"),
                           "20Mi");
    json_decref(pod);
}

static void envoys_log_levels_become_the_nearest_of_ours(void)
{
    static const char *const levels[][2] = {
        {"trace", "debug"}, {"warning", "warn"}, {"critical", "error"}, {"off", "error"}};
    for (unsigned i = 0; i < 4; i++) {
        char text[200], argument[40];
        snprintf(text, sizeof text, POD("'sidecar.istio.io/logLevel': '%s'"), levels[i][0]);
        snprintf(argument, sizeof argument, "--log-level=%s", levels[i][1]);
        json_t *pod = kit_injected(text, NULL, NULL);
        CU_ASSERT(has_argument(pod, proxy, argument));
        json_decref(pod);
    }
}

static void a_bad_value_is_refused_by_name_with_what_was_expected(void)
{
    static const struct {
        const char *name, *value, *sentence;
    } rows[] = {
        {"traffic.sidecar.istio.io/excludeInboundPorts", "80,99999",
         "annotation traffic.sidecar.istio.io/excludeInboundPorts: '80,99999' is not valid: "
         "expected ports from 1 to 65535, separated by commas, found '99999'"},
        {"handfast.io/exclude-outbound-ports", "0", "found '0'"},
        {"handfast.io/exclude-outbound-ports", "80;81", "found '80;81'"},
        {"handfast.io/exclude-outbound-ports", "http", "found 'http'"},
        {"handfast.io/exclude-outbound-ports", "-1", "found '-1'"},
        {"handfast.io/exclude-outbound-ports", "80,,81", "found an empty entry"},
        {"handfast.io/exclude-outbound-ports", "80,", "found an empty entry"},
        {"handfast.io/include-inbound-ports", "",
         "annotation handfast.io/include-inbound-ports: an empty list would leave everything out"},
        {"traffic.sidecar.istio.io/includeOutboundIPRanges", " ", "an empty list"},
        {"handfast.io/exclude-outbound-cidrs", "10.0.0.0/33", "found '10.0.0.0/33'"},
        {"handfast.io/exclude-outbound-cidrs", "example.com", "expected address ranges like"},
        {"handfast.io/exclude-interfaces", "eth0 up", "found 'eth0 up'"},
        {"handfast.io/exclude-interfaces", "lo", "other than lo"},
        {"handfast.io/exclude-interfaces", "a-name-that-is-too-long", "at most 15"},
        {"handfast.io/proxy-cpu", "much", "expected processors from 1m to 1000, such as 100m"},
        {"handfast.io/proxy-cpu", "0", "'0' is not valid"},
        {"handfast.io/proxy-cpu", "-1", "'-1' is not valid"},
        {"sidecar.istio.io/proxyMemory", "128m", "expected memory from 1Mi to 1Ti, such as 64Mi"},
        {"handfast.io/proxy-memory-limit", "8Mi", "expected memory from 16Mi to 1Ti"},
        {"handfast.io/log-level", "trace", "expected error, warn, info or debug"},
        {"sidecar.istio.io/logLevel", "misc:error", "expected trace, debug, info, warning"},
        {"handfast.io/access-log", "on", "expected text, json or off"},
        {"handfast.io/rewrite-probes", "no", "expected true or false"},
        {"sidecar.istio.io/rewriteAppHTTPProbers", "", "expected true or false"},
        {"handfast.io/native-sidecar", "auto", "expected true or false"},
        {"handfast.io/proxy-cpu", "\xc3\xa9", "annotation handfast.io/proxy-cpu: '\?\?' is not"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char text[300];
        snprintf(text, sizeof text, POD("'%s': '%s'"), rows[i].name, rows[i].value);
        kit_refused(text, rows[i].sentence);
        kit_refused(text, rows[i].name);
    }
}

static void lists_have_a_ceiling(void)
{
    char list[2 * VALUE_LIST_MAX + 3] = "";
    struct choices choices;
    struct err err = {0};
    choices_init(&choices);
    for (unsigned i = 0; i < VALUE_LIST_MAX; i++)
        memcpy(list + 2 * i, i ? ",1" : " 1", 3);
    CU_ASSERT_EQUAL(choice_set(&choices, CHOICE_EXCLUDE_INBOUND_PORTS, list, false, &err), ERR_OK);
    memcpy(list + 2 * VALUE_LIST_MAX, ",1", 3);
    CU_ASSERT_EQUAL(choice_set(&choices, CHOICE_EXCLUDE_INBOUND_PORTS, list, false, &err),
                    ERR_INVALID);
    CU_ASSERT_STRING_EQUAL(err.text, "the list has more than 256 entries");
    choices_deinit(&choices);
}

static void what_contradicts_itself_is_refused(void)
{
    kit_refused(POD("'handfast.io/include-inbound-ports': '80,81',"
                    " 'handfast.io/exclude-inbound-ports': '81'"),
                "port 81 is both included and excluded inbound");
    kit_refused(POD("'traffic.sidecar.istio.io/includeOutboundPorts': '81',"
                    " 'handfast.io/exclude-outbound-ports': '81'"),
                "port 81 is both included and excluded outbound");
    kit_refused(POD("'handfast.io/exclude-inbound-ports': '15006'"), "names 15006");
    kit_refused(POD("'handfast.io/proxy-memory': '1Gi', 'handfast.io/proxy-memory-limit': '512Mi'"),
                "handfast.io/proxy-memory is 1Gi, which is more than the limit 512Mi");
    kit_refused(POD("'handfast.io/proxy-cpu': '2', 'sidecar.istio.io/proxyCPULimit': '1500m'"),
                "handfast.io/proxy-cpu is 2, which is more than the limit 1500m");
}

static void a_star_is_everything(void)
{
    json_t *pod = kit_injected(POD("'traffic.sidecar.istio.io/includeInboundPorts': '*',"
                                   " 'traffic.sidecar.istio.io/includeOutboundIPRanges': '*',"
                                   " 'traffic.sidecar.istio.io/excludeInboundPorts': ''"),
                               NULL, NULL);
    CU_ASSERT_EQUAL(json_array_size(kit_at(pod, "/spec/initContainers/0/args")), 1);
    json_decref(pod);
}

static void unknown_annotations_are_warned_of_and_those_of_others_are_not_ours(void)
{
    json_decref(kit_injected(POD("'handfast.io/proxy-cpus': '1'"), NULL,
                             "there is no annotation handfast.io/proxy-cpus"));
    json_decref(kit_injected(POD("'sidecar.istio.io/proxyImage': 'x'"), NULL,
                             "Handfast does not know the annotation sidecar.istio.io/proxyImage"));
    json_decref(kit_injected(POD("'traffic.sidecar.istio.io/kubevirtInterfaces': 'x'"), NULL,
                             "traffic.sidecar.istio.io/kubevirtInterfaces"));
    json_decref(kit_injected(POD("'prometheus.io/scrape': 'true', 'handfast.io/inject': 'true'"),
                             NULL, NULL));
}

static void ours_counts_before_istios_in_any_order(void)
{
    static const char *const texts[] = {
        POD("'handfast.io/log-level': 'error', 'sidecar.istio.io/logLevel': 'trace'"),
        POD("'sidecar.istio.io/logLevel': 'trace', 'handfast.io/log-level': 'error'")};
    for (int i = 0; i < 2; i++) {
        json_t *pod = kit_injected(texts[i], NULL, "sidecar.istio.io/logLevel does not");
        CU_ASSERT(has_argument(pod, proxy, "--log-level=error"));
        json_decref(pod);
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(every_annotation_and_its_alias_reach_the_container),
        SUITE_CASE(amounts_are_requests_and_limits),
        SUITE_CASE(a_default_gives_way_to_what_was_chosen),
        SUITE_CASE(envoys_log_levels_become_the_nearest_of_ours),
        SUITE_CASE(a_bad_value_is_refused_by_name_with_what_was_expected),
        SUITE_CASE(lists_have_a_ceiling),
        SUITE_CASE(what_contradicts_itself_is_refused),
        SUITE_CASE(a_star_is_everything),
        SUITE_CASE(unknown_annotations_are_warned_of_and_those_of_others_are_not_ours),
        SUITE_CASE(ours_counts_before_istios_in_any_order),
        SUITE_END,
    };
    return suite_main("injector.choice", cases, argc, argv);
}
