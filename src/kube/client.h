/* A client of a cluster's API server: any number of calls at once over one HTTP/2 connection, which
 * is made again, with backoff, whenever it ends. Everything here belongs to the loop thread.
 *
 *   kube_client_new -> connects by itself -> calls -> kube_client_close -> on_closed
 *   the connection ends -> every call on it ends with the reason -> another connection
 *   GOAWAY -> calls under way may finish (10 s), new ones go to another connection; watches end
 *   no connection can be made -> the calls that wait for one end with the reason
 *
 * A call waits for the connection, within its deadline. */
#ifndef KUBE_CLIENT_H
#define KUBE_CLIENT_H

#include <jansson.h>
#include <stdint.h>

#include "kube/config.h"
#include "relay/env.h"

enum {
    KUBE_CALLS_MAX = 4096,      /* at once */
    KUBE_PATH_MAX = 8 << 10,    /* bytes of a path with its query */
    KUBE_REQUEST_MAX = 4 << 20, /* bytes of a request's body; the server takes 3 MiB */
    KUBE_ANSWER_MAX = 64 << 20, /* bytes of an answer's */
};

struct kube_client;
struct kube_call;

/* Starts connecting. `env` lends its loop and timers and must outlive the client; what is needed of
 * `config` is copied. ERR_TLS_BAD_CERTIFICATE, ERR_TLS_KEY_MISMATCH, ERR_INVALID, ERR_TOO_LARGE
 * (certificates and keys that cannot be used), ERR_NO_MEMORY. */
enum err_code kube_client_new(struct kube_client **out, struct relay_env *env,
                              const struct kube_config *config, struct err *err);

/* Ends everything: calls that are still open end with ERR_CANCELLED, then on_closed comes, both
 * from the loop. Reflectors must have been closed before. */
void kube_client_close(struct kube_client *client, void (*on_closed)(void *arg), void *arg);

struct kube_answer {
    int status;            /* of HTTP, any; 0 when there is an error instead */
    json_t *body;          /* borrowed, json_incref() to keep it; NULL when it was no JSON */
    int64_t retry_after_s; /* 0: the server did not say */
};

/* Comes exactly once, later, from the loop: err->code is ERR_OK and there is an answer with any
 * status, or it is the reason (ERR_TIMEOUT, ERR_RPC_UNAVAILABLE, ERR_CANCELLED, ERR_TOO_LARGE,
 * ERR_TOKEN_MISSING, ERR_CONN_*, ERR_TLS_*). The call is gone. It may be that the server has done
 * what was asked and only its answer is lost. */
typedef void (*kube_on_answer)(const struct kube_answer *answer, const struct err *err, void *arg);

/* Sends one request. `path` starts with '/' and is as it goes on the wire, query included;
 * `content_type` NULL is application/json; `body` may be NULL and is taken, also on failure. The
 * deadline of `timeout_ms` is for everything, the wait for a connection included. NULL: ERR_BUSY,
 * ERR_INVALID (the path), ERR_TOO_LARGE, ERR_CANCELLED (closing), ERR_NO_MEMORY; on_answer does not
 * come then. */
struct kube_call *kube_request(struct kube_client *client, const char *method, const char *path,
                               const char *content_type, json_t *body, int64_t timeout_ms,
                               kube_on_answer on_answer, void *arg, struct err *err);

/* Gives a call up; on_answer does not come. Not after on_answer, nor inside it. */
void kube_call_cancel(struct kube_call *call);

/* The sentence of a Status (the server's way to say no), cut and without control characters, or ""
 * when the body is none. Returns `text`. */
const char *kube_status_message(const json_t *body, char *text, size_t size);

/* False while there is no connection, and why (borrowed, until the loop runs on). */
bool kube_client_is_connected(const struct kube_client *client, const struct err **why);

#endif
