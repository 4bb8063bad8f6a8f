#include "cli/verb.h"

#include <stdio.h>
#include <string.h>

#include "admin/contract.h"
#include "base/options.h"
#include "cli/api.h"

static const struct verb verbs[] = {
    {"status", NULL, "is the proxy ready, who is it, does it reach the control plane",
     VERB_TAKES_SOCKET, verb_status},
    {"certs", NULL, "the certificate, its renewal, the roots that peers are checked against",
     VERB_TAKES_SOCKET, verb_certs},
    {"connections", NULL, "the connections that are open now, with both identities",
     VERB_TAKES_SOCKET | VERB_TAKES_LIMIT, verb_connections},
    {"config", NULL, "the workloads, services and policies that the proxy knows", VERB_TAKES_SOCKET,
     verb_config},
    {"log-level", "LEVEL", "show the log level, or set it: error, warn, info, debug",
     VERB_TAKES_SOCKET, verb_log_level},
    {"drain", NULL, "take no new inbound connections; the proxy goes on until SIGTERM",
     VERB_TAKES_SOCKET, verb_drain},
    {"token", NULL, "make a token for a service account of a standalone control plane",
     VERB_TAKES_TOKEN, verb_token},
    {"inject", NULL, "give the pods of a manifest their sidecar, as the webhook would",
     VERB_TAKES_INJECT, verb_inject},
    {"wait", NULL, "wait until the proxy is ready", VERB_TAKES_SOCKET | VERB_TAKES_TIMEOUT,
     verb_wait},
    {"outlive", NULL, "wait until the pod's other containers have closed their TCP sockets",
     VERB_TAKES_SPAN, verb_outlive},
    {"check", NULL, "is the cluster fit for Handfast, and is what is installed there well",
     VERB_TAKES_KUBE, verb_check},
    {"version", NULL, "the version of this program and of the proxy", VERB_TAKES_SOCKET,
     verb_version},
};

enum { VERB_COUNT = sizeof verbs / sizeof verbs[0], ROWS_MAX = 8 + SETTINGS_OPTIONS_MAX };

static void add_rows(struct option_spec rows[ROWS_MAX], unsigned takes,
                     struct verb_options *options)
{
    const struct option_spec json =
        OPT_FLAG("json", &options->json, "print the answer as one JSON document");
    const struct option_spec socket = OPT_STR("admin-socket", "PATH", &options->admin_socket,
                                              ADMIN_SOCKET_ENV, "the proxy's admin socket");
    const struct option_spec limit =
        OPT_INT("limit", "N", &options->limit, 1, ADMIN_CONNECTIONS_MAX, NULL,
                "connections to show at most");
    const struct option_spec token[] = {
        OPT_STR("state", "DIR", &options->state, NULL, "the control plane's --state folder"),
        OPT_STR("service-account", "NS/NAME", &options->service_account, NULL,
                "whom the token speaks for"),
        OPT_STR("audience", "NAME", &options->audience, NULL, "who may accept it"),
        OPT_INT("ttl-s", "S", &options->ttl_s, 1, 315360000, NULL, "seconds it is good for"),
    };
    const struct option_spec timeout = OPT_INT("timeout-s", "S", &options->timeout_s, 0, 86400,
                                               NULL, "give up after so many seconds");
    const struct option_spec span[] = {
        OPT_INT("at-least-s", "S", &options->at_least_s, 0, 86400, NULL,
                "wait as long in any case"),
        OPT_INT("at-most-s", "S", &options->at_most_s, 0, 86400, NULL, "and no longer than this"),
    };
    const struct option_spec kube[] = {
        OPT_STR("kubeconfig", "FILE", &options->kubeconfig, NULL,
                "which cluster, and as whom (else KUBECONFIG, ~/.kube/config, or the pod's own)"),
        OPT_STR("namespace", "NS", &options->ns, NULL, "where Handfast is installed"),
    };
    struct option_spec file = OPT_STR("file", "FILE", &options->file, NULL,
                                      "the manifest, YAML or JSON; - is standard input");
    unsigned count = 0;
    file.letter = 'f';
    memset(rows, 0, ROWS_MAX * sizeof *rows);
    rows[count++] = json;
    if (takes & VERB_TAKES_SOCKET)
        rows[count++] = socket;
    if (takes & VERB_TAKES_LIMIT)
        rows[count++] = limit;
    if (takes & VERB_TAKES_TOKEN)
        memcpy(&rows[count], token, sizeof token);
    if (takes & VERB_TAKES_TIMEOUT)
        rows[count++] = timeout;
    if (takes & VERB_TAKES_SPAN)
        memcpy(&rows[count], span, sizeof span);
    if (takes & VERB_TAKES_KUBE)
        memcpy(&rows[count], kube, sizeof kube);
    if (takes & VERB_TAKES_INJECT) {
        rows[count++] = file;
        settings_add_options(options->settings, &rows[count]);
    }
}

static void print_options(const struct verb *verb, struct verb_options *options)
{
    struct option_spec rows[ROWS_MAX];
    add_rows(rows, verb->takes, options);
    options_print(rows);
}

static const char inject_help[] =
    "Reads one or more documents; Pods, Deployments, StatefulSets, DaemonSets, ReplicaSets,\n"
    "ReplicationControllers, Jobs, CronJobs, PodTemplates and Lists of them get the sidecar, all\n"
    "others are printed as they stand. Comments of changed documents are lost. Warnings go to\n"
    "standard error; when a pod is refused nothing is printed. Give the options that the "
    "cluster's\n"
    "handfast-injector has.\n\n";

static void print_verb_help(const struct verb *verb, struct verb_options *options)
{
    printf("handfast %s%s%s%s [OPTIONS]: %s\n\n", verb->name, verb->word ? " [" : "",
           verb->word ? verb->word : "", verb->word ? "]" : "", verb->help);
    if (verb->takes & VERB_TAKES_INJECT)
        fputs(inject_help, stdout);
    print_options(verb, options);
}

static void print_help(FILE *to)
{
    fprintf(to, "handfast VERB [OPTIONS]\n\nLooks into a handfast-proxy and a cluster, makes "
                "tokens, injects.\n\n");
    for (unsigned i = 0; i < VERB_COUNT; i++) {
        char left[40];
        snprintf(left, sizeof left, "%s%s%s%s", verbs[i].name, verbs[i].word ? " [" : "",
                 verbs[i].word ? verbs[i].word : "", verbs[i].word ? "]" : "");
        fprintf(to, "  %-20s %s\n", left, verbs[i].help);
    }
    fprintf(to, "\nEvery verb takes --json. 'handfast VERB --help' lists the others' options.\n"
                "'handfast --version' prints this program's version alone.\n"
                "Exit status: 0 done, 1 failed, 2 wrong usage, 3 the proxy is not ready "
                "(status, wait).\n");
}

static const struct verb *find_verb(const char *name)
{
    for (unsigned i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

static int say(int status, const char *what, const struct err *err)
{
    fprintf(stderr, "handfast%s%s: %s [%s]\n", *what ? " " : "", what, err->text,
            err_label(err->code));
    return status;
}

/* A full disk or a closed pipe must not look like an empty answer. */
static int check_stdout(int status, const char *what)
{
    struct err err;
    if (fflush(stdout) == 0 && !ferror(stdout))
        return status;
    err_set(&err, ERR_SYSTEM, "the answer could not be written to standard output");
    return say(VERB_FAILED, what, &err);
}

static int parse_and_run(const struct verb *verb, struct verb_options *options, int argc,
                         char **argv)
{
    struct option_spec rows[ROWS_MAX];
    struct err err = {0};
    unsigned words = verb->word ? 1 : 0;
    add_rows(rows, verb->takes, options);
    if (options_parse(rows, argc, argv, verb->word ? &options->word : NULL, &words, &err) != ERR_OK)
        return say(VERB_USAGE, verb->name, &err);
    int status = verb->run(options, &err);
    return err.code == ERR_OK ? status : say(status, verb->name, &err);
}

static int run_verb(const struct verb *verb, int argc, char **argv)
{
    struct settings settings;
    struct err err = {0};
    struct verb_options options = {.admin_socket = ADMIN_SOCKET_DEFAULT,
                                   .audience = "handfast",
                                   .ttl_s = 3600,
                                   .limit = ADMIN_CONNECTIONS_DEFAULT,
                                   .timeout_s = 60,
                                   .at_most_s = 25,
                                   .ns = API_NAMESPACE_DEFAULT,
                                   .settings = &settings};
    int status = VERB_DONE;
    if (settings_init(&settings, &err) != ERR_OK)
        status = say(VERB_FAILED, verb->name, &err);
    else if (options_want_help(argc, argv))
        print_verb_help(verb, &options);
    else
        status = parse_and_run(verb, &options, argc, argv);
    settings_deinit(&settings);
    return status;
}

int verb_main(int argc, char **argv)
{
    struct err err;
    const char *name = argc > 1 ? argv[1] : "";
    const struct verb *verb = find_verb(name);
    if (verb)
        return check_stdout(run_verb(verb, argc - 1, argv + 1), name);
    if (options_want_help(argc, argv) || strcmp(name, "help") == 0) {
        print_help(stdout);
        return check_stdout(VERB_DONE, "");
    }
    if (argc == 2 && strcmp(name, "--version") == 0) {
        printf("handfast " HANDFAST_VERSION "\n");
        return check_stdout(VERB_DONE, "");
    }
    if (!*name) {
        print_help(stderr);
        return VERB_USAGE;
    }
    err_set(&err, ERR_USAGE,
            *name == '-' ? "the verb comes before '%.40s' (--help lists the verbs)"
                         : "there is no verb '%.40s' (--help lists them)",
            name);
    return say(VERB_USAGE, "", &err);
}
