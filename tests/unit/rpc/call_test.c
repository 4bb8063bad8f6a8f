/* Calls over a healthy connection. */
#include "fixture.h"

static void unary_echo(void)
{
    struct fixture fixture;
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    check_echo(&fixture, channel);
    check_echo(&fixture, channel);
    fixture_stop(&fixture);
}

static void an_empty_message_is_a_message(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    fixture_start(&fixture, test_methods);
    call(connect_direct(&fixture, NULL), &peer, "/test.Test/Echo");
    CU_ASSERT_EQUAL(rpc_call_send(peer.call, "", 0), ERR_OK);
    rpc_call_half_close(peer.call);
    WAIT_UNTIL(&fixture, peer.ends == 1);
    CU_ASSERT_EQUAL(peer.messages, 1);
    CU_ASSERT_EQUAL(peer.last_len, 0);
    fixture_stop(&fixture);
}

/* --- a thousand each way --------------------------------------------------------------------- */

enum { STREAM_MESSAGES = 1000 };

struct stream {
    unsigned next_out, next_in;
    bool server;
};

static void stream_fill(struct peer *peer)
{
    struct stream *stream = peer->context;
    while (stream->next_out < STREAM_MESSAGES &&
           rpc_call_send_queued(peer->call) < RPC_SEND_QUEUE_MAX) {
        unsigned *number = malloc(sizeof *number);
        *number = stream->next_out++;
        CU_ASSERT_EQUAL(rpc_call_send_take(peer->call, number, sizeof *number), ERR_OK);
    }
    if (stream->next_out == STREAM_MESSAGES && peer->sent == STREAM_MESSAGES && !stream->server)
        rpc_call_half_close(peer->call);
}

static void stream_on_message(struct peer *peer, const void *data, size_t len)
{
    struct stream *stream = peer->context;
    unsigned number = 0;
    CU_ASSERT_EQUAL_FATAL(len, sizeof number);
    memcpy(&number, data, len);
    CU_ASSERT_EQUAL(number, stream->next_in);
    stream->next_in++;
}

static void a_thousand_messages_each_way_arrive_in_order(void)
{
    struct fixture fixture;
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    struct stream ours = {.server = false}, theirs = {.server = true};
    struct peer peer = {.on_message = stream_on_message, .on_sent = stream_fill, .context = &ours};
    watched.on_message = stream_on_message;
    watched.on_sent = stream_fill;
    watched.context = &theirs;
    open_watched(&fixture, channel, &peer);
    stream_fill(&peer);
    stream_fill(&watched);
    WAIT_UNTIL(&fixture, watched.half_closes == 1 && watched.sent == STREAM_MESSAGES);
    rpc_call_finish(watched.call, RPC_OK, "done");
    WAIT_UNTIL(&fixture, peer.ends == 1 && watched.ends == 1);
    CU_ASSERT_EQUAL(ours.next_in, STREAM_MESSAGES);
    CU_ASSERT_EQUAL(theirs.next_in, STREAM_MESSAGES);
    CU_ASSERT_EQUAL(peer.sent, STREAM_MESSAGES);
    CU_ASSERT_EQUAL(peer.status, RPC_OK);
    CU_ASSERT_EQUAL(watched.status, RPC_OK);
    CU_ASSERT_STRING_EQUAL(watched.text, "done");
    fixture_stop(&fixture);
}

static void a_finish_goes_out_after_the_messages_that_are_queued(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    fixture_start(&fixture, test_methods);
    open_watched(&fixture, connect_direct(&fixture, NULL), &peer);
    for (unsigned i = 0; i < RPC_SEND_QUEUE_MAX; i++)
        CU_ASSERT_EQUAL(rpc_call_send(watched.call, "x", 1), ERR_OK);
    rpc_call_finish(watched.call, RPC_NOT_FOUND, "gone");
    CU_ASSERT_EQUAL(rpc_call_send(watched.call, "x", 1), ERR_CANCELLED);
    rpc_call_finish(watched.call, RPC_OK, "a second finish does nothing");
    WAIT_UNTIL(&fixture, peer.ends == 1 && watched.ends == 1);
    CU_ASSERT_EQUAL(peer.messages, RPC_SEND_QUEUE_MAX);
    CU_ASSERT_EQUAL(peer.status, RPC_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(peer.text, "gone");
    fixture_stop(&fixture);
}

/* --- metadata, methods ----------------------------------------------------------------------- */

static char seen_authorization[64], seen_binary[64], seen_path[64];

static void guarded_on_open(struct rpc_call *call, void *arg)
{
    (void)arg;
    size_t len = 0;
    const char *value = rpc_call_initial(call, "authorization", &len);
    note_metadata(seen_authorization, value, len);
    value = rpc_call_initial(call, "x-thing-bin", &len);
    note_metadata(seen_binary, value, len);
    CU_ASSERT_PTR_NULL(rpc_call_initial(call, "clusterid", NULL));
    snprintf(seen_path, sizeof seen_path, "%s", rpc_call_path(call));
    if (strcmp(seen_authorization, "Bearer good") != 0)
        rpc_call_finish(call, RPC_UNAUTHENTICATED, "the token has expired, 100% sure: ü");
    else
        watch_on_open(call, arg);
}

static const struct rpc_method guarded_methods[] = {
    {"/test.Test/Guarded", guarded_on_open},
    {"/test.Test/Echo", echo_on_open},
    {NULL, NULL},
};

static void metadata_reach_the_method_and_a_refusal_comes_back_with_its_message(void)
{
    struct fixture fixture;
    fixture_start(&fixture, guarded_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    const struct rpc_metadata bad[] = {{"authorization", "Bearer bad", 10},
                                       {"x-thing-bin", "\x00\xff\x0a", 3}};
    struct peer peer = {0};
    call_with(channel, &peer, "/test.Test/Guarded", bad, 2, 0);
    CU_ASSERT_EQUAL(rpc_call_send(peer.call, "ping", 4), ERR_OK);
    WAIT_UNTIL(&fixture, peer.ends == 1);
    CU_ASSERT_EQUAL(peer.status, RPC_UNAUTHENTICATED);
    CU_ASSERT_STRING_EQUAL(peer.text, "the token has expired, 100% sure: ü");
    CU_ASSERT_STRING_EQUAL(seen_authorization, "Bearer bad");
    CU_ASSERT_EQUAL(memcmp(seen_binary, "\x00\xff\x0a\x00", 4), 0);
    CU_ASSERT_STRING_EQUAL(seen_path, "/test.Test/Guarded");
    CU_ASSERT_EQUAL(watched.opens, 0);
    fixture_stop(&fixture);
}

static void the_server_s_initial_metadata_reach_the_client(void)
{
    struct fixture fixture;
    fixture_start(&fixture, guarded_methods);
    const struct rpc_metadata good = {"authorization", "Bearer good", 11};
    struct peer peer = {0};
    call_with(connect_direct(&fixture, NULL), &peer, "/test.Test/Guarded", &good, 1, 0);
    WAIT_UNTIL(&fixture, watched.opens == 1);
    rpc_call_finish(watched.call, RPC_OK, NULL);
    WAIT_UNTIL(&fixture, peer.ends == 1);
    CU_ASSERT_STRING_EQUAL(peer.initial, "hello");
    fixture_stop(&fixture);
}

static void metadata_that_http2_cannot_carry_are_refused_without_telling_the_value(void)
{
    struct fixture fixture;
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    static const struct rpc_metadata bad[] = {{"authorization", "Bearer secret\n", 14},
                                              {"Authorization", "x", 1},
                                              {":path", "/x", 2},
                                              {"", "x", 1}};
    struct peer peer = {0};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        struct err err = {0};
        CU_ASSERT_PTR_NULL(
            rpc_call_start(channel, "/test.Test/Echo", &bad[i], 1, 0, &peer_events, &peer, &err));
        CU_ASSERT_EQUAL(err.code, ERR_INVALID);
        CU_ASSERT_PTR_NULL(strstr(err.text, "secret"));
    }
    CU_ASSERT_EQUAL(peer.ends, 0);
    check_echo(&fixture, channel);
    fixture_stop(&fixture);
}

static void an_unknown_method_is_unimplemented(void)
{
    struct fixture fixture;
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    const char *paths[] = {"/test.Test/Nothing", "/test.Test/Echoo", "/test.Test/Ech", "/"};
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        struct peer peer = {0};
        call(channel, &peer, paths[i]);
        WAIT_UNTIL(&fixture, peer.ends == 1);
        CU_ASSERT_EQUAL(peer.status, RPC_UNIMPLEMENTED);
    }
    check_echo(&fixture, channel);
    fixture_stop(&fixture);
}

/* --- ends that somebody chose ---------------------------------------------------------------- */

static void the_client_cancels(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    open_watched(&fixture, channel, &peer);
    rpc_call_cancel(peer.call, RPC_ABORTED, "changed my mind");
    rpc_call_cancel(peer.call, RPC_INTERNAL, "a second time does nothing");
    CU_ASSERT_EQUAL(peer.ends, 0); /* never from inside */
    CU_ASSERT_EQUAL(rpc_call_send(peer.call, "x", 1), ERR_CANCELLED);
    WAIT_UNTIL(&fixture, peer.ends == 1 && watched.ends == 1);
    CU_ASSERT_EQUAL(peer.status, RPC_ABORTED);
    CU_ASSERT_STRING_EQUAL(peer.text, "changed my mind");
    CU_ASSERT_EQUAL(watched.status, RPC_CANCELLED);
    CU_ASSERT_EQUAL(watched.half_closes, 0);
    check_echo(&fixture, channel);
    fixture_stop(&fixture);
}

static void the_server_cancels_and_the_client_is_told_why(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    open_watched(&fixture, channel, &peer);
    rpc_call_cancel(watched.call, RPC_UNAUTHENTICATED, "the token has expired");
    WAIT_UNTIL(&fixture, peer.ends == 1 && watched.ends == 1);
    CU_ASSERT_EQUAL(peer.status, RPC_UNAUTHENTICATED);
    CU_ASSERT_STRING_EQUAL(peer.text, "the token has expired");
    CU_ASSERT_EQUAL(watched.status, RPC_UNAUTHENTICATED);
    CU_ASSERT_STRING_EQUAL(watched.text, "the token has expired");
    check_echo(&fixture, channel);
    fixture_stop(&fixture);
}

static void a_deadline_ends_both_sides(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    fixture_start(&fixture, test_methods);
    struct rpc_channel *channel = connect_direct(&fixture, NULL);
    call_with(channel, &peer, "/test.Test/Watch", NULL, 0, 100);
    WAIT_UNTIL(&fixture, peer.ends == 1 && watched.ends == watched.opens);
    CU_ASSERT_EQUAL(peer.status, RPC_DEADLINE_EXCEEDED);
    CU_ASSERT_EQUAL(watched.opens, 1);
    CU_ASSERT_EQUAL(watched.status, RPC_CANCELLED);
    check_echo(&fixture, channel);
    fixture_stop(&fixture);
}

static void cancel_from_on_message(struct peer *peer, const void *data, size_t len)
{
    (void)data, (void)len;
    rpc_call_cancel(peer->call, RPC_CANCELLED, NULL);
}

static void a_callback_may_cancel_and_nothing_but_the_end_follows(void)
{
    struct fixture fixture;
    struct peer peer = {.on_message = cancel_from_on_message};
    fixture_start(&fixture, test_methods);
    open_watched(&fixture, connect_direct(&fixture, NULL), &peer);
    for (unsigned i = 0; i < 4; i++)
        CU_ASSERT_EQUAL(rpc_call_send(watched.call, "x", 1), ERR_OK);
    WAIT_UNTIL(&fixture, peer.ends == 1 && watched.ends == 1);
    CU_ASSERT_EQUAL(peer.messages, 1);
    CU_ASSERT_EQUAL(peer.status, RPC_CANCELLED);
    fixture_stop(&fixture);
}

static void half_closing_lets_the_server_go_on(void)
{
    struct fixture fixture;
    struct peer peer = {0};
    fixture_start(&fixture, test_methods);
    open_watched(&fixture, connect_direct(&fixture, NULL), &peer);
    rpc_call_half_close(peer.call);
    WAIT_UNTIL(&fixture, watched.half_closes == 1);
    CU_ASSERT_EQUAL(rpc_call_send(peer.call, "x", 1), ERR_CANCELLED);
    CU_ASSERT_EQUAL(rpc_call_send(watched.call, "still here", 10), ERR_OK);
    WAIT_UNTIL(&fixture, peer.messages == 1);
    CU_ASSERT_STRING_EQUAL(peer.last, "still here");
    rpc_call_finish(watched.call, RPC_OK, NULL);
    WAIT_UNTIL(&fixture, peer.ends == 1);
    fixture_stop(&fixture);
}

int main(int argc, char **argv)
{
    const struct suite_case cases[] = {
        SUITE_CASE(unary_echo),
        SUITE_CASE(an_empty_message_is_a_message),
        SUITE_CASE(a_thousand_messages_each_way_arrive_in_order),
        SUITE_CASE(a_finish_goes_out_after_the_messages_that_are_queued),
        SUITE_CASE(metadata_reach_the_method_and_a_refusal_comes_back_with_its_message),
        SUITE_CASE(the_server_s_initial_metadata_reach_the_client),
        SUITE_CASE(metadata_that_http2_cannot_carry_are_refused_without_telling_the_value),
        SUITE_CASE(an_unknown_method_is_unimplemented),
        SUITE_CASE(the_client_cancels),
        SUITE_CASE(the_server_cancels_and_the_client_is_told_why),
        SUITE_CASE(a_deadline_ends_both_sides),
        SUITE_CASE(a_callback_may_cancel_and_nothing_but_the_end_follows),
        SUITE_CASE(half_closing_lets_the_server_go_on),
        SUITE_END,
    };
    return suite_main("rpc.call", cases, argc, argv);
}
