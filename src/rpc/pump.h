/* Carries the bytes of a server's connection between the caller's socket and gRPC's, and lets the
 * guard look at those of the client. Loop thread. */
#ifndef RPC_PUMP_H
#define RPC_PUMP_H

#include "loop/loop.h"
#include "rpc/guard.h"

enum { PUMP_CHUNK_BYTES = 32 * 1024 };

/* One of its two sockets, and what was read from the other and could not be written to this one. */
struct pump_end {
    struct poll_item item; /* first */
    struct pump *pump;
    struct pump_end *other;
    uint8_t *held; /* NULL when nothing is: at most PUMP_CHUNK_BYTES */
    size_t held_len, held_at;
    bool at_eof; /* nothing more can be read from it */
};

struct pump {
    struct loop *loop;
    struct pump_end outer, inner;
    struct guard guard;
    bool running;
    /* The guard has seen more of the client: may it be passed on? May be NULL; set it before
     * pump_start(). */
    bool (*may_pass)(struct pump *pump, struct err *err);
    void (*on_end)(struct pump *pump, const struct err *why);
};

/* `pump` is zeroed but for may_pass. Starts between `outer`, the caller's, and `inner`, whose other
 * end gRPC has; both must be non-blocking and are the pump's from success on. on_end comes once,
 * unless pump_stop() is first: when either side has closed, with code ERR_OK, or when the guard
 * refused (ERR_RPC_PROTOCOL) or memory lacks; both sockets are closed by then. ERR_SYSTEM. */
enum err_code pump_start(struct pump *pump, struct loop *loop, int outer, int inner,
                         void (*on_end)(struct pump *, const struct err *), struct err *err);
/* Closes both sockets; bytes on the way are lost. Again, it does nothing. */
void pump_stop(struct pump *pump);

#endif
