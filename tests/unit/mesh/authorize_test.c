#include "mesh/authorize.h"

#include <stdio.h>
#include <string.h>

#include "mesh/builder.h"
#include "suite.h"

/* --- short ways to write policies down --- */

#define LIST(type, ...)                                                                            \
    {                                                                                              \
        (const type[]){__VA_ARGS__}, sizeof((const type[]){__VA_ARGS__}) / sizeof(type)            \
    }
#define STRINGS(...) LIST(struct mesh_string, __VA_ARGS__)
#define PREFIXES(...) LIST(struct addr_prefix, __VA_ARGS__)
#define PORTS(...) LIST(uint16_t, __VA_ARGS__)
#define ACCOUNTS(...) LIST(struct mesh_account, __VA_ARGS__)
#define EXACT(t)                                                                                   \
    {                                                                                              \
        .kind = MESH_EXACT, .text = (t)                                                            \
    }
#define PREFIX(t)                                                                                  \
    {                                                                                              \
        .kind = MESH_PREFIX, .text = (t)                                                           \
    }
#define SUFFIX(t)                                                                                  \
    {                                                                                              \
        .kind = MESH_SUFFIX, .text = (t)                                                           \
    }
#define PRESENCE                                                                                   \
    {                                                                                              \
        .kind = MESH_PRESENCE, .text = ""                                                          \
    }
#define IP4(a, b, c, d, n)                                                                         \
    {                                                                                              \
        .ip = {.len = 4, .bytes = {a, b, c, d}}, .bits = (n)                                       \
    }

/* One rule of one clause of one match. */
struct small {
    struct mesh_clause clause;
    struct mesh_rule rule;
    struct mesh_policy policy;
};

static struct mesh_policy *small_policy(struct small *small, const char *name,
                                        enum mesh_scope scope, enum mesh_action action,
                                        const struct mesh_match *match)
{
    small->clause = (struct mesh_clause){match, match ? 1 : 0};
    small->rule = (struct mesh_rule){&small->clause, 1};
    small->policy = (struct mesh_policy){
        .name = name,
        .namespace = scope == MESH_SCOPE_GLOBAL ? "" : "shop",
        .scope = scope,
        .action = action,
        .rules = &small->rule,
        .rule_count = 1,
    };
    return &small->policy;
}

/* --- a mesh with one workload, shop/web, and some policies --- */

struct world {
    struct mesh_snapshot *snapshot;
    const struct mesh_workload *web;
};

static void world_open(struct world *world, const struct mesh_policy *const *policies,
                       unsigned count, const char *const *names, unsigned name_count)
{
    struct mesh_snapshot *empty = mesh_snapshot_new("mesh.test");
    struct mesh_builder *builder = mesh_builder_new(empty);
    mesh_snapshot_unref(empty);
    const struct mesh_workload from = {
        .uid = "k//Pod/shop/web",
        .namespace = "shop",
        .service_account = "web",
        .policies = names,
        .policy_count = name_count,
    };
    struct mesh_workload *web;
    struct err err;
    CU_ASSERT_FATAL(mesh_workload_new(&from, &web, &err) == ERR_OK);
    CU_ASSERT(mesh_builder_put_workload(builder, web));
    mesh_workload_unref(web);
    for (unsigned i = 0; i < count; i++) {
        struct mesh_policy *policy;
        CU_ASSERT_FATAL(mesh_policy_new(policies[i], &policy, &err) == ERR_OK);
        CU_ASSERT(mesh_builder_put_policy(builder, policy));
        mesh_policy_unref(policy);
    }
    CU_ASSERT_FATAL(mesh_builder_finish(builder, &world->snapshot, &err) == ERR_OK);
    world->web = mesh_find_workload(world->snapshot, "k//Pod/shop/web");
    CU_ASSERT_PTR_NOT_NULL_FATAL(world->web);
}

static void world_close(struct world *world)
{
    mesh_snapshot_unref(world->snapshot);
}

/* From 10.1.2.3 to 10.77.0.2:8080. */
static struct mesh_verdict ask(const struct world *world, const char *principal)
{
    struct mesh_request request = {
        .source_ip = {.len = 4, .bytes = {10, 1, 2, 3}},
        .destination_ip = {.len = 4, .bytes = {10, 77, 0, 2}},
        .destination_port = 8080,
        .principal = principal,
        .principal_len = principal ? strlen(principal) : 0,
    };
    struct mesh_verdict verdict;
    mesh_authorize(world->snapshot, world->web, &request, &verdict);
    return verdict;
}

static enum mesh_decision decide(const struct mesh_policy *const *policies, unsigned count,
                                 const char *principal)
{
    struct world world;
    world_open(&world, policies, count, NULL, 0);
    enum mesh_decision decision = ask(&world, principal).decision;
    world_close(&world);
    return decision;
}

#define CLIENT "spiffe://mesh.test/ns/apps/sa/client"

/* --- one match, each field --- */

struct match_row {
    const char *what;
    struct mesh_match match;
    const char *principal;
    bool fits;
};

static const struct match_row match_rows[] = {
    {"exact principal", {.principals = STRINGS(EXACT("mesh.test/ns/apps/sa/client"))}, CLIENT, 1},
    {"exact principal with scheme", {.principals = STRINGS(EXACT(CLIENT))}, CLIENT, 1},
    {"exact principal, asked without scheme",
     {.principals = STRINGS(EXACT(CLIENT))},
     "mesh.test/ns/apps/sa/client",
     1},
    {"exact principal is not a prefix",
     {.principals = STRINGS(EXACT("mesh.test/ns/apps/sa/clien"))},
     CLIENT,
     0},
    {"exact principal, upper case",
     {.principals = STRINGS(EXACT("mesh.test/ns/apps/sa/Client"))},
     CLIENT,
     0},
    {"prefix", {.principals = STRINGS(PREFIX("mesh.test/ns/apps/"))}, CLIENT, 1},
    {"prefix with scheme",
     {.principals = STRINGS(PREFIX("spiffe://mesh.test/ns/apps/"))},
     CLIENT,
     1},
    {"prefix of another", {.principals = STRINGS(PREFIX("mesh.test/ns/apps2/"))}, CLIENT, 0},
    {"prefix longer than the principal",
     {.principals = STRINGS(PREFIX("mesh.test/ns/apps/sa/client2"))},
     CLIENT,
     0},
    {"suffix", {.principals = STRINGS(SUFFIX("/sa/client"))}, CLIENT, 1},
    {"suffix of another", {.principals = STRINGS(SUFFIX("/sa/clients"))}, CLIENT, 0},
    {"presence", {.principals = STRINGS(PRESENCE)}, CLIENT, 1},
    {"presence without an identity", {.principals = STRINGS(PRESENCE)}, NULL, 0},
    {"empty prefix without an identity", {.principals = STRINGS(PREFIX(""))}, NULL, 0},
    {"values are OR", {.principals = STRINGS(EXACT("x"), SUFFIX("client"))}, CLIENT, 1},
    {"not_principals presence, identity", {.not_principals = STRINGS(PRESENCE)}, CLIENT, 0},
    {"not_principals presence, no identity", {.not_principals = STRINGS(PRESENCE)}, NULL, 1},
    {"no value of a not_ field may match",
     {.not_principals = STRINGS(EXACT("x"), SUFFIX("client"))},
     CLIENT,
     0},
    {"fields are AND",
     {.principals = STRINGS(PRESENCE), .destination_ports = PORTS(9090)},
     CLIENT,
     0},
    {"a field and its not_ field are AND",
     {.principals = STRINGS(PRESENCE), .not_principals = STRINGS(SUFFIX("client"))},
     CLIENT,
     0},
    {"namespace", {.namespaces = STRINGS(EXACT("apps"))}, CLIENT, 1},
    {"namespace prefix", {.namespaces = STRINGS(PREFIX("ap"))}, CLIENT, 1},
    {"namespace of another", {.namespaces = STRINGS(EXACT("app"))}, CLIENT, 0},
    {"namespace without an identity", {.namespaces = STRINGS(EXACT("apps"))}, NULL, 0},
    {"namespace of an ID of another form",
     {.namespaces = STRINGS(EXACT("apps"))},
     "spiffe://mesh.test/vm/ns/apps/sa/client",
     0},
    {"not_namespaces", {.not_namespaces = STRINGS(EXACT("apps"))}, CLIENT, 0},
    {"not_namespaces, other", {.not_namespaces = STRINGS(EXACT("other"))}, CLIENT, 1},
    {"not_namespaces without an identity", {.not_namespaces = STRINGS(EXACT("apps"))}, NULL, 1},
    {"service account", {.service_accounts = ACCOUNTS({"apps", "client"})}, CLIENT, 1},
    {"service account, other namespace",
     {.service_accounts = ACCOUNTS({"app", "client"})},
     CLIENT,
     0},
    {"service account, other name", {.service_accounts = ACCOUNTS({"apps", "clien"})}, CLIENT, 0},
    {"service account of a foreign trust domain",
     {.service_accounts = ACCOUNTS({"apps", "client"})},
     "spiffe://evil.test/ns/apps/sa/client",
     0},
    {"service account of a longer trust domain",
     {.service_accounts = ACCOUNTS({"apps", "client"})},
     "spiffe://mesh.test.evil/ns/apps/sa/client",
     0},
    {"not_service_accounts", {.not_service_accounts = ACCOUNTS({"apps", "client"})}, CLIENT, 0},
    {"not_service_accounts without an identity",
     {.not_service_accounts = ACCOUNTS({"apps", "client"})},
     NULL,
     1},
    {"source prefix", {.source_ips = PREFIXES(IP4(10, 1, 0, 0, 16))}, NULL, 1},
    {"source prefix, outside", {.source_ips = PREFIXES(IP4(10, 2, 0, 0, 16))}, NULL, 0},
    {"source prefix of no bits", {.source_ips = PREFIXES(IP4(0, 0, 0, 0, 0))}, NULL, 1},
    {"an IPv6 prefix is for IPv6",
     {.source_ips = PREFIXES({.ip = {.len = 16}, .bits = 0})},
     NULL,
     0},
    {"not_source_ips", {.not_source_ips = PREFIXES(IP4(10, 1, 2, 3, 32))}, NULL, 0},
    {"destination prefix", {.destination_ips = PREFIXES(IP4(10, 77, 0, 2, 32))}, NULL, 1},
    {"destination prefix, other", {.destination_ips = PREFIXES(IP4(10, 77, 0, 3, 32))}, NULL, 0},
    {"not_destination_ips", {.not_destination_ips = PREFIXES(IP4(10, 77, 0, 0, 24))}, NULL, 0},
    {"port", {.destination_ports = PORTS(80, 8080)}, NULL, 1},
    {"port, other", {.destination_ports = PORTS(80)}, NULL, 0},
    {"not_destination_ports", {.not_destination_ports = PORTS(8080)}, NULL, 0},
    {"not_destination_ports, other", {.not_destination_ports = PORTS(80)}, NULL, 1},
};

static void authorize_matches_each_field_as_the_wire_says(void)
{
    for (size_t i = 0; i < sizeof match_rows / sizeof match_rows[0]; i++) {
        const struct match_row *row = &match_rows[i];
        struct small deny, allow;
        const struct mesh_policy *denies[] = {
            small_policy(&deny, "d", MESH_SCOPE_NAMESPACE, MESH_ACTION_DENY, &row->match)};
        const struct mesh_policy *allows[] = {
            small_policy(&allow, "a", MESH_SCOPE_NAMESPACE, MESH_ACTION_ALLOW, &row->match)};
        bool denied = decide(denies, 1, row->principal) == MESH_DENY;
        bool allowed = decide(allows, 1, row->principal) == MESH_ALLOW;
        if (denied != row->fits || allowed != row->fits)
            printf("\n    row: %s\n", row->what);
        CU_ASSERT_EQUAL(denied, row->fits);
        CU_ASSERT_EQUAL(allowed, row->fits);
    }
}

/* --- how matches, clauses and rules combine --- */

static const struct mesh_match yes = {.destination_ports = PORTS(8080)};
static const struct mesh_match no = {.destination_ports = PORTS(1)};

struct shape_row {
    const char *what;
    struct mesh_rule rules[2];
    unsigned rule_count;
    bool fits;
};

#define MATCHES(...) LIST(struct mesh_match, __VA_ARGS__)
#define CLAUSES(...) LIST(struct mesh_clause, __VA_ARGS__)
#define YES                                                                                        \
    {                                                                                              \
        .destination_ports = PORTS(8080)                                                           \
    }
#define NO                                                                                         \
    {                                                                                              \
        .destination_ports = PORTS(1)                                                              \
    }
#define EMPTY                                                                                      \
    {                                                                                              \
        .destination_ports = { 0 }                                                                 \
    }

static const struct shape_row shape_rows[] = {
    {"no rules match nothing", {{0}}, 0, 0},
    {"a rule without clauses matches", {{0}}, 1, 1},
    {"an empty clause matches", {CLAUSES({0})}, 1, 1},
    {"a clause of one empty match matches", {CLAUSES(MATCHES(EMPTY))}, 1, 1},
    {"an empty match is skipped, not true", {CLAUSES(MATCHES(EMPTY, NO))}, 1, 0},
    {"matches are OR", {CLAUSES(MATCHES(NO, YES))}, 1, 1},
    {"matches are OR, none", {CLAUSES(MATCHES(NO, NO))}, 1, 0},
    {"clauses are AND", {CLAUSES(MATCHES(YES), MATCHES(NO))}, 1, 0},
    {"clauses are AND, all", {CLAUSES(MATCHES(YES), MATCHES(NO, YES))}, 1, 1},
    {"rules are OR", {CLAUSES(MATCHES(NO)), CLAUSES(MATCHES(YES))}, 2, 1},
    {"rules are OR, none", {CLAUSES(MATCHES(NO)), CLAUSES(MATCHES(NO))}, 2, 0},
};

static void authorize_combines_rules_clauses_and_matches(void)
{
    for (size_t i = 0; i < sizeof shape_rows / sizeof shape_rows[0]; i++) {
        const struct shape_row *row = &shape_rows[i];
        const struct mesh_policy policy = {
            .name = "p",
            .namespace = "shop",
            .scope = MESH_SCOPE_NAMESPACE,
            .action = MESH_ACTION_DENY,
            .rules = row->rules,
            .rule_count = row->rule_count,
        };
        const struct mesh_policy *policies[] = {&policy};
        bool fits = decide(policies, 1, NULL) == MESH_DENY;
        if (fits != row->fits)
            printf("\n    row: %s\n", row->what);
        CU_ASSERT_EQUAL(fits, row->fits);
    }
}

/* --- how policies combine --- */

static void authorize_allows_without_any_policy(void)
{
    struct world world;
    world_open(&world, NULL, 0, NULL, 0);
    struct mesh_verdict verdict = ask(&world, NULL);
    CU_ASSERT_EQUAL(verdict.decision, MESH_ALLOW);
    CU_ASSERT_EQUAL(verdict.reason, MESH_REASON_NO_POLICY);
    world_close(&world);
}

static void authorize_lets_deny_win_over_allow(void)
{
    struct small a, b;
    const struct mesh_policy *policies[] = {
        small_policy(&a, "allow", MESH_SCOPE_NAMESPACE, MESH_ACTION_ALLOW, &yes),
        small_policy(&b, "deny", MESH_SCOPE_GLOBAL, MESH_ACTION_DENY, &yes),
    };
    struct world world;
    world_open(&world, policies, 2, NULL, 0);
    struct mesh_verdict verdict = ask(&world, CLIENT);
    CU_ASSERT_EQUAL(verdict.decision, MESH_DENY);
    CU_ASSERT_EQUAL(verdict.reason, MESH_REASON_DENY_MATCH);
    CU_ASSERT_STRING_EQUAL(verdict.policy->key, "/deny");
    world_close(&world);
}

static void authorize_needs_one_allow_to_match_where_there_are_any(void)
{
    struct small a, b;
    const struct mesh_policy *policies[] = {
        small_policy(&a, "one", MESH_SCOPE_NAMESPACE, MESH_ACTION_ALLOW, &no),
        small_policy(&b, "two", MESH_SCOPE_NAMESPACE, MESH_ACTION_ALLOW, &yes),
    };
    CU_ASSERT_EQUAL(decide(policies, 1, CLIENT), MESH_DENY);
    CU_ASSERT_EQUAL(decide(policies, 2, CLIENT), MESH_ALLOW);
}

static void authorize_knows_whom_a_policy_guards(void)
{
    struct small a, b, c;
    struct mesh_policy *other =
        small_policy(&a, "other", MESH_SCOPE_NAMESPACE, MESH_ACTION_DENY, &yes);
    other->namespace = "elsewhere";
    const struct mesh_policy *policies[] = {
        other,
        small_policy(&b, "picked", MESH_SCOPE_WORKLOAD, MESH_ACTION_DENY, &yes),
        small_policy(&c, "unpicked", MESH_SCOPE_WORKLOAD, MESH_ACTION_DENY, &yes),
    };
    struct world world;
    world_open(&world, policies, 3, NULL, 0);
    CU_ASSERT_EQUAL(ask(&world, CLIENT).decision, MESH_ALLOW);
    world_close(&world);

    const char *names[] = {"shop/picked"};
    world_open(&world, policies, 3, names, 1);
    struct mesh_verdict verdict = ask(&world, CLIENT);
    CU_ASSERT_EQUAL(verdict.decision, MESH_DENY);
    CU_ASSERT_STRING_EQUAL(verdict.policy->key, "shop/picked");
    world_close(&world);
}

static void authorize_holds_where_a_named_policy_is_missing(void)
{
    struct small a;
    const struct mesh_policy *allow[] = {
        small_policy(&a, "allow", MESH_SCOPE_NAMESPACE, MESH_ACTION_ALLOW, &yes)};
    const char *names[] = {"shop/absent"};
    struct world world;
    world_open(&world, allow, 1, names, 1);
    struct mesh_verdict verdict = ask(&world, CLIENT);
    CU_ASSERT_EQUAL(verdict.decision, MESH_PENDING);
    CU_ASSERT_EQUAL(verdict.reason, MESH_REASON_MISSING);
    CU_ASSERT_STRING_EQUAL(verdict.missing, "shop/absent");
    world_close(&world);

    /* Also where the present ones would refuse for want of an ALLOW: the missing one may be it. */
    allow[0] = small_policy(&a, "allow", MESH_SCOPE_NAMESPACE, MESH_ACTION_ALLOW, &no);
    world_open(&world, allow, 1, names, 1);
    CU_ASSERT_EQUAL(ask(&world, CLIENT).decision, MESH_PENDING);
    world_close(&world);
}

static void authorize_does_not_wait_where_a_present_deny_matches(void)
{
    struct small a;
    const struct mesh_policy *deny[] = {
        small_policy(&a, "deny", MESH_SCOPE_NAMESPACE, MESH_ACTION_DENY, &yes)};
    const char *names[] = {"shop/absent"};
    struct world world;
    world_open(&world, deny, 1, names, 1);
    struct mesh_verdict verdict = ask(&world, CLIENT);
    CU_ASSERT_EQUAL(verdict.decision, MESH_DENY);
    CU_ASSERT_PTR_NULL(verdict.missing);
    world_close(&world);
}

static void authorize_refuses_plaintext_under_strict(void)
{
    const struct mesh_match strict = {.not_principals = STRINGS(PRESENCE)};
    struct small a;
    const struct mesh_policy *policies[] = {
        small_policy(&a, "strict", MESH_SCOPE_GLOBAL, MESH_ACTION_DENY, &strict)};
    CU_ASSERT_EQUAL(decide(policies, 1, NULL), MESH_DENY);
    CU_ASSERT_EQUAL(decide(policies, 1, ""), MESH_DENY);
    CU_ASSERT_EQUAL(decide(policies, 1, CLIENT), MESH_ALLOW);
}

static void authorize_uses_the_destinations_trust_domain_for_accounts(void)
{
    const struct mesh_match match = {.service_accounts = ACCOUNTS({"apps", "client"})};
    struct small a;
    struct mesh_policy *from =
        small_policy(&a, "p", MESH_SCOPE_NAMESPACE, MESH_ACTION_ALLOW, &match);
    struct world world;
    const struct mesh_policy *policies[] = {from};
    world_open(&world, policies, 1, NULL, 0);
    struct mesh_workload other = *world.web;
    other.trust_domain = "other.test";
    world.web = &other;
    CU_ASSERT_EQUAL(ask(&world, CLIENT).decision, MESH_DENY);
    CU_ASSERT_EQUAL(ask(&world, "spiffe://other.test/ns/apps/sa/client").decision, MESH_ALLOW);
    world_close(&world);
}

static void authorize_compares_identities_by_length(void)
{
    const struct mesh_match match = {.principals = STRINGS(EXACT("mesh.test/ns/apps/sa/client"))};
    struct small a;
    const struct mesh_policy *policies[] = {
        small_policy(&a, "p", MESH_SCOPE_NAMESPACE, MESH_ACTION_ALLOW, &match)};
    struct world world;
    world_open(&world, policies, 1, NULL, 0);
    static const char evil[] = CLIENT "\0.evil";
    struct mesh_request request = {
        .destination_port = 8080, .principal = evil, .principal_len = sizeof evil - 1};
    struct mesh_verdict verdict;
    mesh_authorize(world.snapshot, world.web, &request, &verdict);
    CU_ASSERT_EQUAL(verdict.decision, MESH_DENY);
    world_close(&world);
}

/* --- dry runs --- */

struct dry_row {
    const char *what;
    enum mesh_action action;
    const struct mesh_match *match;  /* of the dry run */
    const struct mesh_match *beside; /* of an enforced ALLOW, or NULL */
    enum mesh_decision decision;
    bool reported;
};

static void authorize_reports_dry_runs_and_ignores_them(void)
{
    static const struct dry_row rows[] = {
        {"dry deny that matches", MESH_ACTION_DENY, &yes, NULL, MESH_ALLOW, true},
        {"dry deny that does not", MESH_ACTION_DENY, &no, NULL, MESH_ALLOW, false},
        {"dry deny beside an allow", MESH_ACTION_DENY, &yes, &yes, MESH_ALLOW, true},
        {"dry allow that does not match", MESH_ACTION_ALLOW, &no, NULL, MESH_ALLOW, true},
        {"dry allow that matches", MESH_ACTION_ALLOW, &yes, NULL, MESH_ALLOW, false},
        {"dry allow beside one that matches", MESH_ACTION_ALLOW, &no, &yes, MESH_ALLOW, false},
        {"dry allow does not allow", MESH_ACTION_ALLOW, &yes, &no, MESH_DENY, false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct small a, b;
        struct mesh_policy *dry =
            small_policy(&a, "dry", MESH_SCOPE_NAMESPACE, rows[i].action, rows[i].match);
        dry->dry_run = true;
        const struct mesh_policy *policies[] = {
            dry, rows[i].beside ? small_policy(&b, "real", MESH_SCOPE_NAMESPACE, MESH_ACTION_ALLOW,
                                               rows[i].beside)
                                : NULL};
        struct world world;
        world_open(&world, policies, rows[i].beside ? 2 : 1, NULL, 0);
        struct mesh_verdict verdict = ask(&world, CLIENT);
        if (verdict.decision != rows[i].decision || (verdict.dry_run != NULL) != rows[i].reported)
            printf("\n    row: %s\n", rows[i].what);
        CU_ASSERT_EQUAL(verdict.decision, rows[i].decision);
        CU_ASSERT_EQUAL(verdict.dry_run != NULL, rows[i].reported);
        world_close(&world);
    }
}

static void authorize_puts_the_verdict_in_a_sentence(void)
{
    struct small a;
    const struct mesh_policy *policies[] = {
        small_policy(&a, "deny-8080", MESH_SCOPE_NAMESPACE, MESH_ACTION_DENY, &yes)};
    struct world world;
    world_open(&world, policies, 1, NULL, 0);
    struct mesh_verdict verdict = ask(&world, CLIENT);
    struct mesh_request request = {.destination_port = 8080,
                                   .source_ip = {.len = 4, .bytes = {10, 1, 2, 3}},
                                   .principal = CLIENT,
                                   .principal_len = sizeof CLIENT - 1};
    char text[MESH_VERDICT_TEXT_MAX];
    CU_ASSERT_STRING_EQUAL(mesh_verdict_format(&verdict, &request, text),
                           "policy shop/deny-8080 denies " CLIENT " to connect to port 8080");
    request.principal = NULL;
    CU_ASSERT_STRING_EQUAL(mesh_verdict_format(&verdict, &request, text),
                           "policy shop/deny-8080 denies 10.1.2.3, which proved no identity, to "
                           "connect to port 8080");
    world_close(&world);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(authorize_matches_each_field_as_the_wire_says),
        SUITE_CASE(authorize_combines_rules_clauses_and_matches),
        SUITE_CASE(authorize_allows_without_any_policy),
        SUITE_CASE(authorize_lets_deny_win_over_allow),
        SUITE_CASE(authorize_needs_one_allow_to_match_where_there_are_any),
        SUITE_CASE(authorize_knows_whom_a_policy_guards),
        SUITE_CASE(authorize_holds_where_a_named_policy_is_missing),
        SUITE_CASE(authorize_does_not_wait_where_a_present_deny_matches),
        SUITE_CASE(authorize_refuses_plaintext_under_strict),
        SUITE_CASE(authorize_uses_the_destinations_trust_domain_for_accounts),
        SUITE_CASE(authorize_compares_identities_by_length),
        SUITE_CASE(authorize_reports_dry_runs_and_ignores_them),
        SUITE_CASE(authorize_puts_the_verdict_in_a_sentence),
        SUITE_END,
    };
    return suite_main("authorize", cases, argc, argv);
}
