#include "proxy/probe_run.h"

#include <stdlib.h>
#include <string.h>

#include "relay/socket.h"

enum { HEALTH_SERVICE = 1 << 3 | 2, HEALTH_STATUS = 1 << 3, HEALTH_SERVING = 1 };

/* The field `status` of a HealthCheckResponse; 0 (UNKNOWN) when it is not there. Later fields win,
 * as everywhere in protobuf; what has another shape ends the reading. */
static int parse_health(const uint8_t *bytes, size_t len)
{
    int status = 0;
    for (size_t at = 0; at + 1 < len; at += 2) {
        if (bytes[at] != HEALTH_STATUS || bytes[at + 1] > 0x7f)
            break;
        status = bytes[at + 1];
    }
    return status;
}

static void on_health(struct rpc_call *call, const void *data, size_t len, void *arg)
{
    struct probe_run *run = arg;
    (void)call;
    run->serving = parse_health(data, len);
}

static void on_health_end(struct rpc_call *call, int status, const char *message, void *arg)
{
    static const char *const words[] = {"UNKNOWN", "SERVING", "NOT_SERVING", "SERVICE_UNKNOWN"};
    struct probe_run *run = arg;
    struct err err;
    (void)call;
    run->call = NULL;
    if (run->answered) {
        struct probes *probes = run->probes;
        free(run);
        probes_gone(probes);
    } else if (status != RPC_OK) {
        err_set(&err, ERR_RPC_STATUS, "Health/Check: %s: %.200s", rpc_status_name(status), message);
        probe_run_fail(run, &err);
    } else if (run->serving != HEALTH_SERVING) {
        err_set(&err, ERR_RPC_STATUS, "Health/Check says %s, expected SERVING",
                run->serving >= 0 && run->serving < 4 ? words[run->serving] : "nothing");
        probe_run_fail(run, &err);
    } else {
        probe_run_finish(run, 200, "ok");
    }
}

/* A HealthCheckRequest; returns its length. */
static size_t format_health(const char *service, uint8_t out[PROBE_SERVICE_MAX + 8])
{
    size_t len = strlen(service), at = 0;
    if (len == 0)
        return 0;
    out[at++] = HEALTH_SERVICE;
    for (size_t rest = len; at == 1 || rest > 0; rest >>= 7)
        out[at++] = (uint8_t)((rest & 0x7f) | (rest > 0x7f ? 0x80 : 0));
    memcpy(out + at, service, len);
    return at + len;
}

void probe_health(struct probe_run *run, int fd)
{
    static const struct rpc_call_events events = {.on_message = on_health, .on_end = on_health_end};
    char authority[ADDR_TEXT_MAX];
    uint8_t request[PROBE_SERVICE_MAX + 8];
    size_t len = format_health(run->probe->service, request);
    struct err err = {0};
    run->serving = -1;
    socket_disarm(fd);
    run->channel =
        rpc_channel_new(run->probes->rpc, fd, addr_port_format(&run->target.at, authority), &err);
    if (!run->channel) {
        socket_close_reset(fd);
        probe_run_fail(run, &err);
        return;
    }
    run->stage = RUN_CALLING;
    run->call = rpc_call_start(run->channel, "/grpc.health.v1.Health/Check", NULL, 0,
                               run->probe->timeout_ms, &events, run, &err);
    if (!run->call || rpc_call_send(run->call, request, len) != ERR_OK) {
        if (run->call)
            err_set(&err, ERR_NO_MEMORY, "no memory for a call");
        probe_run_fail(run, &err);
        return;
    }
    rpc_call_half_close(run->call);
}
