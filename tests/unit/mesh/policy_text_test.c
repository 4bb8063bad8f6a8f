#include "mesh/policy_text.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

#define LIST(type, ...)                                                                            \
    {                                                                                              \
        (const type[]){__VA_ARGS__}, sizeof((const type[]){__VA_ARGS__}) / sizeof(type)            \
    }
#define STRINGS(...) LIST(struct mesh_string, __VA_ARGS__)
#define PORTS(...) LIST(uint16_t, __VA_ARGS__)
#define MATCHES(...) LIST(struct mesh_match, __VA_ARGS__)
#define CLAUSES(...) LIST(struct mesh_clause, __VA_ARGS__)
#define RULES(...) LIST(struct mesh_rule, __VA_ARGS__)
#define STRING(k, t)                                                                               \
    {                                                                                              \
        .kind = k, .text = (t)                                                                     \
    }
#define EXACT(t) STRING(MESH_EXACT, t)

static struct rules {
    const struct mesh_rule *items;
    unsigned count;
} none;

static void expect_rules(struct rules rules, const char *expected)
{
    char text[MESH_POLICY_TEXT_MAX];
    const struct mesh_policy from = {
        .name = "p", .namespace = "shop", .rules = rules.items, .rule_count = rules.count};
    struct mesh_policy *policy;
    struct err err;
    CU_ASSERT_EQUAL_FATAL(mesh_policy_new(&from, &policy, &err), ERR_OK);
    CU_ASSERT_STRING_EQUAL(mesh_policy_format(policy, text), expected);
    if (strcmp(text, expected) != 0)
        printf("\n%s\n", text);
    mesh_policy_unref(policy);
}

static void expect_match(const struct mesh_match *match, const char *expected)
{
    const struct mesh_clause clause = {match, 1};
    const struct mesh_rule rule = {&clause, 1};
    expect_rules((struct rules){&rule, 1}, expected);
}
#define EXPECT_MATCH(expected, ...) expect_match(&(const struct mesh_match){__VA_ARGS__}, expected)

static void every_field_is_named_and_its_values_are_listed(void)
{
    EXPECT_MATCH("principal demo/ns/shop/sa/web|demo/ns/jobs/*|*/sa/batch|*",
                 .principals =
                     STRINGS(EXACT("spiffe://demo/ns/shop/sa/web"),
                             STRING(MESH_PREFIX, "spiffe://demo/ns/jobs/"),
                             STRING(MESH_SUFFIX, "/sa/batch"), STRING(MESH_PRESENCE, "")));
    EXPECT_MATCH("namespace shop and namespace not jobs", .namespaces = STRINGS(EXACT("shop")),
                 .not_namespaces = STRINGS(EXACT("jobs")));
    EXPECT_MATCH("source 10.0.0.0/8|192.0.2.1|fd77:1::/32 and source not 10.1.0.0/16",
                 .source_ips = LIST(struct addr_prefix, {{4, {10}}, 8}, {{4, {192, 0, 2, 1}}, 32},
                                    {{16, {0xfd, 0x77, 0, 1}}, 32}),
                 .not_source_ips = LIST(struct addr_prefix, {{4, {10, 1}}, 16}));
    EXPECT_MATCH("destination 0.0.0.0/0 and destination not ::/0",
                 .destination_ips = LIST(struct addr_prefix, {{4, {0}}, 0}),
                 .not_destination_ips = LIST(struct addr_prefix, {{16, {0}}, 0}));
    EXPECT_MATCH("port 80|8080 and port not 22", .destination_ports = PORTS(80, 8080),
                 .not_destination_ports = PORTS(22));
    EXPECT_MATCH("account shop/web|jobs/batch and account not shop/old",
                 .service_accounts = LIST(struct mesh_account, {"shop", "web"}, {"jobs", "batch"}),
                 .not_service_accounts = LIST(struct mesh_account, {"shop", "old"}));
}

static void strict_mtls_reads_as_nobody_without_a_principal(void)
{
    EXPECT_MATCH("principal not *", .not_principals = STRINGS(STRING(MESH_PRESENCE, "")));
}

static void no_rules_are_nothing_and_a_rule_without_conditions_is_anything(void)
{
    expect_rules(none, "nothing");
    EXPECT_MATCH("anything", .principals = {0});
    expect_rules((struct rules)RULES({0}), "anything");
    expect_rules((struct rules)RULES(CLAUSES({0}, MATCHES({.destination_ports = PORTS(1)}))),
                 "port 1");
}

static void rules_clauses_and_matches_keep_their_meaning(void)
{
    /* Two matches in one of two clauses need brackets; alone they need none. */
    expect_rules((struct rules)RULES(CLAUSES(MATCHES({.namespaces = STRINGS(EXACT("a")),
                                                      .destination_ports = PORTS(1)},
                                                     {0}, {.namespaces = STRINGS(EXACT("b"))}),
                                             MATCHES({.destination_ports = PORTS(2)})),
                                     CLAUSES(MATCHES({.namespaces = STRINGS(EXACT("c"))},
                                                     {.namespaces = STRINGS(EXACT("d"))}))),
                 "(namespace a and port 1 or namespace b) and port 2; or namespace c or "
                 "namespace d");
    expect_rules((struct rules)RULES(CLAUSES(MATCHES({.namespaces = STRINGS(EXACT("a"))})),
                                     CLAUSES(MATCHES({.destination_ports = PORTS(3)}))),
                 "namespace a; or port 3");
}

static void what_is_not_usual_is_quoted_and_escaped(void)
{
    EXPECT_MATCH(
        "namespace \"a b\"|\"\"|\"not\\\"\\\\\"|\"\\x1b[2J\\x0a\\xc3\\xa4\\x7f\"|\"a*\"*|\"a|b\"",
        .namespaces =
            STRINGS(EXACT("a b"), EXACT(""), EXACT("not\"\\"), EXACT("\x1b[2J\n\xc3\xa4\x7f"),
                    STRING(MESH_PREFIX, "a*"), EXACT("a|b")));
}

static void a_long_line_is_cut_and_says_so(void)
{
    enum { MANY = 50000 };
    static uint16_t ports[MANY];
    static char name[MESH_POLICY_TEXT_MAX];
    char text[MESH_POLICY_TEXT_MAX + 8];
    memset(name, 0x01, sizeof name - 1);
    for (unsigned i = 0; i < MANY; i++)
        ports[i] = (uint16_t)i;
    const struct mesh_string long_one = EXACT(name);
    const struct mesh_match matches[] = {{.destination_ports = {ports, MANY}},
                                         {.namespaces = {&long_one, 1}}};
    for (unsigned i = 0; i < 2; i++) {
        const struct mesh_clause clause = {&matches[i], 1};
        const struct mesh_rule rule = {&clause, 1};
        const struct mesh_policy policy = {.rules = &rule, .rule_count = 1};
        memset(text, '#', sizeof text);
        mesh_policy_format(&policy, text);
        size_t len = strlen(text);
        CU_ASSERT(len < MESH_POLICY_TEXT_MAX && len > MESH_POLICY_TEXT_MAX - 16);
        CU_ASSERT_STRING_EQUAL(text + len - 4, " ...");
        CU_ASSERT_EQUAL(text[MESH_POLICY_TEXT_MAX], '#');
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(every_field_is_named_and_its_values_are_listed),
        SUITE_CASE(strict_mtls_reads_as_nobody_without_a_principal),
        SUITE_CASE(no_rules_are_nothing_and_a_rule_without_conditions_is_anything),
        SUITE_CASE(rules_clauses_and_matches_keep_their_meaning),
        SUITE_CASE(what_is_not_usual_is_quoted_and_escaped),
        SUITE_CASE(a_long_line_is_cut_and_says_so),
        SUITE_END,
    };
    return suite_main("mesh/policy_text", cases, argc, argv);
}
