/* A mesh file as it was written, typed and with places, before it becomes records of the mesh.
 * Everything lives in one arena. What is absent has a null `at`. */
#ifndef SOURCE_MODEL_H
#define SOURCE_MODEL_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "control/source_node.h"

struct source_text {
    const char *text; /* NULL: absent, or not valid and reported */
    const struct source_node *at;
};
struct source_texts {
    struct source_text *items;
    unsigned count;
    const struct source_node *at;
};
struct source_addr {
    struct addr ip;
    const struct source_node *at;
};
struct source_addrs {
    struct source_addr *items;
    unsigned count;
    const struct source_node *at;
};
struct source_prefix {
    struct addr_prefix prefix;
    const struct source_node *at;
};
struct source_prefixes {
    struct source_prefix *items;
    unsigned count;
    const struct source_node *at;
};
struct source_number {
    uint16_t value;
    const struct source_node *at;
};
struct source_numbers {
    struct source_number *items;
    unsigned count;
    const struct source_node *at;
};
struct source_flag {
    bool value;
    const struct source_node *at;
};
struct source_label {
    const char *key, *value;
    const struct source_node *at;
};
struct source_labels {
    struct source_label *items;
    unsigned count;
    const struct source_node *at;
};

struct source_workload {
    const struct source_node *at;
    struct source_text name, ns, service_account;
    struct source_addrs addresses;
    struct source_labels labels;
    struct source_flag mesh; /* absent: true */
};

struct source_port {
    const struct source_node *at;
    struct source_number port, target_port; /* absent target: the same */
};
struct source_service {
    const struct source_node *at;
    struct source_text name, ns;
    struct source_addrs addresses;
    struct {
        struct source_port *items;
        unsigned count;
        const struct source_node *at;
    } ports;
    struct source_labels selector;
    struct source_texts workloads;
};

struct source_from {
    const struct source_node *at;
    struct source_texts principals, not_principals, namespaces, not_namespaces, service_accounts,
        not_service_accounts;
    struct source_prefixes ip_blocks, not_ip_blocks;
};
struct source_to {
    const struct source_node *at;
    struct source_numbers ports, not_ports;
    struct source_prefixes ip_blocks, not_ip_blocks;
};
struct source_rule {
    const struct source_node *at;
    struct {
        struct source_from *items;
        unsigned count;
        const struct source_node *at;
    } from_list;
    struct {
        struct source_to *items;
        unsigned count;
        const struct source_node *at;
    } to_list;
};
struct source_policy {
    const struct source_node *at;
    struct source_text name, ns; /* no namespace: the whole mesh */
    struct source_labels selector;
    struct source_text action; /* "allow" or "deny" */
    struct source_flag dry_run;
    struct {
        struct source_rule *items;
        unsigned count;
        const struct source_node *at;
    } rules;
};

struct source_mtls {
    const struct source_node *at;
    struct source_text mode; /* "strict" or "permissive" */
    struct source_text ns;
    struct source_labels selector;
    struct source_numbers ports;
};

struct source_model {
    struct source_text trust_domain;
    struct {
        struct source_workload *items;
        unsigned count;
        const struct source_node *at;
    } workloads;
    struct {
        struct source_service *items;
        unsigned count;
        const struct source_node *at;
    } services;
    struct {
        struct source_policy *items;
        unsigned count;
        const struct source_node *at;
    } policies;
    struct {
        struct source_mtls *items;
        unsigned count;
        const struct source_node *at;
    } mtls_list;
};

/* All of `selector`'s labels are among `labels`. An absent selector selects everything. */
bool source_labels_select(const struct source_labels *selector, const struct source_labels *labels);

#endif
