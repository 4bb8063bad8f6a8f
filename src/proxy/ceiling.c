#include "proxy/ceiling.h"

enum { CEILING_SHARES = 8 };

void ceiling_init(struct ceiling *ceiling, int max)
{
    *ceiling = (struct ceiling){.max = max, .share = max - max / CEILING_SHARES};
}

static int count(struct ceiling *ceiling, enum conn_direction direction)
{
    return atomic_load_explicit(&ceiling->live[direction], memory_order_relaxed);
}

enum err_code ceiling_take(struct ceiling *ceiling, enum conn_direction direction, struct err *err)
{
    const char *name = direction == CONN_INBOUND ? "inbound" : "outbound";
    int own = atomic_fetch_add_explicit(&ceiling->live[direction], 1, memory_order_relaxed);
    int all = own + count(ceiling, direction == CONN_INBOUND ? CONN_OUTBOUND : CONN_INBOUND);
    if (own < ceiling->share && all < ceiling->max)
        return ERR_OK;
    ceiling_give(ceiling, direction);
    if (own >= ceiling->share)
        return err_set(err, ERR_BUSY, "%d %s connections are open already, the most there may be",
                       own, name);
    return err_set(err, ERR_BUSY,
                   "%d connections are open already, the most there may be in both directions, "
                   "and %d of them are %s",
                   all, own, name);
}

void ceiling_give(struct ceiling *ceiling, enum conn_direction direction)
{
    atomic_fetch_sub_explicit(&ceiling->live[direction], 1, memory_order_relaxed);
}

int ceiling_room(struct ceiling *ceiling, enum conn_direction direction)
{
    int share = ceiling->share - count(ceiling, direction);
    int both = ceiling->max - ceiling_live(ceiling);
    return share < both ? share : both;
}

int ceiling_live(struct ceiling *ceiling)
{
    return count(ceiling, CONN_OUTBOUND) + count(ceiling, CONN_INBOUND);
}
