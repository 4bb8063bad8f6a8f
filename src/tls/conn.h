/* One TLS 1.3 connection without any I/O of its own: bytes in, bytes out, on whatever thread owns
 * it.
 *
 * Around every call the caller lends two spans (struct tls_io): ciphertext that has arrived and
 * room for ciphertext to send. All arrived bytes are always consumed (a partial record is kept
 * inside). Nothing is allocated per call beyond what BoringSSL does for a record that is
 * incomplete; an idle connection holds no buffers. */
#ifndef TLS_CONN_H
#define TLS_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tls/context.h"
#include "tls/spiffe.h"

struct tls_conn;

struct tls_io {
    const uint8_t *in; /* ciphertext from the peer; advanced as it is consumed */
    size_t in_len;
    uint8_t *out; /* room for ciphertext to the peer */
    size_t out_size;
    size_t out_len; /* how much of it is filled; grows */
};

enum {
    /* Room in `out` that a handshake step may need: both of its flights, certificates included. */
    TLS_HANDSHAKE_OUT_MAX = 24 * 1024,
    TLS_RECORD_PLAIN_MAX = 16 * 1024,
    TLS_RECORD_OVERHEAD = 5 + 1 + 16, /* header, content type, tag: RFC 8446 section 5.2 */
};

/* The room that tls_conn_write of `plain_len` bytes may need. */
#define TLS_SEALED_SIZE(plain_len)                                                                 \
    ((plain_len) + ((plain_len) / TLS_RECORD_PLAIN_MAX + 1) * TLS_RECORD_OVERHEAD + 64)

enum tls_status {
    TLS_OK,         /* the step is complete */
    TLS_WANT_INPUT, /* needs bytes from the peer */
    TLS_CLOSED,     /* read only: the peer's close_notify; every byte it sent has been read */
    TLS_FAILED,     /* *err says why; send what is in `out` (an alert), then reset */
};

/* What was proven about the peer; valid after the handshake. */
struct tls_peer {
    struct spiffe_id id; /* empty for a server that is known by name */
    char serial[48];     /* lower-case hex */
    int64_t not_after_s; /* wall clock */
    char alpn[16];
};

/* A connection as client. `expected` are the IDs of which the peer must be one (count >= 1,
 * borrowed during the call): compared exactly, pointer and length. Takes a reference to `context`.
 * NULL: out of memory. */
struct tls_conn *tls_conn_new_client(struct tls_context *context, const struct spiffe_id *expected,
                                     size_t count);
/* As client to a server with a DNS name (the control plane): roots from the context's bundle, name
 * exact (no wildcards, case ignored), no client certificate, ALPN h2. */
struct tls_conn *tls_conn_new_client_dns(struct tls_context *context, const char *dns_name);
/* As client to a server outside the mesh (a Kubernetes API server), known by the DNS name or the IP
 * address `name` (RFC 9525; a wildcard may stand for the whole first label); the context is one of
 * tls_context_new_outside. */
struct tls_conn *tls_conn_new_client_outside(struct tls_context *context, const char *name);
/* As client that believes whoever answers: the context is from tls_context_new_unverified. */
struct tls_conn *tls_conn_new_client_unverified(struct tls_context *context);
/* As server that requires a client certificate from the mesh. */
struct tls_conn *tls_conn_new_server(struct tls_context *context);
void tls_conn_free(struct tls_conn *conn);

/* One step of the handshake: TLS_OK when it is done (for a server: the client is verified), else
 * TLS_WANT_INPUT or TLS_FAILED. Input left over after TLS_OK stays in io->in for tls_conn_read. */
enum tls_status tls_conn_handshake(struct tls_conn *conn, struct tls_io *io, struct err *err);

/* For a handshake that is under way when trust changes: the peer is judged by the bundle of
 * `context`, also when its certificate has been verified already; the next step then fails. Our own
 * identity stays the one that the connection was made with, and so does everything once the
 * handshake is over. Takes a reference. */
void tls_conn_trust(struct tls_conn *conn, struct tls_context *context);

/* Opens what has arrived: up to `size` plaintext bytes into `plain`, *plain_len of them. TLS_OK:
 * *plain_len > 0, call again. TLS_WANT_INPUT: everything is consumed. May add to `out` (key
 * updates): offer TLS_RECORD_OVERHEAD + 64. */
enum tls_status tls_conn_read(struct tls_conn *conn, struct tls_io *io, void *plain, size_t size,
                              size_t *plain_len, struct err *err);
/* Seals all of `plain`; `out` must have TLS_SEALED_SIZE(plain_len) room. TLS_OK or TLS_FAILED. */
enum tls_status tls_conn_write(struct tls_conn *conn, struct tls_io *io, const void *plain,
                               size_t plain_len, struct err *err);
/* Adds our close_notify to `out`; reading goes on (RFC 8446 section 6.1: each direction closes
 * alone). */
enum tls_status tls_conn_close_notify(struct tls_conn *conn, struct tls_io *io, struct err *err);
/* Adds a fatal access_denied alert to `out`: policy refused a peer that proved who it is. */
void tls_conn_alert_denied(struct tls_conn *conn, struct tls_io *io);

/* The name of the fatal alert that the peer sent, "unknown_ca" (RFC 8446 section 6), or NULL; a
 * constant. Set when a call has failed with ERR_TLS_ALERT. */
const char *tls_conn_alert(const struct tls_conn *conn);

/* Valid after TLS_OK from the handshake; borrowed, as long as the connection. */
const struct tls_peer *tls_conn_peer(const struct tls_conn *conn);
/* The context that the connection was made with: its own identity and bundle. Borrowed. */
const struct tls_context *tls_conn_context(const struct tls_conn *conn);

#endif
