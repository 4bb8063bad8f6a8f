#include "redirect/rules.h"

#include <stdlib.h>
#include <string.h>

#include "suite.h"

static struct capture capture;
static struct err err;

static char *format(bool detached)
{
    static char *text; /* static, or gcc 12 believes that it points to itself */
    CU_ASSERT_EQUAL_FATAL(rules_format(&capture, "handfast", detached, &text, &err), ERR_OK);
    return text;
}

/* The part of the text that is one chain. */
static char *chain_of(const char *name)
{
    char start[64];
    snprintf(start, sizeof start, "\tchain %s {\n", name);
    char *text = format(false), *at = strstr(text, start);
    CU_ASSERT_PTR_NOT_NULL_FATAL(at);
    char *chain = strndup(at, (size_t)(strstr(at, "\n\t}\n") - at));
    free(text);
    return chain;
}

static void expect_rule(const char *chain, const char *words, bool expected)
{
    char *text = chain_of(chain);
    CU_ASSERT_EQUAL(strstr(text, words) != NULL, expected);
    if ((strstr(text, words) != NULL) != expected)
        printf("\n%s: %s in\n%s\n", expected ? "missing" : "unexpected", words, text);
    free(text);
}

/* The first rule that matches decides. */
static void expect_order(const char *chain, const char *first, const char *second)
{
    char *text = chain_of(chain), *a = strstr(text, first), *b = strstr(text, second);
    CU_ASSERT_PTR_NOT_NULL(a);
    CU_ASSERT_PTR_NOT_NULL(b);
    CU_ASSERT(a < b);
    free(text);
}

static void the_transaction_replaces_the_table(void)
{
    static const char start[] = "add table inet handfast\n"
                                "delete table inet handfast\n"
                                "table inet handfast {\n";
    capture_init(&capture);
    char *text = format(false);
    CU_ASSERT_EQUAL(strncmp(text, start, sizeof start - 1), 0);
    free(text);
}

static void a_removal_succeeds_without_a_table(void)
{
    char *text = NULL;
    CU_ASSERT_EQUAL_FATAL(rules_format_removal("handfast", &text, &err), ERR_OK);
    CU_ASSERT_STRING_EQUAL(text, "add table inet handfast\ndelete table inet handfast\n");
    free(text);
}

static void detached_rules_differ_in_their_hooks_only(void)
{
    capture_init(&capture);
    char *attached = format(false), *detached = format(true);
    CU_ASSERT_PTR_NULL(strstr(detached, " hook "));
    char *at;
    while ((at = strstr(attached, "\t\ttype "))) {
        char *next = strchr(at, '\n') + 1;
        memmove(at, next, strlen(next) + 1);
    }
    CU_ASSERT_STRING_EQUAL(attached, detached);
    free(attached);
    free(detached);
}

static void the_ports_and_the_uid_are_those_of_the_options(void)
{
    capture_init(&capture);
    capture.outbound_port = 4001;
    capture.inbound_port = 4006;
    capture.metrics_port = 4021;
    capture.health_port = 4020;
    capture.proxy_uid = 4294967294;
    expect_rule("prerouting", "redirect to :4006", true);
    expect_rule("output", "redirect to :4001", true);
    expect_rule("output", "meta skuid 4294967294 counter accept", true);
    expect_rule("output", "meta skgid 4294967294 counter accept", true);
    expect_rule("prerouting", "tcp dport { 4020, 4021 } counter accept", true);
    expect_rule("output", "tcp dport { 4020, 4021 } counter accept", true);
    expect_rule("input", "tcp dport 4006 counter accept", true);
}

static void without_options_there_are_no_rules_for_them(void)
{
    capture_init(&capture);
    expect_rule("prerouting", "excluded", false);
    expect_rule("prerouting", "included", false);
    expect_rule("output", "excluded", false);
    expect_rule("output", "included", false);
}

static void exclusions_stand_before_the_redirect(void)
{
    capture_init(&capture);
    capture_add_ports(&capture.exclude_inbound, "22,9000", &err);
    capture_add_ports(&capture.exclude_outbound, "3306", &err);
    capture_add_prefixes(&capture.exclude_outbound_cidrs, "10.0.0.0/8,fd00::/8,192.168.0.1", &err);
    capture_add_interfaces(&capture.exclude_interfaces, "net1,net2", &err);
    expect_order("prerouting", "tcp dport { 22, 9000 } counter accept", "redirect to");
    expect_order("prerouting", "iifname { \"net1\", \"net2\" } counter accept", "redirect to");
    expect_order("output", "tcp dport { 3306 } counter accept", "redirect to");
    expect_order("output", "ip daddr { 10.0.0.0/8, 192.168.0.1/32 } counter accept", "redirect to");
    expect_order("output", "ip6 daddr { fd00::/8 } counter accept", "redirect to");
    expect_order("output", "oifname { \"net1\", \"net2\" } counter accept", "redirect to");
    expect_rule("prerouting", "3306", false);
    expect_rule("output", "9000", false);
}

/* What the redirect leaves alone must not be taken for something that slipped past it. */
static void the_guard_knows_every_inbound_exclusion(void)
{
    capture_init(&capture);
    capture_add_ports(&capture.exclude_inbound, "22", &err);
    capture_add_interfaces(&capture.exclude_interfaces, "net1", &err);
    expect_order("input", "tcp dport { 22 } counter accept", "drop");
    expect_order("input", "iifname { \"net1\" } counter accept", "drop");
    expect_order("input", "tcp dport { 15020, 15021 } counter accept", "drop");
    expect_order("input", "iifname \"lo\" accept", "drop");
}

/* 15001 from outside has to reach the inbound listener, which refuses it. */
static void included_ports_always_contain_the_listeners(void)
{
    capture_init(&capture);
    capture_add_ports(&capture.include_inbound, "80,15006", &err);
    expect_rule("prerouting", "tcp dport != { 15001, 15006, 80 } counter accept", true);
    expect_rule("input", "tcp dport != { 15001, 15006, 80 } counter accept", true);
}

static void included_ranges_of_one_family_leave_the_other_alone(void)
{
    capture_init(&capture);
    capture_add_prefixes(&capture.include_outbound_cidrs, "10.0.0.0/8", &err);
    expect_order("output", "ip daddr != { 10.0.0.0/8 } counter accept", "redirect to");
    expect_order("output", "meta nfproto ipv6 counter accept", "redirect to");
}

static void included_ports_are_captured_outside_of_the_included_ranges(void)
{
    capture_init(&capture);
    capture_add_ports(&capture.include_outbound, "443,80", &err);
    expect_rule("output", "443", false); /* everything is captured anyway */
    capture_add_prefixes(&capture.include_outbound_cidrs, "10.0.0.0/8", &err);
    expect_order("output", "tcp dport != { 80, 443 } ip daddr != { 10.0.0.0/8 } counter accept",
                 "redirect to");
    expect_order("output", "tcp dport != { 80, 443 } meta nfproto ipv6 counter accept",
                 "redirect to");
}

static void only_the_first_packet_of_a_connection_is_redirected(void)
{
    capture_init(&capture);
    expect_order("prerouting", "tcp flags & (fin | syn | rst | ack) != syn", "redirect to");
    expect_order("output", "tcp flags & (fin | syn | rst | ack) != syn", "redirect to");
}

static void forwarded_traffic_is_not_inbound(void)
{
    capture_init(&capture);
    expect_order("prerouting", "fib daddr type != local counter accept", "redirect to");
}

int main(int argc, char **argv)
{
    const struct suite_case cases[] = {
        SUITE_CASE(the_transaction_replaces_the_table),
        SUITE_CASE(a_removal_succeeds_without_a_table),
        SUITE_CASE(detached_rules_differ_in_their_hooks_only),
        SUITE_CASE(the_ports_and_the_uid_are_those_of_the_options),
        SUITE_CASE(without_options_there_are_no_rules_for_them),
        SUITE_CASE(exclusions_stand_before_the_redirect),
        SUITE_CASE(the_guard_knows_every_inbound_exclusion),
        SUITE_CASE(included_ports_always_contain_the_listeners),
        SUITE_CASE(included_ranges_of_one_family_leave_the_other_alone),
        SUITE_CASE(included_ports_are_captured_outside_of_the_included_ranges),
        SUITE_CASE(only_the_first_packet_of_a_connection_is_redirected),
        SUITE_CASE(forwarded_traffic_is_not_inbound),
        SUITE_END,
    };
    return suite_main("redirect/rules", cases, argc, argv);
}
