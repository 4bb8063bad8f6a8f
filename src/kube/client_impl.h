/* The inside of clients and calls, for client.c (connections) and call.c (calls) only, and for
 * tests that have less patience. */
#ifndef KUBE_CLIENT_IMPL_H
#define KUBE_CLIENT_IMPL_H

#include "kube/call.h"
#include "kube/dial.h"
#include "loop/backoff.h"

/* Calls in a list from which each can take itself out. */
struct kube_call_list {
    struct kube_call *first;
};

struct kube_call {
    struct kube_call *next, **link; /* in one of the client's lists */
    struct kube_client *client;
    struct kube_session *session; /* which carries it; NULL while it waits and when it has ended */
    int32_t stream;
    struct timer deadline;
    int64_t timeout_ms;
    char *method, *path, *content_type, *body;
    size_t body_len, body_at;
    bool endless;
    bool ended;   /* in client->ended, `end` says why */
    bool headed;  /* the status has come */
    bool retried; /* sent once more after the server had refused even to look at it */
    struct err end;
    const struct kube_call_events *events;
    void *arg;
};

struct kube_client_timing {
    struct kube_session_timing session;
    int64_t retire_ms; /* what calls get to finish after GOAWAY */
    int64_t steady_ms; /* a connection that lived this long starts the backoff anew */
    int64_t backoff_first_ms, backoff_max_ms;
    /* reflectors */
    int64_t page_ms;        /* for a page of a list; the server itself gives up after 60 s */
    int64_t head_ms;        /* for a watch to stand, of which it tells at once */
    int64_t watch_s;        /* what a watch is asked to take at least; at most twice as much */
    int64_t watch_grace_ms; /* until we end it ourselves */
    int64_t absent_ms;      /* between two looks for a collection that is not there */
    int64_t pause_first_ms, pause_max_ms; /* after a failure */
};

/* A connection that the server wants to end, until its calls are over. */
struct kube_retiree {
    struct kube_client *client;
    struct kube_session *session; /* NULL: the place is free */
    struct timer patience;
};

enum {
    KUBE_RETIREES_MAX = 4, /* a load balancer that drains its servers in turn says GOAWAY again and
                            * again; with more of them the oldest has to end */
};

struct kube_client {
    struct relay_env *env;
    struct kube_client_timing timing;
    char *host, *base_path, *server_name, *token, *token_file;
    char *authority; /* host and port, for headers and sentences */
    struct tls_context *context;
    struct kube_dial dial;
    struct kube_session *session; /* for new calls; NULL: none now */
    struct kube_retiree retirees[KUBE_RETIREES_MAX];
    unsigned sessions; /* all, those that are about to end too */
    struct timer retry;
    struct backoff backoff;
    struct err last; /* why there is no connection */
    struct kube_call_list waiting, active, ended;
    unsigned calls, reflectors;
    uv_idle_t soon; /* delivers the ended ones */
    bool closing, dial_closed;
    void (*on_closed)(void *arg);
    void *on_closed_arg;
};

/* --- call.c, for client.c --- */
extern const struct kube_session_events kube_session_events_of_calls;
/* Sends all that wait over client->session. */
void kube_calls_submit(struct kube_client *client);
/* Ends the calls of a list: those of `session`, or all when it is NULL; of these only the endless
 * ones when `endless`. */
void kube_calls_end(struct kube_call_list *list, const struct kube_session *session, bool endless,
                    const struct err *err);
bool kube_calls_use(const struct kube_client *client, const struct kube_session *session);
/* uv_idle_t: on_end of what has ended. */
void kube_calls_deliver(uv_idle_t *soon);

/* --- client.c, for call.c --- */
void kube_client_on_goaway(struct kube_session *session, void *owner);
void kube_client_on_session_end(struct kube_session *session, const struct err *err, void *owner);
/* A call has left its session, or the last one was delivered: is there something to tidy up? */
void kube_client_settle(struct kube_client *client);

#endif
