#include "xds/node.h"

#include <string.h>

#include "base/addr.h"

/* Cuts the next part off *rest at `~`: its length, with *part where it begins. False: there is
 * none. */
static bool next_part(const char **rest, const char **part, size_t *len)
{
    if (!*rest)
        return false;
    const char *end = strchr(*rest, '~');
    *part = *rest;
    *len = end ? (size_t)(end - *rest) : strlen(*rest);
    *rest = end ? end + 1 : NULL;
    return true;
}

static bool is_address(const char *text, size_t len)
{
    char copy[ADDR_TEXT_MAX];
    struct addr ip;
    if (len >= sizeof copy)
        return false;
    memcpy(copy, text, len);
    copy[len] = 0;
    return addr_parse(&ip, copy);
}

enum err_code xds_node_check(const char *id, const char *namespace, struct err *err)
{
    const char *rest = id, *parts[4];
    size_t lens[4];
    for (int i = 0; i < 4; i++) {
        if (!next_part(&rest, &parts[i], &lens[i]))
            return err_set(err, ERR_XDS_NODE, "node `%.128s` has %d parts, expected 4", id, i);
    }
    if (rest)
        return err_set(err, ERR_XDS_NODE, "node `%.128s` has more than 4 parts", id);
    if (lens[0] == 0)
        return err_set(err, ERR_XDS_NODE, "node `%.128s` does not say what kind it is", id);
    if (!is_address(parts[1], lens[1]))
        return err_set(err, ERR_XDS_NODE, "node `%.128s` names no IP address", id);

    size_t want = strlen(namespace);
    /* A pod's name may hold dots, a namespace may not: the last one divides them. */
    if (lens[2] < want + 2 || parts[2][lens[2] - want - 1] != '.' ||
        memcmp(parts[2] + lens[2] - want, namespace, want) != 0)
        return err_set(err, ERR_XDS_NODE, "node `%.128s` is not a pod of the token's namespace %s",
                       id, namespace);
    if (lens[3] < want + 5 || memcmp(parts[3], namespace, want) != 0 ||
        memcmp(parts[3] + want, ".svc.", 5) != 0)
        return err_set(err, ERR_XDS_NODE,
                       "node `%.128s` is not in the domain of the token's namespace %s", id,
                       namespace);
    return ERR_OK;
}
