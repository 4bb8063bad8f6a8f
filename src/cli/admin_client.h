/* One question to a proxy's admin socket: HTTP/1.1 over a Unix socket, an answer in JSON.
 * Blocking, with a deadline over everything. */
#ifndef ADMIN_CLIENT_H
#define ADMIN_CLIENT_H

#include <jansson.h>
#include <stdint.h>

#include "base/err.h"

enum {
    ADMIN_CLIENT_TIMEOUT_MS = 5000,
    ADMIN_CLIENT_ANSWER_MAX = 64 << 20 /* bytes */
};

/* Sends `method` `target` ("/connections?limit=5", already encoded) to the socket at `path` and
 * parses the answer into *out (the caller's reference; an object). Errors are sentences for an
 * operator: ERR_NOT_FOUND nobody listens there, ERR_PERMISSION, ERR_TIMEOUT, ERR_TOO_LARGE,
 * ERR_INVALID what answered is not a proxy or refused the request (its own words), ERR_CONN_RESET
 * an answer that was cut short, ERR_SYSTEM. */
enum err_code admin_client_ask(const char *path, const char *method, const char *target,
                               int64_t timeout_ms, json_t **out, struct err *err);

#endif
