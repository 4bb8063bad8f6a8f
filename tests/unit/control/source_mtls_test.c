#include "control/source_mtls.h"

#include <stdio.h>
#include <string.h>

#include "control/source.h"
#include "suite.h"

#define MESH                                                                                       \
    "trust_domain: a\n"                                                                            \
    "workloads:\n"                                                                                 \
    "  - {name: w1, namespace: n, addresses: [10.0.0.1], labels: {app: w}}\n"                      \
    "  - {name: w2, namespace: n, addresses: [10.0.0.2], labels: {app: x}}\n"                      \
    "  - {name: w3, namespace: m, addresses: [10.0.0.3], labels: {app: w}}\n"                      \
    "  - {name: w4, namespace: n, addresses: [10.0.0.4], labels: {app: w}, mesh: false}\n"         \
    "mtls:\n"

/* What the entries come to: "scope key; ..." in order, then "| " and what w1 to w4 name. */
static const char *guards_of(const char *yaml)
{
    static char text[1024];
    static const char *const scopes[] = {"mesh", "namespace", "workload"};
    struct source source;
    struct err err = {0};
    size_t used = 0;
    text[0] = 0;
    if (source_parse(&source, "mesh.yaml", yaml, strlen(yaml), &err) != ERR_OK)
        snprintf(text, sizeof text, "%s", err.text);
    const struct source_guard *first = err.code == ERR_OK ? source.guards.first : NULL;
    for (const struct source_guard *guard = first; guard; guard = guard->next)
        used += (size_t)snprintf(text + used, sizeof text - used, "%s %s; ", scopes[guard->scope],
                                 guard->key);
    if (err.code == ERR_OK)
        used += (size_t)snprintf(text + used, sizeof text - used, "|");
    for (unsigned i = 0; err.code == ERR_OK && i < source.model.workloads.count; i++) {
        const struct source_guard *guard = source.guards.of_workload[i];
        used += (size_t)snprintf(text + used, sizeof text - used, " %s", guard ? guard->key : "-");
    }
    source_deinit(&source);
    return text;
}

static void mtls_is_permissive_where_nothing_is_said(void)
{
    CU_ASSERT_STRING_EQUAL(guards_of(MESH "  []\n"), "| - - - -");
    CU_ASSERT_STRING_EQUAL(guards_of(MESH "  - {mode: permissive}\n"), "| - - - -");
}

static void mtls_of_the_mesh_is_one_global_policy(void)
{
    CU_ASSERT_STRING_EQUAL(guards_of(MESH "  - {mode: strict}\n"), "mesh /strict-mtls; | - - - -");
    CU_ASSERT_STRING_EQUAL(guards_of(MESH "  - {mode: strict, ports: [80, 443]}\n"),
                           "mesh /strict-mtls-port-80-443; | - - - -");
    CU_ASSERT_STRING_EQUAL(
        guards_of(MESH "  - {mode: strict}\n  - {mode: permissive, ports: [443, 80, 80]}\n"),
        "mesh /strict-mtls-except-80-443; | - - - -");
}

static void mtls_of_a_namespace_goes_before_the_mesh(void)
{
    CU_ASSERT_STRING_EQUAL(guards_of(MESH "  - {mode: strict, namespace: n}\n"),
                           "namespace n/strict-mtls; | - - - -");
    CU_ASSERT_STRING_EQUAL(
        guards_of(MESH "  - {mode: strict}\n  - {mode: permissive, namespace: n}\n"),
        "namespace m/strict-mtls; | - - - -");
    CU_ASSERT_STRING_EQUAL(
        guards_of(MESH "  - {mode: permissive}\n  - {mode: strict, namespace: m, ports: [80]}\n"),
        "namespace m/strict-mtls-port-80; | - - - -");
}

static void mtls_of_a_selector_goes_before_the_namespace(void)
{
    CU_ASSERT_STRING_EQUAL(guards_of(MESH
                                     "  - {mode: strict, namespace: n}\n"
                                     "  - {mode: permissive, namespace: n, selector: {app: w}}\n"),
                           "workload n/strict-mtls-selected; | - n/strict-mtls-selected - -");
    /* Only namespaces in which a selector is in play are taken apart. */
    CU_ASSERT_STRING_EQUAL(guards_of(MESH
                                     "  - {mode: strict}\n"
                                     "  - {mode: permissive, namespace: n, selector: {app: w}, "
                                     "ports: [80]}\n"),
                           "workload n/strict-mtls-selected-except-80; "
                           "workload n/strict-mtls-selected; namespace m/strict-mtls; "
                           "| n/strict-mtls-selected-except-80 n/strict-mtls-selected - -");
    CU_ASSERT_STRING_EQUAL(guards_of(MESH "  - {mode: strict, selector: {app: w}}\n"),
                           "workload n/strict-mtls-selected; workload m/strict-mtls-selected; "
                           "| n/strict-mtls-selected - m/strict-mtls-selected -");
}

static void mtls_with_many_ports_has_a_name_that_fits(void)
{
    const char *text = guards_of(MESH "  - {mode: strict, ports: [1, 2, 3, 4, 5]}\n");
    CU_ASSERT_EQUAL(strncmp(text, "mesh /strict-mtls-port-", 23), 0);
    CU_ASSERT_EQUAL(strlen(text), strlen("mesh /strict-mtls-port-01234567; | - - - -"));
}

static void mtls_entries_that_agree_may_overlap(void)
{
    CU_ASSERT_STRING_EQUAL(guards_of(MESH "  - {mode: strict}\n  - {mode: strict}\n"),
                           "mesh /strict-mtls; | - - - -");
}

static void mtls_entries_that_pick_a_workload_alike_must_agree(void)
{
    CU_ASSERT_PTR_NOT_NULL(strstr(guards_of(MESH "  - {mode: strict, selector: {app: w}}\n"
                                                 "  - {mode: permissive, namespace: m, "
                                                 "selector: {app: w}}\n"),
                                  "mesh.yaml:9:12: mode: found permissive, expected strict as in "
                                  "line 8"));
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(mtls_is_permissive_where_nothing_is_said),
        SUITE_CASE(mtls_of_the_mesh_is_one_global_policy),
        SUITE_CASE(mtls_of_a_namespace_goes_before_the_mesh),
        SUITE_CASE(mtls_of_a_selector_goes_before_the_namespace),
        SUITE_CASE(mtls_with_many_ports_has_a_name_that_fits),
        SUITE_CASE(mtls_entries_that_agree_may_overlap),
        SUITE_CASE(mtls_entries_that_pick_a_workload_alike_must_agree),
        SUITE_END,
    };
    return suite_main("control.source_mtls", cases, argc, argv);
}
