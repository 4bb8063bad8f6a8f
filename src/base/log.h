/* Logging: a line is a stable event name and key=value pairs, or one JSON object. Any thread.
 *
 * A line is at most LOG_LINE_MAX bytes and goes out with one write(2). What a peer sent is escaped
 * and cut. When the reader of our output is slow a line is dropped and counted: the data path never
 * waits for a log. Never pass a key, a token or payload. */
#ifndef LOG_H
#define LOG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum log_level { LOG_LEVEL_ERROR, LOG_LEVEL_WARN, LOG_LEVEL_INFO, LOG_LEVEL_DEBUG };
enum log_format { LOG_FORMAT_TEXT, LOG_FORMAT_JSON };
enum { LOG_LINE_MAX = 4096 };

struct log_field {
    const char *key;
    enum { LOG_STR, LOG_INT, LOG_REAL, LOG_BOOL } kind;
    union {
        const char *str; /* NULL leaves the field out */
        int64_t integer;
        double real;
        bool boolean;
    } u;
};

#define F_STR(k, v) ((struct log_field){.key = (k), .kind = LOG_STR, .u = {.str = (v)}})
#define F_INT(k, v)                                                                                \
    ((struct log_field){.key = (k), .kind = LOG_INT, .u = {.integer = (int64_t)(v)}})
#define F_REAL(k, v) ((struct log_field){.key = (k), .kind = LOG_REAL, .u = {.real = (v)}})
#define F_BOOL(k, v) ((struct log_field){.key = (k), .kind = LOG_BOOL, .u = {.boolean = (v)}})
/* The two fields every failure carries: reason=<label> error="<sentence>". */
#define F_ERR(e) F_STR("reason", err_label((e)->code)), F_STR("error", (e)->text)

/* Where lines go (a file descriptor that stays open; 2 until this is called) and how they look.
 * Call before threads. */
void log_init(int fd, enum log_format format, enum log_level level);

/* Changes or reads the level; any thread. */
void log_set_level(enum log_level level);
enum log_level log_get_level(void);
bool log_enabled(enum log_level level);

/* Parses "error", "warn", "info" or "debug"; false leaves *level alone. */
bool log_level_parse(const char *text, enum log_level *level);
const char *log_level_name(enum log_level level);

/* Writes one line. `event` is a stable snake_case name. Fields are borrowed. */
void log_write(enum log_level level, const char *event, const struct log_field *fields,
               unsigned count);

/* Formats one line into `line` without writing it; returns its length including the newline. Cut
 * lines stay valid. */
unsigned log_line(char line[LOG_LINE_MAX], enum log_format format, const char *level,
                  const char *event, const struct log_field *fields, unsigned count);

/* Writes an access-log line (always on, whatever the level) to `fd`. */
void log_access(int fd, enum log_format format, const char *event, const struct log_field *fields,
                unsigned count);

/* Lines dropped because their reader was slow, since the start. */
uint64_t log_dropped(void);

#define LOG_AT(level, event, ...)                                                                  \
    do {                                                                                           \
        if (log_enabled(level)) {                                                                  \
            const struct log_field log_fields_[] = {__VA_ARGS__};                                  \
            log_write(level, event, log_fields_, sizeof log_fields_ / sizeof log_fields_[0]);      \
        }                                                                                          \
    } while (0)
#define LOG_ERROR(event, ...) LOG_AT(LOG_LEVEL_ERROR, event, __VA_ARGS__)
#define LOG_WARN(event, ...) LOG_AT(LOG_LEVEL_WARN, event, __VA_ARGS__)
#define LOG_INFO(event, ...) LOG_AT(LOG_LEVEL_INFO, event, __VA_ARGS__)
#define LOG_DEBUG(event, ...) LOG_AT(LOG_LEVEL_DEBUG, event, __VA_ARGS__)

/* Repetition is counted, not repeated: at most `burst` lines a second from one call site; the first
 * line of the next second carries suppressed=<n>. Usage: static struct log_limit limit = {.burst =
 * 10}; */
struct log_limit {
    uint32_t burst;
    uint64_t state; /* second << 24 | lines this second; touched atomically */
    uint64_t suppressed;
};

/* True when a line may be written now; *suppressed gets the number held back since the last one
 * that was. */
bool log_limit_pass(struct log_limit *limit, uint64_t *suppressed);

#define LOG_LIMITED(level, per_second, event, ...)                                                 \
    do {                                                                                           \
        static struct log_limit log_limit_ = {.burst = (per_second)};                              \
        uint64_t log_suppressed_ = 0;                                                              \
        if (log_enabled(level) && log_limit_pass(&log_limit_, &log_suppressed_)) {                 \
            if (log_suppressed_)                                                                   \
                LOG_AT(level, event, __VA_ARGS__, F_INT("suppressed", log_suppressed_));           \
            else                                                                                   \
                LOG_AT(level, event, __VA_ARGS__);                                                 \
        }                                                                                          \
    } while (0)

#endif
