#include "proxy/stats.h"

/* Istio's label set, in the order of stats_labels below. */
static const char *const tcp_labels[] = {
    "reporter",
    "source_workload",
    "source_canonical_service",
    "source_canonical_revision",
    "source_workload_namespace",
    "source_principal",
    "source_app",
    "source_version",
    "source_cluster",
    "destination_service",
    "destination_service_namespace",
    "destination_service_name",
    "destination_workload",
    "destination_canonical_service",
    "destination_canonical_revision",
    "destination_workload_namespace",
    "destination_principal",
    "destination_app",
    "destination_version",
    "destination_cluster",
    "request_protocol",
    "response_flags",
    "connection_security_policy",
};
enum { TCP_LABELS = sizeof tcp_labels / sizeof tcp_labels[0] };
_Static_assert((int)TCP_LABELS <= (int)METRICS_LABELS_MAX, "too many labels");

/* As Istio counts, both reporters alike: sent is what the server sent. (The access log's view is
 * its own pod's.) */
static const struct metrics_family tcp_families[] = {
    {"istio_tcp_connections_opened_total", METRICS_COUNTER, "Connections that were relayed."},
    {"istio_tcp_connections_closed_total", METRICS_COUNTER, "Relayed connections that ended."},
    {"istio_tcp_sent_bytes_total", METRICS_COUNTER, "Bytes of responses."},
    {"istio_tcp_received_bytes_total", METRICS_COUNTER, "Bytes of requests."},
};
static const struct metrics_family failed_families[] = {
    {"istio_tcp_connections_failed_total", METRICS_COUNTER,
     "Connections that did not end cleanly; response_flags is the reason."},
};
static const char *const reason_labels[] = {"reporter", "reason"};
static const struct metrics_family handshake_families[] = {
    {"handfast_tls_handshake_failures_total", METRICS_COUNTER, "TLS handshakes that failed."},
};
static const struct metrics_family refused_families[] = {
    {"handfast_connections_refused_total", METRICS_COUNTER,
     "Connections that ended before a byte was relayed."},
};
static const char *const reporter_labels[] = {"reporter"};
static const struct metrics_family gauge_families[] = {
    {"handfast_connections_open", METRICS_GAUGE, "Connections that exist now."},
    {"handfast_connections_held", METRICS_GAUGE,
     "Connections that wait for a certificate, configuration or policy."},
    {"handfast_tls_handshakes", METRICS_GAUGE, "TLS handshakes that are under way."},
    {"handfast_connections_unproven", METRICS_GAUGE,
     "Inbound connections that have not proven yet who they are."},
};
static const char *const policy_labels[] = {"policy"};
static const struct metrics_family dry_run_families[] = {
    {"handfast_policy_dry_run_denials_total", METRICS_COUNTER,
     "Connections that a dry-run policy would have denied."},
};
static const struct metrics_family wait_families[] = {
    {"handfast_plaintext_waits_total", METRICS_COUNTER,
     "Clients outside the mesh that said nothing for the whole plaintext wait."},
};

static const char *const result_labels[] = {"result"};
static const struct metrics_family certificate_families[] = {
    {"handfast_certificate_requests_total", METRICS_COUNTER,
     "Requests for a certificate, by result."},
};
static const struct metrics_family link_families[] = {
    {"handfast_control_link_failures_total", METRICS_COUNTER,
     "Connections to the control plane that failed or ended, by reason."},
};
static const struct metrics_family stream_families[] = {
    {"handfast_xds_streams_ended_total", METRICS_COUNTER, "xDS streams that ended, by reason."},
};

#define TABLE(families_, labels_)                                                                  \
    {                                                                                              \
        .families = families_, .family_count = sizeof families_ / sizeof families_[0],             \
        .labels = labels_, .label_count = sizeof labels_ / sizeof labels_[0]                       \
    }
static const struct metrics_table tables[STATS_TABLE_COUNT] = {
    [STATS_TCP] = TABLE(tcp_families, tcp_labels),
    [STATS_FAILED] = TABLE(failed_families, tcp_labels),
    [STATS_HANDSHAKE] = TABLE(handshake_families, reason_labels),
    [STATS_REFUSED] = TABLE(refused_families, reason_labels),
    [STATS_GAUGES] = TABLE(gauge_families, reporter_labels),
    [STATS_DRY_RUN] = TABLE(dry_run_families, policy_labels),
    [STATS_CERTIFICATE] = TABLE(certificate_families, result_labels),
    [STATS_LINK] = TABLE(link_families, result_labels),
    [STATS_STREAM] = TABLE(stream_families, result_labels),
    [STATS_WAITS] = {.families = wait_families, .family_count = 1},
};

const char *stats_reporter(enum conn_direction direction)
{
    return direction == CONN_OUTBOUND ? "source" : "destination";
}

enum err_code stats_new(struct metrics **registry, struct err *err)
{
    return metrics_new(registry, tables, STATS_TABLE_COUNT, err);
}

enum err_code stats_init(struct stats *stats, struct metrics *registry, struct err *err)
{
    if (metrics_shard_new(&stats->shard, registry, err) != ERR_OK)
        return err->code;
    for (int i = 0; i < 2; i++) {
        const char *reporter = stats_reporter((enum conn_direction)i);
        stats->gauges[i] = metrics_row(stats->shard, STATS_GAUGES, &reporter);
    }
    return ERR_OK;
}

/* The eight labels of one end. The app and version labels of the pod do not travel: the canonical
 * ones are made from them. */
static void put_end(const char **values, const struct mesh_workload *workload,
                    const char *principal)
{
    if (workload) {
        const char *owner = workload->workload_name;
        const char *canonical = workload->canonical_name;
        values[0] = owner[0] ? owner : workload->name;
        values[1] = values[5] = canonical[0] ? canonical : values[0];
        values[2] = values[6] = workload->canonical_revision;
        values[3] = workload->namespace;
        values[7] = workload->cluster;
    }
    values[4] = principal;
}

static void fill_tcp(const char *values[TCP_LABELS], const struct conn *conn, const char *own_id,
                     const char *flags)
{
    bool outbound = conn->direction == CONN_OUTBOUND;
    const char *own = conn->tls_used ? own_id : NULL, *peer = conn->peer ? conn->peer->id : NULL;
    values[0] = stats_reporter((enum conn_direction)conn->direction);
    put_end(values + 1, conn->source, outbound ? own : peer);
    if (conn->service) {
        values[9] = conn->service->hostname;
        values[10] = conn->service->namespace;
        values[11] = conn->service->name;
    }
    put_end(values + 12, conn->destination, outbound ? peer : own);
    values[20] = "tcp";
    values[21] = flags;
    values[22] = conn->tls_used ? "mutual_tls" : "unknown";
}

struct metrics_row *stats_tcp_row(struct stats *stats, const struct conn *conn, const char *own_id,
                                  const char *flags)
{
    const char *values[TCP_LABELS] = {0};
    fill_tcp(values, conn, own_id, flags);
    return metrics_row(stats->shard, STATS_TCP, values);
}

void stats_failed(struct stats *stats, const struct conn *conn, const char *own_id,
                  enum err_code code)
{
    const char *values[TCP_LABELS] = {0};
    fill_tcp(values, conn, own_id, err_label(code));
    metrics_add(metrics_row(stats->shard, STATS_FAILED, values), 0, 1);
}

static void count_reason(struct stats *stats, enum stats_table table, enum conn_direction direction,
                         enum err_code code)
{
    const char *values[] = {stats_reporter(direction), err_label(code)};
    metrics_add(metrics_row(stats->shard, table, values), 0, 1);
}

void stats_handshake_failed(struct stats *stats, enum conn_direction direction, enum err_code code)
{
    count_reason(stats, STATS_HANDSHAKE, direction, code);
}

void stats_refused(struct stats *stats, enum conn_direction direction, enum err_code code)
{
    count_reason(stats, STATS_REFUSED, direction, code);
}

void stats_dry_run(struct stats *stats, const char *policy)
{
    metrics_add(metrics_row(stats->shard, STATS_DRY_RUN, &policy), 0, 1);
}

void stats_plaintext_wait(struct stats *stats)
{
    metrics_add(metrics_row(stats->shard, STATS_WAITS, NULL), 0, 1);
}

void stats_gauge_add(struct stats *stats, enum conn_direction direction, enum stats_gauge gauge,
                     int amount)
{
    metrics_add(stats->gauges[direction], gauge, (uint64_t)(int64_t)amount);
}

static void count_result(struct stats *stats, enum stats_table table, enum err_code code)
{
    const char *result = err_label(code);
    metrics_add(metrics_row(stats->shard, table, &result), 0, 1);
}

void stats_certificate(struct stats *stats, enum err_code code)
{
    count_result(stats, STATS_CERTIFICATE, code);
}

void stats_link_failed(struct stats *stats, enum err_code code)
{
    count_result(stats, STATS_LINK, code);
}

void stats_stream_ended(struct stats *stats, enum err_code code)
{
    count_result(stats, STATS_STREAM, code);
}
