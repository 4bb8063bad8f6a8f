/* Least connections of two: which endpoint of a service the next connection goes to. Each worker
 * counts its own connections; the sum over workers evens out by itself. Loop thread. */
#ifndef BALANCE_H
#define BALANCE_H

#include "base/map.h"
#include "mesh/snapshot.h"
#include "proxy/hold.h"

enum {
    /* TLS connections that one worker opens to one workload at once. Thousands started together
     * would all finish at the end, past the deadline of each; one after another, the first are done
     * when the last begin. */
    BALANCE_OPENING_MAX = 128,
    BALANCE_QUEUE_MAX = 1 << 20, /* the ceiling on connections is lower */
};

/* One workload that this worker is connected to. */
struct balance_load {
    unsigned count;            /* live connections */
    unsigned opening;          /* of these, those that connect or shake hands */
    struct hold_queue waiting; /* those that wait for BALANCE_OPENING_MAX to let them */
    char uid[];
};

struct balance {
    struct timers *timers;
    struct map loads; /* workload uid -> struct balance_load */
    uint64_t random;  /* state of a small generator; speed matters here, secrecy does not */
};

/* `timers` is borrowed. */
void balance_init(struct balance *balance, struct timers *timers);
/* After the last balance_end(). */
void balance_deinit(struct balance *balance);

/* An endpoint of `service` that serves `service_port` and is not `except` (may be NULL): of two
 * chosen at random the one with fewer connections; *port is its own port. NULL when there is none.
 * Borrowed from the snapshot. */
const struct mesh_workload *balance_pick(struct balance *balance,
                                         const struct mesh_snapshot *snapshot,
                                         const struct mesh_service *service, uint16_t service_port,
                                         const struct mesh_workload *except, uint16_t *port);

/* Counts one more connection to the workload, and gives it back. NULL (out of memory) is allowed in
 * balance_end: the connection is then simply not counted. */
struct balance_load *balance_begin(struct balance *balance, const struct mesh_workload *workload);
void balance_end(struct balance *balance, struct balance_load *load);
/* Live connections to the workload with this uid. */
unsigned balance_count(const struct balance *balance, const char *uid);

#endif
