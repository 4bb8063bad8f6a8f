/* What all connections of one loop share: the loop, its deadlines and three staging buffers.
 * Nothing here is kept across a return to the loop, so one set serves any number of connections.
 * Loop thread. */
#ifndef RELAY_ENV_H
#define RELAY_ENV_H

#include "base/err.h"
#include "loop/loop.h"
#include "loop/timer.h"
#include "tls/conn.h"

enum {
    RELAY_USER_TIMEOUT_MS = 60000,
    RELAY_CHUNK_BYTES =
        64 *
        1024, /* the most that is read from a socket at once, and so the most held for a slow one */
    RELAY_PLAIN_BYTES = RELAY_CHUNK_BYTES + TLS_RECORD_PLAIN_MAX,
    RELAY_OUT_BYTES = RELAY_PLAIN_BYTES + 8 * 1024,
};

struct relay;

struct relay_env {
    struct loop *loop;
    struct timers *timers;
    int64_t user_timeout_ms; /* RELAY_USER_TIMEOUT_MS unless its owner sets another */
    struct relay *relays;    /* all that run; for watch.c */
    struct relay *watch_at;  /* where the walk over them goes on; NULL: done */
    struct timer watch;
    uint8_t *in;    /* RELAY_CHUNK_BYTES: as read from a socket */
    uint8_t *plain; /* RELAY_PLAIN_BYTES: opened */
    uint8_t *out;   /* RELAY_OUT_BYTES: sealed */
};

/* `loop` and `timers` are borrowed. ERR_NO_MEMORY, and then there is nothing to undo. */
enum err_code relay_env_init(struct relay_env *env, struct loop *loop, struct timers *timers,
                             struct err *err);
/* No relay may run any more; before timers_close(). */
void relay_env_deinit(struct relay_env *env);

#endif
