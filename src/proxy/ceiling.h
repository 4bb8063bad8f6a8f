/* How many connections the process may have: file descriptors decide, two for each. One direction
 * takes at most seven eighths of them, so that whoever floods one never takes the last eighth from
 * the other. Any thread; workers that count at the same moment may pass it by one each. */
#ifndef CEILING_H
#define CEILING_H

#include <stdatomic.h>

#include "proxy/conn.h"

struct ceiling {
    atomic_int live[2]; /* by enum conn_direction */
    int max;            /* both together */
    int share;          /* the most that one direction may have */
};

/* `max` connections in all; at least 1. */
void ceiling_init(struct ceiling *ceiling, int max);
/* Counts a connection in. ERR_BUSY says which of the two limits is reached, and then nothing is
 * counted. */
enum err_code ceiling_take(struct ceiling *ceiling, enum conn_direction direction, struct err *err);
void ceiling_give(struct ceiling *ceiling, enum conn_direction direction);
/* How many more there may be of `direction`. */
int ceiling_room(struct ceiling *ceiling, enum conn_direction direction);
/* Connections now, in both directions. */
int ceiling_live(struct ceiling *ceiling);

#endif
