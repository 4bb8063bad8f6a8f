#include "proxy/access.h"

#include <stdio.h>
#include <unistd.h>

#include "base/clock.h"

enum { ACCESS_NAME_MAX = 320 };

static const char *name_workload(const struct mesh_workload *workload, char name[ACCESS_NAME_MAX])
{
    if (!workload)
        return NULL;
    snprintf(name, ACCESS_NAME_MAX, "%s/%s", workload->namespace, workload->name);
    return name;
}

void access_write(const struct config *config, const struct conn *conn, const struct err *err)
{
    char source[ADDR_TEXT_MAX], target[ADDR_TEXT_MAX], original[ADDR_TEXT_MAX];
    char from[ACCESS_NAME_MAX], to[ACCESS_NAME_MAX], service[ACCESS_NAME_MAX];
    bool outbound = conn->direction == CONN_OUTBOUND, ok = err->code == ERR_OK;
    const char *own_id = conn->tls_used ? config->id.text : NULL;
    const char *peer_id = conn->peer ? conn->peer->id : NULL;
    uint64_t request = conn_request_bytes(conn), response = conn_response_bytes(conn);
    if (conn->service)
        snprintf(service, sizeof service, "%s/%s", conn->service->namespace, conn->service->name);
    const struct log_field fields[] = {
        F_STR("direction", outbound ? "outbound" : "inbound"),
        F_STR("source", conn->source_at.ip.len ? addr_port_format(&conn->source_at, source) : NULL),
        F_STR("destination", conn->target.ip.len ? addr_port_format(&conn->target, target) : NULL),
        F_STR("original_destination",
              conn->original.ip.len ? addr_port_format(&conn->original, original) : NULL),
        F_STR("source_workload", name_workload(conn->source, from)),
        F_STR("destination_workload", name_workload(conn->destination, to)),
        F_STR("service", conn->service ? service : NULL),
        F_STR("source_principal", outbound ? own_id : peer_id),
        F_STR("destination_principal", outbound ? peer_id : own_id),
        F_STR("security", conn->tls_used ? "mutual_tls" : "plaintext"),
        F_STR("tls_version", conn->tls_used ? "TLSv1.3" : NULL),
        F_STR("peer_serial", conn->peer ? conn->peer->serial : NULL),
        F_INT("bytes_sent", outbound ? request : response),
        F_INT("bytes_received", outbound ? response : request),
        F_INT("duration_ms", conn->started_ms ? clock_now_ms() - conn->started_ms : 0),
        F_STR("result", err_label(err->code)),
        F_STR("policy", conn->denial && conn->denial->policy[0] ? conn->denial->policy : NULL),
        F_STR("error", ok ? NULL : err->text),
    };
    if (config->access != ACCESS_OFF)
        log_access(STDOUT_FILENO, config->access == ACCESS_JSON ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT,
                   "connection", fields, sizeof fields / sizeof fields[0]);
    else if (!ok)
        LOG_LIMITED(LOG_LEVEL_WARN, 10, "connection_failed", fields[0], fields[1], fields[2],
                    fields[3], F_ERR(err));
}
