#include "proxy/inbound.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "bed.h"
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
    CU_ASSERT_EQUAL(bed.server.worker.holds.count, 1);
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
        SUITE_CASE(bytes_and_both_identities_reach_the_metrics),
        SUITE_CASE(a_connection_s_own_memory_has_a_ceiling),
        SUITE_END,
    };
    return suite_main("proxy/inbound", cases, argc, argv);
}
