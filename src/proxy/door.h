/* The door: how many inbound connections of one worker may be without a proof of who they are, from
 * the accept until the TLS handshake has ended or policy has let plaintext in. Loop thread.
 *
 * The rule: a workload of the mesh gets in as long as it has no more places at the door than remain
 * beside its new one; any other source, an IPv6 one being its /64, as long as it has no more than
 * remain beyond the last quarter, which is the mesh's. Places remain while both the door and the
 * inbound connections are below their ceilings.
 *
 * So one source that floods gets half of the places that are open to it, ten leave an eleventh, and
 * who comes for the first time gets in while there is any. Who is of the mesh is what the snapshot
 * says about the address: good enough for a preference, and nothing else. */
#ifndef DOOR_H
#define DOOR_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"

enum {
    /* A half-open handshake costs 7 KB and what its client makes us keep meanwhile, 50 KB at most;
     * a processor finishes some 2,000 in a second. */
    DOOR_PLACES_MAX = 2048,
    DOOR_BUCKETS = 1024,
};

struct door {
    int places, count;
    uint64_t secret; /* so that nobody can choose whose bucket to share */
    /* Connections by source: of strangers, of the mesh. Who shares a bucket shares its places. */
    uint16_t counts[2][DOOR_BUCKETS];
};

/* A door with `places`, at most DOOR_PLACES_MAX. */
void door_init(struct door *door, int places);
/* A place for a connection from `source`, which the snapshot knows as a workload of the mesh, or
 * not; `room` more connections may be made besides it. 0, which is no place: ERR_CONN_UNPROVEN. */
uint16_t door_enter(struct door *door, const struct addr *source, bool mesh, int room,
                    struct err *err);
/* Gives it back. */
void door_leave(struct door *door, uint16_t place);

#endif
