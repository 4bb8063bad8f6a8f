#include "mesh/builder.h"

#include <stdlib.h>
#include <string.h>

#include "mesh/indexes.h"

struct mesh_builder {
    struct mesh_snapshot *next; /* without indexes until it is finished */
};

struct mesh_builder *mesh_builder_new(struct mesh_snapshot *base)
{
    struct mesh_builder *builder = calloc(1, sizeof *builder);
    struct mesh_snapshot *next = calloc(1, sizeof *next);
    if (!builder || !next) {
        free(builder);
        free(next);
        return NULL;
    }
    ref_init(&next->ref);
    next->generation = base->generation + 1;
    next->age = base->age;
    next->trust_domain = strdup(base->trust_domain);
    builder->next = next;
    if (!next->trust_domain || !mesh_table_copy(&next->workloads, &base->workloads) ||
        !mesh_table_copy(&next->services, &base->services) ||
        !mesh_table_copy(&next->policies, &base->policies)) {
        mesh_builder_free(builder);
        return NULL;
    }
    return builder;
}

void mesh_builder_free(struct mesh_builder *builder)
{
    if (!builder)
        return;
    mesh_snapshot_unref(builder->next);
    free(builder);
}

bool mesh_builder_put_workload(struct mesh_builder *builder, struct mesh_workload *workload)
{
    return mesh_table_put(&builder->next->workloads, (struct mesh_record *)(void *)workload,
                          ++builder->next->age);
}

bool mesh_builder_put_service(struct mesh_builder *builder, struct mesh_service *service)
{
    return mesh_table_put(&builder->next->services, (struct mesh_record *)(void *)service,
                          ++builder->next->age);
}

bool mesh_builder_put_policy(struct mesh_builder *builder, struct mesh_policy *policy)
{
    return mesh_table_put(&builder->next->policies, (struct mesh_record *)(void *)policy,
                          ++builder->next->age);
}

bool mesh_builder_put_unreadable(struct mesh_builder *builder, struct mesh_policy *policy)
{
    int64_t index = mesh_table_find(&builder->next->policies, policy->key, policy->hash);
    if (index >= 0 && !mesh_policy_of(builder->next, (uint32_t)index)->unreadable)
        return true;
    return mesh_builder_put_policy(builder, policy);
}

bool mesh_builder_remove_address(struct mesh_builder *builder, const char *name)
{
    return mesh_table_remove(&builder->next->workloads, name) ||
           mesh_table_remove(&builder->next->services, name);
}

bool mesh_builder_remove_policy(struct mesh_builder *builder, const char *key)
{
    return mesh_table_remove(&builder->next->policies, key);
}

enum err_code mesh_builder_finish(struct mesh_builder *builder, struct mesh_snapshot **out,
                                  struct err *err)
{
    struct mesh_snapshot *next = builder->next;
    free(builder);
    if (!mesh_indexes_make(next)) {
        mesh_snapshot_unref(next);
        return err_set(err, ERR_NO_MEMORY, "out of memory for the indexes of a mesh snapshot");
    }
    *out = next;
    return ERR_OK;
}
