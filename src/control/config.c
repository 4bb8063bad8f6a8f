#include "control/config.h"

#include <stdio.h>
#include <string.h>

#include "base/options.h"
#include "control/issue.h"

static enum err_code add_listen(void *arg, const char *value, struct err *err)
{
    struct config *config = arg;
    if (config->listen_count == LISTENERS_MAX)
        return err_set(err, ERR_USAGE, "at most %d addresses", LISTENERS_MAX);
    if (!addr_port_parse(&config->listen[config->listen_count++], value))
        return err_set(err, ERR_USAGE,
                       "'%.60s' is not an address and a port (10.0.0.1:15012, [::]:15012)", value);
    return ERR_OK;
}

static enum err_code add_dns_name(void *arg, const char *value, struct err *err)
{
    struct config *config = arg;
    if (config->dns_count == CA_DNS_NAMES_MAX)
        return err_set(err, ERR_USAGE, "at most %d names", CA_DNS_NAMES_MAX);
    config->dns_names[config->dns_count++] = value;
    return ERR_OK;
}

static enum err_code set_log_format(void *arg, const char *value, struct err *err)
{
    struct config *config = arg;
    bool json = strcmp(value, "json") == 0;
    if (!json && strcmp(value, "text") != 0)
        return err_set(err, ERR_USAGE, "'%.20s' is not text or json", value);
    config->log_format = json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT;
    return ERR_OK;
}

static enum err_code set_log_level(void *arg, const char *value, struct err *err)
{
    struct config *config = arg;
    if (!log_level_parse(value, &config->log_level))
        return err_set(err, ERR_USAGE, "'%.20s' is not error, warn, info or debug", value);
    return ERR_OK;
}

static enum err_code set_source(void *arg, const char *value, struct err *err)
{
    struct config *config = arg;
    config->kubernetes = strcmp(value, "kubernetes") == 0;
    if (!config->kubernetes && strcmp(value, "file") != 0)
        return err_set(err, ERR_USAGE, "'%.20s' is not file or kubernetes", value);
    return ERR_OK;
}

enum { OPTIONS = 20 };

static void make_options(struct config *config, struct option_spec options[OPTIONS])
{
    const struct option_spec table[OPTIONS] = {
        OPT_STR("mesh", "FILE", &config->mesh, "HANDFAST_MESH",
                "what the mesh consists of (see deploy/standalone)"),
        OPT_STR("state", "DIR", &config->state, "HANDFAST_STATE",
                "the authority's keys and certificates; made at the first start"),
        OPT_CALL("source", "file|kubernetes", set_source, config,
                 "where the mesh is found: in --mesh, or in a cluster (default file)"),
        OPT_STR("kubeconfig", "FILE", &config->kubeconfig, NULL,
                "how to reach the cluster; without it, as the pod that this is"),
        OPT_STR("namespace", "NAME", &config->ns, "POD_NAMESPACE",
                "where this is installed; policies there hold for the whole mesh"),
        OPT_STR("trust-domain", "NAME", &config->trust_domain, NULL, "of a cluster's mesh"),
        OPT_STR("ca-secret", "NAME", &config->ca_secret, NULL,
                "issuing certificate that somebody else keeps (tls.crt, tls.key, ca.crt)"),
        OPT_STR("injector-dns-name", "NAME", &config->injector_dns_name, NULL,
                "make the injector a certificate of this name"),
        OPT_FLAG("istio-policies", &config->istio_policies,
                 "also obey the policies of security.istio.io"),
        OPT_CALL("listen", "ADDR:PORT", add_listen, config,
                 "where proxies call; repeatable (default 0.0.0.0:15012 and [::]:15012)"),
        OPT_INT("metrics-port", "PORT", &config->metrics_port, 0, 65535, NULL,
                "/metrics and /healthz; 0 takes any"),
        OPT_INT("certificate-ttl-s", "SECONDS", &config->ttl_s, 1, CA_LEAF_TTL_MAX_S, NULL,
                "life of a certificate when the proxy asks for none"),
        OPT_INT("max-certificate-ttl-s", "SECONDS", &config->ttl_max_s, 1, CA_LEAF_TTL_MAX_S, NULL,
                "a longer life is refused"),
        OPT_STR("audience", "NAME", &config->audience, NULL, "audience that a token must have"),
        OPT_CALL("dns-name", "NAME", add_dns_name, config,
                 "name in the certificate of port 15012; repeatable (default "
                 "handfast-control.handfast-system.svc)"),
        OPT_STR("cluster-id", "NAME", &config->cluster_id, NULL,
                "cluster that callers must name, if any"),
        OPT_CALL("log-format", "text|json", set_log_format, config,
                 "how log lines look (default text)"),
        OPT_CALL("log-level", "LEVEL", set_log_level, config,
                 "error, warn, info or debug (default info)"),
        OPT_FLAG("version", &config->version, "print the version and exit"),
        OPT_END,
    };
    memcpy(options, table, sizeof table);
}

void config_defaults(struct config *config)
{
    *config = (struct config){.audience = "handfast",
                              .cluster_id = "Kubernetes",
                              .trust_domain = "cluster.local",
                              .metrics_port = 15014,
                              .ttl_s = 86400,
                              .ttl_max_s = 7 * 86400,
                              .issue_deadline_ms = ISSUE_DEADLINE_MS,
                              .limits = {.handshake_ms = LISTENER_HANDSHAKE_MS,
                                         .unproven_ms = LISTENER_UNPROVEN_MS,
                                         .idle_ms = LISTENER_IDLE_MS,
                                         .evict_ms = LISTENER_EVICT_MS,
                                         .handshakes = LISTENER_HANDSHAKES_MAX,
                                         .per_address = LISTENER_PER_ADDRESS_MAX},
                              .log_format = LOG_FORMAT_TEXT,
                              .log_level = LOG_LEVEL_INFO};
}

enum err_code config_parse(struct config *config, int argc, char **argv, struct err *err)
{
    struct option_spec options[OPTIONS];
    const char *words[1];
    unsigned count = 1;
    config_defaults(config);
    make_options(config, options);
    if (options_parse(options, argc, argv, words, &count, err) != ERR_OK)
        return err->code;
    if (config->version)
        return ERR_OK;
    config->check = count == 1 && strcmp(words[0], "check") == 0;
    if (count == 1 && !config->check)
        return err_set(err, ERR_USAGE, "unexpected argument '%.60s'", words[0]);
    if (config->kubernetes && (config->mesh || config->state || config->check))
        return err_set(err, ERR_USAGE, "--mesh and --state do not go with --source kubernetes");
    if (!config->mesh && !config->kubernetes)
        return err_set(err, ERR_USAGE, "--mesh FILE is missing");
    if (!config->state && !config->check && !config->kubernetes)
        return err_set(err, ERR_USAGE, "--state DIR is missing");
    if (config->ttl_max_s < config->ttl_s)
        config->ttl_max_s = config->ttl_s;
    if (config->listen_count == 0) {
        add_listen(config, "0.0.0.0:15012", err);
        add_listen(config, "[::]:15012", err);
    }
    if (config->dns_count == 0)
        add_dns_name(config, "handfast-control.handfast-system.svc", err);
    return ERR_OK;
}

void config_print_help(void)
{
    struct config config;
    struct option_spec options[OPTIONS];
    config_defaults(&config);
    make_options(&config, options);
    printf("handfast-control: the control plane: certificate authority and delta-xDS server\n\n"
           "  handfast-control --mesh FILE --state DIR [options]\n"
           "  handfast-control --source kubernetes [--kubeconfig FILE] [options]\n"
           "  handfast-control check --mesh FILE     reads the file and names every mistake\n\n");
    options_print(options);
}
