#include "cli/manifest_yaml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/manifest_scalar.h"
#include "suite.h"

/* The document as compact JSON, or the error's sentence behind a "!"; malloc'd. */
static char *parse(const char *text)
{
    json_t *root;
    struct err err;
    if (manifest_parse(&root, text, strlen(text), 1, &err) != ERR_OK) {
        char *sentence = NULL;
        CU_ASSERT(asprintf(&sentence, "!%s", err.text) > 0);
        return sentence;
    }
    char *json = root ? json_dumps(root, JSON_COMPACT | JSON_ENCODE_ANY) : strdup("nothing");
    json_decref(root);
    return json;
}

static void expect(const char *text, const char *json)
{
    char *got = parse(text);
    if (strcmp(got, json) != 0)
        printf("\n%s: %s\n", text, got);
    CU_ASSERT_STRING_EQUAL(got, json);
    free(got);
}

static void expect_refused(const char *text, const char *part)
{
    char *got = parse(text);
    if (*got != '!' || !strstr(got, part))
        printf("\n%s: %s\n", text, got);
    CU_ASSERT(*got == '!' && strstr(got, part));
    free(got);
}

static void plain_words_mean_what_they_mean_to_kubernetes(void)
{
    static const char *const rows[][2] = {
        {"[a, 'true', \"5\", web:1]", "[\"a\",\"true\",\"5\",\"web:1\"]"},
        {"[true, yes, On, y, false, NO, off, n]", "[true,true,true,true,false,false,false,false]"},
        {"[tRUE, yEs, Y]", "[\"tRUE\",\"yEs\",true]"},
        {"[~, null, Null, '', ]", "[null,null,null,\"\"]"},
        {"a:", "{\"a\":null}"},
        {"[5, -5, +5, 0x1F, 0b11, 0o17, 017, 1_000]", "[5,-5,5,31,3,15,15,1000]"},
        {"[9223372036854775807, -1]", "[9223372036854775807,-1]"},
        {"[1.5, -.5, 1., 1e3, 1E-1]", "[1.5,-0.5,1.0,1000.0,0.10000000000000001]"},
        {"[1.2.3, 1e, 0x, 5m, 64Mi, 10.0.0.1, -, +, ., 1:30, 2001-01-01, 08]",
         "[\"1.2.3\",\"1e\",\"0x\",\"5m\",\"64Mi\",\"10.0.0.1\",\"-\",\"+\",\".\",\"1:30\","
         "\"2001-01-01\",8.0]"},
        {"[!!str 5, !!str true, &a !!str 7, 8]", "[\"5\",\"true\",\"7\",8]"},
        {"\xc3\xa9: [!!str 5, \xc3\xa9]", "{\"\xc3\xa9\":[\"5\",\"\xc3\xa9\"]}"},
        {"{1: a, true: b, ~: c, 1.5: d}",
         "{\"1\":\"a\",\"true\":\"b\",\"null\":\"c\",\"1.5\":\"d\"}"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        expect(rows[i][0], rows[i][1]);
}

static void structure_anchors_and_merges_are_followed(void)
{
    expect("a: &x {p: 1, q: 2}\nb: *x\n", "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"p\":1,\"q\":2}}");
    expect("a: &x {p: 1, q: 2}\nb:\n  <<: *x\n  q: 3\n",
           "{\"a\":{\"p\":1,\"q\":2},\"b\":{\"q\":3,\"p\":1}}");
    expect("a: &x {p: 1}\nb: &y {p: 2, r: 4}\nc: {<<: [*x, *y]}\n",
           "{\"a\":{\"p\":1},\"b\":{\"p\":2,\"r\":4},\"c\":{\"p\":1,\"r\":4}}");
    expect("t: |\n  one\n  two\nu: >-\n  one\n  two\n",
           "{\"t\":\"one\\ntwo\\n\",\"u\":\"one two\"}");
    expect("{\"json\": [1, {\"is\": \"yaml\"}]}", "{\"json\":[1,{\"is\":\"yaml\"}]}");
    expect("--- # with a mark\na: 1\n", "{\"a\":1}");
    expect("# nothing\n", "nothing");
    expect("", "nothing");
}

static void what_has_no_form_in_json_is_refused_with_its_line(void)
{
    expect_refused("a: 1\nb: .inf\n", "line 2: this value has no form in JSON");
    expect_refused("a: 1\na: 2\n", "line 2: the key 'a' is there twice");
    expect_refused("? [a]\n: 1\n", "line 1: a key is not a word");
    expect_refused("a: !!int '5'\n", "line 1: a tag of this kind is not known");
    expect_refused("a: !mine x\n", "line 1: a tag of this kind is not known");
    expect_refused("a: [1\n", "line 2: while parsing a flow sequence");
    expect_refused("a: *x\n", "found undefined alias");
    expect_refused("\ta: 1\n", "line 1: ");
    expect_refused("a: {<<: 5}\n", "<< is not followed by a mapping");
    expect_refused("a: \"\\0\"\n", "this value has no form in JSON");
    expect_refused("a: \xff\n", "line 1: ");
}

static void a_small_text_that_means_a_large_document_is_refused(void)
{
    char text[2000] = "a0: &a0 [x, x, x, x, x, x, x, x, x, x]\n";
    for (int i = 1; i < 9; i++)
        sprintf(text + strlen(text), "a%d: &a%d [*a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d, *a%d]\n",
                i, i, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1, i - 1);
    expect_refused(text, "too many values");
    expect_refused("a: &x [*x]\n", "nested too deeply");
    char deep[2 * MANIFEST_DEPTH_MAX + 3];
    memset(deep, '[', MANIFEST_DEPTH_MAX + 1);
    memset(deep + MANIFEST_DEPTH_MAX + 1, ']', MANIFEST_DEPTH_MAX + 1);
    deep[sizeof deep - 1] = 0;
    expect_refused(deep, "line 1: the document is nested too deeply");
}

static void what_is_written_is_read_as_it_was(void)
{
    static const char *const values[] = {
        "{\"a\": [1, -2, 1.5, true, false, null, \"\", {}, []]}",
        "[\"true\", \"yes\", \"y\", \"n\", \"off\", \"null\", \"~\", \"5\", \"1e3\", \"0x1f\", "
        "\"-\","
        " \"- a\", \"a: b\", \"a #b\", \"#c\", \"*x\", \"&x\", \"!x\", \"%x\", \"@x\", \"`x\", "
        "\"{}\","
        " \"[\", \" lead\", \"trail \", \"'\", \"\\\"\", \"\\\\\", \"<<\", \"=\", \"?\", \"? a\", "
        "\":\"]",
        "{\"multi\": \"one\\ntwo\\n\", \"keep\": \"one\\n\\n\\n\", \"none\": \"one\\ntwo\","
        " \"lead\": \"\\n one\", \"blank\": \"  one\\ntwo\", \"tab\": \"a\\tb\", \"cr\": "
        "\"a\\r\\nb\"}",
        "{\"\\u00e9\": \"\\u4e2d \\ud83d\\ude00\", \"nel\": \"a\\u0085b\", \"bom\": \"\\ufeffx\","
        " \"control\": \"a\\u0001b\"}",
        "{\"true\": 1, \"5\": 2, \"a b\": 3, \"\": 4, \"long\": "
        "\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa "
        "bbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbbb cccccccccccccccccccccccccccccccccc "
        "dd\"}",
        "[9223372036854775807, -9223372036854775807, 1e300, 0.1]",
        "[[[1], [2, [3]]], {\"a\": {\"b\": [{\"c\": 1, \"d\": [2]}]}}]",
    };
    for (unsigned i = 0; i < sizeof values / sizeof values[0]; i++) {
        json_t *value = json_loads(values[i], 0, NULL), *again = NULL;
        CU_ASSERT_PTR_NOT_NULL_FATAL(value);
        char *text = manifest_format(value);
        CU_ASSERT_PTR_NOT_NULL_FATAL(text);
        struct err err;
        enum err_code code = manifest_parse(&again, text, strlen(text), 1, &err);
        if (code != ERR_OK || !json_equal(value, again))
            printf("\n%s\n%s", code != ERR_OK ? err.text : "differs", text);
        CU_ASSERT_EQUAL(code, ERR_OK);
        CU_ASSERT(json_equal(value, again));
        free(text);
        json_decref(again);
        json_decref(value);
    }
}

static void what_is_written_is_what_a_person_would_write(void)
{
    json_t *value =
        json_loads("{\"kind\": \"Pod\", \"count\": 5, \"image\": \"web:1.2\", \"q\": \"5\","
                   " \"args\": [\"--a=b\", \"true\"], \"none\": [], \"empty\": {}}",
                   0, NULL);
    char *text = manifest_format(value);
    CU_ASSERT_STRING_EQUAL(text, "kind: Pod\ncount: 5\nimage: web:1.2\nq: \"5\"\nargs:\n- --a=b\n"
                                 "- \"true\"\nnone: []\nempty: {}\n");
    free(text);
    json_decref(value);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(plain_words_mean_what_they_mean_to_kubernetes),
        SUITE_CASE(structure_anchors_and_merges_are_followed),
        SUITE_CASE(what_has_no_form_in_json_is_refused_with_its_line),
        SUITE_CASE(a_small_text_that_means_a_large_document_is_refused),
        SUITE_CASE(what_is_written_is_read_as_it_was),
        SUITE_CASE(what_is_written_is_what_a_person_would_write),
        SUITE_END,
    };
    return suite_main("cli.manifest_yaml", cases, argc, argv);
}
