#include "proxy/control.h"

#include "base/clock.h"
#include "proxy/bearer.h"

#define CONTROL_OF(pointer, member)                                                                \
    ((struct control *)((char *)(pointer)-offsetof(struct control, member)))

/* --- views ---------------------------------------------------------------------------------- */

static void publish(struct control *control)
{
    if (control->closing)
        return;
    struct view *view = view_new(xds_client_snapshot(control->xds), control->identity.context,
                                 xds_client_ready(control->xds));
    if (!view) {
        LOG_ERROR("view_lost", F_STR("error", "out of memory; the last view stays"));
        return;
    }
    view_unref(control->view);
    control->view = view;
    news_view(&control->news, view);
    control->on_view(control, view);
}

static void on_context(struct identity *identity, struct tls_context *context)
{
    (void)context;
    publish(CONTROL_OF(identity, identity));
}

static void on_request(struct identity *identity, enum err_code code)
{
    stats_certificate(CONTROL_OF(identity, identity)->stats, code);
}

/* --- the stream ------------------------------------------------------------------------------ */

/* After whatever control_connected() depends on has changed, or may have. */
static void note_connected(struct control *control)
{
    bool connected = control_connected(control);
    if (connected == control->connected)
        return;
    control->connected = connected;
    control->changed_ms = clock_now_ms();
}

static void attach(struct control *control);

static void on_attach_due(struct timer *timer)
{
    attach(CONTROL_OF(timer, attach_timer));
}

static void attach_later(struct control *control, const struct err *err)
{
    if (!control->channel || control->closing)
        return;
    control->last_error = *err;
    int64_t wait_ms = backoff_next_ms(&control->backoff);
    LOG_LIMITED(LOG_LEVEL_INFO, 2, "xds_stream_ended", F_INT("retry_ms", wait_ms), F_ERR(err));
    timer_start(control->env->timers, &control->attach_timer, wait_ms, on_attach_due);
}

static void attach(struct control *control)
{
    struct err err;
    char *token = NULL;
    if (!control->channel)
        return;
    if (bearer_read(control->config->token_file, &token, &err) != ERR_OK ||
        xds_client_attach(control->xds, control->channel, token, &err) != ERR_OK) {
        /* ERR_BUSY: the stream of the former link has not ended yet; its end attaches again. */
        if (err.code != ERR_BUSY)
            attach_later(control, &err);
    }
    bearer_free(token);
}

static void on_snapshot(struct mesh_snapshot *snapshot, void *arg)
{
    struct control *control = arg;
    LOG_DEBUG("snapshot", F_INT("generation", mesh_snapshot_generation(snapshot)));
    mesh_snapshot_unref(snapshot); /* publish() takes its own */
    publish(control);
}

static void on_answer(void *arg)
{
    struct control *control = arg;
    control->last_error = (struct err){0};
    note_connected(control);
}

static void on_bundle(const struct xds_bundle *bundle, void *arg)
{
    struct control *control = arg;
    identity_set_bundle(&control->identity, bundle);
}

static void on_stream_end(const struct err *err, bool answered, void *arg)
{
    struct control *control = arg;
    stats_stream_ended(control->stats, err->code);
    note_connected(control);
    if (answered)
        backoff_reset(&control->backoff);
    attach_later(control, err);
}

/* --- the link ------------------------------------------------------------------------------- */

static void on_up(struct link *link, struct rpc_channel *channel)
{
    struct control *control = CONTROL_OF(link, link);
    control->channel = channel;
    control->connects++;
    LOG_INFO("control_connected", F_STR("control", control->config->control));
    backoff_reset(&control->backoff);
    identity_set_channel(&control->identity, channel);
    attach(control);
}

static void on_down(struct link *link, const struct err *err, bool again)
{
    struct control *control = CONTROL_OF(link, link);
    control->channel = NULL;
    control->last_error = *err;
    note_connected(control);
    timer_stop(control->env->timers, &control->attach_timer);
    identity_set_channel(&control->identity, NULL);
    stats_link_failed(control->stats, err->code);
    if (!again)
        LOG_LIMITED(LOG_LEVEL_WARN, 2, "control_disconnected", F_ERR(err));
}

bool control_connected(const struct control *control)
{
    return control->channel && xds_client_stats(control->xds)->connected;
}

/* --- begin and end -------------------------------------------------------------------------- */

static enum err_code start_xds(struct control *control, struct err *err)
{
    static const struct xds_client_events events = {.on_snapshot = on_snapshot,
                                                    .on_bundle = on_bundle,
                                                    .on_answer = on_answer,
                                                    .on_end = on_stream_end};
    char pod_ip[ADDR_TEXT_MAX];
    const struct config *config = control->config;
    const struct xds_client_config client = {
        .pod_ip = addr_format(&config->pod_ips[0], pod_ip),
        .pod_name = config->pod_name,
        .namespace = config->ns,
        .cluster_id = config->cluster_id,
        .trust_domain = config->trust_domain,
    };
    control->xds = xds_client_new(control->env->timers, &client, &events, control, err);
    return control->xds ? ERR_OK : err->code;
}

enum err_code control_start(struct control *control, struct err *err)
{
    control->backoff =
        (struct backoff){.first_ms = CONTROL_BACKOFF_FIRST_MS, .max_ms = CONTROL_BACKOFF_MAX_MS};
    control->changed_ms = clock_now_ms();
    if (start_xds(control, err) != ERR_OK)
        return err->code;
    control->rpc = rpc_start(control->env->loop, err);
    if (!control->rpc) {
        xds_client_close(control->xds, NULL, NULL);
        return err->code;
    }
    control->identity.config = control->config;
    control->identity.timers = control->env->timers;
    control->identity.on_context = on_context;
    control->identity.on_request = on_request;
    identity_init(&control->identity);
    control->news.config = control->config;
    control->news.timers = control->env->timers;
    control->news.grace_ms = NEWS_GRACE_MS;
    control->link.config = control->config;
    control->link.env = control->env;
    control->link.rpc = control->rpc;
    control->link.on_up = on_up;
    control->link.on_down = on_down;
    link_start(&control->link);
    return ERR_OK;
}

static void on_rpc_closed(void *arg)
{
    struct control *control = arg;
    view_unref(control->view);
    control->view = NULL;
    control->on_closed(control);
}

static void on_link_closed(struct link *link)
{
    struct control *control = CONTROL_OF(link, link);
    rpc_close(control->rpc, on_rpc_closed, control);
}

static void on_identity_closed(struct identity *identity)
{
    link_close(&CONTROL_OF(identity, identity)->link, on_link_closed);
}

static void on_xds_closed(void *arg)
{
    struct control *control = arg;
    identity_close(&control->identity, on_identity_closed);
}

void control_close(struct control *control, void (*on_closed)(struct control *))
{
    control->closing = true;
    control->on_closed = on_closed;
    timer_stop(control->env->timers, &control->attach_timer);
    news_close(&control->news);
    xds_client_close(control->xds, on_xds_closed, control);
}
