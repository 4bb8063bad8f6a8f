/* An authorization policy, ready to evaluate. The meaning is that of istio.security.Authorization:
 * rules are OR, clauses of a rule AND, matches of a clause OR, fields of a match AND, values of a
 * field OR; of a `not_` field no value may match. No rules match nothing; a match without fields is
 * skipped; a clause without (other) matches matches. Immutable and reference-counted; any thread.
 */
#ifndef MESH_POLICY_H
#define MESH_POLICY_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/ref.h"

enum mesh_scope { MESH_SCOPE_GLOBAL = 0, MESH_SCOPE_NAMESPACE = 1, MESH_SCOPE_WORKLOAD = 2 };
enum mesh_action { MESH_ACTION_ALLOW = 0, MESH_ACTION_DENY = 1 };

enum mesh_string_kind { MESH_EXACT, MESH_PREFIX, MESH_SUFFIX, MESH_PRESENCE };

struct mesh_string {
    enum mesh_string_kind kind;
    const char *text; /* "" for presence; of a principal without "spiffe://" (mesh_policy_new()
                         takes it off) */
    uint32_t len;     /* mesh_policy_new() fills it */
};

struct mesh_account {
    const char *namespace, *name; /* the trust domain is that of the guarded workload */
};

struct mesh_strings {
    const struct mesh_string *items;
    unsigned count;
};
struct mesh_prefixes {
    const struct addr_prefix *items;
    unsigned count;
};
struct mesh_ports {
    const uint16_t *items;
    unsigned count;
};
struct mesh_accounts {
    const struct mesh_account *items;
    unsigned count;
};

struct mesh_match {
    struct mesh_strings namespaces, not_namespaces;
    struct mesh_strings principals, not_principals;
    struct mesh_prefixes source_ips, not_source_ips;
    struct mesh_prefixes destination_ips, not_destination_ips;
    struct mesh_ports destination_ports, not_destination_ports;
    struct mesh_accounts service_accounts, not_service_accounts;
};

struct mesh_clause {
    const struct mesh_match *matches;
    unsigned match_count;
};

struct mesh_rule {
    const struct mesh_clause *clauses;
    unsigned clause_count;
};

struct mesh_policy {
    struct ref ref;  /* private */
    uint32_t hash;   /* private: of key */
    const char *key; /* "namespace/name" ("/name" when global); mesh_policy_new() makes it, whatever
                        `from` says */
    const char *name;
    const char *namespace; /* "" when global */
    enum mesh_scope scope;
    enum mesh_action action;
    bool dry_run; /* evaluated and reported, decides nothing */
    const struct mesh_rule *rules;
    unsigned rule_count;
    const char *unreadable; /* NULL, or why the policy could not be read: the record holds its place
                               (unreadable.h), has no rules, and `action` means nothing */
};

enum {
    MESH_POLICY_VALUES_MAX = 100000
}; /* rules, clauses, matches and values of one policy, together */

/* As mesh_workload_new(): deep copy, one reference to the caller, ERR_XDS_RESOURCE with the field's
 * name. */
enum err_code mesh_policy_new(const struct mesh_policy *from, struct mesh_policy **out,
                              struct err *err);
void mesh_policy_unref(struct mesh_policy *policy);

#endif
