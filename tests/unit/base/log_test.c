#include "base/log.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "suite.h"

enum { WALL_S = 1795521600 }; /* 2026-11-24T12:00:00Z */

static char line[LOG_LINE_MAX + 1];

static const char *format_fields(enum log_format format, const struct log_field *fields,
                                 unsigned count)
{
    clock_fake(5000, (int64_t)WALL_S * 1000 + 7);
    unsigned len = log_line(line, format, "info", "event_name", fields, count);
    CU_ASSERT_FATAL(len <= LOG_LINE_MAX && len > 0);
    CU_ASSERT_EQUAL(line[len - 1], '\n');
    line[len] = 0;
    clock_fake(0, -1);
    return line;
}
#define TEXT(...)                                                                                  \
    format_fields(LOG_FORMAT_TEXT, (const struct log_field[]){__VA_ARGS__},                        \
                  sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))
#define JSON(...)                                                                                  \
    format_fields(LOG_FORMAT_JSON, (const struct log_field[]){__VA_ARGS__},                        \
                  sizeof((const struct log_field[]){__VA_ARGS__}) / sizeof(struct log_field))

static void a_text_line_is_time_level_event_and_pairs(void)
{
    CU_ASSERT_STRING_EQUAL(
        TEXT(F_STR("peer", "10.0.0.7:1"), F_INT("bytes", -5), F_BOOL("tls", true),
             F_REAL("seconds", 1.5), F_STR("absent", NULL), F_STR("error", "it is broken")),
        "2026-11-24T12:00:00.007Z info event_name peer=10.0.0.7:1 bytes=-5 tls=true "
        "seconds=1.500 error=\"it is broken\"\n");
}

static void a_json_line_is_one_object(void)
{
    CU_ASSERT_STRING_EQUAL(
        JSON(F_STR("peer", "a b"), F_INT("bytes", 5), F_BOOL("tls", false)),
        "{\"time\":\"2026-11-24T12:00:00.007Z\",\"level\":\"info\",\"event\":\"event_name\","
        "\"peer\":\"a b\",\"bytes\":5,\"tls\":false}\n");
}

static void what_a_peer_sent_is_escaped(void)
{
    CU_ASSERT_PTR_NOT_NULL(strstr(TEXT(F_STR("x", "a\nlevel=error \"q\" \\ \x1b[2J \xff")),
                                  "x=\"a\\u000alevel=error \\\"q\\\" \\\\ \\u001b[2J \\u00ff\"\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(TEXT(F_STR("x", "a=b")), "x=\"a=b\"\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(TEXT(F_STR("x", "")), "x=\"\"\n"));
    CU_ASSERT_PTR_NOT_NULL(strstr(JSON(F_STR("x", "\x7f\t")), "\"x\":\"\\u007f\\u0009\"}"));
}

static void numbers_that_json_cannot_hold_stay_valid(void)
{
    CU_ASSERT_PTR_NOT_NULL(strstr(JSON(F_REAL("x", INFINITY)), "\"x\":null}"));
    CU_ASSERT_PTR_NOT_NULL(strstr(JSON(F_REAL("x", NAN)), "\"x\":null}"));
    CU_ASSERT_PTR_NOT_NULL(strstr(JSON(F_REAL("x", 1e300)), "\"x\":1.000000e+300}"));
}

/* A crude reader: every quote closed, every brace too, no control byte. */
static bool is_whole_json(const char *text)
{
    bool quoted = false;
    int depth = 0;
    for (; *text && *text != '\n'; text++) {
        if ((unsigned char)*text < 0x20)
            return false;
        if (quoted && *text == '\\') {
            static const char digits[] = "0123456789abcdef";
            text++;
            for (int i = 0; *text == 'u' && i < 4; i++) {
                if (!strchr(digits, text[1 + i]))
                    return false;
            }
        } else if (*text == '"') {
            quoted = !quoted;
        } else if (!quoted) {
            depth += (*text == '{') - (*text == '}');
        }
    }
    return !quoted && depth == 0 && strcmp(text, "\n") == 0;
}

static void lines_cut_at_any_place_are_still_whole(void)
{
    char long_value[3000];
    for (unsigned len = 0; len < 1100; len += 3) {
        memset(long_value, len % 2 ? '\x01' : 'x', len);
        long_value[len] = 0;
        CU_ASSERT(is_whole_json(JSON(F_STR("a", long_value), F_STR("b", long_value),
                                     F_STR("c", long_value), F_STR("d", long_value),
                                     F_STR("e", long_value), F_INT("f", INT64_MIN),
                                     F_REAL("g", -1.5), F_STR("h", "end"))));
    }
}

static void a_long_value_is_cut(void)
{
    char value[3000];
    memset(value, 'y', sizeof value - 1);
    value[sizeof value - 1] = 0;
    const char *text = TEXT(F_STR("x", value), F_STR("z", "end"));
    CU_ASSERT(strlen(text) < 1200);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "y\" z=end\n"));
}

static void levels_are_words_and_hold_back_lines(void)
{
    enum log_level level = LOG_LEVEL_WARN;
    CU_ASSERT(log_level_parse("debug", &level));
    CU_ASSERT_EQUAL(level, LOG_LEVEL_DEBUG);
    CU_ASSERT_FALSE(log_level_parse("DEBUG", &level));
    CU_ASSERT_FALSE(log_level_parse("", &level));
    CU_ASSERT_EQUAL(level, LOG_LEVEL_DEBUG);
    int ends[2];
    CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    log_init(ends[1], LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    LOG_DEBUG("hidden", F_INT("a", 1));
    CU_ASSERT(read(ends[0], line, LOG_LINE_MAX) < 0);
    errno = EXDEV;
    LOG_INFO("shown", F_INT("a", 1));
    CU_ASSERT_EQUAL(errno, EXDEV);
    ssize_t got = read(ends[0], line, LOG_LINE_MAX);
    CU_ASSERT_FATAL(got > 0);
    line[got] = 0;
    CU_ASSERT_PTR_NOT_NULL(strstr(line, " info shown a=1\n"));
    log_set_level(LOG_LEVEL_DEBUG);
    CU_ASSERT(log_enabled(LOG_LEVEL_DEBUG));
    CU_ASSERT_STRING_EQUAL(log_level_name(log_get_level()), "debug");
    log_init(2, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    close(ends[0]);
    close(ends[1]);
}

static void an_access_line_is_written_whatever_the_level(void)
{
    int ends[2];
    CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC | O_NONBLOCK), 0);
    log_set_level(LOG_LEVEL_ERROR);
    const struct log_field fields[] = {F_STR("source", "a")};
    log_access(ends[1], LOG_FORMAT_JSON, "connection", fields, 1);
    ssize_t got = read(ends[0], line, LOG_LINE_MAX);
    CU_ASSERT_FATAL(got > 0);
    line[got] = 0;
    CU_ASSERT_PTR_NOT_NULL(
        strstr(line, "\"level\":\"access\",\"event\":\"connection\",\"source\":\"a\"}\n"));
    log_set_level(LOG_LEVEL_INFO);
    close(ends[0]);
    close(ends[1]);
}

static void a_reader_that_stopped_costs_lines_not_time(void)
{
    int ends[2]; /* blocking, as standard error is */
    CU_ASSERT_EQUAL_FATAL(pipe2(ends, O_CLOEXEC), 0);
    log_init(ends[1], LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    uint64_t before = log_dropped();
    for (int i = 0; i < 5000; i++)
        LOG_INFO("flood", F_INT("number", i));
    uint64_t dropped = log_dropped() - before;
    CU_ASSERT(dropped > 0 && dropped < 5000);
    log_init(2, LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    /* What did go out is whole lines, from the first one on without a hole. */
    close(ends[1]);
    FILE *reader = fdopen(ends[0], "r");
    uint64_t lines = 0;
    while (fgets(line, sizeof line, reader)) {
        char *number = strstr(line, "flood number=");
        CU_ASSERT_PTR_NOT_NULL_FATAL(number);
        CU_ASSERT_EQUAL(strtoull(number + 13, NULL, 10), lines);
        lines++;
    }
    CU_ASSERT_EQUAL(lines + dropped, 5000);
    fclose(reader);
}

static void repetition_is_counted_not_repeated(void)
{
    struct log_limit limit = {.burst = 3};
    uint64_t held_back = 0;
    unsigned passed = 0;
    clock_fake(5000, 1);
    for (int i = 0; i < 10; i++)
        passed += log_limit_pass(&limit, &held_back);
    CU_ASSERT_EQUAL(passed, 3);
    CU_ASSERT_EQUAL(held_back, 0);
    clock_fake(5999, 1);
    CU_ASSERT_FALSE(log_limit_pass(&limit, &held_back));
    clock_fake(6000, 1);
    CU_ASSERT(log_limit_pass(&limit, &held_back));
    CU_ASSERT_EQUAL(held_back, 8);
    CU_ASSERT(log_limit_pass(&limit, &held_back));
    CU_ASSERT_EQUAL(held_back, 0);
    clock_fake(0, -1);
}

static struct log_limit shared = {.burst = 100};

static void *pass_often(void *arg)
{
    uint64_t held_back;
    for (int i = 0; i < 1000; i++)
        *(unsigned *)arg += log_limit_pass(&shared, &held_back);
    return NULL;
}

static void a_limit_holds_for_all_threads_together(void)
{
    pthread_t threads[4];
    unsigned passed[4] = {0}, sum = 0;
    clock_fake(5000, 1);
    for (int i = 0; i < 4; i++)
        CU_ASSERT_EQUAL_FATAL(pthread_create(&threads[i], NULL, pass_often, &passed[i]), 0);
    for (int i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        sum += passed[i];
    }
    CU_ASSERT_EQUAL(sum, 100);
    clock_fake(0, -1);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(a_text_line_is_time_level_event_and_pairs),
        SUITE_CASE(a_json_line_is_one_object),
        SUITE_CASE(what_a_peer_sent_is_escaped),
        SUITE_CASE(numbers_that_json_cannot_hold_stay_valid),
        SUITE_CASE(lines_cut_at_any_place_are_still_whole),
        SUITE_CASE(a_long_value_is_cut),
        SUITE_CASE(levels_are_words_and_hold_back_lines),
        SUITE_CASE(an_access_line_is_written_whatever_the_level),
        SUITE_CASE(a_reader_that_stopped_costs_lines_not_time),
        SUITE_CASE(repetition_is_counted_not_repeated),
        SUITE_CASE(a_limit_holds_for_all_threads_together),
        SUITE_END,
    };
    return suite_main("base_log", cases, argc, argv);
}
