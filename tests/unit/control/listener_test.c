/* Who gets a place at port 15012, and who loses it: by address, by token, by what is done with it.
 * In a network namespace of its own, for addresses enough. */
#include "control/listener.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <poll.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "client.h"
#include "suite.h"

enum { LINES = 16, SOCKETS = 8 };

static struct plane plane;
static struct client client;
static struct line lines[LINES];

/* --- addresses of our own -------------------------------------------------------------------- */

/* As the kernel has it in linux/ipv6.h, which does not go with netinet/in.h. */
struct address_request {
    struct in6_addr address;
    uint32_t prefix_len;
    int index;
};

static const char *const addresses[] = {"fd00:1::1", "fd00:1::2", "fd00:1::3:4:5:6",
                                        "fd00:1::ffff:ffff:ffff:ffff", "fd00:1:0:1::1"};

static bool add_addresses(void)
{
    struct ifreq lo = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK};
    int fd = socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool done = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &lo) == 0;
    for (size_t i = 0; i < sizeof addresses / sizeof addresses[0]; i++) {
        struct address_request request = {.prefix_len = 128, .index = (int)if_nametoindex("lo")};
        inet_pton(AF_INET6, addresses[i], &request.address);
        done = done && ioctl(fd, SIOCSIFADDR, &request) == 0;
    }
    if (fd >= 0)
        close(fd);
    return done;
}

static bool enter_namespace(void)
{
    if ((unshare(CLONE_NEWNET) == 0 || unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0) &&
        add_addresses())
        return true;
    perror("this test needs a network namespace of its own, as root or with user namespaces");
    return false;
}

/* --- clients --------------------------------------------------------------------------------- */

static void setup(void (*adjust)(struct config *config))
{
    plane_start_with(&plane, plane_mesh, adjust);
    client_start(&client, &plane);
}

static void teardown(void)
{
    client_stop(&client);
    plane_stop(&plane);
}

/* Connects from `source` to the same machine and says nothing. */
static int dial_from(const char *source)
{
    struct addr_port from = {0}, to;
    struct sockaddr_storage address;
    CU_ASSERT_FATAL(addr_parse(&from.ip, source));
    to = from;
    to.port = plane.port;
    int fd = socket(from.ip.len == 16 ? AF_INET6 : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    socklen_t len = addr_to_sockaddr(&from, &address);
    CU_ASSERT_FATAL(fd >= 0 && bind(fd, (struct sockaddr *)&address, len) == 0);
    len = addr_to_sockaddr(&to, &address);
    CU_ASSERT_FATAL(connect(fd, (struct sockaddr *)&address, len) == 0);
    return fd;
}

/* True when the server ends it within `wait_ms`. */
static bool is_cut(int fd, int wait_ms)
{
    char byte;
    struct pollfd item = {.fd = fd, .events = POLLIN};
    return poll(&item, 1, wait_ms) == 1 && read(fd, &byte, 1) <= 0;
}

static bool refused(const char *reason, double count)
{
    char name[128];
    snprintf(name, sizeof name, "handfast_control_connections_refused_total{reason=\"%s\"}",
             reason);
    return plane_metric_reaches(&plane, name, count);
}

/* A call with this token that is answered with this status: not a certificate, but that the token
 * was good. */
static void expect_status(struct line *line, const char *token, int status)
{
    const struct request request = {
        .path = XDS_METHOD_CERTIFICATE, .token = token, .data = "", .len = 0};
    struct answer answer = line_call(line, &request);
    if (answer.status != status)
        fprintf(stderr, "\nexpected %d, found %d %s\n", status, answer.status, answer.message);
    CU_ASSERT_EQUAL(answer.status, status);
    if (status == RPC_RESOURCE_EXHAUSTED)
        CU_ASSERT_PTR_NOT_NULL(strstr(answer.message, "quota: shop/"));
    answer_free(&answer);
}

static void open_line(struct line *line)
{
    CU_ASSERT_FATAL(line_open(line, &client, plane.port, "control.test"));
}

static bool has_ended(void *arg)
{
    return ((struct line *)arg)->ended;
}

/* --- addresses ------------------------------------------------------------------------------- */

static void three_from_one_host(struct config *config)
{
    config->limits.per_address = 3;
    addr_port_parse(&config->listen[0], "[::]:0");
}

static void listener_counts_an_ipv6_address_with_its_64(void)
{
    int fds[5];
    setup(three_from_one_host);
    for (int i = 0; i < 5; i++) {
        fds[i] = dial_from(addresses[i]);
        CU_ASSERT_EQUAL(is_cut(fds[i], i == 3 ? 10000 : 100), i == 3);
    }
    CU_ASSERT_TRUE(refused("busy", 1));
    /* One that goes makes place for another. */
    close(fds[0]);
    CU_ASSERT_TRUE(refused("tls_peer_closed", 1));
    fds[0] = dial_from(addresses[3]);
    CU_ASSERT_FALSE(is_cut(fds[0], 100));
    for (int i = 0; i < 5; i++)
        close(fds[i]);
    teardown();
}

static void two_from_one_address(struct config *config)
{
    config->limits.per_address = 2;
    addr_port_parse(&config->listen[0], "0.0.0.0:0");
}

static void listener_counts_an_ipv4_address_alone(void)
{
    static const char *const sources[] = {"127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.2"};
    int fds[4];
    setup(two_from_one_address);
    for (int i = 0; i < 4; i++) {
        fds[i] = dial_from(sources[i]);
        CU_ASSERT_EQUAL(is_cut(fds[i], i == 2 ? 10000 : 100), i == 2);
    }
    CU_ASSERT_TRUE(refused("busy", 1));
    for (int i = 0; i < 4; i++)
        close(fds[i]);
    teardown();
}

/* A whole cluster may come from one address. */
static void listener_counts_no_address_once_a_token_came(void)
{
    setup(two_from_one_address);
    char *token = plane_token(&plane, "web");
    for (int i = 0; i < 8; i++) {
        open_line(&lines[i]);
        expect_status(&lines[i], token, RPC_INVALID_ARGUMENT);
    }
    CU_ASSERT_EQUAL(plane_metric(&plane, "handfast_control_connections"), 8);
    for (int i = 0; i < 8; i++)
        line_close(&lines[i]);
    free(token);
    teardown();
}

/* --- identities ------------------------------------------------------------------------------ */

/* Of which a pool of 8: one identity gets 4 of them, and 2 for each of its workloads. */
static void sixteen_places(struct config *config)
{
    config->limits.connections = 16;
}

static void listener_gives_one_identity_its_share_and_others_theirs(void)
{
    setup(sixteen_places);
    char *web = plane_token(&plane, "web"), *other = plane_token(&plane, "client");
    for (int i = 0; i < 7; i++) {
        open_line(&lines[i]);
        expect_status(&lines[i], web, i < 6 ? RPC_INVALID_ARGUMENT : RPC_RESOURCE_EXHAUSTED);
    }
    CU_ASSERT_TRUE(refused("quota", 1));
    CU_ASSERT_EQUAL(
        plane_metric(&plane, "handfast_control_certificates_refused_total{reason=\"quota\"}"), 1);
    /* A connection that was refused is not kept, others are, and whoever else comes is served. */
    CU_ASSERT_TRUE(client_wait(&client, has_ended, &lines[6]));
    expect_status(&lines[0], web, RPC_INVALID_ARGUMENT);
    open_line(&lines[7]);
    expect_status(&lines[7], other, RPC_INVALID_ARGUMENT);
    CU_ASSERT_EQUAL(plane_metric(&plane, "handfast_control_identities"), 2);
    /* And when one of its own goes, another one may come. */
    line_close(&lines[0]);
    line_close(&lines[6]);
    for (int i = 0; i < 1000 && plane_metric(&plane, "handfast_control_connections") > 6; i++)
        poll(NULL, 0, 10);
    open_line(&lines[0]);
    expect_status(&lines[0], web, RPC_INVALID_ARGUMENT);
    for (int i = 0; i < 8; i++) {
        if (i != 6)
            line_close(&lines[i]);
    }
    free(web);
    free(other);
    teardown();
}

/* --- places ---------------------------------------------------------------------------------- */

static void eight_places_for_the_quick(struct config *config)
{
    config->limits.connections = 8;
    config->limits.evict_ms = 0;
}

static void listener_makes_room_for_who_has_a_token(void)
{
    int silent[4];
    setup(eight_places_for_the_quick);
    char *tokens[] = {plane_token(&plane, "web"), plane_token(&plane, "client")};
    open_line(&lines[0]);
    expect_status(&lines[0], tokens[0], RPC_INVALID_ARGUMENT);
    for (int i = 0; i < 4; i++)
        silent[i] = dial_from("127.0.0.1");
    for (int i = 1; i < 4; i++)
        open_line(&lines[i]); /* through TLS, and no call */
    CU_ASSERT(plane_metric_reaches(&plane, "handfast_control_connections", 8));
    /* The next ones push out whoever has been silent for longest, in the handshake or after. */
    for (int i = 4; i < 8; i++) {
        open_line(&lines[i]);
        expect_status(&lines[i], tokens[i % 2], RPC_INVALID_ARGUMENT);
        CU_ASSERT_TRUE(is_cut(silent[i - 4], 10000));
    }
    open_line(&lines[8]);
    CU_ASSERT_TRUE(client_wait(&client, has_ended, &lines[1]));
    CU_ASSERT_TRUE(refused("busy", 5));
    expect_status(&lines[0], tokens[0], RPC_INVALID_ARGUMENT); /* never who has a token */
    for (int i = 0; i < 4; i++)
        close(silent[i]);
    for (int i = 0; i < 9; i++)
        line_close(&lines[i]);
    free(tokens[0]);
    free(tokens[1]);
    teardown();
}

static void four_handshakes_for_the_quick(struct config *config)
{
    config->limits.handshakes = 4;
    config->limits.per_address = 3;
    config->limits.evict_ms = 0;
    addr_port_parse(&config->listen[0], "0.0.0.0:0");
}

static void listener_is_not_kept_busy_by_handshakes_that_stand_still(void)
{
    int silent[5];
    setup(four_handshakes_for_the_quick);
    char *token = plane_token(&plane, "web");
    for (int i = 0; i < 4; i++)
        silent[i] = dial_from("127.0.0.2");
    CU_ASSERT_TRUE(is_cut(silent[3], 10000)); /* one address cannot take them all */
    CU_ASSERT_FALSE(is_cut(silent[0], 100));
    close(silent[3]);
    silent[3] = dial_from("127.0.0.3");
    silent[4] = dial_from("127.0.0.3"); /* several may, and make room for each other */
    CU_ASSERT_TRUE(is_cut(silent[0], 10000));
    open_line(&lines[0]);
    expect_status(&lines[0], token, RPC_INVALID_ARGUMENT);
    CU_ASSERT_TRUE(is_cut(silent[1], 10000));
    CU_ASSERT_FALSE(is_cut(silent[4], 100));
    for (int i = 0; i < 5; i++)
        close(silent[i]);
    line_close(&lines[0]);
    free(token);
    teardown();
}

static void eight_places(struct config *config)
{
    config->limits.connections = 8;
}

static void listener_is_full_when_it_is(void)
{
    int fds[9];
    setup(eight_places);
    for (int i = 0; i < 9; i++)
        fds[i] = dial_from("127.0.0.1");
    CU_ASSERT_TRUE(is_cut(fds[8], 10000));
    CU_ASSERT_TRUE(refused("busy", 1));
    CU_ASSERT_EQUAL(plane_metric(&plane, "handfast_control_connections_max"), 8);
    for (int i = 0; i < 9; i++)
        close(fds[i]);
    teardown();
}

/* --- what is done with a place --------------------------------------------------------------- */

static void idle_soon(struct config *config)
{
    config->limits.idle_ms = 1;
}

static void on_snapshot(struct mesh_snapshot *snapshot, void *arg)
{
    mesh_snapshot_unref(snapshot);
    *(bool *)arg = true;
}

static void on_bundle(const struct xds_bundle *bundle, void *arg)
{
    (void)bundle;
    (void)arg;
}

static void on_end(const struct err *err, bool answered, void *arg)
{
    (void)err;
    (void)answered;
    (void)arg;
}

static void on_closed(void *arg)
{
    *(bool *)arg = true;
}

static bool is_set(void *arg)
{
    return *(bool *)arg;
}

static void listener_cuts_connections_on_which_nothing_is_called(void)
{
    static const struct xds_client_events events = {
        .on_snapshot = on_snapshot, .on_bundle = on_bundle, .on_end = on_end};
    static const struct xds_client_config config = {.pod_ip = "10.9.0.2",
                                                    .pod_name = "web-1",
                                                    .namespace = "shop",
                                                    .cluster_id = "",
                                                    .trust_domain = "test.mesh"};
    struct err err = {0};
    bool done = false;
    setup(idle_soon);
    char *token = plane_token(&plane, "web");
    open_line(&lines[0]);
    struct xds_client *stream = xds_client_new(&client.timers, &config, &events, &done, &err);
    CU_ASSERT_FATAL(stream != NULL);
    CU_ASSERT_EQUAL_FATAL(xds_client_attach(stream, lines[0].channel, token, &err), ERR_OK);
    CU_ASSERT_TRUE(client_wait(&client, is_set, &done));
    open_line(&lines[1]);
    expect_status(&lines[1], token, RPC_INVALID_ARGUMENT);
    CU_ASSERT_TRUE(client_wait(&client, has_ended, &lines[1]));
    CU_ASSERT(plane_metric_reaches(&plane, "handfast_control_connections_idle_total", 1));
    /* A stream is use enough, for as long as it is there. */
    CU_ASSERT_FALSE(lines[0].ended);
    done = false;
    xds_client_close(stream, on_closed, &done);
    CU_ASSERT_TRUE(client_wait(&client, is_set, &done));
    CU_ASSERT_TRUE(client_wait(&client, has_ended, &lines[0]));
    line_close(&lines[0]);
    line_close(&lines[1]);
    free(token);
    teardown();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(listener_counts_an_ipv6_address_with_its_64),
        SUITE_CASE(listener_counts_an_ipv4_address_alone),
        SUITE_CASE(listener_counts_no_address_once_a_token_came),
        SUITE_CASE(listener_gives_one_identity_its_share_and_others_theirs),
        SUITE_CASE(listener_makes_room_for_who_has_a_token),
        SUITE_CASE(listener_is_not_kept_busy_by_handshakes_that_stand_still),
        SUITE_CASE(listener_is_full_when_it_is),
        SUITE_CASE(listener_cuts_connections_on_which_nothing_is_called),
        SUITE_END,
    };
    return enter_namespace() ? suite_main("control.listener", cases, argc, argv) : 1;
}
