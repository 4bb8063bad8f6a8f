/* Talks to nf_tables through libnftables: scripts in, listings out. Blocking; one thread. */
#ifndef NFTABLES_H
#define NFTABLES_H

#include "base/err.h"

enum nftables_form { NFTABLES_TEXT, NFTABLES_JSON };

/* Runs a script as one transaction: all of it takes effect or nothing does. ERR_PERMISSION,
 * ERR_NFT_MODULE and ERR_NFT with a sentence that says what to do about it. */
enum err_code nftables_run(const char *script, struct err *err);

/* Reads a table of family inet back: as text with rule handles, or as JSON. It goes to *listing,
 * malloc'd, the caller frees. ERR_NOT_FOUND when there is no such table; else as nftables_run. */
enum err_code nftables_list(const char *table, enum nftables_form form, char **listing,
                            struct err *err);

#endif
