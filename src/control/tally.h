/* What the control plane counts, by reason. Main thread writes and reads. */
#ifndef TALLY_H
#define TALLY_H

#include <stdint.h>

#include "base/err.h"

struct tally {
    uint64_t certificates_issued;
    uint64_t certificates_refused[ERR_COUNT_];
    uint64_t streams_refused[ERR_COUNT_];
    uint64_t connections_opened, connections_now;
    uint64_t connections_refused[ERR_COUNT_]; /* before a good token came */
    uint64_t connections_idle;
    uint64_t mesh_loads, mesh_load_failures;
    int64_t mesh_loaded_wall_ms;
    uint64_t issuer_renewals;
};

#endif
