/* Port 15014: /metrics and /healthz. The HTTP thread asks the main loop by mailbox and the loop
 * answers, so that everything that is counted has one reader, and no answer comes from a process
 * whose loop hangs (the HTTP server says 504 then). */
#ifndef CONTROL_OPS_H
#define CONTROL_OPS_H

#include "admin/http.h"
#include "admin/metrics.h"
#include "control/ca_state.h"
#include "control/kube_plane.h"
#include "control/quota.h"
#include "control/tally.h"
#include "loop/mailbox.h"
#include "xds/server.h"

struct control_ops {
    struct admin_http *http;
    struct metrics *metrics;
    struct mailbox *mailbox; /* the main loop's */
    const struct tally *tally;
    const struct quota *quota;
    const struct xds_server *xds;
    const struct ca_state *state;
    const struct rpc_server *rpc;
    const struct kube_plane *plane; /* NULL: the mesh is a file's, and was ready at the start */
};

/* Listens on `port`, every address. All but http and metrics are set by the caller, borrowed.
 * ERR_SYSTEM, ERR_NO_MEMORY. */
enum err_code control_ops_start(struct control_ops *ops, uint16_t port, struct err *err);
/* Blocks until the HTTP thread has ended. Loop thread, before what it reads and the mailbox close.
 */
void control_ops_stop(struct control_ops *ops);

#endif
