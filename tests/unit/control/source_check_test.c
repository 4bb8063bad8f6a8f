/* Mesh files whose parts do not fit together, with the exact place of each mistake. */
#include "control/source_check.h"

#include <string.h>

#include "suite.h"
#include "yaml.h"

#define MESH                                                                                       \
    "trust_domain: a.b\n"                                                                          \
    "workloads:\n"                                                                                 \
    "  - {name: w, namespace: n, addresses: [10.0.0.1], labels: {app: w}}\n"                       \
    "  - {name: x, namespace: n, addresses: [10.0.0.2], labels: {app: x}, mesh: false}\n"
/* Line 5 is the list's head, line 6 its first element. */
#define SERVICE(fields)                                                                            \
    MESH "services:\n  - {name: s, namespace: n, ports: [{port: 1}], " fields "}\n"
#define RULE(fields)                                                                               \
    MESH "policies:\n  - {name: p, action: deny, rules: [{\n" fields                               \
         "\n  }]}\n" /* rule: line 7   \
                                                                                  */

static void check_refuses_a_workload_twice(void)
{
    EXPECT_PROBLEM(MESH "  - {name: w, namespace: n, addresses: [10.0.0.3]}\n", "5:12",
                   "workload: found \"w\" again (first in line 3), expected it once");
    CU_ASSERT_STRING_EQUAL(
        yaml_problem(MESH "  - {name: w, namespace: m, addresses: [10.0.0.3]}\n"), "");
}

static void check_refuses_a_service_twice(void)
{
    EXPECT_PROBLEM(SERVICE("selector: {app: w}") "  - {name: s, namespace: n, ports: [{port: 2}], "
                                                 "selector: {app: w}}\n",
                   "7:12", "service: found \"s\" again (first in line 6), expected it once");
}

static void check_refuses_a_policy_twice(void)
{
    EXPECT_PROBLEM(MESH "policies:\n  - {name: p, action: allow}\n  - {name: p, action: allow}\n",
                   "7:12", "policy: found \"p\" again (first in line 6)");
    CU_ASSERT_STRING_EQUAL(yaml_problem(MESH "policies:\n  - {name: p, action: allow}\n"
                                             "  - {name: p, namespace: n, action: allow}\n"),
                           "");
}

static void check_refuses_an_address_twice(void)
{
    EXPECT_PROBLEM(MESH "  - {name: y, namespace: n, addresses: [10.0.0.9, 10.0.0.1]}\n", "5:51",
                   "addresses: found \"10.0.0.1\" again (first in line 3), expected it once");
    EXPECT_PROBLEM(SERVICE("selector: {app: w}, addresses: [10.0.0.2]"), "6:81",
                   "addresses: found \"10.0.0.2\" again (first in line 4)");
    /* The same address in another spelling, and as an IPv4-mapped one. */
    EXPECT_PROBLEM(MESH "  - {name: y, namespace: n, addresses: [\"fd00::1\", \"fd00:0::0:1\"]}\n",
                   "5:52", "again (first in line 5)");
    EXPECT_PROBLEM(MESH "  - {name: y, namespace: n, addresses: [\"::ffff:10.0.0.1\"]}\n", "5:41",
                   "again (first in line 3)");
}

static void check_refuses_a_port_twice(void)
{
    EXPECT_PROBLEM(MESH "services:\n  - {name: s, namespace: n, selector: {app: w}, ports: [{port: "
                        "80}, {port: 80, target_port: 81}]}\n",
                   "6:76", "port: found 80 again, expected each port of a service once");
}

static void check_wants_a_selector_or_a_list_of_workloads(void)
{
    EXPECT_PROBLEM(SERVICE(""), "6:5", "found a service without endpoints");
    EXPECT_PROBLEM(SERVICE("selector: {app: w}, workloads: [w]"), "6:69",
                   "workloads: found a selector and a list of workloads, expected one of them");
    CU_ASSERT_STRING_EQUAL(yaml_problem(SERVICE("workloads: [w, x]")), "");
}

static void check_refuses_the_name_of_a_workload_that_is_not_there(void)
{
    EXPECT_PROBLEM(SERVICE("workloads: [w, web]"), "6:64",
                   "workloads: found \"web\", expected the name of a workload in namespace n");
    EXPECT_PROBLEM(MESH
                   "services:\n  - {name: s, namespace: m, ports: [{port: 1}], workloads: [w]}\n",
                   "6:61", "expected the name of a workload in namespace m");
}

static void check_keeps_the_names_of_mtls_policies(void)
{
    EXPECT_PROBLEM(MESH "policies:\n  - {name: strict-mtls, action: allow}\n", "6:12",
                   "name: found \"strict-mtls\", expected another name");
}

static void check_refuses_rules_that_can_never_match(void)
{
    EXPECT_PROBLEM(MESH "policies:\n  - {name: p, action: deny}\n", "6:5",
                   "found a deny policy without rules, which can never match");
    EXPECT_PROBLEM(MESH "policies:\n  - {name: p, action: deny, rules: []}\n", "6:5",
                   "found a deny policy without rules");
    EXPECT_PROBLEM(RULE("to: [{ports: [1, 2], not_ports: [2, 1, 3]}]"), "7:33",
                   "not_ports: found everything that ports names excluded again");
    EXPECT_PROBLEM(RULE("from: [{namespaces: [ab], not_namespaces: [\"a*\"]}]"), "7:43",
                   "not_namespaces: found everything that namespaces names excluded again");
    EXPECT_PROBLEM(RULE("from: [{ip_blocks: [10.1.0.0/16], not_ip_blocks: [10.0.0.0/8]}]"), "7:50",
                   "not_ip_blocks: found everything");
    EXPECT_PROBLEM(RULE("from: [{service_accounts: [a/b], not_service_accounts: [a/b]}]"), "7:56",
                   "not_service_accounts: found everything");
    EXPECT_PROBLEM(RULE("from: [{principals: [\"a.b/ns/n/*\"], not_principals: [\"*\"]}]"), "7:53",
                   "not_principals: found everything");
    /* Something is left over in each of these. */
    CU_ASSERT_STRING_EQUAL(yaml_problem(RULE("to: [{ports: [1, 2], not_ports: [2]}]")), "");
    CU_ASSERT_STRING_EQUAL(
        yaml_problem(RULE("from: [{namespaces: [\"a*\"], not_namespaces: [ab]}]")), "");
    CU_ASSERT_STRING_EQUAL(
        yaml_problem(RULE("from: [{ip_blocks: [10.0.0.0/8], not_ip_blocks: [10.1.0.0/16]}]")), "");
}

static void check_refuses_principals_that_nobody_can_be(void)
{
    EXPECT_PROBLEM(RULE("from: [{principals: [cluster.local/ns/n/sa/w]}]"), "7:22",
                   "principals: found \"cluster.local/ns/n/sa/w\", which nobody can be, expected "
                   "a.b/ns/<namespace>/sa/<service account>");
    EXPECT_PROBLEM(RULE("from: [{principals: [a.b/n/w]}]"), "7:22", "which nobody can be");
    EXPECT_PROBLEM(RULE("from: [{principals: [a.b/ns/n/sa/]}]"), "7:22", "which nobody can be");
    EXPECT_PROBLEM(RULE("from: [{not_principals: [\"b.a/*\"]}]"), "7:26", "not_principals: found");
    CU_ASSERT_STRING_EQUAL(yaml_problem(RULE("from: [{principals: [a.b/ns/n/sa/w, "
                                             "\"spiffe://a.b/ns/n/sa/w\", \"a.b/ns/*\", \"a*\", "
                                             "\"*/sa/w\", \"*\"]}]")),
                           "");
}

static void check_refuses_elements_without_conditions(void)
{
    EXPECT_PROBLEM(RULE("from: [{}]"), "7:8", "from: found an element without conditions");
    EXPECT_PROBLEM(RULE("to: [{ports: [1]}, {}]"), "7:20", "to: found an element without");
    CU_ASSERT_STRING_EQUAL(yaml_problem(RULE("")), ""); /* everything, said so */
}

static void check_refuses_mtls_entries_that_disagree(void)
{
    EXPECT_PROBLEM(MESH "mtls:\n  - {mode: strict}\n  - {mode: permissive}\n", "7:12",
                   "mode: found permissive, expected strict as in line 6");
    EXPECT_PROBLEM(MESH "mtls:\n  - {mode: strict, namespace: n, ports: [1, 2]}\n"
                        "  - {mode: permissive, namespace: n, ports: [2, 3]}\n",
                   "7:12", "neither is more specific");
    CU_ASSERT_STRING_EQUAL(yaml_problem(MESH "mtls:\n  - {mode: strict}\n"
                                             "  - {mode: permissive, namespace: n}\n"
                                             "  - {mode: strict, ports: [80]}\n"),
                           "");
}

static void check_warns_of_selectors_that_match_nothing(void)
{
    EXPECT_PROBLEM(SERVICE("selector: {app: y}"), "6:59",
                   "warning: selector: found no workload in namespace n with these labels");
    EXPECT_PROBLEM(MESH "policies:\n  - {name: p, action: allow, selector: {app: y}}\n", "6:40",
                   "warning: selector: found no workload of the mesh that the policy applies to");
    EXPECT_PROBLEM(MESH "policies:\n  - {name: p, action: allow, namespace: m}\n", "6:41",
                   "warning: namespace: found no workload of the mesh");
    EXPECT_PROBLEM(MESH "mtls:\n  - {mode: strict, selector: {app: y}}\n", "6:30",
                   "warning: selector: found no workload of the mesh that the mtls entry");
    /* A workload outside of the mesh has nobody who could decide. */
    EXPECT_PROBLEM(MESH "policies:\n  - {name: p, action: allow, selector: {app: x}}\n", "6:40",
                   "warning: selector: found no workload of the mesh");
    EXPECT_PROBLEM(RULE("from: [{service_accounts: [n/who]}]"), "7:28",
                   "warning: service_accounts: found \"n/who\", expected a service account that");
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(check_refuses_a_workload_twice),
        SUITE_CASE(check_refuses_a_service_twice),
        SUITE_CASE(check_refuses_a_policy_twice),
        SUITE_CASE(check_refuses_an_address_twice),
        SUITE_CASE(check_refuses_a_port_twice),
        SUITE_CASE(check_wants_a_selector_or_a_list_of_workloads),
        SUITE_CASE(check_refuses_the_name_of_a_workload_that_is_not_there),
        SUITE_CASE(check_keeps_the_names_of_mtls_policies),
        SUITE_CASE(check_refuses_rules_that_can_never_match),
        SUITE_CASE(check_refuses_principals_that_nobody_can_be),
        SUITE_CASE(check_refuses_elements_without_conditions),
        SUITE_CASE(check_refuses_mtls_entries_that_disagree),
        SUITE_CASE(check_warns_of_selectors_that_match_nothing),
        SUITE_END,
    };
    return suite_main("control.source_check", cases, argc, argv);
}
