#include "rpc/guard.h"

#include <string.h>

/* RFC 9113 section 3.4 */
static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
enum { PREFACE_LEN = sizeof preface - 1 };

/* RFC 9113 section 6 */
enum { DATA = 0, HEADERS = 1, PRIORITY = 2, RST_STREAM = 3, SETTINGS = 4, CONTINUATION = 9 };
enum { FLAG_ACK = 1, FLAG_END_HEADERS = 4 };

void guard_init(struct guard *guard, int64_t now_ms)
{
    *guard =
        (struct guard){.allowance = (int64_t)GUARD_NUISANCE_BURST * 1000, .counted_ms = now_ms};
}

static enum err_code check_preface(struct guard *guard, const uint8_t **at, const uint8_t *end,
                                   struct err *err)
{
    while (guard->preface_len < PREFACE_LEN && *at < end)
        if (*(*at)++ != (uint8_t)preface[guard->preface_len++])
            return err_set(err, ERR_RPC_PROTOCOL, "the client does not speak HTTP/2");
    return ERR_OK;
}

static enum err_code count_nuisance(struct guard *guard, int64_t now_ms, struct err *err)
{
    const int64_t most = (int64_t)GUARD_NUISANCE_BURST * 1000;
    int64_t earned = (now_ms - guard->counted_ms) * GUARD_NUISANCE_PER_SECOND;
    guard->counted_ms = now_ms;
    guard->allowance = earned > most - guard->allowance ? most : guard->allowance + earned;
    guard->allowance -= 1000;
    if (guard->allowance >= 0)
        return ERR_OK;
    return err_set(
        err, ERR_RPC_PROTOCOL,
        "the client sends RST_STREAM, SETTINGS or PRIORITY frames without end: more than "
        "%d, and %d a second",
        GUARD_NUISANCE_BURST, GUARD_NUISANCE_PER_SECOND);
}

/* A header block is one HEADERS frame and CONTINUATION frames with nothing in between (RFC 9113
 * section 4.3). */
static enum err_code count_headers(struct guard *guard, uint8_t type, uint8_t flags, uint32_t len,
                                   struct err *err)
{
    if (guard->in_headers != (type == CONTINUATION))
        return err_set(err, ERR_RPC_PROTOCOL, "the client sends a header block in disorder");
    if (type == HEADERS) {
        guard->headers_bytes = 0;
        guard->continuations = 0;
    } else {
        guard->continuations++;
    }
    guard->headers_bytes += len;
    guard->in_headers = !(flags & FLAG_END_HEADERS);
    if (guard->headers_bytes > GUARD_HEADERS_MAX_BYTES ||
        guard->continuations > GUARD_CONTINUATIONS_MAX)
        return err_set(err, ERR_RPC_PROTOCOL,
                       "the client sends a header block of %u bytes in %u frames, at most %d in %d",
                       guard->headers_bytes, guard->continuations + 1u, GUARD_HEADERS_MAX_BYTES,
                       GUARD_CONTINUATIONS_MAX + 1);
    return ERR_OK;
}

static enum err_code check_frame(struct guard *guard, int64_t now_ms, struct err *err)
{
    const uint8_t *h = guard->header;
    uint32_t len = (uint32_t)h[0] << 16 | (uint32_t)h[1] << 8 | h[2];
    uint8_t type = h[3], flags = h[4];
    if (len > GUARD_FRAME_MAX_BYTES)
        return err_set(err, ERR_RPC_PROTOCOL, "the client sends a frame of %u bytes, at most %d",
                       len, GUARD_FRAME_MAX_BYTES);
    guard->skip = len;
    guard->in_data = type == DATA;
    if (type == HEADERS || type == CONTINUATION || guard->in_headers)
        return count_headers(guard, type, flags, len, err);
    if (type == RST_STREAM || type == PRIORITY || (type == SETTINGS && !(flags & FLAG_ACK)))
        return count_nuisance(guard, now_ms, err);
    return ERR_OK;
}

enum err_code guard_check(struct guard *guard, const uint8_t *data, size_t len, int64_t now_ms,
                          struct err *err)
{
    const uint8_t *at = data, *end = data + len;
    enum err_code code = check_preface(guard, &at, end, err);
    while (code == ERR_OK && at < end) {
        size_t left = (size_t)(end - at);
        if (guard->skip > 0) {
            uint32_t step = left < guard->skip ? (uint32_t)left : guard->skip;
            guard->skip -= step;
            guard->data_bytes += guard->in_data ? step : 0;
            at += step;
            continue;
        }
        guard->header[guard->header_len++] = *at++;
        if (guard->header_len == GUARD_FRAME_HEADER_BYTES) {
            guard->header_len = 0;
            code = check_frame(guard, now_ms, err);
        }
    }
    return code;
}
