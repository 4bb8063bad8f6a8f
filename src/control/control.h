/* The control plane as one thing: wires the parts together, starts them and ends them.
 *
 *   mesh_file -> compile -> ads -> xds server --+
 *   ca_state -> issue (CreateCertificate) ------+-- rpc -- listener (15012, TLS)
 *   (kube_plane takes the place of mesh_file, ca_state's folder and our own tokens)
 *   ops (15014): what all of them count
 *
 * One loop runs it all, on the thread that calls control_run(). What takes longest there: a
 * certificate, checked again before it is handed out, less than 1 ms; a mesh file of 10,000
 * workloads, 0.2 s (measured on one core of a small machine). */
#ifndef CONTROL_H
#define CONTROL_H

#include "control/ads.h"
#include "control/ca_state.h"
#include "control/config.h"
#include "control/issue.h"
#include "control/kube_plane.h"
#include "control/mesh_file.h"
#include "control/ops.h"

enum { CONTROL_SIGNALS = 3, CONTROL_CERTIFICATES_MS = 60 * 1000 };

struct control {
    const struct config *config;
    struct loop loop;
    struct timers timers;
    struct mailbox mailbox; /* its owner is the struct control */
    struct relay_env env;
    uv_signal_t signals[CONTROL_SIGNALS];
    struct timer certificates;
    int64_t server_renew_at_s;
    struct tally tally;
    struct ca_state state;
    struct authenticator_tokens tokens;
    struct issuer issuer;
    struct quota quota;
    struct mesh_file file;
    struct kube_plane plane;
    struct authenticator *authenticator; /* `tokens`, or the plane's reviews */
    const char *trust_domain;
    struct ads ads;
    struct rpc *rpc;
    struct rpc_server *server;
    struct xds_server *xds;
    struct control_listener listener;
    struct control_ops ops;
    bool listening; /* everything has been started */
    bool ending;
    unsigned closing; /* handles of the loop that are still there */
};

/* Starts everything; from here on port 15012 answers as soon as control_run() is called. `config`
 * is borrowed. On failure the process is meant to end: not all is undone. ERR_CA_STATE,
 * ERR_MESH_FILE, ERR_SYSTEM and others, with a sentence. */
enum err_code control_start(struct control *control, const struct config *config, struct err *err);
/* Runs until SIGTERM, SIGINT or control_end(); SIGHUP looks at the mesh file. Everything is freed
 * when it returns. */
void control_run(struct control *control);
/* Ends the streams, then everything else; control_run() returns. Loop thread. */
void control_end(struct control *control);

#endif
