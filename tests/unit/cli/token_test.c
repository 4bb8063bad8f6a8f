#include "token/token.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "cli/verb.h"
#include "stage.h"
#include "suite.h"
#include "tls/signature.h"

static char folder[64], path[128];
static struct tls_key *key;
static struct signature_key *public_key;

/* What a control plane leaves in its state folder. */
static void state_make(void)
{
    char *pem;
    size_t len;
    strcpy(folder, "/tmp/cli-token-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/token-key.pem", folder);
    key = tls_key_new();
    public_key = signature_key_of(key);
    CU_ASSERT_EQUAL_FATAL(tls_key_format_pem(key, &pem, &len, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(file_write_atomic(path, pem, len, 0600, NULL), ERR_OK);
    free(pem);
}

static void state_remove(void)
{
    signature_key_unref(public_key);
    tls_key_unref(key);
    unlink(path);
    CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static enum err_code check(const char *token, size_t len, const char *audience,
                           struct token_subject *subject)
{
    const struct token_rules rules = {.key = public_key, .audience = audience};
    return token_check(&rules, token, len, subject, NULL);
}

static void a_token_alone_is_printed_and_is_good(void)
{
    struct token_subject subject;
    state_make();
    struct outcome outcome =
        HANDFAST("token", "--state", folder, "--service-account", "shop/web", "--ttl-s", "120");
    CU_ASSERT_EQUAL(outcome.status, VERB_DONE);
    CU_ASSERT_STRING_EQUAL(outcome.err, "");
    size_t len = strcspn(outcome.out, "\n");
    CU_ASSERT_STRING_EQUAL(outcome.out + len, "\n");
    CU_ASSERT_EQUAL_FATAL(check(outcome.out, len, "handfast", &subject), ERR_OK);
    CU_ASSERT_STRING_EQUAL(subject.ns, "shop");
    CU_ASSERT_STRING_EQUAL(subject.service_account, "web");
    int64_t left_s = subject.expires_s - clock_wall_s();
    CU_ASSERT(left_s > 60 && left_s <= 120);
    outcome_free(&outcome);
    state_remove();
}

static void the_audience_is_a_choice_and_json_wraps_the_token(void)
{
    struct token_subject subject;
    state_make();
    struct outcome outcome = HANDFAST("token", "--json", "--state", folder, "--service-account",
                                      "shop/web", "--audience", "istio-ca");
    CU_ASSERT_EQUAL(outcome.status, VERB_DONE);
    json_t *document = json_loads(outcome.out, 0, NULL);
    const char *token = json_string_value(json_object_get(document, "token"));
    CU_ASSERT_PTR_NOT_NULL_FATAL(token);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(document, "expires_in_s")), 3600);
    CU_ASSERT_EQUAL(check(token, strlen(token), "istio-ca", &subject), ERR_OK);
    CU_ASSERT_EQUAL(check(token, strlen(token), "handfast", &subject), ERR_TOKEN_AUDIENCE);
    json_decref(document);
    outcome_free(&outcome);
    state_remove();
}

static void what_is_wrong_with_state_or_names_is_a_sentence(void)
{
    state_make();
    struct outcome outcome =
        HANDFAST("token", "--state", "/nowhere", "--service-account", "shop/web");
    CU_ASSERT_EQUAL(outcome.status, VERB_FAILED);
    CU_ASSERT(stage_has(outcome.err, "there is no /nowhere/token-key.pem: is /nowhere the --state "
                                     "folder of a handfast-control"));
    outcome_free(&outcome);
    outcome = HANDFAST("token", "--state", folder, "--service-account", "Shop!/web");
    CU_ASSERT_EQUAL(outcome.status, VERB_FAILED);
    CU_ASSERT(stage_has(outcome.err, "Shop!"));
    CU_ASSERT_STRING_EQUAL(outcome.out, "");
    outcome_free(&outcome);
    CU_ASSERT_EQUAL(file_write_atomic(path, "not a key", 9, 0600, NULL), ERR_OK);
    outcome = HANDFAST("token", "--state", folder, "--service-account", "shop/web");
    CU_ASSERT_EQUAL(outcome.status, VERB_FAILED);
    CU_ASSERT(stage_has(outcome.err, path));
    outcome_free(&outcome);
    state_remove();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(a_token_alone_is_printed_and_is_good),
        SUITE_CASE(the_audience_is_a_choice_and_json_wraps_the_token),
        SUITE_CASE(what_is_wrong_with_state_or_names_is_a_sentence),
        SUITE_END,
    };
    return suite_main("cli_token", cases, argc, argv);
}
