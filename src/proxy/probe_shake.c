#include "proxy/probe_run.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/relay.h"

enum { TUNNEL_CLOSE_MS = 1000 }; /* for an application to end its side of TLS */

/* TLS towards the application, with plaintext at our end of a socketpair. */
struct probe_tunnel {
    struct relay relay; /* first */
    struct probes *probes;
    struct probe_tunnel **link, *next;
    struct timer deadline;
    bool aborted;
};

static void on_tunnel_end(struct relay *relay, enum err_code code, int side, struct err *err)
{
    struct probe_tunnel *tunnel = (struct probe_tunnel *)(void *)relay;
    struct probes *probes = tunnel->probes;
    (void)code;
    (void)side;
    (void)err;
    timer_stop(probes->env->timers, &tunnel->deadline);
    *tunnel->link = tunnel->next;
    if (tunnel->next)
        tunnel->next->link = tunnel->link;
    free(tunnel);
    probes_gone(probes);
}

static void tunnel_abort(struct probe_tunnel *tunnel)
{
    if (!tunnel->aborted)
        relay_abort(&tunnel->relay, ERR_TIMEOUT);
    tunnel->aborted = true;
}

static void on_tunnel_deadline(struct timer *timer)
{
    tunnel_abort(
        (struct probe_tunnel *)(void *)((char *)timer - offsetof(struct probe_tunnel, deadline)));
}

static void tunnel_list(struct probe_tunnel *tunnel, struct probes *probes)
{
    tunnel->probes = probes;
    tunnel->next = probes->tunnels;
    tunnel->link = &probes->tunnels;
    if (tunnel->next)
        tunnel->next->link = &tunnel->next;
    probes->tunnels = tunnel;
    probes->pending++;
}

/* Puts a relay over run->fd and run->tls; `fd` gets the end where plaintext is spoken. */
static enum err_code start_tunnel(struct probe_run *run, struct handshake *done, int *fd,
                                  struct err *err)
{
    struct probes *probes = run->probes;
    struct probe_tunnel *tunnel = calloc(1, sizeof *tunnel);
    int pair[2];
    if (!tunnel || socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, pair) < 0) {
        free(tunnel);
        free(done->early);
        return err_set(err, ERR_NO_MEMORY, "no memory or descriptors for a TLS connection");
    }
    struct relay_socket plain = {.fd = pair[1]};
    struct relay_socket wire = {
        .fd = run->fd, .tls = run->tls, .early = done->early, .early_len = done->early_len};
    run->fd = -1;
    run->tls = NULL;
    enum err_code code =
        relay_start(&tunnel->relay, probes->env, &plain, &wire, on_tunnel_end, err);
    if (code != ERR_OK) {
        close(pair[0]);
        free(tunnel);
        return code;
    }
    tunnel_list(tunnel, probes);
    if (!timer_start(probes->env->timers, &tunnel->deadline,
                     run->probe->timeout_ms + TUNNEL_CLOSE_MS, on_tunnel_deadline))
        tunnel_abort(tunnel);
    *fd = pair[0];
    return ERR_OK;
}

static void on_handshake(struct handshake *handshake, enum err_code code, struct err *err)
{
    struct probe_run *run = PROBE_RUN_OF(handshake, u.handshake);
    struct handshake done = *handshake;
    int fd = -1;
    run->stage = RUN_IDLE;
    if (code == ERR_OK)
        code = start_tunnel(run, &done, &fd, err);
    if (code == ERR_OK)
        probe_talk(run, fd);
    else
        probe_run_fail(run, err);
}

void probe_shake(struct probe_run *run, int fd)
{
    struct probes *probes = run->probes;
    struct err err = {0};
    run->fd = fd;
    if (!probes->unverified && tls_context_new_unverified(&probes->unverified, &err) != ERR_OK) {
        probe_run_fail(run, &err);
        return;
    }
    run->tls = tls_conn_new_client_unverified(probes->unverified);
    if (!run->tls)
        err_set(&err, ERR_NO_MEMORY, "no memory for a TLS connection");
    else if (handshake_start(&run->u.handshake, probes->env, fd, run->tls, run->probe->timeout_ms,
                             on_handshake, &err) == ERR_OK) {
        run->stage = RUN_SHAKING;
        return;
    }
    probe_run_fail(run, &err);
}

void probe_shake_abort(struct probes *probes)
{
    for (struct probe_tunnel *tunnel = probes->tunnels; tunnel; tunnel = tunnel->next)
        tunnel_abort(tunnel);
}
