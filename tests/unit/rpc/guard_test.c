/* The guard alone: bytes in, yes or no out. */
#include <string.h>

#include "rpc/guard.h"
#include "suite.h"

#define PREFACE "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
enum { HEADERS = 1, PRIORITY = 2, RST_STREAM = 3, SETTINGS = 4, PING = 6, CONTINUATION = 9 };

static struct guard guard;
static struct err err;

static enum err_code check_at(const void *bytes, size_t len, int64_t now_ms)
{
    memset(&err, 0, sizeof err);
    return guard_check(&guard, bytes, len, now_ms, &err);
}

static void start(void)
{
    guard_init(&guard, 1000);
    CU_ASSERT_EQUAL(check_at(PREFACE, strlen(PREFACE), 1000), ERR_OK);
}

static enum err_code frame_at(uint8_t type, uint8_t flags, uint32_t len, int64_t now_ms)
{
    static const uint8_t payload[GUARD_FRAME_MAX_BYTES];
    const uint8_t header[GUARD_FRAME_HEADER_BYTES] = {
        (uint8_t)(len >> 16), (uint8_t)(len >> 8), (uint8_t)len, type, flags, 0, 0, 0, 1};
    enum err_code code = check_at(header, sizeof header, now_ms);
    return code == ERR_OK ? check_at(payload, len, now_ms) : code;
}

static enum err_code frame(uint8_t type, uint8_t flags, uint32_t len)
{
    return frame_at(type, flags, len, 1000);
}

static void an_ordinary_client_passes_in_pieces_of_any_size(void)
{
    static const char bytes[] = PREFACE "\0\0\6\4\0\0\0\0\0abcdef" /* SETTINGS */
                                        "\0\0\3\1\4\0\0\0\1abc"    /* HEADERS */
                                        "\0\0\4\0\1\0\0\0\1abcd"   /* DATA */
                                        "\0\0\0\4\1\0\0\0\0";      /* SETTINGS, acknowledged */
    const size_t total = sizeof bytes - 1;
    for (size_t piece = 1; piece <= total; piece++) {
        guard_init(&guard, 0);
        for (size_t at = 0; at < total; at += piece) {
            size_t len = total - at < piece ? total - at : piece;
            CU_ASSERT_EQUAL(check_at(bytes + at, len, 0), ERR_OK);
        }
        CU_ASSERT_EQUAL(guard.header_len, 0);
        CU_ASSERT_EQUAL(guard.skip, 0);
    }
}

static void a_client_without_the_preface_is_refused_at_the_first_wrong_byte(void)
{
    guard_init(&guard, 0);
    CU_ASSERT_EQUAL(check_at("GET / HTTP/1.1\r\n", 16, 0), ERR_RPC_PROTOCOL);
    guard_init(&guard, 0);
    CU_ASSERT_EQUAL(check_at("PRI * HTTP/2.0\r\n\r\nSM\r\n\r", 23, 0), ERR_OK);
    CU_ASSERT_EQUAL(check_at("x", 1, 0), ERR_RPC_PROTOCOL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "does not speak HTTP/2"));
}

static void a_frame_of_the_limit_passes_and_one_byte_more_does_not(void)
{
    start();
    CU_ASSERT_EQUAL(frame(0, 0, GUARD_FRAME_MAX_BYTES), ERR_OK);
    CU_ASSERT_EQUAL(frame(0, 0, GUARD_FRAME_MAX_BYTES + 1), ERR_RPC_PROTOCOL);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "16385"));
}

static void a_header_block_has_a_ceiling_in_bytes(void)
{
    start();
    for (int block = 0; block < 3; block++) { /* each block is counted anew */
        CU_ASSERT_EQUAL(frame(HEADERS, 0, 16384), ERR_OK);
        CU_ASSERT_EQUAL(frame(CONTINUATION, 4, 16384), ERR_OK);
    }
    CU_ASSERT_EQUAL(frame(HEADERS, 0, 16384), ERR_OK);
    CU_ASSERT_EQUAL(frame(CONTINUATION, 0, 16384), ERR_OK);
    CU_ASSERT_EQUAL(frame(CONTINUATION, 4, 1), ERR_RPC_PROTOCOL);
}

static void a_header_block_has_a_ceiling_in_frames(void)
{
    start();
    CU_ASSERT_EQUAL(frame(HEADERS, 0, 1), ERR_OK);
    for (int i = 0; i < GUARD_CONTINUATIONS_MAX; i++)
        CU_ASSERT_EQUAL(frame(CONTINUATION, 0, 0), ERR_OK);
    CU_ASSERT_EQUAL(frame(CONTINUATION, 0, 0), ERR_RPC_PROTOCOL);
}

static void nothing_may_come_between_the_frames_of_a_header_block(void)
{
    start();
    CU_ASSERT_EQUAL(frame(HEADERS, 0, 1), ERR_OK);
    CU_ASSERT_EQUAL(frame(PING, 0, 8), ERR_RPC_PROTOCOL);
    start();
    CU_ASSERT_EQUAL(frame(HEADERS, 0, 1), ERR_OK);
    CU_ASSERT_EQUAL(frame(HEADERS, 4, 1), ERR_RPC_PROTOCOL);
    start();
    CU_ASSERT_EQUAL(frame(CONTINUATION, 4, 1), ERR_RPC_PROTOCOL);
}

static void resets_are_allowed_in_a_burst_and_then_at_a_rate(void)
{
    static const uint8_t types[] = {RST_STREAM, PRIORITY, SETTINGS};
    start();
    for (int i = 0; i < GUARD_NUISANCE_BURST; i++)
        CU_ASSERT_EQUAL(frame(types[i % 3], 0, 6), ERR_OK);
    CU_ASSERT_EQUAL(frame_at(RST_STREAM, 0, 4, 1000 + 1000 / GUARD_NUISANCE_PER_SECOND), ERR_OK);
    CU_ASSERT_EQUAL(frame_at(RST_STREAM, 0, 4, 1000 + 1000 / GUARD_NUISANCE_PER_SECOND),
                    ERR_RPC_PROTOCOL);
    /* However long it was quiet, the burst does not grow. */
    start();
    for (int i = 0; i < GUARD_NUISANCE_BURST; i++)
        CU_ASSERT_EQUAL(frame_at(RST_STREAM, 0, 4, INT64_C(1) << 40), ERR_OK);
    CU_ASSERT_EQUAL(frame_at(RST_STREAM, 0, 4, INT64_C(1) << 40), ERR_RPC_PROTOCOL);
}

static void data_calls_pings_and_acknowledgements_are_not_counted(void)
{
    start();
    for (int i = 0; i < 10 * GUARD_NUISANCE_BURST; i++) {
        CU_ASSERT_EQUAL(frame(HEADERS, 4, 10), ERR_OK);
        CU_ASSERT_EQUAL(frame(0, 1, 10), ERR_OK);
        CU_ASSERT_EQUAL(frame(PING, 1, 8), ERR_OK);
        CU_ASSERT_EQUAL(frame(SETTINGS, 1, 0), ERR_OK);
    }
}

int main(int argc, char **argv)
{
    const struct suite_case cases[] = {
        SUITE_CASE(an_ordinary_client_passes_in_pieces_of_any_size),
        SUITE_CASE(a_client_without_the_preface_is_refused_at_the_first_wrong_byte),
        SUITE_CASE(a_frame_of_the_limit_passes_and_one_byte_more_does_not),
        SUITE_CASE(a_header_block_has_a_ceiling_in_bytes),
        SUITE_CASE(a_header_block_has_a_ceiling_in_frames),
        SUITE_CASE(nothing_may_come_between_the_frames_of_a_header_block),
        SUITE_CASE(resets_are_allowed_in_a_burst_and_then_at_a_rate),
        SUITE_CASE(data_calls_pings_and_acknowledgements_are_not_counted),
        SUITE_END,
    };
    return suite_main("rpc.guard", cases, argc, argv);
}
