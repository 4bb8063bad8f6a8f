/* SPIFFE IDs: spiffe://<trust domain>/ns/<namespace>/sa/<service account>. Plain values, compared
 * as pointer and length. (SPIFFE-ID section 2.) */
#ifndef SPIFFE_H
#define SPIFFE_H

#include <stdbool.h>
#include <stddef.h>

enum { SPIFFE_ID_MAX = 2048, SPIFFE_TEXT_MAX = 512 };

/* Held inline and cut to what the mesh can name: 255 trust domain, 63 namespace, 63..253 service
 * account. A URI longer than SPIFFE_TEXT_MAX - 1 is refused as malformed though SPIFFE allows 2,048
 * bytes: no identity that we issue is. */
struct spiffe_id {
    unsigned short len;           /* of text; 0 = nobody */
    unsigned short domain_len;    /* of the trust domain, which starts at text + 9 */
    unsigned short ns_at, ns_len; /* 0, 0 when the path is not /ns/../sa/.. */
    unsigned short sa_at, sa_len;
    char text[SPIFFE_TEXT_MAX]; /* null-terminated for printing */
};

/* Parses a URI of `len` bytes, which may hold anything. False when it is not a well-formed SPIFFE
 * ID: wrong scheme, empty or upper-case trust domain, user info, port, query, fragment, empty or
 * dot segments, trailing slash, a byte outside [a-zA-Z0-9._-] in the path, a null. */
bool spiffe_parse(struct spiffe_id *out, const char *uri, size_t len);
/* Builds an ID from its parts; false when the result would not be well-formed. */
bool spiffe_make(struct spiffe_id *out, const char *trust_domain, const char *ns,
                 const char *service_account);
bool spiffe_equal(const struct spiffe_id *a, const struct spiffe_id *b);

#endif
