/* Who is calling? One interface, so that another way to know (Kubernetes' TokenReview) can take the
 * place of our own tokens. Main thread. */
#ifndef AUTHENTICATOR_H
#define AUTHENTICATOR_H

#include "rpc/rpc.h"
#include "token/token.h"

struct authenticator {
    /* Decides from the value of the `authorization` header (NULL: there was none; no null behind
     * its len bytes). `out` is filled on success only; else the code of the TOKEN_ group and a
     * sentence that never holds the token. */
    enum err_code (*check)(struct authenticator *self, const char *header, size_t len,
                           struct token_subject *out, struct err *err);
};

/* Our own tokens, signed by the key of the state folder. */
struct authenticator_tokens {
    struct authenticator authenticator;
    struct token_rules rules;
};
/* Borrows key and audience. */
void authenticator_tokens_init(struct authenticator_tokens *tokens, const struct signature_key *key,
                               const char *audience);

/* Checks a call's token and its `clusterid` (which may be absent). On failure the caller finishes
 * the call with UNAUTHENTICATED and "reason: sentence". */
enum err_code authenticator_check_call(struct authenticator *authenticator, const char *cluster_id,
                                       const struct rpc_call *call, struct token_subject *out,
                                       struct err *err);

#endif
