/* What the command line says, checked, and never changed after the start. Any thread. */
#ifndef CONFIG_H
#define CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/log.h"
#include "tls/spiffe.h"

enum {
    CONFIG_POD_IPS_MAX = 8,
    CONFIG_HOST_MAX = 256,
    CONFIG_PORT_TEXT_MAX = 8,
    CONFIG_WORKERS_MAX = 64,
};

enum access_mode { ACCESS_TEXT, ACCESS_JSON, ACCESS_OFF };

struct config {
    /* who we are */
    const char *pod_name, *ns, *service_account, *trust_domain, *cluster_id;
    struct addr pod_ips[CONFIG_POD_IPS_MAX];
    unsigned pod_ip_count;
    struct spiffe_id id;

    /* the control plane */
    const char *control, *control_name, *control_ca, *token_file;
    char control_host[CONFIG_HOST_MAX], control_port[CONFIG_PORT_TEXT_MAX];
    int64_t certificate_ttl_s; /* 0: the server's default */

    /* ports, threads, files */
    int64_t workers; /* 0: by CPU quota */
    int64_t outbound_port, inbound_port, metrics_port, health_port;
    const char *admin_socket;
    const char *app_probes; /* see probe_table.h; NULL: none */

    /* deadlines */
    int64_t handshake_timeout_ms, connect_timeout_ms, user_timeout_ms, hold_ms, plaintext_wait_ms;
    int64_t drain_ms;

    /* logs */
    const char *access_log, *log_format, *log_level;
    enum access_mode access;
    enum log_format format;
    enum log_level level;
    bool version, probe_control;
};

/* Defaults, then the environment, then argv. Strings are borrowed from argv and the environment.
 * ERR_USAGE. */
enum err_code config_parse(struct config *config, int argc, char **argv, struct err *err);
/* The help text, to stdout. */
void config_print_help(void);
/* True when `ip` is one of the pod's own addresses. */
bool config_is_pod_ip(const struct config *config, const struct addr *ip);

#endif
