/* What a pod may not have beside a sidecar. Pure. */
#ifndef INJECTOR_CONFLICT_H
#define INJECTOR_CONFLICT_H

#include "injector/pod.h"

/* ERR_INVALID with a sentence for the pod's author: containers that run as the proxy's user (the
 * redirect lets that user through, so they would leave the mesh unseen), or that use its ports or
 * the names of what is to be added. */
enum err_code conflict_check(const struct pod *pod, struct err *err);

#endif
