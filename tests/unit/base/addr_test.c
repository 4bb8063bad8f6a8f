#include "base/addr.h"

#include <netinet/in.h>
#include <stdio.h>
#include <string.h>

#include "suite.h"

static struct addr ip(const char *text)
{
    struct addr addr = {0};
    CU_ASSERT(addr_parse(&addr, text));
    return addr;
}

static void addresses_come_back_as_they_were_written(void)
{
    static const char *const texts[] = {"10.0.0.1", "0.0.0.0", "255.255.255.255",
                                        "::",       "::1",     "fd77:1::2"};
    char text[ADDR_TEXT_MAX];
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct addr addr = ip(texts[i]);
        CU_ASSERT_STRING_EQUAL(addr_format(&addr, text), texts[i]);
    }
    const struct addr none = {0};
    CU_ASSERT_STRING_EQUAL(addr_format(&none, text), "-");
}

static void a_mapped_address_is_its_ipv4_form(void)
{
    struct addr mapped = ip("::ffff:10.0.0.1"), plain = ip("10.0.0.1");
    CU_ASSERT(addr_equal(&mapped, &plain));
    /* IPv4-compatible addresses (RFC 4291 section 2.5.5.1) are not that. */
    CU_ASSERT_EQUAL(ip("::10.0.0.1").len, 16);
}

static void what_is_no_address_is_refused(void)
{
    static const char *const texts[] = {"",          "10.0.0",       "10.0.0.1:80", "10.0.0.256",
                                        "[::1]",     "fe80::1%eth0", " 10.0.0.1",   "10.0.0.1 ",
                                        "010.0.0.1", "localhost",    ":::"};
    struct addr addr;
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++)
        CU_ASSERT_FALSE(addr_parse(&addr, texts[i]));
    CU_ASSERT_FALSE(addr_from_bytes(&addr, "12345", 5));
    CU_ASSERT_FALSE(addr_from_bytes(&addr, "", 0));
    CU_ASSERT_EQUAL(addr.len, 0);
}

static void ports_follow_a_colon_and_ipv6_needs_brackets(void)
{
    struct addr_port at;
    char text[ADDR_TEXT_MAX];
    CU_ASSERT(addr_port_parse(&at, "10.0.0.1:80"));
    CU_ASSERT_EQUAL(at.port, 80);
    CU_ASSERT_STRING_EQUAL(addr_port_format(&at, text), "10.0.0.1:80");
    CU_ASSERT(addr_port_parse(&at, "[fd00::1]:65535"));
    CU_ASSERT_STRING_EQUAL(addr_port_format(&at, text), "[fd00::1]:65535");
    CU_ASSERT(addr_port_parse(&at, "[::ffff:10.0.0.1]:1"));
    CU_ASSERT_STRING_EQUAL(addr_port_format(&at, text), "10.0.0.1:1");
    static const char *const wrong[] = {"10.0.0.1", "10.0.0.1:",   "10.0.0.1:65536", "::1:80",
                                        ":80",      "[::1]80",     "[10.0.0.1]:80",  "10.0.0.1:-1",
                                        "[]:80",    "10.0.0.1:+5", "10.0.0.1:8o",    "[::1]:"};
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CU_ASSERT_FALSE(addr_port_parse(&at, wrong[i]));
}

static void the_longest_address_fits_its_text(void)
{
    struct addr_port at = {.ip = {.len = 16}, .port = 65535};
    char text[ADDR_TEXT_MAX];
    memset(at.ip.bytes, 0xff, 16);
    CU_ASSERT_STRING_EQUAL(addr_port_format(&at, text),
                           "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff]:65535");
}

static void prefixes_contain_what_shares_their_bits(void)
{
    static const struct {
        const char *prefix, *addr;
        bool inside;
    } rows[] = {
        {"10.0.0.0/8", "10.255.0.1", true},
        {"10.0.0.0/8", "11.0.0.1", false},
        {"10.0.0.128/25", "10.0.0.129", true},
        {"10.0.0.128/25", "10.0.0.127", false},
        {"10.0.0.1", "10.0.0.1", true},
        {"10.0.0.1", "10.0.0.2", false},
        {"0.0.0.0/0", "1.2.3.4", true},
        {"0.0.0.0/0", "::1", false},
        {"::/0", "1.2.3.4", false},
        {"::/0", "fd00::1", true},
        {"fd77:1::/33", "fd77:1:7fff::1", true},
        {"fd77:1::/33", "fd77:1:8000::1", false},
        {"::ffff:10.0.0.0/104", "10.9.9.9", true},
        {"::ffff:10.0.0.0/104", "11.0.0.0", false},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct addr_prefix prefix;
        struct addr addr = ip(rows[i].addr);
        CU_ASSERT_FATAL(addr_prefix_parse(&prefix, rows[i].prefix));
        CU_ASSERT_EQUAL(addr_prefix_contains(&prefix, &addr), rows[i].inside);
    }
}

static void prefixes_with_bits_that_do_not_exist_are_refused(void)
{
    /* The last one would, read as IPv4, mean something else than what is written. */
    static const char *const wrong[] = {"10.0.0.0/33",       "::/129", "10.0.0.0/", "10.0.0.0/-1",
                                        "10.0.0.0/8/9",      "/8",     "",          "10.0.0.0/ 8",
                                        "::ffff:10.0.0.1/24"};
    struct addr_prefix prefix;
    for (unsigned i = 0; i < sizeof wrong / sizeof wrong[0]; i++)
        CU_ASSERT_FALSE(addr_prefix_parse(&prefix, wrong[i]));
}

static void the_kernels_form_and_back_is_the_same(void)
{
    static const char *const texts[] = {"127.0.0.1:15001", "[::1]:15006", "[fd77::9]:1"};
    for (unsigned i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct addr_port at, back;
        struct sockaddr_storage storage;
        CU_ASSERT(addr_port_parse(&at, texts[i]));
        socklen_t len = addr_to_sockaddr(&at, &storage);
        CU_ASSERT_EQUAL(len,
                        at.ip.len == 4 ? sizeof(struct sockaddr_in) : sizeof(struct sockaddr_in6));
        CU_ASSERT(addr_from_sockaddr(&back, &storage));
        CU_ASSERT(addr_port_equal(&at, &back));
    }
    struct sockaddr_storage other = {.ss_family = AF_UNIX};
    struct addr_port at;
    CU_ASSERT_FALSE(addr_from_sockaddr(&at, &other));
}

static void loopback_and_unspecified_are_known(void)
{
    struct addr loop4 = ip("127.9.9.9"), loop6 = ip("::1"), other = ip("128.0.0.1");
    struct addr none4 = ip("0.0.0.0"), none6 = ip("::");
    CU_ASSERT(addr_is_loopback(&loop4) && addr_is_loopback(&loop6));
    CU_ASSERT_FALSE(addr_is_loopback(&other));
    CU_ASSERT(addr_is_unspecified(&none4) && addr_is_unspecified(&none6));
    CU_ASSERT_FALSE(addr_is_unspecified(&loop6));
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(addresses_come_back_as_they_were_written),
        SUITE_CASE(a_mapped_address_is_its_ipv4_form),
        SUITE_CASE(what_is_no_address_is_refused),
        SUITE_CASE(ports_follow_a_colon_and_ipv6_needs_brackets),
        SUITE_CASE(the_longest_address_fits_its_text),
        SUITE_CASE(prefixes_contain_what_shares_their_bits),
        SUITE_CASE(prefixes_with_bits_that_do_not_exist_are_refused),
        SUITE_CASE(the_kernels_form_and_back_is_the_same),
        SUITE_CASE(loopback_and_unspecified_are_known),
        SUITE_END,
    };
    return suite_main("base_addr", cases, argc, argv);
}
