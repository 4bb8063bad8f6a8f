/* AdmissionReview of admission.k8s.io/v1: the API server's question as bytes, our answer as JSON.
 * Pure; one thread.
 *
 *   not JSON, not a review, no uid        400 with {"error": sentence}, so that the API server's
 *                                         failurePolicy decides
 *   too long, too deep, too many values   413, likewise
 *   something else than a new pod         allowed as it is (with a warning when it is no pod: then
 *                                         the webhook's rules are wrong, and nobody should suffer)
 *   a new pod                             allowed, patched or refused, as inject.h says
 *   no memory                             500, likewise
 *
 *   The uid is echoed in every answer with status 200. */
#ifndef INJECTOR_REVIEW_H
#define INJECTOR_REVIEW_H

#include "injector/inject.h"

enum { REVIEW_NAME_MAX = 256 };

struct review_answer {
    unsigned status; /* of HTTP */
    json_t *body;    /* NULL without memory */
    /* "injected", "refused", "malformed", "not_a_pod"...; see review_outcomes */
    const char *outcome;
    /* for the log: what it was about, and why it was refused (ERR_OK: it was not) */
    char ns[REVIEW_NAME_MAX], name[REVIEW_NAME_MAX];
    struct err err;
};

/* Answers the request body text[0..len-1]. Free with review_answer_deinit. */
void review_answer(const char *text, size_t len, const struct settings *settings,
                   struct review_answer *answer);
void review_answer_deinit(struct review_answer *answer);

/* All there may be in `outcome`, up to a NULL. */
extern const char *const review_outcomes[];

#endif
