/* Counters and gauges, written by many threads without a lock and read by one.
 *
 * A table is a set of label names and the families (metric names) that share them; a row is one
 * combination of label values with one cell for each family. Every writing thread owns a shard: it
 * looks a row up once (at the start of a connection, say), keeps the pointer for as long as the
 * registry lives, and adds to its cells with a relaxed store. A scrape walks the append-only lists
 * of rows of all shards and sums rows with equal label values. */
#ifndef METRICS_H
#define METRICS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "base/err.h"

struct exposition;

enum metrics_type { METRICS_COUNTER, METRICS_GAUGE };

enum {
    METRICS_LABELS_MAX = 24,    /* label names of a table */
    METRICS_VALUE_MAX = 256,    /* bytes of a label value; longer ones are cut */
    METRICS_ROWS_MAX = 1024,    /* rows of one table in one shard; the rest share the row "other" */
    METRICS_COLLECTORS_MAX = 32 /* callbacks of a registry */
};

struct metrics_family {
    const char *name; /* "istio_tcp_sent_bytes_total" */
    enum metrics_type type;
    const char *help;
};

/* Static: the registry borrows it. Family names are unique over all tables of a registry. */
struct metrics_table {
    const struct metrics_family *families;
    unsigned family_count; /* at least 1 */
    const char *const *labels;
    unsigned label_count; /* 0: the table has a single row */
    bool omit_zero;       /* leave cells at 0 out of the exposition */
};

/* One row of one shard. Written by the shard's thread only. */
struct metrics_row {
    struct metrics_row *next;        /* the scraper's list; fixed once published */
    struct metrics_row *bucket_next; /* the owner's hash chain */
    const char *key;                 /* the label values, each with its null */
    uint32_t key_len, hash;
    uint64_t cells[]; /* one for each family; a gauge's is an int64_t */
};

struct metrics;
struct metrics_shard;

/* A registry for `tables` (borrowed, must outlive it). ERR_NO_MEMORY. One owner, metrics_free. */
enum err_code metrics_new(struct metrics **out, const struct metrics_table *tables, unsigned count,
                          struct err *err);
/* Frees the registry, its shards and rows. No thread may use any of them any more. */
void metrics_free(struct metrics *metrics);

/* A new shard for one writing thread; any thread may call it, at any time. It lives until
 * metrics_free: what a thread counted outlives the thread. ERR_NO_MEMORY. */
enum err_code metrics_shard_new(struct metrics_shard **out, struct metrics *metrics,
                                struct err *err);

/* The row of table number `table` with these label values (label_count of them, borrowed; NULL for
 * a table without labels). NULL and "" are written "unknown", as Istio does; values are cut at
 * METRICS_VALUE_MAX. Never NULL: at the ceiling, or without memory, it is the row whose values are
 * all "other", and handfast_metrics_rows_refused_total counts it. The shard's thread only. */
struct metrics_row *metrics_row(struct metrics_shard *shard, unsigned table,
                                const char *const *values);

/* Adds `amount` to the cell of family number `family` of the row's table. No lock, no allocation.
 * The shard's thread only. */
static inline void metrics_add(struct metrics_row *row, unsigned family, uint64_t amount)
{
    uint64_t now = __atomic_load_n(&row->cells[family], __ATOMIC_RELAXED);
    __atomic_store_n(&row->cells[family], now + amount, __ATOMIC_RELAXED);
}

/* Takes `amount` from a gauge; as metrics_add. */
static inline void metrics_sub(struct metrics_row *row, unsigned family, uint64_t amount)
{
    metrics_add(row, family, (uint64_t)0 - amount);
}

/* Registers a callback that writes samples of its own at every scrape (see exposition.h). Call it
 * before the first scrape. The callback runs on the scraping thread. ERR_BUSY over
 * METRICS_COLLECTORS_MAX. */
enum err_code metrics_collect(struct metrics *metrics,
                              void (*collect)(void *arg, struct exposition *text), void *arg,
                              struct err *err);

/* The sum over all shards of one cell, 0 when no shard has such a row. For tests and for status
 * pages; any thread. */
uint64_t metrics_sum(const struct metrics *metrics, unsigned table, unsigned family,
                     const char *const *values);

/* Everything as Prometheus text 0.0.4 into *text (malloc'd, the caller frees; a null follows).
 * ERR_NO_MEMORY, ERR_TOO_LARGE over EXPOSITION_MAX. One thread at a time. */
enum err_code metrics_render(const struct metrics *metrics, char **text, size_t *len,
                             struct err *err);

#endif
