#include "chain.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "identities.h"
#include "relay/socket.h"

#define MUST(condition)                                                                            \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            perror(#condition);                                                                    \
            abort();                                                                               \
        }                                                                                          \
    } while (0)

/* A connected TCP pair over loopback. Small buffers, so that a slow reader is felt soon. */
static void tcp_pair(int *a, int *b)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), small = 64 * 1024;
    MUST(listener >= 0 && bind(listener, (struct sockaddr *)&at, len) == 0);
    MUST(listen(listener, 1) == 0 && getsockname(listener, (struct sockaddr *)&at, &len) == 0);
    setsockopt(listener, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    *a = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    setsockopt(*a, SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
    MUST(connect(*a, (struct sockaddr *)&at, len) == 0);
    *b = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    MUST(*b >= 0);
    close(listener);
}

/* --- work on the loop thread --- */

struct job {
    struct mail mail;
    void (*work)(struct chain *);
    struct chain *chain;
    bool done;
};

static void deliver_job(struct mail *mail, void *owner)
{
    struct job *job = (struct job *)mail;
    struct chain *chain = owner;
    job->work(chain);
    pthread_mutex_lock(&chain->mutex);
    job->done = true;
    pthread_cond_broadcast(&chain->changed);
    pthread_mutex_unlock(&chain->mutex);
}

static void discard_job(struct mail *mail)
{
    (void)mail;
}

void chain_on_loop(struct chain *chain, void (*work)(struct chain *))
{
    struct job job = {
        .mail = {.deliver = deliver_job, .discard = discard_job}, .work = work, .chain = chain};
    mailbox_post(&chain->mailbox, &job.mail);
    pthread_mutex_lock(&chain->mutex);
    while (!job.done)
        pthread_cond_wait(&chain->changed, &chain->mutex);
    pthread_mutex_unlock(&chain->mutex);
}

static void on_end(struct relay *relay, enum err_code code, int side, struct err *err)
{
    (void)err;
    struct chain_end *end = (struct chain_end *)relay;
    pthread_mutex_lock(&end->chain->mutex);
    end->ended = true;
    end->code = code;
    end->failed_side = side;
    pthread_cond_broadcast(&end->chain->changed);
    pthread_mutex_unlock(&end->chain->mutex);
}

static void start_plain(struct chain *chain)
{
    struct chain_end *end = &chain->end[0];
    struct relay_socket a = {.fd = end->app_fd}, b = {.fd = end->wire_fd};
    MUST(relay_start(&end->relay, &chain->env, &a, &b, on_end, NULL) == ERR_OK);
}

static void on_shaken(struct handshake *handshake, enum err_code code, struct err *err)
{
    struct chain_end *end =
        (struct chain_end *)((char *)handshake - offsetof(struct chain_end, handshake));
    if (code != ERR_OK)
        fprintf(stderr, "handshake: %s\n", err->text);
    MUST(code == ERR_OK);
    struct relay_socket app = {.fd = end->app_fd};
    struct relay_socket wire = {.fd = end->wire_fd,
                                .tls = end->tls,
                                .early = handshake->early,
                                .early_len = handshake->early_len};
    MUST(relay_start(&end->relay, &end->chain->env, &app, &wire, on_end, NULL) == ERR_OK);
    pthread_mutex_lock(&end->chain->mutex);
    end->shaken = true;
    pthread_cond_broadcast(&end->chain->changed);
    pthread_mutex_unlock(&end->chain->mutex);
}

static void start_tls(struct chain *chain)
{
    for (int i = 0; i < 2; i++) {
        struct chain_end *end = &chain->end[i];
        end->tls = i == 0 ? identities_client() : identities_server();
        MUST(end->tls && handshake_start(&end->handshake, &chain->env, end->wire_fd, end->tls,
                                         20000, on_shaken, NULL) == ERR_OK);
    }
}

static void *run_loop(void *arg)
{
    struct chain *chain = arg;
    loop_run(&chain->loop);
    return NULL;
}

static void prepare(const struct chain *chain, int fd)
{
    const struct socket_limits limits = {.user_timeout_ms = (int)chain->env.user_timeout_ms};
    MUST(socket_prepare(fd, &limits));
}

/* True when every relay has `flag` set; call with the mutex held. */
static bool all(const struct chain *chain, size_t flag)
{
    for (int i = 0; i < chain->relays; i++) {
        if (!*(const bool *)((const char *)&chain->end[i] + flag))
            return false;
    }
    return true;
}

static bool wait_for(struct chain *chain, size_t flag)
{
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += 20;
    pthread_mutex_lock(&chain->mutex);
    bool done;
    while (!(done = all(chain, flag)) &&
           pthread_cond_timedwait(&chain->changed, &chain->mutex, &until) == 0)
        ;
    pthread_mutex_unlock(&chain->mutex);
    return done;
}

struct chain *chain_new(bool tls)
{
    return chain_new_with_timeout(tls, 30000);
}

struct chain *chain_new_with_timeout(bool tls, int user_timeout_ms)
{
    struct chain *chain = calloc(1, sizeof *chain);
    MUST(chain && loop_init(&chain->loop, NULL) == ERR_OK);
    MUST(timers_init(&chain->timers, &chain->loop, NULL) == ERR_OK);
    MUST(mailbox_open(&chain->mailbox, &chain->loop, chain, NULL) == ERR_OK);
    MUST(relay_env_init(&chain->env, &chain->loop, &chain->timers, NULL) == ERR_OK);
    chain->env.user_timeout_ms = user_timeout_ms;
    pthread_mutex_init(&chain->mutex, NULL);
    pthread_cond_init(&chain->changed, NULL);
    chain->tls = tls;
    chain->relays = tls ? 2 : 1;
    tcp_pair(&chain->client, &chain->end[0].app_fd);
    prepare(chain, chain->end[0].app_fd);
    if (tls) {
        tcp_pair(&chain->end[0].wire_fd, &chain->end[1].wire_fd);
        prepare(chain, chain->end[0].wire_fd);
        prepare(chain, chain->end[1].wire_fd);
        tcp_pair(&chain->end[1].app_fd, &chain->server);
        prepare(chain, chain->end[1].app_fd);
    } else {
        tcp_pair(&chain->end[0].wire_fd, &chain->server);
        prepare(chain, chain->end[0].wire_fd);
    }
    for (int i = 0; i < 2; i++)
        chain->end[i].chain = chain;
    struct timeval patience = {.tv_sec = 20};
    setsockopt(chain->client, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(chain->server, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    MUST(pthread_create(&chain->thread, NULL, run_loop, chain) == 0);
    chain_on_loop(chain, tls ? start_tls : start_plain);
    MUST(!tls || wait_for(chain, offsetof(struct chain_end, shaken)));
    return chain;
}

bool chain_wait_ended(struct chain *chain)
{
    return wait_for(chain, offsetof(struct chain_end, ended));
}

static void abort_relays(struct chain *chain)
{
    for (int i = 0; i < chain->relays; i++) {
        if (!chain->end[i].ended)
            relay_abort(&chain->end[i].relay, ERR_CANCELLED);
    }
}

static void close_loop(struct chain *chain)
{
    timers_close(&chain->timers, NULL);
    mailbox_close(&chain->mailbox, NULL);
}

void chain_free(struct chain *chain)
{
    chain_on_loop(chain, abort_relays);
    MUST(chain_wait_ended(chain));
    chain_on_loop(chain, close_loop);
    pthread_join(chain->thread, NULL);
    loop_deinit(&chain->loop);
    relay_env_deinit(&chain->env);
    if (chain->client >= 0)
        close(chain->client);
    if (chain->server >= 0)
        close(chain->server);
    pthread_mutex_destroy(&chain->mutex);
    pthread_cond_destroy(&chain->changed);
    free(chain);
}
