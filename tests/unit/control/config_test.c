#include "control/config.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "suite.h"

static enum err_code parse(struct config *config, const char *const *words, struct err *err)
{
    char *argv[8] = {(char *)(uintptr_t) "handfast-control"};
    int argc = 1;
    for (; words[argc - 1]; argc++)
        argv[argc] = (char *)(uintptr_t)words[argc - 1];
    return config_parse(config, argc, argv, err);
}
#define PARSE(config, err, ...) parse(config, (const char *const[]){__VA_ARGS__, NULL}, err)

static void what_is_missing_is_a_sentence(void)
{
    struct config config;
    struct err err = {0};
    CU_ASSERT_EQUAL(PARSE(&config, &err, "--state", "s"), ERR_USAGE);
    CU_ASSERT_STRING_EQUAL(err.text, "--mesh FILE is missing");
    CU_ASSERT_EQUAL(PARSE(&config, &err, "--mesh", "m"), ERR_USAGE);
    CU_ASSERT_STRING_EQUAL(err.text, "--state DIR is missing");
    CU_ASSERT_EQUAL(PARSE(&config, &err, "--mesh", "m", "--state", "s"), ERR_OK);
    CU_ASSERT_FALSE(config.version);
}

static void the_version_needs_nothing_else(void)
{
    struct config config;
    struct err err = {0};
    CU_ASSERT_EQUAL(PARSE(&config, &err, "--version"), ERR_OK);
    CU_ASSERT_TRUE(config.version);
}

static void the_help_has_every_default(void)
{
    static const char *const parts[] = {
        "--version ",
        "--log-format text|json         how log lines look (default text)\n",
        "--log-level LEVEL              error, warn, info or debug (default info)\n",
        "(default 15014)",
        "(default handfast)",
        "(default 0.0.0.0:15012 and [::]:15012)",
    };
    char text[8192] = "";
    FILE *file = tmpfile();
    fflush(stdout);
    int saved = dup(1);
    dup2(fileno(file), 1);
    config_print_help();
    fflush(stdout);
    dup2(saved, 1);
    close(saved);
    CU_ASSERT(pread(fileno(file), text, sizeof text - 1, 0) > 0);
    fclose(file);
    for (unsigned i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        CU_ASSERT_PTR_NOT_NULL(strstr(text, parts[i]));
        if (!strstr(text, parts[i]))
            printf("\nnot there: %s\nin:\n%s\n", parts[i], text);
    }
    /* What the help says of them by hand is what holds. */
    struct config config;
    config_defaults(&config);
    CU_ASSERT_EQUAL(config.log_format, LOG_FORMAT_TEXT);
    CU_ASSERT_EQUAL(config.log_level, LOG_LEVEL_INFO);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(what_is_missing_is_a_sentence),
        SUITE_CASE(the_version_needs_nothing_else),
        SUITE_CASE(the_help_has_every_default),
        SUITE_END,
    };
    return suite_main("control/config", cases, argc, argv);
}
