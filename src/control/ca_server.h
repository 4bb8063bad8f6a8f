/* The certificate of port 15012: signed by our own authority, renewed and swapped while connections
 * live. Loop thread. */
#ifndef CA_SERVER_H
#define CA_SERVER_H

#include "tls/ca.h"

enum { CA_SERVER_TTL_S = 30 * 86400 };

/* A fresh key and certificate for the names, as a server context: *out is one reference.
 * *renew_at_s is when to make the next one (half of its life, wall clock). ERR_INVALID (a name that
 * is no DNS name), ERR_CA_STATE, ERR_NO_MEMORY. */
enum err_code ca_server_make(const struct ca *ca, const char *const *dns_names, unsigned dns_count,
                             struct tls_context **out, int64_t *renew_at_s, struct err *err);

#endif
