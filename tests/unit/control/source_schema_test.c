/* Values of a mesh file that are not what their key wants, with their exact place. */
#include "control/source_schema.h"

#include <stdio.h>
#include <string.h>

#include "suite.h"
#include "yaml.h"

#define MESH "trust_domain: a.b\n"
#define WORKLOAD(fields)                                                                           \
    MESH "workloads: [{name: w, namespace: n, addresses: [10.0.0.1], " fields "}]\n"
#define SERVICE(fields) MESH "services: [{name: s, namespace: n, workloads: [], " fields "}]\n"
#define RULE(fields) MESH "policies: [{name: p, action: deny, rules: [{" fields "}]}]\n"

static void trust_domain_must_be_one(void)
{
    EXPECT_PROBLEM("workloads: []\n", "1:1",
                   "trust_domain: found no key \"trust_domain\" in the mesh, expected the mesh's");
    EXPECT_PROBLEM("trust_domain: Demo\n", "1:15", "found \"Demo\", expected a trust domain");
    EXPECT_PROBLEM("trust_domain: spiffe://demo\n", "1:15", "without spiffe://");
    EXPECT_PROBLEM("trust_domain:\n", "1:14", "found nothing, expected a trust domain");
    EXPECT_PROBLEM("trust_domain: [a]\n", "1:15", "found a list, expected a trust domain");
    EXPECT_PROBLEM("trust_domain: \"a\\0b\"\n", "1:15", "expected a trust domain");
}

static void lists_must_be_lists(void)
{
    EXPECT_PROBLEM(MESH "workloads: {}\n", "2:12",
                   "workloads: found a mapping, expected a list of workloads");
    EXPECT_PROBLEM(MESH "services: none\n", "2:11", "expected a list of services");
    EXPECT_PROBLEM(MESH "policies: 1\n", "2:11", "expected a list of policies");
    EXPECT_PROBLEM(MESH "mtls: strict\n", "2:7", "expected a list of mtls entries");
    EXPECT_PROBLEM(MESH "workloads: [web]\n", "2:13",
                   "found \"web\", expected a workload, a mapping");
}

static void workloads_need_name_namespace_and_addresses(void)
{
    EXPECT_PROBLEM(MESH "workloads:\n  - namespace: n\n    addresses: [10.0.0.1]\n", "3:5",
                   "found no key \"name\" in a workload, expected the pod's name");
    EXPECT_PROBLEM(MESH "workloads:\n  - name: n\n    addresses: [10.0.0.1]\n", "3:5",
                   "found no key \"namespace\"");
    EXPECT_PROBLEM(MESH "workloads:\n  - name: w\n    namespace: n\n", "3:5",
                   "found no key \"addresses\" in a workload, expected a list of the pod's");
    EXPECT_PROBLEM(MESH "workloads: [{name: w, namespace: n, addresses: []}]\n", "2:48",
                   "addresses: found an empty list, expected a list of addresses, at least one");
}

static void names_must_be_names(void)
{
    EXPECT_PROBLEM(MESH "workloads: [{name: Web, namespace: n, addresses: [10.0.0.1]}]\n", "2:20",
                   "name: found \"Web\", expected a DNS name");
    EXPECT_PROBLEM(MESH "workloads: [{name: w, namespace: a.b, addresses: [10.0.0.1]}]\n", "2:34",
                   "namespace: found \"a.b\", expected a DNS label");
    EXPECT_PROBLEM(MESH "workloads: [{name: a..b, namespace: a, addresses: [10.0.0.1]}]\n", "2:20",
                   "expected a DNS name");
    EXPECT_PROBLEM(WORKLOAD("service_account: a/b"), "2:77", "service_account: found \"a/b\"");
    EXPECT_PROBLEM(WORKLOAD("service_account: ~"), "2:77", "service_account: found nothing");
    char long_name[200] = MESH "workloads: [{name: w, addresses: [10.0.0.1], namespace: ";
    size_t len = strlen(long_name);
    memset(long_name + len, 'a', 64);
    strcpy(long_name + len + 64, "}]\n");
    EXPECT_PROBLEM(long_name, "2:57", "at most 63 characters");
}

static void addresses_must_be_addresses(void)
{
    static const char *const bad[] = {"10.0.0.300", "10.0.0.1/32",  "10.0.0.1:80",
                                      "localhost",  "fe80::1%eth0", "[1]"};
    static const char *const unreachable[] = {"0.0.0.0", "127.0.0.1", "224.0.0.1",
                                              "ff02::1", "\"::\"",    "255.255.255.255"};
    char text[200];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(text, sizeof text,
                 MESH "workloads: [{name: w, namespace: n, addresses: [10.0.0.1, %s]}]\n", bad[i]);
        EXPECT_PROBLEM(text, "2:59", "expected an IPv4 or IPv6 address");
    }
    for (size_t i = 0; i < sizeof unreachable / sizeof unreachable[0]; i++) {
        snprintf(text, sizeof text, MESH "workloads: [{name: w, namespace: n, addresses: [%s]}]\n",
                 unreachable[i]);
        EXPECT_PROBLEM(text, "2:49", "expected an address that others can reach");
    }
}

static void flags_must_be_true_or_false(void)
{
    EXPECT_PROBLEM(WORKLOAD("mesh: yes"), "2:66", "mesh: found \"yes\", expected true or false");
    EXPECT_PROBLEM(WORKLOAD("mesh: \"true\""), "2:66", "expected true or false, without quotes");
    EXPECT_PROBLEM(WORKLOAD("mesh: 1"), "2:66", "mesh: found \"1\"");
    CU_ASSERT_STRING_EQUAL(yaml_problem(WORKLOAD("mesh: false")), "");
}

static void labels_must_be_a_mapping_of_texts(void)
{
    EXPECT_PROBLEM(WORKLOAD("labels: [a]"), "2:68", "labels: found a list, expected labels");
    EXPECT_PROBLEM(WORKLOAD("labels: {a: [b]}"), "2:72", "expected a label's value");
    EXPECT_PROBLEM(WORKLOAD("labels: {a b: c}"), "2:69", "expected a label's key");
    EXPECT_PROBLEM(WORKLOAD("labels: {a: \"b c\"}"), "2:72", "found \"b c\"");
}

static void ports_must_be_ports(void)
{
    static const char *const bad[] = {"0",   "65536", "-1",       "http", "\"80\"",
                                      "080", "1e3",   "99999999", "~"};
    char text[200];
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        snprintf(text, sizeof text, SERVICE("ports: [{port: %s}]"), bad[i]);
        EXPECT_PROBLEM(text, "2:47", "workloads: found an empty list");
        snprintf(text, sizeof text,
                 MESH
                 "services: [{name: s, namespace: n, selector: {a: b}, ports: [{port: %s}]}]\n",
                 bad[i]);
        EXPECT_PROBLEM(text, "2:69", "expected a port: a number from 1 to 65535, without quotes");
    }
    EXPECT_PROBLEM(MESH "services: [{name: s, namespace: n, selector: {a: b}, ports: []}]\n",
                   "2:61", "found an empty list, expected a list of ports, at least one");
    EXPECT_PROBLEM(MESH "services: [{name: s, namespace: n, selector: {a: b}}]\n", "2:12",
                   "found no key \"ports\" in a service, expected a list such as [{port: 80}]");
    EXPECT_PROBLEM(
        MESH "services: [{name: s, namespace: n, selector: {a: b}, ports: [{target_port: 1}]}]\n",
        "2:62", "found no key \"port\"");
    EXPECT_PROBLEM(MESH "services: [{name: s, namespace: n, selector: {a: b}, ports: [80]}]\n",
                   "2:62", "found \"80\", expected a service's port, a mapping");
}

static void actions_and_modes_are_two_words_each(void)
{
    EXPECT_PROBLEM(MESH "policies: [{name: p, action: ALLOW}]\n", "2:30",
                   "action: found \"ALLOW\", expected allow or deny");
    EXPECT_PROBLEM(MESH "policies: [{name: p}]\n", "2:12", "found no key \"action\"");
    EXPECT_PROBLEM(MESH "mtls: [{mode: stict}]\n", "2:15",
                   "mode: found \"stict\", expected strict or permissive");
    EXPECT_PROBLEM(MESH "mtls: [{namespace: a}]\n", "2:8", "found no key \"mode\"");
}

static void rules_are_read_to_the_last_value(void)
{
    EXPECT_PROBLEM(RULE("from: []"), "2:51", "found an empty list, expected a list of sources");
    EXPECT_PROBLEM(RULE("from: [{ip_blocks: [10.0.0.0/33]}]"), "2:65",
                   "ip_blocks: found \"10.0.0.0/33\", expected an address or a prefix");
    EXPECT_PROBLEM(RULE("from: [{not_ip_blocks: [x]}]"), "2:69", "not_ip_blocks: found \"x\"");
    EXPECT_PROBLEM(RULE("from: [{principals: []}]"), "2:65", "principals: found an empty list");
    EXPECT_PROBLEM(RULE("from: [{principals: [a*b]}]"), "2:66", "principals: found \"a*b\"");
    EXPECT_PROBLEM(RULE("from: [{principals: [\"*a*\"]}]"), "2:66", "principals: found \"*a*\"");
    EXPECT_PROBLEM(RULE("from: [{namespaces: [A]}]"), "2:66", "expected a namespace, name*");
    EXPECT_PROBLEM(RULE("from: [{not_namespaces: [\"\"]}]"), "2:70", "expected a namespace");
    EXPECT_PROBLEM(RULE("from: [{service_accounts: [web]}]"), "2:72",
                   "expected <namespace>/<service account>");
    EXPECT_PROBLEM(RULE("from: [{service_accounts: [a/b/c]}]"), "2:72",
                   "expected <namespace>/<service account>");
    EXPECT_PROBLEM(RULE("to: [{ports: [x]}]"), "2:59", "ports: found \"x\", expected a port");
    EXPECT_PROBLEM(RULE("to: [{not_ports: 1}]"), "2:62", "not_ports: found \"1\", expected a list");
    EXPECT_PROBLEM(MESH "policies: [{name: p, action: deny, rules: {}}]\n", "2:43",
                   "rules: found a mapping, expected a list of rules");
}

static void selectors_name_at_least_one_label(void)
{
    EXPECT_PROBLEM(MESH "services: [{name: s, namespace: n, ports: [{port: 1}], selector: {}}]\n",
                   "2:66", "selector: found no label, expected at least one");
    EXPECT_PROBLEM(MESH "mtls: [{mode: strict, selector: {}}]\n", "2:33", "found no label");
    EXPECT_PROBLEM(MESH "policies: [{name: p, action: allow, selector: web}]\n", "2:47",
                   "selector: found \"web\", expected labels");
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(trust_domain_must_be_one),
        SUITE_CASE(lists_must_be_lists),
        SUITE_CASE(workloads_need_name_namespace_and_addresses),
        SUITE_CASE(names_must_be_names),
        SUITE_CASE(addresses_must_be_addresses),
        SUITE_CASE(flags_must_be_true_or_false),
        SUITE_CASE(labels_must_be_a_mapping_of_texts),
        SUITE_CASE(ports_must_be_ports),
        SUITE_CASE(actions_and_modes_are_two_words_each),
        SUITE_CASE(rules_are_read_to_the_last_value),
        SUITE_CASE(selectors_name_at_least_one_label),
        SUITE_END,
    };
    return suite_main("control.source_schema", cases, argc, argv);
}
