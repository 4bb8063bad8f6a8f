/* Tokens by the API server's word. The server is a stand-in that answers what the test says. */
#include "control/kube_reviews.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "kube/bed.h"

#define USER(name, extra) "\"user\":{\"username\":\"" name "\",\"extra\":{" extra "}}"
#define POD_NAME "\"authentication.kubernetes.io/pod-name\":[\"web-1\"]"
#define POD_UID "\"authentication.kubernetes.io/pod-uid\":[\"u-1\"]"
#define YES(audiences, user)                                                                       \
    "{\"status\":{\"authenticated\":true,\"audiences\":[" audiences "]," user "}}"
#define GOOD YES("\"handfast\"", USER("system:serviceaccount:shop:web", POD_NAME "," POD_UID))
#define NO "{\"status\":{\"user\":{},\"error\":\"signature is invalid\"}}"

struct question {
    struct authenticator_request request; /* first */
    char header[512];
    bool done;
    unsigned times;
    enum err_code code;
    char text[ERR_TEXT_MAX];
};

static struct bed bed;
static struct kube_reviews reviews;
static bool pod_there;
static unsigned pods_asked;

static bool pod_exists(void *arg, const char *ns, const char *name, const char *uid)
{
    CU_ASSERT_PTR_EQUAL(arg, &bed);
    pods_asked++;
    return pod_there && strcmp(ns, "shop") == 0 && strcmp(name, "web-1") == 0 &&
           strcmp(uid, "u-1") == 0;
}

static void start(void)
{
    pod_there = true;
    pods_asked = 0;
    bed_start(&bed);
    bed_connect(&bed);
    reviews = (struct kube_reviews){
        .client = bed.client, .audience = "handfast", .pod_exists = pod_exists, .arg = &bed};
    kube_reviews_init(&reviews);
}

static void stop(void)
{
    clock_fake(0, -1);
    kube_reviews_deinit(&reviews);
    bed_stop(&bed);
}

static void on_done(struct authenticator_request *request, enum err_code code, struct err *err)
{
    struct question *question = (struct question *)request;
    question->done = true;
    question->times++;
    question->code = code;
    snprintf(question->text, sizeof question->text, "%s", code == ERR_OK ? "" : err->text);
}

static void send_header(struct question *question, const char *header)
{
    memset(question, 0, sizeof *question);
    snprintf(question->header, sizeof question->header, "%s", header ? header : "");
    question->request = (struct authenticator_request){.header = header ? question->header : NULL,
                                                       .header_len = strlen(question->header),
                                                       .on_done = on_done};
    reviews.authenticator.check(&reviews.authenticator, &question->request);
}

/* "Bearer " and a token that ends at `expires_s`. */
static const char *token(int64_t expires_s, const char *who)
{
    static char text[400];
    char claims[100], base64[200];
    int len = snprintf(claims, sizeof claims, "{\"exp\":%lld,\"a\":\"%s?>~\"}",
                       (long long)expires_s, who);
    base64_encode(claims, (size_t)len, base64);
    for (char *at = base64; *at; at++)
        *at = (char)(*at == '+' ? '-' : *at == '/' ? '_' : *at == '=' ? 0 : *at);
    snprintf(text, sizeof text, "Bearer e30.%s.c2ln", base64);
    return text;
}

static int64_t in_an_hour(void)
{
    return clock_wall_s() + 3600;
}

/* Asks, and waits for the answer. */
static struct question ask(const char *header)
{
    static struct question question;
    send_header(&question, header);
    CU_ASSERT_TRUE_FATAL(question.done || bed_wait_flag(&bed, &question.done));
    CU_ASSERT_EQUAL(question.times, 1);
    return question;
}

static void expect(const char *header, enum err_code code, const char *says)
{
    struct question question = ask(header);
    if (question.code != code || !strstr(question.text, says))
        fprintf(stderr, "\n%s (%s), expected %s\n", question.text, err_label(question.code), says);
    CU_ASSERT_EQUAL(question.code, code);
    CU_ASSERT_PTR_NOT_NULL(strstr(question.text, says));
    if (code != ERR_OK)
        CU_ASSERT_STRING_EQUAL(question.request.subject.service_account, "");
}

/* --- accepted --------------------------------------------------------------------------------- */

static void token_of_a_pod_is_accepted_by_the_servers_word(void)
{
    int64_t expires_s = in_an_hour();
    const char *header = token(expires_s, "a");
    start();
    SCRIPT(
        &bed.server,
        {.wants = "POST /apis/authentication.k8s.io/v1/tokenreviews", .status = 201, .body = GOOD});
    struct question question = ask(header);
    CU_ASSERT_EQUAL(question.code, ERR_OK);
    CU_ASSERT_STRING_EQUAL(question.request.subject.ns, "shop");
    CU_ASSERT_STRING_EQUAL(question.request.subject.service_account, "web");
    CU_ASSERT_EQUAL(question.request.subject.expires_s, expires_s);
    json_t *body = json_loads(bed.server.last_body, 0, NULL);
    const json_t *spec = json_object_get(body, "spec");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(spec, "token")), header + 7);
    CU_ASSERT_EQUAL(json_array_size(json_object_get(spec, "audiences")), 1);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_array_get(json_object_get(spec, "audiences"), 0)),
                           "handfast");
    json_decref(body);
    stop();
}

static void accepted_token_is_asked_about_again_after_a_minute(void)
{
    const char *header = token(in_an_hour(), "a");
    int64_t now_ms = clock_now_ms(), wall_ms = clock_wall_ms();
    start();
    SCRIPT(&bed.server, {.wants = "POST", .status = 201, .body = GOOD, .repeat = true});
    clock_fake(now_ms, wall_ms);
    expect(header, ERR_OK, "");
    expect(header, ERR_OK, "");
    clock_fake(now_ms + 59999, wall_ms);
    expect(header, ERR_OK, "");
    CU_ASSERT_EQUAL(bed.server.requests, 1);
    CU_ASSERT_EQUAL(reviews.hits, 2);
    CU_ASSERT_EQUAL(pods_asked, 3);
    clock_fake(now_ms + 60000, wall_ms);
    expect(header, ERR_OK, "");
    CU_ASSERT_EQUAL(bed.server.requests, 2);
    expect(header, ERR_OK, "");
    CU_ASSERT_EQUAL(bed.server.requests, 2);
    stop();
}

static void tokens_are_told_apart(void)
{
    start();
    SCRIPT(&bed.server, {.wants = "POST", .status = 201, .body = GOOD},
           {.wants = "POST", .status = 201, .body = NO});
    expect(token(in_an_hour(), "a"), ERR_OK, "");
    expect(token(in_an_hour(), "b"), ERR_TOKEN_REFUSED, "signature is invalid");
    stop();
}

/* --- refused ---------------------------------------------------------------------------------- */

static void remembered_token_still_expires(void)
{
    int64_t now_ms = clock_now_ms(), wall_ms = clock_wall_ms();
    const char *header = token(wall_ms / 1000 + 30, "a");
    start();
    SCRIPT(&bed.server, {.wants = "POST", .status = 201, .body = GOOD, .repeat = true});
    clock_fake(now_ms, wall_ms);
    expect(header, ERR_OK, "");
    clock_fake(now_ms, wall_ms + 30000);
    expect(header, ERR_TOKEN_EXPIRED, "the token of shop/web expired 0 s ago");
    stop();
}

static void remembered_token_is_refused_once_its_pod_has_gone(void)
{
    const char *header = token(in_an_hour(), "a");
    start();
    SCRIPT(&bed.server, {.wants = "POST", .status = 201, .body = GOOD, .repeat = true});
    expect(header, ERR_OK, "");
    pod_there = false;
    expect(header, ERR_TOKEN_POD, "bound to pod web-1 (uid u-1), which is not there");
    pod_there = true;
    expect(header, ERR_OK, "");
    stop();
}

static void refusal_is_not_remembered(void)
{
    const char *header = token(in_an_hour(), "a");
    start();
    SCRIPT(&bed.server, {.wants = "POST", .status = 201, .body = NO},
           {.wants = "POST", .status = 201, .body = GOOD});
    expect(header, ERR_TOKEN_REFUSED, "does not accept the token: signature is invalid");
    expect(header, ERR_OK, "");
    stop();
}

static void token_is_refused_unless_everything_is_said(void)
{
    static const struct {
        const char *body;
        enum err_code code;
        const char *says;
    } cases[] = {
        {"{\"status\":{}}", ERR_TOKEN_REFUSED, "gives no reason"},
        {"{\"status\":{\"authenticated\":\"true\"}}", ERR_TOKEN_REFUSED, "gives no reason"},
        {YES("", USER("system:serviceaccount:shop:web", POD_NAME "," POD_UID)), ERR_TOKEN_AUDIENCE,
         "not for the audience handfast"},
        {YES("\"handfast2\",7", USER("system:serviceaccount:shop:web", POD_NAME)),
         ERR_TOKEN_AUDIENCE, "not for the audience handfast"},
        {YES("\"handfast\"", USER("alice", POD_NAME "," POD_UID)), ERR_TOKEN_SUBJECT,
         "'alice', no service account"},
        {YES("\"handfast\"", USER("system:serviceaccount:shop:web:x", POD_NAME)), ERR_TOKEN_SUBJECT,
         "no service account"},
        {YES("\"handfast\"", USER("system:serviceaccount::web", POD_NAME)), ERR_TOKEN_SUBJECT,
         "no service account"},
        {YES("\"handfast\"", USER("system:serviceaccount:shop:", POD_NAME)), ERR_TOKEN_SUBJECT,
         "no service account"},
        {YES("\"handfast\"", "\"user\":{}"), ERR_TOKEN_SUBJECT, "no service account"},
        {YES("\"handfast\"", USER("system:serviceaccount:shop:web", "")), ERR_TOKEN_POD,
         "bound to no pod"},
        {YES("\"handfast\"", USER("system:serviceaccount:shop:web", POD_NAME)), ERR_TOKEN_POD,
         "which is not there"},
        {YES("\"handfast\"", USER("system:serviceaccount:other:web", POD_NAME "," POD_UID)),
         ERR_TOKEN_POD, "which is not there"},
    };
    const char *header = token(in_an_hour(), "a");
    start();
    for (unsigned i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        SCRIPT(&bed.server, {.wants = "POST", .status = 201, .body = cases[i].body});
        expect(header, cases[i].code, cases[i].says);
    }
    stop();
}

static void server_that_does_not_answer_proves_nothing_against_a_token(void)
{
    const char *header = token(in_an_hour(), "a");
    start();
    SCRIPT(&bed.server, {.wants = "POST", .status = 500, .body = "{}"},
           {.wants = "POST", .status = 403, .body = "{\"kind\":\"Status\",\"message\":\"rbac\"}"},
           {.wants = "POST", .status = 201, .body = "<html>"},
           {.wants = "POST", .status = 201, .body = "{\"status\":\"Failure\"}"},
           {.wants = "POST", .then = RST, .status = 201});
    expect(header, ERR_TIMEOUT, "with 500");
    expect(header, ERR_TIMEOUT, "with 403: rbac");
    expect(header, ERR_TIMEOUT, "is none");
    expect(header, ERR_TIMEOUT, "is none");
    expect(header, ERR_TIMEOUT, "");
    CU_ASSERT_EQUAL(reviews.failed, 5);
    stop();
}

static void what_is_no_token_is_not_sent_to_the_server(void)
{
    static struct question question;
    char *large = malloc(TOKEN_MAX + 100);
    start();
    expect(NULL, ERR_TOKEN_MISSING, "no bearer token");
    expect("", ERR_TOKEN_MISSING, "no bearer token");
    expect("Bearer ", ERR_TOKEN_MISSING, "no bearer token");
    expect("Basic YTpi", ERR_TOKEN_MISSING, "no bearer token");
    expect("Bearer a.b", ERR_TOKEN_MALFORMED, "not a JWT");
    expect("Bearer a.b.c.d", ERR_TOKEN_MALFORMED, "not a JWT");
    expect("Bearer a.b/.c", ERR_TOKEN_MALFORMED, "not a JWT");
    memset(large, 'a', TOKEN_MAX + 100);
    memcpy(large, "bearer a.b.", 11);
    question = (struct question){.request = {.on_done = on_done}};
    question.request.header = large;
    question.request.header_len = 7 + TOKEN_MAX + 1;
    reviews.authenticator.check(&reviews.authenticator, &question.request);
    CU_ASSERT_EQUAL(question.code, ERR_TOKEN_MALFORMED);
    CU_ASSERT_EQUAL(bed.server.requests, 0);
    /* As large as it may be, and claims that are no JSON. */
    SCRIPT(&bed.server, {.wants = "POST", .status = 201, .body = NO});
    question = (struct question){.request = {.on_done = on_done}};
    question.request.header = large;
    question.request.header_len = 7 + TOKEN_MAX;
    reviews.authenticator.check(&reviews.authenticator, &question.request);
    CU_ASSERT_TRUE(bed_wait_flag(&bed, &question.done));
    CU_ASSERT_EQUAL(question.code, ERR_TOKEN_REFUSED);
    free(large);
    stop();
}

/* --- ceilings, and the end -------------------------------------------------------------------- */

static bool is_asked(void *arg)
{
    return ((const struct bed *)arg)->server.requests > 0;
}

static void end_answers_what_is_open_and_what_comes_later(void)
{
    static struct question open, late;
    const char *header = token(in_an_hour(), "a");
    start();
    SCRIPT(&bed.server, {.wants = "POST", .status = 201, .then = NOTHING});
    send_header(&open, header);
    CU_ASSERT_TRUE(bed_wait(&bed, is_asked, &bed));
    CU_ASSERT_FALSE(open.done);
    kube_reviews_deinit(&reviews);
    CU_ASSERT_EQUAL(open.times, 1);
    CU_ASSERT_EQUAL(open.code, ERR_CANCELLED);
    send_header(&late, header);
    CU_ASSERT_EQUAL(late.times, 1);
    CU_ASSERT_EQUAL(late.code, ERR_CANCELLED);
    bed_idle(&bed, 30);
    CU_ASSERT_EQUAL(open.times, 1);
    CU_ASSERT_EQUAL(bed.server.requests, 1);
    stop();
}

static void too_many_questions_are_turned_away(void)
{
    static struct question questions[REVIEW_ASKING_MAX + 1];
    const char *header = token(in_an_hour(), "a");
    start();
    bed.server.deaf = true;
    for (int i = 0; i <= REVIEW_ASKING_MAX; i++)
        send_header(&questions[i], header);
    CU_ASSERT_FALSE(questions[REVIEW_ASKING_MAX - 1].done);
    CU_ASSERT_EQUAL(questions[REVIEW_ASKING_MAX].code, ERR_BUSY);
    kube_reviews_deinit(&reviews);
    for (int i = 0; i < REVIEW_ASKING_MAX; i++) {
        CU_ASSERT_EQUAL(questions[i].times, 1);
        CU_ASSERT_EQUAL(questions[i].code, ERR_CANCELLED);
    }
    stop();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(token_of_a_pod_is_accepted_by_the_servers_word),
        SUITE_CASE(accepted_token_is_asked_about_again_after_a_minute),
        SUITE_CASE(tokens_are_told_apart),
        SUITE_CASE(remembered_token_still_expires),
        SUITE_CASE(remembered_token_is_refused_once_its_pod_has_gone),
        SUITE_CASE(refusal_is_not_remembered),
        SUITE_CASE(token_is_refused_unless_everything_is_said),
        SUITE_CASE(server_that_does_not_answer_proves_nothing_against_a_token),
        SUITE_CASE(what_is_no_token_is_not_sent_to_the_server),
        SUITE_CASE(end_answers_what_is_open_and_what_comes_later),
        SUITE_CASE(too_many_questions_are_turned_away),
        SUITE_END,
    };
    return suite_main("control/kube_reviews", cases, argc, argv);
}
