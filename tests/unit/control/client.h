/* A client of the control plane: TLS by DNS name, gRPC behind it. Everything here waits: it runs
 * its own loop until the answer is there, at most CLIENT_WAIT_MS. */
#ifndef CLIENT_H
#define CLIENT_H

#include "plane.h"
#include "relay/connect.h"
#include "relay/handshake.h"
#include "relay/relay.h"
#include "xds/client.h"

enum { CLIENT_WAIT_MS = 20000 };

struct client {
    struct loop loop;
    struct timers timers;
    struct relay_env env;
    struct rpc *rpc;
    struct tls_context *roots;
    struct timer tick;
    unsigned open; /* lines that are not closed yet */
    bool closed;
};

/* One connection. */
struct line {
    struct client *client;
    union {
        struct connect connect;
        struct handshake handshake;
        struct relay relay;
    } u;
    int fd;
    struct tls_conn *tls;
    struct rpc_channel *channel; /* NULL until it is up */
    bool done, relaying, ended;
    struct err err;
};

void client_start(struct client *client, struct plane *plane);
void client_stop(struct client *client);
/* Runs the loop until done(arg) or the deadline; returns done(arg). */
bool client_wait(struct client *client, bool (*done)(void *arg), void *arg);

/* Connects; false (line->err says why) when TLS does not come about. */
bool line_open(struct line *line, struct client *client, uint16_t port, const char *dns_name);
void line_close(struct line *line);

/* What came of a call. */
struct answer {
    int status; /* -1: none came */
    char message[RPC_TEXT_MAX];
    void *data; /* malloc'd, NULL without a message */
    size_t len;
};

/* One unary call; `token` may be NULL, `header` (instead) is the whole value of `authorization`. */
struct request {
    const char *path;
    const char *token, *header, *cluster;
    const void *data; /* NULL: no message at all */
    size_t len;
    bool
        stream; /* leave the call open after the message: for a stream that the server should end */
};
struct answer line_call(struct line *line, const struct request *request);
void answer_free(struct answer *answer);

#endif
