/* Vanished peers. TCP_USER_TIMEOUT ends every peer that takes no data for that long, also one that
 * answers each window probe and only does not read (Linux since 5.11); a direct connection would
 * wait for such a reader for ever. So the walk here asks the kernel (TCP_INFO) what was sent and
 * not answered at all: retransmissions or probes without any acknowledgement since. Nothing
 * answered for the user timeout: the peer is gone, both sides are reset.
 *
 * Idle connections are keepalive's business (socket.c). Called by relay.c; loop thread. */
#ifndef RELAY_WATCH_H
#define RELAY_WATCH_H

#include "relay/relay.h"

enum {
    WATCH_CHUNK = 256, /* relays in one turn */
    WATCH_WALKS = 8,   /* walks in a user timeout */
};

void watch_add(struct relay *relay);
void watch_remove(struct relay *relay);

#endif
