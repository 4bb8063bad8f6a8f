/* The inside of a delta stream, shared by the request half (delta_server.c) and the response half
 * (delta_response.c). */
#ifndef XDS_DELTA_STREAM_H
#define XDS_DELTA_STREAM_H

#include "xds/bits.h"
#include "xds/delta_server.h"

struct xds_delta_type {
    bool started;     /* the first request has come */
    bool wildcard;    /* subscribed to everything */
    bool owes_answer; /* a response must go out even if it is empty */
    bool in_flight;   /* a response is unanswered; its nonce is in `nonce` */
    uint64_t nonce;
    uint64_t cursor; /* changes of the store up to here have been dealt with */
    uint64_t start;  /* the store's place when the walk from the beginning began */
    struct map names;
    size_t names_bytes;
    struct xds_bits held;  /* ids that the client has some version of */
    struct xds_bits fresh; /* ids that it had the very version of at `start`: the walk skips them */
    struct xds_bits due;   /* ids that were asked for and lie before the cursor */
    struct map lost;       /* names to remove that no entry knows: asked for, or held from before */
    size_t lost_cost;      /* what they count for in the budget */
};

/* A type that we do not know: what to answer. */
struct xds_delta_unknown {
    char *type_url; /* NULL once it has been answered */
    char **names;
    size_t name_count;
    size_t cost; /* what it counts for in the budget */
};

struct xds_delta_server {
    const struct xds_store *store;
    struct xds_server_stats *stats;
    char *namespace;                 /* NULL = any */
    char *node;                      /* NULL until the first request */
    struct xds_delta_budget *budget; /* NULL: none */
    size_t cost;                     /* this stream's part of budget->used */
    size_t target_bytes;
    uint64_t last_nonce;
    unsigned turn;                                           /* the type whose turn it is */
    struct xds_delta_unknown unknown[XDS_DELTA_UNKNOWN_MAX]; /* in the order they came */
    unsigned unknown_count, unknown_answered;
    struct xds_delta_type types[XDS_TYPE_COUNT];
};

/* The entry is one that the client subscribed to. */
bool xds_delta_wants(const struct xds_list *list, const struct xds_delta_type *type,
                     const struct xds_resource *resource);
/* Both give back what names counted for in the budget. */
void xds_delta_forget(struct xds_delta_server *stream, size_t cost);
void xds_delta_unknown_clear(struct xds_delta_server *stream, struct xds_delta_unknown *unknown);

#endif
