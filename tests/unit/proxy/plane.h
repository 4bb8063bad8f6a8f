/* A control plane in this program: port, TLS, certificates and xDS are real, what it knows is what
 * the test says. On the loop of whoever is tested. */
#ifndef PLANE_H
#define PLANE_H

#include "mesh/policy.h"
#include "mesh/workload.h"
#include "relay/handshake.h"
#include "relay/relay.h"
#include "rpc/rpc.h"
#include "tls/ca.h"
#include "xds/server.h"

enum { PLANE_CARRIERS_MAX = 32 };

struct plane_carrier {
    struct plane *plane;
    int fd;
    struct tls_conn *tls;
    struct rpc_connection *connection; /* NULL: the place is free */
    union {
        struct handshake handshake;
        struct relay relay;
    } u;
};

struct plane {
    struct loop loop;
    struct timers timers;
    struct relay_env env;
    struct timer watchdog;
    bool timed_out;

    struct poll_item listening;
    char address[ADDR_TEXT_MAX]; /* "127.0.0.1:41234" */
    char ca_file[64], token_file[64];
    struct ca *ca;
    struct tls_context *context;
    struct rpc *rpc;
    struct rpc_server *server;
    struct xds_server *xds;
    struct plane_carrier carriers[PLANE_CARRIERS_MAX];
    struct rpc_call *stream;                          /* the last one that was opened */
    unsigned streams, certificates;                   /* calls so far */
    const char *refuse_streams, *refuse_certificates; /* NULL, or what the caller is told */
};

/* Trust domain test.mesh, name "control.test". Aborts when it cannot be done. */
void plane_open(struct plane *plane);
/* After everything else on the loop has been closed. */
void plane_close(struct plane *plane);

/* Runs the loop until the condition holds; asserts that it does within a minute. */
#define PLANE_UNTIL(plane, condition)                                                              \
    do {                                                                                           \
        while (!(condition) && !(plane)->timed_out)                                                \
            uv_run(&(plane)->loop.uv, UV_RUN_ONCE);                                                \
        CU_ASSERT_FATAL(condition);                                                                \
    } while (0)

/* The mesh is exactly this from now on; NULL ends each list. */
void plane_publish(struct plane *plane, const struct mesh_workload *const *workloads,
                   const struct mesh_policy *const *policies);
/* Ends the last stream as a server ends one whose token has expired. */
void plane_end_stream(struct plane *plane, const char *message);

#endif
