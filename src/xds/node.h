/* The node identifier that opens a stream. Pure. */
#ifndef XDS_NODE_H
#define XDS_NODE_H

#include "base/err.h"

/* `id` is "<kind>~<ip>~<pod>.<namespace>~<namespace>.svc.<domain>" and both namespaces are
 * `namespace`. ERR_XDS_NODE. */
enum err_code xds_node_check(const char *id, const char *namespace, struct err *err);

#endif
