/* What the control plane publishes: for each type the present resources and the order in which they
 * last changed. A change moves its resource to the end of that order, so what a stream still has to
 * send is whatever lies behind the stream's place in it: changes merge by themselves and a slow
 * stream costs no memory. A removed resource leaves a tombstone until every stream has passed it.
 * Loop thread. */
#ifndef XDS_STORE_H
#define XDS_STORE_H

#include "base/map.h"
#include "xds/index.h"
#include "xds/resource.h"
#include "xds/types.h"

/* All resources of one type, being put together, or what changes among them. */
struct xds_set;

struct xds_set *xds_set_new(void);
/* A set of changes: what is neither added nor removed stays as it is. */
struct xds_set *xds_set_new_changes(void);
void xds_set_free(struct xds_set *set); /* NULL is allowed */
/* Takes the reference on success. What the set said of this name before is forgotten.
 * ERR_NO_MEMORY. */
enum err_code xds_set_add(struct xds_set *set, struct xds_resource *resource, struct err *err);
/* The resource of that name goes; for sets of changes. As xds_set_add() otherwise. */
enum err_code xds_set_remove(struct xds_set *set, const char *name, struct err *err);
/* Names of which the set says something. */
size_t xds_set_count(const struct xds_set *set);

/* --- the store itself: for the server's own files --- */

enum {
    /* Removed resources remembered for slow streams. A stream that is behind more than that is
     * ended; it comes back and says what it holds. */
    XDS_TOMBSTONES_MAX = 65536
};

/* One name of one type. */
struct xds_entry {
    struct xds_entry *older, *newer; /* in the order of the last change */
    struct xds_resource *resource;   /* the present one; the last one when it is gone */
    uint64_t seq;                    /* of the last change; 1 is the first change of the store */
    uint32_t id; /* small; given to another name when the tombstone is dropped */
    bool gone;   /* a tombstone */
};

struct xds_list {
    struct xds_entry *oldest, *newest;
    struct map names;                 /* -> struct xds_entry, tombstones included */
    struct xds_index aliases, groups; /* of the entries that are not gone */
    struct xds_entry **by_id;         /* NULL where an id is free */
    uint32_t *free_ids;
    uint32_t id_count, free_id_count, id_capacity;
    size_t count, tombstones;
    uint64_t floor; /* tombstones up to this change have been dropped */
};

struct xds_store {
    struct xds_list lists[XDS_TYPE_COUNT];
    uint64_t seq;        /* changes so far, over all types */
    uint64_t generation; /* updates that changed something */
    size_t tombstones_max;
};

void xds_store_init(struct xds_store *store);
void xds_store_deinit(struct xds_store *store);

/* Makes `set`, which it takes, the present resources of `type`, or changes those as it says;
 * *changed says whether that made a difference. ERR_NO_MEMORY: only a part was taken over; a set of
 * all resources mends it. */
enum err_code xds_store_update(struct xds_store *store, enum xds_type type, struct xds_set *set,
                               bool *changed, struct err *err);
/* Drops the tombstones of changes up to `seq`: every stream has passed them. */
void xds_store_prune(struct xds_store *store, enum xds_type type, uint64_t seq);

/* The entry of that name unless it is gone; NULL. */
struct xds_entry *xds_list_find(const struct xds_list *list, const char *name);
/* The oldest entry, gone or not, that changed after `seq`; NULL. Go on with entry->newer. */
struct xds_entry *xds_list_after(const struct xds_list *list, uint64_t seq);

#endif
