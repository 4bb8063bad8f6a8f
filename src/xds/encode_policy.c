#include "xds/encode_policy.h"

/* Every repeated message is an array of pointers into an array of messages. False: out of memory.
 */
static bool add_strings(struct xds_arena *arena, const struct mesh_strings *from,
                        Istio__Security__StringMatch ***out, size_t *out_count)
{
    static Google__Protobuf__Empty empty = GOOGLE__PROTOBUF__EMPTY__INIT;
    Istio__Security__StringMatch **list = xds_arena_take(arena, (from->count + 1) * sizeof *list);
    Istio__Security__StringMatch *items = xds_arena_take(arena, (from->count + 1) * sizeof *items);
    if (!list || !items)
        return false;
    for (unsigned i = 0; i < from->count; i++) {
        const struct mesh_string *string = &from->items[i];
        ProtobufCBinaryData text = {string->len, (uint8_t *)(uintptr_t)string->text};
        istio__security__string_match__init(&items[i]);
        switch (string->kind) {
        case MESH_EXACT:
            items[i].match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_EXACT;
            items[i].exact = text;
            break;
        case MESH_PREFIX:
            items[i].match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PREFIX;
            items[i].prefix = text;
            break;
        case MESH_SUFFIX:
            items[i].match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_SUFFIX;
            items[i].suffix = text;
            break;
        case MESH_PRESENCE:
            items[i].match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PRESENCE;
            items[i].presence = &empty;
            break;
        }
        list[i] = &items[i];
    }
    *out = list;
    *out_count = from->count;
    return true;
}

static bool add_prefixes(struct xds_arena *arena, const struct mesh_prefixes *from,
                         Istio__Security__Address ***out, size_t *out_count)
{
    Istio__Security__Address **list = xds_arena_take(arena, (from->count + 1) * sizeof *list);
    Istio__Security__Address *items = xds_arena_take(arena, (from->count + 1) * sizeof *items);
    if (!list || !items)
        return false;
    for (unsigned i = 0; i < from->count; i++) {
        istio__security__address__init(&items[i]);
        items[i].address.data = (uint8_t *)(uintptr_t)from->items[i].ip.bytes;
        items[i].address.len = from->items[i].ip.len;
        items[i].length = from->items[i].bits;
        list[i] = &items[i];
    }
    *out = list;
    *out_count = from->count;
    return true;
}

static bool add_ports(struct xds_arena *arena, const struct mesh_ports *from, uint32_t **out,
                      size_t *out_count)
{
    uint32_t *items = xds_arena_take(arena, (from->count + 1) * sizeof *items);
    if (!items)
        return false;
    for (unsigned i = 0; i < from->count; i++)
        items[i] = from->items[i];
    *out = items;
    *out_count = from->count;
    return true;
}

static bool add_accounts(struct xds_arena *arena, const struct mesh_accounts *from,
                         Istio__Security__ServiceAccountMatch ***out, size_t *out_count)
{
    size_t count = from->count;
    Istio__Security__ServiceAccountMatch **list = xds_arena_take(arena, (count + 1) * sizeof *list);
    Istio__Security__ServiceAccountMatch *items =
        xds_arena_take(arena, (count + 1) * sizeof *items);
    if (!list || !items)
        return false;
    for (size_t i = 0; i < count; i++) {
        istio__security__service_account_match__init(&items[i]);
        items[i].namespace_ = (char *)(uintptr_t)from->items[i].namespace;
        items[i].serviceaccount = (char *)(uintptr_t)from->items[i].name;
        list[i] = &items[i];
    }
    *out = list;
    *out_count = count;
    return true;
}

static bool fill_match(struct xds_arena *arena, const struct mesh_match *from,
                       Istio__Security__Match *out)
{
    istio__security__match__init(out);
#define ADD(kind, field) add_##kind(arena, &from->field, &out->field, &out->n_##field)
    return ADD(strings, namespaces) && ADD(strings, not_namespaces) && ADD(strings, principals) &&
           ADD(strings, not_principals) && ADD(prefixes, source_ips) &&
           ADD(prefixes, not_source_ips) && ADD(prefixes, destination_ips) &&
           ADD(prefixes, not_destination_ips) && ADD(ports, destination_ports) &&
           ADD(ports, not_destination_ports) && ADD(accounts, service_accounts) &&
           ADD(accounts, not_service_accounts);
#undef ADD
}

static bool fill_clause(struct xds_arena *arena, const struct mesh_clause *from,
                        Istio__Security__Clause *out)
{
    istio__security__clause__init(out);
    size_t count = from->match_count;
    Istio__Security__Match *items = xds_arena_take(arena, (count + 1) * sizeof *items);
    out->matches = xds_arena_take(arena, (count + 1) * sizeof *out->matches);
    if (!items || !out->matches)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!fill_match(arena, &from->matches[i], &items[i]))
            return false;
        out->matches[i] = &items[i];
    }
    out->n_matches = count;
    return true;
}

static bool fill_rule(struct xds_arena *arena, const struct mesh_rule *from,
                      Istio__Security__Rule *out)
{
    istio__security__rule__init(out);
    size_t count = from->clause_count;
    Istio__Security__Clause *items = xds_arena_take(arena, (count + 1) * sizeof *items);
    out->clauses = xds_arena_take(arena, (count + 1) * sizeof *out->clauses);
    if (!items || !out->clauses)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!fill_clause(arena, &from->clauses[i], &items[i]))
            return false;
        out->clauses[i] = &items[i];
    }
    out->n_clauses = count;
    return true;
}

bool xds_policy_message(struct xds_arena *arena, const struct mesh_policy *policy,
                        Istio__Security__Authorization *out)
{
    istio__security__authorization__init(out);
    out->name = (char *)(uintptr_t)policy->name;
    out->namespace_ = (char *)(uintptr_t)policy->namespace;
    out->scope = (Istio__Security__Scope)policy->scope;
    out->action = (Istio__Security__Action)policy->action;
    out->dry_run = policy->dry_run;
    size_t count = policy->rule_count;
    Istio__Security__Rule *items = xds_arena_take(arena, (count + 1) * sizeof *items);
    out->rules = xds_arena_take(arena, (count + 1) * sizeof *out->rules);
    if (!items || !out->rules)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!fill_rule(arena, &policy->rules[i], &items[i]))
            return false;
        out->rules[i] = &items[i];
    }
    out->n_rules = count;
    return true;
}
