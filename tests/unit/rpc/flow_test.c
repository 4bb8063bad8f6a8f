/* Flow control, ceilings and numbers. */
#include "fixture.h"

enum { BIG_BYTES = 1024 * 1024 };

static void a_reader_that_stops_holds_the_sender_s_word_back(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    char *big = calloc(1, BIG_BYTES);
    open_watched(&fixture, channel, &peer);
    rpc_call_read_pause(peer.call);
    unsigned queued = 0;
    while (rpc_call_send(watched.call, big, BIG_BYTES) == ERR_OK)
        queued++;
    CU_ASSERT_EQUAL(queued, RPC_SEND_QUEUE_MAX);
    CU_ASSERT_EQUAL(rpc_call_send(watched.call, big, BIG_BYTES), ERR_BUSY);
    /* Other calls of the same connection go on meanwhile, and give the stalled one time to
     * misbehave. */
    for (unsigned i = 0; i < 50; i++)
        check_echo(&fixture, channel);
    unsigned sent_while_paused = watched.sent;
    CU_ASSERT(sent_while_paused <= 4);
    CU_ASSERT(peer.messages <= 1);
    rpc_call_read_resume(peer.call);
    WAIT_UNTIL(&fixture, peer.messages == queued && watched.sent == queued);
    CU_ASSERT_EQUAL(peer.last_len, BIG_BYTES);
    rpc_call_finish(watched.call, RPC_OK, NULL);
    WAIT_UNTIL(&fixture, peer.ends == 1 && watched.ends == 1);
    free(big);
    fixture_stop(&fixture);
}

static void the_server_can_cancel_a_call_that_is_stuck(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    char *big = calloc(1, BIG_BYTES);
    open_watched(&fixture, channel, &peer);
    rpc_call_read_pause(peer.call);
    while (rpc_call_send(watched.call, big, BIG_BYTES) == ERR_OK)
        ;
    for (unsigned i = 0; i < 10; i++)
        check_echo(&fixture, channel);
    rpc_call_finish(watched.call, RPC_OK, "waits for the reader");
    for (unsigned i = 0; i < 10; i++)
        check_echo(&fixture, channel);
    CU_ASSERT_EQUAL(watched.ends, 0);
    rpc_call_cancel(watched.call, RPC_DEADLINE_EXCEEDED, "too slow");
    WAIT_UNTIL(&fixture, watched.ends == 1);
    CU_ASSERT_EQUAL(watched.status, RPC_DEADLINE_EXCEEDED);
    CU_ASSERT_EQUAL(peer.ends, 0);
    rpc_call_read_resume(peer.call);
    WAIT_UNTIL(&fixture, peer.ends == 1);
    CU_ASSERT_EQUAL(peer.status, RPC_DEADLINE_EXCEEDED);
    CU_ASSERT_STRING_EQUAL(peer.text, "too slow");
    free(big);
    fixture_stop(&fixture);
}

static void pause_on_message(struct peer *peer, const void *data, size_t len)
{
    (void)data, (void)len;
    rpc_call_read_pause(peer->call);
}

static void a_pause_holds_messages_and_an_ok_end_waits_for_them(void)
{
    struct fixture fixture;
    struct peer peer = {.on_message = pause_on_message};
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    open_watched(&fixture, channel, &peer);
    CU_ASSERT_EQUAL(rpc_call_send(watched.call, "1", 1), ERR_OK);
    CU_ASSERT_EQUAL(rpc_call_send(watched.call, "2", 1), ERR_OK);
    CU_ASSERT_EQUAL(rpc_call_send(watched.call, "3", 1), ERR_OK);
    rpc_call_finish(watched.call, RPC_OK, NULL);
    for (unsigned expected = 1; expected <= 3; expected++) {
        WAIT_UNTIL(&fixture, peer.messages == expected);
        check_echo(&fixture, channel);
        CU_ASSERT_EQUAL(peer.messages, expected);
        CU_ASSERT_EQUAL(peer.last[0], (char)('0' + expected));
        if (expected < 3)
            CU_ASSERT_EQUAL(peer.ends, 0);
        if (peer.call) {
            rpc_call_read_resume(peer.call);
            rpc_call_read_resume(peer.call);
            CU_ASSERT_EQUAL(peer.messages, expected); /* not from inside */
        }
    }
    WAIT_UNTIL(&fixture, peer.ends == 1);
    CU_ASSERT_EQUAL(peer.status, RPC_OK);
    fixture_stop(&fixture);
}

static void a_message_that_came_as_the_reader_paused_is_kept(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    open_watched(&fixture, channel, &peer);
    rpc_call_read_pause(peer.call); /* a read is under way already */
    CU_ASSERT_EQUAL(rpc_call_send(watched.call, "held", 4), ERR_OK);
    rpc_call_finish(watched.call, RPC_OK, NULL);
    WAIT_UNTIL(&fixture, watched.ends == 1);
    check_echo(&fixture, channel);
    CU_ASSERT_EQUAL(peer.messages, 0);
    CU_ASSERT_EQUAL(peer.ends, 0);
    rpc_call_read_resume(peer.call);
    WAIT_UNTIL(&fixture, peer.ends == 1);
    CU_ASSERT_EQUAL(peer.messages, 1);
    CU_ASSERT_STRING_EQUAL(peer.last, "held");
    fixture_stop(&fixture);
}

static void an_error_overtakes_a_message_that_is_held(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    open_watched(&fixture, channel, &peer);
    rpc_call_read_pause(peer.call);
    CU_ASSERT_EQUAL(rpc_call_send(watched.call, "held", 4), ERR_OK);
    rpc_call_finish(watched.call, RPC_INTERNAL, NULL);
    WAIT_UNTIL(&fixture, peer.ends == 1);
    CU_ASSERT_EQUAL(peer.status, RPC_INTERNAL);
    CU_ASSERT_EQUAL(peer.messages, 0);
    fixture_stop(&fixture);
}

/* --- sizes ----------------------------------------------------------------------------------- */

static void check_size(size_t len, int expected)
{
    struct fixture fixture;
    struct peer peer = {0}, bystander = {0};
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    open_watched(&fixture, channel, &bystander);
    call(channel, &peer, "/test.Test/Echo");
    char *bytes = calloc(1, len);
    CU_ASSERT_EQUAL(rpc_call_send_take(peer.call, bytes, len), ERR_OK);
    rpc_call_half_close(peer.call);
    WAIT_UNTIL(&fixture, peer.ends == 1);
    CU_ASSERT_EQUAL(peer.status, expected);
    CU_ASSERT_EQUAL(peer.messages, expected == RPC_OK ? 1 : 0);
    if (expected == RPC_OK)
        CU_ASSERT_EQUAL(peer.last_len, len);
    check_echo(&fixture, channel);
    CU_ASSERT_EQUAL(bystander.ends, 0);
    rpc_call_finish(watched.call, RPC_OK, NULL);
    WAIT_UNTIL(&fixture, bystander.ends == 1);
    CU_ASSERT_EQUAL(bystander.status, RPC_OK);
    fixture_stop(&fixture);
}

static void a_message_of_exactly_the_limit_passes(void)
{
    check_size(RPC_MESSAGE_MAX_BYTES, RPC_OK);
}

static void a_message_of_5_mb_ends_that_call_and_nothing_else(void)
{
    check_size(5 * 1000 * 1000, RPC_RESOURCE_EXHAUSTED);
}

static void the_server_s_end_knows_that_the_message_was_too_large(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    fixture_start(&fixture, test_methods);
    open_watched(&fixture, connect_direct(&fixture, NULL), &peer);
    char *bytes = calloc(1, RPC_MESSAGE_MAX_BYTES + 1);
    CU_ASSERT_EQUAL(rpc_call_send_take(peer.call, bytes, RPC_MESSAGE_MAX_BYTES + 1), ERR_OK);
    WAIT_UNTIL(&fixture, peer.ends == 1 && watched.ends == 1);
    CU_ASSERT_EQUAL(watched.messages, 0);
    CU_ASSERT_EQUAL(watched.half_closes, 0);
    CU_ASSERT_EQUAL(watched.status, RPC_RESOURCE_EXHAUSTED);
    fixture_stop(&fixture);
}

static void a_client_refuses_a_message_that_is_too_large(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    open_watched(&fixture, channel, &peer);
    char *bytes = calloc(1, RPC_MESSAGE_MAX_BYTES + 1);
    CU_ASSERT_EQUAL(rpc_call_send_take(watched.call, bytes, RPC_MESSAGE_MAX_BYTES + 1), ERR_OK);
    WAIT_UNTIL(&fixture, peer.ends == 1 && watched.ends == 1);
    CU_ASSERT_EQUAL(peer.status, RPC_RESOURCE_EXHAUSTED);
    CU_ASSERT_EQUAL(peer.messages, 0);
    check_echo(&fixture, channel);
    fixture_stop(&fixture);
}

static void metadata_over_their_limit_end_that_call_and_nobody_else_s(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    struct rpc_channel *other = connect_direct(&fixture, NULL);
    /* gRPC's limit holds from when the client has acknowledged it; before that it is the guard's.
     */
    check_echo(&fixture, channel);
    const size_t len = RPC_METADATA_MAX_BYTES + 4096;
    char *value = malloc(len);
    memset(value, 'x', len);
    const struct rpc_metadata large = {"authorization", value, len};
    call_with(channel, &peer, "/test.Test/Watch", &large, 1, 0);
    WAIT_UNTIL(&fixture, peer.ends == 1);
    CU_ASSERT_EQUAL(peer.status, RPC_RESOURCE_EXHAUSTED);
    CU_ASSERT_EQUAL(watched.opens, 0);
    free(value);
    check_echo(&fixture, other);
    fixture_stop(&fixture);
}

/* --- many ------------------------------------------------------------------------------------ */

enum { MANY_CHANNELS = 50, MANY_CALLS = 10 };

static unsigned many_ends;

static void many_on_end(struct peer *peer)
{
    CU_ASSERT_EQUAL(peer->status, RPC_OK);
    CU_ASSERT_EQUAL(peer->messages, 1);
    many_ends++;
}

static void fifty_channels_with_ten_calls_each(void)
{
    struct fixture fixture;
    struct rpc_channel *channels[MANY_CHANNELS];
    static struct peer peers[MANY_CHANNELS * MANY_CALLS];
    fixture_start(&fixture, test_methods);
    many_ends = 0;
    for (unsigned i = 0; i < MANY_CHANNELS; i++)
        channels[i] = connect_direct(&fixture, NULL);
    for (unsigned i = 0; i < MANY_CHANNELS * MANY_CALLS; i++) {
        char text[16];
        snprintf(text, sizeof text, "%u", i);
        peers[i] = (struct peer){.on_end = many_on_end};
        call(channels[i % MANY_CHANNELS], &peers[i], "/test.Test/Echo");
        CU_ASSERT_EQUAL(rpc_call_send(peers[i].call, text, strlen(text)), ERR_OK);
        rpc_call_half_close(peers[i].call);
    }
    WAIT_UNTIL(&fixture, many_ends == MANY_CHANNELS * MANY_CALLS);
    for (unsigned i = 0; i < MANY_CHANNELS * MANY_CALLS; i++)
        CU_ASSERT_EQUAL((unsigned)atoi(peers[i].last), i);
    for (unsigned i = 0; i < MANY_CHANNELS; i++)
        rpc_channel_close(channels[i]);
    fixture_stop(&fixture);
}

static struct rpc_call *parked[RPC_STREAMS_MAX + 20];
static unsigned parked_count, parked_ends;

static void parked_on_end(struct rpc_call *call, int status, const char *message, void *arg)
{
    (void)call, (void)status, (void)message, (void)arg;
    parked_ends++;
}

static const struct rpc_call_events parked_events = {.on_message = echo_on_message,
                                                     .on_end = parked_on_end};

static void parked_on_open(struct rpc_call *call, void *arg)
{
    (void)arg;
    CU_ASSERT_EQUAL(rpc_call_accept(call, NULL, 0, &parked_events, NULL), ERR_OK);
    parked[parked_count++] = call;
}

static void calls_over_the_ceiling_of_a_connection_wait_for_their_turn(void)
{
    static const struct rpc_method methods[] = {
        {"/test.Test/Park", parked_on_open}, {"/test.Test/Echo", echo_on_open}, {NULL, NULL}};
    struct fixture fixture;
    static struct peer peers[RPC_STREAMS_MAX + 20];
    fixture_start(&fixture, methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    struct rpc_channel *other = connect_direct(&fixture, NULL);
    parked_count = parked_ends = 0;
    /* The first call brings the server's settings, without which a client may not know the ceiling.
     */
    check_echo(&fixture, channel);
    for (unsigned i = 0; i < RPC_STREAMS_MAX + 20; i++) {
        peers[i] = (struct peer){0};
        call(channel, &peers[i], "/test.Test/Park");
    }
    WAIT_UNTIL(&fixture, parked_count == RPC_STREAMS_MAX);
    for (unsigned i = 0; i < 20; i++)
        check_echo(&fixture, other);
    CU_ASSERT_EQUAL(parked_count, RPC_STREAMS_MAX);
    for (unsigned i = 0; i < RPC_STREAMS_MAX; i++)
        rpc_call_finish(parked[i], RPC_OK, NULL);
    WAIT_UNTIL(&fixture, parked_count == RPC_STREAMS_MAX + 20);
    fixture_stop(&fixture);
    CU_ASSERT_EQUAL(parked_ends, RPC_STREAMS_MAX + 20);
    for (unsigned i = 0; i < RPC_STREAMS_MAX + 20; i++)
        CU_ASSERT_EQUAL(peers[i].ends, 1);
}

int main(int argc, char **argv)
{
    const struct suite_case cases[] = {
        SUITE_CASE(a_reader_that_stops_holds_the_sender_s_word_back),
        SUITE_CASE(the_server_can_cancel_a_call_that_is_stuck),
        SUITE_CASE(a_pause_holds_messages_and_an_ok_end_waits_for_them),
        SUITE_CASE(a_message_that_came_as_the_reader_paused_is_kept),
        SUITE_CASE(an_error_overtakes_a_message_that_is_held),
        SUITE_CASE(a_message_of_exactly_the_limit_passes),
        SUITE_CASE(a_message_of_5_mb_ends_that_call_and_nothing_else),
        SUITE_CASE(the_server_s_end_knows_that_the_message_was_too_large),
        SUITE_CASE(a_client_refuses_a_message_that_is_too_large),
        SUITE_CASE(metadata_over_their_limit_end_that_call_and_nobody_else_s),
        SUITE_CASE(fifty_channels_with_ten_calls_each),
        SUITE_CASE(calls_over_the_ceiling_of_a_connection_wait_for_their_turn),
        SUITE_END,
    };
    return suite_main("rpc.flow", cases, argc, argv);
}
