#include "apiserver.h"

#include <errno.h>
#include <openssl/err.h>
#include <openssl/x509.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "relay/socket.h"

#define CONN_OF(pointer, member)                                                                   \
    ((struct apiserver_conn *)(void *)((char *)(pointer)-offsetof(struct apiserver_conn, member)))

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "apiserver: %s\n", what);
    abort();
}

/* --- streams ---------------------------------------------------------------------------------- */

static struct apiserver_stream *find(struct apiserver_conn *conn, int32_t id)
{
    for (int i = 0; i < APISERVER_STREAMS; i++)
        if (conn->server->streams[i].id == id && conn->server->streams[i].conn == conn)
            return &conn->server->streams[i];
    return NULL;
}

static void release(struct apiserver_stream *stream)
{
    free(stream->body);
    free(stream->out);
    memset(stream, 0, sizeof *stream);
}

static void append(struct apiserver_stream *stream, const char *bytes, size_t len)
{
    stream->out = realloc(stream->out, stream->out_len + len + 1);
    must(stream->out != NULL, "no memory");
    memcpy(stream->out + stream->out_len, bytes, len);
    stream->out_len += len;
}

static void do_then(struct apiserver_stream *stream, uint32_t *flags)
{
    struct apiserver_conn *conn = stream->conn;
    switch (stream->step->then) {
    case CUT:
        conn->doomed = true;
        break;
    case CLOSE:
        SSL_shutdown(conn->ssl);
        conn->doomed = true;
        break;
    case RST:
        nghttp2_submit_rst_stream(conn->h2, 0, stream->id, NGHTTP2_INTERNAL_ERROR);
        break;
    case GOAWAY:
        nghttp2_submit_goaway(conn->h2, 0, stream->id, NGHTTP2_NO_ERROR, (const uint8_t *)"see you",
                              7);
        break;
    case SILENT:
        conn->silent = true;
        break;
    default:
        break;
    }
    (void)flags;
}

static ssize_t on_read(nghttp2_session *h2, int32_t id, uint8_t *bytes, size_t room,
                       uint32_t *flags, nghttp2_data_source *source, void *arg)
{
    struct apiserver_stream *stream = find(arg, id);
    (void)h2, (void)source;
    must(stream != NULL, "a stream that is not there");
    size_t rest = stream->out_len - stream->out_at, len = rest < room ? rest : room;
    if (stream->step->chunk && len > stream->step->chunk)
        len = stream->step->chunk;
    if (len > 0)
        memcpy(bytes, stream->out + stream->out_at, len);
    stream->out_at += len;
    if (stream->out_at < stream->out_len)
        return (ssize_t)len;
    if (!stream->more) {
        *flags |= NGHTTP2_DATA_FLAG_EOF;
        return (ssize_t)len;
    }
    if (len > 0)
        return (ssize_t)len;
    if (!stream->deferred)
        do_then(stream, flags);
    stream->deferred = true;
    return NGHTTP2_ERR_DEFERRED;
}

static void respond(struct apiserver_stream *stream, const struct step *step)
{
    char status[8];
    nghttp2_nv headers[3];
    size_t count = 0;
    nghttp2_data_provider provider = {.read_callback = on_read};
    snprintf(status, sizeof status, "%d", step->status);
#define HEADER(n, v)                                                                               \
    (nghttp2_nv){(uint8_t *)(uintptr_t)(n), (uint8_t *)(uintptr_t)(v), strlen(n), strlen(v), 0}
    headers[count++] = HEADER(":status", status);
    headers[count++] = HEADER("content-type", "application/json");
    if (step->retry_after)
        headers[count++] = HEADER("retry-after", step->retry_after);
    stream->step = step;
    stream->more = step->then != END && step->then != LEAVE;
    if (step->then == LEAVE) {
        stream->conn->last = stream->id;
        nghttp2_submit_goaway(stream->conn->h2, 0, stream->id, NGHTTP2_NO_ERROR, NULL, 0);
    }
    if (step->body)
        append(stream, step->body, step->body_len ? step->body_len : strlen(step->body));
    nghttp2_submit_response(stream->conn->h2, stream->id, headers, count, &provider);
}

/* A whole request is there. */
static void answer(struct apiserver_stream *stream)
{
    struct apiserver *server = stream->conn->server;
    const struct step *step = NULL;
    char line[APISERVER_LINE_MAX];
    if (stream->conn->last && stream->id > stream->conn->last)
        return;
    snprintf(line, sizeof line, "%.10s %.2000s", stream->method, stream->path);
    memcpy(stream->line, line, sizeof line);
    server->requests++;
    memcpy(server->last_line, stream->line, sizeof server->last_line);
    memcpy(server->last_authorization, stream->authorization, sizeof server->last_authorization);
    memcpy(server->last_content_type, stream->content_type, sizeof server->last_content_type);
    memcpy(server->last_client, stream->conn->client, sizeof server->last_client);
    server->last_body_len = stream->body_len;
    snprintf(server->last_body, sizeof server->last_body, "%.*s",
             (int)(stream->body_len < 16000 ? stream->body_len : 16000),
             stream->body ? stream->body : "");
    if (server->answer) {
        step = server->answer(server, stream->line);
    } else if (server->script_at < server->script_len) {
        step = &server->script[server->script_at];
        server->script_at += !step->repeat;
        if (!strstr(stream->line, step->wants)) {
            fprintf(stderr, "\napiserver: %s, expected %s\n", stream->line, step->wants);
            server->unexpected++;
        }
    }
    if (!step) {
        static const struct step nothing = {.status = 500, .body = "{}"};
        fprintf(stderr, "\napiserver: %s, expected no more\n", stream->line);
        server->unexpected++;
        step = &nothing;
    }
    if (step->then == REFUSE)
        nghttp2_submit_rst_stream(stream->conn->h2, 0, stream->id, NGHTTP2_REFUSED_STREAM);
    else if (step->then != NOTHING)
        respond(stream, step);
}

static int on_begin_headers(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
    struct apiserver_conn *conn = arg;
    (void)h2;
    for (int i = 0; i < APISERVER_STREAMS; i++) {
        struct apiserver_stream *stream = &conn->server->streams[i];
        if (stream->id != 0)
            continue;
        *stream = (struct apiserver_stream){.conn = conn, .id = frame->hd.stream_id};
        return 0;
    }
    must(false, "too many streams");
    return 0;
}

static int on_header(nghttp2_session *h2, const nghttp2_frame *frame, const uint8_t *name,
                     size_t name_len, const uint8_t *value, size_t value_len, uint8_t flags,
                     void *arg)
{
    struct apiserver_stream *stream = find(arg, frame->hd.stream_id);
    static const char *const names[] = {":path", ":method", "authorization", "content-type"};
    (void)h2, (void)flags;
    must(stream != NULL, "headers of a stream that is not there");
    char *const to[] = {stream->path, stream->method, stream->authorization, stream->content_type};
    const size_t sizes[] = {sizeof stream->path, sizeof stream->method,
                            sizeof stream->authorization, sizeof stream->content_type};
    for (int i = 0; i < 4; i++)
        if (name_len == strlen(names[i]) && memcmp(name, names[i], name_len) == 0)
            snprintf(to[i], sizes[i], "%.*s", (int)value_len, (const char *)value);
    return 0;
}

static int on_chunk(nghttp2_session *h2, uint8_t flags, int32_t id, const uint8_t *bytes,
                    size_t len, void *arg)
{
    struct apiserver_stream *stream = find(arg, id);
    (void)h2, (void)flags;
    if (!stream)
        return 0;
    stream->body = realloc(stream->body, stream->body_len + len);
    memcpy(stream->body + stream->body_len, bytes, len);
    stream->body_len += len;
    return 0;
}

static int on_frame(nghttp2_session *h2, const nghttp2_frame *frame, void *arg)
{
    struct apiserver_conn *conn = arg;
    (void)h2;
    if (frame->hd.type == NGHTTP2_PING && !(frame->hd.flags & NGHTTP2_FLAG_ACK))
        conn->server->pings++;
    struct apiserver_stream *stream = find(conn, frame->hd.stream_id);
    if (stream && (frame->hd.type == NGHTTP2_HEADERS || frame->hd.type == NGHTTP2_DATA) &&
        (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        answer(stream);
    return 0;
}

static int on_close(nghttp2_session *h2, int32_t id, uint32_t h2_error, void *arg)
{
    struct apiserver_stream *stream = find(arg, id);
    (void)h2, (void)h2_error;
    if (stream)
        release(stream);
    return 0;
}

/* --- connections ------------------------------------------------------------------------------ */

static void end_conn(struct apiserver_conn *conn)
{
    struct apiserver *server = conn->server;
    int fd = conn->item.fd;
    poll_item_remove(server->loop, &conn->item);
    socket_close_reset(fd);
    for (int i = 0; i < APISERVER_STREAMS; i++)
        if (server->streams[i].conn == conn)
            release(&server->streams[i]);
    struct apiserver_conn **link = &server->conns;
    while (*link != conn)
        link = &(*link)->next;
    *link = conn->next;
    nghttp2_session_del(conn->h2);
    SSL_free(conn->ssl);
    free(conn);
}

static void write_out(struct apiserver_conn *conn)
{
    const uint8_t *bytes = NULL;
    size_t len = 0;
    while (BIO_mem_contents(conn->out, &bytes, &len) && len > 0) {
        ssize_t sent = send(conn->item.fd, bytes, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return;
        char scratch[4096];
        for (size_t rest = (size_t)sent; rest > 0;) {
            int n = BIO_read(conn->out, scratch, (int)(rest < sizeof scratch ? rest : 4096));
            must(n > 0, "a memory BIO");
            rest -= (size_t)n;
        }
    }
}

static void start_h2(struct apiserver_conn *conn)
{
    nghttp2_session_callbacks *callbacks = NULL;
    nghttp2_session_callbacks_new(&callbacks);
    nghttp2_session_callbacks_set_on_begin_headers_callback(callbacks, on_begin_headers);
    nghttp2_session_callbacks_set_on_header_callback(callbacks, on_header);
    nghttp2_session_callbacks_set_on_data_chunk_recv_callback(callbacks, on_chunk);
    nghttp2_session_callbacks_set_on_frame_recv_callback(callbacks, on_frame);
    nghttp2_session_callbacks_set_on_stream_close_callback(callbacks, on_close);
    nghttp2_session_server_new(&conn->h2, callbacks, conn);
    nghttp2_session_callbacks_del(callbacks);
    nghttp2_submit_settings(conn->h2, 0, NULL, 0);
    conn->shaken = true;
    X509 *client = SSL_get_peer_certificate(conn->ssl);
    if (client)
        X509_NAME_get_text_by_NID(X509_get_subject_name(client), NID_commonName, conn->client,
                                  sizeof conn->client);
    X509_free(client);
}

/* False: the connection is over. */
static bool read_in(struct apiserver_conn *conn)
{
    char bytes[16384];
    ssize_t got;
    while ((got = recv(conn->item.fd, bytes, sizeof bytes, 0)) > 0)
        BIO_write(conn->in, bytes, (int)got);
    bool ended = got == 0 || errno != EAGAIN;
    if (!conn->shaken && SSL_do_handshake(conn->ssl) == 1)
        start_h2(conn);
    ERR_clear_error();
    int n;
    while (conn->shaken && (n = SSL_read(conn->ssl, bytes, sizeof bytes)) > 0)
        if (nghttp2_session_mem_recv(conn->h2, (const uint8_t *)bytes, (size_t)n) < 0)
            return false;
    ERR_clear_error();
    return !ended;
}

static void serve(struct apiserver_conn *conn)
{
    const uint8_t *frame = NULL;
    ssize_t len;
    bool silent = conn->silent;
    while (conn->shaken && !conn->silent && (len = nghttp2_session_mem_send(conn->h2, &frame)) > 0)
        SSL_write(conn->ssl, frame, (int)len);
    if (!silent)
        write_out(conn);
}

static void on_conn(struct poll_item *item, uint32_t events)
{
    struct apiserver_conn *conn = CONN_OF(item, item);
    (void)events;
    if (conn->silent || conn->server->deaf)
        return;
    bool open = read_in(conn);
    serve(conn);
    if (!open || conn->doomed)
        end_conn(conn);
}

static void on_accept(struct poll_item *item, uint32_t events)
{
    struct apiserver *server =
        (struct apiserver *)(void *)((char *)item - offsetof(struct apiserver, listener));
    int fd;
    (void)events;
    while ((fd = accept4(item->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
        server->connections++;
        if (server->refuses) {
            close(fd);
            continue;
        }
        struct apiserver_conn *conn = calloc(1, sizeof *conn);
        conn->server = server;
        conn->ssl = SSL_new(server->tls);
        conn->in = BIO_new(BIO_s_mem());
        conn->out = BIO_new(BIO_s_mem());
        BIO_set_mem_eof_return(conn->in, -1);
        SSL_set_bio(conn->ssl, conn->in, conn->out);
        SSL_set_accept_state(conn->ssl);
        conn->next = server->conns;
        server->conns = conn;
        must(poll_item_add(server->loop, &conn->item, fd, on_conn, NULL) == ERR_OK, "watch");
    }
}

/* --- the server ------------------------------------------------------------------------------- */

void apiserver_start(struct apiserver *server, struct loop *loop, SSL_CTX *tls)
{
    struct addr_port at = {0};
    struct sockaddr_storage storage;
    socklen_t len = sizeof storage;
    int fd = -1;
    memset(server, 0, sizeof *server);
    server->loop = loop;
    server->tls = tls;
    must(addr_parse(&at.ip, "127.0.0.1"), "an address");
    must(socket_listen(&at, false, 64, &fd, NULL) == ERR_OK, "listen");
    getsockname(fd, (struct sockaddr *)&storage, &len);
    must(addr_from_sockaddr(&at, &storage), "a port");
    server->port = at.port;
    must(poll_item_add(loop, &server->listener, fd, on_accept, NULL) == ERR_OK, "watch");
}

void apiserver_cut(struct apiserver *server)
{
    while (server->conns)
        end_conn(server->conns);
}

void apiserver_stop(struct apiserver *server)
{
    int fd = server->listener.fd;
    apiserver_cut(server);
    if (fd >= 0) {
        poll_item_remove(server->loop, &server->listener);
        close(fd);
    }
    SSL_CTX_free(server->tls);
    free((void *)(uintptr_t)server->script);
}

void apiserver_script(struct apiserver *server, const struct step *script, size_t count)
{
    struct step *copy = malloc(count * sizeof *copy);
    memcpy(copy, script, count * sizeof *copy);
    free((void *)(uintptr_t)server->script);
    server->script = copy;
    server->script_len = count;
    server->script_at = 0;
}

struct apiserver_stream *apiserver_open(struct apiserver *server)
{
    struct apiserver_stream *newest = NULL;
    for (int i = 0; i < APISERVER_STREAMS; i++) {
        struct apiserver_stream *stream = &server->streams[i];
        if (stream->id && stream->step && (!newest || stream->id > newest->id))
            newest = stream;
    }
    return newest;
}

void apiserver_say(struct apiserver *server, const char *text, size_t len, bool last)
{
    struct apiserver_stream *stream = apiserver_open(server);
    must(stream != NULL, "nobody listens");
    append(stream, text, len);
    stream->more = !last;
    nghttp2_session_resume_data(stream->conn->h2, stream->id);
    serve(stream->conn);
}

unsigned apiserver_tell(struct apiserver *server, const char *part, const char *other,
                        const char *text)
{
    unsigned told = 0;
    for (int i = 0; i < APISERVER_STREAMS; i++) {
        struct apiserver_stream *stream = &server->streams[i];
        if (!stream->id || !stream->step || !stream->more || !strstr(stream->line, part) ||
            !strstr(stream->line, other))
            continue;
        append(stream, text, strlen(text));
        nghttp2_session_resume_data(stream->conn->h2, stream->id);
        told++;
    }
    return told;
}

void apiserver_serve(struct apiserver *server)
{
    for (struct apiserver_conn *conn = server->conns; conn; conn = conn->next)
        serve(conn);
}

void apiserver_babble(struct apiserver *server, const void *bytes, size_t len)
{
    must(server->conns && server->conns->shaken, "nobody to babble to");
    SSL_write(server->conns->ssl, bytes, (int)len);
    write_out(server->conns);
}

bool apiserver_is_done(const struct apiserver *server)
{
    return server->script_at == server->script_len ||
           (server->script_at + 1 == server->script_len &&
            server->script[server->script_at].repeat);
}
