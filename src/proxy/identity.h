/* Our own identity: makes a key and a signing request, has it signed by the control plane, renews
 * it at half life, and builds the TLS context that workers use. The key never leaves this process.
 * Main loop.
 *
 *   channel -> CreateCertificate -> checked by tls_context_new -> on_context -> half life -> again
 *   any failure -> the valid certificate stays; another try after a backoff, the shorter the nearer
 *     the expiry is
 *   a new trust bundle -> the same leaf in a new context -> on_context; a leaf that the bundle does
 *     not cover is renewed at once
 *
 * Whom we trust is the bundle from the xDS stream; as long as the control plane is silent about it,
 * the last certificate of the chain that it issued. */
#ifndef IDENTITY_H
#define IDENTITY_H

#include "loop/backoff.h"
#include "loop/timer.h"
#include "proxy/config.h"
#include "rpc/rpc.h"
#include "tls/context.h"
#include "xds/bundle.h"

enum {
    IDENTITY_CALL_MS = 10000,
    IDENTITY_BACKOFF_FIRST_MS = 200,
    IDENTITY_BACKOFF_MAX_MS = 30000,
    IDENTITY_URGENT_MAX_MS = 5000, /* longest pause without a valid certificate */
    IDENTITY_PAUSE_MIN_MS = 200,
    IDENTITY_TICK_MS =
        60000, /* a longer wait is cut in pieces, so that a clock that jumps counts */
    IDENTITY_BACKDATED_S = 120, /* issuers set notBefore this far back */
    IDENTITY_ROOTS_MAX = 16,
};

/* One root of the bundle, for people. */
struct identity_root {
    char trust_domain[256];
    char subject[128];
    int64_t not_after_s;
};

struct identity {
    const struct config *config;
    struct timers *timers;
    void *owner;
    /* A new context; borrowed, take a reference to keep it. NULL: there is none any more. */
    void (*on_context)(struct identity *identity, struct tls_context *context);
    /* A request ended: code ERR_OK, or why it failed. For counting. May be NULL. */
    void (*on_request)(struct identity *identity, enum err_code code);

    struct rpc_channel *channel; /* NULL while there is no link */
    struct rpc_call *call;
    struct tls_key *asked_key; /* of the request under way */
    char *answer_chain, *answer_root;
    struct err answer_err;
    bool wanted; /* a request is due as soon as there is a channel */

    struct tls_bundle *bundle; /* in force; NULL before the first */
    bool bundle_from_xds;
    struct tls_context *context; /* always under `bundle`; NULL before the first certificate */
    bool outdated;               /* the bundle does not cover its certificate */
    struct identity_root roots[IDENTITY_ROOTS_MAX];
    unsigned root_count;
    uint64_t bundle_generation;

    int64_t renew_at_ms; /* monotonic */
    struct timer timer;
    struct backoff backoff;
    uint64_t renewals, failures; /* certificates got, the first included; requests that failed */
    struct err last_error;       /* ERR_OK after a success */
    int64_t skew_s;              /* control plane's clock minus ours */
    bool skew_known, closing;
    void (*on_closed)(struct identity *identity);
};

/* config, timers, owner and callbacks are set by the caller. */
void identity_init(struct identity *identity);
/* Cancels a request under way and frees everything; on_closed says when the memory is free, at the
 * earliest inside this function. */
void identity_close(struct identity *identity, void (*on_closed)(struct identity *));

/* The link is up (a channel, borrowed until the next call of this) or down (NULL). */
void identity_set_channel(struct identity *identity, struct rpc_channel *channel);
/* A trust bundle came by xDS. A bad one is logged and the old one kept. */
void identity_set_bundle(struct identity *identity, const struct xds_bundle *bundle);

/* Milliseconds after which a certificate that lives life_ms more is renewed: half of it, less up to
 * a tenth at random. Pure but for the random number. */
int64_t identity_renewal_ms(int64_t life_ms);
/* Milliseconds until the next try after a failure, given the backoff's proposal and how long the
 * present certificate lives (<= 0: there is none, or it has expired). Pure. */
int64_t identity_retry_ms(int64_t proposed_ms, int64_t left_ms);

#endif
