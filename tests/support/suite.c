#include "suite.h"

#include <signal.h>
#include <stdio.h>
#include <string.h>

int suite_main(const char *suite, const struct suite_case *cases, int argc, char **argv)
{
    signal(SIGPIPE, SIG_IGN);
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 2;
    CU_pSuite group = CU_add_suite(suite, NULL, NULL);
    unsigned added = 0;
    for (; cases->name; cases++) {
        if (argc > 1 && strcmp(argv[1], cases->name) != 0)
            continue;
        if (!CU_add_test(group, cases->name, cases->run))
            return 2;
        added++;
    }
    if (added == 0) {
        fprintf(stderr, "%s: no test of that name\n", suite);
        return 2;
    }
    CU_basic_set_mode(CU_BRM_VERBOSE);
    CU_basic_run_tests();
    int failed = CU_get_number_of_failures() != 0 || CU_get_number_of_tests_run() != added;
    CU_cleanup_registry();
    return failed;
}
