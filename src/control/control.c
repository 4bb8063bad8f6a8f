#include "control/control.h"

#include <signal.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "control/ca_server.h"

/* --- certificates of our own ------------------------------------------------------------------ */

static void renew_server(struct control *control)
{
    struct tls_context *context;
    struct err err = {0};
    if (ca_server_make(control->state.ca, control->config->dns_names, control->config->dns_count,
                       &context, &control->server_renew_at_s, &err) != ERR_OK) {
        LOG_ERROR("server_certificate_not_renewed", F_ERR(&err));
        return;
    }
    control_listener_set_context(&control->listener, context);
    tls_context_unref(context);
    LOG_INFO("server_certificate_renewed", F_STR("name", control->config->dns_names[0]));
}

/* A short interval and the wall clock, so that a machine that slept is not late. */
static void on_certificates_due(struct timer *timer)
{
    struct control *control =
        (struct control *)(void *)((char *)timer - offsetof(struct control, certificates));
    struct err err = {0};
    bool renewed = false;
    if (control->state.folder[0] &&
        ca_state_renew_if_due(&control->state, &renewed, &err) != ERR_OK)
        LOG_ERROR("issuer_not_renewed", F_ERR(&err));
    if (renewed) {
        control->tally.issuer_renewals++;
        LOG_INFO("issuer_renewed", F_STR("state", control->state.folder));
    }
    if (renewed || clock_wall_s() >= control->server_renew_at_s)
        renew_server(control);
    timer_start(&control->timers, timer, CONTROL_CERTIFICATES_MS, on_certificates_due);
}

/* --- what proxies call ------------------------------------------------------------------------ */

static void on_certificate(struct rpc_call *call, void *arg)
{
    struct control *control = arg;
    issue_open(&control->issuer, call);
}

static void on_stream(struct rpc_call *call, void *arg)
{
    struct control *control = arg;
    ads_open(&control->ads, call);
}

static const struct rpc_method methods[] = {
    {XDS_METHOD_CERTIFICATE, on_certificate},
    {XDS_METHOD_DELTA, on_stream},
    {NULL, NULL},
};

/* The authority has changed in its Secret; the first one is what the start waits for. */
static void on_authority(struct kube_plane *plane)
{
    struct control *control =
        (struct control *)(void *)((char *)plane - offsetof(struct control, plane));
    if (control->listening)
        renew_server(control);
    else
        loop_stop(&control->loop);
}

static void on_compiled(struct mesh_file *file, struct compiled *compiled)
{
    struct control *control =
        (struct control *)(void *)((char *)file - offsetof(struct control, file));
    ads_publish(&control->ads, compiled);
}

/* --- the end, step by step: HTTP and file, streams, listener and gRPC, the loop's handles ---- */

static void count_closed(struct control *control)
{
    if (--control->closing == 0)
        loop_stop(&control->loop);
}

static void on_signal_closed(uv_handle_t *handle)
{
    count_closed(handle->data);
}

static void on_timers_closed(struct timers *timers)
{
    count_closed((struct control *)(void *)((char *)timers - offsetof(struct control, timers)));
}

static void on_mailbox_closed(struct mailbox *mailbox)
{
    count_closed(mailbox->owner);
}

static void on_rpc_closed(void *arg)
{
    struct control *control = arg;
    control->closing = CONTROL_SIGNALS + 2;
    for (int i = 0; i < CONTROL_SIGNALS; i++)
        uv_close((uv_handle_t *)&control->signals[i], on_signal_closed);
    timers_close(&control->timers, on_timers_closed);
    mailbox_close(&control->mailbox, on_mailbox_closed);
}

static void on_listener_closed(struct control_listener *listener)
{
    struct control *control =
        (struct control *)(void *)((char *)listener - offsetof(struct control, listener));
    rpc_close(control->rpc, on_rpc_closed, control);
}

static void on_xds_closed(void *arg)
{
    struct control *control = arg;
    control_listener_close(&control->listener, on_listener_closed);
}

static void close_streams(struct control *control)
{
    ads_deinit(&control->ads);
    xds_server_close(control->xds, on_xds_closed, control);
}

static void on_file_closed(struct mesh_file *file)
{
    close_streams((struct control *)(void *)((char *)file - offsetof(struct control, file)));
}

static void on_plane_closed(struct kube_plane *plane)
{
    close_streams((struct control *)(void *)((char *)plane - offsetof(struct control, plane)));
}

void control_end(struct control *control)
{
    if (control->ending)
        return;
    control->ending = true;
    if (!control->listening) {
        loop_stop(&control->loop); /* control_start() goes on, and fails */
        return;
    }
    timer_stop(&control->timers, &control->certificates);
    control_ops_stop(&control->ops);
    if (control->config->kubernetes)
        kube_plane_close(&control->plane, on_plane_closed);
    else
        mesh_file_close(&control->file, on_file_closed);
}

static void on_signal(uv_signal_t *handle, int number)
{
    struct control *control = handle->data;
    if (number == SIGHUP) {
        if (!control->config->kubernetes)
            mesh_file_reload(&control->file);
        return;
    }
    LOG_INFO("ending", F_STR("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"));
    control_end(control);
}

/* --- the beginning ---------------------------------------------------------------------------- */

static enum err_code start_loop(struct control *control, struct err *err)
{
    static const int numbers[CONTROL_SIGNALS] = {SIGTERM, SIGINT, SIGHUP};
    enum err_code code = loop_init(&control->loop, err);
    if (code == ERR_OK)
        code = timers_init(&control->timers, &control->loop, err);
    if (code == ERR_OK)
        code = mailbox_open(&control->mailbox, &control->loop, control, err);
    if (code == ERR_OK)
        code = relay_env_init(&control->env, &control->loop, &control->timers, err);
    for (int i = 0; code == ERR_OK && i < CONTROL_SIGNALS; i++) {
        uv_signal_init(&control->loop.uv, &control->signals[i]);
        control->signals[i].data = control;
        uv_signal_start(&control->signals[i], on_signal, numbers[i]);
    }
    return code;
}

static enum err_code start_mesh(struct control *control, struct err *err)
{
    const struct config *config = control->config;
    const struct xds_server_config streams = {.streams_max = control->quota.places};
    control->xds = xds_server_new(&control->timers, &streams, err);
    if (!control->xds)
        return err->code;
    control->ads = (struct ads){.xds = control->xds,
                                .timers = &control->timers,
                                .tally = &control->tally,
                                .authenticator = control->authenticator,
                                .cluster_id = config->cluster_id,
                                .quota = &control->quota,
                                .admit = control_listener_admit};
    if (config->kubernetes)
        return ads_publish_bundle(&control->ads, ca_root_pem(control->state.ca), err);
    control->file = (struct mesh_file){.path = config->mesh,
                                       .cluster_id = config->cluster_id,
                                       .timers = &control->timers,
                                       .tally = &control->tally,
                                       .on_compiled = on_compiled};
    enum err_code code = mesh_file_load(&control->file, err);
    if (code == ERR_OK)
        code = ads_publish_bundle(&control->ads, ca_root_pem(control->state.ca), err);
    return code;
}

static enum err_code start_rpc(struct control *control, struct err *err)
{
    const struct config *config = control->config;
    control->issuer = (struct issuer){.timers = &control->timers,
                                      .state = &control->state,
                                      .authenticator = control->authenticator,
                                      .tally = &control->tally,
                                      .quota = &control->quota,
                                      .cluster_id = config->cluster_id,
                                      .trust_domain = control->trust_domain,
                                      .ttl_s = config->ttl_s,
                                      .ttl_max_s = config->ttl_max_s,
                                      .deadline_ms = config->issue_deadline_ms,
                                      .admit = control_listener_admit};
    control->rpc = rpc_start(&control->loop, err);
    if (!control->rpc)
        return err->code;
    control->server = rpc_server_new(control->rpc, methods, control, err);
    return control->server ? ERR_OK : err->code;
}

static enum err_code start_ports(struct control *control, struct err *err)
{
    const struct config *config = control->config;
    struct tls_context *context;
    enum err_code code = ca_server_make(control->state.ca, config->dns_names, config->dns_count,
                                        &context, &control->server_renew_at_s, err);
    if (code != ERR_OK)
        return code;
    control->listener = (struct control_listener){.env = &control->env,
                                                  .server = control->server,
                                                  .tally = &control->tally,
                                                  .quota = &control->quota,
                                                  .limits = config->limits};
    control->listener.limits.connections = control->quota.places;
    code = control_listener_open(&control->listener, context, config->listen, config->listen_count,
                                 err);
    tls_context_unref(context);
    if (code != ERR_OK)
        return code;
    control->ops = (struct control_ops){.mailbox = &control->mailbox,
                                        .tally = &control->tally,
                                        .quota = &control->quota,
                                        .xds = control->xds,
                                        .state = &control->state,
                                        .rpc = control->server,
                                        .plane = config->kubernetes ? &control->plane : NULL};
    return control_ops_start(&control->ops, (uint16_t)config->metrics_port, err);
}

/* The authority of a folder is there at once. */
static enum err_code open_authority(struct control *control, struct err *err)
{
    const struct config *config = control->config;
    bool renewed;
    enum err_code code = ca_state_open(&control->state, config->state, err);
    if (code == ERR_OK)
        code = ca_state_renew_if_due(&control->state, &renewed, err);
    if (code != ERR_OK)
        return code;
    authenticator_tokens_init(&control->tokens, control->state.token_public_key, config->audience);
    control->authenticator = &control->tokens.authenticator;
    control->trust_domain = control->file.trust_domain;
    return ERR_OK;
}

/* That of a cluster has to be asked for, and is waited for as long as it takes. */
static enum err_code await_authority(struct control *control, struct err *err)
{
    control->plane = (struct kube_plane){.config = control->config,
                                         .env = &control->env,
                                         .tally = &control->tally,
                                         .state = &control->state,
                                         .ads = &control->ads,
                                         .on_authority = on_authority};
    enum err_code code = kube_plane_start(&control->plane, err);
    if (code != ERR_OK)
        return code;
    control->authenticator = &control->plane.reviews.authenticator;
    control->trust_domain = control->config->trust_domain;
    loop_run(&control->loop);
    return control->ending ? err_set(err, ERR_CANCELLED, "ended while waiting for the authority")
                           : ERR_OK;
}

/* As many connections as there may be open files, since each takes a few; one stream for each. */
static void count_places(struct control *control)
{
    struct rlimit files = {.rlim_cur = RLIM_INFINITY};
    getrlimit(RLIMIT_NOFILE, &files);
    unsigned places = control->config->limits.connections;
    if (places == 0)
        places = quota_places(files.rlim_cur);
    quota_init(&control->quota, places);
    LOG_INFO("ceilings", F_INT("connections", places), F_INT("streams", places),
             F_INT("files", (int64_t)files.rlim_cur));
}

enum err_code control_start(struct control *control, const struct config *config, struct err *err)
{
    *control = (struct control){.config = config, .state = {.lock_fd = -1}};
    enum err_code code = ERR_OK;
    count_places(control);
    if (!config->kubernetes)
        code = open_authority(control, err);
    if (code == ERR_OK)
        code = start_loop(control, err);
    if (code == ERR_OK && config->kubernetes)
        code = await_authority(control, err);
    if (code == ERR_OK)
        code = start_mesh(control, err);
    if (code == ERR_OK)
        code = start_rpc(control, err);
    if (code == ERR_OK)
        code = start_ports(control, err);
    if (code == ERR_OK && config->kubernetes)
        code = kube_plane_serve(&control->plane, err);
    if (code != ERR_OK)
        return code;
    control->listening = true;
    if (!config->kubernetes)
        mesh_file_watch(&control->file, &control->loop);
    timer_start(&control->timers, &control->certificates, CONTROL_CERTIFICATES_MS,
                on_certificates_due);
    return ERR_OK;
}

void control_run(struct control *control)
{
    loop_run(&control->loop);
    metrics_free(control->ops.metrics);
    relay_env_deinit(&control->env);
    loop_deinit(&control->loop);
    ca_state_close(&control->state);
    quota_deinit(&control->quota);
}
