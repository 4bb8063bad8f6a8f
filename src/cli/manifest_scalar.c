#include "cli/manifest_scalar.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

enum { NUMBER_MAX = 64 };

static bool is_one_of(const char *text, const char *const *words)
{
    for (; *words; words++) {
        if (strcmp(text, *words) == 0)
            return true;
    }
    return false;
}

static const char *const nulls[] = {"", "~", "null", "Null", "NULL", NULL};
static const char *const yes[] = {"y",    "Y",    "yes", "Yes", "YES", "true",
                                  "True", "TRUE", "on",  "On",  "ON",  NULL};
static const char *const no[] = {"n",     "N",     "no",  "No",  "NO",  "false",
                                 "False", "FALSE", "off", "Off", "OFF", NULL};
static const char *const not_finite[] = {".inf",  ".Inf",  ".INF",  "+.inf", "+.Inf",
                                         "+.INF", "-.inf", "-.Inf", "-.INF", ".nan",
                                         ".NaN",  ".NAN",  NULL};

/* The digits of an integer behind its sign and prefix, and their base; NULL: it is none. */
static const char *integer_digits(const char *text, int *base)
{
    static const char all[] = "0123456789abcdefABCDEF";
    *base = 10;
    if (*text == '+' || *text == '-')
        text++;
    if (text[0] == '0' && text[1]) {
        char mark = text[1];
        *base = mark == 'x' || mark == 'X' ? 16 : mark == 'b' || mark == 'B' ? 2 : 8;
        text += *base != 8 || mark == 'o' || mark == 'O' ? 2 : 1;
    }
    size_t allowed = *base == 16 ? sizeof all - 1 : (size_t)*base;
    char digits[sizeof all];
    memcpy(digits, all, allowed);
    digits[allowed] = 0;
    return *text && text[strspn(text, digits)] == 0 ? text : NULL;
}

static bool is_decimal(const char *text)
{
    static const char digits[] = "0123456789";
    if (*text == '+' || *text == '-')
        text++;
    size_t whole = strspn(text, digits), part = 0;
    text += whole;
    if (*text == '.') {
        part = strspn(text + 1, digits);
        text += 1 + part;
    }
    if (whole + part == 0)
        return false;
    if (*text == 'e' || *text == 'E') {
        text++;
        if (*text == '+' || *text == '-')
            text++;
        size_t exponent = strspn(text, digits);
        if (exponent == 0)
            return false;
        text += exponent;
    }
    return *text == 0;
}

/* The number without the underscores that YAML allows in it; NULL: it cannot be one. */
static json_t *resolve_number(const char *text)
{
    char plain[NUMBER_MAX];
    size_t len = 0;
    int base;
    if (!strchr("+-.0123456789", *text) || strlen(text) >= sizeof plain)
        return NULL;
    for (; *text; text++) {
        if (*text != '_')
            plain[len++] = *text;
    }
    plain[len] = 0;
    const char *digits = integer_digits(plain, &base);
    if (digits) {
        errno = 0;
        long long number = strtoll(digits, NULL, base);
        if (errno == 0)
            return json_integer(*plain == '-' ? -number : number);
    }
    return is_decimal(plain) ? json_real(strtod(plain, NULL)) : NULL;
}

json_t *manifest_scalar_resolve(const char *text, size_t len)
{
    if (strlen(text) != len)
        return NULL; /* a null inside */
    if (is_one_of(text, nulls))
        return json_null();
    if (is_one_of(text, yes))
        return json_true();
    if (is_one_of(text, no))
        return json_false();
    if (is_one_of(text, not_finite))
        return NULL;
    json_t *number = resolve_number(text);
    return number ? number : json_string(text);
}

bool manifest_scalar_needs_quotes(const char *text)
{
    static const char like_numbers[] = "+.0123456789";
    const char *number = *text == '-' ? text + 1 : text;
    return is_one_of(text, nulls) || is_one_of(text, yes) || is_one_of(text, no) ||
           strchr(like_numbers, *number) != NULL || *text == '=' || *text == '<';
}
