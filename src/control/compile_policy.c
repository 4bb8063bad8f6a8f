#include "control/compile_policy.h"

#include <string.h>

#include "control/source_pattern.h"

static struct mesh_strings strings_of(struct source_arena *arena, const struct source_texts *texts)
{
    struct mesh_string *items = source_arena_array(arena, texts->count, sizeof *items);
    for (unsigned i = 0; items && i < texts->count; i++)
        items[i] = source_pattern(arena, texts->items[i].text);
    return (struct mesh_strings){.items = items, .count = items ? texts->count : 0};
}

static struct mesh_prefixes prefixes_of(struct source_arena *arena,
                                        const struct source_prefixes *prefixes)
{
    struct addr_prefix *items = source_arena_array(arena, prefixes->count, sizeof *items);
    for (unsigned i = 0; items && i < prefixes->count; i++)
        items[i] = prefixes->items[i].prefix;
    return (struct mesh_prefixes){.items = items, .count = items ? prefixes->count : 0};
}

static struct mesh_ports ports_of(struct source_arena *arena, const struct source_numbers *numbers)
{
    uint16_t *items = source_arena_array(arena, numbers->count, sizeof *items);
    for (unsigned i = 0; items && i < numbers->count; i++)
        items[i] = numbers->items[i].value;
    return (struct mesh_ports){.items = items, .count = items ? numbers->count : 0};
}

/* "namespace/name" each; the reader has seen to the slash. */
static struct mesh_accounts accounts_of(struct source_arena *arena,
                                        const struct source_texts *texts)
{
    struct mesh_account *items = source_arena_array(arena, texts->count, sizeof *items);
    for (unsigned i = 0; items && i < texts->count; i++) {
        const char *text = texts->items[i].text, *slash = strchr(text, '/');
        items[i].namespace = source_arena_text(arena, text, (size_t)(slash - text));
        items[i].name = slash + 1;
    }
    return (struct mesh_accounts){.items = items, .count = items ? texts->count : 0};
}

static void compile_from(struct source_arena *arena, const struct source_from *from,
                         struct mesh_match *match)
{
    match->principals = strings_of(arena, &from->principals);
    match->not_principals = strings_of(arena, &from->not_principals);
    match->namespaces = strings_of(arena, &from->namespaces);
    match->not_namespaces = strings_of(arena, &from->not_namespaces);
    match->service_accounts = accounts_of(arena, &from->service_accounts);
    match->not_service_accounts = accounts_of(arena, &from->not_service_accounts);
    match->source_ips = prefixes_of(arena, &from->ip_blocks);
    match->not_source_ips = prefixes_of(arena, &from->not_ip_blocks);
}

static void compile_to(struct source_arena *arena, const struct source_to *to,
                       struct mesh_match *match)
{
    match->destination_ports = ports_of(arena, &to->ports);
    match->not_destination_ports = ports_of(arena, &to->not_ports);
    match->destination_ips = prefixes_of(arena, &to->ip_blocks);
    match->not_destination_ips = prefixes_of(arena, &to->not_ip_blocks);
}

/* A rule says from whom AND to what; each of the two lists is a clause. A rule that says neither
 * matches everything. */
static void compile_rule(struct source_arena *arena, const struct source_rule *source,
                         struct mesh_rule *rule)
{
    struct mesh_clause *clauses = source_arena_array(arena, 2, sizeof *clauses);
    struct mesh_match *from = source_arena_array(arena, source->from_list.count, sizeof *from);
    struct mesh_match *to = source_arena_array(arena, source->to_list.count, sizeof *to);
    if (!clauses || !from || !to)
        return;
    for (unsigned i = 0; i < source->from_list.count; i++)
        compile_from(arena, &source->from_list.items[i], &from[i]);
    for (unsigned i = 0; i < source->to_list.count; i++)
        compile_to(arena, &source->to_list.items[i], &to[i]);
    clauses[0] = (struct mesh_clause){from, source->from_list.count};
    clauses[1] = (struct mesh_clause){to, source->to_list.count};
    *rule = (struct mesh_rule){clauses, 2};
}

static enum mesh_scope scope_of(const struct source_policy *policy)
{
    if (policy->selector.at)
        return MESH_SCOPE_WORKLOAD;
    return policy->ns.at ? MESH_SCOPE_NAMESPACE : MESH_SCOPE_GLOBAL;
}

void compile_policy_draft(struct source_arena *arena, const struct source_policy *source,
                          struct mesh_policy *draft)
{
    struct mesh_rule *rules = source_arena_array(arena, source->rules.count, sizeof *rules);
    for (unsigned i = 0; rules && i < source->rules.count; i++)
        compile_rule(arena, &source->rules.items[i], &rules[i]);
    *draft = (struct mesh_policy){
        .name = source->name.text,
        .namespace = source->ns.at ? source->ns.text : "",
        .scope = scope_of(source),
        .action = strcmp(source->action.text, "deny") == 0 ? MESH_ACTION_DENY : MESH_ACTION_ALLOW,
        .dry_run = source->dry_run.value,
        .rules = rules,
        .rule_count = rules ? source->rules.count : 0,
    };
}

void compile_guard_draft(struct source_arena *arena, const struct source_guard *guard,
                         struct mesh_policy *draft)
{
    static const struct mesh_string anybody = {.kind = MESH_PRESENCE, .text = ""};
    const struct mesh_ports ports = {guard->ports, guard->port_count};
    struct mesh_match *match = source_arena_take(arena, sizeof *match);
    struct mesh_clause *clause = source_arena_take(arena, sizeof *clause);
    struct mesh_rule *rule = source_arena_take(arena, sizeof *rule);
    *draft = (struct mesh_policy){.name = guard->name,
                                  .namespace = guard->ns,
                                  .scope = guard->scope,
                                  .action = MESH_ACTION_DENY};
    if (!match || !clause || !rule)
        return;
    match->not_principals = (struct mesh_strings){&anybody, 1};
    if (guard->all_ports)
        match->not_destination_ports = ports;
    else
        match->destination_ports = ports;
    *clause = (struct mesh_clause){match, 1};
    *rule = (struct mesh_rule){clause, 1};
    draft->rules = rule;
    draft->rule_count = 1;
}
