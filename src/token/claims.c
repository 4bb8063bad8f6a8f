#include "token/claims.h"

#include <stdio.h>
#include <string.h>

#include "base/clock.h"

enum { QUOTE_MAX = 100, LABEL_MAX = 63, SUBDOMAIN_MAX = 253 };

static const char subject_prefix[] = "system:serviceaccount:";

const char *claims_quote(const char *value, size_t len, char *text, size_t size)
{
    size_t n = len < size - 1 ? len : size - 1;
    for (size_t i = 0; i < n; i++)
        text[i] = value[i] >= 0x20 && value[i] < 0x7f && value[i] != '"' ? value[i] : '?';
    text[n] = 0;
    return text;
}

/* Labels of lower-case letters, digits and inner hyphens, joined by dots when `dots`. */
static bool is_name(const char *text, size_t len, size_t max, bool dots)
{
    char before = '.';
    if (len == 0 || len > max)
        return false;
    for (size_t i = 0; i < len; i++) {
        char c = text[i];
        bool letter = (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
        bool inner = c == '-' && before != '.';
        bool dot = c == '.' && dots && before != '.' && before != '-';
        if (!letter && !inner && !dot)
            return false;
        before = c;
    }
    return before != '.' && before != '-';
}

bool claims_is_namespace(const char *text, size_t len)
{
    return is_name(text, len, LABEL_MAX, false);
}

bool claims_is_service_account(const char *text, size_t len)
{
    return is_name(text, len, SUBDOMAIN_MAX, true);
}

static bool is_text(const json_t *value, const char *expected)
{
    return json_is_string(value) && json_string_length(value) == strlen(expected) &&
           memcmp(json_string_value(value), expected, strlen(expected)) == 0;
}

static const char *describe(const json_t *value, char text[QUOTE_MAX])
{
    char inner[QUOTE_MAX - 4];
    if (json_is_string(value))
        snprintf(
            text, QUOTE_MAX, "\"%s\"",
            claims_quote(json_string_value(value), json_string_length(value), inner, sizeof inner));
    else if (json_is_array(value))
        snprintf(text, QUOTE_MAX, "%zu others", json_array_size(value));
    else
        snprintf(text, QUOTE_MAX, "%s", value ? "something that is no text" : "nobody");
    return text;
}

static enum err_code check_issuer(const json_t *claims, const struct token_rules *rules,
                                  struct err *err)
{
    const char *expected = rules->issuer ? rules->issuer : TOKEN_ISSUER;
    const json_t *issuer = json_object_get(claims, "iss");
    char found[QUOTE_MAX];
    if (is_text(issuer, expected))
        return ERR_OK;
    return err_set(err, ERR_TOKEN_ISSUER, "the token is issued by %s, expected \"%.100s\"",
                   describe(issuer, found), expected);
}

/* RFC 7519 section 4.1.3: a text, or an array of which one must be us. */
static enum err_code check_audience(const json_t *claims, const struct token_rules *rules,
                                    struct err *err)
{
    const json_t *audience = json_object_get(claims, "aud");
    char found[QUOTE_MAX];
    size_t i;
    json_t *one;
    if (is_text(audience, rules->audience))
        return ERR_OK;
    bool all_texts = json_is_array(audience), ours = false;
    json_array_foreach(audience, i, one)
    {
        all_texts = all_texts && json_is_string(one);
        ours = ours || is_text(one, rules->audience);
    }
    if (all_texts && ours)
        return ERR_OK;
    if (json_is_array(audience) && json_array_size(audience) == 1 && all_texts)
        audience = json_array_get(audience, 0);
    return err_set(err, ERR_TOKEN_AUDIENCE, "the token is for the audience %s, expected \"%.100s\"",
                   describe(audience, found), rules->audience);
}

/* A NumericDate (RFC 7519 section 2) may have a fraction; false when it is none or absurd. */
static bool read_time(const json_t *value, int64_t *seconds)
{
    static const double limit = 1e12; /* beyond the year 30000 */
    double number = json_number_value(value);
    if (!json_is_number(value) || !(number >= 0 && number <= limit))
        return false;
    *seconds = json_is_integer(value) ? json_integer_value(value) : (int64_t)number;
    return true;
}

static enum err_code check_begin(const json_t *claims, const char *name, int64_t now_s,
                                 struct err *err)
{
    char begin[CLOCK_TEXT_MAX], now[CLOCK_TEXT_MAX];
    const json_t *value = json_object_get(claims, name);
    int64_t begin_s;
    if (!value)
        return ERR_OK;
    if (!read_time(value, &begin_s))
        return err_set(err, ERR_TOKEN_MALFORMED, "the token's \"%s\" is no time, expected seconds",
                       name);
    if (begin_s <= now_s + TOKEN_LEEWAY_S)
        return ERR_OK;
    return err_set(err, ERR_TOKEN_NOT_YET_VALID,
                   "the token's \"%s\" is %s, our clock says %s, expected at most %d s ahead", name,
                   clock_format(begin_s, begin), clock_format(now_s, now), TOKEN_LEEWAY_S);
}

static enum err_code check_times(const json_t *claims, int64_t *expires_s, struct err *err)
{
    char end[CLOCK_TEXT_MAX], now[CLOCK_TEXT_MAX];
    int64_t now_s = clock_wall_s();
    if (!read_time(json_object_get(claims, "exp"), expires_s))
        return err_set(err, ERR_TOKEN_MALFORMED, "the token has no \"exp\", expected seconds");
    if (*expires_s + TOKEN_LEEWAY_S <= now_s)
        return err_set(err, ERR_TOKEN_EXPIRED,
                       "the token expired at %s, our clock says %s, expected at most %d s later",
                       clock_format(*expires_s, end), clock_format(now_s, now), TOKEN_LEEWAY_S);
    enum err_code code = check_begin(claims, "nbf", now_s, err);
    return code == ERR_OK ? check_begin(claims, "iat", now_s, err) : code;
}

static enum err_code check_subject(const json_t *claims, struct token_subject *out, struct err *err)
{
    enum { PREFIX_LEN = sizeof subject_prefix - 1 };
    const json_t *value = json_object_get(claims, "sub");
    const char *text = json_is_string(value) ? json_string_value(value) : "";
    size_t len = json_is_string(value) ? json_string_length(value) : 0;
    char found[QUOTE_MAX];
    if (len > PREFIX_LEN && memcmp(text, subject_prefix, PREFIX_LEN) == 0) {
        const char *ns = text + PREFIX_LEN;
        const char *colon = memchr(ns, ':', len - PREFIX_LEN);
        size_t ns_len = colon ? (size_t)(colon - ns) : 0;
        size_t account_len = colon ? len - PREFIX_LEN - ns_len - 1 : 0;
        if (colon && claims_is_namespace(ns, ns_len) &&
            claims_is_service_account(colon + 1, account_len)) {
            memcpy(out->ns, ns, ns_len);
            memcpy(out->service_account, colon + 1, account_len);
            out->ns[ns_len] = out->service_account[account_len] = 0;
            return ERR_OK;
        }
    }
    return err_set(err, ERR_TOKEN_SUBJECT,
                   "the token's subject is %s, expected "
                   "\"system:serviceaccount:<namespace>:<service account>\"",
                   describe(value, found));
}

enum err_code claims_check(const json_t *claims, const struct token_rules *rules,
                           struct token_subject *out, struct err *err)
{
    struct token_subject subject;
    enum err_code code = check_issuer(claims, rules, err);
    if (code == ERR_OK)
        code = check_audience(claims, rules, err);
    if (code == ERR_OK)
        code = check_times(claims, &subject.expires_s, err);
    if (code == ERR_OK)
        code = check_subject(claims, &subject, err);
    if (code == ERR_OK)
        *out = subject;
    return code;
}
