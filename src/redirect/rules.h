/* The nftables rules as text, for libnftables and for people. Pure. */
#ifndef RULES_H
#define RULES_H

#include "redirect/capture.h"

#define RULES_TABLE "handfast"
#define RULES_REFERENCE_TABLE "handfast_reference"

/* The base chains; verify compares them with those that it reads back. */
struct rules_chain {
    const char *name, *type, *hook;
    int priority;
};

enum { RULES_CHAIN_COUNT = 3 };
extern const struct rules_chain rules_chains[RULES_CHAIN_COUNT];

/* One transaction that puts the table in place of whatever table of that name there was. It goes to
 * *text, malloc'd, the caller frees. `detached`: the same rules in chains that hang on no hook, so
 * that no packet meets them; this is how verify learns what the rules look like when they are read
 * back. ERR_NO_MEMORY. */
enum err_code rules_format(const struct capture *capture, const char *table, bool detached,
                           char **text, struct err *err);

/* The transaction that removes the table, also when there is none. Same ownership. */
enum err_code rules_format_removal(const char *table, char **text, struct err *err);

#endif
