/* A set of small numbers that grows as it is used. A number that was never set is not in it. */
#ifndef XDS_BITS_H
#define XDS_BITS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct xds_bits {
    uint64_t *words; /* NULL until the first number */
    size_t word_count;
    size_t count; /* numbers in the set */
};

void xds_bits_deinit(struct xds_bits *bits);
/* False: out of memory, the set is as before. */
bool xds_bits_set(struct xds_bits *bits, uint32_t number);
void xds_bits_clear(struct xds_bits *bits, uint32_t number);
bool xds_bits_has(const struct xds_bits *bits, uint32_t number);
/* The smallest number at or above `from`, or -1. */
int64_t xds_bits_next(const struct xds_bits *bits, uint64_t from);

#endif
