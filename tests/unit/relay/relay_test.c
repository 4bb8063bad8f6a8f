#include "relay/relay.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "chain.h"
#include "relay/socket.h"
#include "suite.h"

/* Runs a case over a plain relay and over two that speak TLS. */
#define BOTH(body)                                                                                 \
    for (int tls_ = 0; tls_ < 2; tls_++) {                                                         \
        struct chain *chain = chain_new(tls_);                                                     \
        body(chain);                                                                               \
        chain_free(chain);                                                                         \
    }

static void say(int fd, const char *text)
{
    CU_ASSERT_EQUAL(send(fd, text, strlen(text), MSG_NOSIGNAL), (ssize_t)strlen(text));
}

static void expect(int fd, const char *text)
{
    char got[64] = {0};
    CU_ASSERT_EQUAL(recv(fd, got, strlen(text), MSG_WAITALL), (ssize_t)strlen(text));
    CU_ASSERT_STRING_EQUAL(got, text);
}

static void expect_end(int fd)
{
    char byte;
    CU_ASSERT_EQUAL(recv(fd, &byte, 1, 0), 0);
}

/* Reads until something other than data comes; true when that was a reset. */
static bool reset_comes(int fd)
{
    char scratch[65536];
    ssize_t got;
    while ((got = recv(fd, scratch, sizeof scratch, 0)) > 0)
        ;
    return got < 0 && errno == ECONNRESET;
}

static void close_as_reset(int *fd)
{
    socket_close_reset(*fd);
    *fd = -1;
}

static void expect_ended(struct chain *chain, enum err_code code)
{
    CU_ASSERT(chain_wait_ended(chain));
    for (int i = 0; i < chain->relays; i++)
        CU_ASSERT_EQUAL(chain->end[i].code, code);
}

static void half_close(struct chain *chain)
{
    say(chain->client, "question");
    shutdown(chain->client, SHUT_WR);
    expect(chain->server, "question");
    expect_end(chain->server);
    say(chain->server, "answer");
    say(chain->server, "more");
    expect(chain->client, "answermore");
    shutdown(chain->server, SHUT_WR);
    expect_end(chain->client);
    expect_ended(chain, ERR_OK);
    CU_ASSERT_EQUAL(relay_bytes(&chain->end[0].relay, 0), 8);
    CU_ASSERT_EQUAL(relay_bytes(&chain->end[0].relay, 1), 10);
}

static void relay_keeps_half_closed_connections_open_the_other_way(void)
{
    BOTH(half_close)
}

static void server_half_close(struct chain *chain)
{
    say(chain->server, "greeting");
    shutdown(chain->server, SHUT_WR);
    expect(chain->client, "greeting");
    expect_end(chain->client);
    say(chain->client, "late");
    expect(chain->server, "late");
    shutdown(chain->client, SHUT_WR);
    expect_end(chain->server);
    expect_ended(chain, ERR_OK);
}

static void relay_lets_the_server_end_first(void)
{
    BOTH(server_half_close)
}

static void both_close(struct chain *chain)
{
    shutdown(chain->server, SHUT_WR);
    shutdown(chain->client, SHUT_WR);
    expect_end(chain->client);
    expect_end(chain->server);
    expect_ended(chain, ERR_OK);
}

static void relay_ends_cleanly_when_both_end_at_once(void)
{
    BOTH(both_close)
}

static void client_reset(struct chain *chain)
{
    say(chain->client, "x");
    expect(chain->server, "x");
    close_as_reset(&chain->client);
    CU_ASSERT(reset_comes(chain->server));
    expect_ended(chain, ERR_CONN_RESET);
    CU_ASSERT_EQUAL(chain->end[0].failed_side, 0);
}

static void relay_turns_a_reset_of_the_client_into_a_reset(void)
{
    BOTH(client_reset)
}

static void server_reset(struct chain *chain)
{
    close_as_reset(&chain->server);
    CU_ASSERT(reset_comes(chain->client));
    expect_ended(chain, ERR_CONN_RESET);
    CU_ASSERT_EQUAL(chain->end[0].failed_side, 1);
}

static void relay_turns_a_reset_of_the_server_into_a_reset(void)
{
    BOTH(server_reset)
}

/* Sends until nothing is taken any more; returns the bytes sent. */
static size_t fill(int fd)
{
    static char block[65536];
    size_t total = 0;
    struct timeval soon = {.tv_usec = 300000};
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &soon, sizeof soon);
    for (ssize_t sent; (sent = send(fd, block, sizeof block, MSG_NOSIGNAL)) > 0;)
        total += (size_t)sent;
    return total;
}

static void reset_under_backpressure(struct chain *chain)
{
    CU_ASSERT(fill(chain->client) > 0);
    close_as_reset(&chain->client);
    CU_ASSERT(reset_comes(chain->server));
    expect_ended(chain, ERR_CONN_RESET);
}

static void relay_sees_a_reset_although_it_does_not_read(void)
{
    BOTH(reset_under_backpressure)
}

static void receiver_resets_while_full(struct chain *chain)
{
    CU_ASSERT(fill(chain->client) > 0);
    close_as_reset(&chain->server);
    CU_ASSERT(reset_comes(chain->client));
    expect_ended(chain, ERR_CONN_RESET);
}

static void relay_resets_a_sender_whose_stalled_reader_reset(void)
{
    BOTH(receiver_resets_while_full)
}

static void check_held(struct chain *chain)
{
    uint32_t held = 0;
    for (int i = 0; i < chain->relays; i++) {
        for (int side = 0; side < 2; side++) {
            struct relay_side *at = &chain->end[i].relay.side[side];
            CU_ASSERT(at->held_len - at->held_at <= RELAY_OUT_BYTES);
            held += at->held_len;
        }
    }
    CU_ASSERT(held > 0);
}

static void stall_and_go_on(struct chain *chain)
{
    size_t sent = fill(chain->client), got = 0;
    CU_ASSERT(sent > 0);
    chain_on_loop(chain, check_held);
    shutdown(chain->client, SHUT_WR);
    char scratch[65536];
    for (ssize_t n; (n = recv(chain->server, scratch, sizeof scratch, 0)) > 0;)
        got += (size_t)n;
    CU_ASSERT_EQUAL(got, sent);
    shutdown(chain->server, SHUT_WR);
    expect_ended(chain, ERR_OK);
}

static void relay_holds_little_for_a_stalled_reader_and_loses_nothing(void)
{
    BOTH(stall_and_go_on)
}

static void relay_waits_for_a_slow_reader_longer_than_the_user_timeout(void)
{
    enum { USER_TIMEOUT_MS = 400, STALL_US = 1500 * 1000 };
    struct chain *chain = chain_new_with_timeout(true, USER_TIMEOUT_MS);
    size_t sent = fill(chain->client), got = 0;
    usleep(STALL_US); /* the scenario itself: the reader does not read for this long */
    shutdown(chain->client, SHUT_WR);
    char scratch[65536];
    for (ssize_t n; (n = recv(chain->server, scratch, sizeof scratch, 0)) > 0;)
        got += (size_t)n;
    CU_ASSERT_EQUAL(got, sent);
    shutdown(chain->server, SHUT_WR);
    expect_ended(chain, ERR_OK);
    chain_free(chain);
}

static void last_words(struct chain *chain)
{
    /* Unread input makes the kernel end with a reset, after the data: a server that answers early
     * and closes. */
    say(chain->client, "unread");
    char byte;
    CU_ASSERT_EQUAL(recv(chain->server, &byte, 1, MSG_PEEK), 1);
    say(chain->server, "413 too large");
    close(chain->server);
    chain->server = -1;
    expect(chain->client, "413 too large");
    CU_ASSERT(reset_comes(chain->client));
    expect_ended(chain, ERR_CONN_RESET);
}

static void relay_delivers_what_was_said_before_a_reset(void)
{
    BOTH(last_words)
}

static void cut_wire(struct chain *chain)
{
    shutdown(chain->end[1].relay.side[1].item.fd, SHUT_WR);
}

static void relay_turns_a_tls_end_without_close_notify_into_a_reset(void)
{
    struct chain *chain = chain_new(true);
    say(chain->server, "half an ans");
    expect(chain->client, "half an ans");
    chain_on_loop(chain, cut_wire);
    CU_ASSERT(reset_comes(chain->client));
    CU_ASSERT(reset_comes(chain->server));
    CU_ASSERT(chain_wait_ended(chain));
    CU_ASSERT_EQUAL(chain->end[0].code, ERR_CONN_TRUNCATED);
    CU_ASSERT_EQUAL(chain->end[0].failed_side, 1);
    chain_free(chain);
}

static void damage_wire(struct chain *chain)
{
    static const char garbage[] = "\x17\x03\x03\x00\x20 this is no record of this session";
    CU_ASSERT(send(chain->end[1].relay.side[1].item.fd, garbage, sizeof garbage, 0) > 0);
}

static void relay_resets_when_a_record_is_damaged(void)
{
    struct chain *chain = chain_new(true);
    chain_on_loop(chain, damage_wire);
    CU_ASSERT(reset_comes(chain->client));
    CU_ASSERT(reset_comes(chain->server));
    CU_ASSERT(chain_wait_ended(chain));
    CU_ASSERT_EQUAL(chain->end[0].code, ERR_TLS_RECORD);
    CU_ASSERT_EQUAL(chain->end[1].code, ERR_TLS_ALERT);
    chain_free(chain);
}

static void abort_first(struct chain *chain)
{
    relay_abort(&chain->end[0].relay, ERR_CONN_DRAINED);
}

static void abort_on_request(struct chain *chain)
{
    chain_on_loop(chain, abort_first);
    CU_ASSERT(reset_comes(chain->client));
    CU_ASSERT(reset_comes(chain->server));
    CU_ASSERT(chain_wait_ended(chain));
    CU_ASSERT_EQUAL(chain->end[0].code, ERR_CONN_DRAINED);
    CU_ASSERT_EQUAL(chain->end[0].failed_side, -1);
}

static void relay_abort_resets_both_sides(void)
{
    BOTH(abort_on_request)
}

struct pour {
    int fd;
    size_t bytes;
    uint64_t sum;
};

static uint64_t mix(uint64_t sum, const unsigned char *bytes, size_t len)
{
    for (size_t i = 0; i < len; i++)
        sum = sum * 31 + bytes[i];
    return sum;
}

static void *pour(void *arg)
{
    struct pour *out = arg;
    unsigned char block[40000];
    unsigned seed = 1;
    for (size_t left = out->bytes; left > 0;) {
        size_t n = 1 + (size_t)rand_r(&seed) % sizeof block;
        n = n < left ? n : left;
        for (size_t i = 0; i < n; i++)
            block[i] = (unsigned char)(seed + i * 7);
        out->sum = mix(out->sum, block, n);
        if (send(out->fd, block, n, MSG_NOSIGNAL) != (ssize_t)n)
            break;
        left -= n;
    }
    shutdown(out->fd, SHUT_WR);
    return NULL;
}

static void *drink(void *arg)
{
    struct pour *in = arg;
    unsigned char block[30000];
    for (ssize_t n; (n = recv(in->fd, block, sizeof block, 0)) > 0;) {
        in->bytes += (size_t)n;
        in->sum = mix(in->sum, block, (size_t)n);
    }
    return NULL;
}

static void transfer_both_ways(struct chain *chain)
{
    enum { BYTES = 12 << 20 };
    struct pour out[2] = {{.fd = chain->client, .bytes = BYTES},
                          {.fd = chain->server, .bytes = BYTES}};
    struct pour in[2] = {{.fd = chain->server}, {.fd = chain->client}};
    pthread_t threads[4];
    for (int i = 0; i < 2; i++) {
        pthread_create(&threads[i], NULL, pour, &out[i]);
        pthread_create(&threads[2 + i], NULL, drink, &in[i]);
    }
    for (int i = 0; i < 4; i++)
        pthread_join(threads[i], NULL);
    for (int i = 0; i < 2; i++) {
        CU_ASSERT_EQUAL(in[i].bytes, BYTES);
        CU_ASSERT_EQUAL(in[i].sum, out[i].sum);
    }
    expect_ended(chain, ERR_OK);
}

static void relay_carries_both_ways_at_once_unchanged(void)
{
    BOTH(transfer_both_ways)
}

static void relay_is_small(void)
{
    CU_ASSERT(sizeof(struct relay) <= 360);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(relay_keeps_half_closed_connections_open_the_other_way),
        SUITE_CASE(relay_lets_the_server_end_first),
        SUITE_CASE(relay_ends_cleanly_when_both_end_at_once),
        SUITE_CASE(relay_turns_a_reset_of_the_client_into_a_reset),
        SUITE_CASE(relay_turns_a_reset_of_the_server_into_a_reset),
        SUITE_CASE(relay_sees_a_reset_although_it_does_not_read),
        SUITE_CASE(relay_resets_a_sender_whose_stalled_reader_reset),
        SUITE_CASE(relay_holds_little_for_a_stalled_reader_and_loses_nothing),
        SUITE_CASE(relay_waits_for_a_slow_reader_longer_than_the_user_timeout),
        SUITE_CASE(relay_delivers_what_was_said_before_a_reset),
        SUITE_CASE(relay_turns_a_tls_end_without_close_notify_into_a_reset),
        SUITE_CASE(relay_resets_when_a_record_is_damaged),
        SUITE_CASE(relay_abort_resets_both_sides),
        SUITE_CASE(relay_carries_both_ways_at_once_unchanged),
        SUITE_CASE(relay_is_small),
        SUITE_END,
    };
    return suite_main("relay", cases, argc, argv);
}
