#include "injector/document.h"

#include <stdbool.h>

#include "injector/value.h"

/* Counts what the parser would have to make, before it makes anything. Where the text is no JSON
 * the counts mean nothing, and the parser says so. */
static enum err_code check_ceilings(const char *text, size_t len, struct err *err)
{
    unsigned depth = 0, values = 1;
    bool in_string = false;
    for (size_t i = 0; i < len; i++) {
        if (in_string) {
            if (text[i] == '\\')
                i++;
            else if (text[i] == '"')
                in_string = false;
            continue;
        }
        switch (text[i]) {
        case '"':
            in_string = true;
            break;
        case '{':
        case '[':
            depth++;
            values++;
            break;
        case '}':
        case ']':
            depth -= depth > 0;
            break;
        case ',':
            values++;
            break;
        default:
            break;
        }
        if (depth > DOCUMENT_DEPTH_MAX)
            return err_set(err, ERR_TOO_LARGE, "the JSON is nested deeper than %d",
                           DOCUMENT_DEPTH_MAX);
        if (values > DOCUMENT_VALUES_MAX)
            return err_set(err, ERR_TOO_LARGE, "the JSON has more than %d values",
                           DOCUMENT_VALUES_MAX);
    }
    return ERR_OK;
}

enum err_code document_parse(json_t **out, const char *text, size_t len, struct err *err)
{
    json_error_t error;
    char shown[JSON_ERROR_TEXT_LENGTH];
    if (len > DOCUMENT_MAX_BYTES)
        return err_set(err, ERR_TOO_LARGE, "the JSON is %zu bytes, more than %d", len,
                       DOCUMENT_MAX_BYTES);
    enum err_code code = check_ceilings(text, len, err);
    if (code != ERR_OK)
        return code;
    *out = json_loadb(text, len, JSON_REJECT_DUPLICATES, &error);
    if (*out)
        return ERR_OK;
    return err_set(err, ERR_INVALID, "not JSON: line %d column %d: %s", error.line, error.column,
                   value_printable(error.text, shown, sizeof shown));
}
