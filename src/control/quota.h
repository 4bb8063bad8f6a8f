/* How much of port 15012 each identity holds, so that whoever has one token, or a few, cannot take
 * all of it.
 *
 * A place is a connection, a stream or a request for a certificate; there are as many of each as
 * the process's descriptors allow (quota_places). Who may take how many:
 *   - the workloads that the mesh lists are expected: an identity has QUOTA_PER_WORKLOAD places of
 *     each kind for each workload that runs under it. A proxy needs one of each, and a second one
 *     while the first has not been missed yet; five hundred replicas of one service account are
 *     listed five hundred times.
 *   - What is beyond that (workloads that nobody lists, since they only call; a client with a
 *     connection for certificates and another for its stream) comes from a pool of half of all
 *     places, of which an identity leaves as much as it takes.
 * So a mesh whose list is true does not meet this, however few identities it has, and one that
 * lists nothing meets it when a single identity holds a quarter of all places. A stolen token gets
 * that quarter; any number of them gets the pool and twice what their workloads have anyway; the
 * other half stays for whom the mesh lists.
 *
 * Pure; loop thread. */
#ifndef QUOTA_H
#define QUOTA_H

#include <stdint.h>

#include "base/err.h"
#include "base/map.h"
#include "xds/delta_server.h"

enum quota_kind { QUOTA_CONNECTIONS, QUOTA_STREAMS, QUOTA_REQUESTS, QUOTA_KINDS };

enum {
    QUOTA_PER_WORKLOAD = 2,
    QUOTA_PLACES_MIN = 64,
    QUOTA_PLACES_MAX = 20000, /* 49 KB each, connection and idle stream: 1 GB */
    /* The client's socket, and two socketpairs on the way to gRPC. */
    QUOTA_FILES_PER_PLACE = 5,
    QUOTA_FILES_SPARE = 256, /* listeners, HTTP, files; connections that are being closed */
    /* Names that the streams of one identity may make us remember (xds/delta_server.h). */
    QUOTA_NAMES_BYTES = 8 << 20,
    QUOTA_NAMES_BYTES_PER_WORKLOAD = 64 << 10, /* some 500 names */
};

struct quota {
    struct map callers;  /* "namespace/account" -> struct quota_caller that holds something */
    struct map expected; /* the same -> how many workloads, as a number in the pointer */
    unsigned places;     /* of each kind */
};

/* An identity that holds something. */
struct quota_caller {
    struct quota *quota;
    unsigned held[QUOTA_KINDS];
    unsigned expected;
    struct xds_delta_budget names;
    char key[]; /* "namespace/account" */
};

/* How many places a process has that may open `files` descriptors. */
unsigned quota_places(uint64_t files);

void quota_init(struct quota *quota, unsigned places);
/* When everything has been given back. */
void quota_deinit(struct quota *quota);

/* The workloads that the mesh lists now: "namespace/service account" -> number. Takes what is in
 * `workloads`. What is held already stays. */
void quota_expect(struct quota *quota, struct map *workloads);

/* Takes a place for an identity: *out holds it until quota_give(). ERR_QUOTA with a sentence,
 * ERR_NO_MEMORY. That there are no more than `places` of all is for the caller to see to. */
enum err_code quota_take(struct quota *quota, enum quota_kind kind, const char *ns,
                         const char *service_account, struct quota_caller **out, struct err *err);
/* Gives one place back; `caller` may be gone after that. */
void quota_give(struct quota_caller *caller, enum quota_kind kind);

#endif
