/* handfast-proxy --probe-control: what every proxy does first, once: connect to the control plane,
 * show the token, get a certificate that holds. Nothing of the proxy but link.c and identity.c
 * runs. */
#ifndef TRIAL_H
#define TRIAL_H

#include "proxy/config.h"

enum { TRIAL_DEADLINE_MS = 15000 };

/* Prints the identity, serial, expiry and root to stdout. A control plane that cannot be reached is
 * tried again until the deadline; any other failure is the end. The reason why is what link.c
 * and identity.c say. Blocking; makes a loop of its own. */
enum err_code trial_run(const struct config *config, struct err *err);

#endif
