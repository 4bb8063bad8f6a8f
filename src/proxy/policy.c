#include "proxy/policy.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proxy/worker.h"

const struct mesh_workload *policy_own_workload(const struct config *config,
                                                const struct view *view, const struct addr *ip)
{
    const struct mesh_workload *workload = mesh_find_workload_at(view->snapshot, ip);
    if (!workload || strcmp(workload->namespace, config->ns) != 0 ||
        strcmp(workload->name, config->pod_name) != 0)
        return NULL;
    return workload;
}

static bool same_policies(struct mesh_policies a, struct mesh_policies b)
{
    return a.count == b.count &&
           (a.count == 0 || memcmp(a.items, b.items, a.count * sizeof *a.items) == 0);
}

/* Records are shared between snapshots as long as they do not change, so pointers tell. */
static bool same_at(const struct config *config, const struct view *before,
                    const struct view *after, const struct addr *ip)
{
    const struct mesh_workload *own = policy_own_workload(config, after, ip);
    if (policy_own_workload(config, before, ip) != own)
        return false;
    for (unsigned i = 0; own && i < own->policy_count; i++) {
        if (mesh_find_policy(before->snapshot, own->policies[i]) !=
            mesh_find_policy(after->snapshot, own->policies[i]))
            return false;
    }
    return true;
}

bool policy_changed(const struct config *config, const struct view *before,
                    const struct view *after)
{
    if (before->snapshot == after->snapshot)
        return false;
    if (!same_policies(mesh_global_policies(before->snapshot),
                       mesh_global_policies(after->snapshot)) ||
        !same_policies(mesh_namespace_policies(before->snapshot, config->ns),
                       mesh_namespace_policies(after->snapshot, config->ns)))
        return true;
    for (unsigned i = 0; i < config->pod_ip_count; i++) {
        if (!same_at(config, before, after, &config->pod_ips[i]))
            return true;
    }
    return false;
}

/* "Deny unless the peer has an identity" is how strict mTLS is written. */
static bool is_strict(const struct mesh_policy *policy)
{
    for (unsigned r = 0; r < policy->rule_count; r++) {
        const struct mesh_rule *rule = &policy->rules[r];
        for (unsigned c = 0; c < rule->clause_count; c++) {
            const struct mesh_clause *clause = &rule->clauses[c];
            for (unsigned m = 0; m < clause->match_count; m++) {
                const struct mesh_strings *none_of = &clause->matches[m].not_principals;
                for (unsigned i = 0; i < none_of->count; i++) {
                    if (none_of->items[i].kind == MESH_PRESENCE)
                        return true;
                }
            }
        }
    }
    return false;
}

static void remember(struct conn *conn, const struct mesh_verdict *verdict, const struct err *err)
{
    if (!conn->denial)
        conn->denial = calloc(1, sizeof *conn->denial);
    if (!conn->denial)
        return; /* the sentence is lost, the denial is not */
    const char *key = verdict->policy ? verdict->policy->key : verdict->missing;
    conn->denial->code = err->code;
    snprintf(conn->denial->policy, sizeof conn->denial->policy, "%s", key ? key : "");
    memcpy(conn->denial->text, err->text, sizeof conn->denial->text);
}

static void report_dry_run(struct conn *conn, const struct mesh_policy *policy,
                           const struct mesh_request *request)
{
    char source[ADDR_TEXT_MAX], destination[ADDR_TEXT_MAX];
    stats_dry_run(&conn->worker->stats, policy->key);
    LOG_LIMITED(LOG_LEVEL_INFO, 10, "policy_dry_run", F_STR("policy", policy->key),
                F_STR("source", addr_port_format(&conn->source_at, source)),
                F_STR("destination", addr_port_format(&conn->original, destination)),
                F_STR("principal", request->principal));
}

static enum mesh_decision judge(struct conn *conn, const struct view *view, const char *principal,
                                struct mesh_verdict *out, struct err *err)
{
    char text[MESH_VERDICT_TEXT_MAX], source[ADDR_TEXT_MAX];
    const struct addr_port *to = conn->direction == CONN_INBOUND ? &conn->original : &conn->target;
    const struct mesh_request request = {
        .source_ip = conn->source_at.ip,
        .destination_ip = to->ip,
        .destination_port = to->port,
        .principal = principal,
        .principal_len = principal ? strlen(principal) : 0,
    };
    mesh_authorize(view->snapshot, conn->destination, &request, out);
    const struct mesh_verdict verdict = *out;
    if (verdict.dry_run && conn->state != CONN_OPEN)
        report_dry_run(conn, verdict.dry_run, &request);
    if (verdict.decision == MESH_ALLOW)
        return MESH_ALLOW;
    mesh_verdict_format(&verdict, &request, text);
    addr_port_format(&conn->source_at, source);
    if (verdict.decision == MESH_PENDING) {
        err_set(err,
                verdict.reason == MESH_REASON_UNREADABLE ? ERR_CONN_POLICY_UNREADABLE
                                                         : ERR_CONN_POLICY_PENDING,
                "connection from %s: %s", source, text);
        return MESH_PENDING;
    }
    bool strict = !principal && verdict.reason == MESH_REASON_DENY_MATCH && verdict.policy &&
                  is_strict(verdict.policy);
    err_set(err, ERR_CONN_POLICY_DENIED, "%s from %s: %s%s", principal ? "connection" : "plaintext",
            source, text, strict ? " (strict mTLS: only peers of the mesh may connect)" : "");
    return MESH_DENY;
}

enum mesh_decision policy_decide(struct conn *conn, const struct view *view, const char *principal,
                                 struct err *err)
{
    struct mesh_verdict verdict;
    enum mesh_decision decision = judge(conn, view, principal, &verdict, err);
    if (decision == MESH_DENY)
        remember(conn, &verdict, err);
    return decision;
}

enum mesh_decision policy_recheck(struct conn *conn, const struct mesh_workload *own,
                                  const char *principal, bool late, struct err *err)
{
    struct mesh_verdict verdict;
    struct mesh_workload *before = mesh_workload_ref(conn->destination);
    conn_set_destination(conn, own);
    enum mesh_decision decision = judge(conn, conn->worker->view, principal, &verdict, err);
    conn_set_destination(conn, before);
    mesh_workload_unref(before);
    if (decision == MESH_DENY || (decision == MESH_PENDING && late))
        remember(conn, &verdict, err);
    return decision;
}
