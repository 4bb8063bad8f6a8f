/* Every refusal of the handshake, from both ends: the code and the sentence of the one who refuses,
 * the alert that the other one reads. */
#include "tls/verify.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pair.h"
#include "pki.h"
#include "suite.h"

enum { NOW_S = 1790000000 };

static struct pki_ca *root, *issuer, *foreign, *limited, *below;
static struct tls_bundle *bundle;
static struct tls_context *good;
static struct spiffe_id a_id, b_id;

/* What the peer presents, and what becomes of it. `says` is a part of the sentence. */
struct refusal {
    const char *name;
    struct pki_leaf leaf;
    struct pki_ca **ca; /* NULL: the good issuer */
    enum err_code code;
    const char *says, *alert;
};

static const struct refusal refusals[] = {
    {"two URI SANs",
     {.uris = {PKI_A, PKI_B}},
     NULL,
     ERR_TLS_URI_SAN_COUNT,
     "has 2 URI SANs, expected exactly one",
     "bad_certificate"},
    {"the same URI SAN twice",
     {.uris = {PKI_A, PKI_A}},
     NULL,
     ERR_TLS_URI_SAN_COUNT,
     "has 2 URI SANs",
     "bad_certificate"},
    {"three URI SANs",
     {.uris = {PKI_A, PKI_B, "https://x"}},
     NULL,
     ERR_TLS_URI_SAN_COUNT,
     "has 3 URI SANs",
     "bad_certificate"},
    {"a DNS name alone",
     {.no_uri = true, .dns = {"web.shop"}},
     NULL,
     ERR_TLS_URI_SAN_COUNT,
     "has 0 URI SANs",
     "bad_certificate"},
    {"no SAN at all",
     {.no_uri = true},
     NULL,
     ERR_TLS_URI_SAN_COUNT,
     "has 0 URI SANs",
     "bad_certificate"},
    {"an https URI",
     {.uris = {"https://mesh.test/ns/shop/sa/web"}},
     NULL,
     ERR_TLS_SPIFFE_ID,
     "\"https://mesh.test/ns/shop/sa/web\"",
     "bad_certificate"},
    {"a trust domain without a path",
     {.uris = {"spiffe://mesh.test"}},
     NULL,
     ERR_TLS_SPIFFE_ID,
     "\"spiffe://mesh.test\"",
     "bad_certificate"},
    {"a null behind the expected identity",
     {.uris = {PKI_A "\0.evil"}, .uri_len = sizeof PKI_A "\0.evil" - 1},
     NULL,
     ERR_TLS_SPIFFE_ID,
     "sa/web?.evil\"",
     "bad_certificate"},
    {"a foreign trust domain",
     {.uris = {"spiffe://other.test/ns/shop/sa/web"}},
     NULL,
     ERR_TLS_TRUST_DOMAIN,
     "spiffe://other.test/ns/shop/sa/web, expected the trust domain mesh.test",
     "unknown_ca"},
    {"a trust domain that ours is a prefix of",
     {.uris = {"spiffe://mesh.testing/ns/shop/sa/web"}},
     NULL,
     ERR_TLS_TRUST_DOMAIN,
     "expected the trust domain mesh.test",
     "unknown_ca"},
    {"an expired leaf",
     {.from_s = -7200, .to_s = -10},
     NULL,
     ERR_TLS_EXPIRED,
     "expired at 2026-09-21T14:13:10Z; our clock says 2026-09-21T14:13:20Z, the control plane's "
     "2026-09-21T14:15:20Z (120 s ahead of ours)",
     "certificate_expired"},
    {"a leaf from the future",
     {.from_s = 10},
     NULL,
     ERR_TLS_NOT_YET_VALID,
     "is not valid before 2026-09-21T14:13:30Z; our clock says 2026-09-21T14:13:20Z, the control "
     "plane's 2026-09-21T14:15:20Z (120 s ahead of ours)",
     "certificate_expired"},
    {"clientAuth alone",
     {.eku = "clientAuth"},
     NULL,
     ERR_TLS_EKU,
     "without serverAuth, expected both",
     "unsupported_certificate"},
    {"serverAuth alone",
     {.eku = "serverAuth"},
     NULL,
     ERR_TLS_EKU,
     "without clientAuth, expected both",
     "unsupported_certificate"},
    {"another extended key usage",
     {.eku = "codeSigning"},
     NULL,
     ERR_TLS_EKU,
     "without clientAuth serverAuth",
     "unsupported_certificate"},
    {"CA:TRUE",
     {.constraints = "critical,CA:TRUE"},
     NULL,
     ERR_TLS_CA_LEAF,
     "has cA true",
     "unsupported_certificate"},
    {"no key usage",
     {.key_usage = ""},
     NULL,
     ERR_TLS_KEY_USAGE,
     "has no key usage, expected digitalSignature",
     "unsupported_certificate"},
    {"keyCertSign",
     {.key_usage = "critical,digitalSignature,keyCertSign"},
     NULL,
     ERR_TLS_KEY_USAGE,
     "keyCertSign, which a leaf must not have",
     "unsupported_certificate"},
    {"cRLSign",
     {.key_usage = "critical,digitalSignature,cRLSign"},
     NULL,
     ERR_TLS_KEY_USAGE,
     "cRLSign, which a leaf must not have",
     "unsupported_certificate"},
    {"an unknown root",
     {.uris = {NULL}},
     &foreign,
     ERR_TLS_UNKNOWN_ROOT,
     "chains to no root of trust domain mesh.test",
     "unknown_ca"},
    {"a damaged signature",
     {.damage = true},
     NULL,
     ERR_TLS_SIGNATURE,
     "the signature of the peer's certificate",
     "bad_certificate"},
    {"an issuer below one with pathlen 0",
     {.uris = {NULL}},
     &below,
     ERR_TLS_BAD_CERTIFICATE,
     "path length constraint exceeded",
     "bad_certificate"},
};

static void run(struct pair *pair, struct tls_context *client, const struct spiffe_id *expected,
                struct tls_context *server)
{
    pair_init(pair, tls_conn_new_client(client, expected, 1), tls_conn_new_server(server));
    CU_ASSERT_FALSE(pair_handshake(pair, 0));
    /* A client is done before the server has looked at its certificate; it reads the alert later.
     */
    if (pair->end[CLIENT].status == TLS_OK)
        pair->end[CLIENT].status = pair_read(pair, CLIENT, 0, NULL);
}

/* Who refuses (`by`) has the code and the sentence; the other end has the alert's name. */
static void check_refused(const struct refusal *row, struct pair *pair, int by)
{
    struct pair_end *end = &pair->end[by], *other = &pair->end[1 - by];
    const char *alert = tls_conn_alert(other->conn);
    if (end->err.code != row->code || !strstr(end->err.text, row->says) || !alert ||
        strcmp(alert, row->alert) != 0)
        printf("\n    %s, refused by the %s: [%s] \"%s\"; the other end: [%s] \"%s\"", row->name,
               by == CLIENT ? "client" : "server", err_label(end->err.code), end->err.text,
               err_label(other->err.code), other->err.text);
    CU_ASSERT_EQUAL(end->status, TLS_FAILED);
    CU_ASSERT_EQUAL(end->err.code, row->code);
    CU_ASSERT_PTR_NOT_NULL(strstr(end->err.text, row->says));
    CU_ASSERT_EQUAL(other->status, TLS_FAILED);
    CU_ASSERT_EQUAL(other->err.code, ERR_TLS_ALERT);
    CU_ASSERT_PTR_NOT_NULL(strstr(other->err.text, row->alert));
    CU_ASSERT_PTR_NOT_NULL_FATAL(alert);
    CU_ASSERT_STRING_EQUAL(alert, row->alert);
}

static void check_both_ends(const struct refusal *row)
{
    struct tls_context *bad = pki_context(row->ca ? *row->ca : issuer, &row->leaf, bundle, "istio");
    struct pair pair;
    run(&pair, bad, &b_id, good);
    check_refused(row, &pair, SERVER);
    CU_ASSERT_EQUAL(tls_conn_peer(pair.end[SERVER].conn)->id.len, 0);
    pair_deinit(&pair);
    run(&pair, good, &a_id, bad);
    check_refused(row, &pair, CLIENT);
    CU_ASSERT_EQUAL(tls_conn_peer(pair.end[CLIENT].conn)->id.len, 0);
    pair_deinit(&pair);
    tls_context_unref(bad);
}

static void either_end_refuses_each_bad_certificate_for_its_own_reason(void)
{
    for (size_t i = 0; i < sizeof refusals / sizeof refusals[0]; i++)
        check_both_ends(&refusals[i]);
}

static void good_but_unusual_certificates_are_accepted(void)
{
    static const struct pki_leaf leaves[] = {
        {.uris = {PKI_A}},
        {.uris = {PKI_A}, .eku = ""},
        {.uris = {PKI_A}, .eku = "clientAuth,serverAuth,codeSigning"},
        {.uris = {PKI_A}, .dns = {"web.shop", "web"}},
        {.uris = {PKI_A}, .constraints = ""},
        {.uris = {PKI_A}, .key_usage = "critical,digitalSignature,keyEncipherment"},
    };
    for (size_t i = 0; i < sizeof leaves / sizeof leaves[0]; i++) {
        struct tls_context *unusual = pki_context(issuer, &leaves[i], bundle, "istio");
        struct pair pair;
        pair_init(&pair, tls_conn_new_client(unusual, &b_id, 1), tls_conn_new_server(good));
        CU_ASSERT_TRUE(pair_handshake(&pair, 0));
        if (pair.end[SERVER].err.text[0])
            printf("\n    row %zu: %s", i, pair.end[SERVER].err.text);
        pair_deinit(&pair);
        tls_context_unref(unusual);
    }
}

static void other_identity_than_expected_is_refused(void)
{
    static const struct refusal row = {"somebody else",
                                       {.uris = {PKI_A}},
                                       NULL,
                                       ERR_TLS_ID_MISMATCH,
                                       "is for " PKI_B ", expected " PKI_A,
                                       "access_denied"};
    struct pair pair;
    run(&pair, good, &a_id, good);
    check_refused(&row, &pair, CLIENT);
    pair_deinit(&pair);
    /* One of several is enough, and which of them was proven is known. */
    struct spiffe_id several[3] = {a_id, pki_id(PKI_B "-2"), b_id};
    pair_init(&pair, tls_conn_new_client(good, several, 3), tls_conn_new_server(good));
    CU_ASSERT_TRUE(pair_handshake(&pair, 0));
    CU_ASSERT_TRUE(spiffe_equal(&tls_conn_peer(pair.end[CLIENT].conn)->id, &b_id));
    pair_deinit(&pair);
    pair_init(&pair, tls_conn_new_client(good, several, 2), tls_conn_new_server(good));
    CU_ASSERT_FALSE(pair_handshake(&pair, 0));
    CU_ASSERT_EQUAL(pair.end[CLIENT].err.code, ERR_TLS_ID_MISMATCH);
    CU_ASSERT_PTR_NOT_NULL(strstr(pair.end[CLIENT].err.text, "or one of 1 others"));
    pair_deinit(&pair);
}

static void client_without_a_certificate_is_refused(void)
{
    struct tls_context *nobody = NULL;
    static const struct refusal row = {.name = "no certificate",
                                       .code = ERR_TLS_NO_CERTIFICATE,
                                       .says = "expected a client certificate of the mesh",
                                       .alert = "certificate_required"};
    CU_ASSERT_EQUAL_FATAL(tls_context_new_roots(&nobody, bundle, NULL), ERR_OK);
    struct tls_context *h2 = pki_context(issuer, &(struct pki_leaf){.uris = {PKI_B}}, bundle, "h2");
    struct pair pair;
    run(&pair, nobody, &b_id, h2);
    check_refused(&row, &pair, SERVER);
    pair_deinit(&pair);
    tls_context_unref(nobody);
    tls_context_unref(h2);
}

static void alpn_without_a_common_name_is_refused(void)
{
    static const struct refusal row = {.name = "ALPN",
                                       .code = ERR_TLS_ALPN,
                                       .says = "offers the ALPN \"h2\", expected \"istio\"",
                                       .alert = "no_application_protocol"};
    struct tls_context *h2 = pki_context(issuer, &(struct pki_leaf){.uris = {PKI_A}}, bundle, "h2");
    struct pair pair;
    run(&pair, h2, &b_id, good);
    check_refused(&row, &pair, SERVER);
    pair_deinit(&pair);
    tls_context_unref(h2);
}

/* One step of a server with bytes that no client of ours would send. */
static struct err feed_server(const uint8_t *bytes, size_t len, size_t *answer_len)
{
    struct tls_conn *conn = tls_conn_new_server(good);
    uint8_t out[TLS_HANDSHAKE_OUT_MAX];
    struct err err = {0};
    enum tls_status status = TLS_WANT_INPUT;
    *answer_len = 0;
    for (size_t i = 0; i < len && status == TLS_WANT_INPUT; i++) {
        uint8_t byte = bytes[i];
        struct tls_io io = {.in = &byte, .in_len = 1, .out = out, .out_size = sizeof out};
        status = tls_conn_handshake(conn, &io, &err);
        *answer_len += io.out_len;
    }
    CU_ASSERT_EQUAL(status, TLS_FAILED);
    /* Once failed, failed for ever. */
    struct tls_io io = {.out = out, .out_size = sizeof out};
    struct err again;
    CU_ASSERT_EQUAL(tls_conn_handshake(conn, &io, &again), TLS_FAILED);
    CU_ASSERT_EQUAL(again.code, err.code);
    tls_conn_free(conn);
    return err;
}

static void plaintext_is_named_and_not_answered(void)
{
    static const char *const texts[] = {"GET / HTTP/1.1\r\n", "PRI * HTTP/2.0\r\n", "\x16garbage",
                                        "\x15\x03\x03"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        size_t answered;
        struct err err = feed_server((const uint8_t *)texts[i], strlen(texts[i]), &answered);
        CU_ASSERT_EQUAL(err.code, ERR_TLS_PLAINTEXT);
        CU_ASSERT_EQUAL(answered, 0);
    }
    /* A client hears a server that speaks first. */
    struct tls_conn *conn = tls_conn_new_client(good, &a_id, 1);
    uint8_t out[TLS_HANDSHAKE_OUT_MAX];
    struct err err;
    struct tls_io io = {.out = out, .out_size = sizeof out};
    CU_ASSERT_EQUAL(tls_conn_handshake(conn, &io, &err), TLS_WANT_INPUT);
    io = (struct tls_io){.in = (const uint8_t *)"220 smtp ready\r\n",
                         .in_len = 16,
                         .out = out,
                         .out_size = sizeof out};
    CU_ASSERT_EQUAL(tls_conn_handshake(conn, &io, &err), TLS_FAILED);
    CU_ASSERT_EQUAL(err.code, ERR_TLS_PLAINTEXT);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "0x32"));
    tls_conn_free(conn);
}

static void garbage_in_a_record_is_refused(void)
{
    uint8_t bytes[600] = {0x16, 3, 1, 2, 0};
    unsigned seed = 5;
    size_t answered;
    for (int round = 0; round < 50; round++) {
        for (size_t i = 5; i < sizeof bytes; i++)
            bytes[i] = (uint8_t)rand_r(&seed);
        struct err err = feed_server(bytes, sizeof bytes, &answered);
        CU_ASSERT_TRUE(err.code == ERR_TLS_PROTOCOL || err.code == ERR_TLS_RECORD);
        CU_ASSERT_TRUE(err.text[0] != 0);
    }
    uint8_t too_long[] = {0x16, 3, 1, 0xff, 0xff, 1};
    CU_ASSERT_EQUAL(feed_server(too_long, sizeof too_long, &answered).code, ERR_TLS_RECORD);
}

static void tls_1_2_client_is_refused_for_its_version(void)
{
    uint8_t hello[4096];
    size_t answered;
    size_t len = pki_client_hello(0x0301, 0x0303, "\5istio", hello, sizeof hello);
    struct err err = feed_server(hello, len, &answered);
    CU_ASSERT_EQUAL(err.code, ERR_TLS_VERSION);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "expected TLS 1.3"));
    CU_ASSERT_TRUE(answered > 0);
}

static void absence_of_alpn_is_refused_by_either_end(void)
{
    struct tls_context *none =
        pki_context(issuer, &(struct pki_leaf){.uris = {PKI_A}}, bundle, "istio");
    pki_clear_alpn(none);
    struct pair pair;
    run(&pair, none, &b_id, good);
    CU_ASSERT_EQUAL(pair.end[SERVER].err.code, ERR_TLS_ALPN);
    CU_ASSERT_STRING_EQUAL(pair.end[SERVER].err.text,
                           "the client offers no ALPN, expected \"istio\"");
    pair_deinit(&pair);
    /* A server that ignores ALPN is refused by the client. */
    static const struct refusal ignored = {.name = "ALPN ignored",
                                           .code = ERR_TLS_ALPN,
                                           .says = "the server selected no ALPN",
                                           .alert = "no_application_protocol"};
    run(&pair, good, &a_id, none);
    check_refused(&ignored, &pair, CLIENT);
    pair_deinit(&pair);
    tls_context_unref(none);
}

/* The control plane's port verifies nobody, and yet wants ALPN. */
static void plain_server_refuses_a_client_without_alpn(void)
{
    struct pki_leaf leaf = {.no_uri = true, .dns = {"control.example"}};
    struct pki_identity identity = pki_identity(issuer, &leaf);
    struct tls_context *server = NULL, *none = NULL;
    CU_ASSERT_EQUAL_FATAL(
        tls_context_new_server(&server, identity.key, identity.chain, strlen(identity.chain), NULL),
        ERR_OK);
    none = pki_context(issuer, &(struct pki_leaf){.uris = {PKI_A}}, bundle, "istio");
    pki_clear_alpn(none);
    struct pair pair;
    run(&pair, none, &b_id, server);
    CU_ASSERT_EQUAL(pair.end[SERVER].err.code, ERR_TLS_ALPN);
    CU_ASSERT_PTR_NOT_NULL(strstr(pair.end[SERVER].err.text, "expected \"h2\""));
    pair_deinit(&pair);
    tls_context_unref(none);
    tls_context_unref(server);
    pki_identity_deinit(&identity);
}

static void skew_that_was_never_measured_is_said_so(void)
{
    struct tls_context *late =
        pki_context(issuer, &(struct pki_leaf){.from_s = -7200, .to_s = -10}, bundle, "istio");
    struct pair pair;
    tls_clock_skew_set(-45);
    run(&pair, late, &b_id, good);
    CU_ASSERT_PTR_NOT_NULL(strstr(pair.end[SERVER].err.text, "(45 s behind ours)"));
    pair_deinit(&pair);
    tls_clock_skew_set(INT64_MIN);
    run(&pair, late, &b_id, good);
    CU_ASSERT_PTR_NOT_NULL(strstr(pair.end[SERVER].err.text, "has not been measured"));
    pair_deinit(&pair);
    tls_clock_skew_set(120);
    tls_context_unref(late);
}

static void expired_issuer_is_named(void)
{
    struct pair pair;
    struct tls_context *own =
        pki_context(issuer, &(struct pki_leaf){.to_s = 800 * 86400}, bundle, "istio");
    clock_fake(1000, ((int64_t)NOW_S + 366 * 86400) * 1000);
    run(&pair, own, &b_id, good);
    CU_ASSERT_EQUAL(pair.end[CLIENT].err.code, ERR_TLS_EXPIRED);
    pair_deinit(&pair);
    clock_fake(1000, (int64_t)NOW_S * 1000);
    tls_context_unref(own);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(either_end_refuses_each_bad_certificate_for_its_own_reason),
        SUITE_CASE(good_but_unusual_certificates_are_accepted),
        SUITE_CASE(other_identity_than_expected_is_refused),
        SUITE_CASE(client_without_a_certificate_is_refused),
        SUITE_CASE(alpn_without_a_common_name_is_refused),
        SUITE_CASE(absence_of_alpn_is_refused_by_either_end),
        SUITE_CASE(plain_server_refuses_a_client_without_alpn),
        SUITE_CASE(plaintext_is_named_and_not_answered),
        SUITE_CASE(garbage_in_a_record_is_refused),
        SUITE_CASE(tls_1_2_client_is_refused_for_its_version),
        SUITE_CASE(skew_that_was_never_measured_is_said_so),
        SUITE_CASE(expired_issuer_is_named),
        SUITE_END,
    };
    clock_fake(1000, (int64_t)NOW_S * 1000);
    tls_clock_skew_set(120);
    root = pki_ca_new("root", PKI_RSA, NULL, NULL);
    issuer = pki_ca_new("issuer", PKI_P256, root, NULL);
    foreign = pki_ca_new("foreign", PKI_P256, NULL, NULL);
    limited = pki_ca_new("limited", PKI_P256, root, "critical,CA:TRUE,pathlen:0");
    below = pki_ca_new("below", PKI_P256, limited, NULL);
    bundle = pki_bundle(PKI_DOMAIN, root);
    good = pki_context(issuer, &(struct pki_leaf){.uris = {PKI_B}}, bundle, "istio");
    a_id = pki_id(PKI_A);
    b_id = pki_id(PKI_B);
    int status = suite_main("tls/verify", cases, argc, argv);
    tls_context_unref(good);
    tls_bundle_unref(bundle);
    struct pki_ca *all[] = {below, limited, foreign, issuer, root};
    for (size_t i = 0; i < sizeof all / sizeof all[0]; i++)
        pki_ca_free(all[i]);
    return status;
}
