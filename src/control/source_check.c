#include "control/source_check.h"

#include <string.h>

#include "base/map.h"

bool source_check_guards(const struct source_text *ns, const struct source_labels *selector,
                         const struct source_workload *workload)
{
    if (ns->at && (!ns->text || !workload->ns.text || strcmp(ns->text, workload->ns.text) != 0))
        return false;
    return source_labels_select(selector, &workload->labels);
}

bool source_check_serves(const struct source_service *service,
                         const struct source_workload *workload)
{
    if (!service->ns.text || !workload->ns.text || !workload->name.text ||
        strcmp(service->ns.text, workload->ns.text) != 0)
        return false;
    if (service->selector.at)
        return source_labels_select(&service->selector, &workload->labels);
    for (unsigned i = 0; i < service->workloads.count; i++) {
        const char *name = service->workloads.items[i].text;
        if (name && strcmp(name, workload->name.text) == 0)
            return true;
    }
    return false;
}

bool source_check_in_mesh(const struct source_workload *workload)
{
    return !workload->mesh.at || workload->mesh.value;
}

/* --- duplicates ------------------------------------------------------------------------------- */

struct seen {
    struct source_arena *arena;
    struct source_report *report;
    struct map map; /* from name or address to the node where it was first */
};

static void see(struct seen *seen, const void *key, size_t len, const struct source_node *at,
                const char *what)
{
    char found[SOURCE_DESCRIBE_MAX];
    const struct source_node *first = map_get(&seen->map, key, len);
    if (first)
        source_report_error(seen->report, at->line, at->column,
                            "%s: found %s again (first in line %u), expected it once", what,
                            source_node_describe(at, found), first->line);
    else if (!map_set(&seen->map, key, len, (void *)(uintptr_t)at, NULL))
        seen->arena->failed = true;
}

static void see_name(struct seen *seen, const struct source_text *ns,
                     const struct source_text *name, const char *what)
{
    if (!name->text || (ns->at && !ns->text))
        return;
    const char *key =
        source_arena_format(seen->arena, "%s/%s", ns->text ? ns->text : "", name->text);
    if (key)
        see(seen, key, strlen(key), name->at, what);
}

static void see_addresses(struct seen *seen, const struct source_addrs *addresses)
{
    for (unsigned i = 0; i < addresses->count; i++) {
        const struct source_addr *address = &addresses->items[i];
        if (address->at)
            see(seen, address->ip.bytes, address->ip.len, address->at, "addresses");
    }
}

static void check_duplicates(struct source_arena *arena, const struct source_model *model,
                             struct source_report *report)
{
    struct seen workloads = {.arena = arena, .report = report};
    struct seen services = workloads, policies = workloads, addresses = workloads;
    map_init(&workloads.map);
    map_init(&services.map);
    map_init(&policies.map);
    map_init(&addresses.map);
    for (unsigned i = 0; i < model->workloads.count; i++) {
        const struct source_workload *workload = &model->workloads.items[i];
        see_name(&workloads, &workload->ns, &workload->name, "workload");
        see_addresses(&addresses, &workload->addresses);
    }
    for (unsigned i = 0; i < model->services.count; i++) {
        const struct source_service *service = &model->services.items[i];
        see_name(&services, &service->ns, &service->name, "service");
        see_addresses(&addresses, &service->addresses);
    }
    for (unsigned i = 0; i < model->policies.count; i++)
        see_name(&policies, &model->policies.items[i].ns, &model->policies.items[i].name, "policy");
    map_deinit(&workloads.map);
    map_deinit(&services.map);
    map_deinit(&policies.map);
    map_deinit(&addresses.map);
}

/* --- services --------------------------------------------------------------------------------- */

static void check_ports(const struct source_service *service, struct source_report *report)
{
    uint8_t seen[65536 / 8] = {0};
    for (unsigned i = 0; i < service->ports.count; i++) {
        const struct source_number *port = &service->ports.items[i].port;
        if (!port->at)
            continue;
        if (seen[port->value / 8] & 1u << port->value % 8)
            source_report_error(report, port->at->line, port->at->column,
                                "port: found %u again, expected each port of a service once",
                                port->value);
        seen[port->value / 8] = (uint8_t)(seen[port->value / 8] | 1u << port->value % 8);
    }
}

static void check_service(struct source_arena *arena, const struct source_service *service,
                          const struct map *workloads, struct source_report *report)
{
    if (service->selector.at && service->workloads.at)
        source_report_error(report, service->workloads.at->key->line,
                            service->workloads.at->key->column,
                            "workloads: found a selector and a list of workloads, expected one "
                            "of them");
    else if (!service->selector.at && !service->workloads.at && service->at->kind == SOURCE_MAP)
        source_report_error(report, service->at->line, service->at->column,
                            "found a service without endpoints, expected a selector or a list "
                            "of workloads");
    for (unsigned i = 0; service->ns.text && i < service->workloads.count; i++) {
        const struct source_text *name = &service->workloads.items[i];
        const char *key =
            name->text ? source_arena_format(arena, "%s/%s", service->ns.text, name->text) : NULL;
        if (key && !map_get_str(workloads, key))
            source_report_error(report, name->at->line, name->at->column,
                                "workloads: found \"%s\", expected the name of a workload in "
                                "namespace %s",
                                name->text, service->ns.text);
    }
}

static void check_services(struct source_arena *arena, const struct source_model *model,
                           struct source_report *report)
{
    struct map names;
    map_init(&names);
    for (unsigned i = 0; i < model->workloads.count; i++) {
        struct source_workload *workload = &model->workloads.items[i];
        const char *key =
            workload->ns.text && workload->name.text
                ? source_arena_format(arena, "%s/%s", workload->ns.text, workload->name.text)
                : NULL;
        if (key && !map_set_str(&names, key, workload, NULL))
            arena->failed = true;
    }
    for (unsigned i = 0; i < model->services.count; i++) {
        check_ports(&model->services.items[i], report);
        check_service(arena, &model->services.items[i], &names, report);
    }
    map_deinit(&names);
}

/* --- policies --------------------------------------------------------------------------------- */

static void check_policy(struct source_arena *arena, const struct source_model *model,
                         const struct source_policy *policy, struct source_report *report)
{
    static const char reserved[] = "strict-mtls";
    if (policy->name.text && strncmp(policy->name.text, reserved, sizeof reserved - 1) == 0)
        source_report_error(report, policy->name.at->line, policy->name.at->column,
                            "name: found \"%s\", expected another name: those that begin with %s "
                            "are made from mtls entries",
                            policy->name.text, reserved);
    if (policy->rules.count == 0 && policy->action.text && policy->action.text[0] == 'd' &&
        (!policy->rules.at || policy->rules.at->kind == SOURCE_LIST))
        source_report_error(report, policy->at->line, policy->at->column,
                            "found a deny policy without rules, which can never match, expected "
                            "at least one rule ([{}] matches everything)");
    source_check_rules(arena, model, policy, report);
}

void source_check(struct source_arena *arena, const struct source_model *model,
                  struct source_report *report)
{
    check_duplicates(arena, model, report);
    check_services(arena, model, report);
    for (unsigned i = 0; i < model->policies.count; i++)
        check_policy(arena, model, &model->policies.items[i], report);
}

/* --- warnings --------------------------------------------------------------------------------- */

static void warn_unguarded(const struct source_model *model, const struct source_text *ns,
                           const struct source_labels *selector, const char *what,
                           struct source_report *report)
{
    const struct source_node *at = selector->at ? selector->at : ns->at;
    if (!at)
        return;
    for (unsigned i = 0; i < model->workloads.count; i++) {
        const struct source_workload *workload = &model->workloads.items[i];
        if (source_check_in_mesh(workload) && source_check_guards(ns, selector, workload))
            return;
    }
    source_report_warning(report, at->line, at->column,
                          "%s: found no workload of the mesh that %s applies to, expected at "
                          "least one",
                          selector->at ? "selector" : "namespace", what);
}

static void warn_empty(const struct source_model *model, const struct source_service *service,
                       struct source_report *report)
{
    for (unsigned i = 0; i < model->workloads.count; i++) {
        if (source_check_serves(service, &model->workloads.items[i]))
            return;
    }
    source_report_warning(report, service->selector.at->line, service->selector.at->column,
                          "selector: found no workload in namespace %s with these labels, "
                          "expected at least one",
                          service->ns.text);
}

static void warn_accounts(const struct map *accounts, const struct source_texts *texts,
                          struct source_report *report)
{
    for (unsigned i = 0; i < texts->count; i++) {
        const char *text = texts->items[i].text;
        const struct source_node *at = texts->items[i].at;
        if (!map_get_str(accounts, text))
            source_report_warning(report, at->line, at->column,
                                  "service_accounts: found \"%s\", expected a service account "
                                  "that a workload uses",
                                  text);
    }
}

static void warn_rules(struct source_arena *arena, const struct source_model *model,
                       struct source_report *report)
{
    struct map accounts;
    map_init(&accounts);
    for (unsigned i = 0; i < model->workloads.count; i++) {
        struct source_workload *workload = &model->workloads.items[i];
        const char *account =
            workload->service_account.at ? workload->service_account.text : "default";
        const char *key = source_arena_format(arena, "%s/%s", workload->ns.text, account);
        if (!key || !map_set_str(&accounts, key, workload, NULL))
            arena->failed = true;
    }
    for (unsigned i = 0; i < model->policies.count; i++) {
        const struct source_policy *policy = &model->policies.items[i];
        for (unsigned j = 0; j < policy->rules.count; j++) {
            const struct source_rule *rule = &policy->rules.items[j];
            for (unsigned k = 0; k < rule->from_list.count; k++)
                warn_accounts(&accounts, &rule->from_list.items[k].service_accounts, report);
        }
    }
    map_deinit(&accounts);
}

void source_check_warn(struct source_arena *arena, const struct source_model *model,
                       struct source_report *report)
{
    for (unsigned i = 0; i < model->services.count; i++) {
        if (model->services.items[i].selector.at)
            warn_empty(model, &model->services.items[i], report);
    }
    for (unsigned i = 0; i < model->policies.count; i++)
        warn_unguarded(model, &model->policies.items[i].ns, &model->policies.items[i].selector,
                       "the policy", report);
    for (unsigned i = 0; i < model->mtls_list.count; i++)
        warn_unguarded(model, &model->mtls_list.items[i].ns, &model->mtls_list.items[i].selector,
                       "the mtls entry", report);
    warn_rules(arena, model, report);
}
