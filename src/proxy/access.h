/* The access log: one line for each connection's end, on stdout. Any thread. */
#ifndef ACCESS_H
#define ACCESS_H

#include "proxy/config.h"
#include "proxy/conn.h"

/* Writes the line; *err has code ERR_OK for a clean end. Off: a failure still goes to the log, at
 * most a few times a second. */
void access_write(const struct config *config, const struct conn *conn, const struct err *err);

#endif
