/* The life of a connection: handshake, transfer, closing, damage, memory. */
#include <malloc.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "pair.h"
#include "pki.h"
#include "suite.h"
#include "tls/context_impl.h"

static struct pki_ca *root, *issuer;
static struct tls_bundle *bundle;
static struct tls_context *web, *db;
static struct spiffe_id web_id, db_id;

static void open_pair(struct pair *pair)
{
    pair_init(pair, tls_conn_new_client(web, &db_id, 1), tls_conn_new_server(db));
}

static void handshake_tells_each_side_who_the_other_is(void)
{
    struct pair pair;
    open_pair(&pair);
    CU_ASSERT_TRUE_FATAL(pair_handshake(&pair, 0));
    const struct tls_peer *server = tls_conn_peer(pair.end[CLIENT].conn);
    const struct tls_peer *client = tls_conn_peer(pair.end[SERVER].conn);
    CU_ASSERT_TRUE(spiffe_equal(&server->id, &db_id));
    CU_ASSERT_TRUE(spiffe_equal(&client->id, &web_id));
    CU_ASSERT_STRING_EQUAL(server->alpn, "istio");
    CU_ASSERT_STRING_EQUAL(client->alpn, "istio");
    CU_ASSERT_STRING_EQUAL(server->serial, tls_context_identity(db)->serial);
    CU_ASSERT_STRING_EQUAL(client->serial, tls_context_identity(web)->serial);
    CU_ASSERT_EQUAL(client->not_after_s, tls_context_identity(web)->not_after_s);
    CU_ASSERT_PTR_EQUAL(tls_conn_context(pair.end[SERVER].conn), db);
    CU_ASSERT_PTR_NULL(tls_conn_alert(pair.end[CLIENT].conn));
    pair_deinit(&pair);
}

static void handshake_and_data_work_byte_by_byte(void)
{
    struct pair pair;
    struct wire plain = {0};
    open_pair(&pair);
    CU_ASSERT_TRUE_FATAL(pair_handshake(&pair, 1));
    CU_ASSERT_EQUAL(pair_write(&pair, CLIENT, "hello", 5), TLS_OK);
    CU_ASSERT_EQUAL(pair_read(&pair, SERVER, 1, &plain), TLS_WANT_INPUT);
    CU_ASSERT_EQUAL(plain.len, 5);
    CU_ASSERT_TRUE(memcmp(plain.bytes, "hello", 5) == 0);
    free(plain.bytes);
    pair_deinit(&pair);
}

static void bytes_behind_the_handshake_stay_in_the_input(void)
{
    struct pair pair;
    struct wire plain = {0};
    open_pair(&pair);
    /* The client is done first: its last flight and its first bytes arrive together. */
    while (pair.end[CLIENT].status == TLS_WANT_INPUT) {
        for (int i = 0; i < 2 && pair.end[CLIENT].status == TLS_WANT_INPUT; i++) {
            struct pair_end *end = &pair.end[i];
            uint8_t out[TLS_HANDSHAKE_OUT_MAX];
            struct tls_io io = {.in = end->in.bytes + end->in.at,
                                .in_len = end->in.len - end->in.at,
                                .out = out,
                                .out_size = sizeof out};
            end->status = tls_conn_handshake(end->conn, &io, &end->err);
            end->in.at = end->in.len - io.in_len;
            wire_put(&pair.end[1 - i].in, out, io.out_len);
        }
    }
    CU_ASSERT_EQUAL_FATAL(pair.end[CLIENT].status, TLS_OK);
    CU_ASSERT_EQUAL(pair_write(&pair, CLIENT, "early", 5), TLS_OK);
    CU_ASSERT_TRUE(pair_handshake(&pair, 0));
    CU_ASSERT_TRUE(pair.end[SERVER].in.at < pair.end[SERVER].in.len);
    CU_ASSERT_EQUAL(pair_read(&pair, SERVER, 0, &plain), TLS_WANT_INPUT);
    CU_ASSERT_EQUAL(plain.len, 5);
    free(plain.bytes);
    pair_deinit(&pair);
}

static void large_transfer_with_random_chunks_arrives_whole(void)
{
    enum { TOTAL = 6 << 20 };
    struct pair pair;
    struct wire plain = {0};
    uint8_t *sent = malloc(TOTAL);
    unsigned seed = 7;
    for (size_t i = 0; i < TOTAL; i++)
        sent[i] = (uint8_t)rand_r(&seed);
    open_pair(&pair);
    CU_ASSERT_TRUE_FATAL(pair_handshake(&pair, 0));
    for (size_t at = 0; at < TOTAL;) {
        size_t n = (size_t)rand_r(&seed) % 70000;
        n = n > TOTAL - at ? TOTAL - at : n;
        CU_ASSERT_EQUAL_FATAL(pair_write(&pair, CLIENT, sent + at, n), TLS_OK);
        at += n;
        CU_ASSERT_EQUAL_FATAL(pair_read(&pair, SERVER, 1 + (size_t)rand_r(&seed) % 30000, &plain),
                              TLS_WANT_INPUT);
    }
    CU_ASSERT_EQUAL_FATAL(plain.len, TOTAL);
    CU_ASSERT_TRUE(memcmp(plain.bytes, sent, TOTAL) == 0);
    free(sent);
    free(plain.bytes);
    pair_deinit(&pair);
}

static void write_fits_the_promised_room_at_every_size(void)
{
    static const size_t sizes[] = {0, 1, 16383, 16384, 16385, 32768, 65536, 80 * 1024};
    struct pair pair;
    uint8_t *zeroes = calloc(1, 80 * 1024);
    open_pair(&pair);
    CU_ASSERT_TRUE_FATAL(pair_handshake(&pair, 0));
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        struct wire plain = {0};
        CU_ASSERT_EQUAL(pair_write(&pair, SERVER, zeroes, sizes[i]), TLS_OK);
        CU_ASSERT_EQUAL(pair_read(&pair, CLIENT, 0, &plain), TLS_WANT_INPUT);
        CU_ASSERT_EQUAL(plain.len, sizes[i]);
        free(plain.bytes);
    }
    free(zeroes);
    pair_deinit(&pair);
}

static void each_direction_closes_alone(void)
{
    struct pair pair;
    struct wire plain = {0};
    open_pair(&pair);
    CU_ASSERT_TRUE_FATAL(pair_handshake(&pair, 0));
    CU_ASSERT_EQUAL(pair_write(&pair, CLIENT, "last words", 10), TLS_OK);
    CU_ASSERT_EQUAL(pair_close(&pair, CLIENT), TLS_OK);
    CU_ASSERT_EQUAL(pair_close(&pair, CLIENT), TLS_OK); /* once is enough, twice does no harm */
    CU_ASSERT_EQUAL(pair_read(&pair, SERVER, 0, &plain), TLS_CLOSED);
    CU_ASSERT_EQUAL(plain.len, 10);
    CU_ASSERT_EQUAL(pair_read(&pair, SERVER, 0, &plain), TLS_CLOSED);
    /* The server goes on writing after the client's close_notify, the client goes on reading after
     * its own. */
    for (int i = 0; i < 3; i++) {
        plain.len = 0;
        CU_ASSERT_EQUAL(pair_write(&pair, SERVER, "answer", 6), TLS_OK);
        CU_ASSERT_EQUAL(pair_read(&pair, CLIENT, 0, &plain), TLS_WANT_INPUT);
        CU_ASSERT_EQUAL(plain.len, 6);
    }
    CU_ASSERT_EQUAL(pair_close(&pair, SERVER), TLS_OK);
    CU_ASSERT_EQUAL(pair_read(&pair, CLIENT, 0, &plain), TLS_CLOSED);
    free(plain.bytes);
    pair_deinit(&pair);
}

static void server_may_close_first(void)
{
    struct pair pair;
    struct wire plain = {0};
    open_pair(&pair);
    CU_ASSERT_TRUE_FATAL(pair_handshake(&pair, 0));
    CU_ASSERT_EQUAL(pair_close(&pair, SERVER), TLS_OK);
    CU_ASSERT_EQUAL(pair_read(&pair, CLIENT, 0, &plain), TLS_CLOSED);
    CU_ASSERT_EQUAL(pair_write(&pair, CLIENT, "still here", 10), TLS_OK);
    CU_ASSERT_EQUAL(pair_close(&pair, CLIENT), TLS_OK);
    CU_ASSERT_EQUAL(pair_read(&pair, SERVER, 0, &plain), TLS_CLOSED);
    CU_ASSERT_EQUAL(plain.len, 10);
    free(plain.bytes);
    pair_deinit(&pair);
}

static void bytes_after_close_notify_are_dropped(void)
{
    struct pair pair;
    open_pair(&pair);
    CU_ASSERT_TRUE_FATAL(pair_handshake(&pair, 0));
    CU_ASSERT_EQUAL(pair_close(&pair, CLIENT), TLS_OK);
    wire_put(&pair.end[SERVER].in, "rubbish", 7);
    CU_ASSERT_EQUAL(pair_read(&pair, SERVER, 0, NULL), TLS_CLOSED);
    CU_ASSERT_EQUAL(pair.end[SERVER].in.at, pair.end[SERVER].in.len);
    pair_deinit(&pair);
}

static void damaged_record_is_named_and_answered_with_an_alert(void)
{
    struct pair pair;
    struct wire plain = {0};
    open_pair(&pair);
    CU_ASSERT_TRUE_FATAL(pair_handshake(&pair, 0));
    CU_ASSERT_EQUAL(pair_write(&pair, CLIENT, "good", 4), TLS_OK);
    CU_ASSERT_EQUAL(pair_write(&pair, CLIENT, "bad!", 4), TLS_OK);
    struct wire *in = &pair.end[SERVER].in;
    in->bytes[in->len - 1] ^= 1;
    /* What came before the damage is delivered, and the failure is not forgotten after it. */
    CU_ASSERT_EQUAL(pair_read(&pair, SERVER, 0, &plain), TLS_FAILED);
    CU_ASSERT_EQUAL(plain.len, 4);
    CU_ASSERT_EQUAL(pair.end[SERVER].err.code, ERR_TLS_RECORD);
    CU_ASSERT_EQUAL(pair_read(&pair, SERVER, 0, NULL), TLS_FAILED);
    CU_ASSERT_EQUAL(pair.end[SERVER].err.code, ERR_TLS_RECORD);
    CU_ASSERT_EQUAL(pair_read(&pair, CLIENT, 0, NULL), TLS_FAILED);
    CU_ASSERT_EQUAL(pair.end[CLIENT].err.code, ERR_TLS_ALERT);
    CU_ASSERT_STRING_EQUAL(tls_conn_alert(pair.end[CLIENT].conn), "bad_record_mac");
    free(plain.bytes);
    pair_deinit(&pair);
}

static void denied_peer_learns_access_denied(void)
{
    struct pair pair;
    uint8_t out[128];
    struct tls_io io = {.out = out, .out_size = sizeof out};
    open_pair(&pair);
    CU_ASSERT_TRUE_FATAL(pair_handshake(&pair, 0));
    tls_conn_alert_denied(pair.end[SERVER].conn, &io);
    CU_ASSERT_TRUE(io.out_len > 0);
    wire_put(&pair.end[CLIENT].in, out, io.out_len);
    CU_ASSERT_EQUAL(pair_read(&pair, CLIENT, 0, NULL), TLS_FAILED);
    CU_ASSERT_EQUAL(pair.end[CLIENT].err.code, ERR_TLS_ALERT);
    CU_ASSERT_PTR_NOT_NULL(strstr(pair.end[CLIENT].err.text, "access_denied"));
    CU_ASSERT_STRING_EQUAL(tls_conn_alert(pair.end[CLIENT].conn), "access_denied");
    pair_deinit(&pair);
}

static void connection_outlives_the_callers_references(void)
{
    struct tls_bundle *own_bundle = pki_bundle(PKI_DOMAIN, root);
    struct tls_context *own =
        pki_context(issuer, &(struct pki_leaf){.uris = {PKI_B}}, own_bundle, "istio");
    struct pair pair;
    struct wire plain = {0};
    pair_init(&pair, tls_conn_new_client(web, &db_id, 1), tls_conn_new_server(own));
    tls_context_unref(own);
    tls_bundle_unref(own_bundle);
    CU_ASSERT_TRUE_FATAL(pair_handshake(&pair, 0));
    CU_ASSERT_EQUAL(pair_write(&pair, SERVER, "x", 1), TLS_OK);
    CU_ASSERT_EQUAL(pair_read(&pair, CLIENT, 0, &plain), TLS_WANT_INPUT);
    free(plain.bytes);
    pair_deinit(&pair);
}

static void control_plane_is_known_by_its_dns_name(void)
{
    struct pki_leaf leaf = {.no_uri = true, .dns = {"control.example"}, .eku = "serverAuth"};
    struct pki_identity identity = pki_identity(issuer, &leaf);
    struct tls_context *client = NULL, *server = NULL;
    CU_ASSERT_EQUAL_FATAL(tls_context_new_roots(&client, bundle, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(
        tls_context_new_server(&server, identity.key, identity.chain, strlen(identity.chain), NULL),
        ERR_OK);
    struct pair pair;
    pair_init(&pair, tls_conn_new_client_dns(client, "Control.example"),
              tls_conn_new_server(server));
    CU_ASSERT_TRUE(pair_handshake(&pair, 0));
    CU_ASSERT_STRING_EQUAL(tls_conn_peer(pair.end[CLIENT].conn)->alpn, "h2");
    CU_ASSERT_STRING_EQUAL(tls_conn_peer(pair.end[SERVER].conn)->alpn, "h2");
    CU_ASSERT_EQUAL(tls_conn_peer(pair.end[CLIENT].conn)->id.len, 0);
    CU_ASSERT_STRING_EQUAL(tls_conn_peer(pair.end[CLIENT].conn)->serial,
                           tls_context_identity(server)->serial);
    pair_deinit(&pair);

    pair_init(&pair, tls_conn_new_client_dns(client, "other.example"), tls_conn_new_server(server));
    CU_ASSERT_FALSE(pair_handshake(&pair, 0));
    CU_ASSERT_EQUAL(pair.end[CLIENT].err.code, ERR_TLS_NAME);
    CU_ASSERT_PTR_NOT_NULL(strstr(pair.end[CLIENT].err.text, "control.example"));
    CU_ASSERT_PTR_NOT_NULL(strstr(pair.end[CLIENT].err.text, "other.example"));
    CU_ASSERT_STRING_EQUAL(tls_conn_alert(pair.end[SERVER].conn), "certificate_unknown");
    pair_deinit(&pair);
    pki_identity_deinit(&identity);
    tls_context_unref(client);
    tls_context_unref(server);
}

/* An mTLS context serves for the control plane too: ALPN is h2, and no certificate is shown even to
 * a server that asks for one. */
static void control_plane_client_shows_no_certificate(void)
{
    struct pki_leaf leaf = {.dns = {"control.example"}};
    struct pki_identity identity = pki_identity(issuer, &leaf);
    struct tls_context *server = NULL, *asking = pki_context(issuer, &leaf, bundle, "h2");
    CU_ASSERT_EQUAL_FATAL(
        tls_context_new_server(&server, identity.key, identity.chain, strlen(identity.chain), NULL),
        ERR_OK);
    struct pair pair;
    pair_init(&pair, tls_conn_new_client_dns(web, "control.example"), tls_conn_new_server(server));
    CU_ASSERT_TRUE(pair_handshake(&pair, 0));
    CU_ASSERT_STRING_EQUAL(tls_conn_peer(pair.end[SERVER].conn)->alpn, "h2");
    pair_deinit(&pair);
    pair_init(&pair, tls_conn_new_client_dns(web, "control.example"), tls_conn_new_server(asking));
    CU_ASSERT_FALSE(pair_handshake(&pair, 0));
    CU_ASSERT_EQUAL(pair.end[SERVER].err.code, ERR_TLS_NO_CERTIFICATE);
    pair_deinit(&pair);
    pki_identity_deinit(&identity);
    tls_context_unref(server);
    tls_context_unref(asking);
}

enum { THREADS = 4, ROUNDS = 25 };

static void *shake_hands(void *failures)
{
    for (int i = 0; i < ROUNDS; i++) {
        struct pair pair;
        struct wire plain = {0};
        open_pair(&pair);
        bool good = pair_handshake(&pair, 0) && pair_write(&pair, CLIENT, "ping", 4) == TLS_OK &&
                    pair_read(&pair, SERVER, 0, &plain) == TLS_WANT_INPUT && plain.len == 4;
        /* And a refusal: BoringSSL keeps errors per thread. */
        struct pair refused;
        pair_init(&refused, tls_conn_new_client(web, &web_id, 1), tls_conn_new_server(db));
        good = good && !pair_handshake(&refused, 0) &&
               refused.end[CLIENT].err.code == ERR_TLS_ID_MISMATCH;
        if (!good)
            __atomic_fetch_add((int *)failures, 1, __ATOMIC_RELAXED);
        free(plain.bytes);
        pair_deinit(&pair);
        pair_deinit(&refused);
    }
    return NULL;
}

static void contexts_serve_several_threads_at_once(void)
{
    pthread_t threads[THREADS];
    int failures = 0;
    for (int i = 0; i < THREADS; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, shake_hands, &failures), 0);
    for (int i = 0; i < THREADS; i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(failures, 0);
}

static size_t heap_bytes(void)
{
    struct mallinfo2 info = mallinfo2();
    return info.uordblks + info.hblkhd;
}

static void a_context_with_another_bundle_trusts_that_alone(void)
{
    struct pair pair;
    struct pki_ca *other = pki_ca_new("other", PKI_P256, NULL, NULL);
    struct tls_bundle *removed = pki_bundle(PKI_DOMAIN, other);
    struct tls_context *server = tls_context_with_bundle(db, removed);
    struct tls_context *theirs =
        pki_context(other, &(struct pki_leaf){.uris = {PKI_A}}, bundle, "istio");
    CU_ASSERT_STRING_EQUAL(tls_context_identity(server)->serial, tls_context_identity(db)->serial);
    CU_ASSERT_FALSE(tls_context_same_trust(server, db));
    CU_ASSERT_TRUE(tls_context_same_trust(server, server));

    pair_init(&pair, tls_conn_new_client(web, &db_id, 1), tls_conn_new_server(server));
    CU_ASSERT_FALSE(pair_handshake(&pair, 0));
    CU_ASSERT_EQUAL(pair.end[SERVER].err.code, ERR_TLS_UNKNOWN_ROOT);
    pair_deinit(&pair);

    /* Our own leaf is of the old root, and it is for the peer to say what that is worth. */
    pair_init(&pair, tls_conn_new_client(theirs, &db_id, 1), tls_conn_new_server(server));
    CU_ASSERT_TRUE(pair_handshake(&pair, 0));
    pair_deinit(&pair);

    tls_context_unref(theirs);
    tls_context_unref(server);
    tls_bundle_unref(removed);
    pki_ca_free(other);
}

/* A context whose flights come in records of 512 bytes; `padding` moves their borders. */
static struct tls_context *slow_context(const char *uri, int padding)
{
    char name[512];
    memset(name, 'a', sizeof name);
    name[padding] = 0;
    struct pki_leaf leaf = {.uris = {uri}, .dns = {name}};
    struct tls_context *context = pki_context(issuer, &leaf, bundle, "istio");
    SSL_CTX_set_max_send_fragment(context->ssl_ctx, 512);
    return context;
}

/* A handshake whose last flight towards `end` arrives in two parts, and between them the end is
 * told to trust `context`. What the end says. */
static enum tls_status change_trust(struct pair *pair, int end, struct tls_context *context,
                                    bool early, struct err *err)
{
    uint8_t out[TLS_HANDSHAKE_OUT_MAX];
    for (int i = 0; i <= 1 + (end == SERVER); i++) {
        struct pair_end *from = &pair->end[i % 2];
        struct tls_io io = {
            .in = from->in.bytes, .in_len = from->in.len, .out = out, .out_size = sizeof out};
        tls_conn_handshake(from->conn, &io, err);
        from->in.at = from->in.len;
        wire_put(&pair->end[1 - i % 2].in, out, io.out_len);
    }
    struct wire *wire = &pair->end[end].in;
    struct tls_conn *conn = pair->end[end].conn;
    uint8_t *at = wire->bytes + wire->at;
    /* Early is before the certificate; late is the last record's header, with everything before it,
     * so that the certificate has been verified if Finished begins the record before. */
    size_t size = wire->len - wire->at, len = early ? 50 : size - TLS_RECORD_OVERHEAD;
    struct tls_io first = {.in = at, .in_len = len, .out = out, .out_size = sizeof out};
    CU_ASSERT_EQUAL_FATAL(tls_conn_handshake(conn, &first, err), TLS_WANT_INPUT);
    struct tls_io rest = {.in = at + len, .in_len = size - len, .out = out, .out_size = sizeof out};
    tls_conn_trust(conn, context);
    return tls_conn_handshake(conn, &rest, err);
}

static void trust_that_changes_during_the_handshake_decides(void)
{
    struct err err;
    struct pki_ca *other = pki_ca_new("other", PKI_P256, NULL, NULL);
    struct tls_bundle *removed = pki_bundle(PKI_DOMAIN, other);
    struct tls_bundle *both = pki_bundle(PKI_DOMAIN, root);
    CU_ASSERT_EQUAL(tls_bundle_add(both, PKI_DOMAIN, other->pem, strlen(other->pem), NULL), ERR_OK);
    struct tls_context *without = tls_context_with_bundle(web, removed);
    struct tls_context *with = tls_context_with_bundle(web, both);
    for (int padding = 1; padding < 512; padding += 30) {
        struct tls_context *client = slow_context(PKI_A, padding);
        struct tls_context *server = slow_context(PKI_B, padding);
        for (int i = 0; i < 8; i++) {
            struct pair pair;
            bool removes = i & 2;
            pair_init(&pair, tls_conn_new_client(client, &db_id, 1), tls_conn_new_server(server));
            enum tls_status status =
                change_trust(&pair, i & 1, removes ? without : with, i & 4, &err);
            CU_ASSERT_EQUAL(status, removes ? TLS_FAILED : TLS_OK);
            CU_ASSERT_TRUE(!removes || err.code == ERR_TLS_UNKNOWN_ROOT);
            pair_deinit(&pair);
        }
        tls_context_unref(client);
        tls_context_unref(server);
    }
    tls_context_unref(without);
    tls_context_unref(with);
    tls_bundle_unref(removed);
    tls_bundle_unref(both);
    pki_ca_free(other);
}

static void idle_connection_is_small(void)
{
    enum { PAIRS = 200 };
    struct pair *pairs = calloc(PAIRS, sizeof *pairs);
    struct pair warm;
    open_pair(&warm);
    CU_ASSERT_TRUE(pair_handshake(&warm, 0));
    size_t bytes[2] = {0};
    for (int i = 0; i < PAIRS; i++) {
        open_pair(&pairs[i]);
        CU_ASSERT_TRUE(pair_handshake(&pairs[i], 0));
        CU_ASSERT_EQUAL(pair_write(&pairs[i], CLIENT, "ping", 4), TLS_OK);
        CU_ASSERT_EQUAL(pair_read(&pairs[i], SERVER, 0, NULL), TLS_WANT_INPUT);
        for (int end = 0; end < 2; end++) {
            free(pairs[i].end[end].in.bytes);
            pairs[i].end[end].in = (struct wire){0};
        }
    }
    for (int i = 0; i < PAIRS; i++) {
        for (int end = 0; end < 2; end++) {
            size_t before = heap_bytes();
            tls_conn_free(pairs[i].end[end].conn);
            bytes[end] += before - heap_bytes();
        }
    }
    free(pairs);
    pair_deinit(&warm);
    printf("(bytes per idle connection: client %zu, server %zu) ", bytes[CLIENT] / PAIRS,
           bytes[SERVER] / PAIRS);
    CU_ASSERT_TRUE(bytes[CLIENT] / PAIRS < 6 * 1024);
    CU_ASSERT_TRUE(bytes[SERVER] / PAIRS < 6 * 1024);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(handshake_tells_each_side_who_the_other_is),
        SUITE_CASE(handshake_and_data_work_byte_by_byte),
        SUITE_CASE(bytes_behind_the_handshake_stay_in_the_input),
        SUITE_CASE(large_transfer_with_random_chunks_arrives_whole),
        SUITE_CASE(write_fits_the_promised_room_at_every_size),
        SUITE_CASE(each_direction_closes_alone),
        SUITE_CASE(server_may_close_first),
        SUITE_CASE(bytes_after_close_notify_are_dropped),
        SUITE_CASE(damaged_record_is_named_and_answered_with_an_alert),
        SUITE_CASE(denied_peer_learns_access_denied),
        SUITE_CASE(connection_outlives_the_callers_references),
        SUITE_CASE(control_plane_is_known_by_its_dns_name),
        SUITE_CASE(control_plane_client_shows_no_certificate),
        SUITE_CASE(a_context_with_another_bundle_trusts_that_alone),
        SUITE_CASE(trust_that_changes_during_the_handshake_decides),
        SUITE_CASE(idle_connection_is_small),
        SUITE_CASE(contexts_serve_several_threads_at_once),
        SUITE_END,
    };
    root = pki_ca_new("root", PKI_RSA, NULL, NULL); /* as istiod's is */
    issuer = pki_ca_new("issuer", PKI_P256, root, "critical,CA:TRUE,pathlen:0");
    bundle = pki_bundle(PKI_DOMAIN, root);
    web = pki_context(issuer, &(struct pki_leaf){.uris = {PKI_A}}, bundle, "istio");
    db = pki_context(issuer, &(struct pki_leaf){.uris = {PKI_B}}, bundle, "istio");
    web_id = pki_id(PKI_A);
    db_id = pki_id(PKI_B);
    int status = suite_main("tls/conn", cases, argc, argv);
    tls_context_unref(web);
    tls_context_unref(db);
    tls_bundle_unref(bundle);
    pki_ca_free(issuer);
    pki_ca_free(root);
    return status;
}
