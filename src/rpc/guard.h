/* What a client may send before gRPC sees it. gRPC 1.51 trusts a client's frames too far: a header
 * of any length is collected, at a cost that grows with its square (CVE-2023-33953), and calls that
 * are opened and reset at once pile up without end (CVE-2023-44487). Whoever reaches the port could
 * use that before showing a token, so a client is held to the frames' outline (RFC 9113
 * section 4.1) and a few ceilings.
 *
 * Pure: bytes in, yes or no out. One guard for each connection. */
#ifndef RPC_GUARD_H
#define RPC_GUARD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum {
    GUARD_FRAME_MAX_BYTES = 16384,   /* SETTINGS_MAX_FRAME_SIZE, which gRPC leaves at its default */
    GUARD_HEADERS_MAX_BYTES = 32768, /* one header block, its CONTINUATION frames included */
    GUARD_CONTINUATIONS_MAX = 8,     /* of one header block */
    GUARD_NUISANCE_BURST = 200,     /* RST_STREAM, SETTINGS and PRIORITY frames: so many at once, */
    GUARD_NUISANCE_PER_SECOND = 20, /* and so many a second */
    GUARD_FRAME_HEADER_BYTES = 9,
};

struct guard {
    uint8_t header[GUARD_FRAME_HEADER_BYTES]; /* of the next frame, as far as it has come */
    uint8_t header_len;
    uint8_t preface_len; /* of the connection preface, checked so far */
    uint8_t continuations;
    bool in_headers; /* END_HEADERS has not come */
    bool in_data;    /* what is to come is a DATA frame's */
    uint32_t skip;   /* payload that is still to come */
    uint32_t headers_bytes;
    uint64_t data_bytes; /* of DATA frames, so far: messages, and 5 bytes for each */
    int64_t allowance;   /* nuisance frames, in thousandths */
    int64_t counted_ms;
};

/* `now_ms` is clock_now_ms(), here and below. */
void guard_init(struct guard *guard, int64_t now_ms);

/* Looks at the next `len` bytes of the client. ERR_RPC_PROTOCOL: they must not be passed on, and
 * the connection is to be closed. */
enum err_code guard_check(struct guard *guard, const uint8_t *data, size_t len, int64_t now_ms,
                          struct err *err);

#endif
