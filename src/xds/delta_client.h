/* The client's half of the delta protocol: a state machine without input and output of its own,
 * which lives over many streams. Asks for everything of Address and Authorization and for the
 * Secret `ROOTCA`. One thread.
 *
 * - xds_delta_client_start() begins a stream: a first request of each type, with the versions that
 * are held.
 * - Every response is answered: ACK when all its resources were good, NACK with the first refusals
 * in words otherwise. The good ones count either way.
 * - A refused resource leaves what was held before in force; the next stream states the version of
 * that, so that the server sends the resource again or says that it is gone. One that was never
 * held is left out, except a policy: it is given on as one that could not be read, and the next
 * stream states a version that no server gives.
 * - Ready after the first answer of Address and Authorization, the whole of it where the server
 * says (with "+" at the end of system_version_info) that more follows. The silence of ROOTCA holds
 * nothing up. */
#ifndef XDS_DELTA_CLIENT_H
#define XDS_DELTA_CLIENT_H

#include "xds/bundle.h"
#include "xds/decode.h"
#include "xds/types.h"

struct xds_delta_client;

struct xds_delta_events {
    /* A request to send, malloc'd; the receiver owns it. */
    void (*on_request)(void *data, size_t len, void *arg);
    /* Records that came: the receiver takes a reference of its own. */
    void (*on_workload)(struct mesh_workload *workload, void *arg);
    void (*on_service)(struct mesh_service *service, void *arg);
    void (*on_policy)(struct mesh_policy *policy, void *arg);
    /* One that was refused, also where an earlier version of it is in force
     * (mesh_builder_put_unreadable()). */
    void (*on_unreadable_policy)(struct mesh_policy *policy, void *arg);
    /* `name` is a workload's uid or a service's key; a policy's key. */
    void (*on_removed_address)(const char *name, void *arg);
    void (*on_removed_policy)(const char *key, void *arg);
    /* Borrowed. */
    void (*on_bundle)(const struct xds_bundle *bundle, void *arg);
};

struct xds_delta_client_counts {
    uint64_t responses, resources, removed, rejected, nacks;
    char last_nack[ERR_TEXT_MAX]; /* what the last NACK said; "" = none */
};

struct xds_delta_node {
    const char *id; /* "sidecar~<ip>~<pod>.<namespace>~<namespace>.svc.cluster.local" */
    const char *namespace,
        *cluster; /* also told as metadata, where istiod looks for them; "" leaves one out */
};

/* `node` is copied, `events` are borrowed. NULL: out of memory. */
struct xds_delta_client *xds_delta_client_new(const struct xds_delta_node *node,
                                              const struct xds_delta_events *events, void *arg);
void xds_delta_client_free(struct xds_delta_client *client);

/* A stream begins: gives the first requests to on_request. ERR_NO_MEMORY. */
enum err_code xds_delta_client_start(struct xds_delta_client *client, struct err *err);
/* A response came. Whatever it returns, what was good has been given to the events. ERR_OK, also
 * with a NACK. ERR_XDS_MALFORMED, ERR_TOO_LARGE, ERR_NO_MEMORY: end the stream.
 * ERR_XDS_UNKNOWN_TYPE: we never asked for this; nothing was answered and the stream may go on. */
enum err_code xds_delta_client_response(struct xds_delta_client *client, const void *data,
                                        size_t len, struct err *err);

/* Something that came was lost on the way to where it is kept: the next stream says that every
 * version is unknown, so that the server sends everything again and says what is gone. Not ready
 * before that. */
void xds_delta_client_forget(struct xds_delta_client *client);

bool xds_delta_client_ready(const struct xds_delta_client *client);
/* False in the middle of an answer of Address or Authorization that the server has split: a policy
 * may be gone already and the one in its place not there yet. */
bool xds_delta_client_settled(const struct xds_delta_client *client);
/* True once Address and Authorization have both been answered on the present stream, each in full:
 * what was missed between two streams is there, workloads and policies as of one time. */
bool xds_delta_client_current(const struct xds_delta_client *client);
const struct xds_delta_client_counts *
xds_delta_client_counts(const struct xds_delta_client *client);

#endif
