#include "proxy/probe_run.h"

#include <stdlib.h>

#include "base/log.h"
#include "relay/socket.h"

enum { USER_TIMEOUT_MS = 10000 };

/* --- the end ---------------------------------------------------------------------------------- */

void probe_run_leave(struct probe_run *run)
{
    if (run->stage == RUN_CONNECTING)
        connect_cancel(&run->u.connect);
    else if (run->stage == RUN_SHAKING)
        handshake_cancel(&run->u.handshake);
    else if (run->stage == RUN_TALKING)
        poll_item_remove(run->probes->env->loop, &run->u.item);
    run->stage = RUN_IDLE;
    if (run->fd >= 0 && run->complete)
        socket_close_clean(run->fd);
    else if (run->fd >= 0)
        socket_close_reset(run->fd);
    run->fd = -1;
    tls_conn_free(run->tls);
    run->tls = NULL;
    free(run->request);
    run->request = NULL;
    if (run->channel)
        rpc_channel_close(run->channel); /* ends the call, whose end frees the run */
    run->channel = NULL;
}

void probe_run_finish(struct probe_run *run, unsigned status, const char *sentence)
{
    struct probes *probes = run->probes;
    if (run->answered)
        return;
    run->answered = true;
    run->probe->run = NULL;
    run->probe->waiting = 0;
    timer_stop(probes->env->timers, &run->deadline);
    while (run->asks) {
        struct probe_ask *ask = run->asks;
        run->asks = ask->next;
        probes_answer(ask, status, sentence);
    }
    if (status >= 400)
        LOG_LIMITED(LOG_LEVEL_INFO, 5, "probe_failed", F_STR("probe", run->probe->route),
                    F_STR("kind", probe_kind_name(run->probe->kind)), F_INT("status", status),
                    F_STR("because", sentence));
    probe_run_leave(run);
    if (run->call)
        return;
    free(run);
    probes_gone(probes);
}

void probe_run_fail(struct probe_run *run, const struct err *err)
{
    probe_run_finish(run, 503, err->text);
}

static void on_deadline(struct timer *timer)
{
    struct probe_run *run = PROBE_RUN_OF(timer, deadline);
    struct err err;
    err_set(&err, ERR_TIMEOUT, "the application did not answer within %lld ms",
            (long long)run->probe->timeout_ms);
    probe_run_fail(run, &err);
}

/* --- the way there ---------------------------------------------------------------------------- */

static void on_connect(struct connect *connect, int fd, struct err *err)
{
    struct probe_run *run = PROBE_RUN_OF(connect, u.connect);
    run->stage = RUN_IDLE;
    if (fd < 0) {
        probe_run_fail(run, err);
        return;
    }
    switch (run->probe->kind) {
    case PROBE_TCP:
        run->fd = fd;
        run->complete = true;
        probe_run_finish(run, 200, "ok");
        break;
    case PROBE_GRPC:
        probe_health(run, fd);
        break;
    case PROBE_HTTP:
    case PROBE_HTTPS:
        if (run->target.https)
            probe_shake(run, fd);
        else
            probe_talk(run, fd);
        break;
    }
}

void probe_run_begin(struct probe_run *run)
{
    static const struct socket_limits limits = {.user_timeout_ms = USER_TIMEOUT_MS};
    struct err err = {0};
    if (connect_start(&run->u.connect, run->probes->env, &run->target.at, &limits,
                      run->probe->timeout_ms, on_connect, &err) == ERR_OK)
        run->stage = RUN_CONNECTING;
    else
        probe_run_fail(run, &err);
}

struct probe_run *probe_run_new(struct probes *probes, struct probe *probe)
{
    struct probe_run *run = calloc(1, sizeof *run);
    if (!run)
        return NULL;
    run->probes = probes;
    run->probe = probe;
    run->fd = -1;
    run->target.at = (struct addr_port){.ip = probes->ip, .port = probe->port};
    if ((probe->path && !probe_target_init(&run->target, probe, &probes->ip)) ||
        !timer_start(probes->env->timers, &run->deadline, probe->timeout_ms, on_deadline)) {
        free(run);
        return NULL;
    }
    probe->run = run;
    probes->pending++;
    return run;
}
