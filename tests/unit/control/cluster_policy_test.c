/* What an AuthorizationPolicy comes to, asked as a proxy asks: may this one connect? */
#include "control/cluster_policy.h"

#include <stdio.h>
#include <string.h>

#include "bed.h"
#include "suite.h"

static struct bed bed;

/* shop/web (app: web) and shop/db (app: db), both of the mesh, and bank/vault. */
static void setup(void)
{
    bed_start(&bed);
    bed_pod(&bed, "shop/web", (struct bed_pod){.ip = "10.1.0.1", .labels = "'app': 'web'"});
    bed_pod(&bed, "shop/db",
            (struct bed_pod){.ip = "10.1.0.2", .labels = "'app': 'db', 'tier': 'back'"});
    bed_pod(&bed, "bank/vault", (struct bed_pod){.ip = "10.1.0.3", .labels = "'app': 'db'"});
    bed_settle(&bed);
}

/* The policy alone, as shop/p. */
static void only(const char *spec)
{
    bed_policy(&bed, "shop/p", spec);
    bed_settle(&bed);
}

/* "+shop/a -shop/b ...": whom the policy lets in to shop/web on `port`, whom not. */
static void expect(const char *spec, uint16_t port, const char *who)
{
    char name[64];
    int used;
    only(spec);
    for (; sscanf(who, " %63s%n", name, &used) == 1; who += used) {
        bool allowed = bed_allows(&bed, name + 1, "shop/web", port);
        CU_ASSERT_EQUAL(allowed, name[0] == '+');
        if (allowed != (name[0] == '+'))
            fprintf(stderr, "\n%s: %s to %u\n", spec, name, port);
    }
}

static void expect_verdict(const char *spec, bool accepted, const char *reason, const char *part)
{
    only("{'action': 'DENY', 'rules': [{'to': [{'operation': {'ports': ['1']}}]}]}");
    only(spec);
    const struct bed_verdict *verdict = bed_verdict_on(&bed, CLUSTER_POLICIES, "shop/p");
    CU_ASSERT_PTR_NOT_NULL_FATAL(verdict);
    bool good = verdict->accepted == accepted && strcmp(verdict->reason, reason) == 0 &&
                strstr(verdict->sentence, part);
    CU_ASSERT_TRUE(good);
    if (!good)
        fprintf(stderr, "\n%s\nfound    %s: %s\nexpected %s: %s\n", spec, verdict->reason,
                verdict->sentence, reason, part);
}

static void policy_without_rules_allows_nothing(void)
{
    setup();
    CU_ASSERT_TRUE(bed_allows(&bed, "shop/a", "shop/web", 80));
    expect("{}", 80, "-shop/a -10.9.9.9");
    expect("{'action': 'ALLOW'}", 80, "-shop/a -10.9.9.9");
    expect("{'rules': []}", 80, "-shop/a -10.9.9.9");
    bed_put(&bed, CLUSTER_POLICIES, "shop/p", "{'metadata': {'generation': 2}}");
    bed_settle(&bed);
    CU_ASSERT_FALSE(bed_allows(&bed, "shop/a", "shop/web", 80));
    bed_stop(&bed);
}

static void policy_with_an_empty_rule_matches_everything(void)
{
    setup();
    expect("{'rules': [{}]}", 80, "+shop/a +10.9.9.9");
    expect("{'action': 'DENY', 'rules': [{}]}", 80, "-shop/a -10.9.9.9");
    bed_stop(&bed);
}

#define FROM(source) "{'rules': [{'from': [{'source': {" source "}}]}]}"

static void policy_knows_every_field_of_a_source(void)
{
    setup();
    expect(FROM("'principals': ['cluster.local/ns/shop/sa/a']"), 80, "+shop/a -shop/b -10.9.9.9");
    expect(FROM("'principals': ['spiffe://cluster.local/ns/shop/sa/a']"), 80, "+shop/a -shop/b");
    expect(FROM("'principals': ['cluster.local/ns/shop/*']"), 80, "+shop/a -bank/a -10.9.9.9");
    expect(FROM("'principals': ['*/sa/a']"), 80, "+shop/a +bank/a -shop/b");
    expect(FROM("'principals': ['*']"), 80, "+shop/a -10.9.9.9");
    expect(FROM("'notPrincipals': ['*/sa/a']"), 80, "-shop/a +shop/b +10.9.9.9");
    expect(FROM("'namespaces': ['shop', 'ba*']"), 80, "+shop/a +bank/a -jobs/a -10.9.9.9");
    expect(FROM("'notNamespaces': ['shop']"), 80, "-shop/a +bank/a +10.9.9.9");
    expect(FROM("'ipBlocks': ['10.9.0.0/16', 'fd00::/8']"), 80, "-shop/a +10.9.9.9 +fd00::7");
    expect(FROM("'ipBlocks': ['10.9.9.9']"), 80, "-10.9.9.8 +10.9.9.9");
    expect(FROM("'notIpBlocks': ['10.9.0.0/16']"), 80, "+shop/a -10.9.9.9");
    expect(FROM("'serviceAccounts': ['bank/a', 'b']"), 80, "-shop/a +bank/a +shop/b -bank/b");
    expect(FROM("'notServiceAccounts': ['a']"), 80, "-shop/a +bank/a +10.9.9.9");
    expect(FROM("'namespaces': ['shop'], 'notPrincipals': ['*/sa/a']"), 80, "-shop/a +shop/b");
    expect("{'rules': [{'from': [{'source': {'namespaces': ['shop']}}, {'source': "
           "{'namespaces': ['bank']}}]}]}",
           80, "+shop/a +bank/a -jobs/a");
    bed_stop(&bed);
}

static void policy_knows_the_ports_of_an_operation(void)
{
    setup();
    expect("{'rules': [{'to': [{'operation': {'ports': ['80', '443']}}]}]}", 443, "+shop/a");
    expect("{'rules': [{'to': [{'operation': {'ports': ['80', '443']}}]}]}", 8080, "-shop/a");
    expect("{'rules': [{'to': [{'operation': {'notPorts': ['80']}}]}]}", 80, "-shop/a");
    expect("{'rules': [{'to': [{'operation': {'notPorts': ['80']}}]}]}", 81, "+shop/a");
    expect("{'rules': [{'from': [{'source': {'namespaces': ['shop']}}], 'to': [{'operation': "
           "{'ports': ['80']}}]}]}",
           80, "+shop/a -bank/a");
    bed_stop(&bed);
}

#define WHEN(conditions) "{'rules': [{'when': [" conditions "]}]}"

static void policy_knows_conditions_on_a_connection(void)
{
    setup();
    expect(WHEN("{'key': 'source.ip', 'values': ['10.9.0.0/16']}"), 80, "+10.9.9.9 -10.8.0.1");
    expect(WHEN("{'key': 'source.ip', 'notValues': ['10.9.0.0/16']}"), 80, "-10.9.9.9 +10.8.0.1");
    expect(WHEN("{'key': 'source.namespace', 'values': ['shop']}"), 80, "+shop/a -bank/a");
    expect(WHEN("{'key': 'source.principal', 'values': ['cluster.local/ns/shop/sa/a']}"), 80,
           "+shop/a -shop/b");
    expect(WHEN("{'key': 'source.serviceAccount', 'values': ['a']}"), 80, "+shop/a -bank/a");
    expect(WHEN("{'key': 'destination.ip', 'values': ['10.1.0.1']}"), 80, "+shop/a");
    expect(WHEN("{'key': 'destination.ip', 'values': ['10.1.0.2']}"), 80, "-shop/a");
    expect(WHEN("{'key': 'destination.port', 'values': ['80']}"), 80, "+shop/a");
    expect(WHEN("{'key': 'destination.port', 'notValues': ['80']}"), 80, "-shop/a");
    /* All of them have to hold, and both lists of one. */
    expect(WHEN("{'key': 'source.namespace', 'values': ['shop']}, {'key': 'destination.port', "
                "'values': ['80']}"),
           80, "+shop/a -bank/a");
    expect(WHEN("{'key': 'source.principal', 'values': ['*'], 'notValues': ['*/sa/a']}"), 80,
           "-shop/a +shop/b -10.9.9.9");
    bed_stop(&bed);
}

/* "cluster.local" is the mesh's own trust domain, whatever that is called. */
static void policy_survives_a_change_of_the_trust_domain(void)
{
    struct err err;
    struct cluster_policy *policies[3];
    static const char *const principals[] = {"cluster.local/ns/shop/sa/a",
                                             "prod.example/ns/shop/sa/a",
                                             "spiffe://cluster.local/ns/shop/sa/a"};
    const struct cluster_policy_context context = {
        .ns = "shop", .name = "p", .wire_prefix = "", .trust_domain = "prod.example"};
    for (int i = 0; i < 3; i++) {
        json_t *json = bed_json("{'spec': " FROM("'principals': ['%s']") "}", principals[i]);
        CU_ASSERT_EQUAL_FATAL(cluster_policy_read(&context, json, &policies[i], &err), ERR_OK);
        json_decref(json);
    }
    CU_ASSERT_TRUE(cluster_policy_equal(policies[0], policies[1]));
    CU_ASSERT_TRUE(cluster_policy_equal(policies[0], policies[2]));
    for (int i = 0; i < 3; i++)
        cluster_policy_free(policies[i]);
}

/* --- failing closed --------------------------------------------------------------------------- */

static void allow_rule_that_asks_for_http_never_matches(void)
{
    setup();
    /* The rule is gone, the policy is not: nothing is allowed. */
    expect("{'rules': [{'to': [{'operation': {'methods': ['GET'], 'ports': ['80']}}]}]}", 80,
           "-shop/a");
    expect("{'rules': [{'to': [{'operation': {'ports': ['80']}}, {'operation': {'paths': "
           "['/x']}}]}]}",
           80, "-shop/a");
    expect(FROM("'requestPrincipals': ['*'], 'namespaces': ['shop']"), 80, "-shop/a");
    expect(FROM("'remoteIpBlocks': ['10.0.0.0/8']"), 80, "-shop/a");
    expect(WHEN("{'key': 'request.headers[x]', 'values': ['y']}"), 80, "-shop/a");
    expect(WHEN("{'key': 'remote.ip', 'notValues': ['10.9.9.9']}"), 80, "-shop/a");
    expect(FROM("'somethingNew': ['x']"), 80, "-shop/a");
    /* Other rules hold. */
    expect("{'rules': [{'to': [{'operation': {'hosts': ['x']}}]}, {'from': [{'source': "
           "{'namespaces': ['shop']}}]}]}",
           80, "+shop/a -bank/a");
    bed_stop(&bed);
}

#define DENY(rule) "{'action': 'DENY', 'rules': [" rule "]}"

static void deny_rule_that_asks_for_http_holds_without_it(void)
{
    setup();
    expect(DENY("{'to': [{'operation': {'paths': ['/x'], 'ports': ['80']}}]}"), 80, "-shop/a");
    expect(DENY("{'to': [{'operation': {'paths': ['/x'], 'ports': ['80']}}]}"), 81, "+shop/a");
    expect(DENY("{'to': [{'operation': {'paths': ['/x']}}]}"), 81, "-shop/a");
    /* An element that has lost all it asked for matches whatever its neighbours ask for. */
    expect(DENY("{'to': [{'operation': {'paths': ['/x']}}, {'operation': {'ports': ['80']}}]}"), 81,
           "-shop/a");
    expect(DENY("{'from': [{'source': {'namespaces': ['bank']}}], 'to': [{'operation': {'notHosts':"
                " ['x']}}]}"),
           80, "+shop/a -bank/a");
    expect(DENY("{'from': [{'source': {'requestPrincipals': ['x']}}, {'source': {'namespaces': "
                "['bank']}}]}"),
           80, "-shop/a -bank/a");
    expect(DENY("{'from': [{'source': {'namespaces': ['bank']}}], 'when': [{'key': "
                "'request.auth.claims[x]', 'notValues': ['y']}]}"),
           80, "+shop/a -bank/a");
    bed_stop(&bed);
}

static void value_that_makes_no_sense_fails_closed(void)
{
    static const char *const sources[] = {
        "'ipBlocks': ['10.9.9.9', '10.0.0.0/33']",
        "'principals': ['cluster.local/ns/*/sa/a']",
        "'principals': ['']",
        "'principals': 'x'",
        "'namespaces': [{}]",
        "'serviceAccounts': ['*']",
        "'serviceAccounts': ['a/b/c']",
    };
    char spec[256];
    setup();
    for (size_t i = 0; i < sizeof sources / sizeof sources[0]; i++) {
        snprintf(spec, sizeof spec, "{'rules': [{'from': [{'source': {%s}}]}]}", sources[i]);
        expect(spec, 80, "-shop/a -10.9.9.9");
        expect_verdict(spec, false, "Invalid", "rules[0].from[0].");
        snprintf(spec, sizeof spec, "{'action': 'DENY', 'rules': [{'from': [{'source': {%s}}]}]}",
                 sources[i]);
        expect(spec, 80, "-shop/a -10.9.9.9");
    }
    static const char *const rules[] = {
        "'to': [{'operation': {'ports': ['0']}}]",
        "'to': [{'operation': {'ports': ['80', '65536']}}]",
        "'to': [{'operation': {'ports': ['http']}}]",
        "'to': [{'operation': {'ports': [80]}}]",
        "'to': [{'operation': {}}]",
        "'to': [{}]",
        "'to': ['x']",
        "'to': 'x'",
        "'from': [{'source': {'namespaces': []}}]",
        "'when': [{'key': 'source.ip'}]",
        "'when': [{'values': ['x']}]",
        "'when': {'key': 'x'}",
        "'if': [{'x': 'y'}]",
    };
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        snprintf(spec, sizeof spec, "{'rules': [{%s}]}", rules[i]);
        expect(spec, 80, "-shop/a -10.9.9.9");
        snprintf(spec, sizeof spec, "{'action': 'DENY', 'rules': [{%s}]}", rules[i]);
        expect(spec, 80, "-shop/a -10.9.9.9");
    }
    expect("{'rules': 'x'}", 80, "-shop/a");
    expect("{'action': 'DENY', 'rules': 'x'}", 80, "-shop/a");
    expect("{'rules': ['x']}", 80, "-shop/a");
    expect("{'action': 'DENY', 'rules': [null]}", 80, "-shop/a");
    bed_stop(&bed);
}

static void policy_that_is_too_large_fails_closed(void)
{
    setup();
    for (int deny = 0; deny < 2; deny++) {
        json_t *json = bed_json("{'spec': {'action': '%s', 'rules': [{'to': [{'operation': "
                                "{'ports': []}}]}]}}",
                                deny ? "DENY" : "ALLOW");
        json_t *rule = json_array_get(json_object_get(json_object_get(json, "spec"), "rules"), 0);
        json_t *to = json_array_get(json_object_get(rule, "to"), 0);
        json_t *ports = json_object_get(json_object_get(to, "operation"), "ports");
        for (int i = 0; i < MESH_POLICY_VALUES_MAX + 1; i++)
            json_array_append_new(ports, json_string("80"));
        CU_ASSERT_EQUAL(cluster_put(&bed.cluster, CLUSTER_POLICIES, "shop/p", json, NULL), ERR_OK);
        json_decref(json);
        bed_settle(&bed);
        CU_ASSERT_FALSE(bed_allows(&bed, "shop/a", "shop/web", 80));
        CU_ASSERT_FALSE(bed_allows(&bed, "shop/a", "shop/web", 81));
        CU_ASSERT_STRING_EQUAL(bed.verdicts[0].reason, "Invalid");
    }
    bed_stop(&bed);
}

/* --- whom it guards --------------------------------------------------------------------------- */

static void policy_guards_the_workloads_that_its_selector_picks(void)
{
    setup();
    only("{'selector': {'matchLabels': {'app': 'db', 'tier': 'back'}}}");
    CU_ASSERT_FALSE(bed_allows(&bed, "shop/a", "shop/db", 80));
    CU_ASSERT_TRUE(bed_allows(&bed, "shop/a", "shop/web", 80));
    CU_ASSERT_STRING_EQUAL(bed_policies_of(&bed, "shop/db"), "shop/p");
    /* The selector moves on, the pod's labels do, and then there is no policy any more. */
    only("{'selector': {'matchLabels': {'app': 'web'}}}");
    CU_ASSERT_STRING_EQUAL(bed_policies_of(&bed, "shop/db"), "");
    CU_ASSERT_STRING_EQUAL(bed_policies_of(&bed, "shop/web"), "shop/p");
    bed_pod(&bed, "shop/web", (struct bed_pod){.ip = "10.1.0.1", .labels = "'app': 'other'"});
    bed_settle(&bed);
    CU_ASSERT_STRING_EQUAL(bed_policies_of(&bed, "shop/web"), "");
    CU_ASSERT_TRUE(bed_allows(&bed, "shop/a", "shop/web", 80));
    bed_remove(&bed, CLUSTER_POLICIES, "shop/p");
    bed_settle(&bed);
    CU_ASSERT_STRING_EQUAL(bed_policies(&bed), "");
    bed_stop(&bed);
}

static void policy_without_a_selector_guards_its_namespace(void)
{
    setup();
    only("{}");
    CU_ASSERT_FALSE(bed_allows(&bed, "shop/a", "shop/db", 80));
    CU_ASSERT_TRUE(bed_allows(&bed, "shop/a", "bank/vault", 80));
    only("{'selector': {'matchLabels': {}}}");
    CU_ASSERT_FALSE(bed_allows(&bed, "shop/a", "shop/db", 80));
    CU_ASSERT_STRING_EQUAL(bed_policies_of(&bed, "shop/db"), "");
    bed_stop(&bed);
}

static void policy_of_the_root_namespace_guards_the_mesh(void)
{
    setup();
    bed_policy(&bed, BED_ROOT "/all", "{}");
    bed_settle(&bed);
    CU_ASSERT_STRING_EQUAL(bed_policies(&bed), "/all");
    CU_ASSERT_FALSE(bed_allows(&bed, "shop/a", "bank/vault", 80));
    bed_policy(&bed, BED_ROOT "/all", "{'selector': {'matchLabels': {'app': 'db'}}}");
    bed_settle(&bed);
    CU_ASSERT_STRING_EQUAL(bed_policies(&bed), BED_ROOT "/all");
    CU_ASSERT_FALSE(bed_allows(&bed, "shop/a", "bank/vault", 80));
    CU_ASSERT_FALSE(bed_allows(&bed, "shop/a", "shop/db", 80));
    CU_ASSERT_TRUE(bed_allows(&bed, "shop/a", "shop/web", 80));
    bed_remove(&bed, CLUSTER_POLICIES, BED_ROOT "/all");
    bed_settle(&bed);
    CU_ASSERT_STRING_EQUAL(bed_policies_of(&bed, "bank/vault"), "");
    bed_stop(&bed);
}

static void pod_outside_the_mesh_names_no_policies(void)
{
    setup();
    bed_pod(&bed, "shop/old",
            (struct bed_pod){.ip = "10.1.0.9", .labels = "'app': 'db'", .plain = true});
    only("{'selector': {'matchLabels': {'app': 'db'}}}");
    CU_ASSERT_STRING_EQUAL(bed_policies_of(&bed, "shop/old"), "");
    CU_ASSERT_STRING_EQUAL(bed_policies_of(&bed, "shop/db"), "shop/p");
    bed_stop(&bed);
}

static void policy_in_a_dry_run_decides_nothing(void)
{
    static const char *const annotations[] = {"istio.io/dry-run", "handfast.io/dry-run"};
    setup();
    for (int i = 0; i < 2; i++) {
        bed_put(&bed, CLUSTER_POLICIES, "shop/p",
                "{'metadata': {'generation': %d, 'annotations': {'%s': 'true'}}, 'spec': {}}", i,
                annotations[i]);
        bed_settle(&bed);
        CU_ASSERT_TRUE(bed_allows(&bed, "shop/a", "shop/web", 80));
        CU_ASSERT_PTR_NOT_NULL(strstr(bed.verdicts[0].sentence, "dry run"));
        CU_ASSERT_TRUE(bed.verdicts[0].accepted);
    }
    bed_put(&bed, CLUSTER_POLICIES, "shop/p",
            "{'metadata': {'annotations': {'istio.io/dry-run': 'false'}}, 'spec': {}}");
    bed_settle(&bed);
    CU_ASSERT_FALSE(bed_allows(&bed, "shop/a", "shop/web", 80));
    bed_stop(&bed);
}

/* Two policies of one name, and one that is called like what PeerAuthentications come to. */
static void policies_of_both_groups_hold_beside_each_other(void)
{
    setup();
    bed_policy(&bed, "shop/p", FROM("'namespaces': ['shop']"));
    bed_put(&bed, CLUSTER_ISTIO_POLICIES, "shop/p",
            "{'spec': {'action': 'DENY', 'rules': [{'from': [{'source': {'principals': "
            "['*/sa/b']}}]}]}}");
    bed_put(&bed, CLUSTER_ISTIO_POLICIES, BED_ISTIO_ROOT "/all",
            "{'spec': {'action': 'DENY', 'rules': [{'to': [{'operation': {'ports': ['9']}}]}]}}");
    bed_policy(&bed, "shop/strict-mtls", "{'rules': []}");
    bed_settle(&bed);
    CU_ASSERT_STRING_EQUAL(bed_policies(&bed), "/istio:all,shop/istio:p,shop/p,shop/strict-mtls");
    CU_ASSERT_TRUE(bed_allows(&bed, "shop/a", "shop/web", 80));
    CU_ASSERT_FALSE(bed_allows(&bed, "shop/b", "shop/web", 80));
    CU_ASSERT_FALSE(bed_allows(&bed, "bank/a", "shop/web", 80));
    CU_ASSERT_FALSE(bed_allows(&bed, "bank/a", "bank/vault", 9));
    CU_ASSERT_STRING_EQUAL(bed_verdict_on(&bed, CLUSTER_ISTIO_POLICIES, "shop/p")->resource,
                           "shop/istio:p");
    bed_stop(&bed);
}

/* --- verdicts --------------------------------------------------------------------------------- */

static void policy_is_accepted_or_not_with_a_sentence(void)
{
    setup();
    expect_verdict("{}", true, "Accepted", "in force as it is written");
    expect_verdict("{'action': 'AUDIT'}", false, "Unsupported", "action AUDIT");
    expect_verdict("{'action': 'CUSTOM', 'provider': {'name': 'x'}}", false, "Unsupported",
                   "the policy is not in force");
    expect_verdict("{'action': 'allow'}", false, "Invalid", "expected ALLOW or DENY");
    expect_verdict("{'targetRefs': [{'kind': 'Gateway', 'name': 'x'}]}", false, "Unsupported",
                   "targetRefs");
    expect_verdict("{'selector': {'matchExpressions': [{'key': 'x'}]}}", false, "Invalid",
                   "matchExpressions");
    expect_verdict("{'selector': {'matchLabels': {'a': 1}}}", false, "Invalid",
                   "matchLabels[\"a\"]");
    expect_verdict("{'action': 'DENY'}", false, "Invalid", "never matches");
    expect_verdict("{'rules': [{'to': [{'operation': {'paths': ['/x']}}]}]}", false, "Unsupported",
                   "rules[0].to[0].paths is nothing that is seen of a connection: this ALLOW rule "
                   "never matches");
    expect_verdict(DENY("{'when': [{'key': 'request.headers[x]', 'values': ['1']}]}"), false,
                   "Unsupported",
                   "rules[0].when[0].key (request.headers[x]) is nothing that is seen of a "
                   "connection: this DENY rule holds without it, and denies more than it says");
    expect_verdict("{'rules': [{'to': [{'operation': {'paths': ['/x'], 'hosts': ['y']}}]}, "
                   "{'from': [{'source': {'ipBlocks': ['x']}}]}]}",
                   false, "Invalid", "(and 2 more)");
    bed_stop(&bed);
}

static void policy_that_is_refused_is_not_sent(void)
{
    setup();
    only("{'action': 'CUSTOM'}");
    CU_ASSERT_STRING_EQUAL(bed_policies(&bed), "");
    CU_ASSERT_STRING_EQUAL(bed.verdicts[0].resource, "");
    CU_ASSERT_TRUE(bed_allows(&bed, "shop/a", "shop/web", 80));
    bed_stop(&bed);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(policy_without_rules_allows_nothing),
        SUITE_CASE(policy_with_an_empty_rule_matches_everything),
        SUITE_CASE(policy_knows_every_field_of_a_source),
        SUITE_CASE(policy_knows_the_ports_of_an_operation),
        SUITE_CASE(policy_knows_conditions_on_a_connection),
        SUITE_CASE(policy_survives_a_change_of_the_trust_domain),
        SUITE_CASE(allow_rule_that_asks_for_http_never_matches),
        SUITE_CASE(deny_rule_that_asks_for_http_holds_without_it),
        SUITE_CASE(value_that_makes_no_sense_fails_closed),
        SUITE_CASE(policy_that_is_too_large_fails_closed),
        SUITE_CASE(policy_guards_the_workloads_that_its_selector_picks),
        SUITE_CASE(policy_without_a_selector_guards_its_namespace),
        SUITE_CASE(policy_of_the_root_namespace_guards_the_mesh),
        SUITE_CASE(pod_outside_the_mesh_names_no_policies),
        SUITE_CASE(policy_in_a_dry_run_decides_nothing),
        SUITE_CASE(policies_of_both_groups_hold_beside_each_other),
        SUITE_CASE(policy_is_accepted_or_not_with_a_sentence),
        SUITE_CASE(policy_that_is_refused_is_not_sent),
        SUITE_END,
    };
    return suite_main("control.cluster_policy", cases, argc, argv);
}
