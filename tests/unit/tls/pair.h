/* Two TLS connections and the wire between them, in memory. */
#ifndef PAIR_H
#define PAIR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tls/conn.h"

/* Bytes on their way; the newest are appended. */
struct wire {
    uint8_t *bytes;
    size_t len, at, size;
};

struct pair_end {
    struct tls_conn *conn;
    enum tls_status status; /* of the last handshake step */
    struct err err;
    struct wire in; /* ciphertext that has not been read yet */
};

enum { CLIENT, SERVER };

struct pair {
    struct pair_end end[2];
};

/* Takes both connections. */
void pair_init(struct pair *pair, struct tls_conn *client, struct tls_conn *server);
void pair_deinit(struct pair *pair);

void wire_put(struct wire *wire, const void *bytes, size_t len);

/* Runs the handshake, at most `chunk` bytes per step and direction (0: all there are), until both
 * ends have an answer or nobody can go on. True when both are TLS_OK. */
bool pair_handshake(struct pair *pair, size_t chunk);

/* Reads all that is on the wire towards `end`, in steps of at most `chunk` bytes; the last status,
 * plaintext appended to `plain`. What the reading answers goes on the wire. */
enum tls_status pair_read(struct pair *pair, int end, size_t chunk, struct wire *plain);
/* Seals `len` bytes onto the wire towards the other end. */
enum tls_status pair_write(struct pair *pair, int end, const void *plain, size_t len);
enum tls_status pair_close(struct pair *pair, int end);

#endif
