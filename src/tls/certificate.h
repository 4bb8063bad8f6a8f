/* Reading one certificate, for src/tls only. Any thread. */
#ifndef TLS_CERTIFICATE_H
#define TLS_CERTIFICATE_H

#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { CERTIFICATE_SERIAL_MAX = 48, CERTIFICATE_NAME_MAX = 128, CERTIFICATE_TEXT_MAX = 512 };

/* Seconds since 1970; INT64_MIN and INT64_MAX when the certificate's time cannot be read, which is
 * never inside the validity. */
int64_t certificate_not_before_s(const X509 *certificate);
int64_t certificate_not_after_s(const X509 *certificate);

/* Lower-case hex without leading zeroes; "" when longer than RFC 5280 section 4.1.2.2 allows. */
const char *certificate_serial(const X509 *certificate, char text[CERTIFICATE_SERIAL_MAX]);

/* A name as RFC 2253 writes it, cut; "" for an empty one. */
const char *certificate_subject(const X509 *certificate, char text[CERTIFICATE_NAME_MAX]);
const char *certificate_issuer(const X509 *certificate, char text[CERTIFICATE_NAME_MAX]);

/* Copies what a peer wrote, cut to size - 1 bytes, everything but printable ASCII as '?'. */
const char *certificate_text(const uint8_t *bytes, size_t len, char *text, size_t size);

/* The subject alternative names; the caller frees them. True with *out NULL when there are none,
 * false when the extension is damaged or there twice. */
bool certificate_names(const X509 *certificate, GENERAL_NAMES **out);

/* A list of one name of kind GEN_URI or GEN_DNS, and adding to it; NULL or false: out of memory. */
GENERAL_NAMES *certificate_names_new(int kind, const char *text, size_t len);
bool certificate_names_add(GENERAL_NAMES *names, int kind, const char *text, size_t len);

#endif
