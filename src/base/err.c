#include "base/err.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *label, *sentence;
} rows[] = {
#define X(name, label, sentence) {label, sentence},
    ERR_TABLE(X)
#undef X
};

__attribute__((format(printf, 4, 0))) static void fill(struct err *err, enum err_code code, int sys,
                                                       const char *format, va_list args)
{
    /* Not straight into err->text: the arguments may well include it. */
    char text[ERR_TEXT_MAX];
    vsnprintf(text, sizeof text, format, args);
    err->code = code;
    err->sys = sys;
    memcpy(err->text, text, strlen(text) + 1);
}

enum err_code err_set(struct err *err, enum err_code code, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        fill(err, code, 0, format, args);
        va_end(args);
    }
    return code;
}

enum err_code err_sys(struct err *err, enum err_code code, int sys, const char *format, ...)
{
    if (err) {
        va_list args;
        va_start(args, format);
        fill(err, code, sys < 0 ? -sys : sys, format, args);
        va_end(args);
        size_t used = strlen(err->text);
        char reason[80];
        snprintf(err->text + used, sizeof err->text - used, ": %s",
                 strerror_r(err->sys, reason, sizeof reason));
    }
    return code;
}

enum err_code err_wrap(struct err *err, const char *format, ...)
{
    if (!err)
        return ERR_INVALID;
    char inner[ERR_TEXT_MAX];
    memcpy(inner, err->text, sizeof inner);
    va_list args;
    va_start(args, format);
    fill(err, err->code, err->sys, format, args);
    va_end(args);
    size_t used = strlen(err->text);
    snprintf(err->text + used, sizeof err->text - used, ": %s", inner);
    return err->code;
}

const char *err_label(enum err_code code)
{
    return (unsigned)code < ERR_COUNT_ ? rows[code].label : "unknown";
}

const char *err_sentence(enum err_code code)
{
    return (unsigned)code < ERR_COUNT_ ? rows[code].sentence : "unknown error";
}
