#include "control/cluster_rules.h"

#include <stdio.h>
#include <string.h>

#include "control/cluster_json.h"
#include "control/cluster_values.h"

enum { PATH_MAX_BYTES = 128 };

/* A key of a source or of an operation, and the part of a match that it fills. */
struct row {
    const char *key;
    enum cluster_values_kind kind;
    size_t offset;
};

#define ROW(key, kind, member)                                                                     \
    {                                                                                              \
        key, kind, offsetof(struct mesh_match, member)                                             \
    }

static const struct row source_rows[] = {
    ROW("principals", CLUSTER_PRINCIPALS, principals),
    ROW("notPrincipals", CLUSTER_PRINCIPALS, not_principals),
    ROW("namespaces", CLUSTER_NAMESPACES, namespaces),
    ROW("notNamespaces", CLUSTER_NAMESPACES, not_namespaces),
    ROW("serviceAccounts", CLUSTER_ACCOUNTS, service_accounts),
    ROW("notServiceAccounts", CLUSTER_ACCOUNTS, not_service_accounts),
    ROW("ipBlocks", CLUSTER_PREFIXES, source_ips),
    ROW("notIpBlocks", CLUSTER_PREFIXES, not_source_ips),
    {NULL, 0, 0}};

static const struct row operation_rows[] = {ROW("ports", CLUSTER_PORTS, destination_ports),
                                            ROW("notPorts", CLUSTER_PORTS, not_destination_ports),
                                            {NULL, 0, 0}};

/* Keys of a `when`, with what `values` fills and what `notValues` does. */
static const struct when {
    struct row row;
    size_t not_offset;
} whens[] = {
    {ROW("source.ip", CLUSTER_PREFIXES, source_ips), offsetof(struct mesh_match, not_source_ips)},
    {ROW("source.namespace", CLUSTER_NAMESPACES, namespaces),
     offsetof(struct mesh_match, not_namespaces)},
    {ROW("source.principal", CLUSTER_PRINCIPALS, principals),
     offsetof(struct mesh_match, not_principals)},
    {ROW("source.serviceAccount", CLUSTER_ACCOUNTS, service_accounts),
     offsetof(struct mesh_match, not_service_accounts)},
    {ROW("destination.ip", CLUSTER_PREFIXES, destination_ips),
     offsetof(struct mesh_match, not_destination_ips)},
    {ROW("destination.port", CLUSTER_PORTS, destination_ports),
     offsetof(struct mesh_match, not_destination_ports)},
};

/* The rule that is being read. */
struct rule {
    const struct cluster_rules_reader *reader;
    unsigned index;
    bool never; /* an ALLOW rule that asks for something that cannot be told */
    struct mesh_clause *clauses;
    unsigned clause_count;
};

/* One element of from, to or when. */
struct element {
    struct rule *rule;
    char path[PATH_MAX_BYTES]; /* "rules[0].from[1]" */
    struct mesh_match *match;
    bool conditions; /* it has some, be they left out */
    bool always;     /* a DENY element that has lost all of them */
};

static void leave_out(struct element *element, enum cluster_reason reason, const char *field,
                      const char *why)
{
    const struct cluster_rules_reader *reader = element->rule->reader;
    bool allow = reader->action == MESH_ACTION_ALLOW;
    cluster_finding_add(reader->finding, reason, "%s%s%s %s: %s", element->path,
                        field[0] ? "." : "", field, why,
                        allow ? "this ALLOW rule never matches"
                              : "this DENY rule holds without it, and denies more than it says");
    element->rule->never = element->rule->never || allow;
    element->conditions = true;
}

static void leave_out_unseen(struct element *element, const char *field)
{
    leave_out(element, CLUSTER_UNSUPPORTED, field, "is nothing that is seen of a connection");
}

static void read_field(struct element *element, enum cluster_values_kind kind, size_t offset,
                       const char *field, const json_t *list)
{
    const struct cluster_rules_reader *reader = element->rule->reader;
    const struct cluster_values_context context = {reader->arena, reader->ns, reader->trust_domain};
    struct err err;
    if (cluster_json_says_nothing(list))
        return;
    element->conditions = true;
    if (!cluster_values_read(&context, kind, list, (char *)element->match + offset, &err))
        leave_out(element, CLUSTER_INVALID, field, err.text);
}

/* Reads {inner: {key: values, ...}}. */
static void read_rows(struct element *element, const struct row *rows, const char *inner,
                      const json_t *json)
{
    const char *key;
    const json_t *value;
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (strcmp(key, inner) != 0 && !cluster_json_says_nothing(value))
            leave_out_unseen(element, key);
    }
    json_object_foreach(json_object_get(json, inner), key, value)
    {
        const struct row *row = rows;
        while (row->key && strcmp(row->key, key) != 0)
            row++;
        if (row->key)
            read_field(element, row->kind, row->offset, key, value);
        else if (!cluster_json_says_nothing(value))
            leave_out_unseen(element, key);
    }
}

static void read_when(struct element *element, const json_t *json)
{
    const char *key = cluster_json_text(json, "key");
    for (size_t i = 0; key && i < sizeof whens / sizeof whens[0]; i++) {
        const struct when *when = &whens[i];
        if (strcmp(when->row.key, key) != 0)
            continue;
        read_field(element, when->row.kind, when->row.offset, "values",
                   json_object_get(json, "values"));
        read_field(element, when->row.kind, when->not_offset, "notValues",
                   json_object_get(json, "notValues"));
        return;
    }
    char why[96];
    snprintf(why, sizeof why, "(%.60s) is nothing that is seen of a connection", key ? key : "");
    leave_out(element, CLUSTER_UNSUPPORTED, "key", why);
}

static bool has_conditions(const struct mesh_match *match)
{
    static const struct mesh_match nothing;
    return memcmp(match, &nothing, sizeof nothing) != 0;
}

/* An element without conditions would match everything, and is nothing that anybody means. */
static void settle(struct element *element)
{
    if (!element->conditions)
        leave_out(element, CLUSTER_INVALID, "", "has no conditions");
    element->always = !has_conditions(element->match);
}

/* A list of elements is one clause: any of them has to match. A match without fields is passed over
 * by whoever evaluates it, so an element that always matches takes the clause with it. */
static void read_list(struct rule *rule, const json_t *list, const char *name, const char *inner,
                      const struct row *rows)
{
    const struct cluster_rules_reader *reader = rule->reader;
    size_t index;
    const json_t *item;
    bool always = false;
    if (cluster_json_says_nothing(list))
        return;
    struct element element = {.rule = rule};
    snprintf(element.path, sizeof element.path, "rules[%u].%s", rule->index, name);
    struct mesh_match *matches =
        source_arena_array(reader->arena, json_array_size(list) + 1, sizeof *matches);
    if (!json_is_array(list)) {
        leave_out(&element, CLUSTER_INVALID, "", "is no list");
        return;
    }
    json_array_foreach(list, index, item)
    {
        if (!matches)
            return;
        element = (struct element){.rule = rule, .match = &matches[index]};
        snprintf(element.path, sizeof element.path, "rules[%u].%s[%zu]", rule->index, name, index);
        read_rows(&element, rows, inner, item);
        settle(&element);
        always = always || element.always;
    }
    if (!always)
        rule->clauses[rule->clause_count++] =
            (struct mesh_clause){matches, (unsigned)json_array_size(list)};
}

/* Every `when` is a clause of its own: all of them have to match. */
static void read_whens(struct rule *rule, const json_t *list)
{
    size_t index;
    const json_t *item;
    struct element element = {.rule = rule};
    snprintf(element.path, sizeof element.path, "rules[%u].when", rule->index);
    if (!cluster_json_says_nothing(list) && !json_is_array(list))
        leave_out(&element, CLUSTER_INVALID, "", "is no list");
    json_array_foreach(list, index, item)
    {
        struct mesh_match *match = source_arena_take(rule->reader->arena, sizeof *match);
        if (!match)
            return;
        element = (struct element){.rule = rule, .match = match};
        snprintf(element.path, sizeof element.path, "rules[%u].when[%zu]", rule->index, index);
        read_when(&element, item);
        settle(&element);
        if (!element.always)
            rule->clauses[rule->clause_count++] = (struct mesh_clause){match, 1};
    }
}

/* False: this rule never matches. */
static bool read_rule(struct rule *rule, const json_t *json, struct mesh_rule *out)
{
    const char *key;
    const json_t *value;
    struct element whole = {.rule = rule};
    snprintf(whole.path, sizeof whole.path, "rules[%u]", rule->index);
    rule->clauses =
        source_arena_array(rule->reader->arena, 3 + json_array_size(json_object_get(json, "when")),
                           sizeof *rule->clauses);
    if (!rule->clauses)
        return false;
    if (!json_is_object(json))
        leave_out(&whole, CLUSTER_INVALID, "", "is no object");
    json_object_foreach((json_t *)(uintptr_t)json, key, value)
    {
        if (strcmp(key, "from") == 0)
            read_list(rule, value, "from", "source", source_rows);
        else if (strcmp(key, "to") == 0)
            read_list(rule, value, "to", "operation", operation_rows);
        else if (strcmp(key, "when") == 0)
            read_whens(rule, value);
        else if (!cluster_json_says_nothing(value))
            leave_out_unseen(&whole, key);
    }
    *out = (struct mesh_rule){rule->clauses, rule->clause_count};
    return !rule->never;
}

void cluster_rules_read(const struct cluster_rules_reader *reader, const json_t *json,
                        const struct mesh_rule **rules, unsigned *count)
{
    size_t index;
    const json_t *item;
    unsigned used = 0;
    bool is_list = cluster_json_says_nothing(json) || json_is_array(json);
    struct mesh_rule *items =
        source_arena_array(reader->arena, json_array_size(json) + 1, sizeof *items);
    *rules = items;
    *count = 0;
    if (!items)
        return;
    if (!is_list) {
        cluster_finding_add(reader->finding, CLUSTER_INVALID, "rules is no list: %s",
                            reader->action == MESH_ACTION_ALLOW ? "nothing is allowed"
                                                                : "everything is denied");
        *count = reader->action == MESH_ACTION_DENY; /* one rule without clauses */
        return;
    }
    json_array_foreach(json, index, item)
    {
        struct rule rule = {.reader = reader, .index = (unsigned)index};
        used += read_rule(&rule, item, &items[used]);
    }
    *count = used;
}
