/* The question at the door: may this client talk to this workload? Worker thread. */
#ifndef POLICY_H
#define POLICY_H

#include "mesh/authorize.h"
#include "proxy/config.h"
#include "proxy/conn.h"
#include "proxy/view.h"

/* Asks the policies of `conn->destination` about the connection's source, with `principal` (NULL:
 * plaintext). MESH_DENY fills *err with ERR_CONN_POLICY_DENIED and keeps the denial for the access
 * line; MESH_PENDING fills it with ERR_CONN_POLICY_PENDING or ERR_CONN_POLICY_UNREADABLE. A dry-run
 * policy that would have denied is logged and counted. */
enum mesh_decision policy_decide(struct conn *conn, const struct view *view, const char *principal,
                                 struct err *err);

/* Asks again about a live connection, now that its destination's record is `own`. As
 * policy_decide(), except that with `late` a MESH_PENDING is kept for the access line too. */
enum mesh_decision policy_recheck(struct conn *conn, const struct mesh_workload *own,
                                  const char *principal, bool late, struct err *err);

/* True when a view may judge inbound connections otherwise than the one before: another record of
 * our own, or other policies that apply to it. */
bool policy_changed(const struct config *config, const struct view *before,
                    const struct view *after);

/* Our own record at `ip`, one of the pod's addresses; NULL when it has not arrived (a record of the
 * address's former owner is not ours). Borrowed. */
const struct mesh_workload *policy_own_workload(const struct config *config,
                                                const struct view *view, const struct addr *ip);

#endif
