/* A whole control plane on a thread of its own, on ports from the kernel, in a folder of the test's
 * own. */
#ifndef PLANE_H
#define PLANE_H

#include <pthread.h>

#include "control/control.h"
#include "folder.h"

struct plane {
    struct folder folder; /* mesh.yaml, state/ */
    struct config config;
    struct control control; /* the thread's, once it runs */
    pthread_t thread;
    uint16_t port, metrics_port;
    enum err_code code; /* of the start */
    struct err err;
    char mesh[PATH_MAX], state[PATH_MAX];
};

/* The mesh that planes start with: trust domain test.mesh, workloads shop/web (10.9.0.2, fd09::2),
 * shop/client (10.9.0.3) and shop/old (10.9.0.4, not of the mesh), service shop/web (10.96.0.1). */
extern const char plane_mesh[];

/* Starts with `mesh` as mesh.yaml; the test fails when that fails. */
void plane_start(struct plane *plane, const char *mesh);
/* The same with other deadlines and ceilings than its own. */
void plane_start_with(struct plane *plane, const char *mesh, void (*adjust)(struct config *config));
/* As SIGTERM does; everything is freed. */
void plane_stop(struct plane *plane);
/* The same in two steps: the beginning of the end, and waiting for it. */
void plane_end(struct plane *plane);
void plane_join(struct plane *plane);

/* A token for a service account of shop, as `handfast token` makes it; the caller frees it. */
char *plane_token(struct plane *plane, const char *service_account);
char *plane_token_for(struct plane *plane, const struct token_claims *claims);
/* The PEM of the root; the caller frees it. */
char *plane_root(struct plane *plane);

/* The value of a metric, "name" or "name{labels}", as /metrics says it now; -1 when it is not
 * there. */
double plane_metric(struct plane *plane, const char *name);
/* Waits until the metric is at least `value`; false after 10 s. */
bool plane_metric_reaches(struct plane *plane, const char *name, double value);

#endif
