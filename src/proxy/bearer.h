/* The token that proves to the control plane who we are. It is read again for every call, because
 * the kubelet replaces it. */
#ifndef BEARER_H
#define BEARER_H

#include <stddef.h>

#include "base/err.h"

enum { BEARER_MAX = 12 * 1024 }; /* bytes; must fit one call's metadata */

/* Reads the file and cuts white space off both ends; *token is malloc'd and goes back through
 * bearer_free. ERR_TOKEN_MISSING: no file, or nothing in it. ERR_TOKEN_MALFORMED: a byte that no
 * token has. ERR_TOO_LARGE, ERR_SYSTEM. */
enum err_code bearer_read(const char *path, char **token, struct err *err);
/* Wipes and frees; NULL is allowed. */
void bearer_free(char *token);

#endif
