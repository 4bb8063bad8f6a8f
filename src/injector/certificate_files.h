/* A certificate from two PEM files, as cert-manager or a Secret's volume has them; both are looked
 * at every CERTIFICATE_FILES_MS and taken anew when they have changed. A pair that does not fit
 * (one file may be newer than the other for a moment) leaves the last good one in use. Loop thread.
 */
#ifndef INJECTOR_CERTIFICATE_FILES_H
#define INJECTOR_CERTIFICATE_FILES_H

#include "injector/certificate.h"

enum { CERTIFICATE_FILES_MS = 2000 };

struct certificate_files {
    struct webhook_certificate base; /* first */
    const char *chain_path, *key_path;
    struct timer timer;
    /* as last read, good or bad; NULL before */
    char *chain, *key;
    size_t chain_len, key_len;
};

/* The paths are borrowed. Its start fails when the first pair is not good: ERR_NOT_FOUND,
 * ERR_TLS_BAD_CERTIFICATE and others. */
void certificate_files_init(struct certificate_files *files, const char *chain_path,
                            const char *key_path);

#endif
