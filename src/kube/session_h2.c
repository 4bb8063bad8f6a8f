/* The frames of a session: nghttp2's questions and answers; declared in session.h and
 * session_impl.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/session_impl.h"

enum { RETRY_AFTER_MAX_S = 3600, HEADER_LIST_MAX = 64 << 10 };

/* Digits alone: a date (RFC 9110 section 10.2.3) is nothing that a Kubernetes API server sends. */
static int64_t parse_seconds(const uint8_t *value, size_t len)
{
    int64_t seconds = 0;
    if (len == 0 || len > 9)
        return 0;
    for (size_t i = 0; i < len; i++) {
        if (value[i] < '0' || value[i] > '9')
            return 0;
        seconds = seconds * 10 + (value[i] - '0');
    }
    return seconds < RETRY_AFTER_MAX_S ? seconds : RETRY_AFTER_MAX_S;
}

static bool is(const uint8_t *text, size_t len, const char *word)
{
    return len == strlen(word) && memcmp(text, word, len) == 0;
}

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
    struct kube_session *session = arg;
    (void)h2;
    session->head_stream = frame->hd.stream_id;
    session->head_status = 0;
    session->head_retry_after_s = 0;
    return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct kube_session *session = arg;
    (void)h2, (void)flags;
    if (frame->hd.stream_id != session->head_stream)
        return 0;
    if (is(name, name_len, ":status"))
        session->head_status = (int)parse_seconds(value, value_len);
    else if (is(name, name_len, "retry-after"))
        session->head_retry_after_s = parse_seconds(value, value_len);
    return 0;
}

/* An interim answer (1xx) is followed by the real one, and trailers carry no status. */
static void take_headers(struct kube_session *session, const nghttp2_frame *frame)
{
    if (frame->hd.stream_id == session->head_stream && session->head_status >= 200)
        session->events->on_head(session, frame->hd.stream_id, session->head_status,
                                 session->head_retry_after_s, session->owner);
}

static void take_goaway(struct kube_session *session, const nghttp2_goaway *goaway)
{
    char said[80];
    size_t len = goaway->opaque_data_len < sizeof said ? goaway->opaque_data_len : sizeof said - 1;
    for (size_t i = 0; i < len; i++) {
        uint8_t byte = goaway->opaque_data[i];
        said[i] = byte >= 0x20 && byte < 0x7f ? (char)byte : '?';
    }
    said[len] = 0;
    snprintf(session->complaint, sizeof session->complaint, "GOAWAY %s%s%s",
             nghttp2_http2_strerror(goaway->error_code), len ? ": " : "", said);
    session->events->on_goaway(session, session->owner);
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
    struct kube_session *session = arg;
    (void)h2;
    if (frame->hd.type == NGHTTP2_HEADERS)
        take_headers(session, frame);
    else if (frame->hd.type == NGHTTP2_GOAWAY)
        take_goaway(session, &frame->goaway);
    return 0;
}

static int on_data_chunk(nghttp2_session *h2, uint8_t flags, int32_t stream, const uint8_t *bytes,
                         size_t len, void *arg)
{
    struct kube_session *session = arg;
    (void)h2, (void)flags;
    session->events->on_data(session, stream, bytes, len, session->owner);
    return 0;
}

static int on_stream_close(nghttp2_session *h2, int32_t stream, uint32_t h2_error, void *arg)
{
    struct kube_session *session = arg;
    enum kube_session_close how = KUBE_SESSION_BROKEN;
    (void)h2;
    if (h2_error == NGHTTP2_NO_ERROR)
        how = KUBE_SESSION_DONE;
    else if (h2_error == NGHTTP2_REFUSED_STREAM)
        how = KUBE_SESSION_REFUSED;
    session->events->on_close(session, stream, how, nghttp2_http2_strerror(h2_error),
                              session->owner);
    return 0;
}

/* A request that was still here when the server said GOAWAY never becomes a stream, so nothing
 * closes it either. */
static int on_not_sent(nghttp2_session *h2, const nghttp2_frame *frame, int error, void *arg)
{
    struct kube_session *session = arg;
    (void)h2;
    if (frame->hd.type == NGHTTP2_HEADERS && frame->headers.cat == NGHTTP2_HCAT_REQUEST)
        session->events->on_close(session, frame->hd.stream_id, KUBE_SESSION_REFUSED,
                                  nghttp2_strerror(error), session->owner);
    return 0;
}

static int on_complaint(nghttp2_session *h2, int code, const char *text, size_t len, void *arg)
{
    struct kube_session *session = arg;
    (void)h2, (void)code;
    snprintf(session->complaint, sizeof session->complaint, "%.*s", (int)len, text);
    return 0;
}

static ssize_t on_body(nghttp2_session *h2, int32_t stream, uint8_t *bytes, size_t room,
                       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct kube_session *session = arg;
    bool last = true;
    (void)h2, (void)source;
    size_t len = session->events->on_body(session, stream, bytes, room, &last, session->owner);
    if (last)
        *flags |= NGHTTP2_DATA_FLAG_EOF;
    return (ssize_t)len;
}

static bool say_hello(struct kube_session *session)
{
    const nghttp2_settings_entry settings[] = {
        {NGHTTP2_SETTINGS_ENABLE_PUSH, 0},
        {NGHTTP2_SETTINGS_INITIAL_WINDOW_SIZE, KUBE_SESSION_STREAM_WINDOW},
        {NGHTTP2_SETTINGS_MAX_HEADER_LIST_SIZE, HEADER_LIST_MAX},
    };
    return nghttp2_submit_settings(session->h2, NGHTTP2_FLAG_NONE, settings,
                                   sizeof settings / sizeof settings[0]) == 0 &&
           nghttp2_session_set_local_window_size(session->h2, NGHTTP2_FLAG_NONE, 0,
                                                 KUBE_SESSION_WINDOW) == 0;
}

bool session_start_h2(struct kube_session *session)
{
    nghttp2_session_callbacks *callbacks = NULL;
    if (nghttp2_session_callbacks_new(&callbacks) != 0)
        return false;
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_data_chunk);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_stream_close);
    nghttp2_session_callbacks_set_on_frame_not_send_callback(callbacks, on_not_sent);
    nghttp2_session_callbacks_set_error_callback2(callbacks, on_complaint);
    int failed = nghttp2_session_client_new(&session->h2, callbacks, session);
    nghttp2_session_callbacks_del(callbacks);
    return failed == 0 && say_hello(session);
}

int32_t kube_session_request(struct kube_session *session, const struct kube_header *headers,
                             size_t count, bool has_body, struct err *err)
{
    nghttp2_nv fields[KUBE_SESSION_HEADERS_MAX];
    const nghttp2_data_provider body = {.read_callback = on_body};
    if (count > KUBE_SESSION_HEADERS_MAX)
        abort();
    for (size_t i = 0; i < count; i++)
        /* nghttp2 copies them; its fields are not const for historical reasons. */
        fields[i] = (nghttp2_nv){.name = (uint8_t *)(uintptr_t)headers[i].name,
                                 .namelen = strlen(headers[i].name),
                                 .value = (uint8_t *)(uintptr_t)headers[i].value,
                                 .valuelen = strlen(headers[i].value),
                                 .flags = headers[i].secret ? NGHTTP2_NV_FLAG_NO_INDEX
                                                            : NGHTTP2_NV_FLAG_NONE};
    int32_t stream =
        nghttp2_submit_request(session->h2, NULL, fields, count, has_body ? &body : NULL, NULL);
    if (stream >= 0) {
        poll_item_again(session->env->loop, &session->item);
        return stream;
    }
    err_set(err, stream == NGHTTP2_ERR_NOMEM ? ERR_NO_MEMORY : ERR_RPC_UNAVAILABLE,
            "HTTP/2 request: %s", nghttp2_strerror(stream));
    if (stream == NGHTTP2_ERR_STREAM_ID_NOT_AVAILABLE)
        kube_session_end(session, err); /* after 2^30 requests: a new connection counts anew */
    return -1;
}
