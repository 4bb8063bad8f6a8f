/* The inside of struct kube_session, for session.c (bytes) and session_h2.c (frames) only. */
#ifndef KUBE_SESSION_IMPL_H
#define KUBE_SESSION_IMPL_H

#include <nghttp2/nghttp2.h>

#include "kube/buffer.h"
#include "kube/session.h"

enum {
    SESSION_IN_BYTES = 32 << 10,
    SESSION_PLAIN_BYTES = 32 << 10,
    SESSION_OUT_BYTES = 48 << 10,
    SESSION_HELD_MAX = 1 << 20, /* a socket's worth of frames that the server does not take */
};

struct kube_session {
    struct poll_item item;
    struct relay_env *env;
    struct tls_conn *tls;
    nghttp2_session *h2;
    const struct kube_session_events *events;
    void *owner;
    struct kube_session_timing timing;
    struct timer alive;
    int64_t since_ms, received_ms, pinged_ms;
    bool overdue; /* ... and its answer is */
    bool pinged;  /* a PING is on its way */
    bool ended;   /* `end` says why; finish() follows */
    struct err end;
    char complaint[160]; /* nghttp2's own words about the last fault, or the server's GOAWAY */
    int32_t head_stream; /* whose headers are arriving, and what they say */
    int head_status;
    int64_t head_retry_after_s;
    uint8_t *early;
    size_t early_len;
    struct kube_buffer held; /* sealed, not taken by the socket yet */
    size_t held_at, out_len;
    /* Not the loop's staging buffers: what arrives is handed on from inside them, and whoever gets
     * it may write to a socket of its own. */
    uint8_t in[SESSION_IN_BYTES], plain[SESSION_PLAIN_BYTES], out[SESSION_OUT_BYTES];
};

/* Makes session->h2 and says hello. False: out of memory. */
bool session_start_h2(struct kube_session *session);

#endif
