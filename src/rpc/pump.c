/* Happy path:  a socket is readable: read a chunk, let the guard see it, write it to the other one.
 * It slows down when the other one is full: the chunk is held, and nothing more is read from this
 * side until it is gone, so a pump holds one chunk each way at most. It ends by:
 *   - the end of either side: what it sent before is written first, if there is room for it at
 * once;
 *   - a refusal of the guard: nothing of that chunk goes to gRPC;
 *   - pump_stop. */
#include "rpc/pump.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { PUMP_TURNS = 16 }; /* chunks before others get a turn */

enum step { STEP_MORE, STEP_WAIT, STEP_END };

static void end_close(struct pump *pump, struct pump_end *end)
{
    int fd = end->item.fd;
    poll_item_remove(pump->loop, &end->item);
    if (fd >= 0)
        close(fd);
    free(end->held);
    end->held = NULL;
}

void pump_stop(struct pump *pump)
{
    if (!pump->running)
        return;
    pump->running = false;
    end_close(pump, &pump->outer);
    end_close(pump, &pump->inner);
}

static ssize_t write_some(const struct pump_end *end, const uint8_t *data, size_t len)
{
    ssize_t wrote = send(end->item.fd, data, len, MSG_NOSIGNAL);
    if (wrote < 0 && (errno == EAGAIN || errno == EINTR))
        return 0;
    return wrote;
}

static enum step write_held(struct pump_end *to)
{
    ssize_t wrote = write_some(to, to->held + to->held_at, to->held_len - to->held_at);
    if (wrote < 0)
        return STEP_END;
    to->held_at += (size_t)wrote;
    if (to->held_at < to->held_len)
        return STEP_WAIT;
    free(to->held);
    to->held = NULL;
    return STEP_MORE;
}

static enum step hold(struct pump_end *to, const uint8_t *data, size_t len, struct err *err)
{
    to->held = malloc(len);
    if (!to->held) {
        err_set(err, ERR_NO_MEMORY, "carry a gRPC connection: out of memory");
        return STEP_END;
    }
    memcpy(to->held, data, len);
    to->held_len = len;
    to->held_at = 0;
    return STEP_WAIT;
}

/* Moves one chunk out of `from`. */
static enum step move_chunk(struct pump_end *from, struct err *err)
{
    struct pump *pump = from->pump;
    struct pump_end *to = from->other;
    uint8_t chunk[PUMP_CHUNK_BYTES];
    if (to->held) {
        enum step step = write_held(to);
        if (step != STEP_MORE)
            return step;
    }
    ssize_t got = recv(from->item.fd, chunk, sizeof chunk, 0);
    if (got < 0 && errno == EINTR)
        return STEP_MORE;
    if (got < 0 && errno == EAGAIN)
        return STEP_WAIT;
    if (got <= 0) {
        from->at_eof = true;
        return STEP_END;
    }
    size_t len = (size_t)got;
    if (from == &pump->outer &&
        (guard_check(&pump->guard, chunk, len, clock_now_ms(), err) != ERR_OK ||
         (pump->may_pass && !pump->may_pass(pump, err))))
        return STEP_END;
    ssize_t wrote = write_some(to, chunk, len);
    if (wrote < 0)
        return STEP_END;
    return (size_t)wrote == len ? STEP_MORE : hold(to, chunk + wrote, len - (size_t)wrote, err);
}

/* False when the pump has ended. */
static bool move(struct pump_end *from, struct err *err)
{
    enum step step = STEP_MORE;
    for (int turn = 0; turn < PUMP_TURNS && step == STEP_MORE; turn++)
        step = move_chunk(from, err);
    if (step == STEP_MORE)
        poll_item_again(from->pump->loop, &from->item);
    return step != STEP_END;
}

static void on_events(struct poll_item *item, uint32_t events)
{
    (void)events;
    struct pump_end *end = (struct pump_end *)item;
    struct pump *pump = end->pump;
    struct err why = {.code = ERR_OK};
    /* Ready means both: there may be something to read here, and room for what is held. */
    bool goes_on = move(end, &why) && move(end->other, &why);
    if (goes_on)
        return;
    /* What gRPC said last (why it refuses the client) is in its socket, whoever ended first. */
    if (why.code == ERR_OK && !pump->outer.at_eof)
        while (!pump->inner.at_eof && move_chunk(&pump->inner, &why) == STEP_MORE)
            ;
    pump_stop(pump);
    pump->on_end(pump, &why);
}

static enum err_code end_open(struct pump *pump, struct pump_end *end, struct pump_end *other,
                              int fd, struct err *err)
{
    *end = (struct pump_end){.pump = pump, .other = other};
    return poll_item_add(pump->loop, &end->item, fd, on_events, err);
}

enum err_code pump_start(struct pump *pump, struct loop *loop, int outer, int inner,
                         void (*on_end)(struct pump *, const struct err *), struct err *err)
{
    pump->loop = loop;
    pump->on_end = on_end;
    guard_init(&pump->guard, clock_now_ms());
    enum err_code code = end_open(pump, &pump->outer, &pump->inner, outer, err);
    if (code != ERR_OK)
        return code;
    code = end_open(pump, &pump->inner, &pump->outer, inner, err);
    if (code != ERR_OK) {
        poll_item_remove(loop, &pump->outer.item);
        return code;
    }
    pump->running = true;
    return ERR_OK;
}
