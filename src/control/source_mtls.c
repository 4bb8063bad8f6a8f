#include "control/source_mtls.h"

#include <string.h>

#include "control/source_check.h"

struct resolver {
    struct source_arena *arena;
    const struct source_model *model;
    struct source_guards *guards;
    struct source_report *report;
    bool *reported; /* for each entry: its conflict is known already */
    struct source_guard *last;
};

static bool is_strict(const struct source_mtls *entry)
{
    return entry->mode.text && entry->mode.text[0] == 's';
}

static unsigned rank_of(const struct source_mtls *entry, bool by_port)
{
    unsigned scope = entry->selector.at ? 2 : entry->ns.at ? 1 : 0;
    return 1 + scope * 2 + (by_port ? 1 : 0);
}

/* `workload` NULL: the whole namespace `ns`, in which no selector is in play; both NULL: the mesh.
 */
static bool applies(const struct source_mtls *entry, const char *ns,
                    const struct source_workload *workload)
{
    if (workload)
        return source_check_guards(&entry->ns, &entry->selector, workload);
    return !entry->ns.at || (entry->ns.text && ns && strcmp(entry->ns.text, ns) == 0);
}

static bool lists_port(const struct source_mtls *entry, uint16_t port)
{
    for (unsigned i = 0; i < entry->ports.count; i++) {
        if (entry->ports.items[i].value == port)
            return true;
    }
    return false;
}

static void conflict(struct resolver *resolver, unsigned index, const struct source_mtls *first)
{
    const struct source_mtls *entry = &resolver->model->mtls_list.items[index];
    if (resolver->reported[index])
        return;
    resolver->reported[index] = true;
    source_report_error(resolver->report, entry->mode.at->line, entry->mode.at->column,
                        "mode: found %s, expected %s as in line %u: both entries apply to the "
                        "same workloads, and neither is more specific",
                        entry->mode.text, first->mode.text, first->mode.at->line);
}

/* The mode on `port`, or on every port that no entry lists (0). */
static bool strict_on(struct resolver *resolver, const char *ns,
                      const struct source_workload *workload, uint16_t port)
{
    const struct source_mtls *best = NULL;
    unsigned best_rank = 0;
    for (unsigned i = 0; i < resolver->model->mtls_list.count; i++) {
        const struct source_mtls *entry = &resolver->model->mtls_list.items[i];
        bool by_port = entry->ports.at != NULL;
        if (!entry->mode.text || (by_port && (port == 0 || !lists_port(entry, port))) ||
            !applies(entry, ns, workload))
            continue;
        unsigned rank = rank_of(entry, by_port);
        if (rank == best_rank && is_strict(entry) != is_strict(best))
            conflict(resolver, i, best);
        if (rank > best_rank) {
            best = entry;
            best_rank = rank;
        }
    }
    return best && is_strict(best);
}

/* Ports whose mode differs from that of all others. */
static void find_exceptions(struct resolver *resolver, const char *ns,
                            const struct source_workload *workload, struct source_guard *guard)
{
    const struct source_model *model = resolver->model;
    unsigned room = 0, used = 0;
    for (unsigned i = 0; i < model->mtls_list.count; i++)
        room += applies(&model->mtls_list.items[i], ns, workload)
                    ? model->mtls_list.items[i].ports.count
                    : 0;
    uint16_t *ports = room ? source_arena_array(resolver->arena, room, sizeof *ports) : NULL;
    for (unsigned i = 0; ports && i < model->mtls_list.count; i++) {
        const struct source_mtls *entry = &model->mtls_list.items[i];
        for (unsigned j = 0; j < entry->ports.count && applies(entry, ns, workload); j++) {
            uint16_t port = entry->ports.items[j].value;
            if (port && strict_on(resolver, ns, workload, port) != guard->all_ports)
                ports[used++] = port;
        }
    }
    guard->ports = ports;
    guard->port_count = used;
}

/* The policy for a workload, a namespace or the mesh; NULL when everything is permissive. */
static const struct source_guard *guard_for(struct resolver *resolver, enum mesh_scope scope,
                                            const char *ns, const struct source_workload *workload)
{
    struct source_guard guard = {.scope = scope, .ns = ns ? ns : ""};
    guard.all_ports = strict_on(resolver, ns, workload, 0);
    find_exceptions(resolver, ns, workload, &guard);
    if (!guard.all_ports && guard.port_count == 0)
        return NULL;
    source_guard_name(resolver->arena, &guard, "strict-mtls");
    if (!guard.key)
        return NULL;
    for (const struct source_guard *other = resolver->guards->first; other; other = other->next) {
        if (strcmp(other->key, guard.key) == 0)
            return other;
    }
    struct source_guard *made = source_arena_take(resolver->arena, sizeof *made);
    if (!made)
        return NULL;
    *made = guard;
    if (resolver->last)
        resolver->last->next = made;
    else
        resolver->guards->first = made;
    resolver->last = made;
    return made;
}

/* Some entry picks workloads by label in this namespace (in any, for NULL). */
static bool selects_in(const struct source_model *model, const char *ns)
{
    for (unsigned i = 0; i < model->mtls_list.count; i++) {
        const struct source_mtls *entry = &model->mtls_list.items[i];
        if (entry->selector.at &&
            (!ns || !entry->ns.at || (entry->ns.text && strcmp(entry->ns.text, ns) == 0)))
            return true;
    }
    return false;
}

static bool names_namespaces(const struct source_model *model)
{
    for (unsigned i = 0; i < model->mtls_list.count; i++) {
        if (model->mtls_list.items[i].ns.at)
            return true;
    }
    return false;
}

void source_mtls_resolve(struct source_arena *arena, const struct source_model *model,
                         struct source_guards *guards, struct source_report *report)
{
    struct resolver resolver = {.arena = arena, .model = model, .guards = guards, .report = report};
    guards->of_workload =
        source_arena_array(arena, model->workloads.count + 1, sizeof *guards->of_workload);
    resolver.reported = source_arena_array(arena, model->mtls_list.count + 1, sizeof(bool));
    if (!guards->of_workload || !resolver.reported || model->mtls_list.count == 0)
        return;
    if (!selects_in(model, NULL) && !names_namespaces(model)) {
        guard_for(&resolver, MESH_SCOPE_GLOBAL, NULL, NULL);
        return;
    }
    for (unsigned i = 0; i < model->workloads.count; i++) {
        const struct source_workload *workload = &model->workloads.items[i];
        if (!workload->ns.text || !source_check_in_mesh(workload))
            continue;
        if (selects_in(model, workload->ns.text))
            guards->of_workload[i] =
                guard_for(&resolver, MESH_SCOPE_WORKLOAD, workload->ns.text, workload);
        else
            guard_for(&resolver, MESH_SCOPE_NAMESPACE, workload->ns.text, NULL);
    }
}
