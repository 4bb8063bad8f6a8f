#include "base/log.h"

#include <errno.h>
#include <math.h>
#include <poll.h>
#include <stdio.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"

static struct {
    int fd;
    enum log_format format;
    int level;
    uint64_t dropped;
} out = {.fd = 2, .format = LOG_FORMAT_TEXT, .level = LOG_LEVEL_INFO};

static const char *const level_names[] = {"error", "warn", "info", "debug"};

void log_init(int fd, enum log_format format, enum log_level level)
{
    out.fd = fd;
    out.format = format;
    log_set_level(level);
}

void log_set_level(enum log_level level)
{
    __atomic_store_n(&out.level, (int)level, __ATOMIC_RELAXED);
}

enum log_level log_get_level(void)
{
    return (enum log_level)__atomic_load_n(&out.level, __ATOMIC_RELAXED);
}

bool log_enabled(enum log_level level)
{
    return level <= log_get_level();
}

bool log_level_parse(const char *text, enum log_level *level)
{
    for (unsigned i = 0; i < sizeof level_names / sizeof level_names[0]; i++) {
        if (strcmp(text, level_names[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    }
    return false;
}

const char *log_level_name(enum log_level level)
{
    return level_names[level];
}

uint64_t log_dropped(void)
{
    return __atomic_load_n(&out.dropped, __ATOMIC_RELAXED);
}

/* The line under construction. The last LINE_TAIL bytes are kept for what closes it, so a cut line
 * is still whole. */
struct line {
    char *at;
    unsigned len;
};
enum { LINE_TAIL = 4, VALUE_MAX = 1024 };

static void put(struct line *line, const char *bytes, size_t len)
{
    size_t room = LOG_LINE_MAX - LINE_TAIL - line->len;
    if (len > room)
        len = room;
    memcpy(line->at + line->len, bytes, len);
    line->len += (unsigned)len;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* Quoted, with control bytes, quotes and everything outside ASCII as \uXXXX, cut at VALUE_MAX bytes
 * of input. One escape is written whole or not at all, and the closing quote always fits. */
static void put_quoted(struct line *line, const char *text)
{
    static const char hex[] = "0123456789abcdef";
    put(line, "\"", 1);
    for (unsigned n = 0; *text && n < VALUE_MAX && line->len < LOG_LINE_MAX - LINE_TAIL - 8;
         text++, n++) {
        unsigned char c = (unsigned char)*text;
        if (c == '"' || c == '\\') {
            char pair[2] = {'\\', (char)c};
            put(line, pair, 2);
        } else if (c < 0x20 || c >= 0x7f) {
            char escape[6] = {'\\', 'u', '0', '0', hex[c >> 4], hex[c & 15]};
            put(line, escape, 6);
        } else {
            put(line, text, 1);
        }
    }
    put(line, "\"", 1);
}

static bool is_plain_word(const char *text)
{
    if (!*text || strlen(text) > VALUE_MAX)
        return false;
    for (; *text; text++) {
        if (*text <= ' ' || *text >= 0x7f || strchr("\"\\=,", *text))
            return false;
    }
    return true;
}

static void put_value(struct line *line, const struct log_field *field, enum log_format format)
{
    char number[40];
    switch (field->kind) {
    case LOG_STR:
        if (format == LOG_FORMAT_TEXT && is_plain_word(field->u.str))
            put_text(line, field->u.str);
        else
            put_quoted(line, field->u.str);
        return;
    case LOG_INT:
        snprintf(number, sizeof number, "%lld", (long long)field->u.integer);
        break;
    case LOG_REAL:
        /* JSON has no word for infinity. */
        if (!isfinite(field->u.real))
            snprintf(number, sizeof number, "null");
        else
            snprintf(number, sizeof number, fabs(field->u.real) < 1e15 ? "%.3f" : "%.6e",
                     field->u.real);
        break;
    case LOG_BOOL:
        snprintf(number, sizeof number, "%s", field->u.boolean ? "true" : "false");
        break;
    }
    put_text(line, number);
}

static void put_time(struct line *line)
{
    int64_t now = clock_wall_ms();
    time_t seconds = (time_t)(now / 1000);
    struct tm tm;
    gmtime_r(&seconds, &tm);
    char stamp[64];
    size_t len = strftime(stamp, sizeof stamp, "%Y-%m-%dT%H:%M:%S", &tm);
    len += (size_t)snprintf(stamp + len, sizeof stamp - len, ".%03dZ", (int)(now % 1000));
    put(line, stamp, len);
}

unsigned log_line(char text[LOG_LINE_MAX], enum log_format format, const char *level,
                  const char *event, const struct log_field *fields, unsigned count)
{
    struct line line = {.at = text};
    bool json = format == LOG_FORMAT_JSON;
    put_text(&line, json ? "{\"time\":\"" : "");
    put_time(&line);
    put_text(&line, json ? "\",\"level\":\"" : " ");
    put_text(&line, level);
    put_text(&line, json ? "\",\"event\":\"" : " ");
    put_text(&line, event);
    put_text(&line, json ? "\"" : "");
    for (unsigned i = 0; i < count; i++) {
        if (fields[i].kind == LOG_STR && !fields[i].u.str)
            continue;
        if (line.len + strlen(fields[i].key) + 48 > LOG_LINE_MAX - LINE_TAIL)
            break;
        put_text(&line, json ? ",\"" : " ");
        put_text(&line, fields[i].key);
        put_text(&line, json ? "\":" : "=");
        put_value(&line, &fields[i], format);
    }
    if (json)
        text[line.len++] = '}';
    text[line.len++] = '\n';
    return line.len;
}

/* A pipe that polls writable takes PIPE_BUF bytes without blocking, and a line is never longer. */
static void send_line(int fd, const char *text, unsigned len)
{
    struct pollfd ready = {.fd = fd, .events = POLLOUT};
    ssize_t sent = -1;
    if (poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT)) {
        do
            sent = write(fd, text, len);
        while (sent < 0 && errno == EINTR);
    }
    if (sent != (ssize_t)len)
        __atomic_add_fetch(&out.dropped, 1, __ATOMIC_RELAXED);
}

void log_write(enum log_level level, const char *event, const struct log_field *fields,
               unsigned count)
{
    char text[LOG_LINE_MAX];
    int saved = errno;
    send_line(out.fd, text, log_line(text, out.format, level_names[level], event, fields, count));
    errno = saved;
}

void log_access(int fd, enum log_format format, const char *event, const struct log_field *fields,
                unsigned count)
{
    char text[LOG_LINE_MAX];
    int saved = errno;
    send_line(fd, text, log_line(text, format, "access", event, fields, count));
    errno = saved;
}

bool log_limit_pass(struct log_limit *limit, uint64_t *suppressed)
{
    uint64_t second = (uint64_t)(clock_now_ms() / 1000);
    uint64_t seen = __atomic_load_n(&limit->state, __ATOMIC_RELAXED), next;
    do {
        uint64_t lines = (seen >> 24) == second ? seen & 0xffffff : 0;
        if (lines >= limit->burst) {
            __atomic_add_fetch(&limit->suppressed, 1, __ATOMIC_RELAXED);
            return false;
        }
        next = second << 24 | (lines + 1);
    } while (!__atomic_compare_exchange_n(&limit->state, &seen, next, true, __ATOMIC_RELAXED,
                                          __ATOMIC_RELAXED));
    *suppressed = __atomic_exchange_n(&limit->suppressed, 0, __ATOMIC_RELAXED);
    return true;
}
