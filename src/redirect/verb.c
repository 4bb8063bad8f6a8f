#include "redirect/verb.h"

#include <stdio.h>
#include <string.h>

#include "base/options.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const struct verb verbs[] = {
    {"apply", "install the rules in this network namespace, in place of those of an earlier apply",
     true, false, verb_apply},
    {"verify", "compare the rules with the options, and prove with real connections that they work",
     true, true, verb_verify},
    {"remove", "take the rules away; there may be none", false, false, verb_remove},
};

enum { VERB_COUNT = sizeof verbs / sizeof verbs[0], ROW_MAX = 16 };

static unsigned capture_rows(struct option_spec *rows, struct capture *c)
{
    const struct option_spec specs[] = {
        OPT_INT("outbound-port", "PORT", &c->outbound_port, 1, 65535, NULL,
                "where the proxy takes connections of the pod"),
        OPT_INT("inbound-port", "PORT", &c->inbound_port, 1, 65535, NULL,
                "where the proxy takes connections to the pod"),
        OPT_INT("metrics-port", "PORT", &c->metrics_port, 1, 65535, NULL,
                "never captured, in or out"),
        OPT_INT("health-port", "PORT", &c->health_port, 1, 65535, NULL,
                "never captured, in or out"),
        OPT_INT("proxy-uid", "UID", &c->proxy_uid, 0, UINT32_MAX - 1, NULL,
                "the proxy's uid and gid, whose connections are left alone"),
        OPT_CALL("exclude-inbound-ports", "PORT,...", capture_add_ports, &c->exclude_inbound,
                 "ports of the pod that are left alone"),
        OPT_CALL("include-inbound-ports", "PORT,...", capture_add_ports, &c->include_inbound,
                 "capture only these ports of the pod"),
        OPT_CALL("exclude-outbound-ports", "PORT,...", capture_add_ports, &c->exclude_outbound,
                 "destination ports that are left alone"),
        OPT_CALL("include-outbound-ports", "PORT,...", capture_add_ports, &c->include_outbound,
                 "destination ports that are captured outside of --include-outbound-cidrs, too"),
        OPT_CALL("exclude-outbound-cidrs", "CIDR,...", capture_add_prefixes,
                 &c->exclude_outbound_cidrs, "destinations that are left alone"),
        OPT_CALL("include-outbound-cidrs", "CIDR,...", capture_add_prefixes,
                 &c->include_outbound_cidrs, "capture only these destinations"),
        OPT_CALL("exclude-interfaces", "NAME,...", capture_add_interfaces, &c->exclude_interfaces,
                 "interfaces whose traffic is left alone"),
    };
    memcpy(rows, specs, sizeof specs);
    return sizeof specs / sizeof specs[0];
}

/* `verb` NULL: the rows of all verbs, for the help. */
static void make_rows(struct option_spec rows[ROW_MAX], const struct verb *verb,
                      struct verb_options *options)
{
    unsigned count = 0;
    memset(rows, 0, ROW_MAX * sizeof *rows);
    if (!verb || verb->takes_capture)
        count = capture_rows(rows, &options->capture);
    if (!verb || verb->takes_json)
        rows[count] = (struct option_spec)OPT_FLAG("json", &options->json,
                                                   "verify: print the report as JSON");
}

static void print_help(struct verb_options *options)
{
    struct option_spec rows[ROW_MAX];
    printf("handfast-redirect VERB [OPTIONS]\n\n"
           "Sends the TCP connections of this network namespace to handfast-proxy, by nftables.\n"
           "Needs CAP_NET_ADMIN. 'handfast-redirect --version' prints the version.\n\n");
    for (unsigned i = 0; i < VERB_COUNT; i++)
        printf("  %-10s %s\n", verbs[i].name, verbs[i].help);
    printf("\nOptions of apply and verify; verify expects those that apply was given:\n");
    make_rows(rows, NULL, options);
    options_print(rows);
}

static const struct verb *find_verb(const char *name)
{
    for (unsigned i = 0; i < VERB_COUNT; i++) {
        if (strcmp(verbs[i].name, name) == 0)
            return &verbs[i];
    }
    return NULL;
}

static int complain(const char *verb, const struct err *err)
{
    fflush(stdout);
    fprintf(stderr, "handfast-redirect%s%s: %s [%s]\n", *verb ? " " : "", verb, err->text,
            err_label(err->code));
    return err->code == ERR_USAGE ? EXIT_USAGE : EXIT_FAILED;
}

int verb_main(int argc, char **argv)
{
    static struct verb_options options; /* large lists */
    struct option_spec rows[ROW_MAX];
    struct err err;
    memset(&options, 0, sizeof options);
    capture_init(&options.capture);
    if (options_want_help(argc, argv)) {
        print_help(&options);
        return 0;
    }
    if (argc == 2 && strcmp(argv[1], "--version") == 0) {
        printf("handfast-redirect " HANDFAST_VERSION "\n");
        return 0;
    }
    const struct verb *verb = argc > 1 ? find_verb(argv[1]) : NULL;
    if (!verb) {
        err_set(&err, ERR_USAGE, "expected apply, verify or remove, found %.40s (--help)",
                argc > 1 ? argv[1] : "nothing");
        return complain("", &err);
    }
    make_rows(rows, verb, &options);
    if (options_parse(rows, argc - 1, argv + 1, NULL, NULL, &err) != ERR_OK ||
        capture_check(&options.capture, &err) != ERR_OK || verb->run(&options, &err) != ERR_OK)
        return complain(verb->name, &err);
    if (fflush(stdout) == 0)
        return 0;
    err_set(&err, ERR_SYSTEM, "cannot write to standard output");
    return complain(verb->name, &err);
}
