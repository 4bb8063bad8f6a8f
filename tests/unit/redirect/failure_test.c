#include "redirect/failure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "suite.h"

/* A kernel without one part: every script that has the word fails. */
struct kernel {
    const char *missing;
    int sys;
    unsigned attempts;
};

static int attempt(void *arg, const char *script)
{
    struct kernel *kernel = arg;
    kernel->attempts++;
    return kernel->missing && strstr(script, kernel->missing) ? kernel->sys : 0;
}

static struct err err;

static enum err_code explain(struct kernel *kernel, bool net_admin, const char *message)
{
    struct failure failure = {.tried = "change the rules",
                              .message = message,
                              .net_admin = net_admin,
                              .attempt = attempt,
                              .arg = kernel};
    memset(&err, 0, sizeof err);
    return failure_explain(&failure, &err);
}

#define SAYS(words) CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words))
#define ENOENT_MESSAGE                                                                             \
    "Error: Could not process rule: No such file or directory\nadd rule ...\n^^^\n"

static void the_errno_is_read_from_the_message(void)
{
    CU_ASSERT_EQUAL(failure_errno("Error: Could not process rule: Operation not supported\n"),
                    EOPNOTSUPP);
    CU_ASSERT_EQUAL(failure_errno(ENOENT_MESSAGE), ENOENT);
    CU_ASSERT_EQUAL(failure_errno("Error: syntax error, unexpected newline\n"), 0);
}

static void a_missing_capability_is_named_with_the_fix(void)
{
    struct kernel kernel = {0};
    CU_ASSERT_EQUAL(explain(&kernel, false, "Operation not permitted"), ERR_PERMISSION);
    SAYS("CAP_NET_ADMIN");
    SAYS("add NET_ADMIN");
    CU_ASSERT_EQUAL(err.sys, EPERM);
    CU_ASSERT_EQUAL(kernel.attempts, 0);
}

static void a_capability_that_does_not_reach_is_told_apart(void)
{
    struct kernel kernel = {0};
    CU_ASSERT_EQUAL(explain(&kernel, true, "Operation not permitted"), ERR_PERMISSION);
    SAYS("user namespace");
}

static void expect_module(const char *missing_word, int sys, const char *module)
{
    struct kernel kernel = {.missing = missing_word, .sys = sys};
    char modprobe[80];
    snprintf(modprobe, sizeof modprobe, "`modprobe %s`", module);
    CU_ASSERT_EQUAL(explain(&kernel, true, ENOENT_MESSAGE), ERR_NFT_MODULE);
    SAYS(modprobe);
    CU_ASSERT_EQUAL(err.sys, sys);
}

static void each_missing_module_is_named(void)
{
    expect_module("add table", EAFNOSUPPORT, "nf_tables");
    expect_module("type nat", EOPNOTSUPP, "nft_chain_nat");
    expect_module("redirect", ENOENT, "nft_redir");
    expect_module("fib", ENOENT, "nft_fib_inet");
    expect_module("counter", ENOENT, "nft_counter");
}

static void an_answer_that_nobody_foresaw_is_quoted_in_one_line(void)
{
    struct kernel kernel = {0};
    CU_ASSERT_EQUAL(explain(&kernel, true,
                            "Error: Could not process rule: Device or resource busy\n"
                            "table inet handfast {\n"),
                    ERR_NFT);
    SAYS("said \"Could not process rule: Device or resource busy\"");
    CU_ASSERT_PTR_NULL(strchr(err.text, '\n'));
    CU_ASSERT_EQUAL(err.sys, EBUSY);
}

static void enoent_with_every_module_present_is_not_blamed_on_a_module(void)
{
    struct kernel kernel = {0};
    CU_ASSERT_EQUAL(explain(&kernel, true, ENOENT_MESSAGE), ERR_NFT);
    CU_ASSERT(kernel.attempts > 4);
}

static void a_silent_failure_still_has_a_sentence(void)
{
    struct kernel kernel = {0};
    CU_ASSERT_EQUAL(explain(&kernel, true, ""), ERR_NFT);
    SAYS("said \"nothing\"");
}

int main(int argc, char **argv)
{
    const struct suite_case cases[] = {
        SUITE_CASE(the_errno_is_read_from_the_message),
        SUITE_CASE(a_missing_capability_is_named_with_the_fix),
        SUITE_CASE(a_capability_that_does_not_reach_is_told_apart),
        SUITE_CASE(each_missing_module_is_named),
        SUITE_CASE(an_answer_that_nobody_foresaw_is_quoted_in_one_line),
        SUITE_CASE(enoent_with_every_module_present_is_not_blamed_on_a_module),
        SUITE_CASE(a_silent_failure_still_has_a_sentence),
        SUITE_END,
    };
    return suite_main("redirect/failure", cases, argc, argv);
}
