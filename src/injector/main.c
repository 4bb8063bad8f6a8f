/* handfast-injector: the admission webhook that gives pods their sidecar. To follow one request,
 * read gate.c, webhook.c, review.c and inject.c. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/options.h"
#include "injector/injector.h"

enum { EXIT_USAGE = 2 };

/* Static, so that a leak checker sees what a failed start leaves behind. */
static struct injector_config config;
static struct injector injector;

/* Nobody but the kernel may look at our memory: it holds the webhook's private key. */
static void harden(void)
{
    const struct rlimit none = {0};
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGPIPE, SIG_IGN);
}

/* A request costs three descriptors: its connection, and both ends of the local one. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        return;
    limit.rlim_cur = limit.rlim_max;
    setrlimit(RLIMIT_NOFILE, &limit);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    if (options_want_help(argc, argv)) {
        injector_config_print_help();
        return 0;
    }
    if (injector_config_parse(&config, argc, argv, &err) != ERR_OK) {
        fprintf(stderr, "handfast-injector: %s\n", err.text);
        return EXIT_USAGE;
    }
    if (config.version) {
        printf("handfast-injector " HANDFAST_VERSION "\n");
        injector_config_deinit(&config);
        return 0;
    }
    log_init(2, config.log_format, config.log_level);
    harden();
    raise_file_limit();
    if (injector_start(&injector, &config, &err) != ERR_OK) {
        LOG_ERROR("start_failed", F_ERR(&err));
        exit(EXIT_FAILURE);
    }
    LOG_INFO("started", F_STR("version", HANDFAST_VERSION),
             F_INT("port", gate_port(&injector.gate, 0)),
             F_INT("metrics_port", webhook_metrics_port(&injector.webhook)),
             F_STR("image", config.settings.image),
             F_BOOL("native_sidecars", config.settings.native_allowed));
    injector_run(&injector);
    injector_config_deinit(&config);
    LOG_INFO("ended", F_STR("because", "asked to"));
    return 0;
}
