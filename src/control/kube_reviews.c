#include "control/kube_reviews.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "tls/signature.h"

enum { NAME_MAX_BYTES = 254, UID_MAX = 64 };

/* What a token proved. */
struct proof {
    struct token_subject subject;
    char pod[NAME_MAX_BYTES], uid[UID_MAX];
    int64_t until_ms; /* monotonic */
};

/* A question that is on its way to the API server. */
struct review {
    struct kube_reviews *reviews;
    struct review **link, *next;
    struct authenticator_request *request;
    struct kube_call *call;
    uint8_t hash[SIGNATURE_SHA256_SIZE];
    int64_t expires_s; /* what the token says; it counts once the server has accepted the token */
};

/* --- the token -------------------------------------------------------------------------------- */

/* The token inside "Bearer <token>" (RFC 6750 section 2.1); NULL when there is none. */
static const char *bearer(const struct authenticator_request *request, size_t *len)
{
    static const char scheme[] = "bearer ";
    const char *header = request->header;
    if (!header || request->header_len <= sizeof scheme - 1 ||
        strncasecmp(header, scheme, sizeof scheme - 1) != 0)
        return NULL;
    *len = request->header_len - (sizeof scheme - 1);
    return header + sizeof scheme - 1;
}

static bool is_jwt_text(const char *token, size_t len)
{
    unsigned dots = 0;
    for (size_t i = 0; i < len; i++) {
        char c = token[i];
        if (c == '.')
            dots++;
        else if (!((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
                   c == '-' || c == '_'))
            return false;
    }
    return dots == 2;
}

/* The exp claim of a token that the server is to judge; 0: it has none that can be read. */
static int64_t expiry(const char *token, size_t len)
{
    char text[TOKEN_MAX + 4];
    const char *payload = memchr(token, '.', len);
    const char *end =
        payload ? memchr(payload + 1, '.', len - (size_t)(payload + 1 - token)) : NULL;
    size_t size = 0, got = 0;
    int64_t expires_s = 0;
    if (!end || end - payload > TOKEN_MAX)
        return 0;
    for (const char *at = payload + 1; at < end; at++)
        text[size++] = (char)(*at == '-' ? '+' : *at == '_' ? '/' : *at);
    while (size % 4)
        text[size++] = '=';
    if (!base64_decode(text, size, text, &got))
        return 0;
    json_t *claims = json_loadb(text, got, 0, NULL);
    const json_t *exp = json_object_get(claims, "exp");
    if (json_is_integer(exp))
        expires_s = json_integer_value(exp);
    json_decref(claims);
    return expires_s;
}

/* --- what is known ---------------------------------------------------------------------------- */

static void forget_all(struct kube_reviews *reviews)
{
    size_t at = 0;
    for (struct map_entry *entry; (entry = map_next(&reviews->known, &at));)
        free(entry->value);
    map_deinit(&reviews->known);
    map_init(&reviews->known);
}

static void remember(struct kube_reviews *reviews, const uint8_t *hash, const struct proof *proof)
{
    void *old = NULL;
    struct proof *copy = malloc(sizeof *copy);
    if (!copy)
        return; /* then it is asked again */
    *copy = *proof;
    if (reviews->known.count >= REVIEW_KNOWN_MAX)
        forget_all(reviews);
    if (!map_set(&reviews->known, hash, SIGNATURE_SHA256_SIZE, copy, &old))
        free(copy);
    free(old);
}

/* What is asked each time, whoever proved it. */
static enum err_code settle(const struct kube_reviews *reviews, const struct proof *proof,
                            struct authenticator_request *request, struct err *err)
{
    const struct token_subject *subject = &proof->subject;
    if (subject->expires_s && subject->expires_s <= clock_wall_s())
        return err_set(err, ERR_TOKEN_EXPIRED, "the token of %s/%s expired %lld s ago", subject->ns,
                       subject->service_account, (long long)(clock_wall_s() - subject->expires_s));
    if (!proof->pod[0])
        return err_set(err, ERR_TOKEN_POD, "the token of %s/%s is bound to no pod", subject->ns,
                       subject->service_account);
    if (!reviews->pod_exists(reviews->arg, subject->ns, proof->pod, proof->uid))
        return err_set(err, ERR_TOKEN_POD,
                       "the token of %s/%s is bound to pod %s (uid %s), which is not there",
                       subject->ns, subject->service_account, proof->pod, proof->uid);
    request->subject = *subject;
    return ERR_OK;
}

/* --- the server's answer ---------------------------------------------------------------------- */

static const char *first_extra(const json_t *user, const char *name)
{
    const json_t *extra = json_object_get(user, "extra");
    const char *value = json_string_value(json_array_get(json_object_get(extra, name), 0));
    return value ? value : "";
}

static bool has_audience(const json_t *status, const char *audience)
{
    size_t index;
    json_t *value;
    json_array_foreach(json_object_get(status, "audiences"), index, value)
    {
        if (json_is_string(value) && strcmp(json_string_value(value), audience) == 0)
            return true;
    }
    return false;
}

/* system:serviceaccount:<namespace>:<name> */
static bool split_user(const char *user, struct token_subject *subject)
{
    static const char prefix[] = "system:serviceaccount:";
    if (!user || strncmp(user, prefix, sizeof prefix - 1) != 0)
        return false;
    const char *ns = user + sizeof prefix - 1, *colon = strchr(ns, ':');
    if (!colon || colon == ns || !colon[1] || strchr(colon + 1, ':') ||
        (size_t)(colon - ns) >= sizeof subject->ns ||
        strlen(colon + 1) >= sizeof subject->service_account)
        return false;
    snprintf(subject->ns, sizeof subject->ns, "%.*s", (int)(colon - ns), ns);
    snprintf(subject->service_account, sizeof subject->service_account, "%s", colon + 1);
    return true;
}

static enum err_code read_status(const struct review *review, const json_t *body,
                                 struct proof *proof, struct err *err)
{
    const json_t *status = json_object_get(body, "status");
    const json_t *user = json_object_get(status, "user");
    const char *why = json_string_value(json_object_get(status, "error"));
    const char *name = json_string_value(json_object_get(user, "username"));
    if (!json_is_true(json_object_get(status, "authenticated")))
        return err_set(err, ERR_TOKEN_REFUSED, "the API server does not accept the token: %.160s",
                       why ? why : "it gives no reason");
    if (!has_audience(status, review->reviews->audience))
        return err_set(err, ERR_TOKEN_AUDIENCE, "the token is not for the audience %s",
                       review->reviews->audience);
    if (!split_user(name, &proof->subject))
        return err_set(err, ERR_TOKEN_SUBJECT, "the token speaks for '%.100s', no service account",
                       name ? name : "");
    proof->subject.expires_s = review->expires_s;
    snprintf(proof->pod, sizeof proof->pod, "%s",
             first_extra(user, "authentication.kubernetes.io/pod-name"));
    snprintf(proof->uid, sizeof proof->uid, "%s",
             first_extra(user, "authentication.kubernetes.io/pod-uid"));
    return ERR_OK;
}

static void unlink_review(struct review *review)
{
    *review->link = review->next;
    if (review->next)
        review->next->link = review->link;
    review->reviews->asking_count--;
}

static void on_answer(const struct kube_answer *answer, const struct err *reason, void *arg)
{
    struct review *review = arg;
    struct kube_reviews *reviews = review->reviews;
    struct authenticator_request *request = review->request;
    struct proof proof = {.until_ms = clock_now_ms() + REVIEW_KEEP_S * 1000};
    struct err err = *reason;
    char said[200];
    if (err.code == ERR_OK && (answer->status == 201 || answer->status == 200) &&
        !json_is_object(json_object_get(answer->body, "status")))
        err_set(&err, ERR_TIMEOUT, "the API server's answer to a TokenReview is none");
    else if (err.code == ERR_OK && answer->status != 201 && answer->status != 200)
        err_set(&err, ERR_TIMEOUT, "the API server answered a TokenReview with %d: %s",
                answer->status, kube_status_message(answer->body, said, sizeof said));
    else if (err.code != ERR_OK && err.code != ERR_CANCELLED)
        err.code = ERR_TIMEOUT; /* it could not be asked: nothing is known against the token */
    if (err.code != ERR_OK)
        reviews->failed++;
    else if (read_status(review, answer->body, &proof, &err) == ERR_OK &&
             settle(reviews, &proof, request, &err) == ERR_OK)
        remember(reviews, review->hash, &proof);
    unlink_review(review);
    free(review);
    request->on_done(request, err.code, &err);
}

static enum err_code ask(struct kube_reviews *reviews, struct authenticator_request *request,
                         const char *token, size_t len, const uint8_t *hash, struct err *err)
{
    if (reviews->asking_count >= REVIEW_ASKING_MAX)
        return err_set(err, ERR_BUSY, "%d tokens are being reviewed already", REVIEW_ASKING_MAX);
    struct review *review = calloc(1, sizeof *review);
    if (!review)
        return err_set(err, ERR_NO_MEMORY, "no memory to review a token");
    json_t *body =
        json_pack("{s:s, s:s, s:{s:s%, s:[s]}}", "apiVersion", "authentication.k8s.io/v1", "kind",
                  "TokenReview", "spec", "token", token, len, "audiences", reviews->audience);
    *review = (struct review){.reviews = reviews,
                              .link = &reviews->asking,
                              .next = reviews->asking,
                              .request = request,
                              .expires_s = expiry(token, len)};
    memcpy(review->hash, hash, sizeof review->hash);
    if (body)
        review->call =
            kube_request(reviews->client, "POST", "/apis/authentication.k8s.io/v1/tokenreviews",
                         NULL, body, REVIEW_CALL_MS, on_answer, review, err);
    else
        err_set(err, ERR_NO_MEMORY, "no memory to review a token");
    if (!review->call) {
        free(review);
        return err->code;
    }
    if (review->next)
        review->next->link = &review->next;
    reviews->asking = review;
    reviews->asking_count++;
    reviews->asked++;
    return ERR_OK;
}

/* --- the interface ---------------------------------------------------------------------------- */

static void check(struct authenticator *self, struct authenticator_request *request)
{
    struct kube_reviews *reviews = (struct kube_reviews *)self;
    uint8_t hash[SIGNATURE_SHA256_SIZE];
    struct err err = {0};
    size_t len = 0;
    const char *token = bearer(request, &len);
    enum err_code code = ERR_OK;
    if (reviews->closed)
        code = err_set(&err, ERR_CANCELLED, "the control plane ends");
    else if (!token)
        code = err_set(&err, ERR_TOKEN_MISSING, "there is no bearer token");
    else if (len > TOKEN_MAX || !is_jwt_text(token, len))
        code = err_set(&err, ERR_TOKEN_MALFORMED, "the token is not a JWT of at most %d bytes",
                       TOKEN_MAX);
    if (code != ERR_OK) {
        request->on_done(request, code, &err);
        return;
    }
    signature_sha256(token, len, hash);
    const struct proof *proof = map_get(&reviews->known, hash, sizeof hash);
    if (proof && proof->until_ms > clock_now_ms()) {
        reviews->hits++;
        code = settle(reviews, proof, request, &err);
        request->on_done(request, code, &err);
        return;
    }
    if (ask(reviews, request, token, len, hash, &err) != ERR_OK)
        request->on_done(request, err.code, &err);
}

void kube_reviews_init(struct kube_reviews *reviews)
{
    reviews->authenticator.check = check;
    map_init(&reviews->known);
}

void kube_reviews_deinit(struct kube_reviews *reviews)
{
    reviews->closed = true;
    while (reviews->asking) {
        struct review *review = reviews->asking;
        struct authenticator_request *request = review->request;
        struct err err = {0};
        kube_call_cancel(review->call);
        unlink_review(review);
        free(review);
        err_set(&err, ERR_CANCELLED, "the control plane ends");
        request->on_done(request, ERR_CANCELLED, &err);
    }
    forget_all(reviews);
}
