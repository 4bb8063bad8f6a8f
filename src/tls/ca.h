/* The crypto of a certificate authority: a self-signed root, an issuing intermediate, and leaves
 * for the mesh's identities and for the control plane's own server. Files, policy and who may ask
 * are the caller's business. All texts are PEM. Any thread; a `struct ca` is immutable. */
#ifndef CA_H
#define CA_H

#include <stddef.h>
#include <stdint.h>

#include "base/err.h"
#include "tls/cert_info.h"
#include "tls/context.h"
#include "tls/spiffe.h"

enum {
    CA_CSR_MAX = 64 * 1024, /* bytes of PEM that a signing request may have */
    CA_BACKDATE_S = 120,    /* notBefore lies this far back: clocks differ */
    CA_DNS_NAMES_MAX = 16,  /* DNS SANs of a server certificate */
    CA_LEAF_TTL_MIN_S = 1,  /* shorter is raised, longer than the maximum is lowered */
    CA_LEAF_TTL_MAX_S = 90 * 86400,
};

struct ca; /* an issuing certificate, its key, and the root above it; reference-counted */

/* A self-signed root for `key`: 10 years, cA, keyCertSign and cRLSign, subject CN=`common_name`.
 * *pem is malloc'd. ERR_INVALID (a name of 0 or over 64 bytes), ERR_NO_MEMORY. */
enum err_code ca_make_root(struct tls_key *key, const char *common_name, char **pem,
                           struct err *err);

/* An issuing certificate for `issuer_key`, signed by the root: 5 years (not beyond the root), cA,
 * pathlen 0. *pem is malloc'd. ERR_CA_STATE when `root_pem` is not the certificate of `root_key`,
 * ERR_TLS_BAD_CERTIFICATE, ERR_INVALID, ERR_NO_MEMORY. */
enum err_code ca_make_issuer(struct tls_key *root_key, const char *root_pem,
                             struct tls_key *issuer_key, const char *common_name, char **pem,
                             struct err *err);

/* Opens an authority from its parts: checks that `key` is the issuer's, that both certificates may
 * sign certificates, that the issuer chains to the root, and that neither has expired. Takes a
 * reference to `key`, copies the texts. The issuer may be the root itself. ERR_CA_STATE with a
 * sentence that says which part is wrong, ERR_TLS_BAD_CERTIFICATE, ERR_NO_MEMORY. */
enum err_code ca_new(struct ca **out, struct tls_key *key, const char *issuer_pem,
                     const char *root_pem, struct err *err);
void ca_unref(struct ca *ca);
/* One PEM certificate each, normalised; borrowed, as long as `ca`. */
const char *ca_issuer_pem(const struct ca *ca);
const char *ca_root_pem(const struct ca *ca);
/* When the issuing certificate ends: no leaf lives longer. */
int64_t ca_not_after_s(const struct ca *ca);

struct ca_issued {
    char *leaf_pem;  /* the new certificate alone */
    char *chain_pem; /* leaf, issuer (unless it is the root), root, concatenated */
    struct cert_info leaf;
};
/* Frees the texts; a zeroed struct is fine. */
void ca_issued_deinit(struct ca_issued *issued);

/* Issues a leaf for `id` to whoever proves possession of the key in `csr` (`csr_len` bytes of PEM).
 * Nothing but the public key is taken from the request; if it names any identity, it must be `id`
 * alone. The leaf lives `ttl_s` from now, never beyond its issuer. The result has been parsed and
 * verified again. `issued` is filled on success only; the caller deinits it. ERR_CSR_MALFORMED
 * (over CA_CSR_MAX too), ERR_CSR_SIGNATURE, ERR_CSR_KEY, ERR_CSR_IDENTITY, ERR_CERT_REJECTED,
 * ERR_CA_STATE (the issuer has expired), ERR_NO_MEMORY. */
enum err_code ca_issue_leaf(const struct ca *ca, const struct spiffe_id *id, const char *csr,
                            size_t csr_len, int64_t ttl_s, struct ca_issued *issued,
                            struct err *err);

/* Issues a server certificate for `key` with DNS SANs (1 to CA_DNS_NAMES_MAX names), for the
 * control plane's own port. As above otherwise; ERR_INVALID for a name that is no DNS name. */
enum err_code ca_issue_server(const struct ca *ca, const struct tls_key *key,
                              const char *const *dns_names, size_t dns_count, int64_t ttl_s,
                              struct ca_issued *issued, struct err *err);

#endif
