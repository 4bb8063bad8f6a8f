/* Every kind of mistake that a mesh file can hold as text and as YAML, with its exact place. */
#include "control/source.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"
#include "yaml.h"

static void source_accepts_the_smallest_file(void)
{
    CU_ASSERT_STRING_EQUAL(yaml_problem("trust_domain: a\n"), "");
}

static void source_refuses_an_empty_file(void)
{
    EXPECT_PROBLEM("", "1:1", "found an empty file, expected a mapping");
    EXPECT_PROBLEM("# nothing\n", "1:1", "found an empty file");
}

static void source_refuses_what_is_not_a_mapping(void)
{
    EXPECT_PROBLEM("- a\n", "1:1", "found a list, expected the mesh, a mapping");
    EXPECT_PROBLEM("\n  text\n", "2:3", "found \"text\", expected the mesh");
}

static void source_refuses_bytes_that_are_not_utf8(void)
{
    EXPECT_PROBLEM("trust_domain: a\n# \xff\n", "2:3", "found the byte 0xff, expected UTF-8");
    EXPECT_PROBLEM("# \xc3\xa9 \xc0\xaf\n", "1:5", "found the byte 0xc0"); /* overlong */
    EXPECT_PROBLEM("# \xed\xa0\x80\n", "1:3", "found the byte 0xed");      /* a surrogate */
    EXPECT_PROBLEM("# \xf4\x90\x80\x80\n", "1:3", "found the byte 0xf4");  /* past U+10FFFF */
    EXPECT_PROBLEM("# \xe2\x82", "1:3", "found the byte 0xe2");            /* cut off */
}

static void source_takes_utf16_for_what_it_is(void)
{
    static const char utf16[] = "\xff\xfe"
                                "a\0:\0 \0b\0";
    CU_ASSERT_PTR_NOT_NULL(
        strstr(yaml_problem_bytes(utf16, sizeof utf16 - 1), "1:1: found the byte"));
}

static void source_refuses_control_characters(void)
{
    EXPECT_PROBLEM("trust_domain: a\x1b[31m\n", "1:16", "found the control character 0x1b");
    static const char with_null[] = "trust_domain: a\0b\n";
    CU_ASSERT_PTR_NOT_NULL(strstr(yaml_problem_bytes(with_null, sizeof with_null - 1),
                                  "1:16: found the control character 0x00"));
}

static void source_refuses_tabs_as_indentation(void)
{
    EXPECT_PROBLEM("trust_domain: a\nworkloads:\n\t- name: b\n", "3:1",
                   "found a tab, expected spaces");
    EXPECT_PROBLEM("trust_domain: a\nworkloads:\n  - name: b\n  \tnamespace: c\n", "4:3",
                   "found a tab, expected spaces");
}

static void source_counts_columns_in_characters(void)
{
    EXPECT_PROBLEM("trust_domain: a\nmtls: [{mode: strict, \"\xc3\xa9\xc3\xa9\": 1, x: 2}]\n",
                   "2:23", "found the key");
}

static void source_names_the_place_of_broken_yaml(void)
{
    EXPECT_PROBLEM("trust_domain: a\nworkloads: [\n", "3:1", "did not find expected");
    EXPECT_PROBLEM("trust_domain: \"a\n", "2:1", "unexpected end of stream");
    EXPECT_PROBLEM("trust_domain: a\nworkloads: b: c\n", "2:13", "not allowed in this context");
}

static void source_refuses_anchors_and_aliases(void)
{
    EXPECT_PROBLEM("trust_domain: &a b\n", "1:15", "found the anchor &a, expected none");
    EXPECT_PROBLEM("trust_domain: *a\n", "1:15", "found the alias *a, expected none");
    EXPECT_PROBLEM("workloads: &x [1]\n", "1:12", "found the anchor &x");
    EXPECT_PROBLEM("workloads: &x {a: 1}\n", "1:12", "found the anchor &x");
    /* The bomb of a billion laughs ends at its first anchor. */
    EXPECT_PROBLEM("a: &a [x,x,x]\nb: &b [*a,*a,*a]\nc: &c [*b,*b,*b]\n", "1:4", "anchor &a");
}

static void source_refuses_tags_and_further_documents(void)
{
    EXPECT_PROBLEM("trust_domain: !!binary aaaa\n", "1:15", "found the tag");
    EXPECT_PROBLEM("trust_domain: a\n---\ntrust_domain: b\n", "2:1", "found a second document");
}

static void source_refuses_keys_that_are_no_text(void)
{
    EXPECT_PROBLEM("? [a]\n: b\n", "1:3", "found a list as a key, expected a name");
    EXPECT_PROBLEM("trust_domain: a\n: b\n", "2:1", "did not find expected key");
}

static void source_refuses_a_key_twice(void)
{
    EXPECT_PROBLEM("trust_domain: a\ntrust_domain: b\n", "2:1",
                   "found the key \"trust_domain\" again, expected it once");
    EXPECT_PROBLEM("trust_domain: a\nmtls:\n  - {mode: strict, mode: permissive}\n", "3:20",
                   "found the key \"mode\" again");
}

static void source_refuses_unknown_keys_wherever_they_are(void)
{
    EXPECT_PROBLEM("trust_domian: a\n", "1:1", "found the key \"trust_domian\" in the mesh");
    EXPECT_PROBLEM("trust_domain: a\nworkload: []\n", "2:1",
                   "found the key \"workload\" in the mesh, expected trust_domain, workloads, "
                   "services, policies or mtls");
    EXPECT_PROBLEM("trust_domain: a\nworkloads:\n"
                   "  - {name: a, namespace: b, addresses: [10.0.0.1], label: {}}\n",
                   "3:52", "found the key \"label\" in a workload, expected name, namespace");
    EXPECT_PROBLEM("trust_domain: a\nservices:\n"
                   "  - {name: a, namespace: b, selector: {a: b}, ports: [{port: 1, name: x}]}\n",
                   "3:65", "found the key \"name\" in a service's port");
    EXPECT_PROBLEM("trust_domain: a\npolicies:\n"
                   "  - {name: a, action: allow, rules: [{from: [{principal: [b]}]}]}\n",
                   "3:47", "found the key \"principal\" in a source");
    EXPECT_PROBLEM("trust_domain: a\npolicies:\n"
                   "  - {name: a, action: allow, rules: [{to: [{port: [1]}]}]}\n",
                   "3:45", "found the key \"port\" in a destination");
    EXPECT_PROBLEM("trust_domain: a\npolicies:\n  - {name: a, action: allow, rules: [{when: 1}]}\n",
                   "3:39", "found the key \"when\" in a rule, expected from or to");
    EXPECT_PROBLEM("trust_domain: a\nmtls: [{mode: strict, port: 1}]\n", "2:23",
                   "found the key \"port\" in an mtls entry");
}

static void source_refuses_nesting_without_end(void)
{
    char deep[200] = "a: ";
    memset(deep + 3, '[', 100);
    EXPECT_PROBLEM(deep, "1:19", "found more than 16 levels inside each other");
    EXPECT_PROBLEM("a: {{{{", "1:5", "found a mapping as a key, expected a name");
}

static void source_refuses_a_file_that_is_too_large(void)
{
    size_t len = SOURCE_FILE_MAX + 1;
    char *large = malloc(len);
    CU_ASSERT_FATAL(large != NULL);
    memset(large, '\n', len);
    CU_ASSERT_PTR_NOT_NULL(strstr(yaml_problem_bytes(large, len),
                                  "0:0: found 8388609 bytes, expected at most 8388608"));
    free(large);
}

static void source_refuses_too_many_values(void)
{
    const size_t count = SOURCE_NODES_MAX, len = 3 + 4 * count;
    char *many = malloc(len);
    CU_ASSERT_FATAL(many != NULL);
    memcpy(many, "a:\n", 3);
    for (size_t i = 3; i < len; i += 4)
        memcpy(many + i, "- 1\n", 4);
    /* The mapping, its key and the list are values too. */
    CU_ASSERT_PTR_NOT_NULL(
        strstr(yaml_problem_bytes(many, len), "399999:3: found more than 400000 values"));
    free(many);
}

static void source_refuses_too_many_keys(void)
{
    char keys[257 * 8 + 64] = "";
    size_t used = 0;
    for (int i = 0; i < 257; i++)
        used += (size_t)snprintf(keys + used, sizeof keys - used, "k%03d: 1\n", i);
    EXPECT_PROBLEM(keys, "257:1", "found more than 256 keys in one mapping");
}

static void source_reports_every_mistake_up_to_twenty_in_order(void)
{
    struct source source;
    struct err err = {0};
    char text[4096] = "trust_domain: A\nworkloads:\n", line[SOURCE_LINE_MAX];
    for (int i = 0; i < 30; i++)
        strcat(text, "  - {name: _, namespace: b, addresses: [x]}\n");
    CU_ASSERT_EQUAL(source_parse(&source, "m.yaml", text, strlen(text), &err), ERR_MESH_FILE);
    CU_ASSERT_EQUAL(source.report.count, SOURCE_PROBLEMS_MAX);
    CU_ASSERT_EQUAL(source.report.errors, 61);
    CU_ASSERT_EQUAL(source.report.items[0].line, 1);
    CU_ASSERT_EQUAL(source.report.items[1].line, 3);
    CU_ASSERT_EQUAL(source.report.items[1].column, 12);
    CU_ASSERT_EQUAL(source.report.items[2].column, 41);
    CU_ASSERT_STRING_EQUAL(source_report_line(&source.report.items[2], "m.yaml", line),
                           "m.yaml:3:41: addresses: found \"x\", expected an IPv4 or IPv6 address");
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "m.yaml:1:15: trust_domain: found \"A\""));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "(and 60 more)"));
    source_deinit(&source);
}

static void source_cuts_what_it_repeats(void)
{
    char text[700] = "trust_domain: ";
    memset(text + 14, 'A', 600);
    text[614] = '\n';
    CU_ASSERT(strlen(yaml_problem(text)) < 260);
    EXPECT_PROBLEM(text, "1:15", "...\", expected a trust domain");
    EXPECT_PROBLEM("trust_domain: \"a\\eb\"\n", "1:15", "found \"a?b\"");
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(source_accepts_the_smallest_file),
        SUITE_CASE(source_refuses_an_empty_file),
        SUITE_CASE(source_refuses_what_is_not_a_mapping),
        SUITE_CASE(source_refuses_bytes_that_are_not_utf8),
        SUITE_CASE(source_takes_utf16_for_what_it_is),
        SUITE_CASE(source_refuses_control_characters),
        SUITE_CASE(source_refuses_tabs_as_indentation),
        SUITE_CASE(source_counts_columns_in_characters),
        SUITE_CASE(source_names_the_place_of_broken_yaml),
        SUITE_CASE(source_refuses_anchors_and_aliases),
        SUITE_CASE(source_refuses_tags_and_further_documents),
        SUITE_CASE(source_refuses_keys_that_are_no_text),
        SUITE_CASE(source_refuses_a_key_twice),
        SUITE_CASE(source_refuses_unknown_keys_wherever_they_are),
        SUITE_CASE(source_refuses_nesting_without_end),
        SUITE_CASE(source_refuses_a_file_that_is_too_large),
        SUITE_CASE(source_refuses_too_many_values),
        SUITE_CASE(source_refuses_too_many_keys),
        SUITE_CASE(source_reports_every_mistake_up_to_twenty_in_order),
        SUITE_CASE(source_cuts_what_it_repeats),
        SUITE_END,
    };
    return suite_main("control.source", cases, argc, argv);
}
