/* The process_* metrics that Prometheus client libraries agree on, read from /proc at each scrape.
 */
#ifndef PROCESS_H
#define PROCESS_H

#include <stdint.h>

struct exposition;

/* For metrics_collect(); `arg` is not used. A figure that cannot be read is left out. */
void process_collect(void *arg, struct exposition *text);

/* Open file descriptors of this process, or -1. */
int64_t process_open_fds(void);
/* Bytes resident, or -1. */
int64_t process_resident_bytes(void);

#endif
