/* A trust bundle as it travels: PEM roots by trust domain. */
#ifndef XDS_BUNDLE_H
#define XDS_BUNDLE_H

#include <stddef.h>

enum { XDS_BUNDLE_DOMAINS_MAX = 256, XDS_BUNDLE_PEM_MAX = 1 << 20 /* all domains together */ };

struct xds_trust_domain {
    const char *name; /* without spiffe://; "" = the mesh's own */
    const char *pem;  /* null-terminated */
    size_t pem_len;
};

struct xds_bundle {
    const struct xds_trust_domain *domains;
    unsigned domain_count;
};

#endif
