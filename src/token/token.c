#include "token/token.h"

#include <jansson.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "token/base64url.h"

static const char subject_prefix[] = "system:serviceaccount:";
enum { TTL_MAX_S = 10 * 365 * 86400, JTI_BYTES = 16, SEGMENTS = 3 };

/* A Kubernetes name: lower-case labels and dots (RFC 1123). */
static bool is_name(const char *name, size_t max)
{
    size_t len = strlen(name);
    return len > 0 && len < TOKEN_NAME_MAX && len <= max &&
           strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-.") == len && name[0] != '-' &&
           name[0] != '.' && name[len - 1] != '-' && name[len - 1] != '.';
}

/* --- making one ------------------------------------------------------------------------------ */

static char *dump(json_t *object)
{
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    return text;
}

static char *make_claims(const struct token_claims *claims)
{
    char subject[sizeof subject_prefix + 2 * TOKEN_NAME_MAX], jti[2 * JTI_BYTES + 1];
    uint8_t random[JTI_BYTES];
    int64_t now = clock_wall_s();
    signature_random(random, sizeof random);
    for (size_t i = 0; i < sizeof random; i++)
        snprintf(jti + 2 * i, 3, "%02x", random[i]);
    snprintf(subject, sizeof subject, "%s%s:%s", subject_prefix, claims->ns,
             claims->service_account);
    return dump(json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:s}", "iss",
                          claims->issuer ? claims->issuer : TOKEN_ISSUER, "sub", subject, "aud",
                          claims->audience, "iat", (json_int_t)now, "nbf", (json_int_t)now, "exp",
                          (json_int_t)(now + claims->ttl_s), "jti", jti));
}

static enum err_code sign(const struct tls_key *key, const char *header, const char *claims,
                          char **token, struct err *err)
{
    uint8_t signature[SIGNATURE_SIZE];
    char *a = base64url_encode(header, strlen(header)),
         *b = base64url_encode(claims, strlen(claims));
    char *c = NULL, *signed_text = NULL;
    enum err_code code = ERR_NO_MEMORY;
    if (a && b && asprintf(&signed_text, "%s.%s", a, b) >= 0) {
        code = signature_sign(key, signed_text, strlen(signed_text), signature, err);
        c = code == ERR_OK ? base64url_encode(signature, sizeof signature) : NULL;
        if (!c || asprintf(token, "%s.%s", signed_text, c) < 0)
            code = ERR_NO_MEMORY;
    }
    free(a);
    free(b);
    free(c);
    free(signed_text);
    return code == ERR_OK ? ERR_OK : err_set(err, code, "no memory for a token");
}

enum err_code token_mint(const struct tls_key *key, const struct token_claims *claims, char **token,
                         struct err *err)
{
    if (!is_name(claims->ns, 63) || !is_name(claims->service_account, 253))
        return err_set(err, ERR_INVALID, "'%.100s/%.100s' is not a namespace and a service account",
                       claims->ns, claims->service_account);
    if (claims->ttl_s < 1 || claims->ttl_s > TTL_MAX_S)
        return err_set(err, ERR_INVALID, "a token that lives %lld s, expected 1 to %d",
                       (long long)claims->ttl_s, TTL_MAX_S);
    char *header = dump(json_pack("{s:s, s:s}", "alg", "ES256", "typ", "JWT"));
    char *body = make_claims(claims);
    enum err_code code = header && body ? sign(key, header, body, token, err)
                                        : err_set(err, ERR_NO_MEMORY, "no memory for a token");
    free(header);
    free(body);
    return code;
}

/* --- checking one ----------------------------------------------------------------------------- */

struct segment {
    const char *at;
    size_t len;
};

static enum err_code malformed(struct err *err, const char *why)
{
    return err_set(err, ERR_TOKEN_MALFORMED, "the token is not a JWT: %s", why);
}

static enum err_code split(const char *token, size_t len, struct segment out[SEGMENTS],
                           struct err *err)
{
    size_t count = 0, from = 0;
    if (len > TOKEN_MAX)
        return err_set(err, ERR_TOKEN_MALFORMED,
                       "the token has %zu bytes, at most %d are looked at", len, TOKEN_MAX);
    for (size_t i = 0; i <= len; i++) {
        if (i < len && token[i] != '.')
            continue;
        if (count == SEGMENTS || i == from)
            return malformed(err, "expected three parts, separated by dots");
        out[count++] = (struct segment){token + from, i - from};
        from = i + 1;
    }
    return count == SEGMENTS ? ERR_OK : malformed(err, "expected three parts, separated by dots");
}

/* NULL: *err says which part is what it should not be. */
static json_t *open_json(struct segment part, const char *what, struct err *err)
{
    size_t len;
    char why[80];
    json_error_t ignored;
    char *text = base64url_decode(part.at, part.len, &len);
    json_t *object = text ? json_loadb(text, len, JSON_REJECT_DUPLICATES, &ignored) : NULL;
    if (!object || !json_is_object(object)) {
        snprintf(why, sizeof why, "the %s is not %s", what, text ? "a JSON object" : "base64url");
        malformed(err, why);
        json_decref(object);
        object = NULL;
    }
    free(text);
    return object;
}

static enum err_code check_header(const json_t *header, struct err *err)
{
    const char *alg = json_string_value(json_object_get(header, "alg"));
    if (!alg || strcmp(alg, "ES256") != 0)
        return err_set(err, ERR_TOKEN_ALG, "the token's algorithm is '%.20s', expected ES256",
                       alg ? alg : "missing");
    if (json_object_get(header, "crit"))
        return malformed(err, "its header has critical extensions that we do not know");
    return ERR_OK;
}

static enum err_code check_signature(const struct token_rules *rules, const char *token,
                                     const struct segment parts[SEGMENTS], struct err *err)
{
    size_t len = 0, signed_len = (size_t)(parts[1].at + parts[1].len - token);
    char *signature = base64url_decode(parts[2].at, parts[2].len, &len);
    bool good = signature && signature_verify(rules->key, token, signed_len, signature, len);
    free(signature);
    return good ? ERR_OK
                : err_set(err, ERR_TOKEN_SIGNATURE,
                          "the token's signature is not by the key of this control plane");
}

static bool is_audience(const json_t *aud, const char *wanted)
{
    size_t i;
    json_t *one;
    if (json_is_string(aud))
        return strcmp(json_string_value(aud), wanted) == 0;
    json_array_foreach(aud, i, one)
    {
        if (json_is_string(one) && strcmp(json_string_value(one), wanted) == 0)
            return true;
    }
    return false;
}

static enum err_code check_times(const json_t *claims, int64_t *expires_s, struct err *err)
{
    const json_t *exp = json_object_get(claims, "exp"), *nbf = json_object_get(claims, "nbf");
    char limit[CLOCK_TEXT_MAX], now_text[CLOCK_TEXT_MAX];
    int64_t now = clock_wall_s();
    clock_format(now, now_text);
    if (!json_is_integer(exp) || (nbf && !json_is_integer(nbf)))
        return malformed(err, "exp is missing, or exp or nbf is not a whole number");
    *expires_s = json_integer_value(exp);
    if (*expires_s + TOKEN_LEEWAY_S <= now)
        return err_set(err, ERR_TOKEN_EXPIRED, "the token expired at %s; our clock says %s",
                       clock_format(*expires_s, limit), now_text);
    if (nbf && json_integer_value(nbf) - TOKEN_LEEWAY_S > now)
        return err_set(err, ERR_TOKEN_NOT_YET_VALID,
                       "the token is valid from %s; our clock says %s",
                       clock_format(json_integer_value(nbf), limit), now_text);
    return ERR_OK;
}

static enum err_code read_subject(const json_t *claims, struct token_subject *out, struct err *err)
{
    const char *sub = json_string_value(json_object_get(claims, "sub"));
    const char *rest = NULL, *colon = NULL;
    if (sub && strncmp(sub, subject_prefix, sizeof subject_prefix - 1) == 0)
        rest = sub + sizeof subject_prefix - 1;
    colon = rest ? strchr(rest, ':') : NULL;
    if (colon && (size_t)(colon - rest) < sizeof out->ns) {
        snprintf(out->ns, sizeof out->ns, "%.*s", (int)(colon - rest), rest);
        snprintf(out->service_account, sizeof out->service_account, "%s", colon + 1);
        if (is_name(out->ns, 63) && strlen(colon + 1) < sizeof out->service_account &&
            is_name(out->service_account, 253))
            return ERR_OK;
    }
    return err_set(err, ERR_TOKEN_SUBJECT,
                   "the token's subject is '%.120s', expected %s<namespace>:<service account>",
                   sub ? sub : "missing", subject_prefix);
}

static enum err_code check_claims(const struct token_rules *rules, const json_t *claims,
                                  struct token_subject *out, struct err *err)
{
    const char *issuer = rules->issuer ? rules->issuer : TOKEN_ISSUER;
    const char *iss = json_string_value(json_object_get(claims, "iss"));
    if (!iss || strcmp(iss, issuer) != 0)
        return err_set(err, ERR_TOKEN_ISSUER, "the token's issuer is '%.80s', expected '%s'",
                       iss ? iss : "missing", issuer);
    const json_t *aud = json_object_get(claims, "aud");
    if (!is_audience(aud, rules->audience))
        return err_set(err, ERR_TOKEN_AUDIENCE, "the token's audience is '%.80s', expected '%s'",
                       json_is_string(aud) ? json_string_value(aud) : "another or none",
                       rules->audience);
    enum err_code code = check_times(claims, &out->expires_s, err);
    return code == ERR_OK ? read_subject(claims, out, err) : code;
}

enum err_code token_check(const struct token_rules *rules, const char *token, size_t len,
                          struct token_subject *out, struct err *err)
{
    struct segment parts[SEGMENTS];
    struct token_subject subject = {0};
    if (!token || len == 0)
        return err_set(err, ERR_TOKEN_MISSING, "%s", err_sentence(ERR_TOKEN_MISSING));
    enum err_code code = split(token, len, parts, err);
    if (code != ERR_OK)
        return code;
    json_t *header = open_json(parts[0], "header", err);
    code = header ? check_header(header, err) : ERR_TOKEN_MALFORMED;
    json_decref(header);
    if (code == ERR_OK)
        code = check_signature(rules, token, parts, err);
    if (code != ERR_OK)
        return code;
    json_t *claims = open_json(parts[1], "body", err);
    code = claims ? check_claims(rules, claims, &subject, err) : ERR_TOKEN_MALFORMED;
    json_decref(claims);
    if (code == ERR_OK)
        *out = subject;
    return code;
}

enum err_code token_check_bearer(const struct token_rules *rules, const char *header, size_t len,
                                 struct token_subject *out, struct err *err)
{
    static const char scheme[] = "Bearer ";
    if (!header || len < sizeof scheme - 1 || strncasecmp(header, scheme, sizeof scheme - 1) != 0)
        return err_set(err, ERR_TOKEN_MISSING, "%s", err_sentence(ERR_TOKEN_MISSING));
    return token_check(rules, header + sizeof scheme - 1, len - (sizeof scheme - 1), out, err);
}
