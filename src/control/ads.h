/* The mesh as proxies get it: who may open a stream, and in which order a new mesh is published.
 * Loop thread. */
#ifndef ADS_H
#define ADS_H

#include "control/authenticator.h"
#include "control/compile.h"
#include "control/quota.h"
#include "control/tally.h"
#include "loop/timer.h"
#include "xds/server.h"

/* How long a policy that is taken away outlives the records that do without it. */
enum { ADS_SETTLE_MS = 1000 };

struct ads {
    struct xds_server *xds;
    struct timers *timers;
    struct tally *tally;
    struct authenticator *authenticator;
    const char *cluster_id;
    struct quota *quota;
    /* Asked about every call whose token was good, whether it may go on: ERR_QUOTA and others. */
    enum err_code (*admit)(struct rpc_call *call, const struct token_subject *subject,
                           struct err *err);

    struct compiled_policy *published; /* private: the policies that proxies are being sent */
    unsigned published_count;
    struct compiled_policy *wanted; /* private: what `published` is to become; NULL: it is */
    unsigned wanted_count;
    struct timer settle;
};

/* For the on_open of XDS_METHOD_DELTA. Who holds too many streams already (quota.h) is refused with
 * RESOURCE_EXHAUSTED. */
void ads_open(struct ads *ads, struct rpc_call *call);

/* Publishes a new mesh, and tells the quota of it; takes what is in `compiled`.
 *
 * Records and policies are two resource types, and a proxy may apply one a moment before the other.
 * So that no workload is without its old or its new policies in between: new policies go first,
 * then the records, and what is no longer wanted goes ADS_SETTLE_MS later. A policy whose scope
 * narrows (it got a selector) is changed with the last step, too.
 *
 * ERR_NO_MEMORY, logged: not all records went out. All of them again mend it; a set of changes that
 * leaves out what was lost would not. */
enum err_code ads_publish(struct ads *ads, struct compiled *compiled);
/* Publishes the trust bundle, PEM. ERR_NO_MEMORY, ERR_TOO_LARGE. */
enum err_code ads_publish_bundle(struct ads *ads, const char *pem, struct err *err);
/* Frees what it holds, and refuses streams from now on; the xds server is the caller's. */
void ads_deinit(struct ads *ads);

#endif
