#include "proxy/report.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "mesh/policy_text.h"

static void put(json_t *json, const char *key, json_t *value)
{
    json_object_set_new(json, key, value);
}

/* What a server or a peer said need not be UTF-8, and jansson takes nothing else. */
static json_t *make_text(const char *text)
{
    json_t *json = json_string(text);
    char *ascii = json ? NULL : strdup(text);
    for (char *at = ascii; at && *at; at++)
        *at = (unsigned char)*at < 0x80 ? *at : '?';
    if (ascii)
        json = json_string(ascii);
    free(ascii);
    return json;
}

static void put_text(json_t *json, const char *key, const char *text)
{
    put(json, key, text && *text ? make_text(text) : json_null());
}

static void put_int(json_t *json, const char *key, int64_t value)
{
    put(json, key, json_integer(value));
}

/* "last_error" and "last_error_code" */
static void put_error(json_t *json, const struct err *err)
{
    bool failed = err->code != ERR_OK;
    put_text(json, "last_error", failed ? err->text : NULL);
    put_text(json, "last_error_code", failed ? err_label(err->code) : NULL);
}

/* --- status --------------------------------------------------------------------------------- */

static json_t *report_control(const struct control *control)
{
    json_t *json = json_object();
    const struct xds_client_stats *stats = xds_client_stats(control->xds);
    const struct err *err = &control->last_error;
    put_text(json, "address", control->config->control);
    put(json, "connected", json_boolean(control_connected(control)));
    put_text(json, "link", link_state_name(&control->link));
    put_int(json, "since_s", (clock_now_ms() - control->changed_ms) / 1000);
    put_error(json, err);
    put_int(json, "reconnects", control->connects ? (int64_t)control->connects - 1 : 0);
    if (stats->last_update_wall_ms)
        put_int(json, "last_update_s", (clock_wall_ms() - stats->last_update_wall_ms) / 1000);
    else
        put(json, "last_update_s", json_null());
    put_text(json, "last_nack", stats->last_nack);
    return json;
}

static json_t *report_certificate(const struct identity *identity)
{
    const struct tls_identity_info *info =
        identity->context ? tls_context_identity(identity->context) : NULL;
    json_t *json = json_object();
    put_text(json, "serial", info ? info->serial : NULL);
    put(json, "not_after", info ? json_integer(info->not_after_s) : json_null());
    put(json, "seconds_left",
        info ? json_integer(info->not_after_s - clock_wall_s()) : json_null());
    put_error(json, &identity->last_error);
    return json;
}

static json_t *report_snapshot(const struct mesh_snapshot *snapshot)
{
    json_t *json = json_object();
    put_int(json, "generation", (int64_t)mesh_snapshot_generation(snapshot));
    put_int(json, "workloads", (int64_t)mesh_workload_count(snapshot));
    put_int(json, "services", (int64_t)mesh_service_count(snapshot));
    put_int(json, "policies", (int64_t)mesh_policy_count(snapshot));
    put_int(json, "unreadable_policies", (int64_t)mesh_unreadable_count(snapshot));
    return json;
}

static json_t *report_warnings(const struct control *control)
{
    struct err err;
    json_t *list = json_array();
    for (unsigned i = 0; i < control->config->pod_ip_count; i++) {
        if (!news_knows_address(control->config, control->view, i, &err))
            json_array_append_new(list, make_text(err.text));
    }
    return list;
}

static int64_t open_now(const struct metrics *registry, enum conn_direction direction)
{
    const char *reporter = stats_reporter(direction);
    return (int64_t)metrics_sum(registry, STATS_GAUGES, STATS_OPEN, &reporter);
}

json_t *report_status(const struct control *control, const struct drain *drain, const char *state,
                      const char *reason, int64_t started_ms, const struct metrics *registry)
{
    const struct config *config = control->config;
    const struct identity *identity = &control->identity;
    json_t *json = json_object(), *connections = json_object();
    put_int(connections, "inbound", open_now(registry, CONN_INBOUND));
    put_int(connections, "outbound", open_now(registry, CONN_OUTBOUND));
    put_text(json, "version", HANDFAST_VERSION);
    put_int(json, "pid", getpid());
    put_int(json, "uptime_s", (clock_now_ms() - started_ms) / 1000);
    put_text(json, "state", state);
    put_text(json, "state_reason", reason);
    put(json, "warnings", report_warnings(control));
    put_text(json, "identity", config->id.text);
    put_text(json, "pod", config->pod_name);
    put_text(json, "namespace", config->ns);
    put_int(json, "workers", drain->worker_count);
    put(json, "connections", connections);
    put(json, "control", report_control(control));
    put(json, "clock_skew_s", identity->skew_known ? json_integer(identity->skew_s) : json_null());
    put(json, "certificate", report_certificate(identity));
    put(json, "config", report_snapshot(xds_client_snapshot(control->xds)));
    return json;
}

/* --- certs ---------------------------------------------------------------------------------- */

static json_t *report_bundle(const struct identity *identity)
{
    static const char hex[] = "0123456789abcdef";
    char digest[65] = "";
    json_t *json = json_object(), *roots = json_array();
    if (identity->bundle) {
        const uint8_t *bytes = tls_bundle_digest(identity->bundle);
        for (int i = 0; i < 32; i++) {
            digest[2 * i] = hex[bytes[i] >> 4];
            digest[2 * i + 1] = hex[bytes[i] & 15];
        }
    }
    for (unsigned i = 0; i < identity->root_count; i++) {
        json_t *root = json_object();
        put_text(root, "trust_domain", identity->roots[i].trust_domain);
        put_text(root, "subject", identity->roots[i].subject);
        put_int(root, "not_after", identity->roots[i].not_after_s);
        json_array_append_new(roots, root);
    }
    put_text(json, "digest", digest);
    put_int(json, "generation", (int64_t)identity->bundle_generation);
    put(json, "roots", roots);
    return json;
}

json_t *report_certs(const struct identity *identity)
{
    json_t *json = json_object();
    const struct tls_identity_info *info =
        identity->context ? tls_context_identity(identity->context) : NULL;
    int64_t next_ms = identity->renew_at_ms - clock_now_ms();
    put_text(json, "identity", identity->config->id.text);
    put_text(json, "serial", info ? info->serial : NULL);
    put(json, "not_before", info ? json_integer(info->not_before_s) : json_null());
    put(json, "not_after", info ? json_integer(info->not_after_s) : json_null());
    put_text(json, "issuer", info ? info->issuer : NULL);
    put_int(json, "next_renewal_s", next_ms > 0 ? next_ms / 1000 : 0);
    put_int(json, "renewals", identity->renewals ? (int64_t)identity->renewals - 1 : 0);
    put_error(json, &identity->last_error);
    put(json, "bundle", report_bundle(identity));
    return json;
}

/* --- config --------------------------------------------------------------------------------- */

static json_t *report_addresses(const struct addr *addresses, unsigned count)
{
    char text[ADDR_TEXT_MAX];
    json_t *list = json_array();
    for (unsigned i = 0; i < count; i++)
        json_array_append_new(list, json_string(addr_format(&addresses[i], text)));
    return list;
}

static json_t *report_workload(const struct mesh_snapshot *snapshot,
                               const struct mesh_workload *workload)
{
    char id[MESH_SPIFFE_MAX];
    const char *mesh_domain = mesh_snapshot_trust_domain(snapshot);
    json_t *json = json_object(), *policies = json_array(), *services = json_array();
    for (unsigned i = 0; i < workload->policy_count; i++)
        json_array_append_new(policies, json_string(workload->policies[i]));
    for (unsigned i = 0; i < workload->link_count; i++)
        json_array_append_new(services, json_string(workload->links[i].service));
    mesh_workload_spiffe_id(workload, mesh_domain, id);
    put_text(json, "uid", workload->uid);
    put_text(json, "name", workload->name);
    put_text(json, "namespace", workload->namespace);
    put_text(json, "service_account", mesh_workload_account(workload));
    put_text(json, "trust_domain", mesh_workload_trust_domain(workload, mesh_domain));
    put(json, "addresses", report_addresses(workload->addresses, workload->address_count));
    put(json, "mesh", json_boolean(workload->tunnel == MESH_TUNNEL_LEGACY_MTLS));
    put(json, "healthy", json_boolean(workload->status == MESH_HEALTHY));
    put_text(json, "identity", id);
    put(json, "policies", policies);
    put(json, "services", services);
    return json;
}

static json_t *report_service(const struct mesh_snapshot *snapshot,
                              const struct mesh_service *service)
{
    json_t *json = json_object(), *ports = json_array(), *endpoints = json_array();
    struct mesh_endpoints found = mesh_service_endpoints(snapshot, service);
    for (unsigned i = 0; i < service->port_count; i++)
        json_array_append_new(ports,
                              json_pack("{s:i, s:i}", "port", (int)service->ports[i].service_port,
                                        "target_port", (int)service->ports[i].target_port));
    for (unsigned i = 0; i < found.count; i++)
        json_array_append_new(endpoints, json_string(found.items[i].workload->uid));
    put_text(json, "name", service->name);
    put_text(json, "namespace", service->namespace);
    put_text(json, "hostname", service->hostname);
    put(json, "addresses", report_addresses(service->addresses, service->address_count));
    put(json, "ports", ports);
    put(json, "endpoints", endpoints);
    return json;
}

static json_t *report_policy(const struct mesh_policy *policy)
{
    static const char *const scopes[] = {"global", "namespace", "selector"};
    char text[MESH_POLICY_TEXT_MAX];
    json_t *json = json_object();
    put_text(json, "name", policy->name);
    put_text(json, "namespace", policy->namespace);
    put_text(json, "scope", scopes[policy->scope]);
    if (policy->unreadable)
        put_text(json, "action", "unreadable");
    else
        put_text(json, "action", policy->action == MESH_ACTION_ALLOW ? "allow" : "deny");
    put(json, "dry_run", json_boolean(policy->dry_run));
    put_int(json, "rules", policy->rule_count);
    put_text(json, "text",
             policy->unreadable ? policy->unreadable : mesh_policy_format(policy, text));
    return json;
}

json_t *report_config(const struct mesh_snapshot *snapshot)
{
    json_t *json = json_object();
    json_t *workloads = json_array(), *services = json_array(), *policies = json_array();
    const struct mesh_workload *workload;
    const struct mesh_service *service;
    const struct mesh_policy *policy;
    for (size_t i = 0; (workload = mesh_workload_at(snapshot, i)); i++)
        json_array_append_new(workloads, report_workload(snapshot, workload));
    for (size_t i = 0; (service = mesh_service_at(snapshot, i)); i++)
        json_array_append_new(services, report_service(snapshot, service));
    for (size_t i = 0; (policy = mesh_policy_at(snapshot, i)); i++)
        json_array_append_new(policies, report_policy(policy));
    put_int(json, "generation", (int64_t)mesh_snapshot_generation(snapshot));
    put_text(json, "trust_domain", mesh_snapshot_trust_domain(snapshot));
    put(json, "workloads", workloads);
    put(json, "services", services);
    put(json, "policies", policies);
    return json;
}
