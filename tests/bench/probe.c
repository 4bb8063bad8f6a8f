/* The floor of the benchmark: the least that a pair of TLS relays can be. libuv's uv_poll,
 * BoringSSL with a BIO over one staging buffer, no policy, no deadlines, no logs, no truth about
 * resets.
 *
 *   bench_probe near LISTEN_IP:PORT TARGET_IP:PORT CERT KEY CA     plaintext in, TLS out
 *   bench_probe far  LISTEN_IP:PORT TARGET_IP:PORT CERT KEY CA     TLS in, plaintext out
 *
 * An error exits or closes the connection; nothing is reported. */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <openssl/ssl.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>
#include <uv.h>

enum { STAGING = 256 * 1024, PLAIN = 128 * 1024, ACCEPTS_MAX = 64 };

struct side {
    uv_poll_t poll;
    struct link *link;
    char *pending; /* bytes that the socket did not take */
    size_t pending_len;
    int fd, interest;
    bool ended, finished; /* read to its end; its end was passed on */
};

struct link {
    struct side plain, wire;
    SSL *ssl;
    int closing;
    bool connecting, ready;
};

static struct sockaddr_in target;
static SSL_CTX *context;
static bool near_side;
static uint8_t in[STAGING], out[STAGING], plain[PLAIN];
static size_t in_at, in_len, out_len;

static int bio_read(BIO *bio, char *data, int size)
{
    size_t n = in_len - in_at < (size_t)size ? in_len - in_at : (size_t)size;
    BIO_clear_retry_flags(bio);
    if (n == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    memcpy(data, in + in_at, n);
    in_at += n;
    return (int)n;
}

static int bio_write(BIO *bio, const char *data, int size)
{
    (void)bio;
    if (out_len + (size_t)size > STAGING)
        abort();
    memcpy(out + out_len, data, (size_t)size);
    out_len += (size_t)size;
    return size;
}

static long bio_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static void on_closed(uv_handle_t *handle)
{
    struct side *side = handle->data;
    struct link *link = side->link;
    close(side->fd);
    free(side->pending);
    if (--link->closing > 0)
        return;
    SSL_free(link->ssl);
    free(link);
}

static void end(struct link *link)
{
    if (link->closing)
        return;
    link->closing = 2;
    uv_close((uv_handle_t *)&link->plain.poll, on_closed);
    uv_close((uv_handle_t *)&link->wire.poll, on_closed);
}

static void on_event(uv_poll_t *poll, int status, int events);

static void want(struct side *side, int interest)
{
    if (side->interest == interest)
        return;
    side->interest = interest;
    if (interest)
        uv_poll_start(&side->poll, interest, on_event);
    else
        uv_poll_stop(&side->poll);
}

/* Writes first; what is left is kept and waited for. */
static bool put(struct side *side, const void *data, size_t len)
{
    ssize_t n = side->pending_len ? 0 : send(side->fd, data, len, MSG_NOSIGNAL);
    if (n < 0 && errno != EAGAIN)
        return false;
    size_t left = len - (n > 0 ? (size_t)n : 0);
    if (left > 0) {
        side->pending = realloc(side->pending, side->pending_len + left);
        memcpy(side->pending + side->pending_len, (const char *)data + len - left, left);
        side->pending_len += left;
    }
    return true;
}

static void settle(struct link *link)
{
    struct side *sides[] = {&link->plain, &link->wire};
    for (int i = 0; i < 2 && !link->closing; i++) {
        struct side *side = sides[i], *other = sides[!i];
        bool reads = !side->ended && !other->pending_len && (link->ready || side == &link->wire);
        want(side, (reads ? UV_READABLE : 0) | (side->pending_len ? UV_WRITABLE : 0));
    }
}

static bool finish(struct link *link, struct side *from, struct side *to)
{
    from->ended = true;
    if (from->finished || to->pending_len)
        return true;
    from->finished = true;
    if (to == &link->wire) {
        out_len = 0;
        SSL_shutdown(link->ssl);
        put(to, out, out_len);
    }
    shutdown(to->fd, SHUT_WR);
    return !(link->plain.finished && link->wire.finished);
}

static bool from_plain(struct link *link)
{
    ssize_t n = recv(link->plain.fd, plain, PLAIN, 0);
    if (n < 0)
        return errno == EAGAIN;
    if (n == 0)
        return finish(link, &link->plain, &link->wire);
    out_len = 0;
    for (ssize_t at = 0; at < n;) {
        int wrote = SSL_write(link->ssl, plain + at, (int)(n - at < 16384 ? n - at : 16384));
        if (wrote <= 0)
            return false;
        at += wrote;
    }
    return put(&link->wire, out, out_len);
}

static bool handshake(struct link *link)
{
    out_len = 0;
    int done = SSL_do_handshake(link->ssl);
    if (done <= 0 && SSL_get_error(link->ssl, done) != SSL_ERROR_WANT_READ)
        return false;
    link->ready = done == 1;
    return out_len == 0 || put(&link->wire, out, out_len);
}

static bool from_wire(struct link *link)
{
    ssize_t n = recv(link->wire.fd, in, STAGING / 2, 0);
    if (n <= 0)
        return n < 0 && errno == EAGAIN;
    in_at = 0;
    in_len = (size_t)n;
    if (!link->ready && !handshake(link))
        return false;
    while (link->ready) {
        int got = SSL_read(link->ssl, plain, PLAIN);
        if (got > 0) {
            if (!put(&link->plain, plain, (size_t)got))
                return false;
        } else if (SSL_get_error(link->ssl, got) == SSL_ERROR_ZERO_RETURN) {
            return finish(link, &link->wire, &link->plain);
        } else {
            return SSL_get_error(link->ssl, got) == SSL_ERROR_WANT_READ;
        }
    }
    return true;
}

static bool flush(struct link *link, struct side *side)
{
    struct side *from = side == &link->wire ? &link->plain : &link->wire;
    ssize_t n = send(side->fd, side->pending, side->pending_len, MSG_NOSIGNAL);
    if (n < 0)
        return errno == EAGAIN;
    side->pending_len -= (size_t)n;
    memmove(side->pending, side->pending + n, side->pending_len);
    if (side->pending_len)
        return true;
    free(side->pending);
    side->pending = NULL;
    return !from->ended || finish(link, from, side);
}

static void on_event(uv_poll_t *poll, int status, int events)
{
    struct side *side = poll->data;
    struct link *link = side->link;
    bool going = status == 0;
    if (going && link->connecting && (events & UV_WRITABLE)) {
        link->connecting = false;
        going = !near_side || handshake(link);
        events &= ~UV_WRITABLE;
    }
    if (going && (events & UV_WRITABLE) && side->pending_len)
        going = flush(link, side);
    if (going && (events & UV_READABLE))
        going = side == &link->wire ? from_wire(link) : from_plain(link);
    if (going)
        settle(link);
    else
        end(link);
}

static void adopt(struct link *link, struct side *side, int fd)
{
    int on = 1;
    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
    side->fd = fd;
    side->link = link;
    uv_poll_init(uv_default_loop(), &side->poll, fd);
    side->poll.data = side;
}

static void on_accept(uv_poll_t *poll, int status, int events)
{
    int fd, listener = *(int *)poll->data;
    (void)status, (void)events;
    for (int i = 0; i < ACCEPTS_MAX && (fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK)) >= 0;
         i++) {
        struct link *link = calloc(1, sizeof *link);
        int far = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
        connect(far, (struct sockaddr *)&target, sizeof target);
        adopt(link, &link->plain, near_side ? fd : far);
        adopt(link, &link->wire, near_side ? far : fd);
        static BIO_METHOD *method;
        if (!method) {
            method = BIO_meth_new(0, "staging");
            BIO_meth_set_read(method, bio_read);
            BIO_meth_set_write(method, bio_write);
            BIO_meth_set_ctrl(method, bio_ctrl);
        }
        BIO *bio = BIO_new(method);
        BIO_set_init(bio, 1);
        link->ssl = SSL_new(context);
        SSL_set_bio(link->ssl, bio, bio);
        if (near_side)
            SSL_set_connect_state(link->ssl);
        else
            SSL_set_accept_state(link->ssl);
        link->connecting = near_side;
        want(&link->wire, near_side ? UV_WRITABLE : UV_READABLE);
    }
}

static struct sockaddr_in parse(const char *text)
{
    char ip[64];
    unsigned port = 0;
    struct sockaddr_in at = {.sin_family = AF_INET};
    if (sscanf(text, "%63[0-9.]:%u", ip, &port) != 2 || inet_pton(AF_INET, ip, &at.sin_addr) != 1)
        exit(2);
    at.sin_port = htons((uint16_t)port);
    return at;
}

int main(int argc, char **argv)
{
    if (argc != 7)
        return 2;
    struct rlimit files;
    getrlimit(RLIMIT_NOFILE, &files);
    files.rlim_cur = files.rlim_max;
    setrlimit(RLIMIT_NOFILE, &files);
    signal(SIGPIPE, SIG_IGN);
    near_side = strcmp(argv[1], "near") == 0;
    struct sockaddr_in at = parse(argv[2]);
    target = parse(argv[3]);
    context = SSL_CTX_new(TLS_method());
    SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION);
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_options(context, SSL_OP_NO_TICKET);
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT, NULL);
    if (!SSL_CTX_use_certificate_chain_file(context, argv[4]) ||
        !SSL_CTX_use_PrivateKey_file(context, argv[5], SSL_FILETYPE_PEM) ||
        !SSL_CTX_load_verify_locations(context, argv[6], NULL))
        return 1;
    int on = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0);
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
    if (bind(fd, (struct sockaddr *)&at, sizeof at) < 0 || listen(fd, 4096) < 0)
        return 1;
    uv_poll_t poll;
    uv_poll_init(uv_default_loop(), &poll, fd);
    poll.data = &fd;
    uv_poll_start(&poll, UV_READABLE, on_accept);
    return uv_run(uv_default_loop(), UV_RUN_DEFAULT);
}
