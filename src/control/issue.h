/* CreateCertificate: a certificate for whoever the token says is calling. Loop thread. */
#ifndef ISSUE_H
#define ISSUE_H

#include "control/authenticator.h"
#include "control/ca_state.h"
#include "control/quota.h"
#include "control/tally.h"
#include "loop/timer.h"

enum { ISSUE_DEADLINE_MS = 10000 }; /* from a good token to the end of the call */

struct issuer {
    struct timers *timers;
    struct ca_state *state;
    struct authenticator *authenticator;
    struct tally *tally;
    struct quota *quota;
    const char *cluster_id;
    const char *trust_domain;
    int64_t ttl_s;     /* when the caller asks for none */
    int64_t ttl_max_s; /* longer is INVALID_ARGUMENT */
    int64_t deadline_ms;
    /* Asked about every call whose token was good, whether it may go on: ERR_QUOTA and others. */
    enum err_code (*admit)(struct rpc_call *call, const struct token_subject *subject,
                           struct err *err);
};

/* For the on_open of XDS_METHOD_CERTIFICATE: answers the call, with a certificate or with a reason.
 * A client that sends no request, or does not take the answer, is cut at the deadline. */
void issue_open(struct issuer *issuer, struct rpc_call *call);

#endif
