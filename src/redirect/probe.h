/* Proofs by real connections that the rules capture. Blocking; one thread. */
#ifndef PROBE_H
#define PROBE_H

#include "redirect/capture.h"
#include "redirect/report.h"

/* Each adds one check for IPv4 and one for IPv6 to the report: proven, failed, or not tried with
 * the reason why that was not possible here.
 *
 * Outbound: connects to an address of the documentation ranges, where nobody is. Inbound: makes a
 * second network namespace and a veth pair to it for a moment, and connects from there; needs
 * CAP_SYS_ADMIN or user namespaces. When the proxy's port is free we listen there and see the
 * connection arrive with its original destination; when the proxy runs, being connected where
 * nobody listens is the proof. */
void probe_outbound(const struct capture *capture, struct report *report);
void probe_inbound(const struct capture *capture, struct report *report);

#endif
