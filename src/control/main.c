/* handfast-control: reads the command line, then runs the control plane or looks at a mesh file. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/options.h"
#include "control/control.h"

enum { EXIT_USAGE = 2 };

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static int check(const struct config *config)
{
    struct err err = {0};
    if (mesh_file_check(config->mesh, &err) == ERR_OK)
        return EXIT_SUCCESS;
    if (err.code != ERR_MESH_FILE)
        fprintf(stderr, "handfast-control: %s\n", err.text);
    return EXIT_FAILURE;
}

int main(int argc, char **argv)
{
    static struct control control;
    struct config config;
    struct err err = {0};
    if (options_want_help(argc, argv)) {
        config_print_help();
        return EXIT_SUCCESS;
    }
    if (config_parse(&config, argc, argv, &err) != ERR_OK) {
        fprintf(stderr, "handfast-control: %s\n", err.text);
        return EXIT_USAGE;
    }
    if (config.version) {
        printf("handfast-control " HANDFAST_VERSION "\n");
        return EXIT_SUCCESS;
    }
    if (config.check)
        return check(&config);
    log_init(2, config.log_format, config.log_level);
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_DUMPABLE, 0); /* no core file with keys in it */
    raise_file_limit();
    if (control_start(&control, &config, &err) != ERR_OK) {
        LOG_ERROR("start_failed", F_ERR(&err));
        return EXIT_FAILURE;
    }
    LOG_INFO("started", F_STR("version", HANDFAST_VERSION),
             F_STR("trust_domain", control.trust_domain),
             F_INT("metrics_port", config.metrics_port));
    control_run(&control);
    return EXIT_SUCCESS;
}
