#include "kube/json.h"

#include <stdlib.h>
#include <string.h>

static const char null_escape[] = "\\u0000", replacement[] = "\\ufffd";

enum { ESCAPE_LEN = sizeof null_escape - 1 };

/* A backslash that another one escapes begins nothing. */
static void replace_nulls(char *bytes, size_t len)
{
    for (size_t at = 0; at + 1 < len; at++) {
        if (bytes[at] != '\\')
            continue;
        if (len - at >= ESCAPE_LEN && memcmp(bytes + at, null_escape, ESCAPE_LEN) == 0)
            memcpy(bytes + at, replacement, ESCAPE_LEN);
        at++;
    }
}

json_t *kube_json_load(const char *bytes, size_t len, json_error_t *error)
{
    if (!bytes || !memmem(bytes, len, null_escape, ESCAPE_LEN))
        return json_loadb(bytes ? bytes : "", len, 0, error);
    json_error_t unused;
    char *copy = malloc(len);
    if (!copy) {
        *(error ? error : &unused) = (json_error_t){.text = "out of memory"};
        return NULL;
    }
    memcpy(copy, bytes, len);
    replace_nulls(copy, len);
    json_t *value = json_loadb(copy, len, 0, error);
    free(copy);
    return value;
}
