/* Connections that the pod's application makes. Worker thread.
 *
 *   no certificate or configuration yet -> wait, then refuse; never plaintext meanwhile
 *   a service's address -> one of its endpoints; a second one when the first refuses
 *   a workload of the mesh -> TLS to exactly the identity in its record
 *   a workload outside the mesh, an unknown address -> as it is
 *   this very pod -> policy with our own identity, then in plaintext over loopback
 *   anything else, any failure -> a reset and one line that says why */
#ifndef OUTBOUND_H
#define OUTBOUND_H

#include "proxy/worker.h"

/* Takes over `fd`, accepted and prepared. */
void outbound_start(struct worker *worker, int fd, const struct addr_port *source,
                    const struct addr_port *original);
/* Asks policy again about a live connection, after it changed: a workload that calls itself is
 * guarded here, all others at their far end. As inbound_recheck(). */
bool outbound_recheck(struct conn *conn, bool late);

#endif
