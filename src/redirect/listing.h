/* A table as it was read back: chains and rules in a form that can be compared and shown. One
 * thread. */
#ifndef LISTING_H
#define LISTING_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

struct listing_chain {
    char *name;
    char *kind; /* "nat prerouting -100 accept"; "detached" when it hangs on no hook */
};

struct listing_rule {
    char *chain;
    char *canonical; /* match, verdict and comment, without counters: equal text, equal rule */
    char *text;      /* as nft prints it, for people */
    char *comment;   /* NULL without one */
    bool counted;
    int64_t packets, bytes;
};

struct listing {
    char *flags; /* the table's flags, "dormant"; NULL when there are none. With flags the chains
                    and rules are not read */
    unsigned chain_count, rule_count;
    unsigned other_count; /* sets, maps and the like: we make none */
    struct listing_chain *chains;
    struct listing_rule *rules; /* in the order of the kernel */
};

/* Reads both forms of nftables_list. On success the caller owns *listing and deinits it; on failure
 * there is nothing to free. ERR_NFT for JSON of another shape, ERR_NO_MEMORY. */
enum err_code listing_parse(struct listing *listing, const char *json, const char *text,
                            struct err *err);
void listing_deinit(struct listing *listing);

#endif
