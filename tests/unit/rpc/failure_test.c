/* Broken connections and ends in the middle of something. */
#include "fixture.h"

/* --- a wire between client and server that can be cut ---------------------------------------- */

struct wire_end {
    struct poll_item item;
    int fd;
    struct wire_end *other;
    struct fixture *fixture;
};

struct wire {
    struct wire_end client, server;
    struct rpc_channel *channel;
    struct rpc_connection *connection;
};

/* Socketpairs hold far more than these tests send, so a write is never cut short. */
static void wire_on_events(struct poll_item *item, uint32_t events)
{
    (void)events;
    struct wire_end *end = (struct wire_end *)item;
    char bytes[4096];
    ssize_t got;
    while ((got = read(end->fd, bytes, sizeof bytes)) > 0)
        if (write(end->other->fd, bytes, (size_t)got) != got)
            CU_ASSERT_EQUAL(errno, EPIPE);
}

static void wire_end_open(struct fixture *fixture, struct wire_end *end, struct wire_end *other,
                          int fd)
{
    struct err err = {0};
    end->fd = fd;
    end->other = other;
    end->fixture = fixture;
    fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    CU_ASSERT_EQUAL_FATAL(poll_item_add(&fixture->loop, &end->item, fd, wire_on_events, &err),
                          ERR_OK);
}

static void wire_open(struct fixture *fixture, struct wire *wire, void *arg)
{
    int client[2], server[2];
    make_pair(client);
    make_pair(server);
    wire->channel = dial(fixture, client[0]);
    wire->connection = serve(fixture, server[0], arg);
    wire_end_open(fixture, &wire->client, &wire->server, client[1]);
    wire_end_open(fixture, &wire->server, &wire->client, server[1]);
}

static void wire_cut(struct fixture *fixture, struct wire *wire)
{
    poll_item_remove(&fixture->loop, &wire->client.item);
    poll_item_remove(&fixture->loop, &wire->server.item);
    close(wire->client.fd);
    close(wire->server.fd);
}

static void a_cut_wire_ends_the_calls_of_both_sides(void)
{
    struct fixture fixture;
    struct wire wire;
    struct peer peer = {0}, idle = {0};
    fixture_start(&fixture, test_methods);
    wire_open(&fixture, &wire, NULL);
    open_watched(&fixture, wire.channel, &peer);
    call(wire.channel, &idle, "/test.Test/Echo");
    CU_ASSERT_EQUAL(rpc_call_send(watched.call, "x", 1), ERR_OK);
    CU_ASSERT_EQUAL(rpc_call_send(peer.call, "y", 1), ERR_OK);
    WAIT_UNTIL(&fixture, peer.messages == 1 && watched.messages == 1);
    wire_cut(&fixture, &wire);
    WAIT_UNTIL(&fixture, peer.ends == 1 && idle.ends == 1 && watched.ends == 1);
    CU_ASSERT_EQUAL(peer.status, RPC_UNAVAILABLE);
    CU_ASSERT_EQUAL(idle.status, RPC_UNAVAILABLE);
    CU_ASSERT_EQUAL(watched.status, RPC_CANCELLED);
    CU_ASSERT_EQUAL(watched.half_closes, 0);
    rpc_connection_close(wire.connection);
    rpc_channel_close(wire.channel);
    fixture_stop(&fixture);
}

static void a_cut_wire_ends_a_call_that_is_paused(void)
{
    struct fixture fixture;
    struct wire wire;
    struct peer peer = {.on_message = NULL};
    fixture_start(&fixture, test_methods);
    wire_open(&fixture, &wire, NULL);
    open_watched(&fixture, wire.channel, &peer);
    rpc_call_read_pause(peer.call);
    rpc_call_read_pause(watched.call);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(rpc_call_send(watched.call, "x", 1), ERR_OK);
        CU_ASSERT_EQUAL(rpc_call_send(peer.call, "x", 1), ERR_OK);
    }
    WAIT_UNTIL(&fixture, watched.sent == 3 && peer.sent == 3);
    check_echo(&fixture, wire.channel);
    wire_cut(&fixture, &wire);
    WAIT_UNTIL(&fixture, peer.ends == 1 && watched.ends == 1);
    CU_ASSERT_EQUAL(peer.status, RPC_UNAVAILABLE);
    CU_ASSERT_EQUAL(peer.messages + watched.messages, 0);
    fixture_stop(&fixture);
}

static void a_call_on_a_broken_channel_is_unavailable(void)
{
    struct fixture fixture;
    struct wire wire;
    struct peer before = {0}, after = {0};
    fixture_start(&fixture, test_methods);
    wire_open(&fixture, &wire, NULL);
    call(wire.channel, &before, "/test.Test/Echo");
    wire_cut(&fixture, &wire);
    WAIT_UNTIL(&fixture, before.ends == 1);
    call_with(wire.channel, &after, "/test.Test/Echo", NULL, 0, 5000);
    CU_ASSERT_EQUAL(rpc_call_send(after.call, "x", 1), ERR_OK);
    rpc_call_half_close(after.call);
    WAIT_UNTIL(&fixture, after.ends == 1);
    CU_ASSERT_EQUAL(before.status, RPC_UNAVAILABLE);
    CU_ASSERT_EQUAL(after.status, RPC_UNAVAILABLE);
    CU_ASSERT_EQUAL(after.messages, 0);
    fixture_stop(&fixture);
}

static void a_far_end_that_was_closed_before_the_start_is_unavailable(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    int pair[2];
    fixture_start(&fixture, test_methods);
    make_pair(pair);
    close(pair[1]);
    struct rpc_channel *channel = dial(&fixture, pair[0]);
    call_with(channel, &peer, "/test.Test/Echo", NULL, 0, 5000);
    WAIT_UNTIL(&fixture, peer.ends == 1);
    CU_ASSERT_EQUAL(peer.status, RPC_UNAVAILABLE);
    make_pair(pair);
    close(pair[1]);
    rpc_connection_close(serve(&fixture, pair[0], NULL));
    fixture_stop(&fixture);
}

static void a_descriptor_that_is_not_open_is_refused(void)
{
    struct fixture fixture;
    struct err err = {0};
    int pair[2];
    fixture_start(&fixture, test_methods);
    make_pair(pair);
    close(pair[0]);
    close(pair[1]);
    CU_ASSERT_PTR_NULL(rpc_channel_new(fixture.rpc, pair[0], "control.test", &err));
    CU_ASSERT_EQUAL(err.code, ERR_SYSTEM);
    err.code = ERR_OK;
    CU_ASSERT_PTR_NULL(rpc_server_add_fd(fixture.server, pair[0], NULL, &err));
    CU_ASSERT_EQUAL(err.code, ERR_SYSTEM);
    fixture_stop(&fixture);
}

static void a_client_survives_garbage_from_its_server(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    int pair[2];
    fixture_start(&fixture, test_methods);
    make_pair(pair);
    struct rpc_channel *channel = dial(&fixture, pair[0]);
    call_with(channel, &peer, "/test.Test/Watch", NULL, 0, 10000);
    CU_ASSERT_EQUAL(write(pair[1], "HTTP/1.1 400 Bad Request\r\n\r\n", 28), 28);
    WAIT_UNTIL(&fixture, peer.ends == 1);
    CU_ASSERT(peer.status == RPC_UNAVAILABLE || peer.status == RPC_INTERNAL);
    close(pair[1]);
    fixture_stop(&fixture);
}

/* --- ends in the middle ---------------------------------------------------------------------- */

static void descriptor_numbers_are_used_again_without_mixing_connections(void)
{
    struct fixture fixture;
    int tags[40], numbers = 0;
    fixture_start(&fixture, test_methods);
    for (int i = 0; i < 40; i++) {
        struct wire wire;
        struct peer peer = {0};
        wire_open(&fixture, &wire, &tags[i]);
        if (wire.server.fd > numbers)
            numbers = wire.server.fd;
        open_watched(&fixture, wire.channel, &peer);
        CU_ASSERT_PTR_EQUAL(rpc_call_connection_arg(watched.call), &tags[i]);
        check_echo(&fixture, wire.channel);
        unsigned ends = watched.ends;
        rpc_channel_close(wire.channel);
        WAIT_UNTIL(&fixture, peer.ends == 1 && watched.ends == ends + 1);
        rpc_connection_close(wire.connection);
        wire_cut(&fixture, &wire);
    }
    CU_ASSERT(numbers < 60); /* they were */
    fixture_stop(&fixture);
}

static void closing_one_connection_leaves_the_others(void)
{
    struct fixture fixture;
    struct rpc_connection *connection;
    struct peer peer = {0}, other = {0};
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, &connection);
    struct rpc_channel *kept = connect_direct(&fixture, NULL);
    open_watched(&fixture, channel, &peer);
    call(kept, &other, "/test.Test/Echo");
    check_echo(&fixture, kept);
    rpc_connection_close(connection);
    CU_ASSERT_EQUAL(watched.ends, 0); /* never from inside */
    WAIT_UNTIL(&fixture, watched.ends == 1 && peer.ends == 1);
    CU_ASSERT_EQUAL(watched.status, RPC_CANCELLED);
    CU_ASSERT_EQUAL(peer.status, RPC_UNAVAILABLE);
    CU_ASSERT_EQUAL(other.ends, 0);
    check_echo(&fixture, kept);
    fixture_stop(&fixture);
}

static void closing_a_channel_ends_its_calls(void)
{
    struct fixture fixture;
    struct peer peer = {0}, other = {0};
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    open_watched(&fixture, channel, &peer);
    call(channel, &other, "/test.Test/Echo");
    rpc_channel_close(channel);
    CU_ASSERT_EQUAL(peer.ends, 0);
    WAIT_UNTIL(&fixture, watched.ends == 1 && peer.ends == 1 && other.ends == 1);
    CU_ASSERT_EQUAL(peer.status, RPC_CANCELLED);
    CU_ASSERT_EQUAL(other.status, RPC_CANCELLED);
    CU_ASSERT_EQUAL(watched.status, RPC_CANCELLED);
    fixture_stop(&fixture);
}

static void close_in_on_end(struct peer *peer)
{
    rpc_channel_close(peer->context);
}

static void the_last_on_end_may_close_the_channel(void)
{
    struct fixture fixture;
    fixture_start(&fixture, test_methods);
    struct peer peer = {.on_end = close_in_on_end};
    peer.context = connect_direct(&fixture, NULL);
    call(peer.context, &peer, "/test.Test/Nothing");
    WAIT_UNTIL(&fixture, peer.ends == 1);
    fixture_stop(&fixture);
}

static void closing_the_server_ends_its_calls_and_then_says_so(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    bool closed = false;
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    connect_direct(&fixture, NULL);
    open_watched(&fixture, channel, &peer);
    rpc_server_close(fixture.server, fixture_on_closed, &closed);
    CU_ASSERT_FALSE(closed);
    WAIT_UNTIL(&fixture, closed);
    CU_ASSERT_EQUAL(watched.ends, 1);
    WAIT_UNTIL(&fixture, peer.ends == 1);
    CU_ASSERT_EQUAL(peer.status, RPC_UNAVAILABLE);
    fixture_stop(&fixture);
}

static void a_server_without_connections_closes_later_too(void)
{
    struct fixture fixture;
    bool closed = false;
    fixture_start(&fixture, test_methods);
    rpc_server_close(fixture.server, fixture_on_closed, &closed);
    CU_ASSERT_FALSE(closed);
    WAIT_UNTIL(&fixture, closed);
    fixture_stop(&fixture);
}

static void shutting_down_ends_every_live_call_once(void)
{
    enum { CALLS = 20 };
    struct fixture fixture;
    static struct peer peers[CALLS];
    struct peer stuck = {0};
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    open_watched(&fixture, channel, &stuck);
    rpc_call_read_pause(stuck.call);
    while (rpc_call_send_take(watched.call, calloc(1, 1 << 20), 1 << 20) == ERR_OK)
        if (rpc_call_send_queued(watched.call) == RPC_SEND_QUEUE_MAX)
            break;
    for (int i = 0; i < CALLS; i++) {
        peers[i] = (struct peer){0};
        call(channel, &peers[i], "/test.Test/Echo");
        CU_ASSERT_EQUAL(rpc_call_send(peers[i].call, "x", 1), ERR_OK);
    }
    WAIT_UNTIL(&fixture, peers[CALLS / 2].messages == 1);
    fixture_stop(&fixture);
    CU_ASSERT_EQUAL(watched.ends, 1);
    CU_ASSERT_EQUAL(watched.status, RPC_CANCELLED);
    CU_ASSERT_EQUAL(stuck.ends, 1);
    for (int i = 0; i < CALLS; i++) {
        CU_ASSERT_EQUAL(peers[i].ends, 1);
        CU_ASSERT_EQUAL(peers[i].status, RPC_CANCELLED);
    }
}

static void shutting_down_at_once_and_starting_again_works(void)
{
    for (int i = 0; i < 5; i++) {
        struct fixture fixture;
        fixture_start(&fixture, NULL);
        fixture_stop(&fixture);
    }
}

int main(int argc, char **argv)
{
    const struct suite_case cases[] = {
        SUITE_CASE(a_cut_wire_ends_the_calls_of_both_sides),
        SUITE_CASE(a_cut_wire_ends_a_call_that_is_paused),
        SUITE_CASE(a_call_on_a_broken_channel_is_unavailable),
        SUITE_CASE(a_far_end_that_was_closed_before_the_start_is_unavailable),
        SUITE_CASE(a_descriptor_that_is_not_open_is_refused),
        SUITE_CASE(a_client_survives_garbage_from_its_server),
        SUITE_CASE(descriptor_numbers_are_used_again_without_mixing_connections),
        SUITE_CASE(closing_one_connection_leaves_the_others),
        SUITE_CASE(closing_a_channel_ends_its_calls),
        SUITE_CASE(the_last_on_end_may_close_the_channel),
        SUITE_CASE(closing_the_server_ends_its_calls_and_then_says_so),
        SUITE_CASE(a_server_without_connections_closes_later_too),
        SUITE_CASE(shutting_down_ends_every_live_call_once),
        SUITE_CASE(shutting_down_at_once_and_starting_again_works),
        SUITE_END,
    };
    return suite_main("rpc.failure", cases, argc, argv);
}
