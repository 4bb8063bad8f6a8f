/* base64 both ways, and what is refused. */
#include "base/base64.h"

#include <stdlib.h>
#include <string.h>

#include "suite.h"

static void test_vectors_of_the_standard_go_both_ways(void)
{
    /* RFC 4648 section 10 */
    static const char *const table[][2] = {{"", ""},
                                           {"f", "Zg=="},
                                           {"fo", "Zm8="},
                                           {"foo", "Zm9v"},
                                           {"foob", "Zm9vYg=="},
                                           {"fooba", "Zm9vYmE="},
                                           {"foobar", "Zm9vYmFy"}};
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        char text[16], bytes[16];
        size_t len = 0;
        CU_ASSERT_EQUAL(base64_encode(table[i][0], strlen(table[i][0]), text), strlen(table[i][1]));
        CU_ASSERT_STRING_EQUAL(text, table[i][1]);
        CU_ASSERT_TRUE(base64_decode(text, strlen(text), bytes, &len));
        CU_ASSERT_EQUAL(len, strlen(table[i][0]));
        CU_ASSERT_TRUE(memcmp(bytes, table[i][0], len) == 0);
    }
}

static void every_length_fits_its_room(void)
{
    for (size_t len = 0; len < 70; len++) {
        uint8_t *bytes = malloc(len ? len : 1);
        for (size_t i = 0; i < len; i++)
            bytes[i] = (uint8_t)(255 - i * 7);
        char *text = malloc(BASE64_TEXT_SIZE(len));
        size_t text_len = base64_encode(bytes, len, text), back_len = 0;
        CU_ASSERT_EQUAL(text_len + 1, BASE64_TEXT_SIZE(len));
        uint8_t *back = malloc(BASE64_BYTES_SIZE(text_len));
        CU_ASSERT_TRUE(base64_decode(text, text_len, back, &back_len));
        CU_ASSERT_TRUE(back_len == len && memcmp(back, bytes, len) == 0);
        CU_ASSERT_TRUE(base64_decode(text, text_len, text, &back_len)); /* in place */
        CU_ASSERT_TRUE(back_len == len && memcmp(text, bytes, len) == 0);
        free(bytes);
        free(text);
        free(back);
    }
}

static void lines_are_joined(void)
{
    char bytes[16];
    size_t len = 0;
    CU_ASSERT_TRUE(base64_decode(" Zm9v\r\n\tYm\nFy \n", 15, bytes, &len));
    CU_ASSERT_TRUE(len == 6 && memcmp(bytes, "foobar", 6) == 0);
}

static void text_that_is_none_is_refused(void)
{
    static const char *const bad[] = {"Z",    "Zg",   "Zg=",      "Zg===",    "=",        "====",
                                      "Z===", "Zh==", "Zm9=",     "Zg==Zg==", "Zm9v=",    "Zm-v",
                                      "Zm_v", "Zm.v", "Zg==Zm9v", "Z=g=",     "Zm9v====", "Zm9v!"};
    char bytes[32];
    size_t len;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CU_ASSERT_FALSE(base64_decode(bad[i], strlen(bad[i]), bytes, &len));
    CU_ASSERT_FALSE(base64_decode("Zm\0v", 4, bytes, &len));
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(test_vectors_of_the_standard_go_both_ways),
        SUITE_CASE(every_length_fits_its_room),
        SUITE_CASE(lines_are_joined),
        SUITE_CASE(text_that_is_none_is_refused),
        SUITE_END,
    };
    return suite_main("base/base64", cases, argc, argv);
}
