#include "control/cluster.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/cluster_compile.h"

/* The kinds of Istio live beside ours: what they are called on the wire cannot be an object's name.
 */
static const char *const wire_prefixes[CLUSTER_GROUPS] = {"", "istio:"};

static bool is_read(const struct cluster *cluster, enum cluster_kind kind)
{
    return cluster->config.istio_root_namespace ||
           (kind != CLUSTER_ISTIO_POLICIES && kind != CLUSTER_ISTIO_MTLS);
}

static bool is_complete(const struct cluster *cluster)
{
    for (int kind = 0; kind < CLUSTER_KINDS; kind++) {
        if (!cluster->synced[kind] && is_read(cluster, (enum cluster_kind)kind))
            return false;
    }
    return true;
}

/* --- verdicts --------------------------------------------------------------------------------- */

static void report(const struct cluster *cluster, struct cluster_verdict *verdict,
                   const struct cluster_finding *finding)
{
    verdict->accepted = finding->reason == CLUSTER_ACCEPTED;
    verdict->reason = cluster_reason_name(finding->reason);
    verdict->sentence = finding->text;
    if (cluster->events.on_verdict)
        cluster->events.on_verdict(verdict, cluster->arg);
}

static void report_policies(struct cluster *cluster, unsigned group)
{
    size_t position = 0;
    for (struct map_entry *at; (at = map_next(&cluster->graph.policies[group], &position));) {
        struct cluster_policy *policy = at->value;
        if (policy->reported)
            continue;
        policy->reported = true;
        struct cluster_verdict verdict = {.kind = group ? CLUSTER_ISTIO_POLICIES : CLUSTER_POLICIES,
                                          .key = at->key,
                                          .generation = policy->generation,
                                          .resource =
                                              policy->resource ? policy->resource->name : NULL};
        report(cluster, &verdict, &policy->finding);
    }
}

static void report_mtls(struct cluster *cluster, unsigned group)
{
    size_t position = 0;
    for (struct map_entry *at; (at = map_next(&cluster->graph.mtls[group], &position));) {
        struct cluster_mtls *mtls = at->value;
        struct cluster_finding finding = mtls->finding;
        if (mtls->reported)
            continue;
        mtls->reported = true;
        if (mtls->beaten_by) {
            finding.reason = CLUSTER_CONFLICT;
            snprintf(finding.text, sizeof finding.text,
                     "%.200s is older and holds for the same workloads: this one is not in force",
                     mtls->beaten_by->key);
        }
        struct cluster_verdict verdict = {.kind = group ? CLUSTER_ISTIO_MTLS : CLUSTER_MTLS,
                                          .key = at->key,
                                          .generation = mtls->generation};
        report(cluster, &verdict, &finding);
    }
}

/* --- compiling -------------------------------------------------------------------------------- */

static enum err_code publish(struct cluster *cluster, struct err *err)
{
    struct compiled compiled;
    enum err_code code = cluster_compile_take(&cluster->graph, &compiled, err);
    if (code != ERR_OK)
        return code;
    const struct log_field counts[] = {
        F_STR("source", "kubernetes"), F_INT("workloads", compiled.workload_count),
        F_INT("services", compiled.service_count), F_INT("policies", compiled.policy_count)};
    code = cluster->events.on_compiled(&compiled, cluster->arg);
    if (code != ERR_OK) {
        cluster->graph.whole = cluster->graph.changed = true;
        return err_set(err, code, "the mesh was not taken as a whole");
    }
    enum log_level level = cluster->published ? LOG_LEVEL_DEBUG : LOG_LEVEL_INFO;
    if (log_enabled(level))
        log_write(level, "mesh_loaded", counts, 4);
    cluster->published = true;
    cluster->tally->mesh_loads++;
    cluster->tally->mesh_loaded_wall_ms = clock_wall_ms();
    return ERR_OK;
}

static void on_settled(struct timer *timer)
{
    struct cluster *cluster =
        (struct cluster *)(void *)((char *)timer - offsetof(struct cluster, settle));
    struct err err = {0};
    cluster->first_event_ms = 0;
    enum err_code code = cluster_compile(&cluster->graph, &err);
    if (code == ERR_OK && (cluster->graph.changed || !cluster->published))
        code = publish(cluster, &err);
    if (code != ERR_OK) {
        cluster->tally->mesh_load_failures++;
        LOG_LIMITED(LOG_LEVEL_ERROR, 2, "mesh_compile_failed", F_STR("note", "it is tried again"),
                    F_ERR(&err));
        timer_start(cluster->timers, timer, CLUSTER_RETRY_MS, on_settled);
        return;
    }
    for (unsigned group = 0; group < CLUSTER_GROUPS; group++) {
        report_policies(cluster, group);
        report_mtls(cluster, group);
    }
}

static void schedule(struct cluster *cluster)
{
    int64_t now = clock_now_ms();
    if (!is_complete(cluster))
        return;
    if (cluster->first_event_ms == 0)
        cluster->first_event_ms = now;
    int64_t left = cluster->first_event_ms + CLUSTER_SETTLE_MAX_MS - now;
    if (left > CLUSTER_SETTLE_MS)
        left = CLUSTER_SETTLE_MS;
    timer_start(cluster->timers, &cluster->settle, left > 0 ? left : 0, on_settled);
}

/* --- what comes in ---------------------------------------------------------------------------- */

void cluster_init(struct cluster *cluster, const struct cluster_config *config,
                  struct timers *timers, struct tally *tally, const struct cluster_events *events,
                  void *arg)
{
    *cluster = (struct cluster){
        .config = *config, .events = *events, .arg = arg, .timers = timers, .tally = tally};
    cluster->graph.cluster_id = config->cluster_id;
    cluster->graph.trust_domain = config->trust_domain;
    cluster->graph.whole = true;
}

static enum err_code put_policy(struct cluster *cluster, unsigned group, const char *ns,
                                const char *name, const char *root, const json_t *object,
                                struct err *err)
{
    const struct cluster_policy_context context = {.ns = ns,
                                                   .name = name,
                                                   .wire_prefix = wire_prefixes[group],
                                                   .trust_domain = cluster->config.trust_domain,
                                                   .root = strcmp(ns, root) == 0};
    return cluster_graph_put_policy(&cluster->graph, group, &context, object, err);
}

static enum err_code put(struct cluster *cluster, enum cluster_kind kind, const char *ns,
                         const char *name, const json_t *object, struct err *err)
{
    struct cluster_graph *graph = &cluster->graph;
    const char *root = cluster->config.root_namespace;
    const char *istio_root = cluster->config.istio_root_namespace;
    switch (kind) {
    case CLUSTER_PODS:
        return cluster_graph_put_pod(graph, ns, name, object, err);
    case CLUSTER_SERVICES:
        return cluster_graph_put_service(graph, ns, name, object, err);
    case CLUSTER_SLICES:
        return cluster_graph_put_slice(graph, ns, name, object, err);
    case CLUSTER_POLICIES:
        return put_policy(cluster, 0, ns, name, root, object, err);
    case CLUSTER_ISTIO_POLICIES:
        return put_policy(cluster, 1, ns, name, istio_root, object, err);
    case CLUSTER_MTLS:
        return cluster_graph_put_mtls(graph, 0, ns, name, strcmp(ns, root) == 0, object, err);
    case CLUSTER_ISTIO_MTLS:
        return cluster_graph_put_mtls(graph, 1, ns, name, strcmp(ns, istio_root) == 0, object, err);
    }
    return ERR_OK;
}

enum err_code cluster_put(struct cluster *cluster, enum cluster_kind kind, const char *key,
                          const json_t *object, struct err *err)
{
    struct source_arena arena = {0};
    struct err local;
    const char *slash = strchr(key, '/');
    err = err ? err : &local;
    if (!slash || !is_read(cluster, kind))
        return ERR_OK;
    const char *ns = source_arena_text(&arena, key, (size_t)(slash - key));
    enum err_code code = ns ? put(cluster, kind, ns, slash + 1, object, err)
                            : err_set(err, ERR_NO_MEMORY, "no memory for %s", key);
    source_arena_free(&arena);
    schedule(cluster);
    return code;
}

void cluster_remove(struct cluster *cluster, enum cluster_kind kind, const char *key)
{
    struct cluster_graph *graph = &cluster->graph;
    switch (kind) {
    case CLUSTER_PODS:
        cluster_graph_remove_pod(graph, key);
        break;
    case CLUSTER_SERVICES:
        cluster_graph_remove_service(graph, key);
        break;
    case CLUSTER_SLICES:
        cluster_graph_remove_slice(graph, key);
        break;
    case CLUSTER_POLICIES:
    case CLUSTER_ISTIO_POLICIES:
        cluster_graph_remove_policy(graph, kind == CLUSTER_ISTIO_POLICIES, key);
        break;
    case CLUSTER_MTLS:
    case CLUSTER_ISTIO_MTLS:
        cluster_graph_remove_mtls(graph, kind == CLUSTER_ISTIO_MTLS, key);
        break;
    }
    schedule(cluster);
}

void cluster_synced(struct cluster *cluster, enum cluster_kind kind)
{
    cluster->synced[kind] = true;
    schedule(cluster);
}

bool cluster_is_published(const struct cluster *cluster)
{
    return cluster->published;
}

void cluster_report(struct cluster *cluster)
{
    struct map_entry *at;
    for (unsigned group = 0; group < CLUSTER_GROUPS; group++) {
        size_t position = 0;
        while ((at = map_next(&cluster->graph.policies[group], &position)))
            ((struct cluster_policy *)at->value)->reported = false;
        position = 0;
        while ((at = map_next(&cluster->graph.mtls[group], &position)))
            ((struct cluster_mtls *)at->value)->reported = false;
    }
    schedule(cluster);
}

void cluster_deinit(struct cluster *cluster)
{
    timer_stop(cluster->timers, &cluster->settle);
    cluster_graph_deinit(&cluster->graph);
}
