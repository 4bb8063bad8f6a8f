#include "control/cluster_pod.h"

#include <stdio.h>
#include <string.h>

#include "control/cluster_json.h"
#include "control/compile_record.h"

/* --- the parts of a pod ----------------------------------------------------------------------- */

static bool has_container(const json_t *object, const char *list, const char *name)
{
    size_t index;
    const json_t *container, *containers = cluster_json_at(object, list);
    json_array_foreach(containers, index, container)
    {
        const char *found = cluster_json_text(container, "name");
        if (found && strcmp(found, name) == 0)
            return true;
    }
    return false;
}

static bool is_injected(const json_t *object)
{
    const json_t *annotations = cluster_json_at(object, "metadata.annotations");
    return json_object_get(annotations, "handfast.io/status") ||
           has_container(object, "spec.containers", "handfast-proxy") ||
           has_container(object, "spec.initContainers", "handfast-proxy");
}

static bool is_ready(const json_t *object)
{
    size_t index;
    const json_t *condition, *conditions = cluster_json_at(object, "status.conditions");
    json_array_foreach(conditions, index, condition)
    {
        const char *type = cluster_json_text(condition, "type");
        const char *status = cluster_json_text(condition, "status");
        if (type && status && strcmp(type, "Ready") == 0)
            return strcmp(status, "True") == 0;
    }
    return false;
}

static bool is_finished(const json_t *object)
{
    const char *phase = cluster_json_text(object, "status.phase");
    return phase && (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0);
}

/* status.podIPs, each once; without it status.podIP, its first. */
static void read_addresses(struct source_arena *arena, const json_t *object,
                           struct mesh_workload *draft)
{
    size_t index;
    const json_t *item, *list = cluster_json_at(object, "status.podIPs");
    struct addr *items = source_arena_array(arena, json_array_size(list) + 1, sizeof *items);
    const char *first = cluster_json_text(object, "status.podIP");
    if (!items)
        return;
    if (json_array_size(list) == 0 && first && addr_parse(&items[0], first))
        draft->address_count = 1;
    json_array_foreach(list, index, item)
    {
        struct addr *ip = &items[draft->address_count];
        const char *text = cluster_json_text(item, "ip");
        bool good = text && addr_parse(ip, text) && !addr_is_unspecified(ip);
        for (unsigned i = 0; good && i < draft->address_count; i++)
            good = !addr_equal(&items[i], ip);
        draft->address_count += good;
    }
    draft->addresses = items;
}

static void read_labels(struct source_arena *arena, const json_t *object,
                        struct mesh_workload *draft)
{
    const char *key;
    const json_t *value, *labels = cluster_json_at(object, "metadata.labels");
    struct mesh_label *items =
        source_arena_array(arena, json_object_size(labels) + 1, sizeof *items);
    if (!items)
        return;
    json_object_foreach((json_t *)(uintptr_t)labels, key, value)
    {
        if (json_is_string(value))
            items[draft->label_count++] = (struct mesh_label){key, json_string_value(value)};
    }
    draft->labels = items;
}

/* --- who made it ------------------------------------------------------------------------------ */

static const json_t *controller_of(const json_t *object)
{
    size_t index;
    const json_t *owner, *owners = cluster_json_at(object, "metadata.ownerReferences");
    json_array_foreach(owners, index, owner)
    {
        if (cluster_json_flag(owner, "controller", false))
            return owner;
    }
    return NULL;
}

/* "web-5d4f8c7b9d" without the hash that the pod's label names: the Deployment. */
static const char *without_hash(struct source_arena *arena, const json_t *object, const char *owner)
{
    const json_t *labels = cluster_json_at(object, "metadata.labels");
    const char *hash = json_string_value(json_object_get(labels, "pod-template-hash"));
    size_t len = strlen(owner), tail = hash ? strlen(hash) : 0;
    if (tail == 0 || len < tail + 2 || owner[len - tail - 1] != '-' ||
        strcmp(owner + len - tail, hash) != 0)
        return NULL;
    return source_arena_text(arena, owner, len - tail - 1);
}

/* A CronJob's Jobs are called after the minute they were due in: "report-29482560". */
static const char *without_minute(struct source_arena *arena, const char *owner)
{
    const char *dash = strrchr(owner, '-');
    size_t digits = dash ? strspn(dash + 1, "0123456789") : 0;
    if (!dash || dash == owner || digits < 8 || digits > 10 || dash[1 + digits] != 0)
        return NULL;
    return source_arena_text(arena, owner, (size_t)(dash - owner));
}

static void read_owner(struct source_arena *arena, const json_t *object,
                       struct mesh_workload *draft)
{
    const json_t *owner = controller_of(object);
    const char *kind = cluster_json_text(owner, "kind"), *name = cluster_json_text(owner, "name");
    const char *maker = NULL;
    draft->workload_name = draft->name;
    draft->type = MESH_TYPE_POD;
    if (!kind || !name || strcmp(kind, "Node") == 0)
        return; /* a static pod is its own */
    if (strcmp(kind, "ReplicaSet") == 0) {
        maker = without_hash(arena, object, name);
        draft->type = maker ? MESH_TYPE_DEPLOYMENT : MESH_TYPE_POD;
    } else if (strcmp(kind, "Job") == 0) {
        maker = without_minute(arena, name);
        draft->type = maker ? MESH_TYPE_CRONJOB : MESH_TYPE_JOB;
    }
    draft->workload_name = maker ? maker : name;
}

/* --- all of it -------------------------------------------------------------------------------- */

static enum err_code make(struct source_arena *arena, const char *cluster_id, const char *ns,
                          const char *name, const json_t *object, struct cluster_pod *out,
                          struct err *err)
{
    bool host = cluster_json_flag(object, "spec.hostNetwork", false);
    const char *created = cluster_json_text(object, "metadata.creationTimestamp");
    struct mesh_workload draft = {
        .uid = compile_pod_uid(arena, cluster_id, ns, name),
        .name = name,
        .namespace = ns,
        .service_account = cluster_json_text(object, "spec.serviceAccountName"),
        .node = cluster_json_text(object, "spec.nodeName"),
        .cluster = cluster_id,
        .network_mode = host ? MESH_NETWORK_HOST : MESH_NETWORK_STANDARD,
        .tunnel = !host && is_injected(object) ? MESH_TUNNEL_LEGACY_MTLS : MESH_TUNNEL_NONE,
    };
    read_addresses(arena, object, &draft);
    read_labels(arena, object, &draft);
    read_owner(arena, object, &draft);
    if (!draft.service_account)
        draft.service_account = "default";
    draft.canonical_name =
        compile_canonical_name(draft.labels, draft.label_count, draft.workload_name);
    draft.canonical_revision =
        compile_canonical_revision(draft.labels, draft.label_count, "latest");
    out->ready = is_ready(object);
    out->terminating = cluster_json_text(object, "metadata.deletionTimestamp") != NULL;
    snprintf(out->created, sizeof out->created, "%s", created ? created : "");
    draft.status = out->ready && !out->terminating ? MESH_HEALTHY : MESH_UNHEALTHY;
    if (arena->failed)
        return err_set(err, ERR_NO_MEMORY, "no memory for pod %s/%s", ns, name);
    if (draft.address_count == 0)
        return ERR_OK;
    return mesh_workload_new(&draft, &out->workload, err);
}

enum err_code cluster_pod_read(const char *cluster_id, const char *ns, const char *name,
                               const json_t *object, struct cluster_pod *out, struct err *err)
{
    struct source_arena arena = {0};
    *out = (struct cluster_pod){0};
    enum err_code code = ERR_OK;
    if (!is_finished(object))
        code = make(&arena, cluster_id, ns, name, object, out, err);
    source_arena_free(&arena);
    return code;
}

static bool equal_texts(const struct mesh_workload *a, const struct mesh_workload *b)
{
    return strcmp(a->uid, b->uid) == 0 && strcmp(a->service_account, b->service_account) == 0 &&
           strcmp(a->node, b->node) == 0 && strcmp(a->canonical_name, b->canonical_name) == 0 &&
           strcmp(a->canonical_revision, b->canonical_revision) == 0 &&
           strcmp(a->workload_name, b->workload_name) == 0;
}

static bool equal_lists(const struct mesh_workload *a, const struct mesh_workload *b)
{
    if (a->address_count != b->address_count || a->label_count != b->label_count)
        return false;
    for (unsigned i = 0; i < a->address_count; i++) {
        if (!addr_equal(&a->addresses[i], &b->addresses[i]))
            return false;
    }
    for (unsigned i = 0; i < a->label_count; i++) {
        const char *other = mesh_workload_label(b, a->labels[i].key);
        if (!other || strcmp(other, a->labels[i].value) != 0)
            return false;
    }
    return true;
}

bool cluster_pod_equal(const struct cluster_pod *a, const struct cluster_pod *b)
{
    const struct mesh_workload *left = a->workload, *right = b->workload;
    if (!left || !right)
        return left == right;
    return a->ready == b->ready && a->terminating == b->terminating &&
           strcmp(a->created, b->created) == 0 && left->type == right->type &&
           left->tunnel == right->tunnel && left->network_mode == right->network_mode &&
           left->status == right->status && equal_texts(left, right) && equal_lists(left, right);
}

void cluster_pod_deinit(struct cluster_pod *pod)
{
    mesh_workload_unref(pod->workload);
    *pod = (struct cluster_pod){0};
}
