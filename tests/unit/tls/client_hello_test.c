/* The sniffer: real and broken ClientHellos, whole, cut, fragmented and mutated. */
#include "tls/client_hello.h"

#include <stdlib.h>
#include <string.h>

#include "pki.h"
#include "suite.h"

static const char *const mesh[] = {"istio", "handfast/1", NULL};

static uint8_t hello[4096];
static size_t hello_len;

/* Sniffs a copy of exactly `len` bytes, so that a sanitizer sees a read beyond it. */
static enum client_hello_kind sniff(const uint8_t *bytes, size_t len)
{
    uint8_t *copy = malloc(len ? len : 1);
    if (len)
        memcpy(copy, bytes, len);
    enum client_hello_kind kind = client_hello_sniff(copy, len, mesh);
    free(copy);
    return kind;
}

static enum client_hello_kind sniff_alpn(const char *alpn)
{
    uint8_t bytes[4096];
    return sniff(bytes, pki_client_hello(0x0303, 0x0304, alpn, bytes, sizeof bytes));
}

static void mesh_alpn_is_found_anywhere_in_the_list(void)
{
    CU_ASSERT_EQUAL(sniff_alpn("\5istio"), CLIENT_HELLO_MESH);
    CU_ASSERT_EQUAL(sniff_alpn("\23istio-peer-exchange\5istio"), CLIENT_HELLO_MESH);
    CU_ASSERT_EQUAL(sniff_alpn("\2h2\12handfast/1"), CLIENT_HELLO_MESH);
}

static void other_tls_is_told_apart(void)
{
    CU_ASSERT_EQUAL(sniff_alpn(NULL), CLIENT_HELLO_OTHER_TLS);
    CU_ASSERT_EQUAL(sniff_alpn("\2h2\10http/1.1"), CLIENT_HELLO_OTHER_TLS);
    CU_ASSERT_EQUAL(sniff_alpn("\6istio2"), CLIENT_HELLO_OTHER_TLS);
    CU_ASSERT_EQUAL(sniff_alpn("\4isti"), CLIENT_HELLO_OTHER_TLS);
    CU_ASSERT_EQUAL(sniff_alpn("\23istio-peer-exchange"), CLIENT_HELLO_OTHER_TLS);
    uint8_t bytes[4096];
    size_t len = pki_client_hello(0x0301, 0x0303, "\2h2", bytes, sizeof bytes);
    CU_ASSERT_EQUAL(sniff(bytes, len), CLIENT_HELLO_OTHER_TLS);
}

static void every_prefix_asks_for_more(void)
{
    for (size_t len = 0; len < hello_len; len++)
        CU_ASSERT_EQUAL(sniff(hello, len), CLIENT_HELLO_NEED_MORE);
    CU_ASSERT_EQUAL(sniff(hello, hello_len), CLIENT_HELLO_MESH);
    memcpy(hello + hello_len, "more bytes", 10);
    CU_ASSERT_EQUAL(sniff(hello, hello_len + 10), CLIENT_HELLO_MESH);
}

static void plaintext_is_known_by_its_first_bytes(void)
{
    static const char *const texts[] = {
        "GET / HTTP/1.1\r\n", "*1\r\n$4\r\nPING\r\n", "PRI * HTTP/2.0", "SSH-2.0-x",
        "\x15\x03\x03",       "\x17\x03\x03",         "\x16\x02\x00",   "\x16GET",
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        CU_ASSERT_EQUAL(sniff((const uint8_t *)texts[i], strlen(texts[i])), CLIENT_HELLO_NOT_TLS);
    static const uint8_t sslv2[] = {0x80, 0x2e, 1, 3, 1}, zeroes[8], empty[] = {0x16, 3, 1, 0, 0};
    CU_ASSERT_EQUAL(sniff(sslv2, sizeof sslv2), CLIENT_HELLO_NOT_TLS);
    CU_ASSERT_EQUAL(sniff(zeroes, sizeof zeroes), CLIENT_HELLO_NOT_TLS);
    CU_ASSERT_EQUAL(sniff(empty, sizeof empty), CLIENT_HELLO_NOT_TLS);
    static const uint8_t server_hello[] = {0x16, 3, 3, 0, 90, 2};
    CU_ASSERT_EQUAL(sniff(server_hello, sizeof server_hello), CLIENT_HELLO_NOT_TLS);
    CU_ASSERT_EQUAL(sniff(server_hello, 5), CLIENT_HELLO_NEED_MORE);
}

/* The same message in records of `size` bytes. */
static size_t fragment(uint8_t *out, size_t size)
{
    size_t at = 0;
    for (size_t from = 5; from < hello_len; from += size) {
        size_t n = hello_len - from < size ? hello_len - from : size;
        const uint8_t header[] = {0x16, 3, 1, (uint8_t)(n >> 8), (uint8_t)n};
        memcpy(out + at, header, 5);
        memcpy(out + at + 5, hello + from, n);
        at += 5 + n;
    }
    return at;
}

static void fragments_are_one_message(void)
{
    static uint8_t bytes[CLIENT_HELLO_MAX];
    static const size_t sizes[] = {1, 2, 3, 7, 64, 200};
    for (size_t i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        size_t len = fragment(bytes, sizes[i]);
        CU_ASSERT_EQUAL(sniff(bytes, len), CLIENT_HELLO_MESH);
        for (size_t cut = 0; cut < len; cut++)
            CU_ASSERT_EQUAL(sniff(bytes, cut), CLIENT_HELLO_NEED_MORE);
    }
    /* An alert in between is no fragment. */
    size_t len = fragment(bytes, 64);
    bytes[69] = 0x15;
    CU_ASSERT_EQUAL(sniff(bytes, len), CLIENT_HELLO_OTHER_TLS);
    bytes[69] = 0x16;
    bytes[69 + 3] = bytes[69 + 4] = 0; /* an empty one neither */
    CU_ASSERT_EQUAL(sniff(bytes, len), CLIENT_HELLO_OTHER_TLS);
}

static void waiting_ends_at_the_ceiling(void)
{
    uint8_t *bytes = calloc(1, CLIENT_HELLO_MAX + 1);
    /* One record that announces the most there can be. */
    const uint8_t start[] = {0x16, 3, 1, 0x40, 0, 1, 0, 0x3f, 0xfc};
    memcpy(bytes, start, sizeof start);
    CU_ASSERT_EQUAL(sniff(bytes, sizeof start), CLIENT_HELLO_NEED_MORE);
    bytes[7] = 0x3f;
    bytes[8] = 0xfd; /* one byte more than fits */
    CU_ASSERT_EQUAL(sniff(bytes, sizeof start), CLIENT_HELLO_OTHER_TLS);
    /* Records of one byte: the message could fit, what is around it does not. */
    static const uint8_t record[] = {0x16, 3, 1, 0, 1, 0};
    for (size_t at = 0; at < CLIENT_HELLO_MAX + 1; at++)
        bytes[at] = record[at % 6];
    bytes[5] = 1;
    bytes[17] = 0x20;         /* 8192 */
    bytes[6 * 39 + 5] = 0x1f; /* cipher suites of 7936 bytes */
    for (size_t len = 0; len < CLIENT_HELLO_MAX; len += 1000)
        CU_ASSERT_EQUAL(sniff(bytes, len), CLIENT_HELLO_NEED_MORE);
    CU_ASSERT_EQUAL(sniff(bytes, CLIENT_HELLO_MAX), CLIENT_HELLO_OTHER_TLS);
    CU_ASSERT_EQUAL(sniff(bytes, CLIENT_HELLO_MAX + 1), CLIENT_HELLO_OTHER_TLS);
    free(bytes);
}

/* Where the ALPN extension's payload begins. */
static size_t find_alpn(void)
{
    const uint8_t *found = memmem(hello, hello_len, "\6\5istio", 7);
    return found ? (size_t)(found - hello) - 1 : 0;
}

static void damaged_lengths_are_other_tls(void)
{
    size_t alpn = find_alpn();
    CU_ASSERT_FATAL(alpn != 0);
    uint8_t bytes[4096];
    /* list length, name length, extension length: one more and one less */
    const size_t at[] = {alpn + 1, alpn + 2, alpn - 1};
    for (size_t i = 0; i < 3; i++) {
        for (int delta = -1; delta <= 1; delta += 2) {
            memcpy(bytes, hello, hello_len);
            bytes[at[i]] = (uint8_t)(bytes[at[i]] + delta);
            CU_ASSERT_EQUAL(sniff(bytes, hello_len), CLIENT_HELLO_OTHER_TLS);
        }
    }
    memcpy(bytes, hello, hello_len);
    bytes[alpn + 2] = 0; /* an empty name */
    CU_ASSERT_EQUAL(sniff(bytes, hello_len), CLIENT_HELLO_OTHER_TLS);
}

static void second_alpn_extension_is_damage(void)
{
    uint8_t bytes[4096];
    static const uint8_t alpn[] = {0, 16, 0, 8, 0, 6, 5, 'i', 's', 't', 'i', 'o'};
    static const uint8_t body[] = {3, 3};
    size_t at = 9;
    memset(bytes, 0, sizeof bytes);
    memcpy(bytes + at, body, 2);
    at += 2 + 32;
    const uint8_t middle[] = {0, 0, 2, 0x13, 1, 1, 0, 0, 2 * sizeof alpn};
    memcpy(bytes + at, middle, sizeof middle);
    size_t extensions = at + sizeof middle - 2;
    at += sizeof middle;
    memcpy(bytes + at, alpn, sizeof alpn);
    memcpy(bytes + at + sizeof alpn, alpn, sizeof alpn);
    for (size_t count = 1; count <= 2; count++) {
        size_t end = at + count * sizeof alpn;
        bytes[extensions + 1] = (uint8_t)(count * sizeof alpn);
        const uint8_t start[] = {0x16, 3, 1, 0, (uint8_t)(end - 5), 1, 0, 0, (uint8_t)(end - 9)};
        memcpy(bytes, start, sizeof start);
        CU_ASSERT_EQUAL(sniff(bytes, end), count == 1 ? CLIENT_HELLO_MESH : CLIENT_HELLO_OTHER_TLS);
        bytes[extensions + 1]--; /* the message goes on behind its extensions */
        CU_ASSERT_EQUAL(sniff(bytes, end), CLIENT_HELLO_OTHER_TLS);
    }
}

/* Nothing is asserted but that the answer is one of the four and that no byte beyond the end is
 * read: the sanitizer watches. A prefix's final answer stays the answer. */
static void random_mutations_are_survived(void)
{
    unsigned seed = 11;
    static uint8_t bytes[CLIENT_HELLO_MAX];
    for (int round = 0; round < 60000; round++) {
        size_t len;
        if (round % 3 == 0) {
            len = fragment(bytes, 1 + (size_t)rand_r(&seed) % 300);
        } else {
            memcpy(bytes, hello, hello_len);
            len = hello_len;
        }
        for (int flips = rand_r(&seed) % 6; flips > 0; flips--)
            bytes[(size_t)rand_r(&seed) % (rand_r(&seed) % 2 ? len : 60)] = (uint8_t)rand_r(&seed);
        size_t cut = (size_t)rand_r(&seed) % (len + 1);
        enum client_hello_kind part = sniff(bytes, cut), whole = sniff(bytes, len);
        CU_ASSERT(whole <= CLIENT_HELLO_OTHER_TLS);
        if (part != CLIENT_HELLO_NEED_MORE && part != whole)
            CU_FAIL("the answer changed with more bytes");
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(mesh_alpn_is_found_anywhere_in_the_list),
        SUITE_CASE(other_tls_is_told_apart),
        SUITE_CASE(every_prefix_asks_for_more),
        SUITE_CASE(plaintext_is_known_by_its_first_bytes),
        SUITE_CASE(fragments_are_one_message),
        SUITE_CASE(waiting_ends_at_the_ceiling),
        SUITE_CASE(damaged_lengths_are_other_tls),
        SUITE_CASE(second_alpn_extension_is_damage),
        SUITE_CASE(random_mutations_are_survived),
        SUITE_END,
    };
    hello_len = pki_client_hello(0x0304, 0x0304, "\5istio", hello, sizeof hello);
    return suite_main("tls/client_hello", cases, argc, argv);
}
