/* The authority's state on disk: a folder with a root, an issuing intermediate and the key that
 * signs tokens.
 *
 *   first start -> everything is written and synced into .new inside the folder, then the file
 *                  `complete` is; only then are the files moved into the folder, one by one
 *   a crash     -> .new without `complete` is thrown away; with it, the next start moves the rest.
 *                  (The folder itself may be a mount point, so it is not what is renamed.)
 *   later       -> keys that others may read, a part that is missing or fits not, an expired
 * issuer, another process at work on it: refused with a sentence
 *
 * Blocking; main thread. */
#ifndef CA_STATE_H
#define CA_STATE_H

#include "tls/ca.h"
#include "tls/signature.h"

/* The parts of a state: the names of the files, and the keys of a Secret. */
enum ca_part { CA_ROOT, CA_ROOT_KEY, CA_ISSUER, CA_ISSUER_KEY, CA_TOKEN_KEY, CA_PARTS };
extern const char *const ca_part_names[CA_PARTS];

struct ca_state {
    char folder[4096]; /* "": the parts came from somewhere else */
    int lock_fd;       /* the folder, locked for as long as it is open; -1: there is none */
    struct ca *ca;
    struct tls_key *root_key, *issuer_key, *token_key;
    struct signature_key *token_public_key;
};

/* Opens `folder`, or makes it and what belongs in it. ERR_CA_STATE (half a state, permissions,
 * expiry), ERR_BUSY (another process has it), ERR_SYSTEM, ERR_NO_MEMORY; nothing to undo then. */
enum err_code ca_state_open(struct ca_state *state, const char *folder, struct err *err);
void ca_state_close(struct ca_state *state);

/* Makes the parts of a new authority: PEM, malloc'd; ca_parts_free() forgets them. ERR_NO_MEMORY.
 */
enum err_code ca_parts_make(char *parts[CA_PARTS], struct err *err);
void ca_parts_free(char *parts[CA_PARTS]);

/* Opens an authority whose parts are kept elsewhere. An issuer that somebody else renews comes
 * without CA_ROOT_KEY, one that takes no tokens of its own without CA_TOKEN_KEY (NULL). `state` is
 * zeroed or open; an open one is replaced on success only. ERR_CA_STATE and others, as above. */
enum err_code ca_state_adopt(struct ca_state *state, char *const parts[CA_PARTS], struct err *err);

/* A new issuing certificate of the same key, if it is time and the root's key is here: *pem is
 * malloc'd, or NULL when it is not. */
enum err_code ca_state_issuer_if_due(const struct ca_state *state, char **pem, struct err *err);

/* Signs the issuing certificate anew when two thirds of its life are over: same key, one file, so a
 * crash leaves the old or the new. *renewed says whether it did. ERR_CA_STATE, ERR_SYSTEM: the old
 * one goes on. */
enum err_code ca_state_renew_if_due(struct ca_state *state, bool *renewed, struct err *err);

#endif
