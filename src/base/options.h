/* Command lines from a table: the same rows parse the options and print the help. Long options,
 * "--name value" or "--name=value", and a letter for those that people know by one; an option may
 * also be given in the environment. */
#ifndef OPTIONS_H
#define OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum option_kind { OPTION_FLAG, OPTION_STR, OPTION_INT, OPTION_CALL };

struct option_spec {
    const char *name;  /* without the dashes; NULL ends the table */
    char letter;       /* "-f VALUE" means the same; 0: there is none */
    const char *value; /* what the help calls the value, "PORT"; NULL for a flag */
    const char *help;  /* one line */
    const char *env;   /* environment variable read when the option is absent, or NULL */
    enum option_kind kind;
    union {
        bool *flag;
        const char **str; /* borrowed from argv or the environment */
        int64_t *integer;
        enum err_code (*call)(void *arg, const char *value, struct err *err); /* repeatable */
    } to;
    int64_t min, max; /* OPTION_INT */
    void *arg;        /* OPTION_CALL */
};

#define OPT_FLAG(n, target, h)                                                                     \
    {                                                                                              \
        .name = n, .help = h, .kind = OPTION_FLAG, .to.flag = (target)                             \
    }
#define OPT_STR(n, v, target, e, h)                                                                \
    {                                                                                              \
        .name = n, .value = v, .help = h, .env = e, .kind = OPTION_STR, .to.str = (target)         \
    }
#define OPT_INT(n, v, target, lo, hi, e, h)                                                        \
    {                                                                                              \
        .name = n, .value = v, .help = h, .env = e, .kind = OPTION_INT, .to.integer = (target),    \
        .min = lo, .max = hi                                                                       \
    }
#define OPT_CALL(n, v, function, a, h)                                                             \
    {                                                                                              \
        .name = n, .value = v, .help = h, .kind = OPTION_CALL, .to.call = (function), .arg = (a)   \
    }
#define OPT_END                                                                                    \
    {                                                                                              \
        .name = NULL                                                                               \
    }

/* Parses argv[1..argc-1]. Words that are not options go to words[0..*word_count-1] (borrowed; at
 * most *word_count on entry); pass NULL where none are allowed. "--help" is not handled here: see
 * options_want_help. ERR_USAGE. */
enum err_code options_parse(const struct option_spec *specs, int argc, char **argv,
                            const char **words, unsigned *word_count, struct err *err);

/* True when argv asks for help with --help or -h, before any "--". */
bool options_want_help(int argc, char **argv);

/* Prints the rows of the table to stdout, two columns, with defaults taken from the targets'
 * present values. */
void options_print(const struct option_spec *specs);

#endif
