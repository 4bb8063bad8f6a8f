/* SPIFFE IDs: what is one, what is none, and that comparison is exact. */
#include "tls/spiffe.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

/* Parses a copy of exactly `len` bytes, so that a sanitizer sees a read beyond it. */
static bool parse(struct spiffe_id *id, const char *uri, size_t len)
{
    char *copy = malloc(len ? len : 1);
    memcpy(copy, uri, len);
    bool parsed = spiffe_parse(id, copy, len);
    free(copy);
    return parsed;
}

static void parse_finds_the_parts(void)
{
    struct spiffe_id id;
    static const char uri[] = "spiffe://mesh.test/ns/shop/sa/web-1";
    CU_ASSERT_TRUE_FATAL(parse(&id, uri, sizeof uri - 1));
    CU_ASSERT_EQUAL(id.len, sizeof uri - 1);
    CU_ASSERT_STRING_EQUAL(id.text, uri);
    CU_ASSERT_EQUAL(id.domain_len, 9);
    CU_ASSERT_TRUE(id.ns_len == 4 && memcmp(id.text + id.ns_at, "shop", 4) == 0);
    CU_ASSERT_TRUE(id.sa_len == 5 && memcmp(id.text + id.sa_at, "web-1", 5) == 0);
}

static void other_paths_are_ids_without_parts(void)
{
    static const char *const uris[] = {
        "spiffe://mesh.test",       "spiffe://mesh.test/web", "spiffe://m/NS/a/SA/b",
        "spiffe://m/ns/a/sa/b/c",   "spiffe://m/ns/a",        "spiffe://m/ns/a/sb/c",
        "spiffe://a_b-c.d/..x/...", "spiffe://m/sa/b/ns/a",
    };
    for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++) {
        struct spiffe_id id;
        CU_ASSERT_TRUE(parse(&id, uris[i], strlen(uris[i])));
        CU_ASSERT_EQUAL(id.ns_len, 0);
        CU_ASSERT_EQUAL(id.sa_len, 0);
    }
}

static void parse_refuses_what_is_no_spiffe_id(void)
{
    static const char *const uris[] = {
        "",
        "spiffe://",
        "spiffe:///ns/a/sa/b",
        "spiffe:/m/ns/a/sa/b",
        "SPIFFE://m/ns/a/sa/b",
        "https://m/ns/a/sa/b",
        "spiffe://Mesh/ns/a/sa/b",
        "spiffe://m:80/ns/a/sa/b",
        "spiffe://u@m/ns/a/sa/b",
        "spiffe://m/ns/a/sa/b?x",
        "spiffe://m/ns/a/sa/b#x",
        "spiffe://m/ns/a/sa/b/",
        "spiffe://m/",
        "spiffe://m//ns/a/sa/b",
        "spiffe://m/ns//sa/b",
        "spiffe://m/ns/./sa/b",
        "spiffe://m/ns/../sa/b",
        "spiffe://m/ns/a/sa/..",
        "spiffe://m/ns/a/sa/b%20",
        "spiffe://m/ns/a/sa/b c",
        "spiffe://m/ns/a/sa/\xc3\xa4",
        "spiffe://m\xc3\xa4/ns/a/sa/b",
        "spiffe://m/ns/a/sa/b\n",
        " spiffe://m/ns/a/sa/b",
        "spiffe://m*/ns/a/sa/b",
    };
    for (size_t i = 0; i < sizeof uris / sizeof uris[0]; i++) {
        struct spiffe_id id;
        memset(&id, 0xff, sizeof id);
        CU_ASSERT_FALSE(parse(&id, uris[i], strlen(uris[i])));
        CU_ASSERT_EQUAL(id.len, 0);
    }
}

static void null_inside_is_refused_wherever_it_is(void)
{
    static const char good[] = "spiffe://m/ns/a/sa/b";
    for (size_t at = 0; at < sizeof good; at++) {
        char uri[sizeof good];
        struct spiffe_id id;
        memcpy(uri, good, sizeof good);
        uri[at] = 0;
        CU_ASSERT_FALSE(parse(&id, uri, sizeof good));
        if (at < sizeof good - 1)
            CU_ASSERT_FALSE(parse(&id, uri, sizeof good - 1));
    }
}

static void lengths_are_bounded(void)
{
    struct spiffe_id id;
    char uri[SPIFFE_TEXT_MAX + 10];
    memset(uri, 'a', sizeof uri);
    memcpy(uri, "spiffe://m/", 11);
    CU_ASSERT_TRUE(parse(&id, uri, SPIFFE_TEXT_MAX - 1));
    CU_ASSERT_EQUAL(strlen(id.text), SPIFFE_TEXT_MAX - 1);
    CU_ASSERT_FALSE(parse(&id, uri, SPIFFE_TEXT_MAX));
    memset(uri, 'a', sizeof uri);
    memcpy(uri, "spiffe://", 9);
    uri[9 + 255] = '/';
    CU_ASSERT_TRUE(parse(&id, uri, 300));
    uri[9 + 255] = 'a';
    uri[9 + 256] = '/';
    CU_ASSERT_FALSE(parse(&id, uri, 300));
}

static void make_is_the_inverse_of_parse(void)
{
    struct spiffe_id made, parsed;
    CU_ASSERT_TRUE(spiffe_make(&made, "mesh.test", "shop", "web"));
    CU_ASSERT_TRUE(parse(&parsed, "spiffe://mesh.test/ns/shop/sa/web", 33));
    CU_ASSERT_TRUE(spiffe_equal(&made, &parsed));
    static const char *const bad[][3] = {
        {"", "a", "b"},     {"m", "", "b"},    {"m", "a", ""},     {"m", "a/sa/b", "c"},
        {"m/ns", "a", "b"}, {"m", "a", "b/c"}, {"M", "a", "b"},    {"m", "..", "b"},
        {"m", "a", "b?"},   {"m/x", "a", "b"}, {"m", "a/sa", "b"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        CU_ASSERT_FALSE(spiffe_make(&made, bad[i][0], bad[i][1], bad[i][2]));
        CU_ASSERT_EQUAL(made.len, 0);
    }
    char long_name[SPIFFE_TEXT_MAX + 1];
    memset(long_name, 'a', sizeof long_name - 1);
    long_name[sizeof long_name - 1] = 0;
    CU_ASSERT_FALSE(spiffe_make(&made, "m", "a", long_name));
}

static void equality_is_exact(void)
{
    struct spiffe_id a, b;
    CU_ASSERT_TRUE(parse(&a, "spiffe://m/ns/a/sa/b", 20));
    CU_ASSERT_TRUE(parse(&b, "spiffe://m/ns/a/sa/bb", 21));
    CU_ASSERT_FALSE(spiffe_equal(&a, &b));
    CU_ASSERT_TRUE(parse(&b, "spiffe://m/ns/a/sa/B", 20));
    CU_ASSERT_FALSE(spiffe_equal(&a, &b));
    CU_ASSERT_TRUE(parse(&b, "spiffe://m/ns/a/sa/b", 20));
    CU_ASSERT_TRUE(spiffe_equal(&a, &b));
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(parse_finds_the_parts),
        SUITE_CASE(other_paths_are_ids_without_parts),
        SUITE_CASE(parse_refuses_what_is_no_spiffe_id),
        SUITE_CASE(null_inside_is_refused_wherever_it_is),
        SUITE_CASE(lengths_are_bounded),
        SUITE_CASE(make_is_the_inverse_of_parse),
        SUITE_CASE(equality_is_exact),
        SUITE_END,
    };
    return suite_main("tls/spiffe", cases, argc, argv);
}
