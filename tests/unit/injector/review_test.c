#include "injector/review.h"

#include <stdlib.h>
#include <string.h>

#include "injector/document.h"
#include "kit.h"
#include "suite.h"

#define POD "{'metadata': {'name': 'p'}, 'spec': {'containers': [{'name': 'web'}]}}"
#define KIND "'kind': {'group': '', 'version': 'v1', 'kind': 'Pod'}"
#define REVIEW(request)                                                                            \
    "{'apiVersion': 'admission.k8s.io/v1', 'kind': 'AdmissionReview', 'request': " request "}"
#define REQUEST(more) REVIEW("{'uid': 'u-1', " KIND ", 'namespace': 'shop', " more "}")
#define CREATE(object) REQUEST("'operation': 'CREATE', 'object': " object)

static void ask_bytes(const char *text, size_t len, struct review_answer *answer)
{
    struct settings settings;
    CU_ASSERT_EQUAL_FATAL(settings_init(&settings, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(settings_check(&settings, NULL), ERR_OK);
    review_answer(text, len, &settings, answer);
    CU_ASSERT_FATAL(answer->body != NULL);
    bool known = false;
    for (unsigned i = 0; review_outcomes[i]; i++)
        known = known || strcmp(review_outcomes[i], answer->outcome) == 0;
    CU_ASSERT(known);
    settings_deinit(&settings);
}

/* `text` with ' for ". */
static void ask(const char *text, struct review_answer *answer)
{
    char *copy = strdup(text);
    for (char *at = copy; *at; at++)
        *at = *at == '\'' ? '"' : *at;
    ask_bytes(copy, strlen(copy), answer);
    free(copy);
}

static json_t *decode(const char *base64)
{
    size_t length = strlen(base64);
    char *text = calloc(1, length + 1);
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    size_t used = 0;
    for (size_t i = 0; i + 3 < length; i += 4) {
        unsigned long group = 0;
        for (int j = 0; j < 4; j++)
            group =
                group << 6 | (base64[i + j] == '='
                                  ? 0UL
                                  : (unsigned long)(strchr(alphabet, base64[i + j]) - alphabet));
        for (int j = 0; j < 3; j++)
            text[used++] = (char)(group >> (16 - 8 * j) & 0xff);
    }
    json_t *root = json_loads(text, 0, NULL);
    free(text);
    return root;
}

static void a_new_pod_is_allowed_with_a_patch(void)
{
    struct review_answer answer;
    struct inject_result direct;
    ask(CREATE(POD), &answer);
    CU_ASSERT_EQUAL(answer.status, 200);
    CU_ASSERT_STRING_EQUAL(answer.outcome, "injected");
    CU_ASSERT_STRING_EQUAL(kit_text(answer.body, "/apiVersion"), "admission.k8s.io/v1");
    CU_ASSERT_STRING_EQUAL(kit_text(answer.body, "/kind"), "AdmissionReview");
    CU_ASSERT_STRING_EQUAL(kit_text(answer.body, "/response/uid"), "u-1");
    CU_ASSERT(json_is_true(kit_at(answer.body, "/response/allowed")));
    CU_ASSERT_STRING_EQUAL(kit_text(answer.body, "/response/patchType"), "JSONPatch");
    CU_ASSERT_PTR_NULL(kit_at(answer.body, "/response/warnings"));
    CU_ASSERT_STRING_EQUAL(answer.ns, "shop");
    CU_ASSERT_STRING_EQUAL(answer.name, "p");
    json_t *patch = decode(kit_text(answer.body, "/response/patch"));
    kit_inject(POD, NULL, &direct);
    CU_ASSERT_EQUAL(json_array_size(patch), json_array_size(direct.patch));
    CU_ASSERT(json_array_size(patch) > 3);
    inject_result_deinit(&direct);
    json_decref(patch);
    review_answer_deinit(&answer);
}

static void a_refused_pod_is_told_why(void)
{
    struct review_answer answer;
    ask(CREATE("{'metadata': {'annotations': {'handfast.io/proxy-cpu': 'much'}}, 'spec':"
               " {'containers': [{'name': 'web'}]}}"),
        &answer);
    CU_ASSERT_EQUAL(answer.status, 200);
    CU_ASSERT_STRING_EQUAL(answer.outcome, "refused");
    CU_ASSERT(json_is_false(kit_at(answer.body, "/response/allowed")));
    CU_ASSERT_STRING_EQUAL(kit_text(answer.body, "/response/uid"), "u-1");
    CU_ASSERT_EQUAL(json_integer_value(kit_at(answer.body, "/response/status/code")), 422);
    CU_ASSERT_STRING_EQUAL(kit_text(answer.body, "/response/status/message"),
                           "annotation handfast.io/proxy-cpu: 'much' is not valid: expected "
                           "processors from 1m to 1000, such as 100m");
    CU_ASSERT_PTR_NULL(kit_at(answer.body, "/response/patch"));
    review_answer_deinit(&answer);
}

/* The table of answers to what is a review. */
static void everything_else_is_allowed_as_it_is(void)
{
    static const char injected[] =
        "{'metadata': {'annotations': {'handfast.io/status': '{}'}}, 'spec': {'containers':"
        " [{'name': 'web'}], 'initContainers': [{'name': 'handfast-proxy'}]}}";
    char twice[1000];
    snprintf(twice, sizeof twice, CREATE("%s"), injected);
    const struct {
        const char *text, *outcome, *warning;
    } rows[] = {
        {REQUEST("'operation': 'UPDATE', 'object': " POD), "not_a_creation", NULL},
        {REQUEST("'operation': 'DELETE'"), "not_a_creation", NULL},
        {REQUEST("'operation': 'CONNECT', 'subResource': 'exec'"), "not_a_creation", NULL},
        {REQUEST("'operation': 'CREATE', 'subResource': 'binding', 'object': {}"), "not_a_creation",
         NULL},
        {REQUEST("'operation': 'UPDATE', 'subResource': 'ephemeralcontainers', 'object': " POD),
         "not_a_creation", NULL},
        {REQUEST("'object': " POD), "not_a_creation", NULL},
        {REVIEW("{'uid': 'u-1', 'kind': {'group': 'apps', 'version': 'v1', 'kind': 'Deployment'},"
                " 'operation': 'CREATE', 'object': {}}"),
         "not_a_pod", "was asked about a Deployment"},
        {REVIEW("{'uid': 'u-1', 'kind': {'group': 'x', 'version': 'v1', 'kind': 'Pod'},"
                " 'operation': 'CREATE', 'object': {}}"),
         "not_a_pod", "was asked about a Pod"},
        {REVIEW("{'uid': 'u-1'}"), "not_a_pod", "was asked about a thing"},
        {twice, "already_injected", NULL},
        {CREATE("{'metadata': {'labels': {'handfast.io/inject': 'disabled'}}, 'spec':"
                " {'containers': [{'name': 'web'}]}}"),
         "opted_out", NULL},
        {CREATE("{'spec': {'hostNetwork': true, 'containers': [{'name': 'web'}]}}"), "host_network",
         "hostNetwork"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct review_answer answer;
        ask(rows[i].text, &answer);
        CU_ASSERT_EQUAL(answer.status, 200);
        CU_ASSERT_STRING_EQUAL(answer.outcome, rows[i].outcome);
        CU_ASSERT(json_is_true(kit_at(answer.body, "/response/allowed")));
        CU_ASSERT_STRING_EQUAL(kit_text(answer.body, "/response/uid"), "u-1");
        CU_ASSERT_PTR_NULL(kit_at(answer.body, "/response/patch"));
        const char *warning = kit_text(answer.body, "/response/warnings/0");
        CU_ASSERT(rows[i].warning ? strstr(warning, rows[i].warning) != NULL : !*warning);
        review_answer_deinit(&answer);
    }
}

static void a_creation_of_no_pod_is_refused(void)
{
    static const char *const objects[] = {"null", "[]", "'pod'", "{}", "{'spec': 5}"};
    for (unsigned i = 0; i < sizeof objects / sizeof objects[0]; i++) {
        struct review_answer answer;
        char text[500];
        snprintf(text, sizeof text, CREATE("%s"), objects[i]);
        ask(text, &answer);
        CU_ASSERT_EQUAL(answer.status, 200);
        CU_ASSERT(json_is_false(kit_at(answer.body, "/response/allowed")));
        CU_ASSERT_STRING_EQUAL(kit_text(answer.body, "/response/uid"), "u-1");
        review_answer_deinit(&answer);
    }
}

/* The table of answers to what is none. */
static void what_is_no_review_is_a_bad_request(void)
{
    static const struct {
        const char *text;
        unsigned status;
        const char *error;
    } rows[] = {
        {"", 400, "not JSON: line 1 column 0"},
        {"hello", 400, "not JSON: line 1 column 5"},
        {"{'a': 1} x", 400, "end of file expected"},
        {"{'a': 1, 'a': 2}", 400, "duplicate object key"},
        {CREATE("{'metadata': {}, 'metadata': {}}"), 400, "duplicate object key"},
        {CREATE("{'metadata': {'name': '\xff'}}"), 400, "unable to decode byte 0xff"},
        {CREATE("{'metadata': {'name': '\xc0\x80'}}"), 400, "unable to decode byte 0xc0"},
        {CREATE("{'metadata': {'name': '\xed\xa0\x80'}}"), 400, "unable to decode byte 0xed"},
        {CREATE("{'metadata': {'name': '\\u0000'}}"), 400, "\\u0000"},
        {CREATE("{'metadata': {'name': '\\ud800'}}"), 400, "not JSON"},
        {CREATE("{'a': 99999999999999999999}"), 400, "too big integer"},
        {"[]", 400,
         "expected apiVersion admission.k8s.io/v1 and kind AdmissionReview, found "
         "nothing and nothing"},
        {"null", 400, "not JSON"},
        {"{'apiVersion': 'v1', 'kind': 'Pod'}", 400, "found v1 and Pod"},
        {"{'apiVersion': 'admission.k8s.io/v1beta1', 'kind': 'AdmissionReview'}", 400,
         "found admission.k8s.io/v1beta1 and AdmissionReview"},
        {REVIEW("null"), 400, "has no request"},
        {REVIEW("[]"), 400, "has no request"},
        {REVIEW("{}"), 400, "has no uid"},
        {REVIEW("{'uid': ''}"), 400, "has no uid"},
        {REVIEW("{'uid': 7}"), 400, "has no uid"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct review_answer answer;
        ask(rows[i].text, &answer);
        bool as_expected = answer.status == rows[i].status &&
                           strstr(kit_text(answer.body, "/error"), rows[i].error);
        if (!as_expected)
            printf("\n%s: %u %s\n", rows[i].text, answer.status, kit_text(answer.body, "/error"));
        CU_ASSERT(as_expected);
        CU_ASSERT_STRING_EQUAL(answer.outcome, "malformed");
        review_answer_deinit(&answer);
    }
}

/* --- ceilings --------------------------------------------------------------------------------- */

static void expect_too_large(const char *text, size_t len, const char *part)
{
    struct review_answer answer;
    ask_bytes(text, len, &answer);
    CU_ASSERT_EQUAL(answer.status, 413);
    CU_ASSERT(strstr(kit_text(answer.body, "/error"), part) != NULL);
    review_answer_deinit(&answer);
}

static void nesting_bombs_and_floods_of_values_are_refused_unread(void)
{
    size_t len = DOCUMENT_MAX_BYTES;
    char *text = malloc(len + 1);
    memset(text, '[', len + 1);
    expect_too_large(text, len, "nested deeper than 64");
    expect_too_large(text, len + 1, "more than 3145728");
    for (size_t i = 0; i < len / 3; i++)
        memcpy(text + 3 * i, i ? "],[" : "[1[", 3);
    expect_too_large(text, len, "more than 200000 values");
    for (size_t i = 0; i < len / 5; i++)
        memcpy(text + 5 * i, "{\"a\":", 5);
    expect_too_large(text, len, "nested deeper than 64");
    free(text);
}

static void brackets_in_strings_do_not_count(void)
{
    json_t *root = NULL;
    char text[2000] = "[\"\\\"";
    memset(text + 4, '[', 1000);
    strcpy(text + 1004, "\\\\\", 1]");
    CU_ASSERT_EQUAL(document_parse(&root, text, strlen(text), NULL), ERR_OK);
    json_decref(root);
}

static void a_document_at_the_ceilings_is_read(void)
{
    json_t *root = NULL;
    char text[2 * DOCUMENT_DEPTH_MAX + 1];
    memset(text, '[', DOCUMENT_DEPTH_MAX);
    memset(text + DOCUMENT_DEPTH_MAX, ']', DOCUMENT_DEPTH_MAX);
    CU_ASSERT_EQUAL(document_parse(&root, text, sizeof text - 1, NULL), ERR_OK);
    json_decref(root);
    size_t commas = DOCUMENT_VALUES_MAX - 2, len = 2 * commas + 2;
    char *flat = malloc(len + 1);
    for (size_t i = 0; i < len; i++)
        flat[i] = i % 2 ? '1' : ',';
    flat[0] = '[';
    flat[len] = ']';
    enum err_code code = document_parse(&root, flat, len + 1, NULL);
    CU_ASSERT_EQUAL(code, ERR_OK);
    if (code == ERR_OK)
        json_decref(root);
    free(flat);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(a_new_pod_is_allowed_with_a_patch),
        SUITE_CASE(a_refused_pod_is_told_why),
        SUITE_CASE(everything_else_is_allowed_as_it_is),
        SUITE_CASE(a_creation_of_no_pod_is_refused),
        SUITE_CASE(what_is_no_review_is_a_bad_request),
        SUITE_CASE(nesting_bombs_and_floods_of_values_are_refused_unread),
        SUITE_CASE(brackets_in_strings_do_not_count),
        SUITE_CASE(a_document_at_the_ceilings_is_read),
        SUITE_END,
    };
    return suite_main("injector.review", cases, argc, argv);
}
