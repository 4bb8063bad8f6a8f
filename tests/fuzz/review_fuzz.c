/* The admission webhook: any bytes get an answer that the API server can read, and a pod that has
 * been given its sidecar is not given another. */
#include "fuzz.h"
#include "injector/review.h"

/* An answer of status 200 echoes the uid; a pod that is refused is told why. */
static void check(const struct review_answer *answer)
{
    bool known = false;
    for (unsigned i = 0; review_outcomes[i]; i++)
        known = known || strcmp(review_outcomes[i], answer->outcome) == 0;
    CLAIM(known);
    if (answer->status != 200) {
        CLAIM(answer->status == 400 || answer->status == 413);
        CLAIM(json_string_length(json_object_get(answer->body, "error")) > 0);
        return;
    }
    json_t *response = json_object_get(answer->body, "response");
    CLAIM(json_string_length(json_object_get(response, "uid")) > 0);
    if (json_is_true(json_object_get(response, "allowed"))) {
        json_t *type = json_object_get(response, "patchType");
        CLAIM(!json_object_get(response, "patch") == !type);
    } else {
        json_t *status = json_object_get(response, "status");
        CLAIM(json_string_length(json_object_get(status, "message")) > 0);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct settings settings;
    struct review_answer answer;
    CLAIM(settings_init(&settings, NULL) == ERR_OK && settings_check(&settings, NULL) == ERR_OK);
    review_answer((const char *)data, len, &settings, &answer);
    CLAIM(answer.body);
    check(&answer);
    char *text = json_dumps(answer.body, JSON_COMPACT);
    CLAIM(text); /* it can be sent */
    free(text);
    review_answer_deinit(&answer);
    settings_deinit(&settings);
    return 0;
}
