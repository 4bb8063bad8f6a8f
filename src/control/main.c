/* handfast-control: wires the parts together and waits for signals.
 *
 *   mesh_file -> compile -> xds server ---+
 *   ca_state -> issue (CreateCertificate) +-- rpc -- listener (15012, TLS)
 *   ops (15014): what all of them count */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/options.h"
#include "control/issue.h"
#include "control/listener.h"
#include "control/mesh_file.h"
#include "control/ops.h"
#include "xds/encode.h"

enum {
    DNS_NAMES_MAX = CA_DNS_NAMES_MAX,
    SERVER_CERTIFICATE_S = 30 * 86400,
    CERTIFICATES_CHECK_MS = 3600 * 1000,
    EXIT_USAGE = 2,
};

static struct program {
    const char *mesh, *state_folder, *audience, *cluster_id, *log_format, *log_level;
    int64_t metrics_port, ttl_s, ttl_max_s;
    struct addr_port listen[LISTENERS_MAX];
    unsigned listen_count;
    const char *dns_names[DNS_NAMES_MAX];
    unsigned dns_count;

    struct loop loop;
    struct timers timers;
    struct mailbox mailbox;
    struct relay_env env;
    uv_signal_t signals[3]; /* SIGTERM, SIGINT, SIGHUP */
    struct timer certificates;
    int64_t server_renew_s;
    struct tally tally;
    struct ca_state state;
    struct authenticator_tokens tokens;
    struct issuer issuer;
    struct mesh_file file;
    struct rpc *rpc;
    struct rpc_server *server;
    struct xds_server *xds;
    struct control_listener listener;
    struct control_ops ops;
    bool ending;
    unsigned closing;
} program = {
    .audience = "handfast",
    .cluster_id = "Kubernetes",
    .log_format = "text",
    .log_level = "info",
    .metrics_port = 15014,
    .ttl_s = 86400,
    .ttl_max_s = 7 * 86400,
};

/* --- the command line
 * ----------------------------------------------------------------------------- */

static enum err_code add_listen(void *arg, const char *value, struct err *err)
{
    (void)arg;
    if (program.listen_count == LISTENERS_MAX)
        return err_set(err, ERR_USAGE, "at most %d addresses", LISTENERS_MAX);
    if (!addr_port_parse(&program.listen[program.listen_count++], value))
        return err_set(err, ERR_USAGE,
                       "'%.60s' is not an address and a port (10.0.0.1:15012, [::]:15012)", value);
    return ERR_OK;
}

static enum err_code add_dns_name(void *arg, const char *value, struct err *err)
{
    (void)arg;
    if (program.dns_count == DNS_NAMES_MAX)
        return err_set(err, ERR_USAGE, "at most %d names", DNS_NAMES_MAX);
    program.dns_names[program.dns_count++] = value;
    return ERR_OK;
}

static const struct option_spec options[] = {
    OPT_STR("mesh", "FILE", &program.mesh, "HANDFAST_MESH",
            "what the mesh consists of (see deploy/standalone)"),
    OPT_STR("state", "DIR", &program.state_folder, "HANDFAST_STATE",
            "the authority's keys and certificates; made at the first start"),
    OPT_CALL("listen", "ADDR:PORT", add_listen, NULL,
             "where proxies call; repeatable (default 0.0.0.0:15012 and [::]:15012)"),
    OPT_INT("metrics-port", "PORT", &program.metrics_port, 0, 65535, NULL, "/metrics and /healthz"),
    OPT_INT("certificate-ttl-s", "SECONDS", &program.ttl_s, 1, CA_LEAF_TTL_MAX_S, NULL,
            "life of a certificate when the proxy asks for none"),
    OPT_INT("max-certificate-ttl-s", "SECONDS", &program.ttl_max_s, 1, CA_LEAF_TTL_MAX_S, NULL,
            "a longer life is refused"),
    OPT_STR("audience", "NAME", &program.audience, NULL, "audience that a token must have"),
    OPT_CALL("dns-name", "NAME", add_dns_name, NULL,
             "name in the certificate of port 15012; repeatable (default "
             "handfast-control.handfast-system.svc)"),
    OPT_STR("cluster-id", "NAME", &program.cluster_id, NULL,
            "cluster that callers must name, if any"),
    OPT_STR("log-format", "text|json", &program.log_format, NULL, "how log lines look"),
    OPT_STR("log-level", "LEVEL", &program.log_level, NULL, "error, warn, info or debug"),
    OPT_END,
};

static int usage(const struct err *err)
{
    fprintf(stderr, "handfast-control: %s\n", err->text);
    return EXIT_USAGE;
}

static void print_help(void)
{
    printf("handfast-control: the control plane: certificate authority and delta-xDS server\n\n"
           "  handfast-control --mesh FILE --state DIR [options]\n"
           "  handfast-control check --mesh FILE     reads the file and names every mistake\n\n");
    options_print(options);
}

static enum err_code read_options(int argc, char **argv, bool *check, struct err *err)
{
    const char *words[1];
    unsigned count = 1;
    enum log_level level;
    if (options_parse(options, argc, argv, words, &count, err) != ERR_OK)
        return err->code;
    *check = count == 1 && strcmp(words[0], "check") == 0;
    if (count == 1 && !*check)
        return err_set(err, ERR_USAGE, "unexpected argument '%.60s'", words[0]);
    if (!program.mesh)
        return err_set(err, ERR_USAGE, "--mesh FILE is missing");
    if (!program.state_folder && !*check)
        return err_set(err, ERR_USAGE, "--state DIR is missing");
    if (!log_level_parse(program.log_level, &level))
        return err_set(err, ERR_USAGE, "--log-level: '%.20s' is not error, warn, info or debug",
                       program.log_level);
    bool json = strcmp(program.log_format, "json") == 0;
    if (!json && strcmp(program.log_format, "text") != 0)
        return err_set(err, ERR_USAGE, "--log-format: '%.20s' is not text or json",
                       program.log_format);
    log_init(2, json ? LOG_FORMAT_JSON : LOG_FORMAT_TEXT, level);
    if (program.listen_count == 0) {
        add_listen(NULL, "0.0.0.0:15012", err);
        add_listen(NULL, "[::]:15012", err);
    }
    if (program.dns_count == 0)
        program.dns_names[program.dns_count++] = "handfast-control.handfast-system.svc";
    return ERR_OK;
}

/* --- certificates of our own
 * ------------------------------------------------------------------------ */

/* A fresh key and certificate for port 15012, signed by our own authority. */
static enum err_code make_server_context(struct tls_context **out, struct err *err)
{
    struct ca_issued issued = {0};
    struct tls_key *key = tls_key_new();
    if (!key)
        return err_set(err, ERR_NO_MEMORY, "no memory for a key");
    enum err_code code = ca_issue_server(program.state.ca, key, program.dns_names,
                                         program.dns_count, SERVER_CERTIFICATE_S, &issued, err);
    if (code == ERR_OK)
        code = tls_context_new_server(out, key, issued.chain_pem, strlen(issued.chain_pem), err);
    if (code == ERR_OK)
        program.server_renew_s =
            issued.leaf.not_before_s + (issued.leaf.not_after_s - issued.leaf.not_before_s) / 2;
    ca_issued_deinit(&issued);
    tls_key_unref(key);
    return code;
}

static void renew_server(void)
{
    struct tls_context *context;
    struct err err = {0};
    if (make_server_context(&context, &err) != ERR_OK) {
        LOG_ERROR("server_certificate_not_renewed", F_ERR(&err));
        return;
    }
    control_listener_set_context(&program.listener, context);
    tls_context_unref(context);
    LOG_INFO("server_certificate_renewed", F_STR("name", program.dns_names[0]));
}

static void on_certificates_due(struct timer *timer)
{
    struct err err = {0};
    bool renewed;
    if (ca_state_renew_if_due(&program.state, &renewed, &err) != ERR_OK)
        LOG_ERROR("issuer_not_renewed", F_ERR(&err));
    else if (renewed) {
        program.tally.issuer_renewals++;
        LOG_INFO("issuer_renewed", F_STR("state", program.state.folder));
    }
    if (renewed || clock_wall_s() >= program.server_renew_s)
        renew_server();
    timer_start(&program.timers, timer, CERTIFICATES_CHECK_MS, on_certificates_due);
}

/* --- what proxies call
 * ------------------------------------------------------------------------------ */

static void on_certificate(struct rpc_call *call, void *arg)
{
    (void)arg;
    issue_open(&program.issuer, call);
}

static void on_stream(struct rpc_call *call, void *arg)
{
    struct token_subject subject;
    struct err err = {0};
    char text[RPC_TEXT_MAX];
    (void)arg;
    enum err_code code = authenticator_check_call(&program.tokens.authenticator, program.cluster_id,
                                                  call, &subject, &err);
    if (code != ERR_OK) {
        program.tally.streams_refused[code]++;
        LOG_LIMITED(LOG_LEVEL_WARN, 20, "stream_refused", F_ERR(&err));
        snprintf(text, sizeof text, "%s: %s", err_label(code), err.text);
        rpc_call_finish(call, RPC_UNAUTHENTICATED, text);
        return;
    }
    const struct xds_peer peer = {.namespace = subject.ns,
                                  .service_account = subject.service_account,
                                  .expires_wall_s = subject.expires_s};
    xds_server_open(program.xds, call, &peer);
}

static const struct rpc_method methods[] = {
    {XDS_METHOD_CERTIFICATE, on_certificate},
    {XDS_METHOD_DELTA, on_stream},
    {NULL, NULL},
};

static void publish(enum xds_type type, struct xds_set *set)
{
    struct err err = {0};
    if (xds_server_publish(program.xds, type, set, &err) != ERR_OK)
        LOG_ERROR("publish_failed", F_STR("type", xds_type_name(type)), F_ERR(&err));
}

static void on_compiled(struct mesh_file *file, struct compiled *compiled)
{
    (void)file;
    /* Policies first: a workload that names a policy that is not there is held (fail closed). */
    publish(XDS_AUTHORIZATION, compiled->policies);
    publish(XDS_ADDRESS, compiled->addresses);
}

static enum err_code publish_bundle(struct err *err)
{
    const char *pem = ca_root_pem(program.state.ca);
    const struct xds_trust_domain domain = {.name = "", .pem = pem, .pem_len = strlen(pem)};
    const struct xds_bundle bundle = {&domain, 1};
    struct xds_resource *resource;
    struct xds_set *set = xds_set_new();
    if (!set)
        return err_set(err, ERR_NO_MEMORY, "no memory for the trust bundle");
    enum err_code code = xds_encode_bundle(&bundle, &resource, err);
    if (code == ERR_OK)
        code = xds_set_add(set, resource, err);
    if (code != ERR_OK) {
        xds_set_free(set);
        return code;
    }
    return xds_server_publish(program.xds, XDS_SECRET, set, err);
}

/* --- the end, step by step: HTTP, listener, gRPC, the loop's handles
 * --------------------------------- */

static void count_closed(void)
{
    if (--program.closing > 0)
        return;
    relay_env_deinit(&program.env);
    loop_stop(&program.loop);
}

static void on_handle_closed(uv_handle_t *handle)
{
    (void)handle;
    count_closed();
}

static void on_timers_closed(struct timers *timers)
{
    (void)timers;
    count_closed();
}

static void on_mailbox_closed(struct mailbox *mailbox)
{
    (void)mailbox;
    count_closed();
}

static void on_rpc_closed(void *arg)
{
    (void)arg;
    program.closing = 5;
    for (int i = 0; i < 3; i++)
        uv_close((uv_handle_t *)&program.signals[i], on_handle_closed);
    timers_close(&program.timers, on_timers_closed);
    mailbox_close(&program.mailbox, on_mailbox_closed);
}

static void on_server_closed(void *arg)
{
    (void)arg;
    rpc_close(program.rpc, on_rpc_closed, NULL);
}

static void on_listener_closed(struct control_listener *listener)
{
    (void)listener;
    rpc_server_close(program.server, on_server_closed, NULL);
}

static void on_xds_closed(void *arg)
{
    (void)arg;
    control_listener_close(&program.listener, on_listener_closed);
}

static void on_file_closed(struct mesh_file *file)
{
    (void)file;
    xds_server_close(program.xds, on_xds_closed, NULL);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)handle;
    if (number == SIGHUP) {
        mesh_file_reload(&program.file);
        return;
    }
    if (program.ending)
        return;
    program.ending = true;
    LOG_INFO("ending", F_INT("signal", number));
    timer_stop(&program.timers, &program.certificates);
    control_ops_stop(&program.ops);
    mesh_file_close(&program.file, on_file_closed);
}

/* --- the beginning
 * -------------------------------------------------------------------------------------- */

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

static enum err_code start_loop(struct err *err)
{
    static const int numbers[3] = {SIGTERM, SIGINT, SIGHUP};
    enum err_code code = loop_init(&program.loop, err);
    if (code == ERR_OK)
        code = timers_init(&program.timers, &program.loop, err);
    if (code == ERR_OK)
        code = mailbox_open(&program.mailbox, &program.loop, NULL, err);
    if (code == ERR_OK)
        code = relay_env_init(&program.env, &program.loop, &program.timers, err);
    for (int i = 0; code == ERR_OK && i < 3; i++) {
        uv_signal_init(&program.loop.uv, &program.signals[i]);
        uv_signal_start(&program.signals[i], on_signal, numbers[i]);
    }
    return code;
}

static enum err_code start_services(struct err *err)
{
    program.xds = xds_server_new(&program.timers, NULL, err);
    if (!program.xds)
        return err->code;
    program.file = (struct mesh_file){.path = program.mesh,
                                      .cluster_id = program.cluster_id,
                                      .timers = &program.timers,
                                      .tally = &program.tally,
                                      .on_compiled = on_compiled};
    enum err_code code = mesh_file_load(&program.file, err);
    if (code == ERR_OK)
        code = publish_bundle(err);
    if (code != ERR_OK)
        return code;
    authenticator_tokens_init(&program.tokens, program.state.token_public_key, program.audience);
    program.issuer = (struct issuer){
        .state = &program.state,
        .authenticator = &program.tokens.authenticator,
        .tally = &program.tally,
        .cluster_id = program.cluster_id,
        .trust_domain = program.file.trust_domain,
        .ttl_s = program.ttl_s,
        .ttl_max_s = program.ttl_max_s > program.ttl_s ? program.ttl_max_s : program.ttl_s};
    program.rpc = rpc_start(&program.loop, err);
    if (!program.rpc)
        return err->code;
    program.server = rpc_server_new(program.rpc, methods, NULL, err);
    return program.server ? ERR_OK : err->code;
}

static enum err_code start_ports(struct err *err)
{
    struct tls_context *context;
    enum err_code code = make_server_context(&context, err);
    if (code != ERR_OK)
        return code;
    code = control_listener_open(&program.listener, &program.env, program.server, context,
                                 &program.tally, program.listen, program.listen_count, err);
    tls_context_unref(context);
    if (code != ERR_OK)
        return code;
    program.ops = (struct control_ops){.mailbox = &program.mailbox,
                                       .tally = &program.tally,
                                       .xds = program.xds,
                                       .state = &program.state,
                                       .rpc = program.server};
    return control_ops_start(&program.ops, (uint16_t)program.metrics_port, err);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    bool check = false;
    if (options_want_help(argc, argv)) {
        print_help();
        return EXIT_SUCCESS;
    }
    if (read_options(argc, argv, &check, &err) != ERR_OK)
        return usage(&err);
    if (check) {
        if (mesh_file_check(program.mesh, &err) == ERR_OK)
            return EXIT_SUCCESS;
        if (err.code != ERR_MESH_FILE)
            fprintf(stderr, "handfast-control: %s\n", err.text);
        return EXIT_FAILURE;
    }
    signal(SIGPIPE, SIG_IGN);
    prctl(PR_SET_DUMPABLE, 0);
    raise_file_limit();
    if (ca_state_open(&program.state, program.state_folder, &err) != ERR_OK ||
        start_loop(&err) != ERR_OK || start_services(&err) != ERR_OK ||
        start_ports(&err) != ERR_OK) {
        LOG_ERROR("start_failed", F_ERR(&err));
        return EXIT_FAILURE;
    }
    mesh_file_watch(&program.file, &program.loop);
    timer_start(&program.timers, &program.certificates, CERTIFICATES_CHECK_MS, on_certificates_due);
    LOG_INFO("started", F_STR("version", HANDFAST_VERSION),
             F_STR("trust_domain", program.file.trust_domain),
             F_INT("metrics_port", program.metrics_port));
    loop_run(&program.loop);
    metrics_free(program.ops.metrics);
    loop_deinit(&program.loop);
    ca_state_close(&program.state);
    return EXIT_SUCCESS;
}
