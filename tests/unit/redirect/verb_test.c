#include "redirect/verb.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "suite.h"

static char said[8192];

/* `handfast-redirect word`; its exit status, and what went to stdout in `said`. */
static int run(const char *word)
{
    char *argv[] = {(char *)(uintptr_t) "handfast-redirect", (char *)(uintptr_t)word, NULL};
    FILE *file = tmpfile();
    fflush(stdout);
    int saved = dup(1);
    dup2(fileno(file), 1);
    int status = verb_main(2, argv);
    fflush(stdout);
    dup2(saved, 1);
    close(saved);
    ssize_t got = pread(fileno(file), said, sizeof said - 1, 0);
    said[got > 0 ? got : 0] = 0;
    fclose(file);
    return status;
}

static void the_version_needs_no_verb(void)
{
    CU_ASSERT_EQUAL(run("--version"), 0);
    CU_ASSERT_STRING_EQUAL(said, "handfast-redirect " HANDFAST_VERSION "\n");
}

static void the_help_names_verbs_and_version(void)
{
    CU_ASSERT_EQUAL(run("--help"), 0);
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "\n  apply "));
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "\n  verify "));
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "\n  remove "));
    CU_ASSERT_PTR_NOT_NULL(strstr(said, "--version"));
}

static void another_word_is_wrong_usage(void)
{
    CU_ASSERT_EQUAL(run("--versions"), 2);
    CU_ASSERT_STRING_EQUAL(said, "");
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(the_version_needs_no_verb),
        SUITE_CASE(the_help_names_verbs_and_version),
        SUITE_CASE(another_word_is_wrong_usage),
        SUITE_END,
    };
    return suite_main("redirect/verb", cases, argc, argv);
}
