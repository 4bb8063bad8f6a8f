#include "mesh/unreadable.h"

#include <stdlib.h>
#include <string.h>

#include "mesh/block.h"

static void lay_out(const struct mesh_unreadable *from, struct mesh_block *block)
{
    struct mesh_policy *out = mesh_block_take(block, sizeof *out);
    const char *slash = strchr(from->key, '/');
    const struct mesh_policy copy = {
        .key = mesh_block_text(block, from->key),
        .name = mesh_block_text(block, slash ? slash + 1 : from->key),
        .namespace =
            mesh_block_text(block, from->scope == MESH_SCOPE_NAMESPACE ? from->namespace : ""),
        .scope = from->scope,
        .dry_run = from->dry_run,
        .unreadable = mesh_block_text(block, from->why),
    };
    if (out) {
        *out = copy;
        ref_init(&out->ref);
        out->hash = mesh_hash(out->key);
    }
}

enum err_code mesh_unreadable_new(const struct mesh_unreadable *from, struct mesh_policy **out,
                                  struct err *err)
{
    struct mesh_block block = {0};
    lay_out(from, &block);
    block.base = malloc(block.used);
    if (!block.base)
        return err_set(err, ERR_NO_MEMORY, "out of memory for policy %.128s", from->key);
    block.used = 0;
    lay_out(from, &block);
    *out = (struct mesh_policy *)(void *)block.base;
    return ERR_OK;
}
