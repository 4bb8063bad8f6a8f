#include "proxy/outbound.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "bed.h"
#include "suite.h"

static struct bed bed;

static char *format_at(const struct addr_port *at, char text[ADDR_TEXT_MAX])
{
    addr_port_format(at, text);
    return text;
}

/* "hello" one way, "welcome" back, FIN one way, "goodbye" behind it, FIN back. */
static void converse(int client, int server)
{
    char text[16] = "";
    bed_write(client, "hello");
    CU_ASSERT_TRUE(bed_read(&bed, server, text, 5));
    CU_ASSERT_STRING_EQUAL(text, "hello");
    bed_write(server, "welcome");
    CU_ASSERT_TRUE(bed_read(&bed, client, text, 7));
    CU_ASSERT_STRING_EQUAL(text, "welcome");
    shutdown(client, SHUT_WR);
    CU_ASSERT_EQUAL(bed_next(&bed, server), 0);
    bed_write(server, "goodbye");
    CU_ASSERT_TRUE(bed_read(&bed, client, text, 7));
    shutdown(server, SHUT_WR);
    CU_ASSERT_EQUAL(bed_next(&bed, client), 0);
}

static void a_workload_of_the_mesh_is_reached_over_mutual_tls(void)
{
    char at[ADDR_TEXT_MAX];
    bed_init(&bed);
    bed_publish(&bed);
    int client = bed_dial(&bed, format_at(&bed.wire_at, at));
    int server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    struct conn *out = bed.client.worker.conns, *in = bed.server.worker.conns;
    CU_ASSERT_PTR_NOT_NULL_FATAL(out);
    CU_ASSERT_PTR_NOT_NULL_FATAL(in);
    CU_ASSERT_STRING_EQUAL(out->peer->id, "spiffe://test.mesh/ns/shop/sa/server");
    CU_ASSERT_STRING_EQUAL(in->peer->id, "spiffe://test.mesh/ns/shop/sa/client");
    converse(client, server);
    bed_settle(&bed);
    CU_ASSERT_EQUAL(bed.client.worker.conn_count, 0);
    CU_ASSERT_EQUAL(bed.server.worker.conn_count, 0);
    close(client);
    close(server);
    bed_deinit(&bed);
}

static void a_service_address_leads_to_an_endpoint_s_own_port(void)
{
    bed_init(&bed);
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80");
    int server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    CU_ASSERT_EQUAL(balance_count(&bed.client.worker.balance, "server"), 1);
    converse(client, server);
    bed_settle(&bed);
    CU_ASSERT_EQUAL(balance_count(&bed.client.worker.balance, "server"), 0);
    close(client);
    close(server);
    bed_deinit(&bed);
}

static void an_unknown_address_is_relayed_as_it_is(void)
{
    char at[ADDR_TEXT_MAX];
    bed_init(&bed);
    bed_publish(&bed);
    /* 127.0.3.1 is nobody's; whoever listens there speaks to us in the clear. */
    struct addr_port elsewhere;
    struct err err;
    int listening;
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    addr_port_parse(&elsewhere, "127.0.3.1:0");
    CU_ASSERT_EQUAL_FATAL(socket_listen(&elsewhere, false, 4, &listening, &err), ERR_OK);
    getsockname(listening, (struct sockaddr *)&bound, &len);
    addr_from_sockaddr(&elsewhere, &bound);
    int client = bed_dial(&bed, format_at(&elsewhere, at));
    int server = bed_accept(&bed, listening);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    converse(client, server);
    close(client);
    close(server);
    close(listening);
    bed_deinit(&bed);
}

static void a_peer_that_is_somebody_else_costs_the_application_a_reset(void)
{
    bed_init(&bed);
    tls_context_unref(bed.server.context);
    bed.server.context = bed_context(&bed, "impostor");
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80");
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.client, CONN_OUTBOUND, ERR_TLS_ID_MISMATCH), 1);
    CU_ASSERT_EQUAL(bed_failed_handshakes(&bed.client, CONN_OUTBOUND, ERR_TLS_ID_MISMATCH), 1);
    close(client);
    bed_deinit(&bed);
}

static void a_workload_of_the_mesh_never_gets_plaintext(void)
{
    unsigned char hello[8];
    bed_init(&bed);
    bed.wire_is_plain = true;
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80");
    bed_write(client, "the secret");
    int server = bed_accept(&bed, bed.wire);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    CU_ASSERT_TRUE(bed_read(&bed, server, hello, sizeof hello));
    CU_ASSERT_EQUAL(hello[0], 22); /* a TLS handshake record */
    bed_write(server, "220 smtp.example ready\r\n");
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.client, CONN_OUTBOUND, ERR_TLS_PLAINTEXT), 1);
    close(client);
    close(server);
    bed_deinit(&bed);
}

static void a_silent_peer_is_given_up_at_the_handshake_s_deadline(void)
{
    bed_init(&bed);
    bed.wire_is_plain = true;
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80");
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.client, CONN_OUTBOUND, ERR_TLS_TIMEOUT), 1);
    close(client);
    bed_deinit(&bed);
}

static void what_the_mesh_cannot_reach_is_reset_with_its_own_reason(void)
{
    char at[ADDR_TEXT_MAX];
    bed_init(&bed);
    bed_publish(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":81");
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.client, CONN_OUTBOUND, ERR_CONN_NO_PORT), 1);
    close(client);

    bed_put_server(&bed, MESH_TUNNEL_HBONE, NULL);
    bed_publish(&bed);
    client = bed_dial(&bed, format_at(&bed.wire_at, at));
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.client, CONN_OUTBOUND, ERR_CONN_UNSUPPORTED_TUNNEL), 1);
    close(client);
    bed_deinit(&bed);
}

static bool nobody_left(void *arg)
{
    return ((struct worker *)arg)->conn_count == 0;
}

static void a_refused_endpoint_is_replaced_by_another_once(void)
{
    char text[ADDR_TEXT_MAX];
    struct addr_port dead = {0};
    bed_init(&bed);
    addr_parse(&dead.ip, "127.0.4.1");
    dead.port = bed.wire_at.port; /* nobody listens there */
    bed_put_endpoint(&bed, "dead", format_at(&dead, text));
    bed_publish(&bed);
    for (int i = 0; i < 10; i++) {
        int client = bed_dial(&bed, BED_SERVICE_IP ":80");
        int server = bed_accept(&bed, bed.app);
        CU_ASSERT_TRUE_FATAL(server >= 0);
        close(client);
        close(server);
        CU_ASSERT_TRUE(bed_run(&bed, nobody_left, &bed.client.worker));
    }
    CU_ASSERT_EQUAL(balance_count(&bed.client.worker.balance, "dead"), 0);
    bed_deinit(&bed);
}

static void nothing_leaves_before_certificate_and_configuration(void)
{
    bed_init(&bed);
    int unknown = bed_dial(&bed, "127.0.3.1:9"), service = bed_dial(&bed, BED_SERVICE_IP ":80");
    CU_ASSERT_EQUAL(bed.client.worker.holds[CONN_OUTBOUND].count, 2);
    bed_publish(&bed);
    CU_ASSERT_EQUAL(bed.client.worker.holds[CONN_OUTBOUND].count, 0);
    int server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    converse(service, server);
    CU_ASSERT_EQUAL(bed_next(&bed, unknown), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.client, CONN_OUTBOUND, ERR_CONN_REFUSED), 1);
    close(unknown);
    close(service);
    close(server);
    bed_deinit(&bed);
}

static void a_view_without_certificate_or_whole_configuration_is_not_enough(void)
{
    bed_init(&bed);
    int client = bed_dial(&bed, "127.0.3.1:9");
    struct view *no_certificate = view_new(bed.mesh, NULL, true);
    struct view *not_complete = view_new(bed.mesh, bed.client.context, false);
    worker_set_view(&bed.client.worker, no_certificate);
    CU_ASSERT_EQUAL(bed.client.worker.holds[CONN_OUTBOUND].count, 1);
    worker_set_view(&bed.client.worker, not_complete);
    CU_ASSERT_EQUAL(bed.client.worker.holds[CONN_OUTBOUND].count, 1);
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.client, CONN_OUTBOUND, ERR_CONN_NOT_READY), 1);
    view_unref(no_certificate);
    view_unref(not_complete);
    close(client);
    bed_deinit(&bed);
}

static void an_expired_certificate_of_our_own_is_no_certificate(void)
{
    struct err err;
    bed_init(&bed);
    struct view *view = view_new(bed.mesh, bed.client.context, true);
    CU_ASSERT_TRUE(view_usable(view, &err));
    clock_fake(0, tls_context_identity(bed.client.context)->not_after_s * 1000);
    CU_ASSERT_FALSE(view_usable(view, &err));
    CU_ASSERT_EQUAL(err.code, ERR_CONN_NOT_READY);
    clock_fake(0, -1);
    view_unref(view);
    bed_deinit(&bed);
}

static void waiting_ends_with_a_reset_at_the_deadline(void)
{
    bed_init(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80");
    CU_ASSERT_EQUAL(bed_next(&bed, client), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.client, CONN_OUTBOUND, ERR_CONN_NOT_READY), 1);
    close(client);
    bed_deinit(&bed);
}

static void an_application_that_resets_while_it_waits_is_forgotten(void)
{
    struct linger now = {.l_onoff = 1};
    bed_init(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80");
    setsockopt(client, SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(client);
    CU_ASSERT_TRUE(bed_run(&bed, nobody_left, &bed.client.worker));
    CU_ASSERT_EQUAL(bed.client.worker.holds[CONN_OUTBOUND].count, 0);
    CU_ASSERT_EQUAL(bed_refused(&bed.client, CONN_OUTBOUND, ERR_CONN_APP_RESET), 1);
    bed_deinit(&bed);
}

static void an_application_that_half_closes_while_it_waits_is_served(void)
{
    char text[8] = "";
    bed_init(&bed);
    int client = bed_dial(&bed, BED_SERVICE_IP ":80");
    bed_write(client, "query");
    shutdown(client, SHUT_WR);
    bed_settle(&bed);
    bed_publish(&bed);
    int server = bed_accept(&bed, bed.app);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    CU_ASSERT_TRUE(bed_read(&bed, server, text, 5));
    CU_ASSERT_STRING_EQUAL(text, "query");
    CU_ASSERT_EQUAL(bed_next(&bed, server), 0);
    bed_write(server, "reply");
    close(server);
    CU_ASSERT_TRUE(bed_read(&bed, client, text, 5));
    CU_ASSERT_STRING_EQUAL(text, "reply");
    CU_ASSERT_EQUAL(bed_next(&bed, client), 0);
    close(client);
    bed_deinit(&bed);
}

/* The server pod is the client of its own service here, so its worker takes the connection. */
static int call_itself(void)
{
    int ends[2];
    struct addr_port source, original;
    addr_port_parse(&source, "127.0.2.1:40002");
    addr_port_parse(&original, BED_SERVICE_IP ":80");
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
    outbound_start(&bed.server.worker, ends[1], &source, &original);
    return ends[0];
}

static void a_workload_calls_itself_in_plaintext_if_policy_lets_it(void)
{
    bed_init(&bed);
    bed.wire_is_plain = true; /* the endpoint's port is the application here */
    bed_publish(&bed);
    int client = call_itself();
    int server = bed_accept(&bed, bed.wire);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    converse(client, server);
    close(client);
    close(server);
    client = call_itself();
    server = bed_accept(&bed, bed.wire);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    char text[6] = {0};
    bed_write(client, "hello");
    CU_ASSERT_TRUE(bed_read(&bed, server, text, 5));

    bed_put_deny(&bed, "/not-itself", "test.mesh/ns/shop/sa/server");
    bed_publish(&bed);
    CU_ASSERT_EQUAL(bed_next(&bed, server), -ECONNRESET); /* the live one too */
    close(client);
    close(server);
    client = call_itself();
    CU_ASSERT_TRUE(bed_run(&bed, nobody_left, &bed.server.worker));
    CU_ASSERT_EQUAL(bed_refused(&bed.server, CONN_OUTBOUND, ERR_CONN_POLICY_DENIED), 1);
    close(client);
    bed_deinit(&bed);
}

static void a_workload_that_calls_itself_is_cut_when_its_policy_cannot_be_read(void)
{
    bed_init(&bed);
    bed.wire_is_plain = true;
    bed_publish(&bed);
    int client = call_itself();
    int server = bed_accept(&bed, bed.wire);
    CU_ASSERT_TRUE_FATAL(server >= 0);
    int64_t began_ms = clock_now_ms();
    bed_put_unreadable(&bed, "/future");
    bed_publish(&bed);
    CU_ASSERT_EQUAL(bed_next(&bed, server), -ECONNRESET);
    CU_ASSERT_TRUE(clock_now_ms() - began_ms >= bed.server.config.hold_ms);
    close(client);
    close(server);
    bed_deinit(&bed);
}

static void the_ceiling_on_connections_is_answered_with_a_reset(void)
{
    bed_init(&bed);
    ceiling_init(&bed.client.ceiling, 1);
    int first = bed_dial(&bed, BED_SERVICE_IP ":80"), second = bed_dial(&bed, BED_SERVICE_IP ":80");
    CU_ASSERT_EQUAL(bed_next(&bed, second), -ECONNRESET);
    CU_ASSERT_EQUAL(bed_refused(&bed.client, CONN_OUTBOUND, ERR_BUSY), 1);
    close(first);
    close(second);
    bed_deinit(&bed);
}

static bool everybody_answered(void *arg)
{
    return bed_failed_handshakes(&bed.client, CONN_OUTBOUND, ERR_TLS_TIMEOUT) == *(unsigned *)arg;
}

static void only_so_many_are_opened_to_one_workload_at_once(void)
{
    enum { MORE = 10 };
    int fds[BALANCE_OPENING_MAX + MORE];
    unsigned all = BALANCE_OPENING_MAX + MORE;
    bed_init(&bed);
    bed.wire_is_plain = true; /* nobody answers, so every one of them times out */
    bed_publish(&bed);
    for (unsigned i = 0; i < all; i++)
        fds[i] = bed_dial(&bed, BED_SERVICE_IP ":80");
    const struct balance_load *load = bed.client.worker.conns->load;
    CU_ASSERT_EQUAL(load->opening, BALANCE_OPENING_MAX);
    CU_ASSERT_EQUAL(load->waiting.count, MORE);
    close(fds[--all]); /* a clean end is none */
    struct linger now = {.l_onoff = 1};
    setsockopt(fds[all - 1], SOL_SOCKET, SO_LINGER, &now, sizeof now);
    close(fds[--all]); /* a reset is */
    CU_ASSERT_TRUE(bed_run(&bed, everybody_answered, &(unsigned){all + 1}));
    bed_settle(&bed);
    CU_ASSERT_EQUAL(bed.client.worker.conn_count, 0);
    CU_ASSERT_EQUAL(bed.client.worker.balance.loads.count, 0);
    while (all > 0)
        close(fds[--all]);
    bed_deinit(&bed);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(a_workload_of_the_mesh_is_reached_over_mutual_tls),
        SUITE_CASE(a_service_address_leads_to_an_endpoint_s_own_port),
        SUITE_CASE(an_unknown_address_is_relayed_as_it_is),
        SUITE_CASE(a_peer_that_is_somebody_else_costs_the_application_a_reset),
        SUITE_CASE(a_workload_of_the_mesh_never_gets_plaintext),
        SUITE_CASE(a_silent_peer_is_given_up_at_the_handshake_s_deadline),
        SUITE_CASE(what_the_mesh_cannot_reach_is_reset_with_its_own_reason),
        SUITE_CASE(a_refused_endpoint_is_replaced_by_another_once),
        SUITE_CASE(nothing_leaves_before_certificate_and_configuration),
        SUITE_CASE(a_view_without_certificate_or_whole_configuration_is_not_enough),
        SUITE_CASE(an_expired_certificate_of_our_own_is_no_certificate),
        SUITE_CASE(waiting_ends_with_a_reset_at_the_deadline),
        SUITE_CASE(an_application_that_resets_while_it_waits_is_forgotten),
        SUITE_CASE(an_application_that_half_closes_while_it_waits_is_served),
        SUITE_CASE(a_workload_calls_itself_in_plaintext_if_policy_lets_it),
        SUITE_CASE(a_workload_that_calls_itself_is_cut_when_its_policy_cannot_be_read),
        SUITE_CASE(the_ceiling_on_connections_is_answered_with_a_reset),
        SUITE_CASE(only_so_many_are_opened_to_one_workload_at_once),
        SUITE_END,
    };
    return suite_main("proxy/outbound", cases, argc, argv);
}
