/* What a token says once its signature is known to be good: reading claims and holding them against
 * the rules. For src/token only; any thread. */
#ifndef CLAIMS_H
#define CLAIMS_H

#include <jansson.h>
#include <stdbool.h>

#include "token/token.h"

/* True for a Kubernetes namespace (a DNS label) and a service account (a DNS subdomain), RFC 1123.
 */
bool claims_is_namespace(const char *text, size_t len);
bool claims_is_service_account(const char *text, size_t len);

/* Checks issuer, audience, times and subject of the claims, in this order; ERR_TOKEN_*. `out` is
 * filled on success only. */
enum err_code claims_check(const json_t *claims, const struct token_rules *rules,
                           struct token_subject *out, struct err *err);

/* Copies what a token says for a sentence: cut, quotes and everything unprintable as '?'. */
const char *claims_quote(const char *value, size_t len, char *text, size_t size);

#endif
