/* istio.security.Authorization that cannot be decoded -> struct mesh_policy that says so. */
#include <string.h>

#include "istio/security/authorization.pb-c.h"
#include "mesh/unreadable.h"
#include "xds/decode.h"
#include "xds/wire.h"

/* A namespace's own policy and none of another's, where the scope is not known: who may write
 * policies in one namespace must not be able to hold up the others. */
static void guess_scope(const Istio__Security__AuthorizationHead *head, const char *name_space,
                        struct mesh_unreadable *record)
{
    record->namespace = head && *head->namespace_ ? head->namespace_ : name_space;
    if (head && head->scope == ISTIO__SECURITY__SCOPE__WORKLOAD_SELECTOR)
        record->scope = MESH_SCOPE_WORKLOAD;
    else if (!*record->namespace || (head && head->scope == ISTIO__SECURITY__SCOPE__GLOBAL))
        record->scope = MESH_SCOPE_GLOBAL;
    else
        record->scope = MESH_SCOPE_NAMESPACE;
    record->dry_run = head && head->dry_run;
}

enum err_code xds_decode_unreadable(const char *name, const void *data, size_t len, const char *why,
                                    struct mesh_policy **out, struct err *err)
{
    struct err local;
    struct mesh_unreadable record = {.key = name, .why = why};
    struct xds_arena arena;
    err = err ? err : &local;
    xds_arena_init(&arena);
    err->code = ERR_OK;
    const Istio__Security__AuthorizationHead *head =
        data ? xds_unpack(&arena, &istio__security__authorization_head__descriptor, data, len,
                          XDS_GROWTH_RESOURCE, err)
             : NULL;
    const char *slash = strchr(name, '/');
    size_t space_len = slash ? (size_t)(slash - name) : 0;
    char *space = xds_arena_take(&arena, space_len + 1);
    enum err_code code = ERR_NO_MEMORY;
    if (space && (head || err->code != ERR_NO_MEMORY)) {
        memcpy(space, name, space_len);
        guess_scope(head, space, &record);
        code = mesh_unreadable_new(&record, out, err);
    } else {
        err_set(err, code, "out of memory for policy %.128s", name);
    }
    xds_arena_deinit(&arena);
    return code;
}
