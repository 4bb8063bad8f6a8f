/* The nftables rules as text, for libnftables and for people. Pure. */
#ifndef RULES_H
#define RULES_H

#include "redirect/capture.h"

#define RULES_TABLE "handfast"
#define RULES_REFERENCE_TABLE "handfast_reference"

/* One transaction that puts the table in place of whatever table of that name there was. It goes to
 * *text, malloc'd, the caller frees. With `dormant` the kernel keeps the rules without obeying
 * them: that is how verify learns what the rules look like when they are read back. ERR_NO_MEMORY.
 */
enum err_code rules_format(const struct capture *capture, const char *table, bool dormant,
                           char **text, struct err *err);

/* The transaction that removes the table, also when there is none. Same ownership. */
enum err_code rules_format_removal(const char *table, char **text, struct err *err);

#endif
