#include "injector/config.h"

#include <stdio.h>
#include <string.h>

enum { OWN_OPTIONS_MAX = 16 };

static enum err_code add_listen(void *arg, const char *text, struct err *err)
{
    struct injector_config *config = arg;
    if (config->listen_count == GATE_SOCKETS_MAX)
        return err_set(err, ERR_USAGE, "more than %d addresses", GATE_SOCKETS_MAX);
    if (!addr_port_parse(&config->listen[config->listen_count], text))
        return err_set(err, ERR_USAGE, "'%.60s' is not ADDRESS:PORT", text);
    config->listen_count++;
    return ERR_OK;
}

/* The one table: it parses the options and prints the help. */
static void make_table(struct injector_config *c,
                       struct option_spec specs[OWN_OPTIONS_MAX + SETTINGS_OPTIONS_MAX])
{
    const struct option_spec rows[] = {
        {.name = "listen",
         .value = "ADDRESS:PORT",
         .help = "where the API server calls; repeatable (default 0.0.0.0:15017 and [::]:15017)",
         .kind = OPTION_CALL,
         .to.call = add_listen,
         .arg = c},
        OPT_INT("metrics-port", "PORT", &c->metrics_port, 0, 65535, NULL, "/metrics, /healthz"),
        OPT_STR("cert-file", "FILE", &c->cert_file, NULL,
                "the webhook's certificate chain, PEM; looked at again every 2 s"),
        OPT_STR("key-file", "FILE", &c->key_file, NULL, "its private key, PEM"),
        OPT_STR("certificate-secret", "NAME", &c->certificate_secret, NULL,
                "instead of the files: a Secret of our namespace, followed in the cluster"),
        OPT_STR("kubeconfig", "FILE", &c->kubeconfig, NULL,
                "how to reach the cluster; without it, as the pod that this is"),
        OPT_INT("drain-ms", "MS", &c->drain_ms, 0, 600000, NULL,
                "how long requests are still answered after SIGTERM"),
        OPT_STR("log-format", "text|json", &c->log_format_name, NULL, "how log lines look"),
        OPT_STR("log-level", "LEVEL", &c->log_level_name, NULL, "error, warn, info or debug"),
        OPT_FLAG("version", &c->version, "print the version and exit"),
    };
    const unsigned count = sizeof rows / sizeof rows[0];
    _Static_assert(sizeof rows / sizeof rows[0] < OWN_OPTIONS_MAX, "the table is too small");
    memcpy(specs, rows, sizeof rows);
    specs[count + settings_add_options(&c->settings, specs + count)] = (struct option_spec)OPT_END;
}

static enum err_code init(struct injector_config *config, struct err *err)
{
    *config = (struct injector_config){

        .metrics_port = 15014,
        .drain_ms = 5000,
        .log_format_name = "text",
        .log_level_name = "info"};
    return settings_init(&config->settings, err);
}

static enum err_code check(struct injector_config *config, struct err *err)
{
    if (config->certificate_secret ? config->cert_file || config->key_file
                                   : !config->cert_file || !config->key_file)
        return err_set(err, ERR_USAGE,
                       "either --cert-file and --key-file, or --certificate-secret, is needed");
    if (strcmp(config->log_format_name, "json") == 0)
        config->log_format = LOG_FORMAT_JSON;
    else if (strcmp(config->log_format_name, "text") != 0)
        return err_set(err, ERR_USAGE, "--log-format: '%.40s' is not text or json",
                       config->log_format_name);
    if (!log_level_parse(config->log_level_name, &config->log_level))
        return err_set(err, ERR_USAGE, "--log-level: '%.40s' is not error, warn, info or debug",
                       config->log_level_name);
    if (config->listen_count == 0 && (add_listen(config, "0.0.0.0:15017", err) != ERR_OK ||
                                      add_listen(config, "[::]:15017", err) != ERR_OK))
        return err->code;
    return settings_check(&config->settings, err);
}

enum err_code injector_config_parse(struct injector_config *config, int argc, char **argv,
                                    struct err *err)
{
    struct option_spec specs[OWN_OPTIONS_MAX + SETTINGS_OPTIONS_MAX];
    enum err_code code = init(config, err);
    if (code != ERR_OK)
        return code;
    make_table(config, specs);
    code = options_parse(specs, argc, argv, NULL, NULL, err);
    return code != ERR_OK || config->version ? code : check(config, err);
}

void injector_config_deinit(struct injector_config *config)
{
    settings_deinit(&config->settings);
}

void injector_config_print_help(void)
{
    struct injector_config config;
    struct option_spec specs[OWN_OPTIONS_MAX + SETTINGS_OPTIONS_MAX];
    if (init(&config, NULL) != ERR_OK)
        return;
    make_table(&config, specs);
    printf("handfast-injector " HANDFAST_VERSION ": the admission webhook that gives pods their "
           "sidecar\n\nusage: handfast-injector --cert-file FILE --key-file FILE [options]\n"
           "       handfast-injector --certificate-secret NAME [options]\n\n");
    options_print(specs);
    injector_config_deinit(&config);
}
