/* What the control plane's end of the control protocol counts. */
#ifndef XDS_SERVER_STATS_H
#define XDS_SERVER_STATS_H

#include <stdint.h>

#include "base/err.h"
#include "xds/types.h"

/* For metrics; written and read by the loop thread. */
struct xds_server_stats {
    uint64_t streams;         /* now */
    uint64_t streams_opened;  /* since the start */
    uint64_t streams_expired; /* ended because the token did */
    uint64_t streams_stalled; /* cut because the client did not read */
    /* Refused, or ended because of what the client sent or did not send, by reason. */
    uint64_t streams_refused[ERR_COUNT_];
    uint64_t requests, responses, acks, nacks, unknown_types;
    uint64_t resources_sent, removals_sent, bytes_sent;
    uint64_t resources[XDS_TYPE_COUNT]; /* in the store now */
    uint64_t generation;                /* publications that changed something */
    int64_t last_publish_wall_ms;
    char last_nack[ERR_TEXT_MAX]; /* who refused what, "" = nobody */
};

#endif
