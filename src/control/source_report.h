/* What is wrong with a mesh file: at most SOURCE_PROBLEMS_MAX sentences, each with its place. One
 * thread. */
#ifndef SOURCE_REPORT_H
#define SOURCE_REPORT_H

#include <stdbool.h>

#include "base/err.h"

enum { SOURCE_PROBLEMS_MAX = 20, SOURCE_PROBLEM_TEXT_MAX = 400 };

struct source_problem {
    bool warning;          /* the file can be used all the same */
    unsigned line, column; /* from 1, columns in characters; 0, 0: the file as a whole */
    char text[SOURCE_PROBLEM_TEXT_MAX]; /* "addresses: found "10.0.0.300", expected ..." */
};

/* A zeroed one is empty. */
struct source_report {
    struct source_problem items[SOURCE_PROBLEMS_MAX];
    unsigned count;            /* of items */
    unsigned errors, warnings; /* all, also those for which there was no room */
};

/* Adds a problem; nothing is kept beyond SOURCE_PROBLEMS_MAX, but it counts. */
void source_report_error(struct source_report *report, unsigned line, unsigned column,
                         const char *format, ...) __attribute__((format(printf, 4, 5)));
void source_report_warning(struct source_report *report, unsigned line, unsigned column,
                           const char *format, ...) __attribute__((format(printf, 4, 5)));
/* Puts the problems in the order of the file. */
void source_report_sort(struct source_report *report);

enum { SOURCE_LINE_MAX = 1024 };

/* "mesh.yaml:7:14: addresses: found ..., expected ..." (a warning says so); returns `text`. */
const char *source_report_line(const struct source_problem *problem, const char *file,
                               char text[SOURCE_LINE_MAX]);
/* ERR_MESH_FILE with the first error's line and how many more there are. */
enum err_code source_report_err(const struct source_report *report, const char *file,
                                struct err *err);

#endif
