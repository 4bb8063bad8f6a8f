#include "plane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "relay/socket.h"
#include "xds/certificate.h"
#include "xds/encode.h"
#include "xds/types.h"

enum { PATIENCE_MS = 60000, HANDSHAKE_MS = 5000 };

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "plane: %s\n", what);
    abort();
}

/* --- connections ---------------------------------------------------------------------------- */

static void on_relay_end(struct relay *relay, enum err_code code, int side, struct err *err)
{
    struct plane_carrier *carrier =
        (struct plane_carrier *)((char *)relay - offsetof(struct plane_carrier, u.relay));
    (void)code;
    (void)side;
    (void)err;
    rpc_connection_close(carrier->connection);
    *carrier = (struct plane_carrier){.fd = -1};
}

static void on_handshake(struct handshake *handshake, enum err_code code, struct err *err)
{
    struct plane_carrier *carrier =
        (struct plane_carrier *)((char *)handshake - offsetof(struct plane_carrier, u.handshake));
    struct plane *plane = carrier->plane;
    struct relay_socket far = {.fd = carrier->fd,
                               .tls = carrier->tls,
                               .early = handshake->early,
                               .early_len = handshake->early_len};
    int pair[2];
    if (code != ERR_OK) {
        tls_conn_free(carrier->tls);
        socket_close_reset(carrier->fd);
        *carrier = (struct plane_carrier){.fd = -1};
        return;
    }
    must(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) == 0, "pair");
    carrier->connection = rpc_server_add_fd(plane->server, pair[0], carrier, err);
    must(carrier->connection != NULL, err->text);
    const struct relay_socket near = {.fd = pair[1]};
    must(relay_start(&carrier->u.relay, &plane->env, &near, &far, on_relay_end, err) == ERR_OK,
         err->text);
}

static void on_accept(struct poll_item *item, uint32_t events)
{
    static const struct socket_limits limits = {.user_timeout_ms = 60000};
    struct plane *plane = (struct plane *)((char *)item - offsetof(struct plane, listening));
    struct err err;
    int fd;
    (void)events;
    while ((fd = accept4(item->fd, NULL, NULL, SOCK_CLOEXEC)) >= 0) {
        unsigned at = 0;
        while (at < PLANE_CARRIERS_MAX && plane->carriers[at].plane)
            at++;
        must(at < PLANE_CARRIERS_MAX && socket_prepare(fd, &limits), "take a connection");
        struct plane_carrier *carrier = &plane->carriers[at];
        carrier->plane = plane;
        carrier->fd = fd;
        carrier->tls = tls_conn_new_server(plane->context);
        must(handshake_start(&carrier->u.handshake, &plane->env, fd, carrier->tls, HANDSHAKE_MS,
                             on_handshake, &err) == ERR_OK,
             err.text);
    }
}

/* --- calls ---------------------------------------------------------------------------------- */

static void on_csr(struct rpc_call *call, const void *data, size_t len, void *arg)
{
    struct plane *plane = arg;
    char *csr = NULL;
    void *answer = NULL;
    size_t answer_len = 0;
    int64_t ttl_s = 0;
    struct err err = {0};
    struct spiffe_id id;
    struct ca_issued issued = {0};
    must(spiffe_make(&id, "test.mesh", "shop", "web"), "make an id");
    must(xds_certificate_request_decode(data, len, &csr, &ttl_s, &err) == ERR_OK, err.text);
    must(ca_issue_leaf(plane->ca, &id, csr, strlen(csr), 3600, &issued, &err) == ERR_OK, err.text);
    const char *chain[] = {issued.leaf_pem, ca_root_pem(plane->ca)};
    must(xds_certificate_response_encode(chain, 2, &answer, &answer_len, &err) == ERR_OK, err.text);
    must(rpc_call_send_take(call, answer, answer_len) == ERR_OK, "send");
    rpc_call_finish(call, RPC_OK, NULL);
    ca_issued_deinit(&issued);
    free(csr);
}

static void on_csr_end(struct rpc_call *call, int status, const char *message, void *arg)
{
    (void)call;
    (void)status;
    (void)message;
    (void)arg;
}

static void on_certificate(struct rpc_call *call, void *arg)
{
    static const struct rpc_call_events events = {.on_message = on_csr, .on_end = on_csr_end};
    struct plane *plane = arg;
    plane->certificates++;
    if (plane->refuse_certificates)
        rpc_call_finish(call, RPC_PERMISSION_DENIED, plane->refuse_certificates);
    else
        must(rpc_call_accept(call, NULL, 0, &events, plane) == ERR_OK, "accept");
}

static void on_stream(struct rpc_call *call, void *arg)
{
    static const struct xds_peer peer = {.namespace = "shop", .service_account = "web"};
    struct plane *plane = arg;
    plane->streams++;
    if (plane->refuse_streams) {
        rpc_call_finish(call, RPC_UNAUTHENTICATED, plane->refuse_streams);
        return;
    }
    plane->stream = call;
    xds_server_open(plane->xds, call, &peer);
}

void plane_end_stream(struct plane *plane, const char *message)
{
    rpc_call_cancel(plane->stream, RPC_UNAUTHENTICATED, message);
    plane->stream = NULL;
}

/* --- what it knows -------------------------------------------------------------------------- */

static void publish(struct plane *plane, enum xds_type type, struct xds_set *set)
{
    struct err err;
    must(xds_server_publish(plane->xds, type, set, &err) == ERR_OK, "publish");
}

void plane_publish(struct plane *plane, const struct mesh_workload *const *workloads,
                   const struct mesh_policy *const *policies)
{
    struct xds_set *addresses = xds_set_new(), *authorizations = xds_set_new();
    struct xds_resource *resource;
    struct err err = {0};
    for (; workloads && *workloads; workloads++) {
        struct mesh_workload *workload;
        must(mesh_workload_new(*workloads, &workload, &err) == ERR_OK &&
                 xds_encode_workload(workload, "test.mesh", &resource, &err) == ERR_OK &&
                 xds_set_add(addresses, resource, &err) == ERR_OK,
             err.text);
        mesh_workload_unref(workload);
    }
    for (; policies && *policies; policies++) {
        struct mesh_policy *policy;
        must(mesh_policy_new(*policies, &policy, &err) == ERR_OK &&
                 xds_encode_policy(policy, &resource, &err) == ERR_OK &&
                 xds_set_add(authorizations, resource, &err) == ERR_OK,
             err.text);
        mesh_policy_unref(policy);
    }
    publish(plane, XDS_AUTHORIZATION, authorizations);
    publish(plane, XDS_ADDRESS, addresses);
}

/* --- begin and end -------------------------------------------------------------------------- */

static void on_watchdog(struct timer *timer)
{
    ((struct plane *)((char *)timer - offsetof(struct plane, watchdog)))->timed_out = true;
}

static void write_file(char path[64], const char *text)
{
    struct err err;
    strcpy(path, "/tmp/plane.XXXXXX");
    close(mkstemp(path));
    must(file_write_atomic(path, text, strlen(text), 0600, &err) == ERR_OK, "write a file");
}

static void make_authority(struct plane *plane)
{
    static const char *const names[] = {"control.test"};
    struct err err = {0};
    struct ca_issued issued = {0};
    char *root = NULL;
    struct tls_key *key = tls_key_new(), *own = tls_key_new();
    must(ca_make_root(key, "root", &root, &err) == ERR_OK &&
             ca_new(&plane->ca, key, root, root, &err) == ERR_OK &&
             ca_issue_server(plane->ca, own, names, 1, 3600, &issued, &err) == ERR_OK &&
             tls_context_new_server(&plane->context, own, issued.chain_pem,
                                    strlen(issued.chain_pem), &err) == ERR_OK,
         err.text);
    write_file(plane->ca_file, root);
    write_file(plane->token_file, "token");
    ca_issued_deinit(&issued);
    tls_key_unref(key);
    tls_key_unref(own);
    free(root);
}

static void listen_anywhere(struct plane *plane)
{
    struct addr_port at;
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    struct err err = {0};
    int fd = -1;
    must(addr_port_parse(&at, "127.0.0.1:0") && socket_listen(&at, false, 64, &fd, &err) == ERR_OK,
         err.text);
    getsockname(fd, (struct sockaddr *)&bound, &len);
    must(addr_from_sockaddr(&at, &bound), "read an address");
    addr_port_format(&at, plane->address);
    must(poll_item_add(&plane->loop, &plane->listening, fd, on_accept, &err) == ERR_OK, err.text);
}

void plane_open(struct plane *plane)
{
    static const struct rpc_method methods[] = {
        {XDS_METHOD_CERTIFICATE, on_certificate}, {XDS_METHOD_DELTA, on_stream}, {NULL, NULL}};
    struct err err = {0};
    memset(plane, 0, sizeof *plane);
    must(loop_init(&plane->loop, &err) == ERR_OK &&
             timers_init(&plane->timers, &plane->loop, &err) == ERR_OK &&
             relay_env_init(&plane->env, &plane->loop, &plane->timers, &err) == ERR_OK,
         err.text);
    timer_start(&plane->timers, &plane->watchdog, PATIENCE_MS, on_watchdog);
    make_authority(plane);
    plane->rpc = rpc_start(&plane->loop, &err);
    must(plane->rpc != NULL, err.text);
    plane->server = rpc_server_new(plane->rpc, methods, plane, &err);
    plane->xds = xds_server_new(&plane->timers, NULL, &err);
    must(plane->server && plane->xds, err.text);
    plane_publish(plane, NULL, NULL);
    listen_anywhere(plane);
}

static void on_timers_closed(struct timers *timers)
{
    loop_stop(&((struct plane *)((char *)timers - offsetof(struct plane, timers)))->loop);
}

static void on_rpc_closed(void *arg)
{
    struct plane *plane = arg;
    relay_env_deinit(&plane->env);
    timers_close(&plane->timers, on_timers_closed);
}

static void on_xds_closed(void *arg)
{
    struct plane *plane = arg;
    rpc_close(plane->rpc, on_rpc_closed, plane);
}

static bool is_idle(const struct plane *plane)
{
    unsigned busy = 0;
    for (unsigned i = 0; i < PLANE_CARRIERS_MAX; i++)
        busy += plane->carriers[i].plane != NULL;
    return busy == 0;
}

void plane_close(struct plane *plane)
{
    int fd = plane->listening.fd;
    poll_item_remove(&plane->loop, &plane->listening);
    close(fd);
    while (!is_idle(plane) && !plane->timed_out)
        uv_run(&plane->loop.uv, UV_RUN_ONCE);
    must(is_idle(plane), "a connection does not end");
    timer_stop(&plane->timers, &plane->watchdog);
    xds_server_close(plane->xds, on_xds_closed, plane);
    loop_run(&plane->loop);
    loop_deinit(&plane->loop);
    tls_context_unref(plane->context);
    ca_unref(plane->ca);
    unlink(plane->ca_file);
    unlink(plane->token_file);
}
