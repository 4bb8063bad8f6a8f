#include "base/err.h"

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include "suite.h"

static void a_sentence_and_its_code_are_kept(void)
{
    struct err err = {0};
    CU_ASSERT_EQUAL(err_set(&err, ERR_TLS_EXPIRED, "peer %s is %d days late", "a", 3),
                    ERR_TLS_EXPIRED);
    CU_ASSERT_EQUAL(err.code, ERR_TLS_EXPIRED);
    CU_ASSERT_EQUAL(err.sys, 0);
    CU_ASSERT_STRING_EQUAL(err.text, "peer a is 3 days late");
}

static void an_errno_of_either_sign_ends_the_sentence(void)
{
    struct err err = {0};
    CU_ASSERT_EQUAL(err_sys(&err, ERR_SYSTEM, -ENOENT, "open %s", "/x"), ERR_SYSTEM);
    CU_ASSERT_EQUAL(err.sys, ENOENT);
    CU_ASSERT_STRING_EQUAL(err.text, "open /x: No such file or directory");
}

static void wrapping_puts_context_in_front_and_keeps_code_and_errno(void)
{
    struct err err = {0};
    err_sys(&err, ERR_CONN_REFUSED, ECONNREFUSED, "connect to %s", "10.0.0.1:80");
    CU_ASSERT_EQUAL(err_wrap(&err, "inbound from %s", "10.0.0.7:1"), ERR_CONN_REFUSED);
    CU_ASSERT_EQUAL(err.sys, ECONNREFUSED);
    CU_ASSERT_STRING_EQUAL(err.text,
                           "inbound from 10.0.0.7:1: connect to 10.0.0.1:80: Connection refused");
}

static void a_sentence_may_be_made_from_itself(void)
{
    struct err err = {0};
    err_set(&err, ERR_INVALID, "inner");
    err_set(&err, ERR_NFT, "outer (%s)", err.text);
    CU_ASSERT_STRING_EQUAL(err.text, "outer (inner)");
    err_wrap(&err, "twice %s", err.text);
    CU_ASSERT_STRING_EQUAL(err.text, "twice outer (inner): outer (inner)");
}

static void long_sentences_are_cut_not_overrun(void)
{
    struct {
        struct err err;
        char guard[8];
    } both;
    char word[2 * ERR_TEXT_MAX];
    memset(&both, 'g', sizeof both);
    memset(word, 'x', sizeof word - 1);
    word[sizeof word - 1] = 0;
    err_sys(&both.err, ERR_SYSTEM, ENOENT, "%s", word);
    CU_ASSERT_EQUAL(strlen(both.err.text), ERR_TEXT_MAX - 1);
    err_wrap(&both.err, "%s", word);
    CU_ASSERT_EQUAL(strlen(both.err.text), ERR_TEXT_MAX - 1);
    CU_ASSERT_EQUAL(memcmp(both.guard, "gggggggg", 8), 0);
}

static void nobody_need_want_the_sentence(void)
{
    CU_ASSERT_EQUAL(err_set(NULL, ERR_BUSY, "x"), ERR_BUSY);
    CU_ASSERT_EQUAL(err_sys(NULL, ERR_SYSTEM, EIO, "x"), ERR_SYSTEM);
    CU_ASSERT_NOT_EQUAL(err_wrap(NULL, "x"), ERR_OK);
}

static void every_label_is_unique_and_a_metric_word(void)
{
    for (unsigned i = 0; i < ERR_COUNT_; i++) {
        const char *label = err_label((enum err_code)i);
        CU_ASSERT_EQUAL(strspn(label, "abcdefghijklmnopqrstuvwxyz0123456789_"), strlen(label));
        CU_ASSERT(strlen(err_sentence((enum err_code)i)) > 0);
        for (unsigned j = 0; j < i; j++)
            CU_ASSERT_STRING_NOT_EQUAL(label, err_label((enum err_code)j));
    }
    CU_ASSERT_STRING_EQUAL(err_label(ERR_COUNT_), "unknown");
    CU_ASSERT_STRING_EQUAL(err_sentence((enum err_code) - 1), "unknown error");
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(a_sentence_and_its_code_are_kept),
        SUITE_CASE(an_errno_of_either_sign_ends_the_sentence),
        SUITE_CASE(wrapping_puts_context_in_front_and_keeps_code_and_errno),
        SUITE_CASE(a_sentence_may_be_made_from_itself),
        SUITE_CASE(long_sentences_are_cut_not_overrun),
        SUITE_CASE(nobody_need_want_the_sentence),
        SUITE_CASE(every_label_is_unique_and_a_metric_word),
        SUITE_END,
    };
    return suite_main("base_err", cases, argc, argv);
}
