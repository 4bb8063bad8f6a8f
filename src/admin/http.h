/* A small HTTP server for metrics, health and the admin socket: any number of listeners, one
 * thread.
 *
 * Handlers run on that thread, one at a time, so none may wait: what another thread must answer is
 * deferred (admin_http_defer) and finished from there. Every connection carries one request and is
 * then closed; one that is not done after ADMIN_HTTP_DEADLINE_MS is closed too, and when all places
 * are taken the oldest connection goes, so that slow clients cannot keep a probe out. */
#ifndef ADMIN_HTTP_H
#define ADMIN_HTTP_H

#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

struct admin_http;
struct admin_http_pending;
struct admin_http_request;

enum {
    ADMIN_HTTP_CONNECTIONS_MAX = 64, /* for each listener that does not say otherwise */
    ADMIN_HTTP_HEADER_MAX = 16384,   /* bytes of request line and headers, about */
    ADMIN_HTTP_BODY_MAX = 4096,      /* bytes of a request's body, unless its listener says more */
    /* What is read and thrown away of a body that is over such a listener's limit: a client that is
     * still sending would not get to read the 413. */
    ADMIN_HTTP_DISCARD_MAX = 16 << 20,
    ADMIN_HTTP_DEADLINE_MS = 10000,     /* from accept to the end of the answer */
    ADMIN_HTTP_DEFER_MAX_MS = 4000,     /* a deferred answer that is late becomes a 504 ... */
    ADMIN_HTTP_PATIENCE_MAX_MS = 300000 /* ... but for admin_http_defer_for */
};

struct admin_http_response {
    unsigned status;          /* 200 on entry */
    const char *content_type; /* static; application/json on entry */
    char *body;               /* malloc'd, taken by the server; may be NULL */
    size_t body_len;
};

/* The handler fills `response`, or defers. `request` is valid during the call only. */
struct admin_http_route {
    const char *method; /* "GET" (also answers HEAD), "PUT", "POST" */
    const char *path;   /* "/status", compared whole */
    void (*handle)(void *arg, struct admin_http_request *request,
                   struct admin_http_response *response);
    const char *needs; /* a query parameter without which the server answers 400, or NULL */
};
#define ADMIN_HTTP_ROUTES_END                                                                      \
    {                                                                                              \
        NULL, NULL, NULL, NULL                                                                     \
    }

/* Where to listen: at unix_path when it is set, else on fd when it is above 0, else at address. All
 * borrowed during the call, except routes and arg, which must outlive the server. */
struct admin_http_listen {
    const struct admin_http_route *routes; /* up to ADMIN_HTTP_ROUTES_END */
    void *arg;                             /* for the handlers */
    const char *unix_path; /* mode 0600; a stale file is replaced, a missing folder made (0700) */
    int fd;                /* a listening socket; taken on success */
    struct addr_port address; /* an ip of length 0: every address, IPv6 and IPv4; port 0: any */
    unsigned connections_max; /* at once; 0: ADMIN_HTTP_CONNECTIONS_MAX */
    size_t body_max;          /* bytes of a request's body; 0: ADMIN_HTTP_BODY_MAX */
    size_t bodies_max; /* of all bodies at once, by their lengths: over it is a 503; 0: any */
};

/* Listens on all `count` places and starts the thread. ERR_SYSTEM with a sentence that names the
 * place (nothing is left open then), ERR_NO_MEMORY. */
enum err_code admin_http_start(struct admin_http **out, const struct admin_http_listen *listens,
                               unsigned count, struct err *err);
/* The port that listener number `index` has, or 0 for a Unix socket. */
uint16_t admin_http_port(const struct admin_http *http, unsigned index);
/* Stops the thread, closes everything and removes Unix socket files. Blocks until the running
 * handler, if any, has returned. Answers still deferred may be finished later; they go nowhere. */
void admin_http_stop(struct admin_http *http);

/* --- for handlers ---------------------------------------------------------------------------- */

/* The path of the request's route; as long as the routes. */
const char *admin_http_path(const struct admin_http_request *request);
/* The value of a header, borrowed until the handler returns, or NULL. */
const char *admin_http_header(const struct admin_http_request *request, const char *name);
/* The value of a query parameter, decoded, borrowed until the handler returns; NULL when absent,
 * "" when it has no value. */
const char *admin_http_query(const struct admin_http_request *request, const char *name);
/* A query parameter that is a whole number from min to max; `fallback` when absent. False (and the
 * response is a 400 with a sentence) for anything else. */
bool admin_http_query_int(const struct admin_http_request *request, const char *name, int64_t min,
                          int64_t max, int64_t fallback, int64_t *out,
                          struct admin_http_response *response);
/* The request's body, borrowed, followed by a null. */
const char *admin_http_body(const struct admin_http_request *request, size_t *len);

/* Answers with a JSON document; takes `root` (also on failure: then the answer is a 500). */
void admin_http_json(struct admin_http_response *response, json_t *root);
/* Answers with a copy of `text`, text/plain. */
void admin_http_text(struct admin_http_response *response, unsigned status, const char *text);
/* Answers with {"error": sentence}. */
void admin_http_error(struct admin_http_response *response, unsigned status, const char *format,
                      ...) __attribute__((format(printf, 3, 4)));

/* Puts the answer off: the handler returns without touching `response`, and whoever gets the
 * pending object calls admin_http_finish exactly once, whatever happens. NULL without memory. */
struct admin_http_pending *admin_http_defer(struct admin_http_request *request);
/* The same for an answer that may take up to `limit_ms`, at most ADMIN_HTTP_PATIENCE_MAX_MS; the
 * connection's own deadline moves along. */
struct admin_http_pending *admin_http_defer_for(struct admin_http_request *request,
                                                int64_t limit_ms);
/* Gives the answer; takes response->body and `pending`. Any thread; never blocks on the server.
 * When the client or the server has gone, or its time is over, it is dropped. */
void admin_http_finish(struct admin_http_pending *pending, struct admin_http_response *response);

#endif
