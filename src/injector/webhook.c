#include "injector/webhook.h"

#include <errno.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>

#include "admin/exposition.h"
#include "admin/process.h"
#include "base/clock.h"
#include "base/log.h"
#include "injector/document.h"

/* --- metrics ---------------------------------------------------------------------------------- */

enum { TABLE_REVIEWS };
static const char *const outcome_label[] = {"outcome"};
static const struct metrics_family review_families[] = {
    {"handfast_injector_reviews_total", METRICS_COUNTER, "Admission reviews, by their outcome."},
    {"handfast_injector_review_microseconds_total", METRICS_COUNTER,
     "Time spent on admission reviews."},
};
static const struct metrics_table tables[] = {
    [TABLE_REVIEWS] = {.families = review_families,
                       .family_count = 2,
                       .labels = outcome_label,
                       .label_count = 1},
};

static void collect(void *arg, struct exposition *text)
{
    static const char *const reason[] = {"reason"}, *const version[] = {"version"};
    static const char *const this_version[] = {HANDFAST_VERSION};
    struct webhook *webhook = arg;
    const struct gate_tally *tally = webhook->tally;
    exposition_family(text, "handfast_build_info", METRICS_GAUGE, "The version, as a label.");
    exposition_int(text, version, this_version, 1, 1);
    exposition_gauge(text, "handfast_injector_certificate_expiry_timestamp_seconds",
                     "When the webhook's certificate ends; 0: there is none.",
                     (double)atomic_load(&webhook->not_after_s));
    exposition_gauge(text, "handfast_injector_connections", "TLS connections now.",
                     atomic_load(&tally->now));
    exposition_family(text, "handfast_injector_connections_opened_total", METRICS_COUNTER,
                      "TLS connections that reached HTTP.");
    exposition_uint(text, NULL, NULL, 0, atomic_load(&tally->opened));
    exposition_family(text, "handfast_injector_connections_refused_total", METRICS_COUNTER,
                      "Connections refused before or in the TLS handshake.");
    for (int code = 0; code < ERR_COUNT_; code++) {
        const char *value = err_label((enum err_code)code);
        uint64_t count = atomic_load(&tally->refused[code]);
        if (count)
            exposition_uint(text, reason, &value, 1, count);
    }
}

static enum err_code make_metrics(struct webhook *webhook, struct err *err)
{
    enum err_code code =
        metrics_new(&webhook->metrics, tables, sizeof tables / sizeof tables[0], err);
    if (code == ERR_OK)
        code = metrics_shard_new(&webhook->shard, webhook->metrics, err);
    if (code == ERR_OK)
        code = metrics_collect(webhook->metrics, collect, webhook, err);
    if (code == ERR_OK)
        code = metrics_collect(webhook->metrics, process_collect, NULL, err);
    /* All outcomes from the start: a rate over a counter that was not there begins too late. */
    for (unsigned i = 0; code == ERR_OK && review_outcomes[i]; i++)
        metrics_row(webhook->shard, TABLE_REVIEWS, &review_outcomes[i]);
    return code;
}

/* --- the routes ------------------------------------------------------------------------------- */

static void note(struct webhook *webhook, const struct review_answer *answer, int64_t micros)
{
    struct metrics_row *row = metrics_row(webhook->shard, TABLE_REVIEWS, &answer->outcome);
    metrics_add(row, 0, 1);
    metrics_add(row, 1, (uint64_t)micros);
    if (answer->err.code == ERR_OK)
        LOG_INFO("review", F_STR("outcome", answer->outcome), F_STR("namespace", answer->ns),
                 F_STR("pod", answer->name), F_INT("micros", micros));
    else
        LOG_LIMITED(LOG_LEVEL_WARN, 20, "review", F_STR("outcome", answer->outcome),
                    F_STR("namespace", answer->ns), F_STR("pod", answer->name),
                    F_ERR(&answer->err));
}

static bool is_json(const char *type)
{
    static const char json[] = "application/json";
    if (!type || strncasecmp(type, json, sizeof json - 1) != 0)
        return false;
    char next = type[sizeof json - 1];
    return next == 0 || next == ';' || next == ' ';
}

static void post_inject(void *arg, struct admin_http_request *request,
                        struct admin_http_response *response)
{
    struct webhook *webhook = arg;
    struct review_answer answer;
    struct timespec before, after;
    size_t len;
    const char *body = admin_http_body(request, &len);
    if (!is_json(admin_http_header(request, "Content-Type"))) {
        admin_http_error(response, 415, "expected the Content-Type application/json");
        return;
    }
    clock_gettime(CLOCK_MONOTONIC, &before);
    review_answer(body, len, webhook->settings, &answer);
    clock_gettime(CLOCK_MONOTONIC, &after);
    note(webhook, &answer,
         (after.tv_sec - before.tv_sec) * 1000000 + (after.tv_nsec - before.tv_nsec) / 1000);
    response->status = answer.status;
    admin_http_json(response, json_incref(answer.body));
    review_answer_deinit(&answer);
}

static void get_health(void *arg, struct admin_http_request *request,
                       struct admin_http_response *response)
{
    struct webhook *webhook = arg;
    int64_t not_after_s = atomic_load(&webhook->not_after_s);
    (void)request;
    if (atomic_load(&webhook->ending))
        admin_http_text(response, 503, "ending\n");
    else if (not_after_s == 0)
        admin_http_text(response, 503, "waiting for a certificate\n");
    else if (clock_wall_s() >= not_after_s)
        admin_http_text(response, 503, "the certificate has expired and was not renewed\n");
    else
        admin_http_text(response, 200, "ok\n");
}

static void get_metrics(void *arg, struct admin_http_request *request,
                        struct admin_http_response *response)
{
    struct webhook *webhook = arg;
    struct err err;
    (void)request;
    if (metrics_render(webhook->metrics, &response->body, &response->body_len, &err) == ERR_OK)
        response->content_type = EXPOSITION_CONTENT_TYPE;
    else
        admin_http_error(response, 500, "%s", err.text);
}

static const struct admin_http_route webhook_routes[] = {
    {"POST", "/inject", post_inject, NULL},
    {"GET", "/healthz", get_health, NULL},
    ADMIN_HTTP_ROUTES_END,
};
static const struct admin_http_route ops_routes[] = {
    {"GET", "/metrics", get_metrics, NULL},
    {"GET", "/healthz", get_health, NULL},
    ADMIN_HTTP_ROUTES_END,
};

/* --- begin and end ---------------------------------------------------------------------------- */

/* A listening socket at an address that the kernel chooses (unix(7), autobind). */
static enum err_code listen_inside(int *fd, struct sockaddr_un *inside, socklen_t *len,
                                   struct err *err)
{
    const struct sockaddr_un any = {.sun_family = AF_UNIX};
    *fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    *len = sizeof *inside;
    if (*fd >= 0 && bind(*fd, (const struct sockaddr *)&any, sizeof any.sun_family) == 0 &&
        listen(*fd, GATE_CONNECTIONS_MAX) == 0 &&
        getsockname(*fd, (struct sockaddr *)inside, len) == 0)
        return ERR_OK;
    return err_sys(err, ERR_SYSTEM, errno, "make the local socket of the webhook");
}

enum err_code webhook_start(struct webhook *webhook, uint16_t metrics_port,
                            struct sockaddr_un *inside, socklen_t *inside_len, struct err *err)
{
    int inside_fd;
    if (make_metrics(webhook, err) != ERR_OK ||
        listen_inside(&inside_fd, inside, inside_len, err) != ERR_OK)
        return err->code;
    const struct admin_http_listen listens[] = {
        {.routes = webhook_routes,
         .arg = webhook,
         .fd = inside_fd,
         /* never the one to end the oldest: that is the gate's business */
         .connections_max = GATE_CONNECTIONS_MAX + 2 * GATE_ACCEPTS_MAX,
         .body_max = DOCUMENT_MAX_BYTES,
         .bodies_max = WEBHOOK_BODIES_MAX},
        {.routes = ops_routes, .arg = webhook, .address = {.port = metrics_port}},
    };
    return admin_http_start(&webhook->http, listens, 2, err);
}

uint16_t webhook_metrics_port(const struct webhook *webhook)
{
    return admin_http_port(webhook->http, 1);
}

void webhook_set_not_after(struct webhook *webhook, int64_t not_after_s)
{
    atomic_store(&webhook->not_after_s, not_after_s);
}

void webhook_set_ending(struct webhook *webhook)
{
    atomic_store(&webhook->ending, true);
}

void webhook_stop(struct webhook *webhook)
{
    admin_http_stop(webhook->http);
    metrics_free(webhook->metrics);
    webhook->http = NULL;
    webhook->metrics = NULL;
}
