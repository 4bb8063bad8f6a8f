/* The kernel's table of TCP sockets in this network namespace, /proc/net/tcp and its like. */
#ifndef CLI_TCP_TABLE_H
#define CLI_TCP_TABLE_H

#include <sys/types.h>

#include "base/err.h"

/* Adds to *count the sockets of other users than `except` that listen, connect or still have
 * something to say; those that are only being wound up by the kernel do not count. ERR_NOT_FOUND,
 * ERR_SYSTEM. */
enum err_code tcp_table_count(const char *path, uid_t except, unsigned *count, struct err *err);

#endif
