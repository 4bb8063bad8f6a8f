/* One HTTP/1.1 request of a probe, and as much of the answer as its verdict needs (RFC 9112). Pure:
 * bytes in, bytes out.
 *
 * The kubelet reads up to 10 KiB of a body and takes a broken one for a failure; it follows
 * redirects to the same host, and takes one to another for a success. So do we. */
#ifndef PROBE_HTTP_H
#define PROBE_HTTP_H

#include "base/addr.h"
#include "proxy/probe_chunks.h"
#include "proxy/probe_table.h"

enum {
    PROBE_HEAD_MAX = 16 * 1024,  /* bytes of status line and headers */
    PROBE_BODY_MAX = 10 * 1024,  /* bytes of the body that are waited for */
    PROBE_TARGET_MAX = 4 * 1024, /* bytes of a path */
    PROBE_REDIRECTS_MAX = 10,
};

/* Where a request goes. */
struct probe_target {
    bool https;
    struct addr_port at;
    char path[PROBE_TARGET_MAX];
};

enum probe_http_state { PROBE_HTTP_MORE, PROBE_HTTP_DONE, PROBE_HTTP_BROKEN };

/* An answer being read; zeroed at the start. */
struct probe_http {
    unsigned status; /* valid when done */
    /* private */
    char head[PROBE_HEAD_MAX + 1];
    size_t head_len, body_len;
    size_t expected; /* bytes of the body; SIZE_MAX: until the end */
    bool in_body, chunked;
    struct probe_chunks chunks;
};

/* The first target of a probe on the pod's address `ip`. False: the path is over PROBE_TARGET_MAX.
 */
bool probe_target_init(struct probe_target *target, const struct probe *probe,
                       const struct addr *ip);
/* The request, malloc'd, and its length; NULL without memory. */
char *probe_http_request(const struct probe *probe, const struct probe_target *target, size_t *len);

/* Takes bytes of the answer. */
enum probe_http_state probe_http_feed(struct probe_http *http, const char *bytes, size_t len);
/* The server has ended: DONE or BROKEN. */
enum probe_http_state probe_http_end(const struct probe_http *http);

/* True when the answer is a redirect to a place on the same host: *target becomes that. */
bool probe_http_follow(const struct probe_http *http, struct probe_target *target);

#endif
