#include "pair.h"

#include <stdlib.h>
#include <string.h>

void wire_put(struct wire *wire, const void *bytes, size_t len)
{
    if (wire->len + len > wire->size) {
        wire->size = (wire->len + len) * 2;
        wire->bytes = realloc(wire->bytes, wire->size);
        if (!wire->bytes)
            abort();
    }
    if (len > 0)
        memcpy(wire->bytes + wire->len, bytes, len);
    wire->len += len;
}

void pair_init(struct pair *pair, struct tls_conn *client, struct tls_conn *server)
{
    memset(pair, 0, sizeof *pair);
    pair->end[CLIENT].conn = client;
    pair->end[SERVER].conn = server;
    pair->end[CLIENT].status = pair->end[SERVER].status = TLS_WANT_INPUT;
}

void pair_deinit(struct pair *pair)
{
    for (int i = 0; i < 2; i++) {
        tls_conn_free(pair->end[i].conn);
        free(pair->end[i].in.bytes);
    }
}

/* A copy of exactly what is lent, so that a sanitizer sees a read beyond it. */
static uint8_t *lend_copy(const struct wire *wire, size_t chunk, size_t *len)
{
    *len = wire->len - wire->at;
    if (chunk && *len > chunk)
        *len = chunk;
    uint8_t *copy = malloc(*len ? *len : 1);
    if (*len)
        memcpy(copy, wire->bytes + wire->at, *len);
    return copy;
}

/* One step of an end; true when it changed anything. */
static bool step(struct pair *pair, int i, size_t chunk)
{
    struct pair_end *end = &pair->end[i];
    if (end->status != TLS_WANT_INPUT)
        return false;
    size_t len;
    uint8_t *in = lend_copy(&end->in, chunk, &len), *out = malloc(TLS_HANDSHAKE_OUT_MAX);
    struct tls_io io = {.in = in, .in_len = len, .out = out, .out_size = TLS_HANDSHAKE_OUT_MAX};
    end->status = tls_conn_handshake(end->conn, &io, &end->err);
    end->in.at += len - io.in_len;
    wire_put(&pair->end[1 - i].in, out, io.out_len);
    bool moved = io.in_len != len || io.out_len > 0 || end->status != TLS_WANT_INPUT;
    free(in);
    free(out);
    return moved;
}

bool pair_handshake(struct pair *pair, size_t chunk)
{
    bool moved;
    do {
        moved = step(pair, CLIENT, chunk);
        moved = step(pair, SERVER, chunk) || moved;
    } while (moved);
    return pair->end[CLIENT].status == TLS_OK && pair->end[SERVER].status == TLS_OK;
}

enum tls_status pair_read(struct pair *pair, int i, size_t chunk, struct wire *plain)
{
    struct pair_end *end = &pair->end[i];
    enum tls_status status = TLS_WANT_INPUT;
    do {
        size_t len;
        uint8_t *in = lend_copy(&end->in, chunk, &len), out[256];
        struct tls_io io = {.in = in, .in_len = len, .out = out, .out_size = sizeof out};
        do {
            uint8_t opened[5000];
            size_t got;
            status = tls_conn_read(end->conn, &io, opened, sizeof opened, &got, &end->err);
            if ((status == TLS_OK) != (got > 0))
                abort(); /* plaintext comes with TLS_OK and with nothing else */
            if (plain)
                wire_put(plain, opened, got);
        } while (status == TLS_OK);
        end->in.at += len - io.in_len;
        wire_put(&pair->end[1 - i].in, out, io.out_len);
        free(in);
    } while (status == TLS_WANT_INPUT && end->in.at < end->in.len);
    return status;
}

enum tls_status pair_write(struct pair *pair, int i, const void *plain, size_t len)
{
    size_t size = TLS_SEALED_SIZE(len);
    uint8_t *out = malloc(size);
    struct tls_io io = {.out = out, .out_size = size};
    enum tls_status status = tls_conn_write(pair->end[i].conn, &io, plain, len, &pair->end[i].err);
    wire_put(&pair->end[1 - i].in, out, io.out_len);
    free(out);
    return status;
}

enum tls_status pair_close(struct pair *pair, int i)
{
    uint8_t out[128];
    struct tls_io io = {.out = out, .out_size = sizeof out};
    enum tls_status status = tls_conn_close_notify(pair->end[i].conn, &io, &pair->end[i].err);
    wire_put(&pair->end[1 - i].in, out, io.out_len);
    return status;
}
