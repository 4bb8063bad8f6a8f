#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/policy.h"
#include "mesh/service.h"
#include "mesh/workload.h"
#include "suite.h"

static void record_copies_everything_it_is_given(void)
{
    char uid[] = "u", name[] = "web-1", port_key[] = "n/h", policy[] = "n/p";
    struct addr ip = {.len = 4, .bytes = {1, 2, 3, 4}};
    struct mesh_port port = {80, 8080};
    struct mesh_link link = {port_key, &port, 1};
    const char *policies[] = {policy};
    struct mesh_label label = {"app", "web"};
    struct mesh_workload from = {.uid = uid,
                                 .name = name,
                                 .namespace = "n",
                                 .addresses = &ip,
                                 .address_count = 1,
                                 .links = &link,
                                 .link_count = 1,
                                 .policies = policies,
                                 .policy_count = 1,
                                 .labels = &label,
                                 .label_count = 1};
    struct mesh_workload *workload;
    struct err err;
    CU_ASSERT_FATAL(mesh_workload_new(&from, &workload, &err) == ERR_OK);
    memset(uid, 'x', 1);
    memset(name, 'x', 5);
    memset(port_key, 'x', 3);
    memset(policy, 'x', 3);
    port.target_port = 1;
    ip.bytes[0] = 9;
    CU_ASSERT_STRING_EQUAL(workload->uid, "u");
    CU_ASSERT_STRING_EQUAL(workload->name, "web-1");
    CU_ASSERT_STRING_EQUAL(workload->hostname, "");
    CU_ASSERT_STRING_EQUAL(workload->links[0].service, "n/h");
    CU_ASSERT_EQUAL(workload->links[0].ports[0].target_port, 8080);
    CU_ASSERT_STRING_EQUAL(workload->policies[0], "n/p");
    CU_ASSERT_EQUAL(workload->addresses[0].bytes[0], 1);
    CU_ASSERT_STRING_EQUAL(mesh_workload_label(workload, "app"), "web");
    CU_ASSERT_PTR_NULL(mesh_workload_label(workload, "tier"));
    mesh_workload_unref(mesh_workload_ref(workload));
    mesh_workload_unref(workload);
}

static void record_names_the_workloads_identity(void)
{
    struct mesh_workload from = {.uid = "u", .namespace = "shop"};
    struct mesh_workload *workload;
    char text[MESH_SPIFFE_MAX];
    CU_ASSERT_FATAL(mesh_workload_new(&from, &workload, NULL) == ERR_OK);
    CU_ASSERT_EQUAL(mesh_workload_spiffe_id(workload, "mesh.test", text), 37);
    CU_ASSERT_STRING_EQUAL(text, "spiffe://mesh.test/ns/shop/sa/default");
    mesh_workload_unref(workload);
    from.service_account = "web";
    from.trust_domain = "other.test";
    CU_ASSERT_FATAL(mesh_workload_new(&from, &workload, NULL) == ERR_OK);
    mesh_workload_spiffe_id(workload, "mesh.test", text);
    CU_ASSERT_STRING_EQUAL(text, "spiffe://other.test/ns/shop/sa/web");
    mesh_workload_unref(workload);
}

struct bad_row {
    const char *field;
    struct mesh_workload from;
};

static void record_refuses_a_workload_that_breaks_a_rule(void)
{
    char *long_text = malloc(MESH_TEXT_MAX + 2);
    memset(long_text, 'a', MESH_TEXT_MAX + 1);
    long_text[MESH_TEXT_MAX + 1] = 0;
    const struct bad_row rows[] = {
        {"uid", {.namespace = "n"}},
        {"namespace", {.uid = "u"}},
        {"namespace", {.uid = "u", .namespace = "a/sa/admin"}},
        {"namespace", {.uid = "u", .namespace = ".."}},
        {"service_account", {.uid = "u", .namespace = "n", .service_account = "a/b"}},
        {"service_account", {.uid = "u", .namespace = "n", .service_account = "a b"}},
        {"trust_domain", {.uid = "u", .namespace = "n", .trust_domain = "Mesh"}},
        {"trust_domain", {.uid = "u", .namespace = "n", .trust_domain = "a/b"}},
        {"hostname", {.uid = "u", .namespace = "n", .hostname = long_text}},
        {"addresses", {.uid = "u", .namespace = "n", .address_count = 65}},
        {"authorization_policies", {.uid = "u", .namespace = "n", .policy_count = 5000}},
        {"services", {.uid = "u", .namespace = "n", .link_count = 5000}},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mesh_workload *workload = NULL;
        struct err err;
        CU_ASSERT_EQUAL(mesh_workload_new(&rows[i].from, &workload, &err), ERR_XDS_RESOURCE);
        CU_ASSERT_PTR_NULL(workload);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].field));
    }
    free(long_text);
}

static void record_refuses_a_policy_that_breaks_a_rule(void)
{
    const struct mesh_policy rows[] = {
        {.namespace = "n"},
        {.name = "p", .scope = MESH_SCOPE_NAMESPACE},
        {.name = "p", .namespace = "a/b", .scope = MESH_SCOPE_NAMESPACE},
        {.name = "p", .namespace = "n", .scope = 3},
        {.name = "p", .namespace = "n", .action = 2},
        {.name = "p", .namespace = "n", .rule_count = MESH_POLICY_VALUES_MAX + 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mesh_policy *policy = NULL;
        struct err err;
        CU_ASSERT_EQUAL(mesh_policy_new(&rows[i], &policy, &err), ERR_XDS_RESOURCE);
        CU_ASSERT_PTR_NULL(policy);
    }
    struct addr_prefix prefix = {.ip = {.len = 4}, .bits = 33};
    struct mesh_match match = {.source_ips = {&prefix, 1}};
    struct mesh_clause clause = {&match, 1};
    struct mesh_rule rule = {&clause, 1};
    struct mesh_policy from = {
        .name = "p", .namespace = "n", .scope = 1, .rules = &rule, .rule_count = 1};
    struct mesh_policy *policy = NULL;
    struct err err;
    CU_ASSERT_EQUAL(mesh_policy_new(&from, &policy, &err), ERR_XDS_RESOURCE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "source_ips"));
}

static void record_makes_the_keys_of_services_and_policies(void)
{
    struct mesh_service *service;
    CU_ASSERT_FATAL(mesh_service_new(&(struct mesh_service){.namespace = "n", .hostname = "h.x"},
                                     &service, NULL) == ERR_OK);
    CU_ASSERT_STRING_EQUAL(service->key, "n/h.x");
    CU_ASSERT_PTR_NULL(mesh_service_port(service, 80));
    mesh_service_unref(service);
    struct mesh_policy *policy;
    CU_ASSERT_FATAL(mesh_policy_new(&(struct mesh_policy){.name = "p"}, &policy, NULL) == ERR_OK);
    CU_ASSERT_STRING_EQUAL(policy->key, "/p");
    mesh_policy_unref(policy);
    struct err err;
    CU_ASSERT_EQUAL(mesh_service_new(&(struct mesh_service){.namespace = "n"}, &service, &err),
                    ERR_XDS_RESOURCE);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(record_copies_everything_it_is_given),
        SUITE_CASE(record_names_the_workloads_identity),
        SUITE_CASE(record_refuses_a_workload_that_breaks_a_rule),
        SUITE_CASE(record_refuses_a_policy_that_breaks_a_rule),
        SUITE_CASE(record_makes_the_keys_of_services_and_policies),
        SUITE_END,
    };
    return suite_main("record", cases, argc, argv);
}
