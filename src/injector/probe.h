/* The kubelet's probes of the application, sent through the proxy.
 *
 * The kubelet has no identity, so under strict mTLS its HTTP, TCP and gRPC probes would be refused.
 * They are pointed at the proxy's port 15021, which is not captured, and the proxy repeats the
 * original from inside the pod (src/proxy/probes.h has the table that tells it how). exec probes
 * run in their container and stay as they are. Pure. */
#ifndef INJECTOR_PROBE_H
#define INJECTOR_PROBE_H

#include "injector/patch.h"
#include "injector/pod.h"

enum { PROBE_TABLE_MAX_BYTES = 64 * 1024 };

/* Adds the replacement of each probe to `patch`, and warns of each that has to stay. *table gets
 * the text for HANDFAST_APP_PROBES (malloc'd), or NULL when nothing was replaced; there is no '$'
 * in it, so that the kubelet expands nothing. ERR_INVALID when the table would be over its ceiling,
 * ERR_NO_MEMORY. */
enum err_code probes_rewrite(const struct pod *pod, struct patch *patch, json_t *warnings,
                             char **table, struct err *err);

/* Warns of hooks that the kubelet calls over the network, as it does probes. */
void probes_warn_of_hooks(const struct pod *pod, json_t *warnings);

#endif
