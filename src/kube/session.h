/* One HTTP/2 connection (RFC 9113) over TLS: many streams, no calls, no policy. Loop thread.
 *
 *   kube_session_new -> streams come and go -> kube_session_end, or the server ends it, is silent
 * or breaks the protocol -> on_end(reason); the session is gone when that returns GOAWAY ->
 * on_goaway; streams that the server took go on, new ones are refused
 *
 * A connection on which nothing has arrived for ping_idle_ms is asked with PING; no byte within
 * ping_answer_ms ends it: a vanished server must not look like a quiet one. */
#ifndef KUBE_SESSION_H
#define KUBE_SESSION_H

#include "kube/dial.h"

enum {
    KUBE_SESSION_STREAM_WINDOW = 1 << 20, /* bytes on their way to us on one stream */
    KUBE_SESSION_WINDOW = 8 << 20,        /* and on all together */
    KUBE_SESSION_HEADERS_MAX = 64,        /* of a request */
};

struct kube_session;

struct kube_session_timing {
    int64_t ping_idle_ms, ping_answer_ms;
};

/* How a stream ends: whole, by an error, or not even looked at (RFC 9113 section 8.7). */
enum kube_session_close { KUBE_SESSION_DONE, KUBE_SESSION_BROKEN, KUBE_SESSION_REFUSED };

/* The session is there until on_end returns, whatever they do. */
struct kube_session_events {
    void (*on_goaway)(struct kube_session *session, void *owner);
    void (*on_end)(struct kube_session *session, const struct err *err, void *owner);
    /* The status and the headers of interest; `retry_after_s` 0: none. */
    void (*on_head)(struct kube_session *session, int32_t stream, int status, int64_t retry_after_s,
                    void *owner);
    void (*on_data)(struct kube_session *session, int32_t stream, const void *bytes, size_t len,
                    void *owner);
    /* The stream is over; `what` is HTTP/2's name for it, "NO_ERROR". */
    void (*on_close)(struct kube_session *session, int32_t stream, enum kube_session_close how,
                     const char *what, void *owner);
    /* Fills up to `room` bytes of the request's body; *last with its end. */
    size_t (*on_body)(struct kube_session *session, int32_t stream, void *bytes, size_t room,
                      bool *last, void *owner);
};

struct kube_header {
    const char *name; /* lower case */
    const char *value;
    bool secret; /* never kept in the compression tables of either side */
};

/* Takes what is in `dialed`, also on failure. NULL: out of memory, or the loop refused the socket.
 */
struct kube_session *kube_session_new(struct relay_env *env, const struct kube_dialed *dialed,
                                      const struct kube_session_timing *timing,
                                      const struct kube_session_events *events, void *owner,
                                      struct err *err);

/* Opens a stream; its number, or -1. It is sent from the loop. `has_body`: on_body will be asked.
 */
int32_t kube_session_request(struct kube_session *session, const struct kube_header *headers,
                             size_t count, bool has_body, struct err *err);
/* Gives a stream up. Events of it may still come. */
void kube_session_reset(struct kube_session *session, int32_t stream);
/* Ends the connection; on_end(err) comes from the loop. The first reason wins. */
void kube_session_end(struct kube_session *session, const struct err *err);
/* When it was made, monotonic. */
int64_t kube_session_since_ms(const struct kube_session *session);

#endif
