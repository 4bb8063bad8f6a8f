/* Tokens: what is made is accepted, everything else is refused for its own reason. */
#include "token/token.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "suite.h"
#include "token/base64url.h"

enum { NOW_S = 1790000000 };

static struct tls_key *key, *other_key;
static struct token_rules rules;

#define HEADER "{\"alg\":\"ES256\",\"typ\":\"JWT\"}"
#define SUBJECT "system:serviceaccount:shop:web"
#define CLAIMS(iss, aud, sub, times) "{\"iss\":" iss ",\"aud\":" aud ",\"sub\":" sub "," times "}"
#define GOOD_ISS "\"handfast-control\""
#define GOOD_AUD "\"handfast\""
#define GOOD_SUB "\"" SUBJECT "\""
#define GOOD_TIMES "\"iat\":1790000000,\"nbf\":1790000000,\"exp\":1790003600"
#define WITH_TIMES(times) CLAIMS(GOOD_ISS, GOOD_AUD, GOOD_SUB, times)
#define WITH_AUD(aud) CLAIMS(GOOD_ISS, aud, GOOD_SUB, GOOD_TIMES)
#define WITH_SUB(sub) CLAIMS(GOOD_ISS, GOOD_AUD, sub, GOOD_TIMES)
#define GOOD WITH_TIMES(GOOD_TIMES)
#define TEN "a123456789"

/* Signs any header and claims, however wrong. */
static char *forge(const struct tls_key *with, const char *header, size_t header_len,
                   const char *claims, size_t claims_len)
{
    char *token = malloc(header_len * 2 + claims_len * 2 + 200);
    uint8_t signature[SIGNATURE_SIZE];
    size_t len = base64url_encode(header, header_len, token);
    token[len++] = '.';
    len += base64url_encode(claims, claims_len, token + len);
    CU_ASSERT_EQUAL(signature_sign(with, token, len, signature, NULL), ERR_OK);
    token[len++] = '.';
    len += base64url_encode(signature, sizeof signature, token + len);
    token[len] = 0;
    return token;
}

static enum err_code check(const char *token, struct token_subject *out, struct err *err)
{
    /* Exactly as long as it is, so that a sanitizer sees a read beyond it. */
    size_t len = strlen(token);
    char *copy = malloc(len ? len : 1);
    memcpy(copy, token, len);
    enum err_code code = token_check(&rules, copy, len, out, err);
    free(copy);
    return code;
}

static enum err_code check_forged(const char *header, const char *claims, struct err *err)
{
    struct token_subject subject;
    char *token = forge(key, header, strlen(header), claims, strlen(claims));
    enum err_code code = check(token, &subject, err);
    free(token);
    return code;
}

static char *mint(const char *audience, int64_t ttl_s)
{
    struct token_claims claims = {
        .audience = audience, .ns = "shop", .service_account = "web", .ttl_s = ttl_s};
    char *token = NULL;
    CU_ASSERT_EQUAL_FATAL(token_mint(key, &claims, &token, NULL), ERR_OK);
    return token;
}

static void minted_token_speaks_for_its_service_account(void)
{
    struct token_subject subject;
    char *token = mint("handfast", 3600);
    CU_ASSERT_EQUAL(check(token, &subject, NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(subject.ns, "shop");
    CU_ASSERT_STRING_EQUAL(subject.service_account, "web");
    CU_ASSERT_EQUAL(subject.expires_s, NOW_S + 3600);
    char *again = mint("handfast", 3600);
    CU_ASSERT_STRING_NOT_EQUAL(token, again);
    free(token);
    free(again);
}

static void mint_refuses_names_that_are_none(void)
{
    static const char *const bad[] = {"", "Shop", "a:b", "a/b", "-a", "a-", "a b", "a.", "ä"};
    struct token_claims claims = {.audience = "handfast", .ns = "shop", .ttl_s = 10};
    char *token = NULL;
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        claims.service_account = bad[i];
        CU_ASSERT_EQUAL(token_mint(key, &claims, &token, NULL), ERR_INVALID);
        CU_ASSERT_PTR_NULL(token);
    }
    claims.service_account = "web";
    static const int64_t lifetimes[] = {0, -5, (int64_t)1 << 40};
    for (size_t i = 0; i < 3; i++) {
        claims.ttl_s = lifetimes[i];
        CU_ASSERT_EQUAL(token_mint(key, &claims, &token, NULL), ERR_INVALID);
    }
}

static void every_bad_token_has_its_own_reason(void)
{
    static const struct {
        const char *header, *claims;
        enum err_code code;
        const char *says;
    } table[] = {
        {HEADER, GOOD, ERR_OK, NULL},
        {"{\"alg\":\"ES256\"}", GOOD, ERR_OK, NULL},
        {"{\"alg\":\"ES256\",\"kid\":\"x\"}", GOOD, ERR_OK, NULL},
        /* algorithms */
        {"{\"alg\":\"none\"}", GOOD, ERR_TOKEN_ALG, "\"none\", expected \"ES256\""},
        {"{\"alg\":\"None\"}", GOOD, ERR_TOKEN_ALG, "\"None\""},
        {"{\"alg\":\"HS256\"}", GOOD, ERR_TOKEN_ALG, "\"HS256\""},
        {"{\"alg\":\"es256\"}", GOOD, ERR_TOKEN_ALG, "\"es256\""},
        {"{\"alg\":\"ES256 \"}", GOOD, ERR_TOKEN_ALG, NULL},
        {"{\"alg\":[\"ES256\"]}", GOOD, ERR_TOKEN_ALG, NULL},
        {"{\"typ\":\"JWT\"}", GOOD, ERR_TOKEN_ALG, NULL},
        /* headers */
        {"{\"alg\":\"ES256\",\"alg\":\"none\"}", GOOD, ERR_TOKEN_MALFORMED, "twice"},
        {"{\"alg\":\"ES256\",\"crit\":[\"b64\"],\"b64\":false}", GOOD, ERR_TOKEN_MALFORMED, "crit"},
        {"{\"alg\":\"ES256\",\"crit\":null}", GOOD, ERR_TOKEN_MALFORMED, "crit"},
        {"{\"alg\":\"ES256\",\"typ\":\"JWE\"}", GOOD, ERR_TOKEN_MALFORMED, "typ"},
        {"[\"ES256\"]", GOOD, ERR_TOKEN_MALFORMED, "header"},
        {"{\"alg\":\"ES256\"", GOOD, ERR_TOKEN_MALFORMED, "header"},
        {"{\"alg\":\"ES256\"}{}", GOOD, ERR_TOKEN_MALFORMED, "header"},
        {"{\"alg\":\"ES256\\u0000\"}", GOOD, ERR_TOKEN_MALFORMED, NULL},
        {"{\"alg\":\"ES256\",\"\\u0061lg\":\"none\"}", GOOD, ERR_TOKEN_MALFORMED, "twice"},
        {"{\"ALG\":\"ES256\"}", GOOD, ERR_TOKEN_ALG, NULL},
        {"{\"alg\":\"ES256\",\"typ\":7}", GOOD, ERR_TOKEN_MALFORMED, "typ"},
        {"\xef\xbb\xbf{\"alg\":\"ES256\"}", GOOD, ERR_TOKEN_MALFORMED, "header"},
        {"{\"alg\":\"ES256\",\"kid\":\"\xff\"}", GOOD, ERR_TOKEN_MALFORMED, "header"},
        {" {\"alg\" : \"ES256\"}\n", GOOD, ERR_OK, NULL},
        /* issuer */
        {HEADER, CLAIMS("\"other\"", GOOD_AUD, GOOD_SUB, GOOD_TIMES), ERR_TOKEN_ISSUER,
         "\"other\", expected \"handfast-control\""},
        {HEADER, CLAIMS("7", GOOD_AUD, GOOD_SUB, GOOD_TIMES), ERR_TOKEN_ISSUER, NULL},
        {HEADER, "{\"aud\":\"handfast\"}", ERR_TOKEN_ISSUER, "nobody"},
        /* audience */
        {HEADER, WITH_AUD("[\"a\",\"handfast\"]"), ERR_OK, NULL},
        {HEADER, WITH_AUD("\"istio-ca\""), ERR_TOKEN_AUDIENCE, "\"istio-ca\", expected"},
        {HEADER, WITH_AUD("[\"istio-ca\"]"), ERR_TOKEN_AUDIENCE, "\"istio-ca\""},
        {HEADER, WITH_AUD("[\"a\",\"b\"]"), ERR_TOKEN_AUDIENCE, "2 others"},
        {HEADER, WITH_AUD("[]"), ERR_TOKEN_AUDIENCE, NULL},
        {HEADER, WITH_AUD("[7,\"handfast\"]"), ERR_TOKEN_AUDIENCE, NULL},
        {HEADER, WITH_AUD("\"Handfast\""), ERR_TOKEN_AUDIENCE, NULL},
        {HEADER, WITH_AUD("\"handfast2\""), ERR_TOKEN_AUDIENCE, NULL},
        {HEADER, WITH_AUD("null"), ERR_TOKEN_AUDIENCE, NULL},
        {HEADER, WITH_AUD("{\"handfast\":\"handfast\"}"), ERR_TOKEN_AUDIENCE, NULL},
        {HEADER, WITH_AUD("[[\"handfast\"]]"), ERR_TOKEN_AUDIENCE, NULL},
        {HEADER, WITH_AUD("[\"handfast\",null]"), ERR_TOKEN_AUDIENCE, NULL},
        {HEADER, WITH_AUD("\"handfast\\u0000\""), ERR_TOKEN_MALFORMED, NULL},
        {HEADER, WITH_AUD("\"a\",\"aud\":\"handfast\""), ERR_TOKEN_MALFORMED, "twice"},
        /* times: now is 1790000000, leeway 60 */
        {HEADER, WITH_TIMES("\"exp\":1789999941"), ERR_OK, NULL},
        {HEADER, WITH_TIMES("\"exp\":1789999940"), ERR_TOKEN_EXPIRED, "expired at 2026-09-21T"},
        {HEADER, WITH_TIMES("\"exp\":1789999941.9"), ERR_OK, NULL},
        {HEADER, WITH_TIMES("\"exp\":0"), ERR_TOKEN_EXPIRED, NULL},
        {HEADER, WITH_TIMES("\"exp\":-1"), ERR_TOKEN_MALFORMED, "exp"},
        {HEADER, WITH_TIMES("\"exp\":9223372036854775807"), ERR_TOKEN_MALFORMED, "exp"},
        {HEADER, WITH_TIMES("\"exp\":1e300"), ERR_TOKEN_MALFORMED, "exp"},
        {HEADER, WITH_TIMES("\"exp\":1e999"), ERR_TOKEN_MALFORMED, "parsed"},
        {HEADER, WITH_TIMES("\"exp\":99999999999999999999"), ERR_TOKEN_MALFORMED, "parsed"},
        {HEADER, WITH_TIMES("\"exp\":-9223372036854775808"), ERR_TOKEN_MALFORMED, "exp"},
        {HEADER, WITH_TIMES("\"exp\":-0.5"), ERR_TOKEN_MALFORMED, "exp"},
        {HEADER, WITH_TIMES("\"exp\":-0.0"), ERR_TOKEN_EXPIRED, NULL},
        {HEADER, WITH_TIMES("\"exp\":1e-300"), ERR_TOKEN_EXPIRED, NULL},
        {HEADER, WITH_TIMES("\"exp\":1.7900036e9"), ERR_OK, NULL},
        {HEADER, WITH_TIMES("\"exp\":1000000000000"), ERR_OK, NULL},
        {HEADER, WITH_TIMES("\"exp\":1000000000001"), ERR_TOKEN_MALFORMED, "exp"},
        {HEADER, WITH_TIMES("\"exp\":null"), ERR_TOKEN_MALFORMED, "exp"},
        {HEADER, WITH_TIMES("\"exp\":[1790003600]"), ERR_TOKEN_MALFORMED, "exp"},
        {HEADER, WITH_TIMES("\"exp\":\"1790003600\""), ERR_TOKEN_MALFORMED, "exp"},
        {HEADER, WITH_TIMES("\"iat\":1"), ERR_TOKEN_MALFORMED, "exp"},
        {HEADER, WITH_TIMES("\"exp\":1790003600,\"nbf\":1790000060"), ERR_OK, NULL},
        {HEADER, WITH_TIMES("\"exp\":1790003600,\"nbf\":1790000061"), ERR_TOKEN_NOT_YET_VALID,
         "nbf"},
        {HEADER, WITH_TIMES("\"exp\":1790003600,\"iat\":1790000061"), ERR_TOKEN_NOT_YET_VALID,
         "iat"},
        {HEADER, WITH_TIMES("\"exp\":1790003600,\"nbf\":true"), ERR_TOKEN_MALFORMED, "nbf"},
        {HEADER, WITH_TIMES("\"exp\":1790003600,\"nbf\":null"), ERR_TOKEN_MALFORMED, "nbf"},
        {HEADER, WITH_TIMES("\"exp\":1790003600,\"nbf\":-1"), ERR_TOKEN_MALFORMED, "nbf"},
        {HEADER, WITH_TIMES("\"exp\":1790003600,\"nbf\":1e12"), ERR_TOKEN_NOT_YET_VALID,
         "nbf\" is 33658-"},
        {HEADER, WITH_TIMES("\"exp\":1790003600,\"exp\":1790003600"), ERR_TOKEN_MALFORMED, "twice"},
        /* subject */
        {HEADER, WITH_SUB("\"admin\""), ERR_TOKEN_SUBJECT, "\"admin\", expected"},
        {HEADER, WITH_SUB("null"), ERR_TOKEN_SUBJECT, NULL},
        {HEADER, WITH_SUB("\"system:serviceaccount:shop\""), ERR_TOKEN_SUBJECT, NULL},
        {HEADER, WITH_SUB("\"system:serviceaccount:shop:\""), ERR_TOKEN_SUBJECT, NULL},
        {HEADER, WITH_SUB("\"system:serviceaccount::web\""), ERR_TOKEN_SUBJECT, NULL},
        {HEADER, WITH_SUB("\"system:serviceaccount:shop:web:x\""), ERR_TOKEN_SUBJECT, NULL},
        {HEADER, WITH_SUB("\"system:serviceaccount:Shop:web\""), ERR_TOKEN_SUBJECT, NULL},
        {HEADER, WITH_SUB("\"system:serviceaccount:a.b:web\""), ERR_TOKEN_SUBJECT, NULL},
        {HEADER, WITH_SUB("\"system:serviceaccount:shop:a.b\""), ERR_OK, NULL},
        {HEADER, WITH_SUB("\"system:serviceaccount:shop:a..b\""), ERR_TOKEN_SUBJECT, NULL},
        {HEADER, WITH_SUB("\"system:serviceaccount:shop:../x\""), ERR_TOKEN_SUBJECT, NULL},
        {HEADER, WITH_SUB("\"system:serviceaccount:shop:web\\u0000\""), ERR_TOKEN_MALFORMED, NULL},
        {HEADER, WITH_SUB("\"system:serviceaccount:shop:web\\n\""), ERR_TOKEN_SUBJECT, NULL},
        {HEADER, WITH_SUB("\"system:serviceaccount:shop:web \""), ERR_TOKEN_SUBJECT, NULL},
        {HEADER, WITH_SUB("\"\\u0073ystem:serviceaccount:shop:web\""), ERR_OK, NULL},
        {HEADER, WITH_SUB("\"x\",\"sub\":\"" SUBJECT "\""), ERR_TOKEN_MALFORMED, "twice"},
        {HEADER, WITH_SUB("[\"" SUBJECT "\"]"), ERR_TOKEN_SUBJECT, NULL},
        {HEADER,
         WITH_SUB("\"system:serviceaccount:shop:" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
                      TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "abc\""),
         ERR_OK, NULL},
        {HEADER,
         WITH_SUB("\"system:serviceaccount:shop:" TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN
                      TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN TEN "abcd\""),
         ERR_TOKEN_SUBJECT, NULL},
        {HEADER, WITH_SUB("\"system:serviceaccount:" TEN TEN TEN TEN TEN TEN "abcd:web\""),
         ERR_TOKEN_SUBJECT, NULL},
        {HEADER, "{}", ERR_TOKEN_ISSUER, NULL},
        {HEADER, "7", ERR_TOKEN_MALFORMED, "claims"},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct err err = {0};
        enum err_code code = check_forged(table[i].header, table[i].claims, &err);
        bool says = !table[i].says || strstr(err.text, table[i].says);
        if (code != table[i].code || !says)
            printf("\n    row %zu (%s, %s): %s \"%s\"", i, table[i].header, table[i].claims,
                   err_label(code), err.text);
        CU_ASSERT_EQUAL(code, table[i].code);
        CU_ASSERT_TRUE(says);
    }
}

static void nulls_inside_the_json_are_refused(void)
{
    static const char header[] = "{\"alg\":\"ES256\"}\0junk";
    static const char claims[] = GOOD "\0";
    struct token_subject subject;
    char *token = forge(key, header, sizeof header - 1, GOOD, strlen(GOOD));
    CU_ASSERT_EQUAL(check(token, &subject, NULL), ERR_TOKEN_MALFORMED);
    free(token);
    token = forge(key, HEADER, strlen(HEADER), claims, sizeof claims - 1);
    CU_ASSERT_EQUAL(check(token, &subject, NULL), ERR_TOKEN_MALFORMED);
    free(token);
}

static void json_of_any_depth_and_length_is_refused_or_read(void)
{
    enum { LONG = 4000 };
    char header[LONG + 64], claims[LONG + 512];
    struct err err;
    int len = snprintf(header, sizeof header, "{\"alg\":\"ES256\",\"kid\":\"%0*d\"}", LONG, 0);
    CU_ASSERT_FATAL(len < (int)sizeof header);
    CU_ASSERT_EQUAL(check_forged(header, GOOD, &err), ERR_OK);
    /* 8 KiB of token hold less than this. */
    snprintf(claims, sizeof claims, "{\"x\":\"%0*d\"}", LONG, 0);
    CU_ASSERT_EQUAL(check_forged(header, claims, &err), ERR_TOKEN_MALFORMED);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "expected at most 8192"));
    /* Nesting is cut off by the parser, before the signature and after. */
    memset(header, '[', LONG);
    header[LONG] = 0;
    CU_ASSERT_EQUAL(check_forged(header, GOOD, &err), ERR_TOKEN_MALFORMED);
    snprintf(claims, sizeof claims, "{\"x\":%s", header);
    CU_ASSERT_EQUAL(check_forged(HEADER, claims, &err), ERR_TOKEN_MALFORMED);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "claims"));
}

/* Base64 has many spellings, and every part has to have the one. */
static void parts_with_padding_or_space_are_refused(void)
{
    static const char *const bad[] = {"=", "==", " ", "\n", "\r\n", "\t", "+", "/", "%3D"};
    struct token_subject subject;
    char spelled[2048];
    char *token = mint("handfast", 60);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const char *rest = token;
        for (int part = 0; part < 3; part++) {
            const char *end = strchr(rest, '.') ? strchr(rest, '.') : rest + strlen(rest);
            const char *const places[] = {rest, rest + 4, end};
            for (int k = 0; k < 3; k++) {
                snprintf(spelled, sizeof spelled, "%.*s%s%s", (int)(places[k] - token), token,
                         bad[i], places[k]);
                enum err_code code = check(spelled, &subject, NULL);
                CU_ASSERT(code == ERR_TOKEN_MALFORMED || code == ERR_TOKEN_SIGNATURE);
            }
            rest = end + 1;
        }
    }
    free(token);
}

static void signature_of_another_key_or_text_is_refused(void)
{
    struct token_subject subject;
    char *token = forge(other_key, HEADER, strlen(HEADER), GOOD, strlen(GOOD));
    CU_ASSERT_EQUAL(check(token, &subject, NULL), ERR_TOKEN_SIGNATURE);
    free(token);
    token = mint("handfast", 60);
    char *dot = strrchr(token, '.');
    char saved = dot[5];
    dot[5] = saved == 'A' ? 'B' : 'A';
    CU_ASSERT_EQUAL(check(token, &subject, NULL), ERR_TOKEN_SIGNATURE);
    dot[5] = saved;
    CU_ASSERT_EQUAL(check(token, &subject, NULL), ERR_OK);
    dot[1] = 0; /* the signature left out */
    CU_ASSERT_EQUAL(check(token, &subject, NULL), ERR_TOKEN_SIGNATURE);
    free(token);
    /* r = s = 0 verified everything in some implementations (CVE-2022-21449). */
    char zero[512];
    size_t len = base64url_encode(HEADER, strlen(HEADER), zero);
    zero[len++] = '.';
    len += base64url_encode(GOOD, strlen(GOOD), zero + len);
    snprintf(zero + len, sizeof zero - len, ".%0*d", 86, 0);
    for (char *c = zero + len + 1; *c; c++)
        *c = 'A';
    CU_ASSERT_EQUAL(check(zero, &subject, NULL), ERR_TOKEN_SIGNATURE);
}

static void text_that_is_no_token_is_refused(void)
{
    struct token_subject subject;
    static const char *const malformed[] = {
        "x", ".", "..", "a.b", "a.b.c.d", "a.b.c", "!!.e30.x", "e30=.e30.x", "e 30.e30.x",
    };
    for (size_t i = 0; i < sizeof malformed / sizeof malformed[0]; i++)
        CU_ASSERT_EQUAL(check(malformed[i], &subject, NULL), ERR_TOKEN_MALFORMED);
    CU_ASSERT_EQUAL(token_check(&rules, NULL, 0, &subject, NULL), ERR_TOKEN_MISSING);
    CU_ASSERT_EQUAL(token_check(&rules, "", 0, &subject, NULL), ERR_TOKEN_MISSING);
    char *token = mint("handfast", 60), *large = malloc(TOKEN_MAX + 1);
    memset(large, 'A', TOKEN_MAX + 1);
    CU_ASSERT_EQUAL(token_check(&rules, large, TOKEN_MAX + 1, &subject, NULL), ERR_TOKEN_MALFORMED);
    /* Cut anywhere, or with a bit flipped anywhere, it is nobody's. */
    size_t len = strlen(token);
    for (size_t cut = 0; cut < len; cut++)
        CU_ASSERT_NOT_EQUAL(token_check(&rules, token, cut, &subject, NULL), ERR_OK);
    for (size_t at = 0; at < len; at++) {
        token[at] ^= 4;
        CU_ASSERT_NOT_EQUAL(token_check(&rules, token, len, &subject, NULL), ERR_OK);
        token[at] ^= 4;
    }
    CU_ASSERT_EQUAL(token_check(&rules, token, len, &subject, NULL), ERR_OK);
    free(token);
    free(large);
}

/* The last character of a signature carries two bits only. */
static void second_spelling_of_a_token_is_refused(void)
{
    struct token_subject subject;
    char *token = mint("handfast", 60);
    char *last = token + strlen(token) - 1;
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    long value = strchr(alphabet, *last) - alphabet;
    *last = alphabet[value ^ 1];
    CU_ASSERT_EQUAL(check(token, &subject, NULL), ERR_TOKEN_SIGNATURE);
    free(token);
}

static void bearer_header_is_read_in_any_case(void)
{
    struct token_subject subject;
    char *token = mint("handfast", 60), header[2048];
    static const struct {
        const char *scheme;
        enum err_code code;
    } table[] = {
        {"Bearer ", ERR_OK},           {"bearer ", ERR_OK},           {"BEARER   ", ERR_OK},
        {"Basic ", ERR_TOKEN_MISSING}, {"Bearer", ERR_TOKEN_MISSING}, {"", ERR_TOKEN_MISSING},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        int len = snprintf(header, sizeof header, "%s%s", table[i].scheme, token);
        CU_ASSERT_EQUAL(token_check_bearer(&rules, header, (size_t)len, &subject, NULL),
                        table[i].code);
    }
    CU_ASSERT_EQUAL(token_check_bearer(&rules, NULL, 0, &subject, NULL), ERR_TOKEN_MISSING);
    CU_ASSERT_EQUAL(token_check_bearer(&rules, "Bearer ", 7, &subject, NULL), ERR_TOKEN_MISSING);
    free(token);
}

static void sentence_never_holds_the_token_or_control_characters(void)
{
    struct err err;
    struct token_subject subject;
    char *token = mint("other", 60);
    CU_ASSERT_EQUAL(check(token, &subject, &err), ERR_TOKEN_AUDIENCE);
    CU_ASSERT_PTR_NULL(strstr(err.text, "ey"));
    free(token);
    CU_ASSERT_EQUAL(check_forged(HEADER, WITH_AUD("\"a\\n\\u001b[31m\\\"x\""), &err),
                    ERR_TOKEN_AUDIENCE);
    for (const char *c = err.text; *c; c++)
        CU_ASSERT_TRUE(*c >= 0x20 && *c < 0x7f);
    /* A null where no sentence is wanted is fine everywhere. */
    CU_ASSERT_EQUAL(check_forged("{", GOOD, NULL), ERR_TOKEN_MALFORMED);
}

static void base64url_has_one_text_for_one_value(void)
{
    uint8_t bytes[64], back[64];
    char text[100];
    size_t len;
    unsigned seed = 3;
    for (size_t n = 0; n < sizeof bytes; n++) {
        for (size_t i = 0; i < n; i++)
            bytes[i] = (uint8_t)rand_r(&seed);
        size_t text_len = base64url_encode(bytes, n, text);
        CU_ASSERT_EQUAL(text_len, BASE64URL_TEXT_SIZE(n));
        CU_ASSERT_TRUE(base64url_decode(text, text_len, back, &len));
        CU_ASSERT_EQUAL(len, n);
        CU_ASSERT_TRUE(memcmp(bytes, back, n) == 0);
    }
    static const char *const bad[] = {"A", "AAAAA", "AB", "AAB", "AA==", "A+AA", "A/AA", "AA A"};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++)
        CU_ASSERT_FALSE(base64url_decode(bad[i], strlen(bad[i]), back, &len));
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(minted_token_speaks_for_its_service_account),
        SUITE_CASE(mint_refuses_names_that_are_none),
        SUITE_CASE(every_bad_token_has_its_own_reason),
        SUITE_CASE(nulls_inside_the_json_are_refused),
        SUITE_CASE(json_of_any_depth_and_length_is_refused_or_read),
        SUITE_CASE(parts_with_padding_or_space_are_refused),
        SUITE_CASE(signature_of_another_key_or_text_is_refused),
        SUITE_CASE(text_that_is_no_token_is_refused),
        SUITE_CASE(second_spelling_of_a_token_is_refused),
        SUITE_CASE(bearer_header_is_read_in_any_case),
        SUITE_CASE(sentence_never_holds_the_token_or_control_characters),
        SUITE_CASE(base64url_has_one_text_for_one_value),
        SUITE_END,
    };
    clock_fake(1000, (int64_t)NOW_S * 1000);
    key = tls_key_new();
    other_key = tls_key_new();
    struct signature_key *public_key = signature_key_of(key);
    rules = (struct token_rules){.key = public_key, .audience = "handfast"};
    int status = suite_main("token", cases, argc, argv);
    signature_key_unref(public_key);
    tls_key_unref(key);
    tls_key_unref(other_key);
    return status;
}
