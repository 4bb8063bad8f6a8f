/* Asks the application what the kubelet wanted to ask it, from inside the pod.
 *
 * The kubelet calls port 15021, which is not captured; the answer is put off, the main loop
 * connects to the pod's own address as the kubelet would have, and the answer is the application's
 * status (HTTP), 200 or 503 with a sentence (TCP, gRPC, and whatever failed).
 *
 *   HTTP   connect -> [TLS, nobody's certificate is checked] -> request -> answer -> redirects
 *   TCP    connect
 *   gRPC   connect -> grpc.health.v1.Health/Check -> SERVING
 *   any    timeout_ms passed -> 503
 *
 * Who asks for a path that is being asked about gets that answer, so strangers who call 15021 cost
 * the application no more than one probe of each kind at a time. Main loop, except probes_ask. */
#ifndef PROBES_H
#define PROBES_H

#include "admin/http.h"
#include "loop/mailbox.h"
#include "proxy/probe_table.h"
#include "relay/env.h"
#include "rpc/rpc.h"

struct probe_tunnel;

struct probes {
    /* set by the caller, borrowed */
    struct addr ip; /* of the pod, the one that the kubelet knows */
    struct relay_env *env;
    struct mailbox *main_box;
    struct rpc *rpc;
    /* private */
    struct probe_table table;
    struct tls_context *unverified; /* made with the first HTTPS probe */
    struct probe_tunnel *tunnels;
    unsigned pending; /* runs and tunnels */
    bool stopped, closing;
    void (*on_closed)(struct probes *probes);
};

/* Reads the table. The errors of probe_table_parse, and then there is nothing to undo. */
enum err_code probes_init(struct probes *probes, const char *table, struct err *err);

/* A handler for admin_http: answers for the request's path. HTTP thread. */
void probes_ask(struct probes *probes, struct admin_http_request *request,
                struct admin_http_response *response);

/* Gives all probes up, answers with 503, and calls on_closed, inside or later; then everything is
 * freed. The HTTP server has been stopped. */
void probes_close(struct probes *probes, void (*on_closed)(struct probes *));

#endif
