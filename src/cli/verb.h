/* The verbs of handfast. The table that dispatches also prints the help. */
#ifndef VERB_H
#define VERB_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"
#include "injector/settings.h"

/* The exit statuses, which scripts rely on. */
enum {
    VERB_DONE = 0,
    VERB_FAILED = 1,
    VERB_USAGE = 2,
    VERB_NOT_READY = 3 /* status, wait: the proxy is starting or draining */
};

struct verb_options {
    bool json;
    const char *admin_socket;
    int64_t limit;    /* connections; 0: the proxy's default */
    const char *word; /* what follows the verb, or NULL */
    /* token */
    const char *state, *service_account, *audience;
    int64_t ttl_s;
    /* wait, outlive */
    int64_t timeout_s, at_least_s, at_most_s;
    /* inject */
    const char *file;
    struct settings *settings;
    /* check: whoever asks the cluster */
    const char *kubeconfig, *ns;
};

struct verb {
    const char *name;
    const char *word; /* what the help calls the optional word after the name, or NULL */
    const char *help;
    enum {
        VERB_TAKES_SOCKET = 1,
        VERB_TAKES_LIMIT = 2,
        VERB_TAKES_TOKEN = 4,
        VERB_TAKES_TIMEOUT = 8,
        VERB_TAKES_SPAN = 16,
        VERB_TAKES_INJECT = 32,
        VERB_TAKES_KUBE = 64,
    } takes;
    /* Prints the answer to stdout and returns an exit status. Other than VERB_DONE and
     * VERB_NOT_READY it leaves a sentence in `err`. */
    int (*run)(const struct verb_options *options, struct err *err);
};

int verb_status(const struct verb_options *options, struct err *err);
int verb_certs(const struct verb_options *options, struct err *err);
int verb_connections(const struct verb_options *options, struct err *err);
int verb_config(const struct verb_options *options, struct err *err);
int verb_log_level(const struct verb_options *options, struct err *err);
int verb_drain(const struct verb_options *options, struct err *err);
int verb_token(const struct verb_options *options, struct err *err);
int verb_wait(const struct verb_options *options, struct err *err);
int verb_outlive(const struct verb_options *options, struct err *err);
int verb_inject(const struct verb_options *options, struct err *err);
int verb_check(const struct verb_options *options, struct err *err);
int verb_version(const struct verb_options *options, struct err *err);

/* What main does: parses, runs, says on stderr what failed. Returns the exit status. */
int verb_main(int argc, char **argv);

#endif
