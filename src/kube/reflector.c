#include "kube/reflector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "kube/client_impl.h"
#include "kube/json.h"
#include "kube/reflector_impl.h"

enum {
    PAGE_ITEMS = 500,
    PATH_MAX_BYTES = 1024,
    RETRY_AFTER_MAX_S = 120,
    REFUSALS_MAX = 3, /* of a watch, then the list is asked again */
};

static void go(struct kube_reflector *reflector);

/* --- callbacks may close ---------------------------------------------------------------------- */

static void free_reflector(struct kube_reflector *reflector)
{
    kube_known_deinit(&reflector->known);
    kube_cutter_deinit(&reflector->cutter);
    kube_buffer_deinit(&reflector->refusal);
    free(reflector->path);
    free(reflector);
}

/* False: it was closed meanwhile, and is gone. */
static bool leave(struct kube_reflector *reflector)
{
    if (--reflector->busy > 0 || !reflector->closed)
        return true;
    free_reflector(reflector);
    return false;
}

/* --- asking ----------------------------------------------------------------------------------- */

/* Percent-encodes what is not unreserved (RFC 3986 section 2.3); false when it does not fit. */
static bool add_escaped(char *url, size_t size, const char *name, const char *value)
{
    size_t used = strlen(url);
    int n = snprintf(url + used, size - used, "&%s=", name);
    used += (size_t)n;
    for (const char *at = value; *at && used < size; at++) {
        bool plain = (*at >= 'a' && *at <= 'z') || (*at >= 'A' && *at <= 'Z') ||
                     (*at >= '0' && *at <= '9') || strchr("-._~", *at);
        n = snprintf(url + used, size - used, plain ? "%c" : "%%%02X", (unsigned char)*at);
        used += (size_t)n;
    }
    return used < size;
}

/* The URL of the next request; false when it does not fit. */
static bool make_url(struct kube_reflector *reflector, char *url, size_t size)
{
    const struct kube_client_timing *timing = &reflector->client->timing;
    char first = strchr(reflector->path, '?') ? '&' : '?';
    if (reflector->step == REFLECTOR_WATCH) {
        /* Spread, so that what began together does not stay together. */
        int64_t timeout_s = timing->watch_s + backoff_random_ms(timing->watch_s + 1);
        reflector->watch_ms = timeout_s * 1000 + timing->watch_grace_ms;
        snprintf(url, size, "%s%cwatch=true&allowWatchBookmarks=true&timeoutSeconds=%lld",
                 reflector->path, first, (long long)timeout_s);
        return add_escaped(url, size, "resourceVersion", reflector->version);
    }
    snprintf(url, size, "%s%climit=%d", reflector->path, first, PAGE_ITEMS);
    return reflector->step == REFLECTOR_LIST || add_escaped(url, size, "continue", reflector->page);
}

static void on_wait(struct timer *timer)
{
    go((struct kube_reflector *)(void *)((char *)timer - offsetof(struct kube_reflector, wait)));
}

static void wait_ms(struct kube_reflector *reflector, int64_t delay_ms)
{
    timer_start(reflector->client->env->timers, &reflector->wait, delay_ms, on_wait);
}

/* The same, or what `step` says, after a pause that grows from failure to failure. */
static void go_later(struct kube_reflector *reflector, enum reflector_step step)
{
    int64_t delay_ms = backoff_next_ms(&reflector->backoff);
    int64_t asked_s =
        reflector->retry_after_s < RETRY_AFTER_MAX_S ? reflector->retry_after_s : RETRY_AFTER_MAX_S;
    if (asked_s > 0) /* spread: all of a cluster's clients were told the same */
        delay_ms = asked_s * 1000 + backoff_random_ms(1000);
    /* Who waits for a connection has the pauses between attempts to make one, and goes on as soon as
     * there is one. */
    if (reflector->status == 0 && !kube_client_is_connected(reflector->client, NULL))
        delay_ms = 0;
    reflector->step = step;
    wait_ms(reflector, delay_ms);
}

/* --- what an answer leads to ------------------------------------------------------------------ */

static const char *verb_of(const struct kube_reflector *reflector)
{
    return reflector->step == REFLECTOR_WATCH ? "watch" : "list";
}

static void complain(const struct kube_reflector *reflector, enum log_level level,
                     const char *event)
{
    LOG_LIMITED(level, 5, event, F_STR("path", reflector->path), F_STR("verb", verb_of(reflector)),
                F_INT("status", reflector->status), F_ERR(&reflector->err));
}

static void take_absence(struct kube_reflector *reflector)
{
    bool news = reflector->absent++ == 0;
    reflector->step = REFLECTOR_LIST;
    wait_ms(reflector, reflector->client->timing.absent_ms);
    if (news) {
        LOG_INFO("kube_collection_absent", F_STR("path", reflector->path));
        if (reflector->events->on_absent)
            reflector->events->on_absent(reflector->arg);
    } else {
        /* Twice is no server that is still starting: what was there is gone with its kind. */
        kube_known_begin(&reflector->known);
        reflector_sweep(reflector);
    }
}

/* Any status but 200. */
static void take_refusal(struct kube_reflector *reflector)
{
    char message[300];
    json_t *status = kube_json_load(reflector->refusal.bytes, reflector->refusal.len, NULL);
    kube_status_message(status, message, sizeof message);
    json_decref(status);
    err_set(&reflector->err, ERR_RPC_STATUS, "%s %.100s: the server answered %d %s",
            verb_of(reflector), reflector->path, reflector->status, message);
    bool expired = reflector->status == 410;
    if (reflector->status == 404) {
        take_absence(reflector);
        return;
    }
    complain(reflector, expired ? LOG_LEVEL_INFO : LOG_LEVEL_WARN,
             expired ? "kube_relist" : "kube_refused");
    if (reflector->step == REFLECTOR_WATCH && !expired && ++reflector->refusals < REFUSALS_MAX)
        go_later(reflector, REFLECTOR_WATCH);
    else
        go_later(reflector, REFLECTOR_LIST);
}

static void take_list(struct kube_reflector *reflector)
{
    if (!reflector_take_frame(reflector)) {
        complain(reflector, LOG_LEVEL_WARN, "kube_list_unreadable");
        go_later(reflector, REFLECTOR_LIST);
        return;
    }
    reflector->step = reflector->page[0] ? REFLECTOR_PAGE : REFLECTOR_WATCH;
    if (reflector->step == REFLECTOR_PAGE) {
        wait_ms(reflector, 0);
        return;
    }
    reflector->absent = 0;
    reflector->refusals = 0;
    if (!reflector->damaged && !reflector_sweep(reflector))
        return;
    wait_ms(reflector, 0);
    if (!reflector->synced) {
        reflector->synced = true;
        reflector->events->on_synced(reflector->arg);
    }
}

/* A watch that lived for a while: what ends it now is no consequence of what ended the last. */
static bool is_steady(const struct kube_reflector *reflector)
{
    return reflector->step == REFLECTOR_WATCH && reflector->status == 200 &&
           clock_now_ms() - reflector->started_ms >= reflector->client->timing.steady_ms;
}

static void take_watch(struct kube_reflector *reflector)
{
    switch (reflector->verdict) {
    case REFLECTOR_FINE:
        reflector->refusals = 0;
        if (is_steady(reflector))
            wait_ms(reflector, 0);
        else
            go_later(reflector, REFLECTOR_WATCH);
        return;
    case REFLECTOR_REFUSED:
        complain(reflector, LOG_LEVEL_WARN, "kube_refused");
        go_later(reflector,
                 ++reflector->refusals < REFUSALS_MAX ? REFLECTOR_WATCH : REFLECTOR_LIST);
        return;
    case REFLECTOR_EXPIRED:
    case REFLECTOR_BROKEN:
        complain(reflector, LOG_LEVEL_INFO, "kube_relist");
        go_later(reflector, REFLECTOR_LIST);
        return;
    }
}

static void decide(struct kube_reflector *reflector, const struct err *err)
{
    if (is_steady(reflector))
        backoff_reset(&reflector->backoff);
    if (err->code != ERR_OK) {
        reflector->err = *err;
        complain(reflector, LOG_LEVEL_INFO, "kube_interrupted");
        /* A watch goes on from where it was; the pages of a list do not outlive their server. */
        go_later(reflector, reflector->step == REFLECTOR_WATCH ? REFLECTOR_WATCH : REFLECTOR_LIST);
    } else if (reflector->status != 200) {
        take_refusal(reflector);
    } else if (reflector->step == REFLECTOR_WATCH) {
        take_watch(reflector);
    } else {
        take_list(reflector);
    }
}

/* --- the call --------------------------------------------------------------------------------- */

/* The call is over, or has been given up for what it said. */
static void finish(struct kube_reflector *reflector, const struct err *err)
{
    reflector->busy++;
    decide(reflector, err);
    kube_cutter_deinit(&reflector->cutter);
    kube_buffer_clear(&reflector->refusal);
    leave(reflector);
}

static void on_head(struct kube_call *call, int status, int64_t retry_after_s, void *arg)
{
    struct kube_reflector *reflector = arg;
    reflector->status = status;
    reflector->retry_after_s = status == 200 ? 0 : retry_after_s;
    reflector->started_ms = clock_now_ms();
    if (status == 200 && reflector->step == REFLECTOR_WATCH)
        kube_call_set_deadline(call, reflector->watch_ms);
}

static void on_bytes(struct kube_call *call, const void *bytes, size_t len, void *arg)
{
    struct kube_reflector *reflector = arg;
    struct err err = {0};
    bool watch = reflector->step == REFLECTOR_WATCH;
    if (reflector->status != 200) {
        /* What does not fit is no sentence any more. */
        (void)kube_buffer_add(&reflector->refusal, bytes, len);
        return;
    }
    reflector->busy++;
    enum err_code code = kube_cutter_feed(&reflector->cutter, bytes, len, &err);
    if (!leave(reflector))
        return;
    if (watch && reflector->cutter.dropped > 0)
        code = err_set(&err, ERR_TOO_LARGE, "a watch event has more than %d bytes", KUBE_PIECE_MAX);
    if (code == ERR_OK)
        return;
    reflector->call = NULL;
    kube_call_cancel(call);
    if (watch && reflector->verdict == REFLECTOR_FINE) {
        reflector->verdict = REFLECTOR_BROKEN;
        reflector->err = err;
    }
    finish(reflector, watch ? &(struct err){0} : &err);
}

static void on_end(const struct err *err, void *arg)
{
    struct kube_reflector *reflector = arg;
    reflector->call = NULL;
    finish(reflector, err);
}

/* Asks for what reflector->step says. */
static void go(struct kube_reflector *reflector)
{
    static const struct kube_call_events events = {
        .on_head = on_head, .on_bytes = on_bytes, .on_end = on_end};
    const struct kube_client_timing *timing = &reflector->client->timing;
    char url[KUBE_PATH_MAX];
    bool watch = reflector->step == REFLECTOR_WATCH;
    struct kube_call_spec spec = {.method = "GET",
                                  .path = url,
                                  .timeout_ms = watch ? timing->head_ms : timing->page_ms,
                                  .endless = watch,
                                  .events = &events,
                                  .arg = reflector};
    if (reflector->step == REFLECTOR_LIST) {
        kube_known_begin(&reflector->known);
        reflector->damaged = false;
    }
    reflector->status = 0;
    reflector->retry_after_s = 0;
    reflector->verdict = REFLECTOR_FINE;
    kube_cutter_init(&reflector->cutter, watch ? KUBE_CUTTER_STREAM : KUBE_CUTTER_LIST,
                     watch ? reflector_take_event : reflector_take_item, reflector);
    if (!make_url(reflector, url, sizeof url))
        err_set(&reflector->err, ERR_TOO_LARGE, "the URL of the next page is too long");
    else
        reflector->call = kube_call_start(reflector->client, &spec, &reflector->err);
    if (reflector->call)
        return;
    complain(reflector, LOG_LEVEL_WARN, "kube_call_failed");
    go_later(reflector, watch ? REFLECTOR_WATCH : REFLECTOR_LIST);
}

/* --- life ------------------------------------------------------------------------------------- */

struct kube_reflector *kube_reflector_start(struct kube_client *client, const char *path,
                                            const struct kube_reflector_events *events, void *arg,
                                            struct err *err)
{
    struct kube_reflector *reflector = calloc(1, sizeof *reflector);
    if (strlen(path) > PATH_MAX_BYTES) {
        err_set(err, ERR_TOO_LARGE, "the path %.60s... has more than %d bytes", path,
                PATH_MAX_BYTES);
    } else if (client->closing) {
        err_set(err, ERR_CANCELLED, "the client is closing");
    } else if (!reflector || !(reflector->path = strdup(path)) ||
               !timer_start(client->env->timers, &reflector->wait, 0, on_wait)) {
        err_set(err, ERR_NO_MEMORY, "no memory to follow %.100s", path);
    } else {
        reflector->client = client;
        reflector->events = events;
        reflector->arg = arg;
        reflector->refusal.max = REFLECTOR_STATUS_MAX;
        reflector->backoff = (struct backoff){.first_ms = client->timing.pause_first_ms,
                                              .max_ms = client->timing.pause_max_ms};
        kube_known_init(&reflector->known);
        client->reflectors++;
        return reflector;
    }
    if (reflector)
        free(reflector->path);
    free(reflector);
    return NULL;
}

void kube_reflector_close(struct kube_reflector *reflector)
{
    if (reflector->closed)
        abort();
    reflector->closed = true;
    reflector->client->reflectors--;
    timer_stop(reflector->client->env->timers, &reflector->wait);
    if (reflector->call)
        kube_call_cancel(reflector->call);
    reflector->call = NULL;
    if (reflector->busy == 0)
        free_reflector(reflector);
}
