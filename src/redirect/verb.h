/* The verbs of handfast-redirect. The table that dispatches also prints the help. */
#ifndef VERB_H
#define VERB_H

#include "redirect/capture.h"

struct verb_options {
    struct capture capture;
    bool json;
};

struct verb {
    const char *name;
    const char *help;
    bool takes_capture; /* the options that say what is captured */
    bool takes_json;
    enum err_code (*run)(const struct verb_options *options, struct err *err);
};

enum err_code verb_apply(const struct verb_options *options, struct err *err);
enum err_code verb_verify(const struct verb_options *options, struct err *err);
enum err_code verb_remove(const struct verb_options *options, struct err *err);

/* What main does: parses, runs, says what failed on stderr. Returns the exit status: 0, 1 when the
 * verb failed, 2 when the command line is not valid. */
int verb_main(int argc, char **argv);

#endif
