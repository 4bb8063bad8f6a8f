/* The shape of every unit test program: a list of named functions and an exit status that tells the
 * truth. */
#ifndef SUITE_H
#define SUITE_H

#include <CUnit/Basic.h>
#include <CUnit/CUnit.h>

struct suite_case {
    const char *name; /* a sentence: "verify_refuses_two_uri_sans" */
    void (*run)(void);
};

/* Runs `cases`, up to the one with a null name, and returns what main should return: 0 only when
 * every assertion held. A name given as argv[1] runs that case alone. CUnit's own runner reports
 * success with failed assertions. */
int suite_main(const char *suite, const struct suite_case *cases, int argc, char **argv);

#define SUITE_CASE(function)                                                                       \
    {                                                                                              \
#function, function                                                                        \
    }
#define SUITE_END                                                                                  \
    {                                                                                              \
        NULL, NULL                                                                                 \
    }

#endif
