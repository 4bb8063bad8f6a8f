/* Clients that do not speak gRPC, or speak it to do harm. */
#include <stdio.h>

#include "fixture.h"

/* --- bytes that are not gRPC ----------------------------------------------------------------- */

/* Writes the bytes to a server and reads until the server closes; others go on meanwhile. */
static void check_bytes(const char *bytes, size_t len, bool closes)
{
    struct fixture fixture;
    struct peer bystander = {0};
    int pair[2];
    fixture_start(&fixture, test_methods);
    struct rpc_channel *other = connect_direct(&fixture, NULL);
    open_watched(&fixture, other, &bystander);
    make_pair(pair);
    struct rpc_connection *connection = serve(&fixture, pair[0], NULL);
    CU_ASSERT_EQUAL(write(pair[1], bytes, len), (ssize_t)len);
    fcntl(pair[1], F_SETFL, O_NONBLOCK);
    bool closed = false;
    for (int i = 0; i < 500 && !closed; i++) {
        char answer[4096];
        check_echo(&fixture, other);
        ssize_t got = read(pair[1], answer, sizeof answer);
        closed = got == 0 || (got < 0 && errno != EAGAIN);
        if (!closes && i == 10)
            break;
    }
    CU_ASSERT_EQUAL(closed, closes);
    rpc_connection_close(connection);
    close(pair[1]);
    check_echo(&fixture, other);
    CU_ASSERT_EQUAL(bystander.ends, 0);
    CU_ASSERT_EQUAL(watched.opens, 1);
    fixture_stop(&fixture);
}

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
#define BYTES(text) (text), sizeof(text) - 1

static void garbage_closes_that_connection_alone(void)
{
    char random[2048];
    for (size_t i = 0; i < sizeof random; i++)
        random[i] = (char)(i * 151 + 7);
    check_bytes(random, sizeof random, true);
}

static void an_http1_request_closes_that_connection_alone(void)
{
    check_bytes(BYTES("POST /test.Test/Watch HTTP/1.1\r\nHost: x\r\n\r\n"), true);
}

static void a_client_hello_closes_that_connection_alone(void)
{
    check_bytes(BYTES("\x16\x03\x01\x00\x05\x01\x00\x00\x01\x00"), true);
}

static void half_a_preface_hurts_nobody(void)
{
    check_bytes(BYTES("PRI * HTTP/2.0\r\n\r"), false);
}

static void an_unknown_frame_type_is_ignored(void)
{
    check_bytes(BYTES(PREFACE "\0\0\0\4\0\0\0\0\0"
                              "\0\0\3\xee\0\0\0\0\1abc"),
                false);
}

static void data_on_stream_zero_closes_that_connection_alone(void)
{
    check_bytes(BYTES(PREFACE "\0\0\0\4\0\0\0\0\0"
                              "\0\0\2\4\0\0\0\0\0ab"),
                true);
}

static void a_header_block_that_is_not_hpack_closes_that_connection_alone(void)
{
    check_bytes(BYTES(PREFACE "\0\0\0\4\0\0\0\0\0"
                              "\0\0\4\1\4\0\0\0\1\xff\xff\xff\xff"),
                true);
}

static void a_frame_longer_than_allowed_closes_that_connection_alone(void)
{
    check_bytes(BYTES(PREFACE "\xff\xff\xff\4\0\0\0\0\0"), true);
}

/* --- a client that writes its own frames ----------------------------------------------------- */

/* A server with such a client, and a well-behaved one beside it. */
struct raw {
    struct fixture fixture;
    struct rpc_channel *other;
    struct rpc_connection *connection;
    int fd;
    bool closed;
    uint64_t window; /* how much the server let us send on stream 1 so far */
    uint8_t in[65536];
    size_t in_len;
};

static void raw_start(struct raw *raw)
{
    int pair[2];
    memset(raw, 0, sizeof *raw);
    fixture_start(&raw->fixture, test_methods);
    raw->other = connect_direct(&raw->fixture, NULL);
    make_pair(pair);
    raw->connection = serve(&raw->fixture, pair[0], NULL);
    raw->fd = pair[1];
    raw->window = 65535;
    fcntl(raw->fd, F_SETFL, O_NONBLOCK);
}

static void raw_stop(struct raw *raw)
{
    check_echo(&raw->fixture, raw->other);
    rpc_connection_close(raw->connection);
    close(raw->fd);
    fixture_stop(&raw->fixture);
}

/* Reads what there is; WINDOW_UPDATE frames (type 8) of stream 1 are added up. */
static void raw_read(struct raw *raw)
{
    ssize_t got;
    uv_run(&raw->fixture.loop.uv, UV_RUN_NOWAIT);
    while ((got = read(raw->fd, raw->in + raw->in_len, sizeof raw->in - raw->in_len)) > 0) {
        raw->in_len += (size_t)got;
        size_t at = 0, len = 0;
        for (; raw->in_len - at >= 9; at += 9 + len) {
            const uint8_t *f = raw->in + at;
            len = (size_t)f[0] << 16 | (size_t)f[1] << 8 | f[2];
            if (raw->in_len - at < 9 + len)
                break;
            if (f[3] == 8 && f[8] == 1)
                raw->window +=
                    (uint32_t)f[9] << 24 | (uint32_t)f[10] << 16 | (uint32_t)f[11] << 8 | f[12];
        }
        memmove(raw->in, raw->in + at, raw->in_len - at);
        raw->in_len -= at;
    }
    raw->closed = raw->closed || got == 0 || (got < 0 && errno != EAGAIN);
}

static void raw_write(struct raw *raw, const void *bytes, size_t len)
{
    while (len > 0 && !raw->closed && !raw->fixture.timed_out) {
        ssize_t wrote = send(raw->fd, bytes, len, MSG_NOSIGNAL);
        if (wrote > 0) {
            bytes = (const char *)bytes + wrote;
            len -= (size_t)wrote;
        } else {
            raw->closed = errno != EAGAIN;
            raw_read(raw);
        }
    }
}

static void raw_frame(struct raw *raw, uint8_t type, uint8_t flags, uint32_t stream,
                      const void *payload, size_t len)
{
    const uint8_t header[9] = {(uint8_t)(len >> 16),
                               (uint8_t)(len >> 8),
                               (uint8_t)len,
                               type,
                               flags,
                               (uint8_t)(stream >> 24),
                               (uint8_t)(stream >> 16),
                               (uint8_t)(stream >> 8),
                               (uint8_t)stream};
    raw_write(raw, header, sizeof header);
    raw_write(raw, payload, len);
}

/* The header block of a call to /test.Test/Watch, in HPACK without compression (RFC 7541). */
static const char watch_headers[] = "\x83\x86\x04\x10/test.Test/Watch\x01\x01x"
                                    "\x00\x02te\x08trailers"
                                    "\x0f\x10\x10" /* content-type */
                                    "application/grpc";

static void raw_open(struct raw *raw, uint32_t stream)
{
    raw_frame(raw, 1, 4, stream, watch_headers, sizeof watch_headers - 1);
}

static long resident_kb(void)
{
    long pages = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    CU_ASSERT_EQUAL(fscanf(file, "%*d %ld", &pages), 1);
    fclose(file);
    return pages * (sysconf(_SC_PAGESIZE) / 1024);
}

static void a_message_announced_with_2_gb_is_not_collected(void)
{
    struct raw raw;
    raw_start(&raw);
    raw_write(&raw, BYTES(PREFACE "\0\0\0\4\0\0\0\0\0"));
    raw_open(&raw, 1);
    WAIT_UNTIL(&raw.fixture, watched.opens == 1);
    static const uint8_t zeros[16384];
    uint64_t sent = 0, most = 0;
    long before = resident_kb();
    raw_frame(&raw, 0, 0, 1, "\0\x7f\xff\xff\xff", 5);
    sent += 5;
    while (!watched.ends && !raw.closed && !raw.fixture.timed_out && sent < 100 * 1000 * 1000) {
        raw_read(&raw);
        if (raw.window - sent < sizeof zeros)
            continue;
        raw_frame(&raw, 0, 0, 1, zeros, sizeof zeros);
        sent += sizeof zeros;
        most = sent;
    }
    CU_ASSERT_EQUAL(watched.ends, 1);
    CU_ASSERT_EQUAL(watched.messages, 0);
    CU_ASSERT(most <= 2 * (uint64_t)RPC_CONNECTION_MAX_BYTES);
    CU_ASSERT(resident_kb() - before < 4 * RPC_CONNECTION_MAX_BYTES / 1024);
    raw_stop(&raw);
}

/* Sends DATA on stream 1 as the window allows, until `*sent` is `total` or the server has had
 * enough. */
static void raw_push(struct raw *raw, uint64_t *sent, uint64_t total)
{
    static const uint8_t zeros[16384];
    while (*sent < total && !raw->closed && !raw->fixture.timed_out) {
        raw_read(raw);
        if (raw->window - *sent < sizeof zeros)
            continue;
        raw_frame(raw, 0, 0, 1, zeros, sizeof zeros);
        *sent += sizeof zeros;
    }
}

static void a_client_that_never_ends_its_message_is_cut_when_memory_is_short(void)
{
    enum { LIMIT = 1 << 20, SOME = 48 * 16384 };
    struct raw raw;
    raw_start(&raw);
    rpc_server_limit_held(raw.fixture.server, LIMIT);
    raw_write(&raw, BYTES(PREFACE "\0\0\0\4\0\0\0\0\0"));
    raw_open(&raw, 1);
    WAIT_UNTIL(&raw.fixture, watched.opens == 1);
    raw_frame(&raw, 0, 0, 1, "\0\0\x3f\xff\xff", 5); /* 4 MiB, which is allowed */
    uint64_t sent = 5;
    raw_push(&raw, &sent, SOME);
    WAIT_UNTIL(&raw.fixture, rpc_server_held(raw.fixture.server) >= SOME);
    CU_ASSERT_FALSE(raw.closed);
    check_echo(&raw.fixture, raw.other);
    CU_ASSERT_EQUAL(watched.ends, 0);
    raw_push(&raw, &sent, 4 << 20);
    CU_ASSERT_TRUE(raw.closed);
    CU_ASSERT_EQUAL(rpc_server_refused(raw.fixture.server), 1);
    CU_ASSERT_EQUAL(rpc_server_held(raw.fixture.server), 0);
    CU_ASSERT(sent <= 2 * LIMIT);
    raw_stop(&raw);
}

static void complete_messages_are_held_no_longer(void)
{
    enum { LEN = 512 * 1024, ROUNDS = 20 };
    struct fixture fixture;
    struct peer peer = {0};
    fixture_start(&fixture, test_methods);
    rpc_server_limit_held(fixture.server, LEN + LEN / 2);
    open_watched(&fixture, connect_direct(&fixture, NULL), &peer);
    for (unsigned i = 1; i <= ROUNDS; i++) {
        CU_ASSERT_EQUAL(rpc_call_send_take(peer.call, calloc(1, LEN), LEN), ERR_OK);
        WAIT_UNTIL(&fixture, watched.messages == i);
        CU_ASSERT_EQUAL(rpc_server_held(fixture.server), 0);
    }
    CU_ASSERT_EQUAL(rpc_server_refused(fixture.server), 0);
    rpc_call_cancel(peer.call, RPC_CANCELLED, NULL);
    WAIT_UNTIL(&fixture, watched.ends == 1);
    fixture_stop(&fixture);
}

static void calls_that_are_opened_and_reset_at_once_cost_the_connection(void)
{
    struct raw raw;
    raw_start(&raw);
    raw_write(&raw, BYTES(PREFACE "\0\0\0\4\0\0\0\0\0"));
    uint32_t stream = 1;
    for (; stream < 200 * 1000 && !raw.closed && !raw.fixture.timed_out; stream += 2) {
        raw_open(&raw, stream);
        raw_frame(&raw, 3, 0, stream, "\0\0\0\10", 4);
    }
    CU_ASSERT(raw.closed);
    CU_ASSERT_EQUAL(rpc_server_refused(raw.fixture.server), 1);
    CU_ASSERT(watched.opens <= 300);
    raw_stop(&raw);
    CU_ASSERT_EQUAL(watched.ends, watched.opens);
}

/* This client never acknowledges the server's settings. */
static void calls_without_end_cost_the_connection(void)
{
    struct raw raw;
    raw_start(&raw);
    raw_write(&raw, BYTES(PREFACE "\0\0\0\4\0\0\0\0\0"));
    for (uint32_t stream = 1; stream < 2 * 2000 && !raw.closed; stream += 2) {
        raw_open(&raw, stream);
        raw_read(&raw);
    }
    while (!raw.closed && watched.opens <= RPC_CALLS_MAX && !raw.fixture.timed_out)
        raw_read(&raw);
    CU_ASSERT_TRUE(raw.closed);
    CU_ASSERT(watched.opens <= RPC_CALLS_MAX);
    CU_ASSERT_EQUAL(rpc_server_refused(raw.fixture.server), 1);
    raw_stop(&raw);
    CU_ASSERT_EQUAL(watched.ends, watched.opens);
}

static void a_header_that_never_ends_costs_the_connection(void)
{
    struct raw raw;
    uint8_t block[16384];
    memset(block, 'x', sizeof block);
    memcpy(block,
           "\x00\x01"
           "a\x7f\x80\x80\x80\x80\x07",
           9); /* a value of 2 GB follows */
    raw_start(&raw);
    raw_write(&raw, BYTES(PREFACE "\0\0\0\4\0\0\0\0\0"));
    raw_frame(&raw, 1, 0, 1, block, sizeof block);
    memset(block, 'x', sizeof block);
    for (int i = 0; i < 1000 && !raw.closed && !raw.fixture.timed_out; i++)
        raw_frame(&raw, 9, 0, 1, block, sizeof block);
    CU_ASSERT(raw.closed);
    CU_ASSERT_EQUAL(rpc_server_refused(raw.fixture.server), 1);
    raw_stop(&raw);
}

int main(int argc, char **argv)
{
    const struct suite_case cases[] = {
        SUITE_CASE(garbage_closes_that_connection_alone),
        SUITE_CASE(an_http1_request_closes_that_connection_alone),
        SUITE_CASE(a_client_hello_closes_that_connection_alone),
        SUITE_CASE(half_a_preface_hurts_nobody),
        SUITE_CASE(an_unknown_frame_type_is_ignored),
        SUITE_CASE(data_on_stream_zero_closes_that_connection_alone),
        SUITE_CASE(a_header_block_that_is_not_hpack_closes_that_connection_alone),
        SUITE_CASE(a_frame_longer_than_allowed_closes_that_connection_alone),
        SUITE_CASE(a_message_announced_with_2_gb_is_not_collected),
        SUITE_CASE(a_client_that_never_ends_its_message_is_cut_when_memory_is_short),
        SUITE_CASE(complete_messages_are_held_no_longer),
        SUITE_CASE(calls_that_are_opened_and_reset_at_once_cost_the_connection),
        SUITE_CASE(calls_without_end_cost_the_connection),
        SUITE_CASE(a_header_that_never_ends_costs_the_connection),
        SUITE_END,
    };
    return suite_main("rpc.hostile", cases, argc, argv);
}
