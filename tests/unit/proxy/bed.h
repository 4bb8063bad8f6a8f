/* Two pods of one mesh on loopback, without redirect, threads or control plane: each a real worker
 * with a static view. "client" owns 127.0.1.1, "server" 127.0.2.1.
 *
 *   the test's application socket -> bed_dial -> the client pod's outbound -> the wire (a listening
 * socket at 127.0.2.1) -> the server pod's inbound -> the test's server application
 *
 * Where the redirect would turn the server's port into 15006 and back, the bed hands connections on
 * the wire to the server pod with the application's port as original destination. */
#ifndef BED_H
#define BED_H

#include "mesh/builder.h"
#include "proxy/worker.h"
#include "tls/ca.h"

struct bed_pod {
    struct config config;
    struct ceiling ceiling;
    struct metrics *registry;
    struct worker worker;
    struct tls_context *context;
};

struct bed {
    struct bed_pod client, server;
    struct ca *ca;
    struct tls_bundle *bundle;
    struct mesh_snapshot *mesh;
    int wire, app; /* listening sockets: the server pod's endpoint port, its application */
    struct addr_port wire_at, app_at;
    bool wire_is_plain;           /* connections on the wire wait for the test to accept them */
    struct addr_port wire_source; /* whom the server pod takes its clients for */
};

#define BED_SERVICE_IP "10.96.0.10"
#define BED_STRANGER "192.0.2.1:5555"

/* Makes everything; the workers have no view yet. Aborts when that cannot be done. */
void bed_init(struct bed *bed);
/* Ends what is left and frees. */
void bed_deinit(struct bed *bed);
/* Runs both workers until `done(arg)` is true; false after some seconds. */
bool bed_run(struct bed *bed, bool (*done)(void *arg), void *arg);
/* Runs them until nothing is left to do at once. */
void bed_settle(struct bed *bed);

/* --- the mesh ------------------------------------------------------------------------------- */
/* Puts the snapshot and the contexts into both workers. */
void bed_publish(struct bed *bed);
/* The server pod's record: tunnel, and the policy keys it names (space for one; NULL: none). */
void bed_put_server(struct bed *bed, enum mesh_tunnel tunnel, const char *policy);
/* A global policy (`key` "/name"): DENY everybody without an identity, or DENY `principal`. */
void bed_put_strict(struct bed *bed);
void bed_put_deny(struct bed *bed, const char *name, const char *principal);
/* A record of a policy that could not be read, as `name` says. */
void bed_put_unreadable(struct bed *bed, const char *name);
void bed_drop_policy(struct bed *bed, const char *key);
/* Another endpoint of the service, at `at`. */
void bed_put_endpoint(struct bed *bed, const char *name, const char *at);
/* A context for the account of the test mesh's namespace; the caller owns it. */
struct tls_context *bed_context(struct bed *bed, const char *account);

/* --- applications ----------------------------------------------------------------------------- */
/* The client application connects to `to` through its pod; its blocking socket with a receive
 * timeout. */
int bed_dial(struct bed *bed, const char *to);
/* As if a client at `source` had been redirected to the server pod's application. */
int bed_call(struct bed *bed, const char *source);
/* The server application accepts; -1 when nobody came. Runs the workers meanwhile. */
int bed_accept(struct bed *bed, int listening);
/* Reads exactly `len` bytes, running the workers meanwhile; false at an end before that. */
bool bed_read(struct bed *bed, int fd, void *bytes, size_t len);
/* What the next read gives: a byte (1), the end (0), a reset (-ECONNRESET) or silence (-EAGAIN). */
int bed_next(struct bed *bed, int fd);
void bed_write(int fd, const char *text);

/* Connections refused and handshakes failed in a pod for this reason. */
unsigned bed_refused(const struct bed_pod *pod, enum conn_direction direction, enum err_code code);
unsigned bed_failed_handshakes(const struct bed_pod *pod, enum conn_direction direction,
                               enum err_code code);

#endif
