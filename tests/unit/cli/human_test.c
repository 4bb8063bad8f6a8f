#include "cli/human.h"

#include "suite.h"

static void durations_have_two_units_at_most(void)
{
    char text[HUMAN_TEXT_MAX];
    CU_ASSERT_STRING_EQUAL(human_duration(0, text), "0s");
    CU_ASSERT_STRING_EQUAL(human_duration(59, text), "59s");
    CU_ASSERT_STRING_EQUAL(human_duration(60, text), "1m");
    CU_ASSERT_STRING_EQUAL(human_duration(3599, text), "59m 59s");
    CU_ASSERT_STRING_EQUAL(human_duration(42720, text), "11h 52m");
    CU_ASSERT_STRING_EQUAL(human_duration(86400 + 59, text), "1d");
    CU_ASSERT_STRING_EQUAL(human_duration(-7325, text), "2h 2m");
}

static void ages_below_ten_seconds_have_a_tenth(void)
{
    char text[HUMAN_TEXT_MAX];
    CU_ASSERT_STRING_EQUAL(human_age(0, text), "0.0s");
    CU_ASSERT_STRING_EQUAL(human_age(1250, text), "1.2s");
    CU_ASSERT_STRING_EQUAL(human_age(10000, text), "10s");
}

static void sizes_are_in_the_largest_unit_that_fits(void)
{
    char text[HUMAN_TEXT_MAX];
    CU_ASSERT_STRING_EQUAL(human_bytes(1023, text), "1023 B");
    CU_ASSERT_STRING_EQUAL(human_bytes(1024, text), "1.0 KiB");
    CU_ASSERT_STRING_EQUAL(human_bytes(1048575, text), "1.0 MiB");
    CU_ASSERT_STRING_EQUAL(human_bytes(INT64_MAX, text), "8192.0 PiB");
}

static void moments_say_in_or_ago(void)
{
    char text[HUMAN_TEXT_MAX];
    CU_ASSERT_STRING_EQUAL(human_moment(100, 40, text), "in 1m");
    CU_ASSERT_STRING_EQUAL(human_moment(40, 100, text), "1m ago");
    CU_ASSERT_STRING_EQUAL(human_moment(40, 40, text), "in 0s");
}

static void counts_have_the_right_word(void)
{
    char text[HUMAN_TEXT_MAX];
    CU_ASSERT_STRING_EQUAL(human_count(1, "policy", "policies", text), "1 policy");
    CU_ASSERT_STRING_EQUAL(human_count(0, "policy", "policies", text), "0 policies");
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(durations_have_two_units_at_most),
        SUITE_CASE(ages_below_ten_seconds_have_a_tenth),
        SUITE_CASE(sizes_are_in_the_largest_unit_that_fits),
        SUITE_CASE(moments_say_in_or_ago),
        SUITE_CASE(counts_have_the_right_word),
        SUITE_END,
    };
    return suite_main("cli_human", cases, argc, argv);
}
