/* The application's own probes, which the injector has pointed at port 15021: what to do for each
 * path. Made once at the start, then constant (but for `run`, the main loop's); any thread.
 *
 * The table is a JSON object, in the environment as HANDFAST_APP_PROBES:
 *
 *   {"/app-health/<container>/livez|readyz|startupz":
 *     {"kind": "http" | "https" | "tcp" | "grpc", "port": 1 to 65535, "timeout_s": 1 or more,
 *      http, https: "path": "/ok?x=1", "headers": [["Name", "value"], ...]
 *      grpc: "service": ""}, ...} */
#ifndef PROBE_TABLE_H
#define PROBE_TABLE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum {
    PROBE_TABLE_MAX_BYTES = 64 * 1024,
    PROBE_TABLE_MAX = 256,     /* probes of one pod */
    PROBE_TIMEOUT_MAX_S = 240, /* a longer one is cut to this; the kubelet's default is 1 */
    PROBE_SERVICE_MAX = 1024,  /* bytes of a gRPC service's name */
};

enum probe_kind { PROBE_HTTP, PROBE_HTTPS, PROBE_TCP, PROBE_GRPC };

struct probe_run;

struct probe {
    char *route; /* where the kubelet asks */
    enum probe_kind kind;
    uint16_t port;
    int64_t timeout_ms;
    char *path;    /* HTTP */
    char *headers; /* HTTP: whole lines, with those that the kubelet adds by itself */
    bool has_host; /* one of them is Host */
    char *service; /* gRPC */
    /* the main loop's: */
    struct probe_run *run; /* while it is being asked */
    unsigned waiting;      /* who wants that answer */
};

struct probe_table {
    struct probe *probes;
    unsigned count;
};

/* Parses `json`; NULL or "" is an empty table. ERR_INVALID says where it is wrong: the text comes
 * from the injector, so that is a fault. ERR_TOO_LARGE, ERR_NO_MEMORY. */
enum err_code probe_table_parse(struct probe_table *table, const char *json, struct err *err);
void probe_table_deinit(struct probe_table *table);
/* The probe of this route, or NULL. */
struct probe *probe_table_find(const struct probe_table *table, const char *route);

/* "http", "tcp"... */
const char *probe_kind_name(enum probe_kind kind);

#endif
