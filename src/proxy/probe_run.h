/* One probe under way: the way to the application, what is said there, and the answer to all who
 * asked.
 *
 * probe_run.c has its beginning and end, probe_talk.c HTTP, probe_shake.c TLS, probe_health.c gRPC;
 * probes.c has who asks. Main loop. A run is freed by probe_run_finish, or by the end of its call
 * when there is one: nobody touches it after calling that or probe_run_fail. */
#ifndef PROBE_RUN_H
#define PROBE_RUN_H

#include <stddef.h>

#include "proxy/probe_http.h"
#include "proxy/probes.h"
#include "relay/connect.h"
#include "relay/handshake.h"

/* Whoever waits for an answer. */
struct probe_ask {
    struct mail mail; /* first; on its way to the main loop */
    struct probes *probes;
    struct probe *probe;
    struct admin_http_pending *pending;
    struct probe_ask *next;
};

/* One probe under way. */
struct probe_run {
    struct probes *probes;
    struct probe *probe;
    struct probe_ask *asks;
    struct timer deadline;
    struct probe_target target;
    unsigned redirects;
    enum { RUN_IDLE, RUN_CONNECTING, RUN_SHAKING, RUN_TALKING, RUN_CALLING } stage;
    int fd; /* shaking and talking */
    struct tls_conn *tls;
    char *request; /* what is left to send of it is request[sent..len-1] */
    size_t request_len, sent;
    struct rpc_channel *channel;
    struct rpc_call *call;
    int serving;   /* what Health/Check said, or -1 */
    bool complete; /* the application has said all that it wanted to say */
    bool answered;
    union {
        struct connect connect;
        struct handshake handshake;
        struct poll_item item;
    } u;
    struct probe_http http;
};

#define PROBE_RUN_OF(pointer, member)                                                              \
    ((struct probe_run *)(void *)((char *)(pointer)-offsetof(struct probe_run, member)))

/* Makes the run of a probe that has none, with its deadline started; NULL without memory. */
struct probe_run *probe_run_new(struct probes *probes, struct probe *probe);

/* Connects to run->target, and goes on from there. */
void probe_run_begin(struct probe_run *run);

/* Takes what the present stage holds out of the loop. */
void probe_run_leave(struct probe_run *run);

/* Answers everybody with an HTTP status and a sentence, and ends the run. */
void probe_run_finish(struct probe_run *run, unsigned status, const char *sentence);

/* The same with 503 and the error's sentence. */
void probe_run_fail(struct probe_run *run, const struct err *err);

/* Takes `fd`, on which plain HTTP is spoken. */
void probe_talk(struct probe_run *run, int fd);

/* Takes `fd`, speaks TLS on it and HTTP in that. The relay between the two, a tunnel, may outlive
 * the run. */
void probe_shake(struct probe_run *run, int fd);

/* Resets all tunnels; their ends come later. */
void probe_shake_abort(struct probes *probes);

/* Takes `fd` and calls Health/Check on it; run->call frees the run when it ends. */
void probe_health(struct probe_run *run, int fd);

/* Answers one who asked, and frees it. probes.c */
void probes_answer(struct probe_ask *ask, unsigned status, const char *sentence);

/* A run or a tunnel, one of probes->pending, is gone; may end the closing. probes.c */
void probes_gone(struct probes *probes);

#endif
