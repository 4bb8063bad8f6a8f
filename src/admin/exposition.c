#include "admin/exposition.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static bool reserve(struct exposition *text, size_t more)
{
    if (text->failed)
        return false;
    if (more > EXPOSITION_MAX - text->len) {
        text->failed = ERR_TOO_LARGE;
        return false;
    }
    size_t wanted = text->len + more + 1;
    if (wanted <= text->capacity)
        return true;
    size_t capacity = text->capacity ? text->capacity : 4096;
    while (capacity < wanted)
        capacity *= 2;
    char *bigger = realloc(text->data, capacity);
    if (!bigger) {
        text->failed = ERR_NO_MEMORY;
        return false;
    }
    text->data = bigger;
    text->capacity = capacity;
    return true;
}

static void put(struct exposition *text, const char *bytes, size_t len)
{
    if (!reserve(text, len))
        return;
    memcpy(text->data + text->len, bytes, len);
    text->len += len;
    text->data[text->len] = 0;
}

static void put_text(struct exposition *text, const char *word)
{
    put(text, word, strlen(word));
}

/* Bytes of the UTF-8 character at `at` (RFC 3629 section 4), or 0 when there is none. */
static size_t utf8_length(const unsigned char *at)
{
    if (at[0] < 0x80)
        return 1;
    size_t len = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : 2;
    if (at[0] < 0xc2 || at[0] > 0xf4)
        return 0;
    for (size_t i = 1; i < len; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    bool overlong = (at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xf0 && at[1] < 0x90);
    bool beyond = (at[0] == 0xed && at[1] > 0x9f) || (at[0] == 0xf4 && at[1] > 0x8f);
    return overlong || beyond ? 0 : len;
}

/* A HELP text escapes backslash and newline, a label value the double quote too. One byte that is
 * not UTF-8 would make a scraper throw the whole answer away, so such bytes become '?'. */
static void put_escaped(struct exposition *text, const char *value, bool quote)
{
    const unsigned char *at = (const unsigned char *)value;
    while (*at) {
        size_t len = utf8_length(at);
        if (len == 0)
            put(text, "?", 1);
        else if (*at == '\n')
            put(text, "\\n", 2);
        else if (*at == '\\' || (quote && *at == '"'))
            put(text, (const char[]){'\\', (char)*at}, 2);
        else
            put(text, (const char *)at, len);
        at += len ? len : 1;
    }
}

void exposition_family(struct exposition *text, const char *name, enum metrics_type type,
                       const char *help)
{
    text->family = name;
    put_text(text, "# HELP ");
    put_text(text, name);
    put_text(text, " ");
    put_escaped(text, help, false);
    put_text(text, "\n# TYPE ");
    put_text(text, name);
    put_text(text, type == METRICS_COUNTER ? " counter\n" : " gauge\n");
}

static void put_sample(struct exposition *text, const char *const *names, const char *const *values,
                       unsigned count, const char *number)
{
    put_text(text, text->family);
    for (unsigned i = 0; i < count; i++) {
        put_text(text, i ? "," : "{");
        put_text(text, names[i]);
        put_text(text, "=\"");
        put_escaped(text, values[i], true);
        put_text(text, "\"");
    }
    put_text(text, count ? "} " : " ");
    put_text(text, number);
    put_text(text, "\n");
}

void exposition_int(struct exposition *text, const char *const *names, const char *const *values,
                    unsigned count, int64_t value)
{
    char number[32];
    snprintf(number, sizeof number, "%lld", (long long)value);
    put_sample(text, names, values, count, number);
}

void exposition_uint(struct exposition *text, const char *const *names, const char *const *values,
                     unsigned count, uint64_t value)
{
    char number[32];
    snprintf(number, sizeof number, "%llu", (unsigned long long)value);
    put_sample(text, names, values, count, number);
}

void exposition_real(struct exposition *text, const char *const *names, const char *const *values,
                     unsigned count, double value)
{
    char number[40];
    if (isnan(value))
        snprintf(number, sizeof number, "NaN");
    else if (isinf(value))
        snprintf(number, sizeof number, value > 0 ? "+Inf" : "-Inf");
    else
        snprintf(number, sizeof number, "%.15g", value);
    put_sample(text, names, values, count, number);
}

void exposition_gauge(struct exposition *text, const char *name, const char *help, double value)
{
    exposition_family(text, name, METRICS_GAUGE, help);
    exposition_real(text, NULL, NULL, 0, value);
}
