#include "kube/json.h"

#include <stdlib.h>
#include <string.h>

#include "suite.h"

static void nulls_in_texts_and_keys_become_replacement_characters(void)
{
    static const struct {
        const char *in, *out; /* NULL: refused */
    } rows[] = {
        {"{\"a\":\"x\\u0000y\"}", "{\"a\":\"x\xef\xbf\xbdy\"}"},
        {"{\"k\\u0000\":1,\"l\":[\"\\u0000\\u0000\"]}",
         "{\"k\xef\xbf\xbd\":1,\"l\":[\"\xef\xbf\xbd\xef\xbf\xbd\"]}"},
        /* A backslash, and then the letters. */
        {"[\"\\\\u0000\"]", "[\"\\\\u0000\"]"},
        {"[\"\\\\\\u0000\"]", "[\"\\\\\xef\xbf\xbd\"]"},
        {"[\"\\u0000", NULL},
        {"\\u0000", NULL},
        {"[\"\\u000\"]", NULL},
        {"", NULL},
        {"[1]", "[1]"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_error_t error = {.text = ""};
        size_t len = strlen(rows[i].in);
        char *exact = malloc(len ? len : 1); /* a read behind it is seen by AddressSanitizer */
        memcpy(exact, rows[i].in, len);
        json_t *value = kube_json_load(exact, len, &error);
        char *text = value ? json_dumps(value, JSON_COMPACT) : NULL;
        if (rows[i].out) {
            CU_ASSERT_PTR_NOT_NULL_FATAL(text);
            CU_ASSERT_STRING_EQUAL(text, rows[i].out);
        } else {
            CU_ASSERT_PTR_NULL(value);
            CU_ASSERT_NOT_EQUAL(error.text[0], 0);
        }
        free(text);
        free(exact);
        json_decref(value);
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(nulls_in_texts_and_keys_become_replacement_characters),
        SUITE_END,
    };
    return suite_main("kube/json", cases, argc, argv);
}
