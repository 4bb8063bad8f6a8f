#include "bed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "kube/client_impl.h"

static void on_tick(struct timer *timer)
{
    struct bed *bed = (struct bed *)(void *)((char *)timer - offsetof(struct bed, tick));
    timer_start(&bed->timers, timer, 10, on_tick);
}

bool bed_wait(struct bed *bed, bool (*done)(void *arg), void *arg)
{
    int64_t until = clock_now_ms() + BED_WAIT_MS;
    while (!done(arg) && clock_now_ms() < until)
        uv_run(&bed->loop.uv, UV_RUN_ONCE);
    return done(arg);
}

void bed_idle(struct bed *bed, int64_t ms)
{
    int64_t until = clock_now_ms() + ms;
    while (clock_now_ms() < until)
        uv_run(&bed->loop.uv, UV_RUN_ONCE);
}

/* One authority for the whole program: an RSA key takes its time. */
static const struct certs *make_certs(void)
{
    static struct certs certs;
    if (!certs.ca)
        certs_init(&certs);
    return &certs;
}

void bed_start(struct bed *bed)
{
    struct err err;
    memset(bed, 0, sizeof *bed);
    log_set_level(getenv("BED_VERBOSE") ? LOG_LEVEL_DEBUG : LOG_LEVEL_ERROR);
    CU_ASSERT_EQUAL_FATAL(loop_init(&bed->loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(timers_init(&bed->timers, &bed->loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(relay_env_init(&bed->env, &bed->loop, &bed->timers, &err), ERR_OK);
    on_tick(&bed->tick);
    bed->certs = make_certs();
    apiserver_start(&bed->server, &bed->loop,
                    certs_server(bed->certs, "kubernetes.test", "127.0.0.1", false));
    bed->config = (struct kube_config){.host = strdup("127.0.0.1"),
                                       .port = bed->server.port,
                                       .base_path = strdup(""),
                                       .server_name = strdup("kubernetes.test"),
                                       .ca_pem = strdup(bed->certs->ca_pem),
                                       .namespace = strdup("default")};
}

void bed_connect(struct bed *bed)
{
    struct err err = {0};
    enum err_code code = kube_client_new(&bed->client, &bed->env, &bed->config, &err);
    if (code != ERR_OK)
        fprintf(stderr, "\nbed: %s\n", err.text);
    CU_ASSERT_EQUAL_FATAL(code, ERR_OK);
    bed->client->timing.backoff_first_ms = bed->client->timing.pause_first_ms = 1;
    bed->client->timing.backoff_max_ms = bed->client->timing.pause_max_ms = 20;
    bed->client->backoff = (struct backoff){.first_ms = 1, .max_ms = 20};
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static bool is_true(void *arg)
{
    return *(bool *)arg;
}

bool bed_wait_flag(struct bed *bed, bool *flag)
{
    return bed_wait(bed, is_true, flag);
}

static void on_timers_closed(struct timers *timers)
{
    struct bed *bed = (struct bed *)(void *)((char *)timers - offsetof(struct bed, timers));
    bed->closed = true;
}

void bed_stop(struct bed *bed)
{
    if (bed->client) {
        kube_client_close(bed->client, on_closed, &bed->closed);
        CU_ASSERT_FALSE(bed->closed); /* never from inside */
        CU_ASSERT_TRUE_FATAL(bed_wait(bed, is_true, &bed->closed));
        bed->closed = false;
    }
    CU_ASSERT_EQUAL(bed->server.unexpected, 0);
    apiserver_stop(&bed->server);
    timer_stop(&bed->timers, &bed->tick);
    timers_close(&bed->timers, on_timers_closed);
    CU_ASSERT_TRUE_FATAL(bed_wait(bed, is_true, &bed->closed));
    relay_env_deinit(&bed->env);
    loop_deinit(&bed->loop);
    kube_config_deinit(&bed->config);
}

/* --- requests --------------------------------------------------------------------------------- */

void bed_on_answer(const struct kube_answer *answer, const struct err *err, void *arg)
{
    struct reply *reply = arg;
    reply->done = true;
    reply->times++;
    reply->err = *err;
    reply->status = answer->status;
    reply->retry_after_s = answer->retry_after_s;
    json_decref(reply->body);
    reply->body = json_incref(answer->body);
}

struct reply bed_get(struct bed *bed, const char *path, int64_t timeout_ms)
{
    struct reply reply = {0};
    struct err err = {0};
    struct kube_call *call =
        kube_request(bed->client, "GET", path, NULL, NULL, timeout_ms, bed_on_answer, &reply, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(call);
    CU_ASSERT_FALSE(reply.done); /* never from inside */
    CU_ASSERT_TRUE_FATAL(bed_wait(bed, is_true, &reply.done));
    return reply;
}
