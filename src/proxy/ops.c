#include "proxy/ops.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/contract.h"
#include "admin/exposition.h"
#include "admin/process.h"
#include "base/clock.h"
#include "proxy/listing.h"
#include "proxy/report.h"

/* --- readiness ------------------------------------------------------------------------------ */

bool ops_ready(const struct ops *ops, const char **reason)
{
    static const char *const reasons[] = {
        [OPS_NO_CERTIFICATE] = "waiting for the first certificate",
        [OPS_NO_CONFIGURATION] = "waiting for the first configuration",
        [OPS_READY] = NULL,
        [OPS_DRAINING] = "draining",
    };
    int state = atomic_load_explicit(&ops->state, memory_order_relaxed);
    *reason = reasons[state];
    if (state == OPS_READY &&
        clock_wall_s() >= atomic_load_explicit(&ops->not_after_s, memory_order_relaxed))
        *reason = "the certificate has expired and could not be renewed";
    return *reason == NULL;
}

/* Why there is no certificate or no configuration, as far as that is known. Without a link nothing
 * is asked for, so what was refused earlier is no news. */
static const struct err *find_cause(const struct ops *ops)
{
    const struct err *link = &ops->control->last_error;
    const struct err *certificate = &ops->control->identity.last_error;
    int state = atomic_load(&ops->state);
    if (state == OPS_DRAINING)
        return NULL;
    if (state != OPS_NO_CONFIGURATION && certificate->code != ERR_OK &&
        (ops->control->channel || link->code == ERR_OK))
        return certificate;
    return link->code != ERR_OK ? link : NULL;
}

const char *ops_explain(const struct ops *ops, char text[OPS_REASON_MAX])
{
    const char *reason;
    if (ops_ready(ops, &reason))
        return NULL;
    const struct err *cause = find_cause(ops);
    snprintf(text, OPS_REASON_MAX, "%s%s%s", reason, cause ? ": " : "", cause ? cause->text : "");
    for (char *at = text; *at; at++) {
        if ((unsigned char)*at < ' ' || *at == 0x7f)
            *at = '?'; /* the control plane's words */
    }
    return text;
}

void ops_set_view(struct ops *ops, const struct view *view)
{
    if (atomic_load(&ops->state) == OPS_DRAINING)
        return;
    if (view->context)
        atomic_store(&ops->not_after_s, tls_context_identity(view->context)->not_after_s);
    enum ops_state state = !view->context    ? OPS_NO_CERTIFICATE
                           : !view->complete ? OPS_NO_CONFIGURATION
                                             : OPS_READY;
    if (atomic_exchange(&ops->state, (int)state) != (int)state && state == OPS_READY)
        LOG_INFO("ready", F_INT("after_ms", clock_now_ms() - ops->started_ms));
}

void ops_set_draining(struct ops *ops)
{
    atomic_store(&ops->state, OPS_DRAINING);
}

/* --- questions to the main loop ------------------------------------------------------------- */

struct question {
    struct mail mail;
    struct ops *ops;
    struct admin_http_pending *pending;
    int64_t limit;
    /* NULL: the answer is a listing, which takes the pending itself. */
    void (*answer)(struct ops *ops, struct admin_http_response *response);
};

static void reply(struct question *question, struct admin_http_response *response)
{
    admin_http_finish(question->pending, response);
    free(question);
}

static void refuse(struct mail *mail)
{
    struct admin_http_response response = {.status = 200, .content_type = "application/json"};
    admin_http_error(&response, 503, "the proxy is ending");
    reply((struct question *)mail, &response);
}

static void on_question(struct mail *mail, void *owner)
{
    struct question *question = (struct question *)mail;
    struct ops *ops = question->ops;
    struct admin_http_response response = {.status = 200, .content_type = "application/json"};
    (void)owner;
    if (ops->stopped) {
        refuse(mail);
    } else if (question->answer) {
        question->answer(ops, &response);
        reply(question, &response);
    } else {
        listing_start(ops->workers, ops->worker_count, ops->main_box, ops->config,
                      question->pending, question->limit);
        free(question);
    }
}

static void ask(struct ops *ops, struct admin_http_request *request,
                struct admin_http_response *response, int64_t limit,
                void (*answer)(struct ops *, struct admin_http_response *))
{
    struct question *question = calloc(1, sizeof *question);
    struct admin_http_pending *pending = question ? admin_http_defer(request) : NULL;
    if (!pending) {
        free(question);
        admin_http_error(response, 503, "out of memory");
        return;
    }
    *question = (struct question){.mail = {.deliver = on_question, .discard = refuse},
                                  .ops = ops,
                                  .pending = pending,
                                  .limit = limit,
                                  .answer = answer};
    mailbox_post(ops->main_box, &question->mail);
}

/* --- answers, on the main loop -------------------------------------------------------------- */

static void answer_status(struct ops *ops, struct admin_http_response *response)
{
    char text[OPS_REASON_MAX];
    const char *reason = ops_explain(ops, text);
    const char *state = atomic_load(&ops->state) == OPS_DRAINING ? "draining"
                        : reason                                 ? "starting"
                                                                 : "ready";
    admin_http_json(response, report_status(ops->control, ops->drain, state, reason,
                                            ops->started_ms, ops->registry));
}

static void answer_certs(struct ops *ops, struct admin_http_response *response)
{
    admin_http_json(response, report_certs(&ops->control->identity));
}

static void answer_config(struct ops *ops, struct admin_http_response *response)
{
    admin_http_json(response, report_config(xds_client_snapshot(ops->control->xds)));
}

static void answer_drain(struct ops *ops, struct admin_http_response *response)
{
    drain_begin(ops->drain);
    admin_http_json(response, json_pack("{s:s, s:I}", "state", "draining", "grace_s",
                                        (json_int_t)(ops->config->drain_ms / 1000)));
}

static void answer_ready(struct ops *ops, struct admin_http_response *response)
{
    char text[OPS_REASON_MAX + 1];
    bool ready = !ops_explain(ops, text);
    admin_http_text(response, ready ? 200 : 503, ready ? "ready\n" : strcat(text, "\n"));
}

static void answer_metrics(struct ops *ops, struct admin_http_response *response)
{
    struct err err;
    if (metrics_render(ops->registry, &response->body, &response->body_len, &err) == ERR_OK)
        response->content_type = EXPOSITION_CONTENT_TYPE;
    else
        admin_http_error(response, 500, "%s", err.text);
}

/* --- the tables, on the HTTP thread ---------------------------------------------------------- */

static void get_status(void *arg, struct admin_http_request *request,
                       struct admin_http_response *response)
{
    ask(arg, request, response, 0, answer_status);
}

static void get_certs(void *arg, struct admin_http_request *request,
                      struct admin_http_response *response)
{
    ask(arg, request, response, 0, answer_certs);
}

static void get_config(void *arg, struct admin_http_request *request,
                       struct admin_http_response *response)
{
    ask(arg, request, response, 0, answer_config);
}

static void get_metrics(void *arg, struct admin_http_request *request,
                        struct admin_http_response *response)
{
    ask(arg, request, response, 0, answer_metrics);
}

static void get_connections(void *arg, struct admin_http_request *request,
                            struct admin_http_response *response)
{
    int64_t limit;
    if (admin_http_query_int(request, "limit", 1, ADMIN_CONNECTIONS_MAX, ADMIN_CONNECTIONS_DEFAULT,
                             &limit, response))
        ask(arg, request, response, limit, NULL);
}

static void post_drain(void *arg, struct admin_http_request *request,
                       struct admin_http_response *response)
{
    ask(arg, request, response, 0, answer_drain);
}

static void get_log_level(void *arg, struct admin_http_request *request,
                          struct admin_http_response *response)
{
    (void)arg;
    (void)request;
    admin_http_json(response, json_pack("{s:s}", "level", log_level_name(log_get_level())));
}

static void put_log_level(void *arg, struct admin_http_request *request,
                          struct admin_http_response *response)
{
    (void)arg;
    enum log_level level, was = log_get_level();
    const char *name = admin_http_query(request, "level");
    if (!log_level_parse(name, &level)) {
        admin_http_error(response, 400, "'%.40s' is not error, warn, info or debug", name);
        return;
    }
    log_set_level(level);
    admin_http_json(response, json_pack("{s:s, s:s}", "level", log_level_name(level), "was",
                                        log_level_name(was)));
}

static void get_version(void *arg, struct admin_http_request *request,
                        struct admin_http_response *response)
{
    (void)arg;
    (void)request;
    admin_http_json(response, json_pack("{s:s, s:s}", "version", HANDFAST_VERSION, "program",
                                        "handfast-proxy"));
}

static void get_ready(void *arg, struct admin_http_request *request,
                      struct admin_http_response *response)
{
    const char *reason;
    if (ops_ready(arg, &reason))
        admin_http_text(response, 200, "ready\n");
    else
        ask(arg, request, response, 0, answer_ready); /* only main knows the cause */
}

static const struct admin_http_route admin_routes[] = {
    {"GET", "/status", get_status, NULL},
    {"GET", "/certs", get_certs, NULL},
    {"GET", "/connections", get_connections, NULL},
    {"GET", "/config", get_config, NULL},
    {"GET", "/log-level", get_log_level, NULL},
    {"PUT", "/log-level", put_log_level, "level"},
    {"POST", "/drain", post_drain, NULL},
    {"GET", "/version", get_version, NULL},
    ADMIN_HTTP_ROUTES_END,
};
static const struct admin_http_route metrics_routes[] = {
    {"GET", "/metrics", get_metrics, NULL},
    ADMIN_HTTP_ROUTES_END,
};

static void get_probe(void *arg, struct admin_http_request *request,
                      struct admin_http_response *response)
{
    struct ops *ops = arg;
    probes_ask(ops->probes, request, response);
}

static struct admin_http_route *make_health_routes(const struct probe_table *table)
{
    struct admin_http_route *routes = calloc(table->count + 2, sizeof *routes);
    if (!routes)
        return NULL;
    routes[0] = (struct admin_http_route){"GET", "/healthz/ready", get_ready, NULL};
    for (unsigned i = 0; i < table->count; i++)
        routes[i + 1] = (struct admin_http_route){"GET", table->probes[i].route, get_probe, NULL};
    return routes;
}

/* --- figures that only the main loop knows; it renders them ---------------------------------- */

static void put_counter(struct exposition *text, const char *name, const char *help, uint64_t value)
{
    exposition_family(text, name, METRICS_COUNTER, help);
    exposition_uint(text, NULL, NULL, 0, value);
}

static void collect_identity(const struct identity *identity, struct exposition *text)
{
    if (identity->context) {
        const struct tls_identity_info *info = tls_context_identity(identity->context);
        exposition_gauge(text, "handfast_certificate_expiry_timestamp_seconds",
                         "When our certificate expires.", (double)info->not_after_s);
        exposition_gauge(text, "handfast_certificate_seconds_left",
                         "Seconds until our certificate expires.",
                         (double)(info->not_after_s - clock_wall_s()));
    }
    if (identity->skew_known)
        exposition_gauge(text, "handfast_clock_skew_seconds",
                         "The control plane's clock minus ours.", (double)identity->skew_s);
    exposition_gauge(text, "handfast_trust_bundle_generation",
                     "Trust bundles taken into force since the start.",
                     (double)identity->bundle_generation);
}

static void collect_xds(const struct control *control, struct exposition *text)
{
    const struct xds_client_stats *stats = xds_client_stats(control->xds);
    const struct mesh_snapshot *snapshot = xds_client_snapshot(control->xds);
    exposition_gauge(text, "handfast_control_connected",
                     "1 while certificates and configuration can be brought up to date.",
                     control_connected(control));
    exposition_gauge(text, "handfast_xds_ready", "1 after the first answers of every type.",
                     stats->ready);
    exposition_gauge(text, "handfast_xds_last_update_timestamp_seconds",
                     "When the last answer was applied; 0 is never.",
                     (double)stats->last_update_wall_ms / 1000);
    put_counter(text, "handfast_xds_streams_total", "Streams started.", stats->attached);
    put_counter(text, "handfast_xds_responses_total", "Responses received.", stats->messages);
    put_counter(text, "handfast_xds_resources_total", "Resources accepted.", stats->resources);
    put_counter(text, "handfast_xds_resources_rejected_total", "Resources refused.",
                stats->rejected);
    put_counter(text, "handfast_xds_nacks_total", "Responses refused in part or whole.",
                stats->nacks);
    put_counter(text, "handfast_xds_malformed_total", "Responses that ended their stream.",
                stats->malformed);
    exposition_gauge(text, "handfast_config_generation", "The snapshot in use.",
                     (double)mesh_snapshot_generation(snapshot));
    exposition_gauge(text, "handfast_config_workloads", "Workloads in the snapshot.",
                     (double)mesh_workload_count(snapshot));
    exposition_gauge(text, "handfast_config_services", "Services in the snapshot.",
                     (double)mesh_service_count(snapshot));
    exposition_gauge(text, "handfast_config_policies", "Policies in the snapshot.",
                     (double)mesh_policy_count(snapshot));
    exposition_gauge(text, "handfast_config_policies_unreadable",
                     "Policies that came and could not be read; whom they may guard waits.",
                     (double)mesh_unreadable_count(snapshot));
}

static void collect(void *arg, struct exposition *text)
{
    struct ops *ops = arg;
    const char *reason, *names[] = {"version"}, *values[] = {HANDFAST_VERSION};
    exposition_family(text, "handfast_build_info", METRICS_GAUGE, "The version, as a label.");
    exposition_int(text, names, values, 1, 1);
    exposition_gauge(text, "handfast_ready", "1 while /healthz/ready says so.",
                     ops_ready(ops, &reason));
    exposition_gauge(text, "handfast_workers", "Worker threads.", ops->worker_count);
    put_counter(text, "handfast_log_lines_dropped_total",
                "Lines of log and access log that their reader was too slow for.", log_dropped());
    collect_identity(&ops->control->identity, text);
    collect_xds(ops->control, text);
}

/* --- begin and end -------------------------------------------------------------------------- */

enum err_code ops_start(struct ops *ops, struct err *err)
{
    ops->health_routes = make_health_routes(&ops->probes->table);
    if (!ops->health_routes)
        return err_set(err, ERR_NO_MEMORY, "no memory for the routes of the health port");
    const struct admin_http_listen listens[] = {
        {.routes = admin_routes, .arg = ops, .unix_path = ops->config->admin_socket},
        {.routes = metrics_routes,
         .arg = ops,
         .address = {.port = (uint16_t)ops->config->metrics_port}},
        {.routes = ops->health_routes,
         .arg = ops,
         .address = {.port = (uint16_t)ops->config->health_port}},
    };
    enum err_code code = metrics_collect(ops->registry, collect, ops, err);
    if (code == ERR_OK)
        code = metrics_collect(ops->registry, process_collect, NULL, err);
    if (code == ERR_OK)
        code = admin_http_start(&ops->http, listens, sizeof listens / sizeof listens[0], err);
    if (code != ERR_OK) {
        free(ops->health_routes);
        ops->health_routes = NULL;
    }
    return code;
}

void ops_stop(struct ops *ops)
{
    ops->stopped = true;
    if (ops->http)
        admin_http_stop(ops->http);
    ops->http = NULL;
    free(ops->health_routes);
    ops->health_routes = NULL;
}
