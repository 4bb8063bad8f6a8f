#include "mesh/policy.h"

#include <stdlib.h>
#include <string.h>

#include "mesh/block.h"
#include "mesh/check.h"
#include "mesh/workload.h"

static const char scheme[] = "spiffe://";

/* --- what a policy must be like --- */

struct checker {
    size_t values; /* of all kinds, so far */
    struct err *err;
};

static enum err_code count_values(struct checker *checker, size_t more)
{
    checker->values += more;
    if (checker->values > MESH_POLICY_VALUES_MAX)
        return err_set(checker->err, ERR_XDS_RESOURCE,
                       "the policy has more than %d rules, clauses, matches and values",
                       MESH_POLICY_VALUES_MAX);
    return ERR_OK;
}

static enum err_code check_strings(struct checker *checker, const char *field,
                                   const struct mesh_strings *strings)
{
    enum err_code code = count_values(checker, strings->count);
    for (unsigned i = 0; i < strings->count && !code; i++)
        code = mesh_check_text(field, strings->items[i].text, checker->err);
    return code;
}

static enum err_code check_prefixes(struct checker *checker, const char *field,
                                    const struct mesh_prefixes *prefixes)
{
    enum err_code code = count_values(checker, prefixes->count);
    for (unsigned i = 0; i < prefixes->count && !code; i++) {
        const struct addr_prefix *prefix = &prefixes->items[i];
        if (prefix->ip.len == 0 || prefix->bits > prefix->ip.len * 8)
            code = err_set(checker->err, ERR_XDS_RESOURCE,
                           "%s holds a prefix of %u bits on an address of %u bytes", field,
                           prefix->bits, prefix->ip.len);
    }
    return code;
}

static enum err_code check_accounts(struct checker *checker, const char *field,
                                    const struct mesh_accounts *accounts)
{
    enum err_code code = count_values(checker, accounts->count);
    for (unsigned i = 0; i < accounts->count && !code; i++) {
        code = mesh_check_segment(field, accounts->items[i].namespace, checker->err);
        if (!code)
            code = mesh_check_segment(field, accounts->items[i].name, checker->err);
    }
    return code;
}

static enum err_code check_match(struct checker *checker, const struct mesh_match *match)
{
    const struct {
        const char *field;
        const struct mesh_strings *strings;
    } strings[] = {
        {"namespaces", &match->namespaces},
        {"not_namespaces", &match->not_namespaces},
        {"principals", &match->principals},
        {"not_principals", &match->not_principals},
    };
    const struct {
        const char *field;
        const struct mesh_prefixes *prefixes;
    } prefixes[] = {
        {"source_ips", &match->source_ips},
        {"not_source_ips", &match->not_source_ips},
        {"destination_ips", &match->destination_ips},
        {"not_destination_ips", &match->not_destination_ips},
    };
    enum err_code code = ERR_OK;
    for (size_t i = 0; i < 4 && !code; i++)
        code = check_strings(checker, strings[i].field, strings[i].strings);
    for (size_t i = 0; i < 4 && !code; i++)
        code = check_prefixes(checker, prefixes[i].field, prefixes[i].prefixes);
    if (!code)
        code = count_values(checker, (size_t)match->destination_ports.count +
                                         match->not_destination_ports.count);
    if (!code)
        code = check_accounts(checker, "service_accounts", &match->service_accounts);
    if (!code)
        code = check_accounts(checker, "not_service_accounts", &match->not_service_accounts);
    return code;
}

static enum err_code check_rules(struct checker *checker, const struct mesh_policy *from)
{
    enum err_code code = count_values(checker, from->rule_count);
    for (unsigned r = 0; r < from->rule_count && !code; r++) {
        const struct mesh_rule *rule = &from->rules[r];
        code = count_values(checker, rule->clause_count);
        for (unsigned c = 0; c < rule->clause_count && !code; c++) {
            const struct mesh_clause *clause = &rule->clauses[c];
            code = count_values(checker, clause->match_count);
            for (unsigned m = 0; m < clause->match_count && !code; m++)
                code = check_match(checker, &clause->matches[m]);
        }
    }
    return code;
}

static enum err_code check(const struct mesh_policy *from, struct err *err)
{
    if (!from->name || !*from->name)
        return err_set(err, ERR_XDS_RESOURCE, "name is empty");
    if ((unsigned)from->scope > MESH_SCOPE_WORKLOAD)
        return err_set(err, ERR_XDS_RESOURCE, "scope %d is not known", (int)from->scope);
    if ((unsigned)from->action > MESH_ACTION_DENY)
        return err_set(err, ERR_XDS_RESOURCE, "action %d is not known", (int)from->action);
    enum err_code code = mesh_check_text("name", from->name, err);
    if (!code && (from->scope != MESH_SCOPE_GLOBAL || (from->namespace && *from->namespace)))
        code = mesh_check_segment("namespace", from->namespace, err);
    struct checker checker = {.err = err};
    return code ? code : check_rules(&checker, from);
}

/* --- the copy --- */

static struct mesh_strings lay_out_strings(struct mesh_block *block,
                                           const struct mesh_strings *from, bool principals)
{
    if (from->count == 0)
        return (struct mesh_strings){0};
    struct mesh_string *items = mesh_block_take(block, from->count * sizeof *items);
    for (unsigned i = 0; i < from->count; i++) {
        const char *text = from->items[i].text ? from->items[i].text : "";
        if (principals && from->items[i].kind != MESH_SUFFIX &&
            strncmp(text, scheme, sizeof scheme - 1) == 0)
            text += sizeof scheme - 1;
        const char *copy = mesh_block_text(block, text);
        if (items)
            items[i] = (struct mesh_string){from->items[i].kind, copy, (uint32_t)strlen(copy)};
    }
    return (struct mesh_strings){items, from->count};
}

static struct mesh_prefixes lay_out_prefixes(struct mesh_block *block,
                                             const struct mesh_prefixes *from)
{
    return (struct mesh_prefixes){
        mesh_block_array(block, from->items, from->count, sizeof *from->items), from->count};
}

static struct mesh_ports lay_out_ports(struct mesh_block *block, const struct mesh_ports *from)
{
    return (struct mesh_ports){
        mesh_block_array(block, from->items, from->count, sizeof *from->items), from->count};
}

static struct mesh_accounts lay_out_accounts(struct mesh_block *block,
                                             const struct mesh_accounts *from)
{
    if (from->count == 0)
        return (struct mesh_accounts){0};
    struct mesh_account *items = mesh_block_take(block, from->count * sizeof *items);
    for (unsigned i = 0; i < from->count; i++) {
        const char *space = mesh_block_text(block, from->items[i].namespace);
        const char *name = mesh_block_text(block, from->items[i].name);
        if (items)
            items[i] = (struct mesh_account){space, name};
    }
    return (struct mesh_accounts){items, from->count};
}

static struct mesh_match lay_out_match(struct mesh_block *block, const struct mesh_match *from)
{
    return (struct mesh_match){
        .namespaces = lay_out_strings(block, &from->namespaces, false),
        .not_namespaces = lay_out_strings(block, &from->not_namespaces, false),
        .principals = lay_out_strings(block, &from->principals, true),
        .not_principals = lay_out_strings(block, &from->not_principals, true),
        .source_ips = lay_out_prefixes(block, &from->source_ips),
        .not_source_ips = lay_out_prefixes(block, &from->not_source_ips),
        .destination_ips = lay_out_prefixes(block, &from->destination_ips),
        .not_destination_ips = lay_out_prefixes(block, &from->not_destination_ips),
        .destination_ports = lay_out_ports(block, &from->destination_ports),
        .not_destination_ports = lay_out_ports(block, &from->not_destination_ports),
        .service_accounts = lay_out_accounts(block, &from->service_accounts),
        .not_service_accounts = lay_out_accounts(block, &from->not_service_accounts),
    };
}

static struct mesh_clause lay_out_clause(struct mesh_block *block, const struct mesh_clause *from)
{
    if (from->match_count == 0)
        return (struct mesh_clause){0};
    struct mesh_match *matches = mesh_block_take(block, from->match_count * sizeof *matches);
    for (unsigned i = 0; i < from->match_count; i++) {
        struct mesh_match match = lay_out_match(block, &from->matches[i]);
        if (matches)
            matches[i] = match;
    }
    return (struct mesh_clause){matches, from->match_count};
}

static struct mesh_rule lay_out_rule(struct mesh_block *block, const struct mesh_rule *from)
{
    if (from->clause_count == 0)
        return (struct mesh_rule){0};
    struct mesh_clause *clauses = mesh_block_take(block, from->clause_count * sizeof *clauses);
    for (unsigned i = 0; i < from->clause_count; i++) {
        struct mesh_clause clause = lay_out_clause(block, &from->clauses[i]);
        if (clauses)
            clauses[i] = clause;
    }
    return (struct mesh_rule){clauses, from->clause_count};
}

/* "namespace/name" */
static const char *lay_out_key(const struct mesh_policy *from, struct mesh_block *block)
{
    const char *namespace = from->namespace ? from->namespace : "";
    size_t space = strlen(namespace), name = strlen(from->name);
    char *key = mesh_block_take(block, space + name + 2);
    if (key) {
        memcpy(key, namespace, space);
        key[space] = '/';
        memcpy(key + space + 1, from->name, name + 1);
    }
    return key;
}

static void lay_out(const struct mesh_policy *from, struct mesh_block *block)
{
    struct mesh_policy *out = mesh_block_take(block, sizeof *out);
    struct mesh_policy copy = *from;
    copy.key = lay_out_key(from, block);
    copy.name = mesh_block_text(block, from->name);
    copy.namespace = mesh_block_text(block, from->namespace);
    copy.rules = NULL;
    copy.unreadable = NULL;
    if (from->rule_count > 0) {
        struct mesh_rule *rules = mesh_block_take(block, from->rule_count * sizeof *rules);
        for (unsigned i = 0; i < from->rule_count; i++) {
            struct mesh_rule rule = lay_out_rule(block, &from->rules[i]);
            if (rules)
                rules[i] = rule;
        }
        copy.rules = rules;
    }
    if (out) {
        *out = copy;
        ref_init(&out->ref);
        out->hash = mesh_hash(out->key);
    }
}

enum err_code mesh_policy_new(const struct mesh_policy *from, struct mesh_policy **out,
                              struct err *err)
{
    enum err_code code = check(from, err);
    if (code)
        return code;
    struct mesh_block block = {0};
    lay_out(from, &block);
    block.base = malloc(block.used);
    if (!block.base)
        return err_set(err, ERR_NO_MEMORY, "out of memory for policy %.128s", from->name);
    block.used = 0;
    lay_out(from, &block);
    *out = (struct mesh_policy *)(void *)block.base;
    return ERR_OK;
}

void mesh_policy_unref(struct mesh_policy *policy)
{
    if (policy && ref_put(&policy->ref))
        free(policy);
}
