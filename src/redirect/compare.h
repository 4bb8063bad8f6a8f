/* Compares a table in the kernel with the table that the options would make. Pure. */
#ifndef COMPARE_H
#define COMPARE_H

#include "redirect/listing.h"
#include "redirect/report.h"

/* Adds a difference to the report for everything that `found` lacks, has in addition or has in
 * another order than `expected`; returns how many. `expected` was read from a table of detached
 * chains: what the chains hang on is compared with rules_chains. */
unsigned compare_tables(const struct listing *found, const struct listing *expected,
                        struct report *report);

#endif
