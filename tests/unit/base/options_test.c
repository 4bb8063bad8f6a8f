#include "base/options.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "suite.h"

enum { ENV_MAX_WORDS = 12 };

static bool flag;
static const char *name, *file_name;
static int64_t port;
static char seen[64];

static enum err_code remember(void *arg, const char *value, struct err *err)
{
    if (strcmp(value, "bad") == 0)
        return err_set(err, ERR_INVALID, "'%s' is no good", value);
    strcat(strcat(seen, arg), value);
    return ERR_OK;
}

static char separator[] = "+";
static const struct option_spec specs[] = {
    OPT_FLAG("json", &flag, "as JSON"),
    OPT_STR("name", "NAME", &name, "OPTIONS_TEST_NAME", "a name"),
    OPT_INT("port", "PORT", &port, 1, 65535, "OPTIONS_TEST_PORT", "a port"),
    OPT_CALL("add", "WORD", remember, separator, "add a word"),
    {.name = "file",
     .letter = 'f',
     .value = "FILE",
     .help = "a file",
     .kind = OPTION_STR,
     .to.str = &file_name},
    OPT_END,
};

/* Parses from fresh targets; words end with NULL. */
static enum err_code parse(const char *const *words, const char **free_words, unsigned *count,
                           struct err *err)
{
    char *argv[ENV_MAX_WORDS];
    int argc = 0;
    static char store[ENV_MAX_WORDS][64];
    flag = false;
    name = "default";
    port = 80;
    seen[0] = 0;
    argv[argc++] = strcpy(store[0], "program");
    for (; *words; words++, argc++)
        argv[argc] = strcpy(store[argc], *words);
    return options_parse(specs, argc, argv, free_words, count, err);
}
#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void values_follow_a_blank_or_an_equals_sign(void)
{
    CU_ASSERT_EQUAL(parse(WORDS("--json", "--name", "a", "--port=8080"), NULL, NULL, NULL), ERR_OK);
    CU_ASSERT(flag);
    CU_ASSERT_STRING_EQUAL(name, "a");
    CU_ASSERT_EQUAL(port, 8080);
    CU_ASSERT_EQUAL(parse(WORDS("--name=", "--name=--json"), NULL, NULL, NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(name, "--json");
    CU_ASSERT_FALSE(flag);
}

static void a_letter_is_short_for_its_option_and_other_dashes_are_words(void)
{
    const char *words[2] = {NULL, NULL};
    unsigned count = 2;
    file_name = NULL;
    CU_ASSERT_EQUAL(parse(WORDS("-f", "-"), NULL, NULL, NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(file_name, "-");
    CU_ASSERT_EQUAL(parse(WORDS("--file=b"), NULL, NULL, NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(file_name, "b");
    CU_ASSERT_EQUAL(parse(WORDS("-", "-ff", "--", "-f"), words, &count, NULL), ERR_USAGE);
    CU_ASSERT_EQUAL(parse(WORDS("-", "--", "-f"), words, &count, NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(words[1], "-f");
    CU_ASSERT_EQUAL(parse(WORDS("-f"), NULL, NULL, NULL), ERR_USAGE);
}

static void options_left_out_keep_their_defaults(void)
{
    CU_ASSERT_EQUAL(parse((const char *const[]){NULL}, NULL, NULL, NULL), ERR_OK);
    CU_ASSERT(!flag && port == 80 && strcmp(name, "default") == 0);
}

static void a_callback_is_called_for_every_time(void)
{
    CU_ASSERT_EQUAL(parse(WORDS("--add", "a", "--add=b"), NULL, NULL, NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(seen, "+a+b");
}

static void what_is_wrong_is_a_sentence_and_a_usage_error(void)
{
    static const struct {
        const char *words[3];
        const char *sentence;
    } rows[] = {
        {{"--nope"}, "unknown option '--nope'"},
        {{"--jso"}, "unknown option '--jso'"},
        {{"--json=1"}, "--json takes no value"},
        {{"--port"}, "--port needs a value (PORT)"},
        {{"--port", "0"}, "--port: '0' is not a number from 1 to 65535"},
        {{"--port", "65536"}, "--port: '65536' is not a number"},
        {{"--port", "80x"}, "--port: '80x' is not a number"},
        {{"--port="}, "--port: '' is not a number"},
        {{"--port", "99999999999999999999"}, "is not a number"},
        {{"--add", "bad"}, "--add: 'bad' is no good"},
        {{"word"}, "unexpected argument 'word'"},
        {{"-j"}, "unexpected argument '-j'"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct err err = {0};
        CU_ASSERT_EQUAL(parse(rows[i].words, NULL, NULL, &err), ERR_USAGE);
        CU_ASSERT_EQUAL(err.code, ERR_USAGE);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, rows[i].sentence));
    }
}

static void words_are_collected_up_to_their_number(void)
{
    const char *words[2] = {NULL, NULL};
    unsigned count = 2;
    CU_ASSERT_EQUAL(parse(WORDS("a", "--json", "--", "--port"), words, &count, NULL), ERR_OK);
    CU_ASSERT_EQUAL(count, 2);
    CU_ASSERT_STRING_EQUAL(words[0], "a");
    CU_ASSERT_STRING_EQUAL(words[1], "--port");
    CU_ASSERT(flag);
    count = 1;
    CU_ASSERT_EQUAL(parse(WORDS("a", "b"), words, &count, NULL), ERR_USAGE);
}

static void the_environment_is_read_and_the_command_line_wins(void)
{
    struct err err = {0};
    setenv("OPTIONS_TEST_NAME", "from-env", 1);
    setenv("OPTIONS_TEST_PORT", "99", 1);
    CU_ASSERT_EQUAL(parse(WORDS("--name", "argv"), NULL, NULL, NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(name, "argv");
    CU_ASSERT_EQUAL(port, 99);
    setenv("OPTIONS_TEST_PORT", "many", 1);
    CU_ASSERT_EQUAL(parse(WORDS("--json"), NULL, NULL, &err), ERR_USAGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "OPTIONS_TEST_PORT: 'many' is not a number"));
    setenv("OPTIONS_TEST_PORT", "", 1);
    CU_ASSERT_EQUAL(parse(WORDS("--json"), NULL, NULL, &err), ERR_OK);
    CU_ASSERT_EQUAL(port, 80);
    unsetenv("OPTIONS_TEST_NAME");
    unsetenv("OPTIONS_TEST_PORT");
}

static bool wants_help(char *word, char *more)
{
    char program[] = "program";
    char *argv[] = {program, word, more, NULL};
    return options_want_help(3, argv);
}

static void help_is_asked_for_before_two_dashes_only(void)
{
    char help[] = "--help", short_help[] = "-h", dashes[] = "--", other[] = "x";
    CU_ASSERT(wants_help(other, help));
    CU_ASSERT(wants_help(short_help, other));
    CU_ASSERT_FALSE(wants_help(dashes, help));
    CU_ASSERT_FALSE(wants_help(other, other));
}

static void help_shows_values_defaults_and_environment(void)
{
    char text[1024] = "";
    FILE *file = tmpfile();
    fflush(stdout);
    int saved = dup(1);
    parse((const char *const[]){NULL}, NULL, NULL, NULL);
    dup2(fileno(file), 1);
    options_print(specs);
    fflush(stdout);
    dup2(saved, 1);
    close(saved);
    CU_ASSERT(pread(fileno(file), text, sizeof text - 1, 0) > 0);
    fclose(file);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "  --json                         as JSON\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "  --name NAME                    a name (default default) "
                                        "[$OPTIONS_TEST_NAME]\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "a port (default 80) [$OPTIONS_TEST_PORT]\n"));
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(values_follow_a_blank_or_an_equals_sign),
        SUITE_CASE(a_letter_is_short_for_its_option_and_other_dashes_are_words),
        SUITE_CASE(options_left_out_keep_their_defaults),
        SUITE_CASE(a_callback_is_called_for_every_time),
        SUITE_CASE(what_is_wrong_is_a_sentence_and_a_usage_error),
        SUITE_CASE(words_are_collected_up_to_their_number),
        SUITE_CASE(the_environment_is_read_and_the_command_line_wins),
        SUITE_CASE(help_is_asked_for_before_two_dashes_only),
        SUITE_CASE(help_shows_values_defaults_and_environment),
        SUITE_END,
    };
    return suite_main("base_options", cases, argc, argv);
}
