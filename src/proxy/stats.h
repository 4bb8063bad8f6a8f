/* What the proxy counts, by the names that Istio's dashboards read and some of our own. Every
 * worker has a struct stats of its own and writes it alone; the registry adds them up. */
#ifndef STATS_H
#define STATS_H

#include "admin/metrics.h"
#include "proxy/conn.h"

enum stats_table {
    STATS_TCP,         /* Istio's names and labels */
    STATS_FAILED,      /* Istio's, by reason */
    STATS_HANDSHAKE,   /* TLS handshakes that failed, by reason */
    STATS_REFUSED,     /* connections that ended before they were relayed, by reason */
    STATS_GAUGES,      /* connections now */
    STATS_DRY_RUN,     /* connections that a dry-run policy would have denied */
    STATS_WAITS,       /* clients outside the mesh that were silent for plaintext_wait_ms */
    STATS_CERTIFICATE, /* requests for a certificate, by result */
    STATS_LINK,        /* links to the control plane that failed, by reason */
    STATS_STREAM,      /* xDS streams that ended, by reason */
    STATS_TABLE_COUNT,
};

enum stats_tcp { STATS_OPENED, STATS_CLOSED, STATS_SENT, STATS_RECEIVED };
enum stats_gauge { STATS_OPEN, STATS_HELD, STATS_HANDSHAKES, STATS_UNPROVEN };

struct stats {
    struct metrics_shard *shard;
    struct metrics_row *gauges[2]; /* by enum conn_direction */
};

/* The registry of all workers and main. ERR_NO_MEMORY. */
enum err_code stats_new(struct metrics **registry, struct err *err);
/* One thread's part of it. ERR_NO_MEMORY. */
enum err_code stats_init(struct stats *stats, struct metrics *registry, struct err *err);

/* The row for a connection: `flags` is "-" or the label of the reason it ended for. */
struct metrics_row *stats_tcp_row(struct stats *stats, const struct conn *conn, const char *own_id,
                                  const char *flags);
/* A connection failed, at any moment of its life. */
void stats_failed(struct stats *stats, const struct conn *conn, const char *own_id,
                  enum err_code code);
void stats_handshake_failed(struct stats *stats, enum conn_direction direction, enum err_code code);
void stats_refused(struct stats *stats, enum conn_direction direction, enum err_code code);
void stats_dry_run(struct stats *stats, const char *policy);
void stats_plaintext_wait(struct stats *stats);
void stats_gauge_add(struct stats *stats, enum conn_direction direction, enum stats_gauge gauge,
                     int amount);

/* main's: a request for a certificate ended, a link or a stream to the control plane failed. */
void stats_certificate(struct stats *stats, enum err_code code);
void stats_link_failed(struct stats *stats, enum err_code code);
void stats_stream_ended(struct stats *stats, enum err_code code);

/* "source" for outbound, "destination" for inbound. */
const char *stats_reporter(enum conn_direction direction);

#endif
