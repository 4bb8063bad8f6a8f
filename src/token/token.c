#include "token/token.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "base/clock.h"
#include "token/base64url.h"
#include "token/claims.h"

enum { JTI_BYTES = 16, TTL_MAX_S = 3650 * 86400, QUOTE_MAX = 60 };

/* --- making --- */

static json_t *make_claims(const struct token_claims *claims)
{
    uint8_t random[JTI_BYTES];
    char jti[BASE64URL_TEXT_SIZE(JTI_BYTES)];
    int64_t now_s = clock_wall_s();
    signature_random(random, sizeof random);
    size_t jti_len = base64url_encode(random, sizeof random, jti);
    char subject[2 * TOKEN_NAME_MAX + 32];
    snprintf(subject, sizeof subject, "system:serviceaccount:%s:%s", claims->ns,
             claims->service_account);
    return json_pack("{s:s, s:s, s:s, s:I, s:I, s:I, s:s%}", "iss",
                     claims->issuer ? claims->issuer : TOKEN_ISSUER, "sub", subject, "aud",
                     claims->audience, "iat", (json_int_t)now_s, "nbf", (json_int_t)now_s, "exp",
                     (json_int_t)(now_s + claims->ttl_s), "jti", jti, jti_len);
}

/* header "." claims "." signature (RFC 7515 section 3.1). */
static char *assemble(const struct tls_key *key, const char *claims, struct err *err)
{
    static const char header[] = "{\"alg\":\"ES256\",\"typ\":\"JWT\"}";
    size_t claims_len = strlen(claims);
    char *token = malloc(BASE64URL_TEXT_SIZE(sizeof header) + BASE64URL_TEXT_SIZE(claims_len) +
                         BASE64URL_TEXT_SIZE(SIGNATURE_SIZE) + 3);
    uint8_t signature[SIGNATURE_SIZE];
    if (!token)
        return NULL;
    size_t len = base64url_encode(header, sizeof header - 1, token);
    token[len++] = '.';
    len += base64url_encode(claims, claims_len, token + len);
    if (signature_sign(key, token, len, signature, err) != ERR_OK) {
        free(token);
        return NULL;
    }
    token[len++] = '.';
    len += base64url_encode(signature, sizeof signature, token + len);
    token[len] = 0;
    return token;
}

enum err_code token_mint(const struct tls_key *key, const struct token_claims *claims, char **token,
                         struct err *err)
{
    *token = NULL;
    if (!claims_is_namespace(claims->ns, strlen(claims->ns)))
        return err_set(err, ERR_INVALID, "\"%.64s\" is no namespace, expected a DNS label",
                       claims->ns);
    if (!claims_is_service_account(claims->service_account, strlen(claims->service_account)))
        return err_set(err, ERR_INVALID,
                       "\"%.64s\" is no service account, expected a DNS subdomain",
                       claims->service_account);
    if (!claims->audience || !claims->audience[0])
        return err_set(err, ERR_INVALID, "a token needs an audience");
    if (claims->ttl_s < 1 || claims->ttl_s > TTL_MAX_S)
        return err_set(err, ERR_INVALID, "a lifetime of %lld s, expected 1 to %d",
                       (long long)claims->ttl_s, TTL_MAX_S);
    json_t *object = make_claims(claims);
    char *text = object ? json_dumps(object, JSON_COMPACT) : NULL;
    json_decref(object);
    if (text)
        *token = assemble(key, text, err);
    free(text);
    if (!*token)
        return err_set(err, ERR_NO_MEMORY, "no memory to make a token");
    if (strlen(*token) <= TOKEN_MAX)
        return ERR_OK;
    free(*token);
    *token = NULL;
    return err_set(err, ERR_INVALID, "the token would have over %d bytes", TOKEN_MAX);
}

/* --- checking --- */

struct part {
    const char *text;
    size_t len;
};

/* header, claims, signature: exactly three parts, none empty but perhaps the last (an unsigned
 * token is refused for its algorithm, which tells the operator more). */
static enum err_code split(const char *token, size_t len, struct part parts[3], struct err *err)
{
    unsigned count = 0;
    size_t start = 0;
    for (size_t i = 0; i <= len; i++) {
        if (i < len && token[i] != '.')
            continue;
        if (count < 3)
            parts[count] = (struct part){token + start, i - start};
        count++;
        start = i + 1;
    }
    if (count != 3 || parts[0].len == 0 || parts[1].len == 0)
        return err_set(err, ERR_TOKEN_MALFORMED,
                       "the token has %u parts, expected three: header.claims.signature", count);
    return ERR_OK;
}

/* A JSON object from a part; duplicate keys, nulls and anything behind it are refused. */
static json_t *read_object(const struct part *part, const char *what, struct err *err)
{
    uint8_t *bytes = malloc(BASE64URL_BYTES_SIZE(part->len));
    size_t len;
    json_t *object = NULL;
    if (!bytes) {
        err_set(err, ERR_NO_MEMORY, "no memory to read a token");
        return NULL;
    }
    if (!base64url_decode(part->text, part->len, bytes, &len)) {
        err_set(err, ERR_TOKEN_MALFORMED, "the token's %s is not base64url without padding", what);
    } else {
        json_error_t why;
        object = json_loadb((const char *)bytes, len, JSON_REJECT_DUPLICATES, &why);
        if (!json_is_object(object)) {
            err_set(err, ERR_TOKEN_MALFORMED, "the token's %s is not a JSON object: %s", what,
                    object                                              ? "another kind of value"
                    : json_error_code(&why) == json_error_duplicate_key ? "a key is there twice"
                                                                        : "it cannot be parsed");
            json_decref(object);
            object = NULL;
        }
    }
    explicit_bzero(bytes, BASE64URL_BYTES_SIZE(part->len));
    free(bytes);
    return object;
}

/* RFC 8725 section 3.1: the algorithm is ours to choose, not the token's. */
static enum err_code check_header(const struct part *part, struct err *err)
{
    json_t *header = read_object(part, "header", err);
    if (!header)
        return err ? err->code : ERR_TOKEN_MALFORMED;
    const json_t *alg = json_object_get(header, "alg"), *typ = json_object_get(header, "typ");
    const char *name = json_is_string(alg) ? json_string_value(alg) : NULL;
    char quoted[QUOTE_MAX];
    enum err_code code = ERR_OK;
    if (!name || strcmp(name, "ES256") != 0)
        code =
            err_set(err, ERR_TOKEN_ALG, "the token's algorithm is \"%s\", expected \"ES256\"",
                    claims_quote(name ? name : "", name ? strlen(name) : 0, quoted, sizeof quoted));
    else if (json_object_get(header, "crit"))
        code = err_set(err, ERR_TOKEN_MALFORMED,
                       "the token's header has \"crit\": it asks for an extension, expected none");
    else if (typ && (!json_is_string(typ) || strcasecmp(json_string_value(typ), "JWT") != 0))
        code = err_set(err, ERR_TOKEN_MALFORMED,
                       "the token's header has another \"typ\" than \"JWT\"");
    json_decref(header);
    return code;
}

static enum err_code check_signature(const struct token_rules *rules, const char *token,
                                     const struct part *part, struct err *err)
{
    uint8_t signature[BASE64URL_BYTES_SIZE(BASE64URL_TEXT_SIZE(SIGNATURE_SIZE))];
    size_t len = 0;
    if (part->len != BASE64URL_TEXT_SIZE(SIGNATURE_SIZE) ||
        !base64url_decode(part->text, part->len, signature, &len))
        return err_set(err, ERR_TOKEN_SIGNATURE,
                       "the token's signature has %zu characters, expected %d of base64url",
                       part->len, (int)BASE64URL_TEXT_SIZE(SIGNATURE_SIZE));
    size_t signed_len = (size_t)(part->text - token) - 1;
    if (signature_verify(rules->key, token, signed_len, signature, len))
        return ERR_OK;
    return err_set(err, ERR_TOKEN_SIGNATURE,
                   "the token's signature is not by the key of this control plane");
}

enum err_code token_check(const struct token_rules *rules, const char *token, size_t len,
                          struct token_subject *out, struct err *err)
{
    struct part parts[3];
    struct err unwanted;
    err = err ? err : &unwanted;
    if (!token || len == 0)
        return err_set(err, ERR_TOKEN_MISSING, "there is no bearer token, expected a JWT");
    if (len > TOKEN_MAX)
        return err_set(err, ERR_TOKEN_MALFORMED, "the token has %zu bytes, expected at most %d",
                       len, TOKEN_MAX);
    enum err_code code = split(token, len, parts, err);
    if (code == ERR_OK)
        code = check_header(&parts[0], err);
    if (code == ERR_OK)
        code = check_signature(rules, token, &parts[2], err);
    if (code != ERR_OK)
        return code;
    json_t *claims = read_object(&parts[1], "claims", err);
    if (!claims)
        return err->code;
    code = claims_check(claims, rules, out, err);
    json_decref(claims);
    return code;
}

enum err_code token_check_bearer(const struct token_rules *rules, const char *header, size_t len,
                                 struct token_subject *out, struct err *err)
{
    static const char scheme[] = "Bearer ";
    enum { SCHEME_LEN = sizeof scheme - 1 };
    if (!header || len == 0)
        return err_set(err, ERR_TOKEN_MISSING,
                       "there is no authorization header, expected \"Bearer\" and a JWT");
    if (len < SCHEME_LEN || strncasecmp(header, scheme, SCHEME_LEN) != 0)
        return err_set(err, ERR_TOKEN_MISSING,
                       "the authorization header is of another scheme, expected \"Bearer\"");
    /* RFC 9110 section 11.4 allows more than one space. */
    size_t at = SCHEME_LEN;
    while (at < len && header[at] == ' ')
        at++;
    return token_check(rules, header + at, len - at, out, err);
}
