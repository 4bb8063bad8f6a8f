#include "tls/client_hello.h"

#include <stdbool.h>
#include <string.h>

/* RFC 8446 sections 4, 4.1.2, 5.1; RFC 7301 section 3.1. */
enum {
    RECORD_HEADER = 5,
    RECORD_PLAIN_MAX = 1 << 14,
    RECORD_HANDSHAKE = 0x16,
    VERSION_MAJOR = 3,
    HANDSHAKE_HEADER = 4,
    HANDSHAKE_CLIENT_HELLO = 1,
    HELLO_FIXED = 2 + 32, /* legacy_version, random */
    SESSION_ID_MAX = 32,
    EXTENSION_ALPN = 16,
};

enum outcome { FOUND, MORE, DAMAGED };

/* Walks the payload of handshake records as if it were one piece. */
struct walk {
    const uint8_t *bytes;
    size_t len, at;
    size_t record_left; /* payload bytes of the present record that are not read yet */
    size_t left;        /* bytes of the handshake message that are not read yet */
    enum outcome state; /* what ended the walk, FOUND as long as it goes on */
};

static bool stop(struct walk *walk, enum outcome state)
{
    walk->state = state;
    return false;
}

static bool next_record(struct walk *walk)
{
    const uint8_t *header = walk->bytes + walk->at;
    size_t there = walk->len - walk->at;
    if ((there > 0 && header[0] != RECORD_HANDSHAKE) || (there > 1 && header[1] != VERSION_MAJOR))
        return stop(walk, DAMAGED);
    if (there < RECORD_HEADER)
        return stop(walk, MORE);
    walk->record_left = (size_t)header[3] << 8 | header[4];
    walk->at += RECORD_HEADER;
    /* Empty handshake fragments are not allowed. */
    if (walk->record_left == 0 || walk->record_left > RECORD_PLAIN_MAX)
        return stop(walk, DAMAGED);
    return true;
}

/* Copies (or, with out NULL, skips) `n` bytes of the message. */
static bool take(struct walk *walk, uint8_t *out, size_t n)
{
    if (n > walk->left)
        return stop(walk, DAMAGED);
    walk->left -= n;
    while (n > 0) {
        if (walk->record_left == 0 && !next_record(walk))
            return false;
        size_t part = n < walk->record_left ? n : walk->record_left;
        if (part > walk->len - walk->at)
            return stop(walk, MORE);
        if (out) {
            memcpy(out, walk->bytes + walk->at, part);
            out += part;
        }
        walk->at += part;
        walk->record_left -= part;
        n -= part;
    }
    return true;
}

/* A number of one to three bytes. */
static bool number(struct walk *walk, unsigned size, size_t *value)
{
    uint8_t bytes[3];
    *value = 0;
    if (!take(walk, bytes, size))
        return false;
    for (unsigned i = 0; i < size; i++)
        *value = *value << 8 | bytes[i];
    return true;
}

/* A vector with a length of `size` bytes that is not looked into. */
static bool skip_vector(struct walk *walk, unsigned size, size_t max)
{
    size_t len;
    if (!number(walk, size, &len))
        return false;
    return len <= max ? take(walk, NULL, len) : stop(walk, DAMAGED);
}

static bool is_listed(const uint8_t *name, size_t len, const char *const *list)
{
    for (; *list; list++)
        if (strlen(*list) == len && memcmp(*list, name, len) == 0)
            return true;
    return false;
}

/* ProtocolNameList of `len` bytes. */
static bool read_alpn(struct walk *walk, size_t len, const char *const *mesh_alpn, bool *mesh)
{
    size_t list_len;
    if (len < 2 || !number(walk, 2, &list_len))
        return len < 2 ? stop(walk, DAMAGED) : false;
    if (list_len != len - 2)
        return stop(walk, DAMAGED);
    while (list_len > 0) {
        uint8_t name[255];
        size_t name_len;
        if (!number(walk, 1, &name_len))
            return false;
        if (name_len == 0 || name_len > list_len - 1)
            return stop(walk, DAMAGED);
        if (!take(walk, name, name_len))
            return false;
        *mesh = *mesh || is_listed(name, name_len, mesh_alpn);
        list_len -= 1 + name_len;
    }
    return true;
}

static bool read_extensions(struct walk *walk, const char *const *mesh_alpn, bool *mesh)
{
    size_t total, type, len;
    bool alpn_seen = false;
    if (!number(walk, 2, &total))
        return false;
    if (total != walk->left)
        return stop(walk, DAMAGED);
    while (walk->left > 0) {
        if (!number(walk, 2, &type) || !number(walk, 2, &len))
            return false;
        if (len > walk->left || (type == EXTENSION_ALPN && alpn_seen))
            return stop(walk, DAMAGED);
        if (type != EXTENSION_ALPN) {
            if (!take(walk, NULL, len))
                return false;
            continue;
        }
        alpn_seen = true;
        if (!read_alpn(walk, len, mesh_alpn, mesh))
            return false;
    }
    return true;
}

/* The message after its type byte. */
static enum outcome read_hello(struct walk *walk, const char *const *mesh_alpn, bool *mesh)
{
    size_t message;
    if (!number(walk, 3, &message))
        return walk->state;
    /* Too long to wait for, even in one record. */
    if (message > CLIENT_HELLO_MAX - RECORD_HEADER - HANDSHAKE_HEADER)
        return DAMAGED;
    walk->left = message;
    bool whole = take(walk, NULL, HELLO_FIXED) && skip_vector(walk, 1, SESSION_ID_MAX) &&
                 skip_vector(walk, 2, message) && skip_vector(walk, 1, message) &&
                 read_extensions(walk, mesh_alpn, mesh);
    return whole ? FOUND : walk->state;
}

enum client_hello_kind client_hello_sniff(const uint8_t *bytes, size_t len,
                                          const char *const *mesh_alpn)
{
    struct walk walk = {.bytes = bytes, .len = len, .left = HANDSHAKE_HEADER};
    size_t type;
    bool mesh = false;
    if (len > CLIENT_HELLO_MAX)
        walk.len = CLIENT_HELLO_MAX;
    if (!number(&walk, 1, &type))
        return walk.state == MORE ? CLIENT_HELLO_NEED_MORE : CLIENT_HELLO_NOT_TLS;
    if (type != HANDSHAKE_CLIENT_HELLO)
        return CLIENT_HELLO_NOT_TLS;
    switch (read_hello(&walk, mesh_alpn, &mesh)) {
    case FOUND:
        return mesh ? CLIENT_HELLO_MESH : CLIENT_HELLO_OTHER_TLS;
    case MORE:
        return len >= CLIENT_HELLO_MAX ? CLIENT_HELLO_OTHER_TLS : CLIENT_HELLO_NEED_MORE;
    default:
        return CLIENT_HELLO_OTHER_TLS;
    }
}
