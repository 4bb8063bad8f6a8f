/* Connections to the pod's application. Worker thread.
 *
 *   too many at the door who have not proven who they are (door.h) -> refused
 *   no certificate, configuration or record of our own yet -> wait, then refuse
 *   a ClientHello with a mesh ALPN -> TLS, the client's proven identity, policy, the application
 *   anything else, or silence from a client outside the mesh -> plaintext: policy without an
 *     identity, then the application, which gets every byte that was peeked at
 *   half a ClientHello, silence from a workload of the mesh -> refused at the handshake's deadline
 *   a policy that has not arrived -> wait, then refuse */
#ifndef INBOUND_H
#define INBOUND_H

#include "proxy/worker.h"

/* Takes over `fd`, accepted and prepared. */
void inbound_start(struct worker *worker, int fd, const struct addr_port *source,
                   const struct addr_port *original);

/* Asks policy again about a connection that passed it before; resets it when it is denied now, or
 * when `late` and the verdict is pending. True: pending, and the connection is left as it is. */
bool inbound_recheck(struct conn *conn, bool late);

#endif
