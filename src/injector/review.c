#include "injector/review.h"

#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "injector/document.h"
#include "injector/pod.h"
#include "injector/value.h"
#include "injector/warning.h"

static const char api_version[] = "admission.k8s.io/v1", kind[] = "AdmissionReview";
static const char malformed[] = "malformed", not_a_pod[] = "not_a_pod",
                  not_a_creation[] = "not_a_creation", failed[] = "failed";

const char *const review_outcomes[] = {
    "injected", "already_injected", "opted_out", "host_network",   "windows", "static_pod",
    "refused",  "malformed",        "not_a_pod", "not_a_creation", "failed",  NULL,
};

enum { UID_MAX = 256 };

/* --- answers ---------------------------------------------------------------------------------- */

static void answer_error(struct review_answer *answer, unsigned status, const char *outcome)
{
    answer->status = status;
    answer->outcome = outcome;
    json_decref(answer->body);
    answer->body = json_pack("{s:s}", "error", answer->err.text);
}

/* Whatever could not be built must not look like a yes. */
static void answer_no_memory(struct review_answer *answer)
{
    err_set(&answer->err, ERR_NO_MEMORY, "no memory for an answer");
    answer_error(answer, 500, failed);
}

/* Takes `response`, to which it adds the uid and, when there are any, the warnings. */
static void answer_review(struct review_answer *answer, json_t *request, json_t *response,
                          json_t *warnings)
{
    bool whole = json_object_set(response, "uid", json_object_get(request, "uid")) == 0;
    if (json_array_size(warnings) > 0)
        whole = json_object_set(response, "warnings", warnings) == 0 && whole;
    answer->status = 200;
    answer->body =
        json_pack("{s:s, s:s, s:o}", "apiVersion", api_version, "kind", kind, "response", response);
    if (!whole || !answer->body)
        answer_no_memory(answer);
}

static void answer_as_it_is(struct review_answer *answer, json_t *request, const char *outcome,
                            json_t *warnings)
{
    answer->outcome = outcome;
    answer_review(answer, request, json_pack("{s:b}", "allowed", 1), warnings);
}

static void answer_refused(struct review_answer *answer, json_t *request, json_t *warnings)
{
    char shown[ERR_TEXT_MAX];
    answer->outcome = inject_outcome_name(INJECT_REFUSED);
    answer_review(answer, request,
                  json_pack("{s:b, s:{s:s, s:s, s:s, s:i}}", "allowed", 0, "status", "status",
                            "Failure", "reason", "Invalid", "message",
                            value_printable(answer->err.text, shown, sizeof shown), "code", 422),
                  warnings);
}

static void answer_patched(struct review_answer *answer, json_t *request,
                           const struct inject_result *result)
{
    char *text = json_dumps(result->patch, JSON_COMPACT);
    char *patch = text ? malloc(BASE64_TEXT_SIZE(strlen(text))) : NULL;
    if (patch)
        base64_encode(text, strlen(text), patch);
    answer->outcome = inject_outcome_name(INJECT_DONE);
    answer_review(
        answer, request,
        patch ? json_pack("{s:b, s:s, s:s}", "allowed", 1, "patchType", "JSONPatch", "patch", patch)
              : NULL,
        result->warnings);
    free(patch);
    free(text);
}

/* --- questions -------------------------------------------------------------------------------- */

static const char *text_or(json_t *object, const char *key, const char *otherwise)
{
    const char *text = pod_text(object, key);
    return text ? text : otherwise;
}

/* Takes the request out of the review, or says why it is none. */
static enum err_code find_request(json_t *review, json_t **request, struct err *err)
{
    char version[64], what[64];
    value_printable(text_or(review, "apiVersion", "nothing"), version, sizeof version);
    value_printable(text_or(review, "kind", "nothing"), what, sizeof what);
    if (strcmp(version, api_version) != 0 || strcmp(what, kind) != 0)
        return err_set(err, ERR_INVALID, "expected apiVersion %s and kind %s, found %s and %s",
                       api_version, kind, version, what);
    *request = json_object_get(review, "request");
    if (!json_is_object(*request))
        return err_set(err, ERR_INVALID, "the AdmissionReview has no request");
    const char *uid = text_or(*request, "uid", "");
    if (!*uid || strlen(uid) >= UID_MAX)
        return err_set(err, ERR_INVALID,
                       "the request of the AdmissionReview has no uid of 1 to %d bytes",
                       UID_MAX - 1);
    return ERR_OK;
}

static bool is_pod(json_t *request)
{
    json_t *asked = json_object_get(request, "kind");
    return strcmp(text_or(asked, "group", ""), "") == 0 &&
           strcmp(text_or(asked, "version", ""), "v1") == 0 &&
           strcmp(text_or(asked, "kind", ""), "Pod") == 0;
}

static bool is_creation(json_t *request)
{
    return strcmp(text_or(request, "operation", ""), "CREATE") == 0 &&
           strcmp(text_or(request, "subResource", ""), "") == 0;
}

static void note_names(struct review_answer *answer, json_t *request)
{
    json_t *metadata = json_object_get(json_object_get(request, "object"), "metadata");
    const char *name = text_or(request, "name", "");
    if (!*name)
        name = text_or(metadata, "name", text_or(metadata, "generateName", ""));
    value_printable(name, answer->name, sizeof answer->name);
    value_printable(text_or(request, "namespace", ""), answer->ns, sizeof answer->ns);
}

static void answer_creation(struct review_answer *answer, json_t *request,
                            const struct settings *settings)
{
    struct inject_result result;
    json_t *object = json_object_get(request, "object");
    if (!json_is_object(object)) {
        err_set(&answer->err, ERR_INVALID, "the request has no object");
        answer_refused(answer, request, NULL);
        return;
    }
    inject_pod(object, settings, false, &result);
    answer->err = result.err;
    if (result.outcome == INJECT_DONE)
        answer_patched(answer, request, &result);
    else if (result.outcome != INJECT_REFUSED)
        answer_as_it_is(answer, request, inject_outcome_name(result.outcome), result.warnings);
    else if (result.err.code == ERR_NO_MEMORY)
        answer_no_memory(answer);
    else
        answer_refused(answer, request, result.warnings);
    inject_result_deinit(&result);
}

static void answer_other(struct review_answer *answer, json_t *request)
{
    char shown[64];
    json_t *warnings = json_array();
    warning_add(warnings,
                "handfast-injector was asked about a %s, and knows pods: the rules of its webhook "
                "name too much",
                value_printable(text_or(json_object_get(request, "kind"), "kind", "thing"), shown,
                                sizeof shown));
    answer_as_it_is(answer, request, not_a_pod, warnings);
    json_decref(warnings);
}

void review_answer(const char *text, size_t len, const struct settings *settings,
                   struct review_answer *answer)
{
    json_t *review = NULL, *request = NULL;
    *answer = (struct review_answer){.outcome = malformed};
    enum err_code code = document_parse(&review, text, len, &answer->err);
    if (code == ERR_OK)
        code = find_request(review, &request, &answer->err);
    if (code != ERR_OK) {
        answer_error(answer, code == ERR_TOO_LARGE ? 413 : 400, malformed);
    } else {
        note_names(answer, request);
        if (!is_pod(request))
            answer_other(answer, request);
        else if (!is_creation(request))
            answer_as_it_is(answer, request, not_a_creation, NULL);
        else
            answer_creation(answer, request, settings);
    }
    json_decref(review);
}

void review_answer_deinit(struct review_answer *answer)
{
    json_decref(answer->body);
    answer->body = NULL;
}
