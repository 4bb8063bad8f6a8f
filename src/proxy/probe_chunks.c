#include "proxy/probe_chunks.h"

enum { SIZE, EXTENSION, SIZE_LF, CONTENT, CONTENT_CR, CONTENT_LF, LINE, TRAILER, TRAILER_LF, LAST };

enum { SIZE_DIGITS_MAX = 15 }; /* 2^60 bytes: nobody sends more, and nothing overflows */

static int hex_value(char c)
{
    if (c >= '0' && c <= '9')
        return c - '0';
    c |= 0x20;
    return c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}

/* A byte of a chunk's size, or the first one behind it. */
static bool take_size(struct probe_chunks *chunks, char c)
{
    int value = hex_value(c);
    if (value >= 0) {
        chunks->left = chunks->left << 4 | (unsigned)value;
        return ++chunks->digits <= SIZE_DIGITS_MAX;
    }
    chunks->state = c == '\r' ? SIZE_LF : EXTENSION;
    return chunks->digits > 0 && (c == '\r' || c == ';' || c == ' ' || c == '\t');
}

/* Bytes that only fill the space between others are counted: an answer may not consist of them. */
static bool take_extra(struct probe_chunks *chunks, char c, unsigned at_cr)
{
    if (c == '\r')
        chunks->state = at_cr;
    return c != '\n' && ++chunks->extra <= PROBE_CHUNKS_EXTRA_MAX;
}

static bool expect(struct probe_chunks *chunks, char c, char wanted, unsigned next)
{
    chunks->state = next;
    return c == wanted;
}

/* One byte that is not a chunk's content. */
static bool take(struct probe_chunks *chunks, char c)
{
    switch (chunks->state) {
    case SIZE:
        return take_size(chunks, c);
    case EXTENSION:
        return take_extra(chunks, c, SIZE_LF);
    case SIZE_LF:
        return expect(chunks, c, '\n', chunks->left ? CONTENT : LINE);
    case CONTENT_CR:
        return expect(chunks, c, '\r', CONTENT_LF);
    case CONTENT_LF:
        chunks->digits = 0;
        return expect(chunks, c, '\n', SIZE);
    case LINE: /* a trailer, or the empty line that ends them */
        if (c == '\r')
            return expect(chunks, c, '\r', LAST);
        chunks->state = TRAILER;
        return take_extra(chunks, c, TRAILER_LF);
    case TRAILER:
        return take_extra(chunks, c, TRAILER_LF);
    case TRAILER_LF:
        return expect(chunks, c, '\n', LINE);
    default: /* LAST */
        chunks->over = c == '\n';
        return chunks->over;
    }
}

bool probe_chunks_feed(struct probe_chunks *chunks, const char *bytes, size_t len)
{
    for (size_t at = 0; at < len && !chunks->over;) {
        if (chunks->state != CONTENT) {
            if (!take(chunks, bytes[at++]))
                return false;
            continue;
        }
        size_t there = len - at < chunks->left ? len - at : (size_t)chunks->left;
        at += there;
        chunks->content += there;
        chunks->left -= there;
        if (chunks->left == 0)
            chunks->state = CONTENT_CR;
    }
    return true;
}
