/* The control plane from outside: TLS, tokens and certificates. */
#include "control/control.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "client.h"
#include "suite.h"
#include "xds/certificate.h"

static struct plane plane;
static struct client client;
static struct line line;

static void setup(void)
{
    plane_start(&plane, plane_mesh);
    client_start(&client, &plane);
    CU_ASSERT_FATAL(line_open(&line, &client, plane.port, "control.test"));
}

static void teardown(void)
{
    line_close(&line);
    client_stop(&client);
    plane_stop(&plane);
}

static char *make_csr(const char *service_account)
{
    struct tls_key *key = tls_key_new();
    struct spiffe_id id;
    struct err err;
    char *csr = NULL;
    CU_ASSERT_FATAL(spiffe_make(&id, "test.mesh", "shop", service_account));
    CU_ASSERT_EQUAL_FATAL(tls_key_make_csr(key, &id, &csr, &err), ERR_OK);
    tls_key_unref(key);
    return csr;
}

/* Asks for a certificate; `request` says who asks. */
static struct answer ask(struct request request, const char *csr, int64_t ttl_s)
{
    void *data;
    size_t len;
    struct err err;
    CU_ASSERT_EQUAL_FATAL(xds_certificate_request_encode(csr, ttl_s, &data, &len, &err), ERR_OK);
    request.path = XDS_METHOD_CERTIFICATE;
    request.data = data;
    request.len = len;
    struct answer answer = line_call(&line, &request);
    free(data);
    return answer;
}

static struct answer ask_as_web(int64_t ttl_s)
{
    char *csr = make_csr("web"), *token = plane_token(&plane, "web");
    struct answer answer = ask((struct request){.token = token}, csr, ttl_s);
    free(csr);
    free(token);
    return answer;
}

static bool answer_is(struct answer *answer, int status, const char *message)
{
    bool good = answer->status == status && strstr(answer->message, message);
    if (!good)
        fprintf(stderr, "\nexpected %d %s\nfound    %d %s\n", status, message, answer->status,
                answer->message);
    answer_free(answer);
    return good;
}

static void control_issues_a_chain_that_names_the_token_s_identity(void)
{
    setup();
    struct answer answer = ask_as_web(0);
    struct cert_info chain[4], root_info;
    char *leaf_and_issuer = NULL, *root = NULL, *expected_root = plane_root(&plane);
    size_t count = 4;
    struct err err;
    CU_ASSERT_EQUAL_FATAL(answer.status, RPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        xds_certificate_response_decode(answer.data, answer.len, &leaf_and_issuer, &root, &err),
        ERR_OK);
    CU_ASSERT_EQUAL_FATAL(
        cert_info_parse_chain(chain, &count, leaf_and_issuer, strlen(leaf_and_issuer), &err),
        ERR_OK);
    CU_ASSERT_EQUAL(count, 2);
    CU_ASSERT_STRING_EQUAL(chain[0].uri, "spiffe://test.mesh/ns/shop/sa/web");
    CU_ASSERT_FALSE(chain[0].is_ca);
    CU_ASSERT_TRUE(chain[1].is_ca);
    int64_t life_s = chain[0].not_after_s - clock_wall_s();
    CU_ASSERT(life_s > 86400 - 60 && life_s <= 86400);
    CU_ASSERT(chain[0].not_before_s <= clock_wall_s() - CA_BACKDATE_S);
    CU_ASSERT_EQUAL(cert_info_parse(&root_info, root, strlen(root), &err), ERR_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(root, "BEGIN CERTIFICATE"));
    CU_ASSERT_STRING_EQUAL(root, expected_root);
    CU_ASSERT_EQUAL(plane_metric(&plane, "handfast_control_certificates_issued_total"), 1);
    answer_free(&answer);
    free(leaf_and_issuer);
    free(root);
    free(expected_root);
    teardown();
}

static int64_t life_of(int64_t ttl_s)
{
    struct answer answer = ask_as_web(ttl_s);
    struct cert_info leaf;
    char *chain = NULL, *root = NULL;
    struct err err;
    CU_ASSERT_EQUAL_FATAL(answer.status, RPC_OK);
    CU_ASSERT_EQUAL_FATAL(
        xds_certificate_response_decode(answer.data, answer.len, &chain, &root, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(cert_info_parse(&leaf, chain, strlen(chain), &err), ERR_OK);
    answer_free(&answer);
    free(chain);
    free(root);
    return leaf.not_after_s - clock_wall_s();
}

static void control_gives_the_life_that_is_asked_for(void)
{
    setup();
    int64_t minute = life_of(60), none = life_of(0), negative = life_of(-5);
    CU_ASSERT(minute > 0 && minute <= 60);
    CU_ASSERT(none > 86000 && none <= 86400);
    CU_ASSERT(negative > 86000 && negative <= 86400);
    struct answer answer = ask_as_web(8 * 86400);
    CU_ASSERT(answer_is(&answer, RPC_INVALID_ARGUMENT, "at most 604800 s"));
    answer = ask_as_web(INT64_MAX);
    CU_ASSERT(answer_is(&answer, RPC_INVALID_ARGUMENT, "at most 604800 s"));
    teardown();
}

static void control_refuses_calls_without_a_good_token(void)
{
    setup();
    char *csr = make_csr("web");
    char *audience = plane_token_for(
        &plane, &(struct token_claims){
                    .audience = "istio-ca", .ns = "a", .service_account = "b", .ttl_s = 9});
    char *issuer = plane_token_for(
        &plane,
        &(struct token_claims){
            .issuer = "me", .audience = "handfast", .ns = "a", .service_account = "b", .ttl_s = 9});
    struct tls_key *stranger = tls_key_new();
    char *forged = NULL;
    struct err err;
    token_mint(stranger,
               &(struct token_claims){
                   .audience = "handfast", .ns = "shop", .service_account = "web", .ttl_s = 9},
               &forged, &err);
    const struct {
        struct request request;
        const char *reason;
    } cases[] = {
        {{0}, "token_missing"},
        {{.header = "Basic YTpi"}, "token_missing"},
        {{.header = "Bearer abc"}, "token_malformed"},
        /* {"alg":"none"}.{"sub":"system:serviceaccount:shop:web"}. */
        {{.header = "Bearer eyJhbGciOiJub25lIn0."
                    "eyJzdWIiOiJzeXN0ZW06c2VydmljZWFjY291bnQ6c2hvcDp3ZWIifQ."},
         "token_alg"},
        {{.token = audience}, "token_audience"},
        {{.token = issuer}, "token_issuer"},
        {{.token = forged}, "token_signature"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        struct answer answer = ask(cases[i].request, csr, 0);
        CU_ASSERT(answer_is(&answer, RPC_UNAUTHENTICATED, cases[i].reason));
        struct request stream = cases[i].request;
        stream.path = XDS_METHOD_DELTA;
        stream.stream = true;
        answer = line_call(&line, &stream);
        CU_ASSERT(answer_is(&answer, RPC_UNAUTHENTICATED, cases[i].reason));
    }
    CU_ASSERT_EQUAL(
        plane_metric(&plane,
                     "handfast_control_certificates_refused_total{reason=\"token_audience\"}"),
        1);
    CU_ASSERT_EQUAL(
        plane_metric(&plane, "handfast_control_streams_refused_total{reason=\"token_signature\"}"),
        1);
    CU_ASSERT_EQUAL(plane_metric(&plane, "handfast_control_certificates_issued_total"), 0);
    free(csr);
    free(audience);
    free(issuer);
    free(forged);
    tls_key_unref(stranger);
    teardown();
}

static void control_refuses_another_cluster_s_callers(void)
{
    setup();
    char *csr = make_csr("web"), *token = plane_token(&plane, "web");
    struct answer answer = ask((struct request){.token = token, .cluster = "elsewhere"}, csr, 0);
    CU_ASSERT(answer_is(&answer, RPC_UNAUTHENTICATED, "the caller says cluster 'elsewhere'"));
    answer = ask((struct request){.token = token, .cluster = "Kubernetes"}, csr, 0);
    CU_ASSERT(answer_is(&answer, RPC_OK, ""));
    free(csr);
    free(token);
    teardown();
}

static void control_takes_nothing_but_the_key_from_a_request(void)
{
    setup();
    char *csr = make_csr("client"), *token = plane_token(&plane, "web");
    struct answer answer = ask((struct request){.token = token}, csr, 0);
    CU_ASSERT(answer_is(&answer, RPC_PERMISSION_DENIED, "csr_identity"));
    answer = ask((struct request){.token = token}, "not a request", 0);
    CU_ASSERT(answer_is(&answer, RPC_INVALID_ARGUMENT, "csr_malformed"));
    /* A proof of possession that does not hold. */
    char *at = strchr(csr, '\n') + 180;
    *at = *at == 'A' ? 'B' : 'A';
    answer = ask((struct request){.token = token}, csr, 0);
    CU_ASSERT(answer_is(&answer, RPC_INVALID_ARGUMENT, "csr_"));
    free(csr);
    free(token);
    teardown();
}

static void control_refuses_requests_that_are_too_large_or_no_messages(void)
{
    setup();
    char *token = plane_token(&plane, "web"), *large = malloc((1 << 20) + 1);
    memset(large, 'a', 1 << 20);
    large[1 << 20] = 0;
    struct answer answer = ask((struct request){.token = token}, large, 0);
    CU_ASSERT(answer_is(&answer, RPC_INVALID_ARGUMENT, "too_large"));
    const struct request malformed = {
        .path = XDS_METHOD_CERTIFICATE, .token = token, .data = "\xff\xff\xff", .len = 3};
    answer = line_call(&line, &malformed);
    CU_ASSERT(answer_is(&answer, RPC_INVALID_ARGUMENT, "xds_malformed"));
    const struct request empty = {
        .path = XDS_METHOD_CERTIFICATE, .token = token, .data = "", .len = 0};
    answer = line_call(&line, &empty);
    CU_ASSERT(answer_is(&answer, RPC_INVALID_ARGUMENT, "csr_malformed"));
    const struct request unknown = {.path = "/a.B/C", .token = token, .data = "", .len = 0};
    answer = line_call(&line, &unknown);
    CU_ASSERT(answer_is(&answer, RPC_UNIMPLEMENTED, "no such method"));
    free(large);
    free(token);
    teardown();
}

static void no_patience(struct config *config)
{
    config->issue_deadline_ms = 50;
}

static void control_does_not_wait_for_a_request_that_never_comes(void)
{
    plane_start_with(&plane, plane_mesh, no_patience);
    client_start(&client, &plane);
    CU_ASSERT_FATAL(line_open(&line, &client, plane.port, "control.test"));
    char *token = plane_token(&plane, "web");
    const struct request silent = {.path = XDS_METHOD_CERTIFICATE, .token = token, .stream = true};
    struct answer answer = line_call(&line, &silent);
    CU_ASSERT(answer_is(&answer, RPC_DEADLINE_EXCEEDED, "too long"));
    CU_ASSERT(plane_metric_reaches(
        &plane, "handfast_control_certificates_refused_total{reason=\"timeout\"}", 1));
    answer = ask_as_web(0);
    CU_ASSERT(answer_is(&answer, RPC_OK, ""));
    free(token);
    teardown();
}

/* Calls for a certificate that stay open. */
enum { WAITING = 7 };

static unsigned waiting_ends;
static int waiting_status;
static char waiting_text[RPC_TEXT_MAX];

static void waiting_on_message(struct rpc_call *call, const void *data, size_t len, void *arg)
{
    (void)call, (void)data, (void)len, (void)arg;
}

static void waiting_on_end(struct rpc_call *call, int status, const char *message, void *arg)
{
    (void)call, (void)arg;
    if (waiting_ends++ > 0)
        return;
    waiting_status = status;
    snprintf(waiting_text, sizeof waiting_text, "%s", message);
}

static bool have_ended(void *arg)
{
    return waiting_ends >= *(unsigned *)arg;
}

/* Of a pool of 8 one identity gets 4, and 2 for its workload. */
static void sixteen_places(struct config *config)
{
    config->limits.connections = 16;
}

static void control_bounds_the_requests_that_it_waits_for(void)
{
    static const struct rpc_call_events events = {.on_message = waiting_on_message,
                                                  .on_end = waiting_on_end};
    char header[TOKEN_MAX];
    struct err err;
    unsigned first = 1, all = WAITING;
    waiting_ends = 0;
    plane_start_with(&plane, plane_mesh, sixteen_places);
    client_start(&client, &plane);
    CU_ASSERT_FATAL(line_open(&line, &client, plane.port, "control.test"));
    char *token = plane_token(&plane, "web");
    snprintf(header, sizeof header, "Bearer %s", token);
    const struct rpc_metadata metadata = {"authorization", header, strlen(header)};
    for (int i = 0; i < WAITING; i++)
        CU_ASSERT_FATAL(rpc_call_start(line.channel, XDS_METHOD_CERTIFICATE, &metadata, 1, 0,
                                       &events, NULL, &err) != NULL);
    CU_ASSERT_TRUE(client_wait(&client, have_ended, &first));
    CU_ASSERT_EQUAL(waiting_status, RPC_RESOURCE_EXHAUSTED);
    CU_ASSERT_PTR_NOT_NULL(strstr(waiting_text, "holds 6 requests for certificates already"));
    /* Somebody else's is answered. */
    char *csr = make_csr("client"), *other = plane_token(&plane, "client");
    struct answer answer = ask((struct request){.token = other}, csr, 0);
    CU_ASSERT(answer_is(&answer, RPC_OK, ""));
    CU_ASSERT_EQUAL(waiting_ends, 1);
    line_close(&line);
    CU_ASSERT_TRUE(client_wait(&client, have_ended, &all));
    CU_ASSERT_FATAL(line_open(&line, &client, plane.port, "control.test"));
    answer = ask_as_web(0);
    CU_ASSERT(answer_is(&answer, RPC_OK, ""));
    free(csr);
    free(other);
    free(token);
    teardown();
}

static void control_shows_a_certificate_for_its_own_name_only(void)
{
    struct line other;
    setup();
    CU_ASSERT_FALSE(line_open(&other, &client, plane.port, "control.example"));
    CU_ASSERT_EQUAL(other.err.code, ERR_TLS_NAME);
    CU_ASSERT(plane_metric_reaches(&plane, "handfast_control_connections_opened_total", 1));
    teardown();
}

/* A foreign TLS client: Debian's OpenSSL, which shares no code with ours. */
static void control_satisfies_openssl(void)
{
    char command[2 * PATH_MAX], output[16384] = "";
    setup();
    snprintf(command, sizeof command,
             "openssl s_client -connect 127.0.0.1:%u -alpn h2 -CAfile %s/root.pem "
             "-verify_hostname control.test -verify_return_error </dev/null 2>&1",
             plane.port, plane.state);
    FILE *pipe = popen(command, "r");
    CU_ASSERT_FATAL(pipe != NULL);
    size_t len = fread(output, 1, sizeof output - 1, pipe);
    output[len] = 0;
    if (pclose(pipe) != 0)
        fprintf(stderr, "\nopenssl s_client (package openssl) failed:\n%s\n", output);
    CU_ASSERT_PTR_NOT_NULL(strstr(output, "Verify return code: 0 (ok)"));
    CU_ASSERT_PTR_NOT_NULL(strstr(output, "ALPN protocol: h2"));
    CU_ASSERT_PTR_NOT_NULL(strstr(output, "TLSv1.3"));
    CU_ASSERT_PTR_NOT_NULL(strstr(output, "Verified peername: control.test"));
    teardown();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(control_issues_a_chain_that_names_the_token_s_identity),
        SUITE_CASE(control_gives_the_life_that_is_asked_for),
        SUITE_CASE(control_refuses_calls_without_a_good_token),
        SUITE_CASE(control_refuses_another_cluster_s_callers),
        SUITE_CASE(control_takes_nothing_but_the_key_from_a_request),
        SUITE_CASE(control_refuses_requests_that_are_too_large_or_no_messages),
        SUITE_CASE(control_does_not_wait_for_a_request_that_never_comes),
        SUITE_CASE(control_bounds_the_requests_that_it_waits_for),
        SUITE_CASE(control_shows_a_certificate_for_its_own_name_only),
        SUITE_CASE(control_satisfies_openssl),
        SUITE_END,
    };
    return suite_main("control.control", cases, argc, argv);
}
