/* May this source talk to that workload? Pure, allocates nothing; any thread. */
#ifndef MESH_AUTHORIZE_H
#define MESH_AUTHORIZE_H

#include "mesh/snapshot.h"

struct mesh_request {
    struct addr source_ip;
    struct addr destination_ip;
    uint16_t destination_port;
    /* The verified SPIFFE ID of the source, with or without "spiffe://"; NULL when it has none
     * (plaintext). */
    const char *principal;
    size_t principal_len;
};

enum mesh_decision {
    MESH_ALLOW,
    MESH_DENY,
    MESH_PENDING, /* a policy that decides is not there (yet) or cannot be read: hold the
                     connection, never let it pass */
};

enum mesh_reason {
    MESH_REASON_NO_POLICY,      /* allowed: no ALLOW policy applies and no DENY policy matches */
    MESH_REASON_ALLOW_MATCH,    /* allowed by `policy` */
    MESH_REASON_DENY_MATCH,     /* denied by `policy` */
    MESH_REASON_NO_ALLOW_MATCH, /* denied: ALLOW policies apply (`policy` is one) and none matches
                                 */
    MESH_REASON_UNREADABLE,     /* pending: `policy` applies, or may, and could not be read */
    MESH_REASON_MISSING,        /* pending: `missing` is the key of the policy that is not there */
};

struct mesh_verdict {
    enum mesh_decision decision;
    enum mesh_reason reason;
    const struct mesh_policy *policy;  /* borrowed from the snapshot; NULL without one */
    const char *missing;               /* borrowed from the workload; NULL but for that */
    const struct mesh_policy *dry_run; /* the dry-run policy that would have denied, or NULL */
};

/* Evaluates the global policies, those of the workload's namespace and those its record names. A
 * DENY that matches denies; else one that could not be read (unless it is a dry run), or a named
 * one that is not in the snapshot, makes it pending; else any ALLOW that matches, or no ALLOW at
 * all, allows. A service account matches only in the destination's own trust domain. */
void mesh_authorize(const struct mesh_snapshot *snapshot, const struct mesh_workload *destination,
                    const struct mesh_request *request, struct mesh_verdict *verdict);

enum { MESH_VERDICT_TEXT_MAX = 400 };

/* One sentence for the log, "policy shop/deny-all denies spiffe://..."; what the peer sent is cut,
 * never escaped (the log does that). Returns `text`. */
const char *mesh_verdict_format(const struct mesh_verdict *verdict,
                                const struct mesh_request *request,
                                char text[MESH_VERDICT_TEXT_MAX]);

#endif
