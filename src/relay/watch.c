#include "relay/watch.h"

#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>

/* A single probe proves nothing: it may be lost, and a receiver answers at most two a second
 * (tcp_invalid_ratelimit). */
enum { WATCH_PROOF = 2 };

/* How often something was sent again, or asked, without progress since; 0 for a Unix socket. And
 * for how long nothing at all has come: a receiver that is full drops what it has no room for and
 * answers retransmissions all the same. */
static unsigned count_unanswered(int fd, int64_t *silent_ms)
{
    struct tcp_info info = {0};
    socklen_t len = sizeof info;
    if (getsockopt(fd, IPPROTO_TCP, TCP_INFO, &info, &len) < 0)
        return 0;
    *silent_ms = info.tcpi_last_ack_recv;
    return (unsigned)info.tcpi_retransmits + info.tcpi_probes;
}

static void check_side(struct relay *relay, int i, uint32_t now_ms)
{
    struct relay_side *side = &relay->side[i];
    int64_t timeout_ms = relay->env->user_timeout_ms, silent_ms = 0;
    unsigned unanswered = count_unanswered(side->item.fd, &silent_ms);
    if (unanswered == 0)
        side->stuck_ms = 0;
    else if (side->stuck_ms == 0)
        side->stuck_ms = now_ms ? now_ms : 1;
    else if (unanswered >= WATCH_PROOF && silent_ms >= timeout_ms &&
             (int64_t)(uint32_t)(now_ms - side->stuck_ms) >= timeout_ms)
        relay_abort_side(relay, ERR_CONN_USER_TIMEOUT, i);
}

static void on_watch(struct timer *timer)
{
    struct relay_env *env =
        (struct relay_env *)(void *)((char *)timer - offsetof(struct relay_env, watch));
    uint32_t now_ms = (uint32_t)(uv_hrtime() / 1000000);
    unsigned left = WATCH_CHUNK;
    if (!env->watch_at)
        env->watch_at = env->relays;
    for (; env->watch_at && left > 0; left--) {
        struct relay *relay = env->watch_at;
        env->watch_at = relay->next;
        check_side(relay, 0, now_ms);
        check_side(relay, 1, now_ms);
    }
    if (env->relays)
        timer_start(env->timers, timer, env->watch_at ? 1 : env->user_timeout_ms / WATCH_WALKS,
                    on_watch);
}

void watch_add(struct relay *relay)
{
    struct relay_env *env = relay->env;
    relay->next = env->relays;
    relay->link = &env->relays;
    if (relay->next)
        relay->next->link = &relay->next;
    env->relays = relay;
    if (!env->watch.slot)
        timer_start(env->timers, &env->watch, env->user_timeout_ms / WATCH_WALKS, on_watch);
}

void watch_remove(struct relay *relay)
{
    struct relay_env *env = relay->env;
    if (env->watch_at == relay)
        env->watch_at = relay->next;
    *relay->link = relay->next;
    if (relay->next)
        relay->next->link = relay->link;
    if (!env->relays)
        timer_stop(env->timers, &env->watch);
}
