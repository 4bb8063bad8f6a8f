#include "base/options.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static enum err_code apply(const struct option_spec *spec, const char *value, const char *from,
                           struct err *err)
{
    switch (spec->kind) {
    case OPTION_FLAG:
        *spec->to.flag = true;
        return ERR_OK;
    case OPTION_STR:
        *spec->to.str = value;
        return ERR_OK;
    case OPTION_CALL:
        if (spec->to.call(spec->arg, value, err) == ERR_OK)
            return ERR_OK;
        err_wrap(err, "%s", from);
        return ERR_USAGE;
    case OPTION_INT:
        break;
    }
    char *end;
    errno = 0;
    long long number = strtoll(value, &end, 10);
    if (errno || end == value || *end || number < spec->min || number > spec->max)
        return err_set(err, ERR_USAGE, "%s: '%.60s' is not a number from %lld to %lld", from, value,
                       (long long)spec->min, (long long)spec->max);
    *spec->to.integer = number;
    return ERR_OK;
}

/* Whatever a callback found wrong, for the caller it is the command line. */
static enum err_code as_usage(struct err *err)
{
    if (err)
        err->code = ERR_USAGE;
    return ERR_USAGE;
}

static const struct option_spec *find(const struct option_spec *specs, const char *name, size_t len)
{
    for (; specs->name; specs++) {
        if (strlen(specs->name) == len && memcmp(specs->name, name, len) == 0)
            return specs;
    }
    return NULL;
}

/* "-f" of a row that has a letter; a number below zero, or "-", is a word. */
static const struct option_spec *find_letter(const struct option_spec *specs, const char *word)
{
    for (; specs->name; specs++) {
        if (specs->letter && word[0] == '-' && word[1] == specs->letter && word[2] == 0)
            return specs;
    }
    return NULL;
}

static enum err_code read_environment(const struct option_spec *specs, struct err *err)
{
    for (; specs->name; specs++) {
        const char *value = specs->env ? getenv(specs->env) : NULL;
        if (value && *value && apply(specs, value, specs->env, err) != ERR_OK)
            return as_usage(err);
    }
    return ERR_OK;
}

/* The row that `word` names, and the value behind its "=", or NULL. NULL: there is none. */
static const struct option_spec *find_option(const struct option_spec *specs, const char *word,
                                             const char **value)
{
    const struct option_spec *spec = find_letter(specs, word);
    *value = NULL;
    if (spec)
        return spec;
    size_t len = strcspn(word + 2, "=");
    if (word[2 + len] == '=')
        *value = word + 3 + len;
    return find(specs, word + 2, len);
}

/* Takes the option that argv[*i] is, and the word behind it if that is its value. */
static enum err_code take_option(const struct option_spec *specs, int argc, char **argv, int *i,
                                 struct err *err)
{
    char from[80];
    const char *value;
    const struct option_spec *spec = find_option(specs, argv[*i], &value);
    if (!spec)
        return err_set(err, ERR_USAGE, "unknown option '%.60s' (--help lists them)", argv[*i]);
    if (spec->kind == OPTION_FLAG && value)
        return err_set(err, ERR_USAGE, "--%s takes no value", spec->name);
    if (spec->kind != OPTION_FLAG && !value) {
        if (*i + 1 == argc)
            return err_set(err, ERR_USAGE, "--%s needs a value (%s)", spec->name, spec->value);
        value = argv[++*i];
    }
    snprintf(from, sizeof from, "--%s", spec->name);
    return apply(spec, value, from, err) == ERR_OK ? ERR_OK : as_usage(err);
}

enum err_code options_parse(const struct option_spec *specs, int argc, char **argv,
                            const char **words, unsigned *word_count, struct err *err)
{
    unsigned room = words ? *word_count : 0, used = 0;
    bool only_words = false;
    if (read_environment(specs, err) != ERR_OK)
        return ERR_USAGE;
    for (int i = 1; i < argc; i++) {
        const char *word = argv[i];
        if (!only_words && strcmp(word, "--") == 0) {
            only_words = true;
        } else if (!only_words && (strncmp(word, "--", 2) == 0 || find_letter(specs, word))) {
            if (take_option(specs, argc, argv, &i, err) != ERR_OK)
                return ERR_USAGE;
        } else if (used == room) {
            return err_set(err, ERR_USAGE, "unexpected argument '%.60s'", word);
        } else {
            words[used++] = word;
        }
    }
    if (word_count)
        *word_count = used;
    return ERR_OK;
}

bool options_want_help(int argc, char **argv)
{
    for (int i = 1; i < argc && strcmp(argv[i], "--") != 0; i++) {
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0)
            return true;
    }
    return false;
}

void options_print(const struct option_spec *specs)
{
    for (; specs->name; specs++) {
        char left[64];
        snprintf(left, sizeof left, "--%s%s%s", specs->name, specs->value ? " " : "",
                 specs->value ? specs->value : "");
        printf("  %-30s %s", left, specs->help);
        if (specs->letter)
            printf(" (-%c)", specs->letter);
        if (specs->kind == OPTION_INT)
            printf(" (default %lld)", (long long)*specs->to.integer);
        if (specs->kind == OPTION_STR && *specs->to.str)
            printf(" (default %s)", *specs->to.str);
        if (specs->env)
            printf(" [$%s]", specs->env);
        printf("\n");
    }
}
