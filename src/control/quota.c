#include "control/quota.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "token/token.h"

static const char *const kinds[QUOTA_KINDS] = {"connections", "streams",
                                               "requests for certificates"};

unsigned quota_places(uint64_t files)
{
    uint64_t spare = files > QUOTA_FILES_SPARE ? files - QUOTA_FILES_SPARE : 0;
    uint64_t places = spare / QUOTA_FILES_PER_PLACE;
    if (places > QUOTA_PLACES_MAX)
        return QUOTA_PLACES_MAX;
    return places < QUOTA_PLACES_MIN ? QUOTA_PLACES_MIN : (unsigned)places;
}

void quota_init(struct quota *quota, unsigned places)
{
    *quota = (struct quota){.places = places};
    map_init(&quota->callers);
    map_init(&quota->expected);
}

void quota_deinit(struct quota *quota)
{
    map_deinit(&quota->callers);
    map_deinit(&quota->expected);
}

static void set_expected(struct quota_caller *caller)
{
    caller->expected = (unsigned)(uintptr_t)map_get_str(&caller->quota->expected, caller->key);
    caller->names.max =
        QUOTA_NAMES_BYTES + caller->expected * (size_t)QUOTA_NAMES_BYTES_PER_WORKLOAD;
}

void quota_expect(struct quota *quota, struct map *workloads)
{
    size_t position = 0;
    map_deinit(&quota->expected);
    quota->expected = *workloads;
    map_init(workloads);
    for (struct map_entry *at; (at = map_next(&quota->callers, &position));)
        set_expected(at->value);
}

/* What the identity holds beyond what is expected of it. */
static unsigned excess(const struct quota_caller *caller, enum quota_kind kind)
{
    unsigned expected = caller->expected * QUOTA_PER_WORKLOAD;
    return caller->held[kind] > expected ? caller->held[kind] - expected : 0;
}

/* The pool holds one more for this identity. A walk over everybody, but only for who asks for more
 * than is expected. */
static bool pool_has(const struct quota *quota, const struct quota_caller *caller,
                     enum quota_kind kind)
{
    unsigned taken = 1, its = excess(caller, kind) + 1, pool = quota->places / 2;
    size_t position = 0;
    for (struct map_entry *at; (at = map_next(&quota->callers, &position));)
        taken += excess(at->value, kind);
    return taken <= pool && its <= pool - taken;
}

static struct quota_caller *find_or_add(struct quota *quota, const char *ns,
                                        const char *service_account)
{
    char key[2 * TOKEN_NAME_MAX];
    snprintf(key, sizeof key, "%s/%s", ns, service_account);
    struct quota_caller *caller = map_get_str(&quota->callers, key);
    if (caller)
        return caller;
    caller = calloc(1, sizeof *caller + strlen(key) + 1);
    if (!caller || !map_set_str(&quota->callers, key, caller, NULL)) {
        free(caller);
        return NULL;
    }
    caller->quota = quota;
    strcpy(caller->key, key);
    set_expected(caller);
    return caller;
}

static void forget_if_idle(struct quota_caller *caller)
{
    for (int kind = 0; kind < QUOTA_KINDS; kind++) {
        if (caller->held[kind] > 0)
            return;
    }
    map_remove_str(&caller->quota->callers, caller->key);
    free(caller);
}

enum err_code quota_take(struct quota *quota, enum quota_kind kind, const char *ns,
                         const char *service_account, struct quota_caller **out, struct err *err)
{
    struct quota_caller *caller = find_or_add(quota, ns, service_account);
    if (!caller)
        return err_set(err, ERR_NO_MEMORY, "no memory to count what %s/%s holds", ns,
                       service_account);
    unsigned expected = caller->expected * QUOTA_PER_WORKLOAD;
    if (caller->held[kind] < expected || pool_has(quota, caller, kind)) {
        caller->held[kind]++;
        *out = caller;
        return ERR_OK;
    }
    err_set(err, ERR_QUOTA,
            "%s holds %u %s already: %d for each of the %u workloads that the mesh lists for it, "
            "and its share of the %u for workloads that are not listed",
            caller->key, caller->held[kind], kinds[kind], QUOTA_PER_WORKLOAD, caller->expected,
            quota->places / 2);
    forget_if_idle(caller);
    return ERR_QUOTA;
}

void quota_give(struct quota_caller *caller, enum quota_kind kind)
{
    caller->held[kind]--;
    forget_if_idle(caller);
}
