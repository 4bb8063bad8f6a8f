/* The command line of handfast-injector. Constant after the start. */
#ifndef INJECTOR_CONFIG_H
#define INJECTOR_CONFIG_H

#include "base/addr.h"
#include "base/log.h"
#include "injector/gate.h"
#include "injector/settings.h"

struct injector_config {
    struct settings settings;
    struct addr_port listen[GATE_SOCKETS_MAX];
    unsigned listen_count;
    int64_t metrics_port, drain_ms;
    const char *cert_file, *key_file; /* or: */
    const char *certificate_secret, *kubeconfig;
    const char *log_format_name, *log_level_name;
    enum log_format log_format;
    enum log_level log_level;
    bool version;
};

/* Defaults, then the environment, then argv; strings are borrowed from both. ERR_USAGE. */
enum err_code injector_config_parse(struct injector_config *config, int argc, char **argv,
                                    struct err *err);
void injector_config_deinit(struct injector_config *config);
/* The help text, to stdout. */
void injector_config_print_help(void);

#endif
