/* How far our clock is from the control plane's, for sentences about validity. src/tls only; the
 * setter is tls_clock_skew_set(). Any thread. */
#ifndef TLS_SKEW_H
#define TLS_SKEW_H

#include <stddef.h>
#include <stdint.h>

/* "our clock says <now>, the control plane's <now + skew> (130 s ahead of ours)". */
const char *skew_describe(int64_t now_s, char *text, size_t size);

#endif
