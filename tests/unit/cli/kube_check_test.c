/* `handfast check` against a stand-in for the API server, which a thread of its own serves: the
 * command waits for its answers. */
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/base64.h"
#include "base/clock.h"
#include "cli/verb.h"
#include "kube/bed.h"
#include "suite.h"
#include "tls/ca.h"

/* What a cluster that is well answers; tests replace rows by their path's beginning. */
enum { ROWS_MAX = 24, BODY_MAX = 16384 };
struct row {
    const char *line; /* "METHOD path" begins so */
    int status;
    char body[BODY_MAX];
};

static struct bed bed;
static struct row rows[ROWS_MAX];
static unsigned row_count;
static pthread_t thread;
static atomic_bool stop;
static char kubeconfig[64];
static char *root; /* the trust bundle; the server's own authority lives for a day */

static void answer_with(const char *line, int status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

static void answer_with(const char *line, int status, const char *format, ...)
{
    struct row *row = rows;
    while (row < &rows[row_count] && strcmp(row->line, line) != 0)
        row++;
    if (row == &rows[row_count])
        CU_ASSERT_FATAL(++row_count <= ROWS_MAX);
    row->line = line;
    row->status = status;
    va_list args;
    va_start(args, format);
    CU_ASSERT_FATAL(vsnprintf(row->body, sizeof row->body, format, args) < BODY_MAX);
    va_end(args);
}

/* The longest row that the request begins with. */
static const struct step *on_request(struct apiserver *server, const char *line)
{
    static struct step step;
    const struct row *best = NULL;
    for (unsigned i = 0; i < row_count; i++) {
        size_t len = strlen(rows[i].line);
        if (strncmp(line, rows[i].line, len) == 0 && (!best || len > strlen(best->line)))
            best = &rows[i];
    }
    step = (struct step){.status = 404, .body = "{}"};
    if (best)
        step = (struct step){.status = best->status, .body = best->body};
    (void)server;
    return &step;
}

static void *serve(void *arg)
{
    while (!atomic_load(&stop))
        uv_run(&bed.loop.uv, UV_RUN_ONCE);
    return arg;
}

#define SYSTEM "/api/v1/namespaces/handfast-system/"
#define TRUST "configmaps/handfast-ca-root-cert"
#define CRDS "GET /apis/apiextensions.k8s.io/v1/customresourcedefinitions/"
#define DEPLOYMENTS "GET /apis/apps/v1/namespaces/handfast-system/deployments/"
#define WEBHOOK                                                                                    \
    "GET /apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/handfast-injector"
#define REVIEW "POST /apis/authorization.k8s.io/v1/"
#define CRD                                                                                        \
    "{\"spec\":{\"versions\":[{\"name\":\"v1\",\"served\":true}]},\"status\":{\"conditions\":"     \
    "[{\"type\":\"Established\",\"status\":\"True\"}]}}"
#define REPLICAS(ready) "{\"spec\":{\"replicas\":2},\"status\":{\"readyReplicas\":" #ready "}}"
#define META(ns, name) "\"metadata\":{\"name\":\"" name "\",\"namespace\":\"" ns "\"}"
#define INJECTED(exit)                                                                             \
    "{" META("shop", "web") ",\"spec\":{\"nodeName\":\"node-1\",\"initContainers\":[{\"name\":"    \
                            "\"handfast-proxy\"}]},\"status\":{\"initContainerStatuses\":[{"       \
                            "\"name\":\"handfast-redirect\",\"state\":{\"terminated\":{"           \
                            "\"exitCode\":" #exit ",\"message\":\"no nft_redir here\"}}}]}}"

static void trust_with(const char *line, const char *pem)
{
    json_t *map = json_pack("{s:{s:s}}", "data", "root-cert.pem", pem);
    char *text = json_dumps(map, 0);
    answer_with(line, 200, "%s", text);
    free(text);
    json_decref(map);
}

static void answer_well(void)
{
    char now[CLOCK_TEXT_MAX], bundle[BODY_MAX / 2];
    row_count = 0;
    base64_encode(root, strlen(root), bundle);
    answer_with("GET /version", 200,
                "{\"major\":\"1\",\"minor\":\"34\",\"gitVersion\":\"v1.34.4\"}");
    answer_with("POST " SYSTEM "configmaps?dryRun=All", 201,
                "{\"metadata\":{\"creationTimestamp\":\"%s\"}}", clock_format(clock_wall_s(), now));
    answer_with(REVIEW, 201, "{\"status\":{\"allowed\":true}}");
    answer_with(CRDS, 200, CRD);
    answer_with(DEPLOYMENTS, 200, REPLICAS(2));
    answer_with("GET " SYSTEM "pods?", 200, "{\"items\":[{" META("", "control-1") "}]}");
    answer_with("GET " SYSTEM "pods/control-1:15014/proxy/healthz/ready", 200, "ready");
    trust_with("GET " SYSTEM TRUST, root);
    answer_with(WEBHOOK, 200, "{\"webhooks\":[{\"clientConfig\":{\"caBundle\":\"%s\"}}]}", bundle);
    answer_with("GET /api/v1/namespaces?", 200, "{\"items\":[{" META("", "shop") "}]}");
    trust_with("GET /api/v1/namespaces/shop/" TRUST, root);
    answer_with("GET /api/v1/namespaces/shop/pods", 200, "{\"items\":[" INJECTED(0) "]}");
    answer_with("POST /api/v1/namespaces/shop/pods?dryRun=All", 201, INJECTED(0));
}

static void open_cluster(void)
{
    char ca[BODY_MAX / 2];
    bed_start(&bed);
    answer_well();
    bed.server.answer = on_request;
    strcpy(kubeconfig, "/tmp/kube_check_test.XXXXXX");
    FILE *file = fdopen(mkstemp(kubeconfig), "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    base64_encode(bed.certs->ca_pem, strlen(bed.certs->ca_pem), ca);
    fprintf(file,
            "{current-context: t, contexts: [{name: t, context: {cluster: t, user: t}}],\n"
            "users: [{name: t, user: {token: secret}}],\n"
            "clusters: [{name: t, cluster: {server: 'https://127.0.0.1:%u', tls-server-name: "
            "kubernetes.test,\ncertificate-authority-data: %s}}]}\n",
            bed.server.port, ca);
    fclose(file);
    atomic_store(&stop, false);
    CU_ASSERT_FATAL(pthread_create(&thread, NULL, serve, NULL) == 0);
}

static void close_cluster(void)
{
    atomic_store(&stop, true);
    pthread_join(thread, NULL);
    unlink(kubeconfig);
    bed_stop(&bed);
}

/* Runs the verb with its output caught, and returns the document. */
static json_t *check(int status)
{
    char words[][80] = {"handfast", "check", "--json", "--kubeconfig", ""};
    char *argv[] = {words[0], words[1], words[2], words[3], kubeconfig, NULL};
    char text[64 * 1024] = "";
    FILE *file = tmpfile();
    fflush(stdout);
    int kept = dup(1), kept_err = dup(2);
    dup2(fileno(file), 1);
    dup2(open("/dev/null", 1), 2);
    int got = verb_main(5, argv);
    dup2(kept, 1);
    dup2(kept_err, 2);
    close(kept);
    close(kept_err);
    rewind(file);
    text[fread(text, 1, sizeof text - 1, file)] = 0;
    fclose(file);
    json_t *document = json_loads(text, 0, NULL);
    if (got != status || !document)
        printf("\nstatus %d\n%s\n", got, text);
    CU_ASSERT_EQUAL(got, status);
    CU_ASSERT_PTR_NOT_NULL_FATAL(document);
    return document;
}

/* There is a finding of this level whose sentence or subject has `part`. */
static void expect_finding(const json_t *document, const char *level, const char *part)
{
    size_t at;
    const json_t *line;
    json_array_foreach(json_object_get(document, "findings"), at, line)
    {
        if (strcmp(json_string_value(json_object_get(line, "level")), level) == 0 &&
            (strstr(json_string_value(json_object_get(line, "found")), part) ||
             strstr(json_string_value(json_object_get(line, "subject")), part)))
            return;
    }
    char *text = json_dumps(document, JSON_INDENT(1));
    printf("\nno finding '%s' with '%s' in\n%s\n", level, part, text);
    free(text);
    CU_FAIL("a finding is missing");
}

static int64_t count(const json_t *document, const char *what)
{
    return json_integer_value(json_object_get(document, what));
}

static void a_cluster_that_is_well_gets_no_warning(void)
{
    open_cluster();
    json_t *document = check(VERB_DONE);
    CU_ASSERT_EQUAL(count(document, "failed"), 0);
    CU_ASSERT_EQUAL(count(document, "warnings"), 0);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(document, "findings")), 16);
    expect_finding(document, "ok", "v1.34.4");
    expect_finding(document, "ok", "node-1");
    json_decref(document);
    close_cluster();
}

/* One answer of the cluster is another, and one finding says so. */
static void what_is_wrong_is_named(void)
{
    static const struct {
        const char *line;
        int answer;
        const char *body, *level, *part;
    } cases[] = {
        {"GET /version", 500, "{}", "failed", "answered 500"},
        {"GET /version", 200, "{\"major\":\"1\",\"minor\":\"28+\"}", "warning", "cluster"},
        {"POST " SYSTEM "configmaps?dryRun=All", 201,
         "{\"metadata\":{\"creationTimestamp\":\"2020-01-01T00:00:00Z\"}}", "warning",
         "2020-01-01T00:00:00Z"},
        {"POST " SYSTEM "configmaps?dryRun=All", 403, "{}", "unknown", "clock"},
        {REVIEW "subject", 201, "{\"status\":{\"allowed\":false}}", "failed",
         "handfast-injector may not: list secrets handfast-injector-tls"},
        {REVIEW "subject", 403, "{}", "warning", "the control plane's permissions"},
        {REVIEW "self", 201, "{\"status\":{\"allowed\":false}}", "warning", "you may not: list"},
        {CRDS "peerauthentications.handfast.io", 404, "{}", "failed",
         "peerauthentications.handfast.io"},
        {CRDS "peerauthentications.handfast.io", 200, "{}", "failed", "does not serve version v1"},
        {DEPLOYMENTS "handfast-control", 200, REPLICAS(0), "failed", "0 of 2"},
        {DEPLOYMENTS "handfast-control", 200, REPLICAS(1), "warning", "1 of 2"},
        {DEPLOYMENTS "handfast-injector", 404, "{}", "failed", "no such Deployment"},
        {"GET " SYSTEM "pods/control-1:15014/proxy/healthz/ready", 503, "", "warning",
         "control-1 (/healthz/ready says 503)"},
        {"GET " SYSTEM TRUST, 404, "{}", "failed", "trust bundle"},
        {"GET " SYSTEM TRUST, 200, "{\"data\":{\"root-cert.pem\":\"x\"}}", "failed",
         "has no certificate"},
        {WEBHOOK, 404, "{}", "failed", "no MutatingWebhookConfiguration"},
        {WEBHOOK, 200, "{\"webhooks\":[{\"clientConfig\":{}}]}", "failed", "caBundle is empty"},
        {WEBHOOK, 200, "{\"webhooks\":[{\"clientConfig\":{\"caBundle\":\"QUJD\"}}]}", "warning",
         "caBundle is not the trust bundle"},
        {"POST /api/v1/namespaces/shop/pods?dryRun=All", 500,
         "{\"kind\":\"Status\",\"message\":\"x509: unknown authority\"}", "failed",
         "x509: unknown authority"},
        {"POST /api/v1/namespaces/shop/pods?dryRun=All", 201, "{\"spec\":{}}", "failed",
         "got no sidecar"},
        {"GET /api/v1/namespaces/shop/" TRUST, 404, "{}", "failed", "shop (none)"},
        {"GET /api/v1/namespaces/shop/" TRUST, 200, "{\"data\":{\"root-cert.pem\":\"x\"}}",
         "failed", "shop (another bundle)"},
        {"GET /api/v1/namespaces/shop/pods", 200, "{\"items\":[{" META("shop", "old") "}]}",
         "warning", "0 have a sidecar, 1 have none: shop/old"},
        {"GET /api/v1/namespaces/shop/pods", 200,
         "{\"items\":[{" META("shop", "agent") ",\"spec\":{\"hostNetwork\":true}}]}", "warning",
         "shop/agent"},
        {"GET /api/v1/namespaces/shop/pods", 200, "{\"items\":[" INJECTED(1) "]}", "failed",
         "node-1 of pod shop/web: no nft_redir here"},
        {"GET /api/v1/namespaces?", 200, "{\"items\":[]}", "unknown", "no namespace asks"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        open_cluster();
        answer_with(cases[i].line, cases[i].answer, "%s", cases[i].body);
        bool fails = strcmp(cases[i].level, "failed") == 0;
        json_t *document = check(fails ? VERB_FAILED : VERB_DONE);
        expect_finding(document, cases[i].level, cases[i].part);
        CU_ASSERT_EQUAL(count(document, "failed") > 0, fails);
        json_decref(document);
        close_cluster();
    }
}

static void a_cluster_that_cannot_be_reached_is_one_finding(void)
{
    open_cluster();
    bed.server.refuses = true;
    json_t *document = check(VERB_FAILED);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(document, "findings")), 1);
    expect_finding(document, "failed", "cluster");
    json_decref(document);
    close_cluster();
}

int main(int argc, char **argv)
{
    struct tls_key *key = tls_key_new();
    if (!key || ca_make_root(key, "test root", &root, NULL) != ERR_OK)
        return 1;
    const struct suite_case cases[] = {
        SUITE_CASE(a_cluster_that_is_well_gets_no_warning),
        SUITE_CASE(what_is_wrong_is_named),
        SUITE_CASE(a_cluster_that_cannot_be_reached_is_one_finding),
        SUITE_END,
    };
    int status = suite_main("check", cases, argc, argv);
    tls_key_unref(key);
    free(root);
    return status;
}
