/* What an operator or a test wants to know about a certificate, as plain values. It proves nothing:
 * verify.c does. Any thread. */
#ifndef CERT_INFO_H
#define CERT_INFO_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

enum { CERT_INFO_NAMES_MAX = 8, CERT_INFO_CHAIN_MAX = 16 };

struct cert_info {
    char serial[48]; /* lower-case hex, at most 20 bytes */
    int64_t not_before_s, not_after_s;
    char subject[128], issuer[128]; /* RFC 2253 text, cut; empty for an empty name */
    unsigned uri_count, dns_count;  /* as found; the arrays hold the first ones */
    char uri[512];                  /* the first URI SAN; what is not printable is written as ? */
    char dns[CERT_INFO_NAMES_MAX][256];
    bool is_ca;
    uint8_t sha256[32]; /* of the DER */
};

/* The first certificate of `pem` (`len` bytes, more may follow). ERR_TLS_BAD_CERTIFICATE,
 * ERR_TOO_LARGE. */
enum err_code cert_info_parse(struct cert_info *out, const char *pem, size_t len, struct err *err);

/* All certificates of `pem`, at most CERT_INFO_CHAIN_MAX, into `out`; *count is how many. As above.
 */
enum err_code cert_info_parse_chain(struct cert_info *out, size_t *count, const char *pem,
                                    size_t len, struct err *err);

#endif
