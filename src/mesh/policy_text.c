#include "mesh/policy_text.h"

#include <stdio.h>
#include <string.h>

static const char cut_mark[] = " ...";

struct line {
    char *text;
    size_t used;
    bool cut; /* it is full: nothing more is put */
};

/* --- bytes ---------------------------------------------------------------------------------- */

static void put_bytes(struct line *line, const char *bytes, size_t len)
{
    line->cut = line->cut || line->used + len > MESH_POLICY_TEXT_MAX - sizeof cut_mark;
    if (line->cut)
        return;
    memcpy(line->text + line->used, bytes, len);
    line->used += len;
}

static void put(struct line *line, const char *text)
{
    put_bytes(line, text, strlen(text));
}

static void put_escaped(struct line *line, const char *text)
{
    for (const char *at = text; *at && !line->cut; at++) {
        char escape[8];
        if (*at == '"' || *at == '\\')
            snprintf(escape, sizeof escape, "\\%c", *at);
        else if (*at < ' ' || *at > '~')
            snprintf(escape, sizeof escape, "\\x%02x", (unsigned char)*at);
        else
            snprintf(escape, sizeof escape, "%c", *at);
        put(line, escape);
    }
}

static void put_text(struct line *line, const char *text)
{
    static const char usual[] =
        "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-/:@";
    if (*text && !text[strspn(text, usual)]) {
        put_escaped(line, text);
        return;
    }
    put(line, "\"");
    put_escaped(line, text);
    put(line, "\"");
}

/* --- values --------------------------------------------------------------------------------- */

static void put_string(struct line *line, const void *items, unsigned at)
{
    const struct mesh_string *string = (const struct mesh_string *)items + at;
    if (string->kind == MESH_SUFFIX || string->kind == MESH_PRESENCE)
        put(line, "*");
    if (string->kind != MESH_PRESENCE)
        put_text(line, string->text);
    if (string->kind == MESH_PREFIX)
        put(line, "*");
}

static void put_prefix(struct line *line, const void *items, unsigned at)
{
    const struct addr_prefix *prefix = (const struct addr_prefix *)items + at;
    char ip[ADDR_TEXT_MAX], text[ADDR_TEXT_MAX + 8];
    addr_format(&prefix->ip, ip);
    snprintf(text, sizeof text, "%s/%u", ip, prefix->bits);
    put(line, prefix->bits == prefix->ip.len * 8 ? ip : text);
}

static void put_port(struct line *line, const void *items, unsigned at)
{
    char text[8];
    snprintf(text, sizeof text, "%u", ((const uint16_t *)items)[at]);
    put(line, text);
}

static void put_account(struct line *line, const void *items, unsigned at)
{
    const struct mesh_account *account = (const struct mesh_account *)items + at;
    put_text(line, account->namespace);
    put(line, "/");
    put_text(line, account->name);
}

/* --- fields, matches, clauses, rules ---------------------------------------------------------- */

struct field {
    const char *name;
    void (*put_value)(struct line *line, const void *items, unsigned at);
    struct {
        const void *items;
        unsigned count;
    } is, is_not;
};

enum { FIELDS = 6 };

#define FIELD(title, put_value, list)                                                              \
    {                                                                                              \
        title, put_value, {match->list.items, match->list.count},                                  \
        {                                                                                          \
            match->not_##list.items, match->not_##list.count                                       \
        }                                                                                          \
    }

static void get_fields(const struct mesh_match *match, struct field fields[FIELDS])
{
    const struct field all[FIELDS] = {
        FIELD("principal", put_string, principals),
        FIELD("account", put_account, service_accounts),
        FIELD("namespace", put_string, namespaces),
        FIELD("source", put_prefix, source_ips),
        FIELD("destination", put_prefix, destination_ips),
        FIELD("port", put_port, destination_ports),
    };
    memcpy(fields, all, sizeof all);
}

/* Puts nothing for no values; `*first` says whether anything stands before it in its match. */
static void put_values(struct line *line, const struct field *field, bool not, bool *first)
{
    unsigned count = not ? field->is_not.count : field->is.count;
    if (count == 0)
        return;
    put(line, *first ? "" : " and ");
    *first = false;
    put(line, field->name);
    put(line, not ? " not " : " ");
    for (unsigned i = 0; i < count && !line->cut; i++) {
        put(line, i ? "|" : "");
        field->put_value(line, not ? field->is_not.items : field->is.items, i);
    }
}

static bool is_empty(const struct mesh_match *match)
{
    struct field fields[FIELDS];
    unsigned values = 0;
    get_fields(match, fields);
    for (unsigned i = 0; i < FIELDS; i++)
        values += fields[i].is.count + fields[i].is_not.count;
    return values == 0;
}

static void put_match(struct line *line, const struct mesh_match *match)
{
    struct field fields[FIELDS];
    bool first = true;
    get_fields(match, fields);
    for (unsigned i = 0; i < FIELDS; i++) {
        put_values(line, &fields[i], false, &first);
        put_values(line, &fields[i], true, &first);
    }
}

/* An empty match is skipped. */
static unsigned count_matches(const struct mesh_clause *clause)
{
    unsigned count = 0;
    for (unsigned i = 0; i < clause->match_count; i++)
        count += !is_empty(&clause->matches[i]);
    return count;
}

static void put_clause(struct line *line, const struct mesh_clause *clause, bool grouped)
{
    bool first = true;
    put(line, grouped ? "(" : "");
    for (unsigned i = 0; i < clause->match_count && !line->cut; i++) {
        if (is_empty(&clause->matches[i]))
            continue;
        put(line, first ? "" : " or ");
        put_match(line, &clause->matches[i]);
        first = false;
    }
    put(line, grouped ? ")" : "");
}

/* A clause without matches is met by everything, and so is a rule of such clauses. */
static void put_rule(struct line *line, const struct mesh_rule *rule)
{
    unsigned meaning = 0, done = 0;
    for (unsigned i = 0; i < rule->clause_count; i++)
        meaning += count_matches(&rule->clauses[i]) > 0;
    for (unsigned i = 0; i < rule->clause_count && !line->cut; i++) {
        unsigned matches = count_matches(&rule->clauses[i]);
        if (matches == 0)
            continue;
        put(line, done++ ? " and " : "");
        put_clause(line, &rule->clauses[i], matches > 1 && meaning > 1);
    }
    if (meaning == 0)
        put(line, "anything");
}

const char *mesh_policy_format(const struct mesh_policy *policy, char text[MESH_POLICY_TEXT_MAX])
{
    struct line line = {.text = text};
    for (unsigned i = 0; i < policy->rule_count && !line.cut; i++) {
        put(&line, i ? "; or " : "");
        put_rule(&line, &policy->rules[i]);
    }
    if (policy->rule_count == 0)
        put(&line, "nothing");
    memcpy(text + line.used, line.cut ? cut_mark : "", line.cut ? sizeof cut_mark : 1);
    return text;
}
