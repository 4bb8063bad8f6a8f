#include "injector/settings.h"

#include <stdlib.h>
#include <string.h>

#include "suite.h"

/* Parses up to two words over the defaults and checks; the sentence, or "" when all is well. */
static const char *problem(const char *a, const char *b)
{
    static struct err err;
    struct settings settings;
    struct option_spec specs[SETTINGS_OPTIONS_MAX + 1];
    char program[] = "p", *argv[] = {program, strdup(a), strdup(b)};
    err = (struct err){0};
    CU_ASSERT_EQUAL_FATAL(settings_init(&settings, NULL), ERR_OK);
    unsigned count = settings_add_options(&settings, specs);
    specs[count] = (struct option_spec)OPT_END;
    if (options_parse(specs, *b ? 3 : 2, argv, NULL, NULL, &err) == ERR_OK)
        settings_check(&settings, &err);
    CU_ASSERT(err.code == ERR_OK || err.code == ERR_USAGE);
    settings_deinit(&settings);
    free(argv[1]);
    free(argv[2]);
    return err.text;
}

static void good_options_are_taken(void)
{
    CU_ASSERT_STRING_EQUAL(problem("--image=registry/handfast:1", "--kube-version=v1.34.4"), "");
    CU_ASSERT_STRING_EQUAL(problem("--exclude-outbound-ports", "3306,5432"), "");
    CU_ASSERT_STRING_EQUAL(problem("--proxy-log-level=debug", "--native-sidecar=false"), "");
}

static void bad_options_are_refused_by_name(void)
{
    static const struct {
        const char *a, *b, *sentence;
    } rows[] = {
        {"--image=", "", "--image is empty"},
        {"--trust-domain=", "", "--trust-domain is empty"},
        {"--image-pull-policy=Sometimes", "", "'Sometimes' is not Always, IfNotPresent or Never"},
        {"--proxy-log-format=xml", "", "'xml' is not text or json"},
        {"--kube-version=new", "", "'new' is not a version like 1.34"},
        {"--kube-version=1", "", "'1' is not a version"},
        {"--token-ttl-s=60", "", "is not a number from 600 to 86400"},
        {"--exclude-outbound-ports=all", "", "--exclude-outbound-ports: 'all' is not valid"},
        {"--proxy-memory=1Gi", "", "handfast.io/proxy-memory is 1Gi, which is more than"},
        {"--include-inbound-ports=80", "--exclude-inbound-ports=80", "both included and excluded"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        const char *sentence = problem(rows[i].a, rows[i].b);
        if (!strstr(sentence, rows[i].sentence))
            printf("\n%s: %s\n", rows[i].a, sentence);
        CU_ASSERT(strstr(sentence, rows[i].sentence) != NULL);
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(good_options_are_taken),
        SUITE_CASE(bad_options_are_refused_by_name),
        SUITE_END,
    };
    return suite_main("injector.settings", cases, argc, argv);
}
