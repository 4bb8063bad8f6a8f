/* Policies and PeerAuthentications; declared in cluster_graph.h. */
#include <stdlib.h>
#include <string.h>

#include "control/cluster_graph.h"

/* --- policies --------------------------------------------------------------------------------- */

/* The records of workloads name this policy. */
static bool is_named(const struct cluster_policy *policy)
{
    return policy && policy->resource && policy->scope == MESH_SCOPE_WORKLOAD;
}

static void mark_selected(struct cluster_namespace *ns, const struct cluster_policy *policy)
{
    for (struct cluster_workload *pod = ns->pods; pod; pod = pod->next_of_ns) {
        if (cluster_selector_matches(policy->selector, pod->pod.workload))
            pod->dirty = true;
    }
}

/* `ns` NULL: everywhere. */
static void mark(struct cluster_graph *graph, struct cluster_namespace *ns,
                 const struct cluster_policy *policy)
{
    size_t position = 0;
    if (!is_named(policy))
        return;
    if (ns)
        mark_selected(ns, policy);
    for (struct map_entry *at; !ns && (at = map_next(&graph->namespaces, &position));)
        mark_selected(at->value, policy);
}

/* The same records name both. */
static bool name_alike(const struct cluster_policy *a, const struct cluster_policy *b)
{
    return is_named(a) && is_named(b) && cluster_selector_equal(a->selector, b->selector) &&
           strcmp(a->resource->name, b->resource->name) == 0;
}

/* Proxies see no difference between them. */
static bool sends_alike(const struct cluster_policy *a, const struct cluster_policy *b)
{
    const struct xds_resource *left = a ? a->resource : NULL, *right = b ? b->resource : NULL;
    if (!left || !right)
        return left == right;
    return left->hash == right->hash && strcmp(left->name, right->name) == 0;
}

static void replace_policy(struct cluster_graph *graph, struct cluster_namespace *ns,
                           struct cluster_policy *old, struct cluster_policy *policy)
{
    if (old && !name_alike(old, policy))
        mark(graph, ns, old);
    if (policy && !name_alike(old, policy))
        mark(graph, ns, policy);
    if (old)
        CLUSTER_LIST_REMOVE(old, next, link);
    if (policy)
        CLUSTER_LIST_ADD(ns ? &ns->policies : &graph->policies_everywhere, policy, next, link);
    if (!sends_alike(old, policy))
        graph->changed = true;
    cluster_policy_free(old);
}

/* Takes `policy` on success. */
static enum err_code keep_policy(struct cluster_graph *graph, unsigned group,
                                 const struct cluster_policy_context *context, const char *key,
                                 struct cluster_policy *policy, struct err *err)
{
    struct map *map = &graph->policies[group];
    struct cluster_policy *old = map_get_str(map, key);
    struct cluster_namespace *ns =
        context->root ? NULL : cluster_graph_namespace(graph, context->ns);
    if (old && cluster_policy_equal(old, policy)) {
        cluster_policy_free(policy);
        return ERR_OK;
    }
    if ((!context->root && !ns) || !map_set_str(map, key, policy, NULL))
        return err_set(err, ERR_NO_MEMORY, "no memory for policy %s", key);
    replace_policy(graph, ns, old, policy);
    return ERR_OK;
}

enum err_code cluster_graph_put_policy(struct cluster_graph *graph, unsigned group,
                                       const struct cluster_policy_context *context,
                                       const json_t *object, struct err *err)
{
    struct cluster_policy *policy = NULL;
    struct source_arena arena = {0};
    const char *key = source_arena_format(&arena, "%s/%s", context->ns, context->name);
    enum err_code code = key ? cluster_policy_read(context, object, &policy, err)
                             : err_set(err, ERR_NO_MEMORY, "no memory for a policy");
    if (code == ERR_OK) {
        code = keep_policy(graph, group, context, key, policy, err);
        if (code != ERR_OK)
            cluster_policy_free(policy);
    }
    source_arena_free(&arena);
    return code;
}

/* The namespace that a key begins with, when anything is known of it. */
static struct cluster_namespace *namespace_of(const struct cluster_graph *graph, const char *key)
{
    return map_get(&graph->namespaces, key, strcspn(key, "/"));
}

void cluster_graph_remove_policy(struct cluster_graph *graph, unsigned group, const char *key)
{
    struct cluster_policy *policy = map_remove_str(&graph->policies[group], key);
    struct cluster_namespace *ns = namespace_of(graph, key);
    if (!policy)
        return;
    /* One of the root namespace may be named anywhere. */
    for (const struct cluster_policy *at = graph->policies_everywhere; at; at = at->next) {
        if (at == policy)
            ns = NULL;
    }
    replace_policy(graph, ns, policy, NULL);
}

/* --- PeerAuthentications ---------------------------------------------------------------------- */

static void forget_beaten(struct cluster_graph *graph, const struct cluster_mtls *mtls)
{
    for (unsigned i = 0; i < CLUSTER_GROUPS; i++) {
        size_t position = 0;
        for (struct map_entry *at; (at = map_next(&graph->mtls[i], &position));) {
            struct cluster_mtls *other = at->value;
            if (other->beaten_by == mtls) {
                other->beaten_by = NULL;
                other->reported = false;
            }
        }
    }
}

static void drop_mtls(struct cluster_graph *graph, struct cluster_mtls *mtls)
{
    if (!mtls)
        return;
    forget_beaten(graph, mtls);
    CLUSTER_LIST_REMOVE(mtls, next, link);
    cluster_mtls_free(mtls);
    graph->mtls_dirty = true;
}

static enum err_code keep_mtls(struct cluster_graph *graph, unsigned group, const char *ns,
                               bool root, struct cluster_mtls *mtls, struct err *err)
{
    struct map *map = &graph->mtls[group];
    struct cluster_mtls *old = map_get_str(map, mtls->key);
    struct cluster_namespace *space = root ? NULL : cluster_graph_namespace(graph, ns);
    if (old && cluster_mtls_equal(old, mtls)) {
        cluster_mtls_free(mtls);
        return ERR_OK;
    }
    if ((!root && !space) || !map_set_str(map, mtls->key, mtls, NULL))
        return err_set(err, ERR_NO_MEMORY, "no memory for %s", mtls->key);
    CLUSTER_LIST_ADD(space ? &space->mtls : &graph->mtls_everywhere, mtls, next, link);
    drop_mtls(graph, old);
    graph->mtls_dirty = true;
    return ERR_OK;
}

enum err_code cluster_graph_put_mtls(struct cluster_graph *graph, unsigned group, const char *ns,
                                     const char *name, bool root, const json_t *object,
                                     struct err *err)
{
    struct cluster_mtls *mtls = NULL;
    struct source_arena arena = {0};
    const char *key = source_arena_format(&arena, "%s/%s", ns, name);
    enum err_code code = key ? cluster_mtls_read(key, group, root, object, &mtls, err)
                             : err_set(err, ERR_NO_MEMORY, "no memory for a PeerAuthentication");
    if (code == ERR_OK) {
        code = keep_mtls(graph, group, ns, root, mtls, err);
        if (code != ERR_OK)
            cluster_mtls_free(mtls);
    }
    source_arena_free(&arena);
    return code;
}

void cluster_graph_remove_mtls(struct cluster_graph *graph, unsigned group, const char *key)
{
    drop_mtls(graph, map_remove_str(&graph->mtls[group], key));
}
