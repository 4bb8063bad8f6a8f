#include "proxy/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "suite.h"
#include "tls/ca.h"
#include "xds/certificate.h"
#include "xds/types.h"

/* An identity whose control plane answers in this program. */
static struct {
    struct loop loop;
    struct timers timers;
    struct timer alive;
    struct rpc *rpc;
    struct rpc_server *server;
    struct rpc_channel *channel;
    struct config config;
    struct identity identity;
    struct tls_key *asked; /* what the last certificate was issued for */
    struct ca *ca, *other_ca;
    char *root, *other_root;
    char token_file[64];
    char token[64]; /* as the server saw it */
    int64_t ttl_s;
    unsigned calls, contexts;
    bool refuse, garbage, foreign;
} bed;

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "identity_test: %s\n", what);
    abort();
}

/* --- the control plane ----------------------------------------------------------------------- */

static void on_message(struct rpc_call *call, const void *data, size_t len, void *arg)
{
    char *csr = NULL;
    void *answer = NULL;
    size_t answer_len = 0;
    int64_t ttl_s = 0;
    struct err err = {0};
    struct ca_issued issued = {0};
    const struct ca *ca = bed.foreign ? bed.other_ca : bed.ca;
    (void)arg;
    tls_key_unref(bed.asked);
    bed.asked = tls_key_ref(bed.identity.asked_key);
    must(xds_certificate_request_decode(data, len, &csr, &ttl_s, &err) == ERR_OK, err.text);
    must(ca_issue_leaf(ca, &bed.config.id, csr, strlen(csr), bed.ttl_s, &issued, &err) == ERR_OK,
         err.text);
    const char *chain[] = {bed.garbage ? "garbage" : issued.leaf_pem, ca_root_pem(ca)};
    must(xds_certificate_response_encode(chain, 2, &answer, &answer_len, &err) == ERR_OK, err.text);
    must(rpc_call_send_take(call, answer, answer_len) == ERR_OK, "send");
    rpc_call_finish(call, RPC_OK, NULL);
    ca_issued_deinit(&issued);
    free(csr);
}

static void on_end(struct rpc_call *call, int status, const char *message, void *arg)
{
    (void)call;
    (void)status;
    (void)message;
    (void)arg;
}

static void on_open(struct rpc_call *call, void *arg)
{
    static const struct rpc_call_events events = {.on_message = on_message, .on_end = on_end};
    size_t len = 0;
    const char *token = rpc_call_initial(call, "authorization", &len);
    (void)arg;
    bed.calls++;
    snprintf(bed.token, sizeof bed.token, "%.*s", (int)len, token ? token : "");
    if (bed.refuse)
        rpc_call_finish(call, RPC_UNAUTHENTICATED, "who are you?");
    else
        must(rpc_call_accept(call, NULL, 0, &events, NULL) == ERR_OK, "accept");
}

static const struct rpc_method methods[] = {{XDS_METHOD_CERTIFICATE, on_open}, {NULL, NULL}};

/* --- the bed --------------------------------------------------------------------------------- */

static void on_context(struct identity *identity, struct tls_context *context)
{
    (void)identity;
    (void)context;
    bed.contexts++;
}

static void on_alive(struct timer *timer)
{
    (void)timer;
}

static struct ca *make_authority(const char *name, char **root)
{
    struct ca *ca;
    struct err err = {0};
    struct tls_key *key = tls_key_new();
    must(ca_make_root(key, name, root, &err) == ERR_OK, err.text);
    must(ca_new(&ca, key, *root, *root, &err) == ERR_OK, err.text);
    tls_key_unref(key);
    return ca;
}

static void write_token(const char *text)
{
    struct err err;
    must(file_write_atomic(bed.token_file, text, strlen(text), 0600, &err) == ERR_OK, err.text);
}

static void connect_channel(void)
{
    int ends[2];
    struct err err;
    must(socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0, "socketpair");
    must(rpc_server_add_fd(bed.server, ends[0], NULL, &err) != NULL, err.text);
    bed.channel = rpc_channel_new(bed.rpc, ends[1], "control", &err);
    must(bed.channel != NULL, err.text);
    identity_set_channel(&bed.identity, bed.channel);
}

static void begin(void)
{
    struct err err = {0};
    memset(&bed, 0, sizeof bed);
    log_set_level(LOG_LEVEL_ERROR);
    bed.ttl_s = 3600;
    bed.ca = make_authority("root", &bed.root);
    bed.other_ca = make_authority("other root", &bed.other_root);
    snprintf(bed.token_file, sizeof bed.token_file, "/tmp/identity_test.XXXXXX");
    close(mkstemp(bed.token_file));
    write_token("  token-1\n");
    must(loop_init(&bed.loop, &err) == ERR_OK &&
             timers_init(&bed.timers, &bed.loop, &err) == ERR_OK,
         err.text);
    timer_start(&bed.timers, &bed.alive, 3600000, on_alive);
    bed.rpc = rpc_start(&bed.loop, &err);
    must(bed.rpc != NULL, err.text);
    bed.server = rpc_server_new(bed.rpc, methods, NULL, &err);
    bed.config = (struct config){.trust_domain = "test.mesh",
                                 .control = "control",
                                 .cluster_id = "",
                                 .token_file = bed.token_file};
    must(spiffe_make(&bed.config.id, "test.mesh", "shop", "web"), "id");
    bed.identity.config = &bed.config;
    bed.identity.timers = &bed.timers;
    bed.identity.on_context = on_context;
    identity_init(&bed.identity);
}

static void on_rpc_closed(void *arg)
{
    (void)arg;
    timers_close(&bed.timers, NULL);
}

static void on_identity_closed(struct identity *identity)
{
    (void)identity;
    if (bed.channel)
        rpc_channel_close(bed.channel);
    rpc_close(bed.rpc, on_rpc_closed, NULL);
}

static void end(void)
{
    identity_close(&bed.identity, on_identity_closed);
    loop_run(&bed.loop);
    loop_deinit(&bed.loop);
    unlink(bed.token_file);
    tls_key_unref(bed.asked);
    ca_unref(bed.ca);
    ca_unref(bed.other_ca);
    free(bed.root);
    free(bed.other_root);
}

/* Runs the loop until so many requests have ended, well or badly. */
static bool run_until(uint64_t renewals, uint64_t failures)
{
    int64_t until = clock_now_ms() + 10000;
    while (bed.identity.renewals < renewals || bed.identity.failures < failures) {
        if (clock_now_ms() > until)
            return false;
        uv_run(&bed.loop.uv, UV_RUN_ONCE);
    }
    return true;
}

static void set_bundle(const char *first, const char *second)
{
    const struct xds_trust_domain domains[] = {
        {.name = "", .pem = first, .pem_len = strlen(first)},
        {.name = "other.mesh", .pem = second, .pem_len = second ? strlen(second) : 0},
    };
    const struct xds_bundle bundle = {.domains = domains, .domain_count = second ? 2 : 1};
    identity_set_bundle(&bed.identity, &bundle);
}

static const char *serial(void)
{
    return tls_context_identity(bed.identity.context)->serial;
}

/* --- cases ----------------------------------------------------------------------------------- */

static void the_first_channel_brings_a_certificate_for_exactly_our_identity(void)
{
    begin();
    connect_channel();
    CU_ASSERT_TRUE_FATAL(run_until(1, 0));
    CU_ASSERT_EQUAL(bed.contexts, 1);
    CU_ASSERT_STRING_EQUAL(bed.token, "Bearer token-1");
    CU_ASSERT_STRING_EQUAL(tls_context_identity(bed.identity.context)->id.text,
                           "spiffe://test.mesh/ns/shop/sa/web");
    CU_ASSERT_TRUE(bed.identity.skew_known);
    CU_ASSERT_TRUE(bed.identity.skew_s >= -1 && bed.identity.skew_s <= 1);
    int64_t wait_ms = bed.identity.renew_at_ms - clock_now_ms();
    CU_ASSERT_TRUE(wait_ms > 1430000 && wait_ms <= 1800000);
    CU_ASSERT_EQUAL(bed.identity.root_count, 1);
    end();
}

static void renewal_reads_the_token_again_and_takes_a_new_key(void)
{
    char before[48];
    begin();
    bed.ttl_s = 1;
    connect_channel();
    CU_ASSERT_TRUE_FATAL(run_until(1, 0));
    struct tls_key *key = tls_key_ref(bed.asked);
    strcpy(before, serial());
    write_token("token-2");
    CU_ASSERT_TRUE_FATAL(run_until(2, 0));
    CU_ASSERT_STRING_EQUAL(bed.token, "Bearer token-2");
    CU_ASSERT_STRING_NOT_EQUAL(serial(), before);
    CU_ASSERT_PTR_NOT_EQUAL(bed.asked, key);
    tls_key_unref(key);
    end();
}

static void a_refusal_keeps_the_certificate_and_tries_again(void)
{
    begin();
    bed.ttl_s = 2;
    connect_channel();
    CU_ASSERT_TRUE_FATAL(run_until(1, 0));
    bed.refuse = true;
    CU_ASSERT_TRUE_FATAL(run_until(1, 2));
    CU_ASSERT_PTR_NOT_NULL(bed.identity.context);
    CU_ASSERT_EQUAL(bed.identity.last_error.code, ERR_RPC_STATUS);
    CU_ASSERT_PTR_NOT_NULL(strstr(bed.identity.last_error.text, "who are you?"));
    bed.refuse = false;
    CU_ASSERT_TRUE_FATAL(run_until(2, 2));
    CU_ASSERT_EQUAL(bed.identity.last_error.code, ERR_OK);
    end();
}

static void an_answer_that_is_not_what_was_asked_for_is_not_taken(void)
{
    begin();
    bed.garbage = true;
    connect_channel();
    CU_ASSERT_TRUE_FATAL(run_until(0, 1));
    CU_ASSERT_PTR_NULL(bed.identity.context);
    bed.garbage = false;
    bed.foreign = true;
    set_bundle(bed.root, NULL);
    CU_ASSERT_TRUE_FATAL(run_until(0, 2));
    CU_ASSERT_EQUAL(bed.identity.last_error.code, ERR_TLS_UNKNOWN_ROOT);
    CU_ASSERT_PTR_NULL(bed.identity.context);
    CU_ASSERT_EQUAL(bed.contexts, 0);
    end();
}

static void without_a_token_nothing_is_sent(void)
{
    begin();
    write_token(" \n");
    connect_channel();
    CU_ASSERT_TRUE_FATAL(run_until(0, 1));
    CU_ASSERT_EQUAL(bed.identity.last_error.code, ERR_TOKEN_MISSING);
    CU_ASSERT_EQUAL(bed.calls, 0);
    end();
}

static void a_new_bundle_makes_a_new_context_with_the_same_leaf(void)
{
    char before[48];
    begin();
    connect_channel();
    CU_ASSERT_TRUE_FATAL(run_until(1, 0));
    strcpy(before, serial());
    struct tls_context *context = bed.identity.context;
    set_bundle(bed.root, NULL); /* what the chain said already */
    CU_ASSERT_EQUAL(bed.contexts, 1);
    tls_context_ref(context);
    set_bundle(bed.root, bed.other_root);
    CU_ASSERT_EQUAL(bed.contexts, 2);
    CU_ASSERT_PTR_NOT_EQUAL(bed.identity.context, context);
    CU_ASSERT_STRING_EQUAL(serial(), before);
    CU_ASSERT_EQUAL(bed.identity.root_count, 2);
    set_bundle("garbage", NULL);
    CU_ASSERT_EQUAL(bed.contexts, 2);
    CU_ASSERT_EQUAL(bed.identity.root_count, 2);
    tls_context_unref(context);
    end();
}

/* Our own leaf is of the removed root here, so the check of it says what becomes of such a peer. */
static void a_root_that_is_removed_vouches_for_nobody_even_while_renewal_fails(void)
{
    char before[48];
    struct err err;
    begin();
    connect_channel();
    CU_ASSERT_TRUE_FATAL(run_until(1, 0));
    strcpy(before, serial());
    bed.refuse = true;
    set_bundle(bed.other_root, NULL);
    CU_ASSERT_EQUAL(bed.contexts, 2);
    CU_ASSERT_EQUAL(tls_context_check(bed.identity.context, &err), ERR_TLS_UNKNOWN_ROOT);
    CU_ASSERT_STRING_EQUAL(serial(), before);
    CU_ASSERT_TRUE(bed.identity.outdated);
    CU_ASSERT_TRUE_FATAL(run_until(1, 2));
    CU_ASSERT_EQUAL(bed.contexts, 2);
    CU_ASSERT_EQUAL(tls_context_check(bed.identity.context, &err), ERR_TLS_UNKNOWN_ROOT);
    end();
}

static void a_bundle_without_our_root_asks_for_a_new_certificate_at_once(void)
{
    struct err err;
    begin();
    connect_channel();
    CU_ASSERT_TRUE_FATAL(run_until(1, 0));
    bed.foreign = true;
    set_bundle(bed.other_root, NULL);
    CU_ASSERT_TRUE_FATAL(run_until(2, 0));
    CU_ASSERT_EQUAL(bed.contexts, 3); /* the first, the outdated, the new */
    CU_ASSERT_EQUAL(tls_context_check(bed.identity.context, &err), ERR_OK);
    CU_ASSERT_FALSE(bed.identity.outdated);
    end();
}

static void the_nearer_the_expiry_the_shorter_the_pause(void)
{
    CU_ASSERT_EQUAL(identity_retry_ms(30000, 3600000), 30000);
    CU_ASSERT_EQUAL(identity_retry_ms(30000, 60000), 6000);
    CU_ASSERT_EQUAL(identity_retry_ms(30000, 1000), IDENTITY_PAUSE_MIN_MS);
    CU_ASSERT_EQUAL(identity_retry_ms(30000, 0), IDENTITY_URGENT_MAX_MS);
    for (int i = 0; i < 1000; i++) {
        int64_t wait_ms = identity_renewal_ms(100000);
        CU_ASSERT_TRUE(wait_ms > 40000 - 1 && wait_ms <= 50000);
    }
    CU_ASSERT_EQUAL(identity_renewal_ms(0), IDENTITY_PAUSE_MIN_MS);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(the_first_channel_brings_a_certificate_for_exactly_our_identity),
        SUITE_CASE(renewal_reads_the_token_again_and_takes_a_new_key),
        SUITE_CASE(a_refusal_keeps_the_certificate_and_tries_again),
        SUITE_CASE(an_answer_that_is_not_what_was_asked_for_is_not_taken),
        SUITE_CASE(without_a_token_nothing_is_sent),
        SUITE_CASE(a_new_bundle_makes_a_new_context_with_the_same_leaf),
        SUITE_CASE(a_root_that_is_removed_vouches_for_nobody_even_while_renewal_fails),
        SUITE_CASE(a_bundle_without_our_root_asks_for_a_new_certificate_at_once),
        SUITE_CASE(the_nearer_the_expiry_the_shorter_the_pause),
        SUITE_END,
    };
    return suite_main("proxy/identity", cases, argc, argv);
}
