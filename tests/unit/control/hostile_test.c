/* What port 15012 survives: every client here means no good, and another one is served before and
 * after. */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/clock.h"
#include "client.h"
#include "suite.h"

static struct plane plane;
static struct client client;
static struct line line;

static void setup_with(void (*adjust)(struct config *config))
{
    plane_start_with(&plane, plane_mesh, adjust);
    client_start(&client, &plane);
}

static void setup(void)
{
    setup_with(NULL);
}

/* A client with a token is still served. */
static void expect_service(void)
{
    char *token = plane_token(&plane, "web");
    const struct request request = {
        .path = XDS_METHOD_CERTIFICATE, .token = token, .data = "", .len = 0};
    CU_ASSERT_FATAL(line_open(&line, &client, plane.port, "control.test"));
    struct answer answer = line_call(&line, &request);
    CU_ASSERT_EQUAL(answer.status, RPC_INVALID_ARGUMENT); /* an answer all the same */
    answer_free(&answer);
    free(token);
    line_close(&line);
}

static void teardown(void)
{
    expect_service();
    client_stop(&client);
    plane_stop(&plane);
}

static int dial(void)
{
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(plane.port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(fd >= 0 && connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    return fd;
}

/* Reads until the end; true when it came within 10 s (as FIN or as a reset). */
static bool is_cut(int fd)
{
    char waste[4096];
    for (;;) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        if (poll(&item, 1, 10000) <= 0)
            return false;
        ssize_t got = read(fd, waste, sizeof waste);
        if (got <= 0)
            return got == 0 || errno == ECONNRESET;
    }
}

static bool refused(const char *reason, double count)
{
    char name[128];
    snprintf(name, sizeof name, "handfast_control_connections_refused_total{reason=\"%s\"}",
             reason);
    return plane_metric_reaches(&plane, name, count);
}

static void send_and_be_cut(const void *data, size_t len)
{
    int fd = dial();
    CU_ASSERT(write(fd, data, len) == (ssize_t)len);
    CU_ASSERT_TRUE(is_cut(fd));
    close(fd);
}

static void listener_refuses_what_is_not_tls(void)
{
    static const char http[] = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";
    static const char preface[] = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n";
    uint8_t garbage[2048];
    setup();
    for (size_t i = 0; i < sizeof garbage; i++)
        garbage[i] = (uint8_t)(i * 167 + 13);
    send_and_be_cut(http, sizeof http - 1);
    send_and_be_cut(preface, sizeof preface - 1);
    send_and_be_cut(garbage, sizeof garbage);
    CU_ASSERT_TRUE(refused("tls_plaintext", 2));
    teardown();
}

static const uint8_t half_hello[] = {0x16, 0x03, 0x01, 0x02, 0x00, 0x01, 0x00, 0x01, 0xfc};

static void listener_counts_a_client_that_leaves_in_the_handshake(void)
{
    setup();
    int fd = dial();
    CU_ASSERT(write(fd, half_hello, sizeof half_hello) == sizeof half_hello);
    shutdown(fd, SHUT_WR);
    CU_ASSERT_TRUE(is_cut(fd));
    close(fd);
    CU_ASSERT_TRUE(refused("tls_peer_closed", 1));
    teardown();
}

static void soon_no_handshake(struct config *config)
{
    config->limits.handshake_ms = 200;
}

static void listener_does_not_wait_for_the_silent(void)
{
    setup_with(soon_no_handshake);
    int silent = dial(), half = dial();
    CU_ASSERT(write(half, half_hello, sizeof half_hello) == sizeof half_hello);
    CU_ASSERT_TRUE(is_cut(silent));
    CU_ASSERT_TRUE(is_cut(half));
    close(silent);
    close(half);
    CU_ASSERT_TRUE(refused("tls_timeout", 2));
    teardown();
}

static void soon_no_token(struct config *config)
{
    config->limits.unproven_ms = 300;
}

static void listener_cuts_connections_that_show_no_token(void)
{
    setup_with(soon_no_token);
    const struct request request = {.path = XDS_METHOD_CERTIFICATE, .data = "", .len = 0};
    CU_ASSERT_FATAL(line_open(&line, &client, plane.port, "control.test"));
    struct answer answer = line_call(&line, &request);
    CU_ASSERT_EQUAL(answer.status, RPC_UNAUTHENTICATED);
    answer_free(&answer);
    CU_ASSERT_TRUE(refused("token_missing", 1));
    line_close(&line);
    teardown();
}

static void twenty_handshakes(struct config *config)
{
    config->limits.handshakes = 20;
}

static void listener_bounds_handshakes(void)
{
    enum { MANY = 20 };
    int fds[MANY + 1];
    setup_with(twenty_handshakes);
    for (int i = 0; i <= MANY; i++)
        fds[i] = dial();
    CU_ASSERT_TRUE(is_cut(fds[MANY]));
    CU_ASSERT_TRUE(refused("busy", 1));
    for (int i = 0; i <= MANY; i++)
        close(fds[i]);
    CU_ASSERT_TRUE(refused("tls_peer_closed", MANY));
    teardown();
}

/* Runs openssl s_client with these arguments and `input` behind the handshake, until the server
 * ends the connection. */
static void openssl(const char *arguments, const char *input)
{
    char command[1024];
    snprintf(command, sizeof command,
             "printf '%s' | timeout 10 openssl s_client -connect 127.0.0.1:%u -quiet %s "
             ">/dev/null 2>&1",
             input, plane.port, arguments);
    int status = system(command);
    CU_ASSERT_NOT_EQUAL(WEXITSTATUS(status), 124); /* timeout's: the server went on listening */
    CU_ASSERT_NOT_EQUAL(WEXITSTATUS(status), 127); /* the package openssl is missing */
}

static void listener_refuses_old_tls_and_other_protocols(void)
{
    setup();
    openssl("-tls1_2 -alpn h2", "");
    CU_ASSERT_TRUE(refused("tls_version", 1));
    openssl("-alpn http/1.1", "");
    CU_ASSERT_TRUE(refused("tls_alpn", 1));
    teardown();
}

static void listener_ends_tls_connections_that_speak_no_http2(void)
{
    setup();
    openssl("-alpn h2", "GET / HTTP/1.1\\r\\n\\r\\n");
    openssl("-alpn h2",
            "PRI * HTTP/2.0\\r\\n\\r\\nSM\\r\\n\\r\\nnot a frame, and a long one at that");
    CU_ASSERT(plane_metric_reaches(&plane, "handfast_control_connections_opened_total", 2));
    CU_ASSERT(plane_metric_reaches(&plane, "handfast_control_connections", 0));
    teardown();
}

/* --- many streams ----------------------------------------------------------------------------- */

enum { LINES = 100, STREAMS = 5, MESH_MAX = 64 << 10 };

struct many {
    struct line lines[LINES];
    struct xds_client *clients[LINES * STREAMS];
    unsigned snapshots, ended, closed, wanted;
    char last_end[ERR_TEXT_MAX];
};

static void on_snapshot(struct mesh_snapshot *snapshot, void *arg)
{
    mesh_snapshot_unref(snapshot);
    ((struct many *)arg)->snapshots++;
}

static void on_bundle(const struct xds_bundle *bundle, void *arg)
{
    (void)bundle;
    (void)arg;
}

static void on_end(const struct err *err, bool answered, void *arg)
{
    struct many *many = arg;
    (void)answered;
    many->ended++;
    snprintf(many->last_end, sizeof many->last_end, "%s", err->text);
}

static bool has_word(void *arg)
{
    struct many *many = arg;
    return many->snapshots + many->ended >= many->wanted;
}

static void on_closed(void *arg)
{
    ((struct many *)arg)->closed++;
}

/* The stream of another proxy. */
static void open_stream(struct many *many, unsigned index, struct line *on, const char *token)
{
    static const struct xds_client_events events = {
        .on_snapshot = on_snapshot, .on_bundle = on_bundle, .on_end = on_end};
    static const struct xds_client_config config = {.pod_ip = "10.9.0.2",
                                                    .pod_name = "web-1",
                                                    .namespace = "shop",
                                                    .cluster_id = "",
                                                    .trust_domain = "test.mesh"};
    struct err err = {0};
    struct xds_client *one = xds_client_new(&client.timers, &config, &events, many, &err);
    CU_ASSERT_FATAL(one != NULL);
    many->clients[index] = one;
    CU_ASSERT_EQUAL_FATAL(xds_client_attach(one, on->channel, token, &err), ERR_OK);
}

static bool all_served(void *arg)
{
    struct many *many = arg;
    return many->snapshots == LINES * STREAMS || many->ended > 0;
}

static bool all_told(void *arg)
{
    struct many *many = arg;
    return many->snapshots == 2 * LINES * STREAMS || many->ended > 0;
}

static bool all_closed(void *arg)
{
    return ((struct many *)arg)->closed == LINES * STREAMS;
}

/* Fewer places than one identity may have two of for each of so many workloads. */
static void few_places(struct config *config)
{
    config->limits.connections = LINES * STREAMS + 20;
}

/* The replicas of one Deployment, which share a service account, behind one address. */
static void write_replicas(char mesh[MESH_MAX])
{
    size_t len = (size_t)snprintf(mesh, MESH_MAX, "%s", plane_mesh);
    len = (size_t)(strstr(mesh, "services:") - mesh);
    for (int i = 1; i < LINES * STREAMS; i++)
        len += (size_t)snprintf(mesh + len, MESH_MAX - len,
                                "  - {name: web-r%d, namespace: shop, service_account: web, "
                                "addresses: [10.8.%d.%d]}\n",
                                i, i / 250, 1 + i % 250);
}

static void control_serves_500_streams_from_one_address(void)
{
    static struct many many;
    static char mesh[MESH_MAX];
    write_replicas(mesh);
    plane_start_with(&plane, mesh, few_places);
    client_start(&client, &plane);
    char *token = plane_token(&plane, "web");
    for (unsigned i = 0; i < LINES; i++) {
        CU_ASSERT_FATAL(line_open(&many.lines[i], &client, plane.port, "control.test"));
        for (unsigned j = 0; j < STREAMS; j++)
            open_stream(&many, i * STREAMS + j, &many.lines[i], token);
    }
    CU_ASSERT_TRUE(client_wait(&client, all_served, &many));
    CU_ASSERT_EQUAL(plane_metric(&plane, "handfast_control_streams"), LINES * STREAMS);
    strcat(mesh, "mtls: [{mode: strict}]\n");
    CU_ASSERT_TRUE(folder_write(&plane.folder, "mesh.yaml", mesh, 0644));
    CU_ASSERT_TRUE(client_wait(&client, all_told, &many));
    CU_ASSERT_EQUAL(many.ended, 0);
    for (unsigned i = 0; i < LINES * STREAMS; i++)
        xds_client_close(many.clients[i], on_closed, &many);
    CU_ASSERT_TRUE(client_wait(&client, all_closed, &many));
    for (unsigned i = 0; i < LINES; i++)
        line_close(&many.lines[i]);
    free(token);
    teardown();
}

/* Of a pool of 20 one identity gets 10, and 2 for its workload. */
static void forty_places(struct config *config)
{
    config->limits.connections = 40;
}

/* A stream, left open: true when it was served, false when it was refused for what its identity
 * holds. */
static bool is_served(struct many *many, unsigned index, const char *token)
{
    unsigned snapshots = many->snapshots;
    open_stream(many, index, &many->lines[index % STREAMS], token);
    many->wanted = snapshots + many->ended + 1;
    CU_ASSERT_FATAL(client_wait(&client, has_word, many));
    return many->snapshots > snapshots;
}

static void control_gives_one_token_its_share_of_streams_and_others_theirs(void)
{
    enum { SHARE = 12 };
    static struct many many;
    many = (struct many){0};
    setup_with(forty_places);
    char *web = plane_token(&plane, "web"), *other = plane_token(&plane, "client");
    for (unsigned i = 0; i < STREAMS; i++)
        CU_ASSERT_FATAL(line_open(&many.lines[i], &client, plane.port, "control.test"));
    for (unsigned i = 0; i < SHARE; i++)
        CU_ASSERT_TRUE(is_served(&many, i, web));
    for (unsigned i = SHARE; i < SHARE + 3; i++)
        CU_ASSERT_FALSE(is_served(&many, i, web));
    CU_ASSERT_PTR_NOT_NULL(strstr(many.last_end, "RESOURCE_EXHAUSTED: quota: shop/web holds 12 "
                                                 "streams already: 2 for each of the 1 workloads"));
    CU_ASSERT_EQUAL(
        plane_metric(&plane, "handfast_control_streams_refused_total{reason=\"quota\"}"), 3);
    CU_ASSERT_TRUE(is_served(&many, SHARE + 3, other));
    /* One that ends makes room for the next. */
    xds_client_detach(many.clients[0]);
    many.wanted = many.snapshots + many.ended + 1;
    CU_ASSERT_TRUE(client_wait(&client, has_word, &many));
    for (int i = 0; i < 1000 && plane_metric(&plane, "handfast_control_streams") > SHARE; i++)
        poll(NULL, 0, 10);
    CU_ASSERT_TRUE(is_served(&many, SHARE + 4, web));
    for (unsigned i = 0; i < SHARE + 5; i++)
        xds_client_close(many.clients[i], on_closed, &many);
    many.closed += LINES * STREAMS - SHARE - 5;
    CU_ASSERT_TRUE(client_wait(&client, all_closed, &many));
    for (unsigned i = 0; i < STREAMS; i++)
        line_close(&many.lines[i]);
    free(web);
    free(other);
    teardown();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(listener_refuses_what_is_not_tls),
        SUITE_CASE(listener_counts_a_client_that_leaves_in_the_handshake),
        SUITE_CASE(listener_does_not_wait_for_the_silent),
        SUITE_CASE(listener_cuts_connections_that_show_no_token),
        SUITE_CASE(listener_bounds_handshakes),
        SUITE_CASE(listener_refuses_old_tls_and_other_protocols),
        SUITE_CASE(listener_ends_tls_connections_that_speak_no_http2),
        SUITE_CASE(control_serves_500_streams_from_one_address),
        SUITE_CASE(control_gives_one_token_its_share_of_streams_and_others_theirs),
        SUITE_END,
    };
    return suite_main("control.hostile", cases, argc, argv);
}
