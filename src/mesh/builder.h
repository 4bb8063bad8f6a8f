/* Derives the next snapshot from the last one and a set of changes. Records are shared, not copied:
 * only the indexes are made anew. One thread; the base snapshot stays as it is. */
#ifndef MESH_BUILDER_H
#define MESH_BUILDER_H

#include "mesh/snapshot.h"

struct mesh_builder;

/* Starts from `base`, of which it takes a reference of its own. NULL: out of memory. */
struct mesh_builder *mesh_builder_new(struct mesh_snapshot *base);
/* Gives up; NULL is allowed. */
void mesh_builder_free(struct mesh_builder *builder);

/* Adds the record or puts it in the place of the one with the same key; the builder takes a
 * reference of its own. False: out of memory, the builder is as before. */
bool mesh_builder_put_workload(struct mesh_builder *builder, struct mesh_workload *workload);
bool mesh_builder_put_service(struct mesh_builder *builder, struct mesh_service *service);
bool mesh_builder_put_policy(struct mesh_builder *builder, struct mesh_policy *policy);
/* The same for what mesh_unreadable_new() made, except that a policy of that key which could be
 * read stays in force: it is the last that is known to have been wanted. */
bool mesh_builder_put_unreadable(struct mesh_builder *builder, struct mesh_policy *policy);

/* Takes out a workload (by uid) or a service (by "namespace/hostname"), as a removed Address
 * resource names either; false when there is neither. */
bool mesh_builder_remove_address(struct mesh_builder *builder, const char *name);
bool mesh_builder_remove_policy(struct mesh_builder *builder, const char *key);

/* Makes the snapshot and frees the builder, also on failure. The caller owns the one reference.
 * ERR_NO_MEMORY. */
enum err_code mesh_builder_finish(struct mesh_builder *builder, struct mesh_snapshot **out,
                                  struct err *err);

#endif
