#include "proxy/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/options.h"

static const struct config defaults = {
    .trust_domain = "cluster.local",
    .cluster_id = "Kubernetes",
    .service_account = "default",
    .control_name = "handfast-control.handfast-system.svc",
    .outbound_port = 15001,
    .inbound_port = 15006,
    .metrics_port = 15020,
    .health_port = 15021,
    .admin_socket = "/run/handfast/admin.sock",
    .handshake_timeout_ms = 5000,
    .connect_timeout_ms = 10000,
    .user_timeout_ms = 60000,
    .hold_ms = 10000,
    .plaintext_wait_ms = 100,
    .drain_ms = 30000,
    .access_log = "text",
    .log_format = "text",
    .log_level = "info",
};

/* "A[,B]" */
static enum err_code take_pod_ips(void *arg, const char *value, struct err *err)
{
    struct config *config = arg;
    config->pod_ip_count = 0;
    for (const char *at = value;; at++) {
        char one[ADDR_TEXT_MAX];
        size_t len = strcspn(at, ",");
        if (config->pod_ip_count == CONFIG_POD_IPS_MAX)
            return err_set(err, ERR_USAGE, "more than %d addresses", CONFIG_POD_IPS_MAX);
        snprintf(one, sizeof one, "%.*s", (int)(len < sizeof one ? len : sizeof one), at);
        if (!addr_parse(&config->pod_ips[config->pod_ip_count], one))
            return err_set(err, ERR_USAGE, "'%s' is not an IP address", one);
        config->pod_ip_count++;
        at += len;
        if (!*at)
            return ERR_OK;
    }
}

enum { OPTION_ROWS_MAX = 40 };

/* The one table: it parses the options and prints the help. */
static void make_table(struct config *c, struct option_spec specs[OPTION_ROWS_MAX])
{
    const struct option_spec rows[] = {
        OPT_STR("pod-name", "NAME", &c->pod_name, "POD_NAME", "this pod's name"),
        OPT_STR("namespace", "NAME", &c->ns, "POD_NAMESPACE", "this pod's namespace"),
        OPT_STR("service-account", "NAME", &c->service_account, "SERVICE_ACCOUNT",
                "this pod's service account"),
        {.name = "pod-ip",
         .value = "A[,B]",
         .help = "this pod's addresses, IPv4 and IPv6",
         .env = "POD_IPS",
         .kind = OPTION_CALL,
         .to.call = take_pod_ips,
         .arg = c},
        OPT_STR("trust-domain", "NAME", &c->trust_domain, "TRUST_DOMAIN",
                "the mesh's trust domain"),
        OPT_STR("cluster-id", "NAME", &c->cluster_id, "CLUSTER_ID", "sent to the control plane"),
        OPT_STR("control", "HOST:PORT", &c->control, "HANDFAST_CONTROL",
                "where the control plane listens"),
        OPT_STR("control-name", "DNS", &c->control_name, "HANDFAST_CONTROL_NAME",
                "the name that the control plane's certificate must have"),
        OPT_STR("control-ca", "FILE", &c->control_ca, "HANDFAST_CONTROL_CA",
                "roots for the connection to the control plane, PEM; nothing else is trusted "
                "by them"),
        OPT_STR("token-file", "FILE", &c->token_file, "HANDFAST_TOKEN_FILE",
                "the bearer token; read again for every call"),
        OPT_INT("certificate-ttl-s", "SECONDS", &c->certificate_ttl_s, 0, 10 * 365 * 86400, NULL,
                "lifetime to ask for; 0 is the server's default"),
        OPT_INT("workers", "COUNT", &c->workers, 0, CONFIG_WORKERS_MAX, "HANDFAST_WORKERS",
                "worker threads; 0 is the CPU quota, at most 4"),
        OPT_INT("outbound-port", "PORT", &c->outbound_port, 0, 65535, NULL,
                "where captured outbound connections arrive"),
        OPT_INT("inbound-port", "PORT", &c->inbound_port, 0, 65535, NULL,
                "where captured inbound connections arrive"),
        OPT_INT("metrics-port", "PORT", &c->metrics_port, 0, 65535, NULL, "/metrics"),
        OPT_INT("health-port", "PORT", &c->health_port, 0, 65535, NULL,
                "/healthz/ready, /app-health/..."),
        OPT_STR("admin-socket", "PATH", &c->admin_socket, "HANDFAST_ADMIN_SOCKET",
                "Unix socket for the handfast command"),
        OPT_STR("app-probes", "JSON", &c->app_probes, "HANDFAST_APP_PROBES",
                "probes of the application that are asked for at the health port"),
        OPT_INT("handshake-timeout-ms", "MS", &c->handshake_timeout_ms, 1, 3600000, NULL,
                "deadline for a TLS handshake"),
        OPT_INT("connect-timeout-ms", "MS", &c->connect_timeout_ms, 1, 3600000, NULL,
                "deadline for a TCP connect"),
        OPT_INT("user-timeout-ms", "MS", &c->user_timeout_ms, 1000, 3600000, NULL,
                "a peer that acknowledges nothing for this long is gone"),
        OPT_INT("hold-ms", "MS", &c->hold_ms, 0, 3600000, NULL,
                "how long a connection waits for certificate, configuration or policy"),
        OPT_INT("plaintext-wait-ms", "MS", &c->plaintext_wait_ms, 0, 60000, NULL,
                "how long a client outside the mesh may be silent before it counts as plaintext"),
        OPT_INT("drain-ms", "MS", &c->drain_ms, 0, 86400000, NULL, "grace period after SIGTERM"),
        OPT_STR("access-log", "text|json|off", &c->access_log, NULL,
                "one line for each connection's end, on stdout"),
        OPT_STR("log-format", "text|json", &c->log_format, NULL, "the log, on stderr"),
        OPT_STR("log-level", "LEVEL", &c->log_level, NULL, "error, warn, info or debug"),
        OPT_FLAG("probe-control", &c->probe_control,
                 "get one certificate, print it and exit: 0, or 1 and the reason"),
        OPT_FLAG("version", &c->version, "print the version and exit"),
        OPT_END,
    };
    _Static_assert(sizeof rows / sizeof rows[0] <= OPTION_ROWS_MAX, "the table is too small");
    memcpy(specs, rows, sizeof rows);
}

static enum err_code check_logs(struct config *config, struct err *err)
{
    static const char *const modes[] = {"text", "json", "off"};
    unsigned mode = 0;
    while (mode < 3 && strcmp(config->access_log, modes[mode]) != 0)
        mode++;
    if (mode == 3)
        return err_set(err, ERR_USAGE, "--access-log: '%.40s' is not text, json or off",
                       config->access_log);
    config->access = (enum access_mode)mode;
    if (strcmp(config->log_format, "json") == 0)
        config->format = LOG_FORMAT_JSON;
    else if (strcmp(config->log_format, "text") != 0)
        return err_set(err, ERR_USAGE, "--log-format: '%.40s' is not text or json",
                       config->log_format);
    if (!log_level_parse(config->log_level, &config->level))
        return err_set(err, ERR_USAGE, "--log-level: '%.40s' is not error, warn, info or debug",
                       config->log_level);
    return ERR_OK;
}

/* "host:port", "10.0.0.1:port" or "[fd00::1]:port" */
static enum err_code split_control(struct config *config, struct err *err)
{
    const char *text = config->control, *colon = strrchr(text, ':');
    size_t host_len = colon ? (size_t)(colon - text) : 0;
    if (host_len > 1 && text[0] == '[' && text[host_len - 1] == ']') {
        text++;
        host_len -= 2;
    } else if (host_len && memchr(text, ':', host_len)) {
        host_len = 0;
    }
    char *end;
    long port = colon ? strtol(colon + 1, &end, 10) : 0;
    if (!host_len || host_len >= CONFIG_HOST_MAX || port < 1 || port > 65535 || *end)
        return err_set(err, ERR_USAGE, "--control: '%.80s' is not HOST:PORT", config->control);
    memcpy(config->control_host, text, host_len);
    config->control_host[host_len] = 0;
    snprintf(config->control_port, sizeof config->control_port, "%ld", port);
    return ERR_OK;
}

static enum err_code check_required(const struct config *config, struct err *err)
{
    const struct {
        const char *option, *value;
    } required[] = {
        {"pod-name", config->pod_name},     {"namespace", config->ns},
        {"control", config->control},       {"control-ca", config->control_ca},
        {"token-file", config->token_file},
    };
    for (unsigned i = 0; i < sizeof required / sizeof required[0]; i++) {
        if (!required[i].value || !*required[i].value)
            return err_set(err, ERR_USAGE, "--%s is missing", required[i].option);
    }
    if (config->pod_ip_count == 0)
        return err_set(err, ERR_USAGE, "--pod-ip is missing");
    return ERR_OK;
}

enum err_code config_parse(struct config *config, int argc, char **argv, struct err *err)
{
    struct option_spec specs[OPTION_ROWS_MAX];
    *config = defaults;
    make_table(config, specs);
    if (options_parse(specs, argc, argv, NULL, NULL, err) != ERR_OK)
        return ERR_USAGE;
    if (config->version)
        return ERR_OK;
    if (check_required(config, err) != ERR_OK || check_logs(config, err) != ERR_OK ||
        split_control(config, err) != ERR_OK)
        return ERR_USAGE;
    if (config->outbound_port == config->inbound_port && config->inbound_port != 0)
        return err_set(err, ERR_USAGE, "--outbound-port and --inbound-port are both %lld",
                       (long long)config->inbound_port);
    if (!spiffe_make(&config->id, config->trust_domain, config->ns, config->service_account))
        return err_set(err, ERR_USAGE,
                       "--trust-domain '%.80s', --namespace '%.80s' and --service-account '%.80s' "
                       "do not make a SPIFFE ID",
                       config->trust_domain, config->ns, config->service_account);
    return ERR_OK;
}

void config_print_help(void)
{
    struct config config = defaults;
    struct option_spec specs[OPTION_ROWS_MAX];
    make_table(&config, specs);
    printf("handfast-proxy " HANDFAST_VERSION ": the sidecar: upgrades the pod's TCP to mutual "
           "TLS\n\nusage: handfast-proxy --pod-name NAME --namespace NAME --pod-ip A[,B]\n"
           "                      --control HOST:PORT --control-ca FILE --token-file FILE "
           "[options]\n\n");
    options_print(specs);
}

bool config_is_pod_ip(const struct config *config, const struct addr *ip)
{
    for (unsigned i = 0; i < config->pod_ip_count; i++) {
        if (addr_equal(&config->pod_ips[i], ip))
            return true;
    }
    return false;
}
