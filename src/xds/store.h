/* What the control plane publishes: for each type the present resources and the order in which they
 * last changed. A change moves its resource to the end of that order, so what a stream still has to
 * send is whatever lies behind the stream's place in it: changes merge by themselves and a slow
 * stream costs no memory. A removed resource leaves a tombstone until every stream has passed it.
 * Loop thread. */
#ifndef XDS_STORE_H
#define XDS_STORE_H

#include "base/map.h"
#include "xds/resource.h"
#include "xds/types.h"

/* All resources of one type, being put together. */
struct xds_set;

struct xds_set *xds_set_new(void);
void xds_set_free(struct xds_set *set); /* NULL is allowed */
/* Takes the reference on success. A second resource of the same name takes the place of the first.
 * ERR_NO_MEMORY. */
enum err_code xds_set_add(struct xds_set *set, struct xds_resource *resource, struct err *err);
size_t xds_set_count(const struct xds_set *set);

struct xds_store;

#endif
