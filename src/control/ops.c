#include "control/ops.h"

#include <stdlib.h>

#include "admin/exposition.h"
#include "admin/process.h"
#include "base/log.h"

/* --- what there is to say; on the main loop -------------------------------------------------- */

static void counter(struct exposition *text, const char *name, const char *help, uint64_t value)
{
    exposition_family(text, name, METRICS_COUNTER, help);
    exposition_uint(text, NULL, NULL, 0, value);
}

static void by_reason(struct exposition *text, const char *name, const char *help,
                      const uint64_t counts[ERR_COUNT_])
{
    static const char *const label[] = {"reason"};
    exposition_family(text, name, METRICS_COUNTER, help);
    for (int code = 0; code < ERR_COUNT_; code++) {
        const char *value = err_label((enum err_code)code);
        if (counts[code])
            exposition_uint(text, label, &value, 1, counts[code]);
    }
}

static void collect_tally(void *arg, struct exposition *text)
{
    const struct control_ops *ops = arg;
    const struct tally *tally = ops->tally;
    counter(text, "handfast_control_certificates_issued_total", "Certificates issued to workloads.",
            tally->certificates_issued);
    by_reason(text, "handfast_control_certificates_refused_total",
              "Requests for a certificate that were refused.", tally->certificates_refused);
    by_reason(text, "handfast_control_streams_refused_total",
              "Streams that were refused because of their token or its identity.",
              tally->streams_refused);
    counter(text, "handfast_control_connections_opened_total", "TLS connections that reached gRPC.",
            tally->connections_opened);
    by_reason(text, "handfast_control_connections_refused_total",
              "Connections ended before a good token came.", tally->connections_refused);
    counter(text, "handfast_control_connections_idle_total",
            "Connections ended because nothing was called on them.", tally->connections_idle);
    exposition_gauge(text, "handfast_control_connections", "Connections now.",
                     (double)tally->connections_now);
    exposition_gauge(text, "handfast_control_connections_max",
                     "Connections, and streams, that there may be.", ops->quota->places);
    exposition_gauge(text, "handfast_control_identities",
                     "Identities that have a connection or a stream.",
                     (double)ops->quota->callers.count);
    counter(text, "handfast_control_connections_cut_total",
            "Connections cut because of malformed HTTP/2 or of too much that was incomplete.",
            rpc_server_refused(ops->rpc));
    exposition_gauge(text, "handfast_control_held_bytes",
                     "Bytes of requests that are not complete yet.",
                     (double)rpc_server_held(ops->rpc));
    counter(text, "handfast_control_mesh_loads_total", "Times the mesh file was taken over.",
            tally->mesh_loads);
    counter(text, "handfast_control_mesh_load_failures_total",
            "Times the mesh file was not valid and the last good one stayed.",
            tally->mesh_load_failures);
    exposition_gauge(text, "handfast_control_mesh_loaded_timestamp_seconds",
                     "When the mesh file was last taken over.",
                     (double)tally->mesh_loaded_wall_ms / 1000);
    exposition_gauge(text, "handfast_control_issuer_expiry_timestamp_seconds",
                     "When the issuing certificate ends.", (double)ca_not_after_s(ops->state->ca));
    counter(text, "handfast_control_issuer_renewals_total",
            "Times the issuing certificate was signed anew.", tally->issuer_renewals);
}

static void collect_xds(void *arg, struct exposition *text)
{
    static const char *const label[] = {"type"};
    const struct xds_server_stats *stats = xds_server_stats(((struct control_ops *)arg)->xds);
    exposition_gauge(text, "handfast_control_streams", "Proxies' streams now.",
                     (double)stats->streams);
    by_reason(text, "handfast_control_xds_streams_refused_total",
              "Streams refused or ended because of what their client sent.",
              stats->streams_refused);
    counter(text, "handfast_control_streams_opened_total", "Streams opened.",
            stats->streams_opened);
    counter(text, "handfast_control_streams_expired_total",
            "Streams ended because their token did.", stats->streams_expired);
    counter(text, "handfast_control_streams_stalled_total",
            "Streams cut because their proxy did not read.", stats->streams_stalled);
    counter(text, "handfast_control_xds_responses_total", "Responses sent.", stats->responses);
    counter(text, "handfast_control_xds_acks_total", "Responses that proxies accepted.",
            stats->acks);
    counter(text, "handfast_control_xds_nacks_total", "Responses that proxies refused.",
            stats->nacks);
    counter(text, "handfast_control_xds_unknown_types_total",
            "Requests for an unknown resource type.", stats->unknown_types);
    counter(text, "handfast_control_xds_resources_sent_total", "Resources sent.",
            stats->resources_sent);
    counter(text, "handfast_control_xds_removals_sent_total", "Removals sent.",
            stats->removals_sent);
    counter(text, "handfast_control_xds_bytes_sent_total", "Bytes of responses.",
            stats->bytes_sent);
    counter(text, "handfast_control_publications_total", "Publications that changed something.",
            stats->generation);
    exposition_family(text, "handfast_control_resources", METRICS_GAUGE,
                      "Resources published now.");
    for (int type = 0; type < XDS_TYPE_COUNT; type++) {
        const char *value = xds_type_name((enum xds_type)type);
        exposition_uint(text, label, &value, 1, stats->resources[type]);
    }
}

/* --- the way from the HTTP thread to the main loop and back ---------------------------------- */

struct question {
    struct mail mail;
    struct control_ops *ops;
    struct admin_http_pending *pending;
    enum { ASK_METRICS, ASK_ALIVE, ASK_READY } about;
};

static void answer(struct question *question, struct admin_http_response *response)
{
    admin_http_finish(question->pending, response);
    free(question);
}

static void discard(struct mail *mail)
{
    struct admin_http_response response = {.status = 503, .content_type = "text/plain"};
    answer((struct question *)mail, &response);
}

static void deliver(struct mail *mail, void *owner)
{
    struct question *question = (struct question *)mail;
    struct control_ops *ops = question->ops;
    struct admin_http_response response = {.status = 200, .content_type = EXPOSITION_CONTENT_TYPE};
    struct err err = {0};
    (void)owner;
    if (!ops->http) { /* stopped: what there was to say is being freed */
        discard(mail);
        return;
    }
    if (question->about == ASK_READY && ops->plane && !kube_plane_is_ready(ops->plane))
        admin_http_text(&response, 503, "the cluster has not been read yet\n");
    else if (question->about != ASK_METRICS)
        admin_http_text(&response, 200, "ok\n");
    else if (metrics_render(ops->metrics, &response.body, &response.body_len, &err) != ERR_OK)
        admin_http_error(&response, 500, "%s", err.text);
    answer(question, &response);
}

static void ask(struct control_ops *ops, int about, struct admin_http_request *request,
                struct admin_http_response *response)
{
    struct question *question = calloc(1, sizeof *question);
    struct admin_http_pending *pending = question ? admin_http_defer(request) : NULL;
    if (!pending) {
        free(question);
        admin_http_error(response, 503, "out of memory");
        return;
    }
    *question = (struct question){.mail = {.deliver = deliver, .discard = discard},
                                  .ops = ops,
                                  .pending = pending,
                                  .about = about};
    mailbox_post(ops->mailbox, &question->mail);
}

static void on_metrics(void *arg, struct admin_http_request *request,
                       struct admin_http_response *response)
{
    ask(arg, ASK_METRICS, request, response);
}

/* The loop answers this, too: a process whose loop hangs is not well. */
static void on_health(void *arg, struct admin_http_request *request,
                      struct admin_http_response *response)
{
    ask(arg, ASK_ALIVE, request, response);
}

static void on_ready(void *arg, struct admin_http_request *request,
                     struct admin_http_response *response)
{
    ask(arg, ASK_READY, request, response);
}

static const struct admin_http_route routes[] = {
    {"GET", "/metrics", on_metrics, NULL},
    {"GET", "/healthz", on_health, NULL},
    {"GET", "/healthz/ready", on_ready, NULL},
    ADMIN_HTTP_ROUTES_END,
};

enum err_code control_ops_start(struct control_ops *ops, uint16_t port, struct err *err)
{
    struct admin_http_listen listen = {.routes = routes, .arg = ops, .address = {.port = port}};
    enum err_code code = metrics_new(&ops->metrics, NULL, 0, err);
    if (code == ERR_OK)
        code = metrics_collect(ops->metrics, collect_tally, ops, err);
    if (code == ERR_OK)
        code = metrics_collect(ops->metrics, collect_xds, ops, err);
    if (code == ERR_OK)
        code = metrics_collect(ops->metrics, process_collect, NULL, err);
    if (code == ERR_OK)
        code = admin_http_start(&ops->http, &listen, 1, err);
    return code;
}

void control_ops_stop(struct control_ops *ops)
{
    if (ops->http)
        admin_http_stop(ops->http);
    ops->http = NULL;
}
