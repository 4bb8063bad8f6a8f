#include "injector/quantity.h"

#include <stdlib.h>
#include <string.h>

static const struct {
    const char *suffix;
    double factor;
} units[] = {
    {"", 1},
    {"n", 1e-9},
    {"u", 1e-6},
    {"m", 1e-3},
    {"k", 1e3},
    {"M", 1e6},
    {"G", 1e9},
    {"T", 1e12},
    {"P", 1e15},
    {"E", 1e18},
    {"Ki", 1024.0},
    {"Mi", 1048576.0},
    {"Gi", 1073741824.0},
    {"Ti", 1099511627776.0},
    {"Pi", 1125899906842624.0},
    {"Ei", 1152921504606846976.0},
};

static const char digits[] = "0123456789";

/* "12", "1.5", "1." or ".5": its length, or 0. */
static size_t number_length(const char *text)
{
    size_t whole = strspn(text, digits), length = whole;
    if (text[length] == '.') {
        size_t part = strspn(text + length + 1, digits);
        if (whole + part == 0)
            return 0;
        length += 1 + part;
    }
    return length;
}

/* "e3", "E-3": a decimal exponent, as opposed to the suffix E. */
static bool is_exponent(const char *text)
{
    if (*text != 'e' && *text != 'E')
        return false;
    text++;
    if (*text == '+' || *text == '-')
        text++;
    size_t length = strspn(text, digits);
    return length > 0 && length <= 2 && text[length] == 0;
}

bool quantity_parse(const char *text, double *out)
{
    if (strlen(text) >= QUANTITY_TEXT_MAX)
        return false;
    if (*text == '+')
        text++;
    size_t length = number_length(text);
    if (length == 0)
        return false;
    if (is_exponent(text + length)) {
        *out = strtod(text, NULL);
        return true;
    }
    char number[QUANTITY_TEXT_MAX];
    memcpy(number, text, length);
    number[length] = 0;
    for (unsigned i = 0; i < sizeof units / sizeof units[0]; i++) {
        if (strcmp(text + length, units[i].suffix) == 0) {
            *out = strtod(number, NULL) * units[i].factor;
            return true;
        }
    }
    return false;
}
