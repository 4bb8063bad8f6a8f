/* A stand-in for a Kubernetes API server: a real HTTP/2 server over real TLS on loopback, on the
 * loop of the test, that knows no objects and answers from a script. What the real one does is
 * tested with the real one, in tests/kube. */
#ifndef APISERVER_H
#define APISERVER_H

#include <nghttp2/nghttp2.h>
#include <openssl/ssl.h>
#include <stdbool.h>
#include <stddef.h>

#include "loop/loop.h"

/* What happens when the body of an answer has been sent. */
enum then {
    END,     /* the stream ends */
    HOLD,    /* it stays open, for apiserver_say */
    CUT,     /* the TCP connection is reset */
    CLOSE,   /* ... or ends properly */
    RST,     /* the stream is reset, INTERNAL_ERROR */
    REFUSE,  /* the stream is reset at once, REFUSED_STREAM */
    GOAWAY,  /* the server announces that it goes away; the stream stays open */
    LEAVE,   /* the stream ends, and the server takes no further ones */
    SILENT,  /* nothing is read or written any more on this connection */
    NOTHING, /* no answer at all; the connection is fine */
};

struct step {
    const char *wants; /* a part of "METHOD path" that must be there */
    int status;
    const char *body; /* NULL: none */
    size_t body_len;  /* when not strlen() */
    size_t chunk;     /* bytes in a DATA frame; 0: as many as fit */
    const char *retry_after;
    enum then then;
    bool repeat; /* this step answers all that follows */
};

enum { APISERVER_STREAMS = 512, APISERVER_LINE_MAX = 2048 };

struct apiserver_stream {
    struct apiserver_conn *conn;
    int32_t id; /* 0: free */
    char line[APISERVER_LINE_MAX], path[APISERVER_LINE_MAX], method[16];
    char authorization[4096], content_type[80];
    char *body; /* of the request */
    size_t body_len;
    const struct step *step;
    char *out; /* of the answer: what is still to be sent */
    size_t out_len, out_at;
    bool more, deferred; /* the answer goes on; the provider waits for it */
};

struct apiserver_conn {
    struct poll_item item;
    struct apiserver *server;
    struct apiserver_conn *next;
    SSL *ssl;
    BIO *in, *out;
    nghttp2_session *h2;
    bool silent, doomed, shaken;
    int32_t last;    /* the last stream that it takes; 0: any */
    char client[64]; /* the common name of the client's certificate */
};

struct apiserver {
    struct loop *loop;
    struct poll_item listener;
    uint16_t port;
    SSL_CTX *tls;
    struct apiserver_conn *conns;
    const struct step *script;
    size_t script_len, script_at;
    unsigned connections, requests, unexpected, pings;
    bool refuses; /* connections are closed as soon as they are there */
    bool deaf;    /* ... or taken and never answered, not even by TLS */
    struct apiserver_stream streams[APISERVER_STREAMS];
    char last_line[APISERVER_LINE_MAX], last_authorization[4096], last_client[64];
    char last_content_type[80], last_body[16384];
    size_t last_body_len;
    /* When set, answers instead of the script. */
    const struct step *(*answer)(struct apiserver *server, const char *line);
};

/* `tls` is taken. */
void apiserver_start(struct apiserver *server, struct loop *loop, SSL_CTX *tls);
void apiserver_stop(struct apiserver *server);
void apiserver_script(struct apiserver *server, const struct step *script, size_t count);
#define SCRIPT(server, ...)                                                                        \
    apiserver_script(server, (const struct step[]){__VA_ARGS__},                                   \
                     sizeof((const struct step[]){__VA_ARGS__}) / sizeof(struct step))

/* The newest stream that is still open, or NULL. */
struct apiserver_stream *apiserver_open(struct apiserver *server);
/* Goes on with an answer, and ends it. */
void apiserver_say(struct apiserver *server, const char *text, size_t len, bool last);
/* Goes on with the answers to all requests that have both parts in their "METHOD path"; from inside
 * `answer`, too. Returns how many there are. */
unsigned apiserver_tell(struct apiserver *server, const char *part, const char *other,
                        const char *text);
/* Sends what there is to send; not from inside `answer`, after which it happens anyway. */
void apiserver_serve(struct apiserver *server);
/* Sends bytes that are no HTTP/2 of ours on the newest connection. */
void apiserver_babble(struct apiserver *server, const void *bytes, size_t len);
/* Ends all connections with a reset. */
void apiserver_cut(struct apiserver *server);
/* All requests of the script have been asked. */
bool apiserver_is_done(const struct apiserver *server);

#endif
