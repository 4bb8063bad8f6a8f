/* TLS alerts by number and name (RFC 8446 section 6), for src/tls only. Any thread. */
#ifndef TLS_ALERT_H
#define TLS_ALERT_H

#include <stdint.h>

#include "base/err.h"

/* "unknown_ca"; "unassigned" for a number without a name. */
const char *alert_name(uint8_t alert);

/* What a peer is told when its certificate is refused for this reason. */
uint8_t alert_for(enum err_code code);

#endif
