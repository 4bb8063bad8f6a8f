#include "redirect/capture.h"

#include <stdio.h>
#include <string.h>

#include "suite.h"

static struct capture capture;
static struct err err;

static void fresh(void)
{
    capture_init(&capture);
    memset(&err, 0, sizeof err);
}

#define REFUSED_SAYING(call, words)                                                                \
    do {                                                                                           \
        CU_ASSERT_EQUAL(call, ERR_USAGE);                                                          \
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));                                           \
    } while (0)

static void a_port_list_is_sorted_and_merged(void)
{
    fresh();
    CU_ASSERT_EQUAL(capture_add_ports(&capture.exclude_inbound, "9000, 22 ,9000,443", &err),
                    ERR_OK);
    CU_ASSERT_EQUAL(capture_add_ports(&capture.exclude_inbound, "80", &err), ERR_OK);
    const uint16_t want[] = {22, 80, 443, 9000};
    CU_ASSERT_EQUAL(capture.exclude_inbound.count, 4);
    CU_ASSERT_EQUAL(memcmp(capture.exclude_inbound.ports, want, sizeof want), 0);
}

static void an_empty_list_adds_nothing(void)
{
    fresh();
    CU_ASSERT_EQUAL(capture_add_ports(&capture.exclude_inbound, "", &err), ERR_OK);
    CU_ASSERT_EQUAL(capture_add_prefixes(&capture.exclude_outbound_cidrs, " ", &err), ERR_OK);
    CU_ASSERT_EQUAL(capture.exclude_inbound.count, 0);
    CU_ASSERT_EQUAL(capture.exclude_outbound_cidrs.count, 0);
}

static void a_port_that_is_none_is_refused_by_name(void)
{
    static const char *const bad[] = {"0",   "65536", "http",        "80x",      "-1",
                                      "+80", "1e3",   "99999999999", "8000-8010"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fresh();
        REFUSED_SAYING(capture_add_ports(&capture.exclude_inbound, bad[i], &err), bad[i]);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "1 to 65535"));
    }
}

static void an_empty_entry_is_refused(void)
{
    static const char *const bad[] = {",", "80,", ",80", "80,,90", "80, ,90"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fresh();
        REFUSED_SAYING(capture_add_ports(&capture.exclude_inbound, bad[i], &err), "empty entry");
    }
}

static void an_entry_of_great_length_is_refused(void)
{
    char text[1000];
    memset(text, '8', sizeof text - 1);
    text[sizeof text - 1] = 0;
    fresh();
    REFUSED_SAYING(capture_add_ports(&capture.exclude_inbound, text, &err), "too long");
    CU_ASSERT(strlen(err.text) < 120);
}

static void a_list_has_a_ceiling(void)
{
    char text[16];
    fresh();
    for (int port = 1; port <= CAPTURE_LIST_MAX; port++) {
        snprintf(text, sizeof text, "%d", port);
        CU_ASSERT_EQUAL(capture_add_ports(&capture.exclude_inbound, text, &err), ERR_OK);
    }
    REFUSED_SAYING(capture_add_ports(&capture.exclude_inbound, "9999", &err), "at most 256");
    CU_ASSERT_EQUAL(capture_add_ports(&capture.exclude_inbound, "7", &err), ERR_OK);
}

static void check_prefixes(const char *text, const char *want)
{
    char got[512] = "", one[ADDR_TEXT_MAX];
    fresh();
    CU_ASSERT_EQUAL(capture_add_prefixes(&capture.exclude_outbound_cidrs, text, &err), ERR_OK);
    for (unsigned i = 0; i < capture.exclude_outbound_cidrs.count; i++) {
        const struct addr_prefix *prefix = &capture.exclude_outbound_cidrs.prefixes[i];
        size_t used = strlen(got);
        snprintf(got + used, sizeof got - used, "%s/%u ", addr_format(&prefix->ip, one),
                 prefix->bits);
    }
    CU_ASSERT_STRING_EQUAL(got, want);
}

static void ranges_lose_their_host_bits(void)
{
    check_prefixes("10.1.2.3/8", "10.0.0.0/8 ");
    check_prefixes("10.1.2.255/31", "10.1.2.254/31 ");
    check_prefixes("fd00::1234/64", "fd00::/64 ");
    check_prefixes("1.2.3.4/0", "0.0.0.0/0 ");
    check_prefixes("192.168.1.1", "192.168.1.1/32 ");
    check_prefixes("::1", "::1/128 ");
}

/* nftables refuses a set whose ranges overlap. */
static void a_range_inside_another_is_left_out(void)
{
    check_prefixes("10.1.0.0/16,10.0.0.0/8,10.2.0.0/16,10.1.0.0/16", "10.0.0.0/8 ");
    check_prefixes("fd00::/8, 10.0.0.0/8, 9.0.0.0/8, fd01::/16", "9.0.0.0/8 10.0.0.0/8 fd00::/8 ");
    check_prefixes("11.0.0.0/8,10.1.0.0/16,12.0.0.0/8,10.2.0.0/16,10.0.0.0/8",
                   "10.0.0.0/8 11.0.0.0/8 12.0.0.0/8 ");
}

static void a_range_that_is_none_is_refused_by_name(void)
{
    static const char *const bad[] = {"10.0.0.0/33", "fd00::/129",  "10.0.0/8",     "example.org",
                                      "10.0.0.0/",   "10.0.0.0/-1", "fe80::1%eth0", "[fd00::1]"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fresh();
        REFUSED_SAYING(capture_add_prefixes(&capture.exclude_outbound_cidrs, bad[i], &err), bad[i]);
    }
}

static void interfaces_are_sorted_and_merged(void)
{
    fresh();
    CU_ASSERT_EQUAL(
        capture_add_interfaces(&capture.exclude_interfaces, "net2,net1,net2,eth0.100", &err),
        ERR_OK);
    CU_ASSERT_EQUAL(capture.exclude_interfaces.count, 3);
    CU_ASSERT_STRING_EQUAL(capture.exclude_interfaces.names[0], "eth0.100");
    CU_ASSERT_STRING_EQUAL(capture.exclude_interfaces.names[2], "net2");
}

/* The name goes into a text that nftables parses. */
static void an_interface_name_cannot_carry_rules(void)
{
    static const char *const bad[] = {"a\"b", "net*",    "a b", "a;b",
                                      "x}",   "net/1",   "..",  "an_interface_that_is_long",
                                      "a\nb", "\xc3\xa4"};
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        fresh();
        REFUSED_SAYING(capture_add_interfaces(&capture.exclude_interfaces, bad[i], &err),
                       "not an interface");
    }
}

static void the_defaults_make_sense(void)
{
    fresh();
    CU_ASSERT_EQUAL(capture_check(&capture, &err), ERR_OK);
}

static void one_port_cannot_have_two_roles(void)
{
    fresh();
    capture.inbound_port = 15001;
    REFUSED_SAYING(capture_check(&capture, &err), "--outbound-port and --inbound-port");
    fresh();
    capture.health_port = 15006;
    REFUSED_SAYING(capture_check(&capture, &err), "--inbound-port and --health-port");
}

static void root_cannot_be_the_proxy(void)
{
    fresh();
    capture.proxy_uid = 0;
    REFUSED_SAYING(capture_check(&capture, &err), "--proxy-uid is 0");
}

static void the_listeners_cannot_be_excluded(void)
{
    fresh();
    capture_add_ports(&capture.exclude_inbound, "15006", &err);
    REFUSED_SAYING(capture_check(&capture, &err), "15006");
    fresh();
    capture_add_ports(&capture.exclude_outbound, "15006", &err);
    CU_ASSERT_EQUAL(capture_check(&capture, &err), ERR_OK);
}

static void a_port_cannot_be_both_included_and_excluded(void)
{
    fresh();
    capture_add_ports(&capture.include_inbound, "80,443", &err);
    capture_add_ports(&capture.exclude_inbound, "443", &err);
    REFUSED_SAYING(capture_check(&capture, &err), "port 443");
}

static void loopback_need_not_be_excluded(void)
{
    fresh();
    capture_add_interfaces(&capture.exclude_interfaces, "lo", &err);
    REFUSED_SAYING(capture_check(&capture, &err), "loopback");
}

static bool wants_outbound(const char *text)
{
    struct addr_port destination;
    CU_ASSERT_TRUE_FATAL(addr_port_parse(&destination, text));
    return capture_wants_outbound(&capture, &destination);
}

static void what_is_wanted_follows_the_lists(void)
{
    fresh();
    CU_ASSERT_TRUE(capture_wants_inbound(&capture, 80));
    CU_ASSERT_TRUE(capture_wants_inbound(&capture, 15006));
    CU_ASSERT_FALSE(capture_wants_inbound(&capture, 15020));
    CU_ASSERT_FALSE(capture_wants_inbound(&capture, 15021));
    CU_ASSERT_FALSE(wants_outbound("10.0.0.1:15020"));
    capture_add_ports(&capture.exclude_inbound, "22", &err);
    capture_add_ports(&capture.exclude_outbound, "3306", &err);
    capture_add_prefixes(&capture.exclude_outbound_cidrs, "10.9.0.0/16,fd09::/16", &err);
    CU_ASSERT_FALSE(capture_wants_inbound(&capture, 22));
    CU_ASSERT_FALSE(wants_outbound("10.0.0.1:3306"));
    CU_ASSERT_FALSE(wants_outbound("10.9.8.7:80"));
    CU_ASSERT_FALSE(wants_outbound("[fd09::1]:80"));
    CU_ASSERT_TRUE(wants_outbound("10.8.8.7:80"));
    CU_ASSERT_TRUE(wants_outbound("[fd08::1]:80"));
}

static void an_included_list_leaves_the_rest_alone(void)
{
    fresh();
    capture_add_ports(&capture.include_inbound, "80", &err);
    capture_add_prefixes(&capture.include_outbound_cidrs, "10.0.0.0/8", &err);
    CU_ASSERT_TRUE(capture_wants_inbound(&capture, 80));
    CU_ASSERT_FALSE(capture_wants_inbound(&capture, 81));
    CU_ASSERT_TRUE(capture_wants_inbound(&capture, 15001));
    CU_ASSERT_TRUE(wants_outbound("10.0.0.1:80"));
    CU_ASSERT_FALSE(wants_outbound("11.0.0.1:80"));
    CU_ASSERT_FALSE(wants_outbound("[fd00::1]:80"));
    capture_add_ports(&capture.include_outbound, "443", &err);
    CU_ASSERT_TRUE(wants_outbound("11.0.0.1:443"));
    CU_ASSERT_TRUE(wants_outbound("[fd00::1]:443"));
    CU_ASSERT_FALSE(wants_outbound("11.0.0.1:80"));
    capture_add_ports(&capture.exclude_outbound, "443", &err);
    CU_ASSERT_EQUAL(capture_check(&capture, &err), ERR_USAGE);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(err.text, "--include-outbound-ports and --exclude-outbound-port"));
}

int main(int argc, char **argv)
{
    const struct suite_case cases[] = {
        SUITE_CASE(a_port_list_is_sorted_and_merged),
        SUITE_CASE(an_empty_list_adds_nothing),
        SUITE_CASE(a_port_that_is_none_is_refused_by_name),
        SUITE_CASE(an_empty_entry_is_refused),
        SUITE_CASE(an_entry_of_great_length_is_refused),
        SUITE_CASE(a_list_has_a_ceiling),
        SUITE_CASE(ranges_lose_their_host_bits),
        SUITE_CASE(a_range_inside_another_is_left_out),
        SUITE_CASE(a_range_that_is_none_is_refused_by_name),
        SUITE_CASE(interfaces_are_sorted_and_merged),
        SUITE_CASE(an_interface_name_cannot_carry_rules),
        SUITE_CASE(the_defaults_make_sense),
        SUITE_CASE(one_port_cannot_have_two_roles),
        SUITE_CASE(root_cannot_be_the_proxy),
        SUITE_CASE(the_listeners_cannot_be_excluded),
        SUITE_CASE(a_port_cannot_be_both_included_and_excluded),
        SUITE_CASE(loopback_need_not_be_excluded),
        SUITE_CASE(what_is_wanted_follows_the_lists),
        SUITE_CASE(an_included_list_leaves_the_rest_alone),
        SUITE_END,
    };
    return suite_main("redirect/capture", cases, argc, argv);
}
