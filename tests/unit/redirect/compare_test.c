#include "redirect/compare.h"

#include <stdlib.h>
#include <string.h>

#include "suite.h"

/* Three rules, handles and counters as the kernel numbers and counts them. */
#define META                                                                                       \
    "{\"metainfo\": {\"version\": \"1\"}}, {\"table\": {\"family\": \"inet\", \"handle\": 1}}"
#define CHAIN(name, type, hook, prio)                                                              \
    ", {\"chain\": {\"name\": \"" name "\", \"handle\": 9, \"type\": \"" type                      \
    "\", \"hook\": \"" hook "\", \"prio\": " prio ", \"policy\": \"accept\"}}"
#define CHAINS                                                                                     \
    CHAIN("prerouting", "nat", "prerouting", "-100")                                               \
    CHAIN("input", "filter", "input", "0") CHAIN("output", "nat", "output", "-100")
#define RULE(handle, ports, packets)                                                               \
    ", {\"rule\": {\"table\": \"t\", \"chain\": \"output\", \"handle\": " handle                   \
    ", \"comment\": \"c\", \"expr\": [{\"match\": {\"right\": {\"set\": [" ports                   \
    "]}}}, {\"counter\": {\"packets\": " packets ", \"bytes\": 60}}, {\"accept\": null}]}}"
#define DOCUMENT(rest) "{\"nftables\": [" META rest "]}"

static const char text[] = "table inet t { # handle 10\n\tchain output { # handle 9\n"
                           "\t\tfirst rule # handle 10\n\t\tsecond rule # handle 11\n"
                           "\t\tthird rule # handle 12\n\t}\n}\n";

static struct listing found, expected;
static struct report report;

static void load(struct listing *listing, const char *json)
{
    struct err err;
    CU_ASSERT_EQUAL_FATAL(listing_parse(listing, json, text, &err), ERR_OK);
}

static unsigned compare(const char *found_json, const char *expected_json)
{
    report_init(&report);
    load(&found, found_json);
    load(&expected, expected_json);
    return compare_tables(&found, &expected, &report);
}

static void done(void)
{
    listing_deinit(&found);
    listing_deinit(&expected);
    report_deinit(&report);
}

static void counters_handles_and_the_order_of_a_set_do_not_count(void)
{
    CU_ASSERT_EQUAL(compare(DOCUMENT(CHAINS RULE("10", "80, 443", "7")),
                            DOCUMENT(CHAINS RULE("12", "443, 80", "0"))),
                    0);
    CU_ASSERT_EQUAL(report.difference_count, 0);
    CU_ASSERT_EQUAL(found.rules[0].packets, 7);
    CU_ASSERT_EQUAL(found.rules[0].bytes, 60);
    CU_ASSERT_STRING_EQUAL(found.rules[0].comment, "c");
    done();
}

static void a_lacking_rule_is_shown_as_text(void)
{
    CU_ASSERT_EQUAL(compare(DOCUMENT(CHAINS RULE("10", "80", "0")),
                            DOCUMENT(CHAINS RULE("10", "80", "0") RULE("11", "81", "0"))),
                    1);
    CU_ASSERT_STRING_EQUAL(report.differences[0], "chain output lacks: second rule");
    done();
}

static void a_rule_too_many_is_shown_as_text(void)
{
    CU_ASSERT_EQUAL(compare(DOCUMENT(CHAINS RULE("10", "80", "0") RULE("12", "80", "0")),
                            DOCUMENT(CHAINS RULE("10", "80", "0"))),
                    1);
    CU_ASSERT_STRING_EQUAL(report.differences[0], "chain output has besides: third rule");
    done();
}

static void a_changed_rule_is_both(void)
{
    CU_ASSERT_EQUAL(
        compare(DOCUMENT(CHAINS RULE("10", "80", "0")), DOCUMENT(CHAINS RULE("11", "81", "0"))), 2);
    done();
}

static void another_order_is_a_difference(void)
{
    CU_ASSERT_EQUAL(compare(DOCUMENT(CHAINS RULE("11", "81", "0") RULE("10", "80", "0")),
                            DOCUMENT(CHAINS RULE("10", "80", "0") RULE("11", "81", "0"))),
                    1);
    CU_ASSERT_PTR_NOT_NULL(strstr(report.differences[0], "rule 1 is 'second rule'"));
    done();
}

static void a_chain_on_another_hook_is_a_difference(void)
{
    static const char moved[] = DOCUMENT(CHAIN("prerouting", "nat", "prerouting", "-100") CHAIN(
        "input", "filter", "forward", "0") CHAIN("extra", "nat", "output", "-100"));
    CU_ASSERT_EQUAL(compare(moved, DOCUMENT(CHAINS)), 3);
    CU_ASSERT_STRING_EQUAL(report.differences[0],
                           "chain input is 'filter forward 0 accept', expected 'filter input 0 "
                           "accept'");
    CU_ASSERT_STRING_EQUAL(report.differences[1], "chain output is missing");
    CU_ASSERT_STRING_EQUAL(report.differences[2], "chain extra is not ours");
    done();
}

/* libnftables 1.0.6 writes arbitrary bytes into the JSON then. */
static void a_dormant_table_is_a_difference_whatever_the_json_holds(void)
{
    struct err err;
    report_init(&report);
    load(&expected, DOCUMENT(CHAINS));
    CU_ASSERT_EQUAL(
        listing_parse(&found, "\xff\xfe", "table inet t { # handle 1\n\tflags dormant\n}\n", &err),
        ERR_OK);
    CU_ASSERT_EQUAL(compare_tables(&found, &expected, &report), 1);
    CU_ASSERT_STRING_EQUAL(report.differences[0],
                           "the table has the flag dormant: its rules have no effect");
    done();
}

static void sets_that_are_not_ours_are_a_difference(void)
{
    CU_ASSERT_EQUAL(compare(DOCUMENT(CHAINS ", {\"set\": {\"name\": \"s\"}}"), DOCUMENT(CHAINS)),
                    1);
    done();
}

static void a_listing_of_another_shape_is_refused(void)
{
    static const char *const bad[] = {"", "[]", "{}", "{\"nftables\": 3}", "\xff"};
    struct err err;
    for (unsigned i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CU_ASSERT_EQUAL(listing_parse(&found, bad[i], "table inet t {\n}\n", &err), ERR_NFT);
}

static void many_differences_are_counted_not_listed(void)
{
    report_init(&report);
    for (unsigned i = 0; i < REPORT_DIFFERENCES_MAX + 5; i++)
        report_difference(&report, "difference %u", i);
    CU_ASSERT_EQUAL(report.difference_count, REPORT_DIFFERENCES_MAX);
    CU_ASSERT_EQUAL(report.differences_left_out, 5);
    report_deinit(&report);
}

static void one_failed_check_fails_the_report(void)
{
    report_init(&report);
    report_add(&report, "rules", REPORT_PROVEN, ERR_OK, "fine");
    report_add(&report, "outbound", REPORT_SKIPPED, ERR_OK, "no route");
    CU_ASSERT_EQUAL(report_code(&report), ERR_OK);
    report_add(&report, "inbound", REPORT_FAILED, ERR_CAPTURE_FAILED, "refused");
    CU_ASSERT_EQUAL(report_code(&report), ERR_CAPTURE_FAILED);
    report_deinit(&report);
}

int main(int argc, char **argv)
{
    const struct suite_case cases[] = {
        SUITE_CASE(counters_handles_and_the_order_of_a_set_do_not_count),
        SUITE_CASE(a_lacking_rule_is_shown_as_text),
        SUITE_CASE(a_rule_too_many_is_shown_as_text),
        SUITE_CASE(a_changed_rule_is_both),
        SUITE_CASE(another_order_is_a_difference),
        SUITE_CASE(a_chain_on_another_hook_is_a_difference),
        SUITE_CASE(a_dormant_table_is_a_difference_whatever_the_json_holds),
        SUITE_CASE(sets_that_are_not_ours_are_a_difference),
        SUITE_CASE(a_listing_of_another_shape_is_refused),
        SUITE_CASE(many_differences_are_counted_not_listed),
        SUITE_CASE(one_failed_check_fails_the_report),
        SUITE_END,
    };
    return suite_main("redirect/compare", cases, argc, argv);
}
