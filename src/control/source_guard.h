/* Strict mTLS as a policy: "deny whoever has no identity", everywhere or on some ports. One thread.
 */
#ifndef SOURCE_GUARD_H
#define SOURCE_GUARD_H

#include "control/source_arena.h"
#include "mesh/policy.h"

/* One deny policy that stands for mtls entries. */
struct source_guard {
    struct source_guard *next;
    enum mesh_scope scope;
    const char *ns;   /* "" for the whole mesh */
    const char *name; /* "strict-mtls", with what makes it special behind */
    const char *key;  /* "<ns>/<name>" */
    bool all_ports;   /* strict everywhere but on `ports`; else on `ports` only */
    uint16_t *ports;
    unsigned port_count;
};

/* Puts the ports of a guard whose other parts are filled in order, drops those that are there
 * twice, and names it: guards of the same content have the same name. `base` is what the name
 * begins with. Name and key live in the arena; key is NULL without memory. */
void source_guard_name(struct source_arena *arena, struct source_guard *guard, const char *base);

#endif
