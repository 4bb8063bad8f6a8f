#include "kube/cutter.h"

#include <string.h>

enum { DEPTH_MAX = 100000 };

void kube_cutter_init(struct kube_cutter *cutter, enum kube_cutter_kind kind,
                      bool (*on_piece)(void *, const char *, size_t), void *arg)
{
    *cutter = (struct kube_cutter){.kind = kind,
                                   .on_piece = on_piece,
                                   .arg = arg,
                                   .piece.max = KUBE_PIECE_MAX,
                                   .frame.max = KUBE_FRAME_MAX};
}

void kube_cutter_deinit(struct kube_cutter *cutter)
{
    kube_buffer_deinit(&cutter->piece);
    kube_buffer_deinit(&cutter->frame);
}

bool kube_cutter_is_whole(const struct kube_cutter *cutter)
{
    return cutter->depth == 0 && (cutter->kind == KUBE_CUTTER_STREAM || cutter->done);
}

static bool is_blank(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

/* Keeps `len` bytes for the piece or for the frame. */
static enum err_code keep(struct kube_cutter *cutter, const char *bytes, size_t len,
                          struct err *err)
{
    if (cutter->dropping || len == 0)
        return ERR_OK;
    if (!cutter->in_piece) {
        if (kube_buffer_add(&cutter->frame, bytes, len))
            return ERR_OK;
        return err_set(err, ERR_TOO_LARGE, "a list has more than %d bytes beside its items",
                       KUBE_FRAME_MAX);
    }
    if (kube_buffer_add(&cutter->piece, bytes, len))
        return ERR_OK;
    kube_buffer_clear(&cutter->piece);
    cutter->dropping = true;
    cutter->dropped++;
    return ERR_OK;
}

static enum err_code refuse(char found, struct err *err)
{
    return err_set(err, ERR_INVALID, "found the byte 0x%02x%s%.*s%s, expected a JSON object",
                   (unsigned char)found, found > 0x20 && found < 0x7f ? " (" : "",
                   found > 0x20 && found < 0x7f ? 1 : 0, &found,
                   found > 0x20 && found < 0x7f ? ")" : "");
}

/* The rest of a string, or as much of it as there is; how many bytes. */
static size_t skip_string(struct kube_cutter *cutter, const char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (cutter->escaped)
            cutter->escaped = false;
        else if (bytes[i] == '\\')
            cutter->escaped = true;
        else if (bytes[i] == '"') {
            cutter->in_string = false;
            return i + 1;
        }
    }
    return len;
}

/* In a piece: up to its end, or as far as the bytes go; how many. */
static size_t skip_piece(struct kube_cutter *cutter, const char *bytes, size_t len)
{
    size_t i = 0;
    while (i < len && (cutter->in_string || cutter->depth > cutter->base)) {
        if (cutter->in_string) {
            i += skip_string(cutter, bytes + i, len - i);
            continue;
        }
        char c = bytes[i++];
        if (c == '"')
            cutter->in_string = true;
        else if (c == '{' || c == '[')
            cutter->depth++;
        else if (c == '}' || c == ']')
            cutter->depth--;
    }
    return i;
}

/* Between pieces, where only white space, commas (in a list) and the end of the list may be. */
static enum err_code between(struct kube_cutter *cutter, char c, struct err *err)
{
    if (c == '{') {
        cutter->in_piece = true;
        cutter->depth++;
        return keep(cutter, &c, 1, err);
    }
    if (is_blank(c) || (c == ',' && cutter->kind == KUBE_CUTTER_LIST))
        return ERR_OK;
    if (c == ']' && cutter->kind == KUBE_CUTTER_LIST) {
        cutter->depth--;
        cutter->base = 0;
        return keep(cutter, &c, 1, err);
    }
    return refuse(c, err);
}

/* A byte of the list's frame outside strings. */
static enum err_code frame_byte(struct kube_cutter *cutter, char c, struct err *err)
{
    static const char items[] = "\"items\"";
    if (is_blank(c))
        return ERR_OK;
    if (cutter->done || (cutter->depth == 0 && c != '{'))
        return refuse(c, err);
    if (c == ':' && cutter->depth == 1)
        cutter->key_is_items =
            cutter->frame.len - cutter->key_at == sizeof items - 1 &&
            memcmp(cutter->frame.bytes + cutter->key_at, items, sizeof items - 1) == 0;
    enum err_code code = keep(cutter, &c, 1, err);
    if (c == '"') {
        cutter->in_string = true;
        cutter->key_at = cutter->frame.len - 1;
    } else if (c == '{' || c == '[') {
        cutter->depth++;
        if (c == '[' && cutter->depth == 2 && cutter->key_is_items)
            cutter->base = 2;
    } else if (c == '}' || c == ']') {
        cutter->done = --cutter->depth == 0;
    }
    if (c != ':')
        cutter->key_is_items = false;
    return cutter->depth > DEPTH_MAX ? refuse(c, err) : code;
}

/* Takes some of the bytes, at least one; *used how many. */
static enum err_code step(struct kube_cutter *cutter, const char *bytes, size_t len, size_t *used,
                          struct err *err)
{
    bool outside = cutter->kind == KUBE_CUTTER_LIST && cutter->base == 0;
    *used = 1;
    if (cutter->in_piece) {
        *used = skip_piece(cutter, bytes, len);
        return keep(cutter, bytes, *used, err);
    }
    if (outside && cutter->in_string) {
        *used = skip_string(cutter, bytes, len);
        return keep(cutter, bytes, *used, err);
    }
    return outside ? frame_byte(cutter, bytes[0], err) : between(cutter, bytes[0], err);
}

enum err_code kube_cutter_feed(struct kube_cutter *cutter, const char *bytes, size_t len,
                               struct err *err)
{
    while (len > 0) {
        size_t used = 0;
        enum err_code code = step(cutter, bytes, len, &used, err);
        if (code != ERR_OK)
            return code;
        bytes += used;
        len -= used;
        if (!cutter->in_piece || cutter->in_string || cutter->depth > cutter->base)
            continue;
        bool dropped = cutter->dropping;
        cutter->in_piece = false;
        cutter->dropping = false;
        if (!dropped && !cutter->on_piece(cutter->arg, cutter->piece.bytes, cutter->piece.len))
            return err_set(err, ERR_CANCELLED, "given up");
        kube_buffer_clear(&cutter->piece);
    }
    return ERR_OK;
}
