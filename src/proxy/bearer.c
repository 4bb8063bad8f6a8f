#include "proxy/bearer.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"

static bool is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

enum err_code bearer_read(const char *path, char **token, struct err *err)
{
    char *text = NULL;
    size_t len = 0, skip = 0;
    enum err_code code = file_read(path, BEARER_MAX, &text, &len, err);
    if (code == ERR_NOT_FOUND)
        return err_set(err, ERR_TOKEN_MISSING, "there is no token file %s", path);
    if (code != ERR_OK)
        return err_wrap(err, "token file %s", path);
    while (len > 0 && is_space(text[len - 1]))
        len--;
    while (skip < len && is_space(text[skip]))
        skip++;
    len -= skip;
    memmove(text, text + skip, len);
    text[len] = 0;
    if (len == 0)
        code = err_set(err, ERR_TOKEN_MISSING, "the token file %s is empty", path);
    for (size_t i = 0; i < len && code == ERR_OK; i++) {
        if (text[i] <= ' ' || text[i] >= 0x7f)
            code = err_set(err, ERR_TOKEN_MALFORMED, "the token file %s holds no token", path);
    }
    if (code != ERR_OK)
        bearer_free(text);
    else
        *token = text;
    return code;
}

void bearer_free(char *token)
{
    if (!token)
        return;
    explicit_bzero(token, strlen(token));
    free(token);
}
