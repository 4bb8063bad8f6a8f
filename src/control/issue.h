/* CreateCertificate: a certificate for whoever the token says is calling. Loop thread. */
#ifndef ISSUE_H
#define ISSUE_H

#include "control/authenticator.h"
#include "control/ca_state.h"
#include "control/tally.h"

struct issuer {
    struct ca_state *state;
    struct authenticator *authenticator;
    struct tally *tally;
    const char *cluster_id;
    const char *trust_domain;
    int64_t ttl_s;     /* when the caller asks for none */
    int64_t ttl_max_s; /* longer is INVALID_ARGUMENT */
    /* Told of every call whose token was good. */
    void (*on_authenticated)(struct rpc_call *call);
};

/* For the on_open of XDS_METHOD_CERTIFICATE: answers the call, with a certificate or with a reason.
 */
void issue_open(struct issuer *issuer, struct rpc_call *call);

#endif
