#include "control/source_schema.h"

#include "control/source_read.h"
#include "mesh/workload.h"

#define FIELD(type, member, key, reader)                                                           \
    {                                                                                              \
        .name = key, .offset = offsetof(struct type, member), .read = reader                       \
    }
#define NEEDED(type, member, key, reader, what)                                                    \
    {                                                                                              \
        .name = key, .required = true, .offset = offsetof(struct type, member), .read = reader,    \
        .expected = what                                                                           \
    }

/* A reader of one list element that is a mapping, and one of the whole list. */
#define ELEMENT(noun, fields, what)                                                                \
    static void read_##noun(struct source_reader *reader, const struct source_node *node,          \
                            void *target)                                                          \
    {                                                                                              \
        ((struct source_##noun *)target)->at = node;                                               \
        source_read_map(reader, node, fields, target, what);                                       \
    }
#define LIST_OF(noun, owner, member, min, max, what)                                               \
    static void read_##member(struct source_reader *reader, const struct source_node *node,        \
                              void *target)                                                        \
    {                                                                                              \
        struct source_##owner *into =                                                              \
            (struct source_##owner *)((char *)target - offsetof(struct source_##owner, member));   \
        into->member.at = node;                                                                    \
        source_read_list(reader, node, sizeof(struct source_##noun), min, max, read_##noun,        \
                         (void **)&into->member.items, &into->member.count, what);                 \
    }

static const struct source_field workload_fields[] = {
    NEEDED(source_workload, name, "name", source_read_name, "the pod's name"),
    NEEDED(source_workload, ns, "namespace", source_read_label_name, "the pod's namespace"),
    FIELD(source_workload, service_account, "service_account", source_read_name),
    NEEDED(source_workload, addresses, "addresses", source_read_addresses,
           "a list of the pod's addresses"),
    FIELD(source_workload, labels, "labels", source_read_labels),
    FIELD(source_workload, mesh, "mesh", source_read_flag),
    {.name = NULL}};
ELEMENT(workload, workload_fields, "a workload")

static const struct source_field port_fields[] = {
    NEEDED(source_port, port, "port", source_read_port, "the port that clients dial"),
    FIELD(source_port, target_port, "target_port", source_read_port),
    {.name = NULL}};
ELEMENT(port, port_fields, "a service's port")
LIST_OF(port, service, ports, 1, MESH_PORTS_MAX, "a list of ports, at least one")

static const struct source_field service_fields[] = {
    NEEDED(source_service, name, "name", source_read_label_name, "the service's name"),
    NEEDED(source_service, ns, "namespace", source_read_label_name, "the service's namespace"),
    FIELD(source_service, addresses, "addresses", source_read_addresses),
    NEEDED(source_service, ports, "ports", read_ports, "a list such as [{port: 80}]"),
    FIELD(source_service, selector, "selector", source_read_selector),
    FIELD(source_service, workloads, "workloads", source_read_names),
    {.name = NULL}};
ELEMENT(service, service_fields, "a service")

static const struct source_field from_fields[] = {
    FIELD(source_from, principals, "principals", source_read_principals),
    FIELD(source_from, not_principals, "not_principals", source_read_principals),
    FIELD(source_from, namespaces, "namespaces", source_read_namespaces),
    FIELD(source_from, not_namespaces, "not_namespaces", source_read_namespaces),
    FIELD(source_from, service_accounts, "service_accounts", source_read_service_accounts),
    FIELD(source_from, not_service_accounts, "not_service_accounts", source_read_service_accounts),
    FIELD(source_from, ip_blocks, "ip_blocks", source_read_prefixes),
    FIELD(source_from, not_ip_blocks, "not_ip_blocks", source_read_prefixes),
    {.name = NULL}};
ELEMENT(from, from_fields, "a source")
LIST_OF(from, rule, from_list, 1, 256, "a list of sources, at least one")

static const struct source_field to_fields[] = {
    FIELD(source_to, ports, "ports", source_read_ports),
    FIELD(source_to, not_ports, "not_ports", source_read_ports),
    FIELD(source_to, ip_blocks, "ip_blocks", source_read_prefixes),
    FIELD(source_to, not_ip_blocks, "not_ip_blocks", source_read_prefixes),
    {.name = NULL}};
ELEMENT(to, to_fields, "a destination")
LIST_OF(to, rule, to_list, 1, 256, "a list of destinations, at least one")

static const struct source_field rule_fields[] = {
    FIELD(source_rule, from_list, "from", read_from_list),
    FIELD(source_rule, to_list, "to", read_to_list),
    {.name = NULL}};
ELEMENT(rule, rule_fields, "a rule")
LIST_OF(rule, policy, rules, 0, 256, "a list of rules")

static const struct source_field policy_fields[] = {
    NEEDED(source_policy, name, "name", source_read_name, "the policy's name"),
    FIELD(source_policy, ns, "namespace", source_read_label_name),
    FIELD(source_policy, selector, "selector", source_read_selector),
    NEEDED(source_policy, action, "action", source_read_action, "allow or deny"),
    FIELD(source_policy, dry_run, "dry_run", source_read_flag),
    FIELD(source_policy, rules, "rules", read_rules),
    {.name = NULL}};
ELEMENT(policy, policy_fields, "a policy")

static const struct source_field mtls_fields[] = {
    NEEDED(source_mtls, mode, "mode", source_read_mode, "strict or permissive"),
    FIELD(source_mtls, ns, "namespace", source_read_label_name),
    FIELD(source_mtls, selector, "selector", source_read_selector),
    FIELD(source_mtls, ports, "ports", source_read_ports),
    {.name = NULL}};
ELEMENT(mtls, mtls_fields, "an mtls entry")

LIST_OF(workload, model, workloads, 0, SOURCE_WORKLOADS_MAX, "a list of workloads")
LIST_OF(service, model, services, 0, SOURCE_SERVICES_MAX, "a list of services")
LIST_OF(policy, model, policies, 0, SOURCE_POLICIES_MAX, "a list of policies")
LIST_OF(mtls, model, mtls_list, 0, SOURCE_MTLS_MAX, "a list of mtls entries")

static const struct source_field model_fields[] = {
    NEEDED(source_model, trust_domain, "trust_domain", source_read_trust_domain,
           "the mesh's trust domain"),
    FIELD(source_model, workloads, "workloads", read_workloads),
    FIELD(source_model, services, "services", read_services),
    FIELD(source_model, policies, "policies", read_policies),
    FIELD(source_model, mtls_list, "mtls", read_mtls_list),
    {.name = NULL}};

void source_schema_read(struct source_arena *arena, const struct source_node *root,
                        struct source_model *model, struct source_report *report)
{
    struct source_reader reader = {.arena = arena, .report = report};
    source_read_map(&reader, root, model_fields, model, "the mesh");
}
