#include "proxy/inbound.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "bed.h"
#include "proxy/outbound.h"
#include "suite.h"

static struct bed bed;

/* The start of a ClientHello that never comes whole. */
static const char half_a_hello[] = {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, (char)0xfc, 3};

static void write_bytes(int fd, const char *bytes, size_t len)
{
    CU_ASSERT_EQUAL(send(fd, bytes, len, MSG_NOSIGNAL), (ssize_t)len);
}

static void expect_text(int fd, const char *expected)
{
    char text[64] = "";
    CU_ASSERT_TRUE(bed_read(&bed, fd, text, strlen(expected)));
    CU_ASSERT_STRING_EQUAL(text, expected);
}

static void plaintext_passes_when_no_policy_forbids_it(void)
{
    bed_init(&bed);
    bed_publish(&bed);
    int client = bed_call(&bed, BED_STRANGER);
    bed_write(client, "GET / HTTP/1.0\r\n\r\n");
    int server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    expect_text(server, "GET / HTTP/1.0\r\n\r\n");
    bed_write(server, "200");
    expect_text(client, "200");
    CU_ASSERT_PTR_NULL(bed.server.worker.conns->peer);
    close(client);
    close(server);
    bed_deinit(&bed);
}

static void plaintext_is_reset_under_strict(void)
{
    bed_init(&bed);
    bed_put_strict(&bed);
    bed_publish(&bed);
    int client = bed_call(&bed, BED_STRANGER);
    bed_write(client, "GET / HTTP/1.0\r\n\r\n");
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_INBOUND, ERR_CONN_POLICY_DENIED), 1);
    close(client);
    bed_deinit(&bed);
}

static void strict_lets_the_mesh_in(void)
{
    bed_init(&bed);
    bed_put_strict(&bed);
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80");
    int server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    bed_write(client, "hello");
    expect_text(server, "hello");
    close(client);
    close(server);
    bed_deinit(&bed);
}

static void a_server_that_speaks_first_waits_only_for_the_plaintext_timer(void)
{
    bed_init(&bed);
    bed_publish(&bed);
    int client = bed_call(&bed, BED_STRANGER);
    int server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    bed_write(server, "220 ready");
    expect_text(client, "220 ready");
    CU_ASSERT_EQUAL(metrics_sum(bed.server.registry, STATS_WAITS, 0, NULL), 1);
    close(client);
    close(server);
    bed_deinit(&bed);
}

static void a_silent_workload_of_the_mesh_is_refused_at_the_deadline(void)
{
    bed_init(&bed);
    bed_publish(&bed);
    int client = bed_call(&bed, "127.0.1.1:40000");
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_INBOUND, ERR_TLS_TIMEOUT), 1);
    close(client);
    bed_deinit(&bed);
}

static void half_a_client_hello_is_refused_from_anybody(void)
{
    static const char *const sources[] = {"127.0.1.1:40000", BED_STRANGER};
    for (unsigned i = 0; i < 2; i++) {
        bed_init(&bed);
        bed_publish(&bed);
        int client = bed_call(&bed, sources[i]);
        write_bytes(client, half_a_hello, sizeof half_a_hello);
        CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
        CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_INBOUND, ERR_TLS_TIMEOUT), 1);
        CU_ASSERT_EQUAL(bed_failed_handshakes(&bed.server, CONN_INBOUND, ERR_TLS_TIMEOUT), 1);
        close(client);

        client = bed_call(&bed, sources[i]);
        write_bytes(client, half_a_hello, sizeof half_a_hello);
        shutdown(client, SHUT_WR);
        CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
        CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_INBOUND, ERR_TLS_PEER_CLOSED), 1);
        close(client);
        bed_deinit(&bed);
    }
}

static void what_began_like_tls_has_the_time_of_a_handshake(void)
{
    bed_init(&bed);
    bed_publish(&bed);
    int64_t began_ms = clock_now_ms();
    int client = bed_call(&bed, BED_STRANGER);
    write_bytes(client, half_a_hello, sizeof half_a_hello);
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_TRUE(clock_now_ms() - began_ms >= bed.server.config.handshake_timeout_ms);
    close(client);
    bed_deinit(&bed);
}

static void a_record_of_the_address_s_former_owner_is_not_ours(void)
{
    bed_init(&bed);
    bed_publish(&bed);
    bed.server.config.pod_name = "next-server";
    int client = bed_call(&bed, BED_STRANGER);
    bed_write(client, "hello");
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_INBOUND, ERR_CONN_UNKNOWN_WORKLOAD), 1);
    close(client);
    bed_deinit(&bed);
}

static void a_stranger_that_only_half_closes_is_plaintext_at_once(void)
{
    bed_init(&bed);
    bed_publish(&bed);
    int client = bed_call(&bed, BED_STRANGER);
    shutdown(client, SHUT_WR);
    int server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    CU_ASSERT_EQUAL(metrics_sum(bed.server.registry, STATS_WAITS, 0, NULL), 0);
    bed_write(server, "still here");
    expect_text(client, "still here");
    close(client);
    close(server);
    bed_deinit(&bed);
}

static void a_denied_identity_hears_so_and_is_reset(void)
{
    bed_init(&bed);
    bed_put_deny(&bed, "/not-client", "test.mesh/ns/shop/sa/client");
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80");
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_INBOUND, ERR_CONN_POLICY_DENIED), 1);
    char *text = NULL;
    size_t len;
    CU_ASSERT_EQUAL_FATAL(metrics_render(bed.client.registry, &text, &len, NULL), ERR_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "response_flags=\"tls_alert\""));
    free(text);
    close(client);
    bed_deinit(&bed);
}

static void a_named_policy_that_has_not_arrived_holds_until_it_does(void)
{
    bed_init(&bed);
    bed_put_server(&bed, MESH_TUNNEL_LEGACY_MTLS, "shop/late");
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80");
    bed_write(client, "hello");
    bed_settle(&bed);
    CU_ASSERT_EQUAL(bed.server.worker.holds[CONN_INBOUND].count, 1);
    bed_put_deny(&bed, "late", "test.mesh/ns/shop/sa/somebody-else");
    bed_publish(&bed);
    int server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    expect_text(server, "hello");
    close(client);
    close(server);
    bed_deinit(&bed);
}

static void a_policy_that_never_arrives_refuses_at_the_deadline(void)
{
    bed_init(&bed);
    bed_put_server(&bed, MESH_TUNNEL_LEGACY_MTLS, "shop/late");
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80");
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_INBOUND, ERR_CONN_POLICY_PENDING), 1);
    close(client);
    bed_deinit(&bed);
}

static void a_policy_that_cannot_be_read_holds_and_refuses_under_a_name_of_its_own(void)
{
    bed_init(&bed);
    bed_put_unreadable(&bed, "/future");
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80");
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_INBOUND, ERR_CONN_POLICY_UNREADABLE), 1);
    close(client);
    client = bed_dial(&bed, BED_SERVICE_IP ":80");
    bed_write(client, "hello");
    bed_settle(&bed);
    bed_drop_policy(&bed, "/future");
    bed_publish(&bed);
    int server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    expect_text(server, "hello");
    close(client);
    close(server);
    bed_deinit(&bed);
}

static void a_new_policy_ends_live_connections_that_it_denies(void)
{
    bed_init(&bed);
    bed_publish(&bed);
    int denied = bed_dial(&bed, BED_SERVICE_IP ":80"), server = bed_accept(&bed, bed.app);
    int kept = bed_call(&bed, BED_STRANGER), other = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0 && other >= 0);
    bed_put_deny(&bed, "/not-client", "test.mesh/ns/shop/sa/client");
    bed_publish(&bed);
    CU_ASSERT_EQUAL(bed_next(&bed, server), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_next(&bed, denied), -ECONNRESET);
    bed_write(kept, "hello");
    expect_text(other, "hello");
    close(denied);
    close(server);
    close(kept);
    close(other);
    bed_deinit(&bed);
}

enum { LONG_HOLD_MS = 1500 }; /* so that a busy machine gets things done in it */

/* Until whoever waits for a policy has waited long enough. */
static bool is_past(void *due_ms)
{
    return clock_now_ms() > *(int64_t *)due_ms;
}

static void wait_past_the_hold(void)
{
    int64_t due_ms = clock_now_ms() + bed.server.config.hold_ms + 50;
    CU_ASSERT_TRUE(bed_run(&bed, is_past, &due_ms));
}

static void a_live_connection_outlives_a_policy_that_arrives_in_time(void)
{
    bed_init(&bed);
    bed.server.config.hold_ms = LONG_HOLD_MS;
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80"), server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    bed_put_server(&bed, MESH_TUNNEL_LEGACY_MTLS, "shop/late");
    bed_publish(&bed);
    bed_write(client, "while it waits");
    expect_text(server, "while it waits");
    CU_ASSERT_TRUE(bed.server.worker.pending_timer.slot != 0);
    bed_put_deny(&bed, "late", "test.mesh/ns/shop/sa/somebody-else");
    bed_publish(&bed);
    bed_settle(&bed);
    CU_ASSERT_TRUE(bed.server.worker.pending_timer.slot == 0);
    wait_past_the_hold();
    bed_write(client, "and after");
    expect_text(server, "and after");
    close(client);
    close(server);
    bed_deinit(&bed);
}

static void expect_flag(const char *flag)
{
    char *text = NULL;
    size_t len;
    CU_ASSERT_EQUAL_FATAL(metrics_render(bed.server.registry, &text, &len, NULL), ERR_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, flag));
    free(text);
}

static void a_live_connection_ends_when_its_policy_does_not_arrive(void)
{
    bed_init(&bed);
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80"), server = bed_accept(&bed, bed.app);
    int plain = bed_call(&bed, BED_STRANGER), other = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0 && other >= 0);
    int64_t began_ms = clock_now_ms();
    bed_put_server(&bed, MESH_TUNNEL_LEGACY_MTLS, "shop/late");
    bed_publish(&bed);
    CU_ASSERT_EQUAL(bed_next(&bed, server), -ECONNRESET);
    CU_ASSERT_TRUE(clock_now_ms() - began_ms >= bed.server.config.hold_ms);
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_next(&bed, plain), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_next(&bed, other), -ECONNRESET);
    expect_flag("response_flags=\"conn_policy_pending\"");
    bed_settle(&bed);
    CU_ASSERT_TRUE(bed.server.worker.pending_timer.slot == 0);
    CU_ASSERT_FALSE(bed.server.worker.pending_late);
    close(client);
    close(server);
    close(plain);
    close(other);
    bed_deinit(&bed);
}

/* Other changes meanwhile do not give it more time. */
static void a_live_connection_ends_when_its_policy_cannot_be_read(void)
{
    bed_init(&bed);
    bed.server.config.hold_ms = LONG_HOLD_MS;
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80"), server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    int64_t began_ms = clock_now_ms(), half_ms = began_ms + bed.server.config.hold_ms / 2;
    bed_put_unreadable(&bed, "/future");
    bed_publish(&bed);
    CU_ASSERT_TRUE(bed_run(&bed, is_past, &half_ms));
    int64_t due_ms = bed.server.worker.pending_timer.due_ms;
    bed_put_unreadable(&bed, "/another");
    bed_publish(&bed);
    bed_write(client, "hello");
    expect_text(server, "hello");
    CU_ASSERT_EQUAL(bed.server.worker.pending_timer.due_ms, due_ms);
    CU_ASSERT_EQUAL(bed_next(&bed, server), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    expect_flag("response_flags=\"conn_policy_unreadable\"");
    close(client);
    close(server);
    bed_deinit(&bed);
}

static void an_address_that_is_not_the_pod_s_is_refused(void)
{
    bed_init(&bed);
    bed_publish(&bed);
    bed.app_at.ip.bytes[3] = 99;
    int client = bed_call(&bed, BED_STRANGER);
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_INBOUND, ERR_CONN_UNKNOWN_WORKLOAD), 1);
    close(client);
    bed_deinit(&bed);
}

static void an_application_that_is_not_there_is_a_reset_at_once(void)
{
    bed_init(&bed);
    bed_publish(&bed);
    close(bed.app);
    bed.app = -1;
    int client = bed_dial(&bed, BED_SERVICE_IP ":80");
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_INBOUND, ERR_CONN_REFUSED), 1);
    close(client);
    bed_deinit(&bed);
}

static void a_rotated_certificate_leaves_live_connections_alone(void)
{
    bed_init(&bed);
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80"), server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    tls_context_unref(bed.server.context);
    bed.server.context = bed_context(&bed, "server");
    bed_publish(&bed);
    bed_write(client, "hello");
    expect_text(server, "hello");
    int second = bed_dial(&bed, BED_SERVICE_IP ":80"), other = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(other >= 0);
    bed_write(other, "hello");
    expect_text(second, "hello");
    close(client);
    close(server);
    close(second);
    close(other);
    bed_deinit(&bed);
}

static void close_all(int *fds, int count)
{
    while (count > 0)
        close(fds[--count]);
}

static bool nobody_left(void *arg)
{
    return ((struct worker *)arg)->conn_count == 0;
}

/* For what must not depend on how fast the machine is. */
static void begin_patiently(void)
{
    bed_init(&bed);
    bed.client.config.handshake_timeout_ms = bed.server.config.handshake_timeout_ms = 60000;
    bed.client.config.hold_ms = bed.server.config.hold_ms = 60000;
}

static bool all_relay(void *arg)
{
    unsigned open = 0;
    for (struct conn *conn = bed.server.worker.conns; conn; conn = conn->next)
        open += conn->state == CONN_OPEN;
    return open == *(unsigned *)arg;
}

static void policies_in_quick_succession_reach_the_oldest_connection_too(void)
{
    enum { YOUNGER = WORKER_RECHECK_CHUNK + 10 };
    static int fds[YOUNGER][2];
    struct rlimit limit;
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    limit.rlim_cur = limit.rlim_max;
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &limit), 0);
    begin_patiently();
    bed_publish(&bed);
    int oldest = bed_dial(&bed, BED_SERVICE_IP ":80"), server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    for (int i = 0; i < YOUNGER; i++) {
        fds[i][0] = bed_call(&bed, BED_STRANGER);
        bed_write(fds[i][0], "hello");
        fds[i][1] = bed_accept(&bed, bed.app);
    }
    CU_ASSERT_TRUE_FATAL(bed_run(&bed, all_relay, &(unsigned){YOUNGER + 1}));
    bed_put_deny(&bed, "/not-client", "test.mesh/ns/shop/sa/client");
    /* Every time that a part of the connections has been asked, there is a newer policy. */
    int64_t until = clock_now_ms() + 20 * WORKER_RECHECK_PAUSE_MS;
    for (int i = 0; i < 100 || clock_now_ms() < until; i++) {
        bed_put_deny(&bed, "/another", i % 2 ? "test.mesh/ns/shop/sa/x" : "test.mesh/ns/shop/sa/y");
        bed_publish(&bed);
        uv_run(&bed.server.worker.loop.uv, UV_RUN_NOWAIT);
    }
    CU_ASSERT_EQUAL(bed.server.worker.conn_count, YOUNGER);
    CU_ASSERT_EQUAL(bed_next(&bed, server), -ECONNRESET);
    for (int i = 0; i < YOUNGER; i++)
        close_all(fds[i], 2);
    close_all((int[]){oldest, server}, 2);
    bed_deinit(&bed);
}

static unsigned unproven(void)
{
    const char *reporter = stats_reporter(CONN_INBOUND);
    return (unsigned)metrics_sum(bed.server.registry, STATS_GAUGES, STATS_UNPROVEN, &reporter);
}

/* Strangers that begin like TLS and say no more. */
static void flood(int *fds, int count)
{
    for (int i = 0; i < count; i++) {
        fds[i] = bed_call(&bed, BED_STRANGER);
        send(fds[i], half_a_hello, 1, MSG_NOSIGNAL); /* in vain when it was refused */
    }
    bed_settle(&bed);
}

static void half_open_handshakes_of_strangers_keep_nobody_else_out(void)
{
    enum { FLOOD = 120, MAX = 100, SHARE = MAX - MAX / 8 };
    int fds[FLOOD];
    begin_patiently();
    ceiling_init(&bed.server.ceiling, MAX);
    door_init(&bed.server.worker.door, SHARE);
    bed_publish(&bed);
    flood(fds, FLOOD);
    unsigned most = (SHARE - 1 - SHARE / 4) / 2 + 1;
    CU_ASSERT_EQUAL(unproven(), most);
    CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_INBOUND, ERR_CONN_UNPROVEN), FLOOD - most);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80"), server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    int stranger = bed_call(&bed, "198.51.100.1:5555");
    bed_write(stranger, "hello");
    int other = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(other >= 0);
    expect_text(other, "hello");
    CU_ASSERT_EQUAL(unproven(), most); /* who is in is not at the door any more */
    close_all(fds, FLOOD);
    close_all((int[]){client, server, stranger, other}, 4);
    CU_ASSERT_TRUE(bed_run(&bed, nobody_left, &bed.server.worker));
    CU_ASSERT_EQUAL(unproven(), 0);
    bed_deinit(&bed);
}

static void a_flood_of_inbound_connections_leaves_outbound_its_share(void)
{
    enum { INBOUND = 20, MAX = 16, SHARE = MAX - MAX / 8 };
    int fds[INBOUND], servers[SHARE], ends[2];
    begin_patiently();
    ceiling_init(&bed.server.ceiling, MAX);
    bed_publish(&bed);
    for (int i = 0; i < INBOUND; i++) {
        fds[i] = bed_dial(&bed, BED_SERVICE_IP ":80");
        if (i < SHARE)
            servers[i] = bed_accept(&bed, bed.app);
        else
            CU_ASSERT_EQUAL(bed_next(&bed, fds[i]), -ECONNRESET);
    }
    CU_ASSERT_EQUAL(bed.server.worker.conn_count, SHARE);
    CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_INBOUND, ERR_BUSY), INBOUND - SHARE);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    outbound_start(&bed.server.worker, ends[1], &bed.wire_source, &bed.app_at);
    CU_ASSERT_EQUAL(bed.server.worker.conn_count, SHARE + 1);
    CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_OUTBOUND, ERR_BUSY), 0);
    close(ends[0]);
    close_all(fds, INBOUND);
    close_all(servers, SHARE);
    bed_deinit(&bed);
}

static void connections_that_wait_inbound_leave_outbound_its_places(void)
{
    int ends[2], fds[5];
    begin_patiently();
    bed.server.worker.holds[CONN_INBOUND].max = 4;
    for (int i = 0; i < 5; i++) /* no view yet: everybody waits */
        fds[i] = bed_call(&bed, BED_STRANGER);
    CU_ASSERT_EQUAL(bed_next(&bed, fds[4]), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_INBOUND, ERR_BUSY), 1);
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    outbound_start(&bed.server.worker, ends[1], &bed.wire_source, &bed.app_at);
    CU_ASSERT_EQUAL(bed.server.worker.holds[CONN_INBOUND].count, 4);
    CU_ASSERT_EQUAL(bed.server.worker.holds[CONN_OUTBOUND].count, 1);
    close(ends[0]);
    close_all(fds, 5);
    bed_deinit(&bed);
}

static bool has_answer(void *arg)
{
    char byte;
    return recv(*(int *)arg, &byte, 1, MSG_PEEK) == 1;
}

/* The server pod's identity under a bundle with another root alone. */
static void replace_root(void)
{
    char *root;
    struct tls_bundle *bundle = NULL;
    struct tls_key *key = tls_key_new();
    CU_ASSERT_EQUAL_FATAL(ca_make_root(key, "next root", &root, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(tls_bundle_new(&bundle, "test.mesh", root, strlen(root), NULL), ERR_OK);
    struct tls_context *before = bed.server.context;
    bed.server.context = tls_context_with_bundle(before, bundle);
    tls_context_unref(before);
    tls_bundle_unref(bundle);
    tls_key_unref(key);
    free(root);
}

static void a_root_removed_during_a_handshake_vouches_for_nobody_at_its_end(void)
{
    static uint8_t in[TLS_HANDSHAKE_OUT_MAX], out[TLS_HANDSHAKE_OUT_MAX];
    struct spiffe_id server;
    struct err err;
    begin_patiently();
    bed_publish(&bed);
    CU_ASSERT_TRUE(spiffe_make(&server, "test.mesh", "shop", "server"));
    struct tls_conn *tls = tls_conn_new_client(bed.client.context, &server, 1);
    struct tls_io io = {.out = out, .out_size = sizeof out};
    CU_ASSERT_EQUAL(tls_conn_handshake(tls, &io, &err), TLS_WANT_INPUT);
    int client = bed_call(&bed, "127.0.1.1:40000");
    write_bytes(client, (const char *)out, io.out_len);
    CU_ASSERT_TRUE_FATAL(bed_run(&bed, has_answer, &client));
    ssize_t got = recv(client, in, sizeof in, 0);
    io = (struct tls_io){.in = in, .in_len = (size_t)got, .out = out, .out_size = sizeof out};
    CU_ASSERT_EQUAL(tls_conn_handshake(tls, &io, &err), TLS_OK);
    replace_root();
    bed_publish(&bed);
    write_bytes(client, (const char *)out, io.out_len);
    CU_ASSERT_TRUE(bed_run(&bed, nobody_left, &bed.server.worker));
    CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_INBOUND, ERR_TLS_UNKNOWN_ROOT), 1);
    tls_conn_free(tls);
    close(client);
    bed_deinit(&bed);
}

static void bytes_and_both_identities_reach_the_metrics(void)
{
    char *text = NULL;
    size_t len;
    bed_init(&bed);
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80"), server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    bed_write(client, "12345");
    expect_text(server, "12345");
    close(client);
    close(server);
    bed_settle(&bed);
    CU_ASSERT_EQUAL_FATAL(metrics_render(bed.server.registry, &text, &len, NULL), ERR_OK);
    const char *line = strstr(text, "istio_tcp_received_bytes_total{reporter=\"destination\"");
    CU_ASSERT_PTR_NOT_NULL_FATAL(line);
    const char *end = strchr(line, '\n');
    CU_ASSERT_TRUE(end - line > 2 && strncmp(end - 2, " 5", 2) == 0);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(line, "source_principal=\"spiffe://test.mesh/ns/shop/sa/client\""));
    CU_ASSERT_PTR_NOT_NULL(
        strstr(line, "destination_principal=\"spiffe://test.mesh/ns/shop/sa/server\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(line, "connection_security_policy=\"mutual_tls\""));
    free(text);
    bed_deinit(&bed);
}

/* 5,000 idle connections must not cost more than the TLS library makes them. */
static void a_connection_s_own_memory_has_a_ceiling(void)
{
    CU_ASSERT_TRUE(sizeof(struct conn) <= 512);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(plaintext_passes_when_no_policy_forbids_it),
        SUITE_CASE(plaintext_is_reset_under_strict),
        SUITE_CASE(strict_lets_the_mesh_in),
        SUITE_CASE(a_server_that_speaks_first_waits_only_for_the_plaintext_timer),
        SUITE_CASE(a_silent_workload_of_the_mesh_is_refused_at_the_deadline),
        SUITE_CASE(half_a_client_hello_is_refused_from_anybody),
        SUITE_CASE(what_began_like_tls_has_the_time_of_a_handshake),
        SUITE_CASE(a_record_of_the_address_s_former_owner_is_not_ours),
        SUITE_CASE(a_stranger_that_only_half_closes_is_plaintext_at_once),
        SUITE_CASE(a_denied_identity_hears_so_and_is_reset),
        SUITE_CASE(a_named_policy_that_has_not_arrived_holds_until_it_does),
        SUITE_CASE(a_policy_that_never_arrives_refuses_at_the_deadline),
        SUITE_CASE(a_policy_that_cannot_be_read_holds_and_refuses_under_a_name_of_its_own),
        SUITE_CASE(a_new_policy_ends_live_connections_that_it_denies),
        SUITE_CASE(a_live_connection_outlives_a_policy_that_arrives_in_time),
        SUITE_CASE(a_live_connection_ends_when_its_policy_does_not_arrive),
        SUITE_CASE(a_live_connection_ends_when_its_policy_cannot_be_read),
        SUITE_CASE(an_address_that_is_not_the_pod_s_is_refused),
        SUITE_CASE(an_application_that_is_not_there_is_a_reset_at_once),
        SUITE_CASE(a_rotated_certificate_leaves_live_connections_alone),
        SUITE_CASE(policies_in_quick_succession_reach_the_oldest_connection_too),
        SUITE_CASE(half_open_handshakes_of_strangers_keep_nobody_else_out),
        SUITE_CASE(a_flood_of_inbound_connections_leaves_outbound_its_share),
        SUITE_CASE(connections_that_wait_inbound_leave_outbound_its_places),
        SUITE_CASE(a_root_removed_during_a_handshake_vouches_for_nobody_at_its_end),
        SUITE_CASE(bytes_and_both_identities_reach_the_metrics),
        SUITE_CASE(a_connection_s_own_memory_has_a_ceiling),
        SUITE_END,
    };
    return suite_main("proxy/inbound", cases, argc, argv);
}
