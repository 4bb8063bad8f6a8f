#include "control/compile.h"

#include <stdlib.h>
#include <string.h>

#include "control/compile_policy.h"
#include "control/compile_record.h"
#include "control/source_check.h"

struct compiler {
    const struct source_model *model;
    const struct source_guards *guards;
    struct source_arena *arena;
    const char *cluster_id;
    const char **policy_keys;  /* of the model's policies */
    const char **service_keys; /* "namespace/hostname", of the model's services */
    struct compiled *out;
};

static enum err_code no_memory(struct err *err)
{
    return err_set(err, ERR_NO_MEMORY, "no memory for the mesh");
}

/* Adds what an encoder made; takes it. */
static enum err_code add_address(struct compiler *compiler, enum err_code encoded,
                                 struct xds_resource *resource, struct err *err)
{
    if (encoded != ERR_OK)
        return encoded;
    enum err_code code = xds_set_add(compiler->out->addresses, resource, err);
    if (code != ERR_OK)
        xds_resource_unref(resource);
    return code;
}

/* --- policies --------------------------------------------------------------------------------- */

static enum err_code add_policy(struct compiler *compiler, const struct mesh_policy *draft,
                                struct err *err)
{
    struct compiled_policy *made = &compiler->out->policies[compiler->out->policy_count];
    if (compiler->arena->failed)
        return no_memory(err);
    made->scope = draft->scope;
    enum err_code code = compile_policy_resource(draft, &made->resource, err);
    if (code == ERR_OK)
        compiler->out->policy_count++;
    return code;
}

static enum err_code compile_policy(struct compiler *compiler, const struct source_policy *source,
                                    struct err *err)
{
    struct mesh_policy draft;
    compile_policy_draft(compiler->arena, source, &draft);
    return add_policy(compiler, &draft, err);
}

static enum err_code compile_guard(struct compiler *compiler, const struct source_guard *guard,
                                   struct err *err)
{
    struct mesh_policy draft;
    compile_guard_draft(compiler->arena, guard, &draft);
    return add_policy(compiler, &draft, err);
}

/* --- services and workloads ------------------------------------------------------------------- */

static struct addr *addresses_of(struct compiler *compiler, const struct source_addrs *addresses)
{
    struct addr *items = source_arena_array(compiler->arena, addresses->count, sizeof *items);
    for (unsigned i = 0; items && i < addresses->count; i++)
        items[i] = addresses->items[i].ip;
    return items;
}

static struct mesh_port *service_ports(struct compiler *compiler,
                                       const struct source_service *service)
{
    struct mesh_port *ports =
        source_arena_array(compiler->arena, service->ports.count, sizeof *ports);
    for (unsigned i = 0; ports && i < service->ports.count; i++) {
        const struct source_port *port = &service->ports.items[i];
        ports[i].service_port = port->port.value;
        ports[i].target_port = port->target_port.at ? port->target_port.value : port->port.value;
    }
    return ports;
}

static enum err_code compile_service(struct compiler *compiler, unsigned index, struct err *err)
{
    const struct source_service *source = &compiler->model->services.items[index];
    struct xds_resource *resource = NULL;
    const struct mesh_service draft = {
        .name = source->name.text,
        .namespace = source->ns.text,
        .hostname = strchr(compiler->service_keys[index], '/') + 1,
        .addresses = addresses_of(compiler, &source->addresses),
        .address_count = source->addresses.count,
        .ports = service_ports(compiler, source),
        .port_count = source->ports.count,
    };
    if (compiler->arena->failed)
        return no_memory(err);
    enum err_code code = compile_service_resource(&draft, &resource, err);
    code = add_address(compiler, code, resource, err);
    compiler->out->service_count++;
    return code;
}

static void link_services(struct compiler *compiler, const struct source_workload *workload,
                          struct mesh_workload *draft)
{
    const struct source_model *model = compiler->model;
    struct mesh_link *links =
        source_arena_array(compiler->arena, model->services.count, sizeof *links);
    for (unsigned i = 0; links && i < model->services.count; i++) {
        const struct source_service *service = &model->services.items[i];
        if (!source_check_serves(service, workload))
            continue;
        struct mesh_link *link = &links[draft->link_count++];
        link->service = compiler->service_keys[i];
        link->ports = service_ports(compiler, service);
        link->port_count = service->ports.count;
    }
    draft->links = links;
}

/* The policies that a record names are those that select it. */
static void link_policies(struct compiler *compiler, unsigned index,
                          const struct source_workload *workload, struct mesh_workload *draft)
{
    const struct source_model *model = compiler->model;
    const struct source_guard *guard = compiler->guards->of_workload[index];
    const char **keys =
        source_arena_array(compiler->arena, model->policies.count + 1, sizeof *keys);
    draft->policies = keys;
    if (!source_check_in_mesh(workload))
        return; /* nobody is there to decide */
    for (unsigned i = 0; keys && i < model->policies.count; i++) {
        const struct source_policy *policy = &model->policies.items[i];
        if (policy->selector.at && source_check_guards(&policy->ns, &policy->selector, workload))
            keys[draft->policy_count++] = compiler->policy_keys[i];
    }
    if (keys && guard)
        keys[draft->policy_count++] = guard->key;
}

static struct mesh_label *labels_of(struct compiler *compiler, const struct source_labels *labels)
{
    struct mesh_label *items = source_arena_array(compiler->arena, labels->count, sizeof *items);
    for (unsigned i = 0; items && i < labels->count; i++)
        items[i] = (struct mesh_label){labels->items[i].key, labels->items[i].value};
    return items;
}

/* One more workload whose proxy will call. */
static bool count_identity(struct compiler *compiler, const struct mesh_workload *draft)
{
    struct map *identities = &compiler->out->identities;
    const char *key =
        source_arena_format(compiler->arena, "%s/%s", draft->namespace, draft->service_account);
    uintptr_t count = key ? (uintptr_t)map_get_str(identities, key) : 0;
    return key && map_set_str(identities, key, (void *)(count + 1), NULL);
}

static enum err_code compile_workload(struct compiler *compiler, unsigned index, struct err *err)
{
    const struct source_workload *source = &compiler->model->workloads.items[index];
    struct xds_resource *resource = NULL;
    const char *ns = source->ns.text, *name = source->name.text;
    const struct mesh_label *labels = labels_of(compiler, &source->labels);
    unsigned label_count = labels ? source->labels.count : 0;
    struct mesh_workload draft = {
        .uid = compile_pod_uid(compiler->arena, compiler->cluster_id, ns, name),
        .name = name,
        .namespace = ns,
        .service_account = source->service_account.at ? source->service_account.text : "default",
        .cluster = compiler->cluster_id,
        .canonical_name = compile_canonical_name(labels, label_count, name),
        .canonical_revision = compile_canonical_revision(labels, label_count, "latest"),
        .workload_name = name,
        .type = MESH_TYPE_POD,
        .tunnel = source_check_in_mesh(source) ? MESH_TUNNEL_LEGACY_MTLS : MESH_TUNNEL_NONE,
        .addresses = addresses_of(compiler, &source->addresses),
        .address_count = source->addresses.count,
        .labels = labels,
        .label_count = label_count,
    };
    link_services(compiler, source, &draft);
    link_policies(compiler, index, source, &draft);
    if (source_check_in_mesh(source) && !count_identity(compiler, &draft))
        return no_memory(err);
    if (compiler->arena->failed)
        return no_memory(err);
    enum err_code code =
        compile_workload_resource(&draft, compiler->model->trust_domain.text, &resource, err);
    code = add_address(compiler, code, resource, err);
    compiler->out->workload_count++;
    return code;
}

/* --- all of it ------------------------------------------------------------------------------- */

static bool make_keys(struct compiler *compiler)
{
    const struct source_model *model = compiler->model;
    struct source_arena *arena = compiler->arena;
    compiler->policy_keys =
        source_arena_array(arena, model->policies.count + 1, sizeof *compiler->policy_keys);
    compiler->service_keys =
        source_arena_array(arena, model->services.count + 1, sizeof *compiler->service_keys);
    for (unsigned i = 0; !arena->failed && i < model->policies.count; i++) {
        const struct source_policy *policy = &model->policies.items[i];
        compiler->policy_keys[i] = source_arena_format(
            arena, "%s/%s", policy->ns.at ? policy->ns.text : "", policy->name.text);
    }
    for (unsigned i = 0; !arena->failed && i < model->services.count; i++) {
        const struct source_service *service = &model->services.items[i];
        compiler->service_keys[i] =
            compile_service_key(arena, service->ns.text, service->name.text);
    }
    return !arena->failed;
}

/* A record that the mesh's own rules refuse is a mistake of the file, with a place. */
static enum err_code place(struct source *source, const struct source_node *at, enum err_code code,
                           const struct err *err)
{
    if (code == ERR_OK || code == ERR_NO_MEMORY)
        return code;
    source_report_error(&source->report, at->line, at->column, "%.300s", err->text);
    return ERR_MESH_FILE;
}

static enum err_code compile_all(struct compiler *compiler, struct source *source, struct err *err)
{
    const struct source_model *model = compiler->model;
    enum err_code code = ERR_OK;
    for (unsigned i = 0; code == ERR_OK && i < model->services.count; i++)
        code = place(source, model->services.items[i].at, compile_service(compiler, i, err), err);
    for (unsigned i = 0; code == ERR_OK && i < model->workloads.count; i++) {
        /* What one record is made of is not needed for the next. */
        struct source_arena scratch = {0}, *outer = compiler->arena;
        compiler->arena = &scratch;
        code = place(source, model->workloads.items[i].at, compile_workload(compiler, i, err), err);
        compiler->arena = outer;
        source_arena_free(&scratch);
    }
    for (unsigned i = 0; code == ERR_OK && i < model->policies.count; i++)
        code = place(source, model->policies.items[i].at,
                     compile_policy(compiler, &model->policies.items[i], err), err);
    for (const struct source_guard *guard = compiler->guards->first; code == ERR_OK && guard;
         guard = guard->next)
        code = place(source, model->mtls_list.at, compile_guard(compiler, guard, err), err);
    return code;
}

enum err_code compile_source(struct source *source, const char *cluster_id, struct compiled *out,
                             struct err *err)
{
    unsigned policies = source->model.policies.count;
    for (const struct source_guard *guard = source->guards.first; guard; guard = guard->next)
        policies++;
    struct compiled made = {.addresses = xds_set_new(),
                            .policies = calloc(policies + 1, sizeof *made.policies)};
    struct compiler compiler = {.model = &source->model,
                                .guards = &source->guards,
                                .arena = &source->arena,
                                .cluster_id = cluster_id,
                                .out = &made};
    enum err_code code =
        made.addresses && made.policies && make_keys(&compiler) ? ERR_OK : no_memory(err);
    if (code == ERR_OK)
        code = compile_all(&compiler, source, err);
    if (code == ERR_OK)
        *out = made;
    else
        compiled_deinit(&made);
    return code;
}

void compiled_deinit(struct compiled *compiled)
{
    xds_set_free(compiled->addresses);
    for (unsigned i = 0; i < compiled->policy_count; i++)
        xds_resource_unref(compiled->policies[i].resource);
    free(compiled->policies);
    map_deinit(&compiled->identities);
    *compiled = (struct compiled){0};
}
