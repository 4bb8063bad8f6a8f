#include "kube/call.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "kube/client_impl.h"

static void link_call(struct kube_call_list *list, struct kube_call *call)
{
    struct kube_call **end = &list->first;
    while (*end)
        end = &(*end)->next;
    call->next = NULL;
    call->link = end;
    *end = call;
}

static void unlink_call(struct kube_call *call)
{
    *call->link = call->next;
    if (call->next)
        call->next->link = call->link;
    call->next = NULL;
    call->link = NULL;
}

static void free_call(struct kube_call *call)
{
    call->client->calls--;
    timer_stop(call->client->env->timers, &call->deadline);
    free(call->method);
    free(call->path);
    free(call->content_type);
    free(call->body);
    free(call);
}

/* Takes the call out of its list and off its connection. */
static void detach(struct kube_call *call, bool reset)
{
    if (call->session && reset)
        kube_session_reset(call->session, call->stream);
    call->session = NULL;
    unlink_call(call);
}

/* on_end(err) will come from the loop; `reset`: the server has to be told. */
static void end_call(struct kube_call *call, bool reset, const struct err *err)
{
    struct kube_client *client = call->client;
    if (call->ended)
        return;
    detach(call, reset);
    timer_stop(client->env->timers, &call->deadline);
    call->ended = true;
    call->end = *err;
    link_call(&client->ended, call);
    uv_idle_start(&client->soon, kube_calls_deliver);
}

/* --- sending ---------------------------------------------------------------------------------- */

/* "Bearer ...", malloc'd; NULL with ERR_OK when we show no token. The file is read for every
 * request: kubelet replaces it long before the token in it ends. */
static enum err_code read_bearer(const struct kube_client *client, char **out, struct err *err)
{
    const char *token = client->token;
    char *text = NULL;
    size_t len = 0;
    *out = NULL;
    if (client->token_file) {
        struct err why;
        if (file_read(client->token_file, KUBE_TOKEN_MAX, &text, &len, &why) != ERR_OK)
            return err_set(err, ERR_TOKEN_MISSING, "%s", why.text);
        token = text;
    } else if (!token) {
        return ERR_OK;
    }
    len = strcspn(token, " \t\r\n");
    enum err_code code = ERR_OK;
    if (len == 0)
        code = err_set(err, ERR_TOKEN_MISSING, "the token %s%s is empty",
                       text ? "in " : "of the configuration", text ? client->token_file : "");
    else if (asprintf(out, "Bearer %.*s", (int)len, token) < 0)
        code = err_set(err, ERR_NO_MEMORY, "no memory for a token");
    if (text)
        explicit_bzero(text, strlen(text));
    free(text);
    return code;
}

/* Opens the call's stream on client->session. */
static void submit(struct kube_call *call)
{
    struct kube_client *client = call->client;
    struct err err = {0};
    char *bearer = NULL, *path = NULL, length[24];
    struct kube_header headers[10];
    size_t count = 0;
    int32_t stream = -1;
    enum err_code code = read_bearer(client, &bearer, &err);
    if (code == ERR_OK && asprintf(&path, "%s%s", client->base_path, call->path) < 0)
        code = err_set(&err, ERR_NO_MEMORY, "no memory for a request");
    if (code == ERR_OK) {
        snprintf(length, sizeof length, "%zu", call->body_len);
        headers[count++] = (struct kube_header){":method", call->method, false};
        headers[count++] = (struct kube_header){":scheme", "https", false};
        headers[count++] = (struct kube_header){":authority", client->authority, false};
        headers[count++] = (struct kube_header){":path", path, false};
        headers[count++] = (struct kube_header){"accept", "application/json", false};
        headers[count++] = (struct kube_header){"user-agent", "handfast/" HANDFAST_VERSION, false};
        if (bearer)
            headers[count++] = (struct kube_header){"authorization", bearer, true};
        if (call->body) {
            headers[count++] = (struct kube_header){"content-type", call->content_type, false};
            headers[count++] = (struct kube_header){"content-length", length, false};
        }
        stream = kube_session_request(client->session, headers, count, call->body != NULL, &err);
    }
    if (bearer)
        explicit_bzero(bearer, strlen(bearer));
    free(bearer);
    free(path);
    if (stream < 0) {
        err_wrap(&err, "%s %.200s", call->method, call->path);
        end_call(call, false, &err);
        return;
    }
    unlink_call(call);
    call->session = client->session;
    call->stream = stream;
    call->body_at = 0;
    link_call(&client->active, call);
}

void kube_calls_submit(struct kube_client *client)
{
    while (client->waiting.first && client->session)
        submit(client->waiting.first);
}

static void on_deadline(struct timer *timer)
{
    struct kube_call *call =
        (struct kube_call *)(void *)((char *)timer - offsetof(struct kube_call, deadline));
    struct err err;
    if (call->session)
        err_set(&err, ERR_TIMEOUT, "%s %.200s: no answer within %lld ms", call->method, call->path,
                (long long)call->timeout_ms);
    else
        err_set(&err, ERR_TIMEOUT, "%s %.100s: no connection to the API server within %lld ms: %s",
                call->method, call->path, (long long)call->timeout_ms,
                call->client->last.code ? call->client->last.text : "none could be made yet");
    end_call(call, true, &err);
    kube_client_settle(call->client);
}

/* --- what a connection says ------------------------------------------------------------------- */

static struct kube_call *find(const struct kube_client *client, const struct kube_session *session,
                              int32_t stream)
{
    for (struct kube_call *call = client->active.first; call; call = call->next)
        if (call->session == session && call->stream == stream)
            return call;
    return NULL; /* given up meanwhile */
}

static void on_head(struct kube_session *session, int32_t stream, int status, int64_t retry_after_s,
                    void *owner)
{
    struct kube_call *call = find(owner, session, stream);
    if (!call)
        return;
    call->headed = true;
    call->events->on_head(call, status, retry_after_s, call->arg);
}

static void on_data(struct kube_session *session, int32_t stream, const void *bytes, size_t len,
                    void *owner)
{
    struct kube_call *call = find(owner, session, stream);
    if (call && call->headed)
        call->events->on_bytes(call, bytes, len, call->arg);
}

static size_t on_body(struct kube_session *session, int32_t stream, void *bytes, size_t room,
                      bool *last, void *owner)
{
    struct kube_call *call = find(owner, session, stream);
    *last = true;
    if (!call || !call->body)
        return 0; /* its reset is on the way */
    size_t rest = call->body_len - call->body_at, len = rest < room ? rest : room;
    memcpy(bytes, call->body + call->body_at, len);
    call->body_at += len;
    *last = call->body_at == call->body_len;
    return len;
}

static void on_close(struct kube_session *session, int32_t stream, enum kube_session_close how,
                     const char *what, void *owner)
{
    struct kube_client *client = owner;
    struct kube_call *call = find(client, session, stream);
    struct err err = {0};
    if (!call)
        return;
    /* Nothing is lost by asking again what the server has not looked at: as often as connections
     * end, which has its own pauses, but only once on one that stays. */
    bool stays = session == client->session;
    if (how == KUBE_SESSION_REFUSED && !call->headed && !(stays && call->retried)) {
        call->retried = stays;
        call->session = NULL;
        unlink_call(call);
        link_call(&client->waiting, call);
        kube_calls_submit(client);
    } else {
        if (how != KUBE_SESSION_DONE)
            err_set(&err, ERR_RPC_UNAVAILABLE, "%s %.200s: the server ended the stream: %s",
                    call->method, call->path, what);
        else if (!call->headed)
            err_set(&err, ERR_RPC_PROTOCOL,
                    "%s %.200s: the server ended the answer before it began", call->method,
                    call->path);
        end_call(call, false, &err);
    }
    kube_client_settle(client);
}

const struct kube_session_events kube_session_events_of_calls = {
    .on_goaway = kube_client_on_goaway,
    .on_end = kube_client_on_session_end,
    .on_head = on_head,
    .on_data = on_data,
    .on_close = on_close,
    .on_body = on_body,
};

/* --- all of them ------------------------------------------------------------------------------ */

void kube_calls_end(struct kube_call_list *list, const struct kube_session *session, bool endless,
                    const struct err *err)
{
    for (struct kube_call *call = list->first, *next; call; call = next) {
        next = call->next;
        if (session && call->session != session)
            continue;
        if (endless && !call->endless)
            continue;
        struct err own = *err;
        err_wrap(&own, "%s %.100s", call->method, call->path);
        end_call(call, endless, &own);
    }
}

bool kube_calls_use(const struct kube_client *client, const struct kube_session *session)
{
    for (const struct kube_call *call = client->active.first; call; call = call->next)
        if (call->session == session)
            return true;
    return false;
}

/* Those that have ended before this turn; what ends meanwhile gets the next one. */
void kube_calls_deliver(uv_idle_t *soon)
{
    struct kube_client *client = soon->data;
    struct kube_call_list now = client->ended;
    client->ended.first = NULL;
    if (now.first)
        now.first->link = &now.first;
    while (now.first) {
        struct kube_call *call = now.first;
        const struct kube_call_events *events = call->events;
        struct err end = call->end;
        void *arg = call->arg;
        unlink_call(call);
        free_call(call);
        events->on_end(&end, arg);
    }
    if (!client->ended.first)
        uv_idle_stop(soon);
    kube_client_settle(client);
}

/* --- one -------------------------------------------------------------------------------------- */

static enum err_code check(const struct kube_client *client, const struct kube_call_spec *spec,
                           struct err *err)
{
    size_t len = strlen(spec->path);
    if (client->closing)
        return err_set(err, ERR_CANCELLED, "%s %.100s: the client is closing", spec->method,
                       spec->path);
    if (client->calls >= KUBE_CALLS_MAX)
        return err_set(err, ERR_BUSY, "%s %.100s: there are %u calls at once already", spec->method,
                       spec->path, client->calls);
    if (spec->body_len > KUBE_REQUEST_MAX || len > KUBE_PATH_MAX)
        return err_set(err, ERR_TOO_LARGE,
                       "%s %.100s: a body of %zu and a path of %zu bytes, expected at most %d and "
                       "%d",
                       spec->method, spec->path, spec->body_len, len, KUBE_REQUEST_MAX,
                       KUBE_PATH_MAX);
    for (size_t i = 0; i < len; i++)
        if (spec->path[0] != '/' || spec->path[i] <= 0x20 || spec->path[i] >= 0x7f)
            len = 0;
    if (len == 0)
        return err_set(err, ERR_INVALID, "the path \"%.100s\" is not one of a URL", spec->path);
    return ERR_OK;
}

struct kube_call *kube_call_start(struct kube_client *client, const struct kube_call_spec *spec,
                                  struct err *err)
{
    if (check(client, spec, err) != ERR_OK) {
        free(spec->body);
        return NULL;
    }
    struct kube_call *call = calloc(1, sizeof *call);
    if (!call) {
        free(spec->body);
        err_set(err, ERR_NO_MEMORY, "no memory for a call");
        return NULL;
    }
    client->calls++;
    call->client = client;
    call->events = spec->events;
    call->arg = spec->arg;
    call->timeout_ms = spec->timeout_ms;
    call->endless = spec->endless;
    call->body = spec->body;
    call->body_len = spec->body_len;
    call->method = strdup(spec->method);
    call->path = strdup(spec->path);
    call->content_type = strdup(spec->content_type ? spec->content_type : "application/json");
    if (!call->method || !call->path || !call->content_type ||
        !timer_start(client->env->timers, &call->deadline, spec->timeout_ms, on_deadline)) {
        free_call(call);
        err_set(err, ERR_NO_MEMORY, "no memory for a call");
        return NULL;
    }
    link_call(&client->waiting, call);
    kube_calls_submit(client);
    return call;
}

void kube_call_set_deadline(struct kube_call *call, int64_t timeout_ms)
{
    call->timeout_ms = timeout_ms;
    timer_start(call->client->env->timers, &call->deadline, timeout_ms, on_deadline);
}

void kube_call_fail(struct kube_call *call, const struct err *err)
{
    struct kube_client *client = call->client;
    end_call(call, true, err);
    kube_client_settle(client);
}

void kube_call_cancel(struct kube_call *call)
{
    struct kube_client *client = call->client;
    detach(call, true);
    if (call->events->on_drop)
        call->events->on_drop(call->arg);
    free_call(call);
    kube_client_settle(client);
}
