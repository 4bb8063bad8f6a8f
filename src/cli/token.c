#include "token/token.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "cli/page.h"
#include "cli/verb.h"

enum { KEY_BYTES_MAX = 16 * 1024 };

static enum err_code load_key(const char *state, struct tls_key **key, struct err *err)
{
    char path[PATH_MAX], *pem;
    size_t len;
    if (snprintf(path, sizeof path, "%s/token-key.pem", state) >= (int)sizeof path)
        return err_set(err, ERR_INVALID, "the path %.80s... is too long", state);
    enum err_code code = file_read(path, KEY_BYTES_MAX, &pem, &len, err);
    if (code == ERR_NOT_FOUND)
        return err_set(err, ERR_NOT_FOUND,
                       "there is no %s: is %s the --state folder of a handfast-control that has "
                       "run once?",
                       path, state);
    if (code != ERR_OK)
        return code;
    code = tls_key_parse_pem(key, pem, len, err);
    explicit_bzero(pem, len);
    free(pem);
    return code == ERR_OK ? ERR_OK : err_wrap(err, "%s", path);
}

/* "ns/name" into the two halves of `text`. */
static bool split_account(char *text, struct token_claims *claims)
{
    char *slash = strchr(text, '/');
    if (!slash || slash == text || !slash[1] || strchr(slash + 1, '/'))
        return false;
    *slash = 0;
    claims->ns = text;
    claims->service_account = slash + 1;
    return true;
}

static void print_token(const struct verb_options *options, const char *token)
{
    if (!options->json) {
        printf("%s\n", token);
        return;
    }
    json_t *document =
        json_pack("{s:s, s:I}", "token", token, "expires_in_s", (json_int_t)options->ttl_s);
    page_json(document);
    json_decref(document);
}

int verb_token(const struct verb_options *options, struct err *err)
{
    char account[2 * TOKEN_NAME_MAX], *token;
    struct tls_key *key;
    struct token_claims claims = {.audience = options->audience, .ttl_s = options->ttl_s};
    if (!options->state || !options->service_account) {
        err_set(err, ERR_USAGE, "--state DIR and --service-account NS/NAME are needed");
        return VERB_USAGE;
    }
    if (snprintf(account, sizeof account, "%s", options->service_account) >= (int)sizeof account ||
        !split_account(account, &claims)) {
        err_set(err, ERR_USAGE, "--service-account: '%.80s' is not namespace/name",
                options->service_account);
        return VERB_USAGE;
    }
    if (load_key(options->state, &key, err) != ERR_OK)
        return VERB_FAILED;
    enum err_code code = token_mint(key, &claims, &token, err);
    tls_key_unref(key);
    if (code != ERR_OK)
        return VERB_FAILED;
    print_token(options, token);
    explicit_bzero(token, strlen(token));
    free(token);
    return VERB_DONE;
}
