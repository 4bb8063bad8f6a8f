#include "cli/admin_client.h"

#include <errno.h>
#include <poll.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"

/* A question under way. */
struct ask {
    const char *path;
    int fd;
    int64_t timeout_ms, deadline_ms;
    char *answer; /* a null follows the last byte */
    size_t len, capacity;
};

static enum err_code wait_for(struct ask *ask, short events, struct err *err)
{
    struct pollfd poll_fd = {.fd = ask->fd, .events = events};
    for (;;) {
        int64_t left_ms = ask->deadline_ms - clock_now_ms();
        int ready = left_ms > 0 ? poll(&poll_fd, 1, (int)left_ms) : 0;
        if (ready > 0)
            return ERR_OK;
        if (ready == 0)
            return err_set(err, ERR_TIMEOUT, "the proxy at %s did not answer within %.1f s",
                           ask->path, (double)ask->timeout_ms / 1000);
        if (errno != EINTR)
            return err_sys(err, ERR_SYSTEM, errno, "wait for the proxy at %s", ask->path);
    }
}

static enum err_code say_why_not_connected(const char *path, int why, struct err *err)
{
    switch (why) {
    case ENOENT:
    case ENOTDIR:
    case ECONNREFUSED:
    case ENOTSOCK:
        return err_set(err, ERR_NOT_FOUND,
                       "no proxy is listening at %s: is this the proxy's container?", path);
    case EACCES:
    case EPERM:
        return err_set(err, ERR_PERMISSION,
                       "%s may not be opened: only the proxy's own user (uid 1337) and root may",
                       path);
    case EAGAIN:
        return err_set(err, ERR_BUSY, "the proxy at %s takes no connections: its queue is full",
                       path);
    default:
        return err_sys(err, ERR_SYSTEM, why, "connect to %s", path);
    }
}

static enum err_code open_socket(struct ask *ask, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(ask->path) >= sizeof address.sun_path)
        return err_set(err, ERR_INVALID, "the socket path %.80s... is longer than %zu bytes",
                       ask->path, sizeof address.sun_path - 1);
    memcpy(address.sun_path, ask->path, strlen(ask->path) + 1);
    ask->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (ask->fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "make a Unix socket");
    /* On a Unix socket connect(2) is done or has failed when it returns, non-blocking or not. */
    if (connect(ask->fd, (struct sockaddr *)&address, sizeof address) < 0)
        return say_why_not_connected(ask->path, errno, err);
    return ERR_OK;
}

static enum err_code send_request(struct ask *ask, const char *method, const char *target,
                                  struct err *err)
{
    char request[512];
    int len = snprintf(request, sizeof request,
                       "%s %s HTTP/1.1\r\nHost: handfast\r\nConnection: close\r\n"
                       "Content-Length: 0\r\n\r\n",
                       method, target);
    if (len >= (int)sizeof request)
        return err_set(err, ERR_INVALID, "the request %s %.60s... is too long", method, target);
    for (int sent = 0; sent < len;) {
        if (wait_for(ask, POLLOUT, err) != ERR_OK)
            return err ? err->code : ERR_TIMEOUT;
        ssize_t now = send(ask->fd, request + sent, (size_t)(len - sent), MSG_NOSIGNAL);
        /* A server that refuses early may have closed already: its answer is still to be read. */
        if (now < 0 && errno != EAGAIN && errno != EINTR)
            return ERR_OK;
        sent += now > 0 ? (int)now : 0;
    }
    return ERR_OK;
}

static bool make_room(struct ask *ask)
{
    if (ask->capacity - ask->len > 1)
        return true;
    size_t capacity = ask->capacity ? ask->capacity * 2 : 16384;
    char *bigger = realloc(ask->answer, capacity);
    if (!bigger)
        return false;
    ask->answer = bigger;
    ask->capacity = capacity;
    return true;
}

/* Up to the end of the stream: the server closes after each answer. */
static enum err_code read_answer(struct ask *ask, struct err *err)
{
    for (;;) {
        if (ask->len > ADMIN_CLIENT_ANSWER_MAX)
            return err_set(err, ERR_TOO_LARGE, "the answer of the proxy at %s is over %d MiB",
                           ask->path, ADMIN_CLIENT_ANSWER_MAX >> 20);
        if (!make_room(ask))
            return err_set(err, ERR_NO_MEMORY, "no memory for the answer of the proxy at %s",
                           ask->path);
        if (wait_for(ask, POLLIN, err) != ERR_OK)
            return err ? err->code : ERR_TIMEOUT;
        ssize_t got = recv(ask->fd, ask->answer + ask->len, ask->capacity - ask->len - 1, 0);
        if (got < 0 && (errno == EAGAIN || errno == EINTR))
            continue;
        if (got <= 0) /* a reset shows as an answer that is too short */
            break;
        ask->len += (size_t)got;
    }
    ask->answer[ask->len] = 0;
    return ERR_OK;
}

/* The number behind "Content-Length:" in the headers, or -1. */
static int64_t content_length(const char *headers, const char *end)
{
    static const char name[] = "\r\nContent-Length:";
    const char *at = strcasestr(headers, name);
    return at && at < end ? strtoll(at + strlen(name), NULL, 10) : -1;
}

static enum err_code refused(const char *path, const char *method, const char *target, int status,
                             const json_t *document, struct err *err)
{
    const char *sentence = json_string_value(json_object_get(document, "error"));
    if (status == 404)
        return err_set(err, ERR_INVALID,
                       "the proxy at %s does not know %s %s: it may be another version", path,
                       method, target);
    if (sentence)
        return err_set(err, ERR_INVALID, "the proxy refused: %.300s", sentence);
    return err_set(err, ERR_INVALID, "the proxy at %s answered %s %s with status %d", path, method,
                   target, status);
}

static enum err_code parse_answer(const struct ask *ask, const char *method, const char *target,
                                  json_t **out, struct err *err)
{
    int status = 0;
    if (ask->len == 0)
        return err_set(err, ERR_CONN_RESET, "the proxy at %s closed the connection without a word",
                       ask->path);
    const char *body = strstr(ask->answer, "\r\n\r\n");
    if (sscanf(ask->answer, "HTTP/1.%*1d %3d", &status) != 1 || !body)
        return err_set(err, ERR_INVALID, "what listens at %s is not a handfast proxy", ask->path);
    body += 4;
    size_t body_len = ask->len - (size_t)(body - ask->answer);
    int64_t expected = content_length(ask->answer, body);
    if (expected >= 0 && (uint64_t)expected > body_len)
        return err_set(err, ERR_CONN_RESET,
                       "the answer of the proxy at %s was cut short: %zu of %lld bytes", ask->path,
                       body_len, (long long)expected);
    json_error_t where;
    json_t *document = json_loadb(body, body_len, 0, &where);
    if (status < 200 || status > 299) {
        enum err_code code = refused(ask->path, method, target, status, document, err);
        json_decref(document);
        return code;
    }
    if (!json_is_object(document)) {
        json_decref(document);
        return err_set(err, ERR_INVALID,
                       "the proxy at %s answered %s with something else than "
                       "a JSON object",
                       ask->path, target);
    }
    *out = document;
    return ERR_OK;
}

enum err_code admin_client_ask(const char *path, const char *method, const char *target,
                               int64_t timeout_ms, json_t **out, struct err *err)
{
    struct ask ask = {.path = path,
                      .fd = -1,
                      .timeout_ms = timeout_ms,
                      .deadline_ms = clock_now_ms() + timeout_ms};
    enum err_code code = open_socket(&ask, err);
    if (code == ERR_OK)
        code = send_request(&ask, method, target, err);
    if (code == ERR_OK)
        code = read_answer(&ask, err);
    if (code == ERR_OK)
        code = parse_answer(&ask, method, target, out, err);
    if (ask.fd >= 0)
        close(ask.fd);
    free(ask.answer);
    return code;
}
