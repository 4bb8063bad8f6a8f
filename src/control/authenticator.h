/* Who is calling? One interface, so that another way to know (Kubernetes' TokenReview, which asks
 * somebody else and waits) can take the place of our own tokens. Loop thread. */
#ifndef AUTHENTICATOR_H
#define AUTHENTICATOR_H

#include "rpc/rpc.h"
#include "token/token.h"

/* One question. In its asker's memory, until on_done. */
struct authenticator_request {
    const char *header; /* the value of `authorization`, no null behind; NULL: there was none */
    size_t header_len;
    struct token_subject subject; /* the answer, with ERR_OK */
    /* Comes exactly once, inside check() or later: ERR_OK, or a code of the TOKEN_ group (or
     * ERR_TIMEOUT, ERR_CANCELLED ...) and a sentence that never holds the token. */
    void (*on_done)(struct authenticator_request *request, enum err_code code, struct err *err);
};

struct authenticator {
    /* Decides about request->header and calls request->on_done, after seconds at the most. */
    void (*check)(struct authenticator *self, struct authenticator_request *request);
};

/* Our own tokens, signed by the key of the state folder: answers at once. */
struct authenticator_tokens {
    struct authenticator authenticator;
    struct token_rules rules;
};
/* Borrows key and audience. */
void authenticator_tokens_init(struct authenticator_tokens *tokens, const struct signature_key *key,
                               const char *audience);

/* Who makes a call. In its asker's memory, until on_done. */
struct authenticator_call {
    struct authenticator_request request;
    struct rpc_call *call;
    const char *cluster_id;
    bool *answered; /* private: that on_done has come, for whoever asked */
    void (*on_done)(struct authenticator_call *call, enum err_code code, struct err *err);
};

/* For an on_open: checks the call's token and its `clusterid` (which may be absent). on_done comes
 * once, inside this or later (the call is deferred then), and accepts the call or finishes it:
 * authenticator_refuse() does that. */
void authenticator_check_call(struct authenticator *authenticator, const char *cluster_id,
                              struct rpc_call *call, struct authenticator_call *question,
                              void (*on_done)(struct authenticator_call *, enum err_code,
                                              struct err *));
/* Finishes the call with UNAUTHENTICATED (UNAVAILABLE, when it could not be checked;
 * RESOURCE_EXHAUSTED, when it was good and nothing is left for the caller) and "reason: sentence".
 */
void authenticator_refuse(struct rpc_call *call, const struct err *err);

#endif
