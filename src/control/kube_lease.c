#include "control/kube_lease.h"

#include <stdio.h>
#include <string.h>
#include <sys/time.h>
#include <time.h>

#include "base/clock.h"
#include "base/log.h"

static void on_timer(struct timer *timer);

static void path_of(const struct kube_lease *lease, bool named, char path[KEEPER_NAME_MAX])
{
    snprintf(path, KEEPER_NAME_MAX, "/apis/coordination.k8s.io/v1/namespaces/%s/leases%s%s",
             lease->keeper->ns, named ? "/" : "", named ? lease->name : "");
}

/* RFC 3339 with microseconds, as MicroTime wants it. */
static json_t *micro_time(void)
{
    char text[40], seconds[24];
    struct timeval now;
    struct tm utc;
    gettimeofday(&now, NULL);
    gmtime_r(&now.tv_sec, &utc);
    strftime(seconds, sizeof seconds, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text, sizeof text, "%s.%06ldZ", seconds, (long)now.tv_usec);
    return json_string(text);
}

static void lead(struct kube_lease *lease, bool leading, const char *because)
{
    if (lease->keeper->leading == leading)
        return;
    lease->keeper->leading = leading;
    lease->transitions++;
    LOG_INFO(leading ? "leading" : "not_leading", F_STR("lease", lease->name),
             F_STR("because", because));
    if (leading && lease->on_leading)
        lease->on_leading(lease);
}

/* Has a clock of its own: a call that hangs may outlast the lease. */
static void on_yield(struct timer *timer)
{
    lead((struct kube_lease *)(void *)((char *)timer - offsetof(struct kube_lease, yield)), false,
         "the lease could not be renewed");
}

/* The lease is ours for as long as others see it renewed, which began when we asked at the
 * earliest. An answer that comes too late renews nothing. */
static void hold(struct kube_lease *lease)
{
    int64_t left_ms = lease->asked_ms + LEASE_YIELD_MS - clock_now_ms();
    if (left_ms <= 0 || !timer_start(lease->timers, &lease->yield, left_ms, on_yield))
        lead(lease, false, "the lease was renewed too late");
    else
        lead(lease, true, "the lease is held");
}

static void again(struct kube_lease *lease)
{
    timer_start(lease->timers, &lease->timer, LEASE_RENEW_MS, on_timer);
}

static void on_written(const struct kube_answer *answer, const struct err *err, void *arg)
{
    struct kube_lease *lease = arg;
    lease->call = NULL;
    if (err->code == ERR_OK && answer->status == 409) {
        lead(lease, false, "another replica took the lease");
    } else if (kube_keeper_result(lease->keeper, answer, err, "the Lease") == ERR_OK) {
        hold(lease);
    }
    again(lease);
}

static void write_lease(struct kube_lease *lease, json_t *object, bool create)
{
    char path[KEEPER_NAME_MAX];
    struct err err = {0};
    path_of(lease, !create, path);
    lease->asked_ms = clock_now_ms();
    lease->call = kube_request(lease->keeper->client, create ? "POST" : "PUT", path, NULL, object,
                               KEEPER_CALL_MS / 2, on_written, lease, &err);
    if (!lease->call)
        again(lease);
}

/* The lease as ours, from what was read (NULL: there was none). */
static json_t *claim(struct kube_lease *lease, json_t *body)
{
    json_t *object = body ? json_deep_copy(body)
                          : kube_keeper_object(lease->keeper, "coordination.k8s.io/v1", "Lease",
                                               lease->keeper->ns, lease->name);
    if (!object)
        return NULL;
    json_t *spec = json_object_get(object, "spec");
    const char *holder = json_string_value(json_object_get(spec, "holderIdentity"));
    bool ours = holder && strcmp(holder, lease->holder) == 0;
    json_int_t moves = json_integer_value(json_object_get(spec, "leaseTransitions"));
    if (!json_is_object(spec)) {
        spec = json_object();
        json_object_set_new(object, "spec", spec);
    }
    json_object_set_new(spec, "holderIdentity", json_string(lease->holder));
    json_object_set_new(spec, "leaseDurationSeconds", json_integer(LEASE_LIFE_S));
    json_object_set_new(spec, "renewTime", micro_time());
    if (!ours) {
        json_object_set_new(spec, "acquireTime", micro_time());
        json_object_set_new(spec, "leaseTransitions", json_integer(moves + (body ? 1 : 0)));
    }
    return object;
}

/* Held by another who has renewed it lately, as far as our own clock can tell. */
static bool is_taken(struct kube_lease *lease, json_t *body)
{
    json_t *spec = json_object_get(body, "spec");
    const char *holder = json_string_value(json_object_get(spec, "holderIdentity"));
    if (!holder || !*holder || strcmp(holder, lease->holder) == 0)
        return false;
    if (!lease->seen || !json_equal(lease->seen, spec)) {
        json_decref(lease->seen);
        lease->seen = json_deep_copy(spec);
        lease->seen_ms = clock_now_ms();
    }
    return clock_now_ms() - lease->seen_ms < LEASE_LIFE_S * 1000;
}

static void on_read(const struct kube_answer *answer, const struct err *err, void *arg)
{
    struct kube_lease *lease = arg;
    lease->call = NULL;
    bool absent = err->code == ERR_OK && answer->status == 404;
    if (!absent && (kube_keeper_result(lease->keeper, answer, err, "the Lease (read)") != ERR_OK ||
                    !json_is_object(answer->body))) {
        again(lease);
    } else if (!absent && is_taken(lease, answer->body)) {
        lead(lease, false, "another replica holds the lease");
        again(lease);
    } else {
        json_t *object = claim(lease, absent ? NULL : answer->body);
        if (object)
            write_lease(lease, object, absent);
        else
            again(lease);
    }
}

static void on_timer(struct timer *timer)
{
    struct kube_lease *lease =
        (struct kube_lease *)(void *)((char *)timer - offsetof(struct kube_lease, timer));
    char path[KEEPER_NAME_MAX];
    struct err err = {0};
    path_of(lease, true, path);
    lease->call = kube_request(lease->keeper->client, "GET", path, NULL, NULL, KEEPER_CALL_MS / 2,
                               on_read, lease, &err);
    if (!lease->call)
        again(lease);
}

void kube_lease_start(struct kube_lease *lease)
{
    timer_start(lease->timers, &lease->timer, 0, on_timer);
}

static void on_given_back(const struct kube_answer *answer, const struct err *err, void *arg)
{
    struct kube_lease *lease = arg;
    (void)answer, (void)err;
    lease->call = NULL;
    lease->on_closed(lease);
}

void kube_lease_close(struct kube_lease *lease, void (*on_closed)(struct kube_lease *lease))
{
    char path[KEEPER_NAME_MAX];
    struct err err = {0};
    timer_stop(lease->timers, &lease->timer);
    timer_stop(lease->timers, &lease->yield);
    if (lease->call)
        kube_call_cancel(lease->call);
    lease->call = NULL;
    json_decref(lease->seen);
    lease->seen = NULL;
    lease->on_closed = on_closed;
    path_of(lease, true, path);
    if (lease->keeper->leading)
        lease->call =
            kube_request(lease->keeper->client, "PATCH", path, "application/merge-patch+json",
                         json_pack("{s:{s:n}}", "spec", "holderIdentity"), LEASE_GIVE_BACK_MS,
                         on_given_back, lease, &err);
    lease->keeper->leading = false;
    if (!lease->call)
        on_closed(lease);
}
