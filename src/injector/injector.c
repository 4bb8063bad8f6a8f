#include "injector/injector.h"

#include <signal.h>
#include <string.h>

#include "base/log.h"

/* --- the end, step by step: certificate, gate, HTTP, the loop's handles ----------------------- */

static void count_closed(struct injector *injector)
{
    if (--injector->closing == 0)
        loop_stop(&injector->loop);
}

static void on_signal_closed(uv_handle_t *handle)
{
    count_closed(handle->data);
}

static void on_timers_closed(struct timers *timers)
{
    count_closed((struct injector *)(void *)((char *)timers - offsetof(struct injector, timers)));
}

static void on_gate_closed(struct gate *gate)
{
    struct injector *injector =
        (struct injector *)(void *)((char *)gate - offsetof(struct injector, gate));
    webhook_stop(&injector->webhook);
    relay_env_deinit(&injector->env);
    injector->closing = INJECTOR_SIGNALS + 1;
    for (int i = 0; i < INJECTOR_SIGNALS; i++)
        uv_close((uv_handle_t *)&injector->signals[i], on_signal_closed);
    timers_close(&injector->timers, on_timers_closed);
}

static void on_certificate_closed(struct webhook_certificate *certificate)
{
    struct injector *injector = certificate->owner;
    gate_close(&injector->gate, on_gate_closed);
}

static void end(struct injector *injector)
{
    if (injector->ending)
        return;
    injector->ending = true;
    timer_stop(&injector->timers, &injector->drain);
    injector->certificate->type->close(injector->certificate);
}

static void on_drained(struct timer *timer)
{
    end((struct injector *)(void *)((char *)timer - offsetof(struct injector, drain)));
}

/* The API server goes on calling us until it has heard that this pod is leaving. */
static void on_signal(uv_signal_t *handle, int number)
{
    struct injector *injector = handle->data;
    LOG_INFO("ending", F_STR("signal", number == SIGTERM ? "SIGTERM" : "SIGINT"));
    webhook_set_ending(&injector->webhook);
    if (injector->draining ||
        !timer_start(&injector->timers, &injector->drain, injector->config->drain_ms, on_drained))
        end(injector);
    injector->draining = true;
}

/* --- the beginning ---------------------------------------------------------------------------- */

static void on_context(struct webhook_certificate *certificate, struct tls_context *context)
{
    struct injector *injector = certificate->owner;
    const struct tls_identity_info *info = tls_context_identity(context);
    gate_set_context(&injector->gate, context);
    webhook_set_not_after(&injector->webhook, info->not_after_s);
    LOG_INFO("certificate", F_STR("serial", info->serial), F_INT("not_after_s", info->not_after_s));
}

static enum err_code start_loop(struct injector *injector, struct err *err)
{
    static const int numbers[INJECTOR_SIGNALS] = {SIGTERM, SIGINT};
    if (loop_init(&injector->loop, err) != ERR_OK ||
        timers_init(&injector->timers, &injector->loop, err) != ERR_OK ||
        relay_env_init(&injector->env, &injector->loop, &injector->timers, err) != ERR_OK)
        return err->code;
    for (int i = 0; i < INJECTOR_SIGNALS; i++) {
        uv_signal_init(&injector->loop.uv, &injector->signals[i]);
        injector->signals[i].data = injector;
        uv_signal_start(&injector->signals[i], on_signal, numbers[i]);
    }
    return ERR_OK;
}

static enum err_code start_certificate(struct injector *injector, struct err *err)
{
    const struct injector_config *config = injector->config;
    if (config->certificate_secret) {
        certificate_secret_init(&injector->secret, config->certificate_secret, config->kubeconfig);
        injector->certificate = &injector->secret.base;
    } else {
        certificate_files_init(&injector->files, config->cert_file, config->key_file);
        injector->certificate = &injector->files.base;
    }
    injector->certificate->env = &injector->env;
    injector->certificate->owner = injector;
    injector->certificate->on_context = on_context;
    injector->certificate->on_closed = on_certificate_closed;
    return injector->certificate->type->start(injector->certificate, err);
}

enum err_code injector_start(struct injector *injector, const struct injector_config *config,
                             struct err *err)
{
    memset(injector, 0, sizeof *injector);
    injector->config = config;
    enum err_code code = start_loop(injector, err);
    if (code != ERR_OK)
        return code;
    injector->gate.env = &injector->env;
    injector->gate.tally = &injector->tally;
    injector->webhook.settings = &config->settings;
    injector->webhook.tally = &injector->tally;
    code = start_certificate(injector, err);
    if (code == ERR_OK)
        code = webhook_start(&injector->webhook, (uint16_t)config->metrics_port,
                             &injector->gate.inside, &injector->gate.inside_len, err);
    if (code == ERR_OK)
        code = gate_open(&injector->gate, config->listen, config->listen_count, err);
    return code;
}

void injector_run(struct injector *injector)
{
    loop_run(&injector->loop);
    loop_deinit(&injector->loop);
}
