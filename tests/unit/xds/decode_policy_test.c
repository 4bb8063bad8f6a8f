/* What a policy may hold that we do not know, and what is still known of one that we cannot read.
 */
#include <stdio.h>
#include <string.h>

#include "suite.h"
#include "xds/decode.h"

/* --- protobuf by hand: the messages that the other side has and we have not --- */

struct bytes {
    uint8_t data[256];
    size_t len;
};

static struct bytes number(unsigned field, uint8_t value)
{
    return (struct bytes){{(uint8_t)(field << 3), value}, 2};
}

static struct bytes join(struct bytes a, struct bytes b)
{
    CU_ASSERT_FATAL(a.len + b.len < sizeof a.data);
    memcpy(a.data + a.len, b.data, b.len);
    a.len += b.len;
    return a;
}

static struct bytes message(unsigned field, struct bytes inner)
{
    CU_ASSERT_FATAL(inner.len < 128);
    struct bytes head = {{(uint8_t)(field << 3 | 2), (uint8_t)inner.len}, 2};
    return join(head, inner);
}

static struct bytes text(unsigned field, const char *value)
{
    struct bytes inner = {.len = strlen(value)};
    memcpy(inner.data, value, inner.len);
    return message(field, inner);
}

/* shop/p for its namespace, with one rule of one clause of one match. */
static struct bytes top(void)
{
    return join(join(text(1, "p"), text(2, "shop")), number(3, 1));
}

static struct bytes rule(struct bytes inner)
{
    return join(top(), message(5, inner));
}

static struct bytes clause(struct bytes inner)
{
    return rule(message(1, inner));
}

static struct bytes match(struct bytes inner)
{
    return clause(message(2, inner));
}

static enum err_code decode(const struct bytes *body, struct err *err)
{
    struct mesh_policy *policy = NULL;
    enum err_code code = xds_decode_policy(body->data, body->len, &policy, err);
    mesh_policy_unref(policy);
    return code;
}

/* --- what is understood --- */

static void policy_has_its_fields_where_the_wire_has_them(void)
{
    struct bytes all = {.len = 0};
    const struct bytes account = join(text(1, "n"), text(2, "a"));
    const struct bytes ip = join(message(1, (struct bytes){{10, 0, 0, 0}, 4}), number(2, 8));
    for (unsigned field = 1; field <= 4; field++)
        all = join(all, message(field, text(1, "t")));
    for (unsigned field = 5; field <= 8; field++)
        all = join(all, message(field, ip));
    all = join(join(all, number(9, 80)), number(10, 81));
    all = join(join(all, message(11, account)), message(12, account));
    const struct bytes body = join(match(all), number(4, 1));
    struct mesh_policy *policy;
    CU_ASSERT_FATAL(xds_decode_policy(body.data, body.len, &policy, NULL) == ERR_OK);
    CU_ASSERT_STRING_EQUAL(policy->key, "shop/p");
    CU_ASSERT_EQUAL(policy->scope, MESH_SCOPE_NAMESPACE);
    CU_ASSERT_EQUAL(policy->action, MESH_ACTION_DENY);
    CU_ASSERT_FATAL(policy->rule_count == 1 && policy->rules[0].clause_count == 1);
    CU_ASSERT_EQUAL_FATAL(policy->rules[0].clauses[0].match_count, 1);
    const struct mesh_match *got = &policy->rules[0].clauses[0].matches[0];
    CU_ASSERT(got->namespaces.count == 1 && got->not_namespaces.count == 1);
    CU_ASSERT(got->principals.count == 1 && got->not_principals.count == 1);
    CU_ASSERT(got->source_ips.count == 1 && got->not_source_ips.count == 1);
    CU_ASSERT(got->destination_ips.count == 1 && got->not_destination_ips.count == 1);
    CU_ASSERT(got->destination_ports.count == 1 && got->not_destination_ports.count == 1);
    CU_ASSERT(got->service_accounts.count == 1 && got->not_service_accounts.count == 1);
    mesh_policy_unref(policy);
}

/* --- what is not understood --- */

static void policy_with_a_field_that_we_do_not_know_is_refused_at_any_depth(void)
{
    const struct bytes none = {.len = 0}, more = number(15, 1);
    const struct bytes ip = message(1, (struct bytes){{10, 0, 0, 0}, 4});
    const struct {
        struct bytes before, after; /* without the unknown field, and with it */
        const char *why;
    } rows[] = {
        {top(), join(top(), more), "Authorization has field 15"},
        {rule(none), rule(more), "rules[0]: Rule has field 15"},
        {clause(none), clause(more), "rules[0]: Clause has field 15"},
        {match(none), match(more), "rules[0]: Match has field 15"},
        {match(message(3, text(1, "a"))), match(message(3, join(text(1, "a"), more))),
         "rules[0]: principals: StringMatch has field 15"},
        {match(message(4, message(4, none))), match(message(4, message(4, more))),
         "rules[0]: not_principals: Empty has field 15"},
        {match(message(5, join(ip, number(2, 8)))),
         match(message(5, join(join(ip, number(2, 8)), more))), "rules[0]: Address has field 15"},
        {match(message(11, join(text(1, "n"), text(2, "a")))),
         match(message(11, join(join(text(1, "n"), text(2, "a")), more))),
         "rules[0]: ServiceAccountMatch has field 15"},
        {match(none), match(message(13, text(1, "waf"))),
         "rules[0]: Match has the extension `waf` (field 13)"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {0};
        char expected[128];
        CU_ASSERT_EQUAL(decode(&rows[i].before, &err), ERR_OK);
        CU_ASSERT_EQUAL(decode(&rows[i].after, &err), ERR_XDS_RESOURCE);
        snprintf(expected, sizeof expected, "%s, which this proxy does not understand",
                 rows[i].why);
        CU_ASSERT_STRING_EQUAL(err.text, expected);
    }
}

static void policy_with_extensions_of_its_own_is_read(void)
{
    struct bytes extension = join(text(1, "owner"), number(15, 1));
    struct bytes body = join(top(), message(7, extension));
    CU_ASSERT_EQUAL(decode(&body, NULL), ERR_OK);
}

/* --- what is known of one that cannot be read --- */

static void policy_that_cannot_be_read_guards_whom_it_may_mean(void)
{
    const struct bytes broken = {{5 << 3 | 2, 3, 0xff, 0xff, 0xff}, 5};
    const struct bytes cut = {{5 << 3 | 2, 100}, 2};
    const struct bytes named = join(text(1, "p"), text(2, "shop"));
    const struct {
        const char *name;
        struct bytes body; /* len 0: there is none */
        enum mesh_scope scope;
        const char *guarded;
        bool dry_run;
    } rows[] = {
        /* The rules are broken, or one of them is, and the top says whom they guard. */
        {"shop/p", join(top(), broken), MESH_SCOPE_NAMESPACE, "shop", false},
        {"shop/p", join(named, broken), MESH_SCOPE_GLOBAL, "", false},
        {"/p", join(text(1, "p"), broken), MESH_SCOPE_GLOBAL, "", false},
        {"shop/p", join(join(named, number(3, 2)), broken), MESH_SCOPE_WORKLOAD, "", false},
        {"shop/p", join(join(top(), number(6, 1)), broken), MESH_SCOPE_NAMESPACE, "shop", true},
        /* A scope of the future. */
        {"shop/p", join(named, number(3, 9)), MESH_SCOPE_NAMESPACE, "shop", false},
        {"other/p", join(named, number(3, 9)), MESH_SCOPE_NAMESPACE, "shop", false},
        {"/p", join(text(1, "p"), number(3, 9)), MESH_SCOPE_GLOBAL, "", false},
        /* A namespace that is not said. */
        {"shop/p", join(text(1, "p"), number(3, 1)), MESH_SCOPE_NAMESPACE, "shop", false},
        {"p", join(text(1, "p"), number(3, 1)), MESH_SCOPE_GLOBAL, "", false},
        /* Nothing but the name. */
        {"shop/p", join(top(), cut), MESH_SCOPE_NAMESPACE, "shop", false},
        {"/p", join(top(), cut), MESH_SCOPE_GLOBAL, "", false},
        {"shop/p", {.len = 0}, MESH_SCOPE_NAMESPACE, "shop", false},
        {"", {.len = 0}, MESH_SCOPE_GLOBAL, "", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct mesh_policy *policy;
        size_t len = rows[i].body.len;
        CU_ASSERT_FATAL(xds_decode_unreadable(rows[i].name, len ? rows[i].body.data : NULL, len,
                                              "why", &policy, NULL) == ERR_OK);
        bool good = policy->scope == rows[i].scope && policy->dry_run == rows[i].dry_run &&
                    strcmp(policy->namespace, rows[i].guarded) == 0;
        if (!good)
            printf("\n    row: %zu\n", i);
        CU_ASSERT(good);
        CU_ASSERT_STRING_EQUAL(policy->key, rows[i].name);
        CU_ASSERT_STRING_EQUAL(policy->unreadable, "why");
        mesh_policy_unref(policy);
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(policy_has_its_fields_where_the_wire_has_them),
        SUITE_CASE(policy_with_a_field_that_we_do_not_know_is_refused_at_any_depth),
        SUITE_CASE(policy_with_extensions_of_its_own_is_read),
        SUITE_CASE(policy_that_cannot_be_read_guards_whom_it_may_mean),
        SUITE_END,
    };
    return suite_main("decode_policy", cases, argc, argv);
}
