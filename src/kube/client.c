#include "kube/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "kube/client_impl.h"

static const struct kube_client_timing usual_timing = {
    .session = {.ping_idle_ms = 30000, .ping_answer_ms = 10000},
    .retire_ms = 10000,
    .steady_ms = 5000,
    .backoff_first_ms = 50,
    .backoff_max_ms = 2000, /* an API server has few of us */
    .page_ms = 65000,
    .head_ms = 30000,
    .watch_s = 300,
    .watch_grace_ms = 30000,
    .absent_ms = 30000,
    .pause_first_ms = 100,
    .pause_max_ms = 10000,
};

#define CLIENT_OF(pointer, member)                                                                 \
    ((struct kube_client *)(void *)((char *)(pointer)-offsetof(struct kube_client, member)))

/* --- connecting ------------------------------------------------------------------------------- */

static void on_retry(struct timer *timer)
{
    kube_dial_start(&CLIENT_OF(timer, retry)->dial);
}

/* `err` is why there is no connection; another attempt follows. */
static void lose(struct kube_client *client, const struct err *err)
{
    client->last = *err;
    if (!client->closing)
        timer_start(client->env->timers, &client->retry, backoff_next_ms(&client->backoff),
                    on_retry);
}

static void on_dialed(struct kube_dial *dial, const struct kube_dialed *dialed,
                      const struct err *err)
{
    struct kube_client *client = dial->owner;
    struct err reason = *err;
    bool is_news = client->last.code != err->code;
    if (dialed)
        client->session = kube_session_new(client->env, dialed, &client->timing.session,
                                           &kube_session_events_of_calls, client, &reason);
    if (client->session) {
        client->sessions++;
        client->last = (struct err){0};
        LOG_INFO("kube_connected", F_STR("server", client->authority));
        kube_calls_submit(client);
        return;
    }
    err_wrap(&reason, "API server %s", client->authority);
    if (is_news)
        LOG_WARN("kube_connect_failed", F_ERR(&reason));
    lose(client, &reason);
    kube_calls_end(&client->waiting, NULL, false, &reason);
}

static void forgive(struct kube_client *client, const struct kube_session *session)
{
    if (clock_now_ms() - kube_session_since_ms(session) >= client->timing.steady_ms)
        backoff_reset(&client->backoff);
}

/* --- losing ----------------------------------------------------------------------------------- */

static void end_retiree(struct kube_retiree *retiree)
{
    struct err err;
    err_set(&err, ERR_CANCELLED, "the server wanted this connection to end (GOAWAY)");
    if (retiree->session)
        kube_session_end(retiree->session, &err);
}

static void on_patience(struct timer *timer)
{
    end_retiree(
        (struct kube_retiree *)(void *)((char *)timer - offsetof(struct kube_retiree, patience)));
}

/* The one that has this session; NULL: none. With NULL for the session, a free place. */
static struct kube_retiree *find_retiree(struct kube_client *client,
                                         const struct kube_session *session)
{
    for (unsigned i = 0; i < KUBE_RETIREES_MAX; i++)
        if (client->retirees[i].session == session)
            return &client->retirees[i];
    return NULL;
}

static struct kube_retiree *oldest_retiree(struct kube_client *client)
{
    struct kube_retiree *oldest = &client->retirees[0];
    for (unsigned i = 1; i < KUBE_RETIREES_MAX; i++)
        if (kube_session_since_ms(client->retirees[i].session) <
            kube_session_since_ms(oldest->session))
            oldest = &client->retirees[i];
    return oldest;
}

static void forget_retiree(struct kube_retiree *retiree)
{
    timer_stop(retiree->client->env->timers, &retiree->patience);
    retiree->session = NULL;
}

static void retire(struct kube_client *client, struct kube_session *session)
{
    struct kube_retiree *retiree = find_retiree(client, NULL);
    if (!retiree) {
        retiree = oldest_retiree(client);
        end_retiree(retiree);
        forget_retiree(retiree);
    }
    retiree->client = client;
    retiree->session = session;
    timer_start(client->env->timers, &retiree->patience, client->timing.retire_ms, on_patience);
}

void kube_client_on_goaway(struct kube_session *session, void *owner)
{
    struct kube_client *client = owner;
    struct err err;
    if (client->session != session)
        return;
    err_set(&err, ERR_RPC_UNAVAILABLE, "API server %s wants the connection to end (GOAWAY)",
            client->authority);
    LOG_INFO("kube_goaway", F_STR("server", client->authority));
    forgive(client, session);
    client->session = NULL;
    retire(client, session);
    kube_calls_end(&client->active, session, true, &err);
    lose(client, &err);
    kube_client_settle(client);
}

void kube_client_on_session_end(struct kube_session *session, const struct err *err, void *owner)
{
    struct kube_client *client = owner;
    struct err reason = *err;
    bool current = client->session == session;
    err_wrap(&reason, "API server %s", client->authority);
    if (current) {
        client->session = NULL;
        forgive(client, session);
        if (!client->closing)
            LOG_WARN("kube_disconnected", F_ERR(&reason));
        lose(client, &reason);
    }
    struct kube_retiree *retiree = find_retiree(client, session);
    if (retiree)
        forget_retiree(retiree);
    if (!current && reason.code == ERR_CANCELLED && !client->closing)
        reason.code = ERR_RPC_UNAVAILABLE; /* by us, but not by those whose calls these are */
    client->sessions--;
    kube_calls_end(&client->active, session, false, &reason);
    kube_client_settle(client);
}

/* --- closing ---------------------------------------------------------------------------------- */

static void free_client(struct kube_client *client)
{
    tls_context_unref(client->context);
    free(client->host);
    free(client->base_path);
    free(client->server_name);
    free(client->authority);
    if (client->token)
        explicit_bzero(client->token, strlen(client->token));
    free(client->token);
    free(client->token_file);
    free(client);
}

static void on_idle_closed(uv_handle_t *handle)
{
    struct kube_client *client = handle->data;
    void (*on_closed)(void *) = client->on_closed;
    void *arg = client->on_closed_arg;
    free_client(client);
    if (on_closed)
        on_closed(arg);
}

void kube_client_settle(struct kube_client *client)
{
    for (unsigned i = 0; i < KUBE_RETIREES_MAX; i++)
        if (client->retirees[i].session && !kube_calls_use(client, client->retirees[i].session))
            end_retiree(&client->retirees[i]);
    if (client->closing && client->dial_closed && client->sessions == 0 && client->calls == 0 &&
        !uv_is_closing((uv_handle_t *)&client->soon))
        uv_close((uv_handle_t *)&client->soon, on_idle_closed);
}

static void on_dial_closed(struct kube_dial *dial)
{
    struct kube_client *client = dial->owner;
    client->dial_closed = true;
    kube_client_settle(client);
}

void kube_client_close(struct kube_client *client, void (*on_closed)(void *arg), void *arg)
{
    struct err err;
    if (client->closing || client->reflectors > 0)
        abort();
    err_set(&err, ERR_CANCELLED, "the client is closing");
    client->closing = true;
    client->on_closed = on_closed;
    client->on_closed_arg = arg;
    timer_stop(client->env->timers, &client->retry);
    kube_calls_end(&client->waiting, NULL, false, &err);
    kube_calls_end(&client->active, NULL, false, &err);
    if (client->session)
        kube_session_end(client->session, &err);
    for (unsigned i = 0; i < KUBE_RETIREES_MAX; i++)
        end_retiree(&client->retirees[i]);
    kube_dial_close(&client->dial, on_dial_closed);
}

/* --- opening ---------------------------------------------------------------------------------- */

static enum err_code make_context(struct kube_client *client, const struct kube_config *config,
                                  struct err *err)
{
    struct tls_bundle *bundle = NULL;
    enum err_code code =
        tls_bundle_new(&bundle, "kubernetes", config->ca_pem, strlen(config->ca_pem), err);
    if (code == ERR_OK)
        code = tls_context_new_outside(&client->context, bundle, config->client_cert_pem,
                                       config->client_key_pem, err);
    tls_bundle_unref(bundle);
    return code == ERR_OK ? ERR_OK : err_wrap(err, "credentials for the API server");
}

/* A copy, and true; or both NULL, and true. */
static bool copy(char **out, const char *from)
{
    *out = from ? strdup(from) : NULL;
    return *out || !from;
}

static bool copy_config(struct kube_client *client, const struct kube_config *config)
{
    bool brackets = strchr(config->host, ':') != NULL;
    if (asprintf(&client->authority, "%s%s%s:%u", brackets ? "[" : "", config->host,
                 brackets ? "]" : "", config->port) < 0)
        client->authority = NULL;
    return client->authority && copy(&client->host, config->host) &&
           copy(&client->base_path, config->base_path ? config->base_path : "") &&
           copy(&client->server_name, config->server_name) && copy(&client->token, config->token) &&
           copy(&client->token_file, config->token_file);
}

enum err_code kube_client_new(struct kube_client **out, struct relay_env *env,
                              const struct kube_config *config, struct err *err)
{
    struct kube_client *client = calloc(1, sizeof *client);
    *out = NULL;
    if (!client)
        return err_set(err, ERR_NO_MEMORY, "no memory for a Kubernetes client");
    client->env = env;
    client->timing = usual_timing;
    client->backoff = (struct backoff){.first_ms = usual_timing.backoff_first_ms,
                                       .max_ms = usual_timing.backoff_max_ms};
    enum err_code code = copy_config(client, config)
                             ? make_context(client, config, err)
                             : err_set(err, ERR_NO_MEMORY, "no memory for a Kubernetes client");
    /* The first attempt comes from the loop too. */
    if (code == ERR_OK && !timer_start(env->timers, &client->retry, 0, on_retry))
        code = err_set(err, ERR_NO_MEMORY, "no memory for a Kubernetes client");
    if (code != ERR_OK) {
        free_client(client);
        return code;
    }
    client->dial = (struct kube_dial){.env = env,
                                      .context = client->context,
                                      .host = client->host,
                                      .server_name = client->server_name,
                                      .port = config->port,
                                      .owner = client,
                                      .on_done = on_dialed};
    uv_idle_init(&env->loop->uv, &client->soon);
    client->soon.data = client;
    *out = client;
    return ERR_OK;
}

bool kube_client_is_connected(const struct kube_client *client, const struct err **why)
{
    if (why)
        *why = &client->last;
    return client->session != NULL;
}
