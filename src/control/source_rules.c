/* Rules that can never match: a mistake that nobody would notice, in a deny policy until it is too
 * late. Declared in source_check.h. */
#include <string.h>

#include "control/source_check.h"
#include "control/source_pattern.h"

struct rules {
    struct source_arena *arena;
    struct source_report *report;
    const char *trust_domain; /* NULL: not known */
};

static void never(struct rules *rules, const struct source_node *at, const char *field)
{
    source_report_error(rules->report, at->line, at->column,
                        "not_%s: found everything that %s names excluded again, expected a rule "
                        "that can match",
                        field, field);
}

static void check_texts(struct rules *rules, const struct source_texts *some,
                        const struct source_texts *none, const char *field)
{
    for (unsigned i = 0; i < some->count; i++) {
        bool covered = false;
        if (!some->items[i].text)
            return;
        struct mesh_string narrow = source_pattern(rules->arena, some->items[i].text);
        for (unsigned j = 0; j < none->count && !covered && narrow.text; j++) {
            struct mesh_string wide = {.kind = MESH_EXACT, .text = NULL};
            if (none->items[j].text)
                wide = source_pattern(rules->arena, none->items[j].text);
            covered = wide.text && source_pattern_covers(&wide, &narrow);
        }
        if (!covered)
            return;
    }
    if (some->count > 0 && none->count > 0)
        never(rules, none->at, field);
}

static bool prefix_covers(const struct addr_prefix *wide, const struct addr_prefix *narrow)
{
    return wide->ip.len == narrow->ip.len && wide->bits <= narrow->bits &&
           addr_prefix_contains(wide, &narrow->ip);
}

static void check_prefixes(struct rules *rules, const struct source_prefixes *some,
                           const struct source_prefixes *none)
{
    for (unsigned i = 0; i < some->count; i++) {
        bool covered = false;
        if (!some->items[i].at)
            return;
        for (unsigned j = 0; j < none->count && !covered; j++)
            covered =
                none->items[j].at && prefix_covers(&none->items[j].prefix, &some->items[i].prefix);
        if (!covered)
            return;
    }
    if (some->count > 0 && none->count > 0)
        never(rules, none->at, "ip_blocks");
}

static void check_ports(struct rules *rules, const struct source_numbers *some,
                        const struct source_numbers *none)
{
    for (unsigned i = 0; i < some->count; i++) {
        bool covered = false;
        if (!some->items[i].at)
            return;
        for (unsigned j = 0; j < none->count && !covered; j++)
            covered = none->items[j].at && none->items[j].value == some->items[i].value;
        if (!covered)
            return;
    }
    if (some->count > 0 && none->count > 0)
        never(rules, none->at, "ports");
}

/* Nobody of another trust domain gets in, so a principal of one matches nobody. */
static void check_principals(struct rules *rules, const struct source_texts *principals,
                             const char *field)
{
    size_t domain = rules->trust_domain ? strlen(rules->trust_domain) : 0;
    for (unsigned i = 0; i < principals->count && domain > 0; i++) {
        char found[SOURCE_DESCRIBE_MAX];
        const struct source_node *at = principals->items[i].at;
        if (!principals->items[i].text)
            continue;
        struct mesh_string string = source_pattern(rules->arena, principals->items[i].text);
        if (!string.text || string.kind == MESH_PRESENCE || string.kind == MESH_SUFFIX)
            continue;
        const char *path = string.text + domain;
        bool ours = string.len > domain && memcmp(string.text, rules->trust_domain, domain) == 0 &&
                    path[0] == '/';
        if (string.kind == MESH_PREFIX && !ours && string.len <= domain)
            ours = memcmp(string.text, rules->trust_domain, string.len) == 0;
        if (ours && string.kind == MESH_EXACT)
            ours = strncmp(path, "/ns/", 4) == 0 && strstr(path + 5, "/sa/") &&
                   strstr(path + 5, "/sa/")[4];
        if (!ours)
            source_report_error(rules->report, at->line, at->column,
                                "%s: found %s, which nobody can be, expected %s/ns/<namespace>/sa/"
                                "<service account>",
                                field, source_node_describe(at, found), rules->trust_domain);
    }
}

static void check_from(struct rules *rules, const struct source_from *from)
{
    check_principals(rules, &from->principals, "principals");
    check_principals(rules, &from->not_principals, "not_principals");
    check_texts(rules, &from->principals, &from->not_principals, "principals");
    check_texts(rules, &from->namespaces, &from->not_namespaces, "namespaces");
    check_texts(rules, &from->service_accounts, &from->not_service_accounts, "service_accounts");
    check_prefixes(rules, &from->ip_blocks, &from->not_ip_blocks);
}

/* An element without conditions would be passed over (an empty match), not match everything. */
static void refuse_empty(struct rules *rules, const struct source_node *at, const char *field)
{
    if (at->kind == SOURCE_MAP && at->count == 0)
        source_report_error(rules->report, at->line, at->column,
                            "%s: found an element without conditions, expected at least one "
                            "(leave \"%s\" out to match everything)",
                            field, field);
}

void source_check_rules(struct source_arena *arena, const struct source_model *model,
                        const struct source_policy *policy, struct source_report *report)
{
    struct rules rules = {
        .arena = arena, .report = report, .trust_domain = model->trust_domain.text};
    for (unsigned i = 0; i < policy->rules.count; i++) {
        const struct source_rule *rule = &policy->rules.items[i];
        for (unsigned j = 0; j < rule->from_list.count; j++) {
            refuse_empty(&rules, rule->from_list.items[j].at, "from");
            check_from(&rules, &rule->from_list.items[j]);
        }
        for (unsigned j = 0; j < rule->to_list.count; j++) {
            const struct source_to *to = &rule->to_list.items[j];
            refuse_empty(&rules, to->at, "to");
            check_ports(&rules, &to->ports, &to->not_ports);
            check_prefixes(&rules, &to->ip_blocks, &to->not_ip_blocks);
        }
    }
}
