/* The cutter against JSON that is cut everywhere, and against nonsense. */
#include "kube/cutter.h"

#include <jansson.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

struct heard {
    char text[65536]; /* the pieces with a line end each */
    size_t len;
    unsigned pieces, stop_at;
};

static bool on_piece(void *arg, const char *bytes, size_t len)
{
    struct heard *heard = arg;
    heard->pieces++;
    if (heard->len + len + 1 < sizeof heard->text) {
        memcpy(heard->text + heard->len, bytes, len);
        heard->len += len;
        heard->text[heard->len++] = '\n';
        heard->text[heard->len] = 0;
    }
    return heard->pieces != heard->stop_at;
}

/* Each chunk in memory of its own, so that a sanitizer sees a read beyond it. */
static enum err_code feed(struct kube_cutter *cutter, const char *text, size_t len, size_t chunk)
{
    enum err_code code = ERR_OK;
    for (size_t at = 0; at < len && code == ERR_OK; at += chunk) {
        size_t part = len - at < chunk ? len - at : chunk;
        char *copy = malloc(part);
        memcpy(copy, text + at, part);
        code = kube_cutter_feed(cutter, copy, part, NULL);
        free(copy);
    }
    return code;
}

static const char events[] =
    "{\"type\":\"ADDED\",\"object\":{\"a\":\"}{\\\"]\\\\\",\"b\":[{},[1]]}}\n"
    "{\"type\":\"BOOKMARK\",\"object\":{}}\n\n {\"type\":\"\\u007d\"}\r\n{}{\"x\":[[]]}\n";
static const char events_cut[] =
    "{\"type\":\"ADDED\",\"object\":{\"a\":\"}{\\\"]\\\\\",\"b\":[{},[1]]}}\n"
    "{\"type\":\"BOOKMARK\",\"object\":{}}\n{\"type\":\"\\u007d\"}\n{}\n{\"x\":[[]]}\n";

static void stream_is_cut_the_same_whatever_the_chunks(void)
{
    for (size_t chunk = 1; chunk <= sizeof events; chunk++) {
        struct kube_cutter cutter;
        struct heard heard = {.len = 0};
        kube_cutter_init(&cutter, KUBE_CUTTER_STREAM, on_piece, &heard);
        CU_ASSERT_EQUAL(feed(&cutter, events, sizeof events - 1, chunk), ERR_OK);
        CU_ASSERT_STRING_EQUAL(heard.text, events_cut);
        CU_ASSERT_TRUE(kube_cutter_is_whole(&cutter));
        kube_cutter_deinit(&cutter);
    }
}

static void stream_cut_off_anywhere_gives_whole_events_only(void)
{
    for (size_t cut = 0; cut < sizeof events; cut++) {
        struct kube_cutter cutter;
        struct heard heard = {.len = 0};
        kube_cutter_init(&cutter, KUBE_CUTTER_STREAM, on_piece, &heard);
        CU_ASSERT_EQUAL(feed(&cutter, events, cut, 7), ERR_OK);
        CU_ASSERT_TRUE(strncmp(events_cut, heard.text, heard.len) == 0);
        unsigned open = 0;
        for (char *line = strtok(heard.text, "\n"); line; line = strtok(NULL, "\n"), open++) {
            json_t *value = json_loads(line, 0, NULL);
            CU_ASSERT_PTR_NOT_NULL(value);
            json_decref(value);
        }
        CU_ASSERT_EQUAL(open, heard.pieces);
        kube_cutter_deinit(&cutter);
    }
}

static const char list[] =
    "{ \"kind\": \"PodList\", \"note\": \"items\", \"metadata\": {\"items\": [{\"not\": 1}], "
    "\"resourceVersion\": \"12\", \"continue\": \"a\\\"b\"},\n \"items\" : [ {\"a\":{\"items\":[]"
    "}} ,\n{\"b\":\"]}\"}, {} ] , \"more\": [{}, 1] }\n";

static void list_is_cut_the_same_whatever_the_chunks(void)
{
    for (size_t chunk = 1; chunk <= sizeof list; chunk++) {
        struct kube_cutter cutter;
        struct heard heard = {.len = 0};
        kube_cutter_init(&cutter, KUBE_CUTTER_LIST, on_piece, &heard);
        CU_ASSERT_EQUAL(feed(&cutter, list, sizeof list - 1, chunk), ERR_OK);
        CU_ASSERT_STRING_EQUAL(heard.text, "{\"a\":{\"items\":[]}}\n{\"b\":\"]}\"}\n{}\n");
        CU_ASSERT_TRUE(kube_cutter_is_whole(&cutter));
        json_t *frame = json_loadb(cutter.frame.bytes, cutter.frame.len, 0, NULL);
        json_t *expected = json_loads(list, 0, NULL);
        json_array_clear(json_object_get(expected, "items"));
        CU_ASSERT_PTR_NOT_NULL(frame);
        CU_ASSERT_TRUE(json_equal(frame, expected));
        json_decref(frame);
        json_decref(expected);
        kube_cutter_deinit(&cutter);
    }
}

static void list_cut_off_anywhere_is_not_whole(void)
{
    size_t end = strlen(list) - 1;
    for (size_t cut = 0; cut < end; cut++) {
        struct kube_cutter cutter;
        struct heard heard = {.len = 0};
        kube_cutter_init(&cutter, KUBE_CUTTER_LIST, on_piece, &heard);
        CU_ASSERT_EQUAL(feed(&cutter, list, cut, 5), ERR_OK);
        CU_ASSERT_FALSE(kube_cutter_is_whole(&cutter));
        kube_cutter_deinit(&cutter);
    }
}

static void list_without_items_is_a_list(void)
{
    static const char *const texts[] = {"{\"items\":[]}", "{\"items\":null}", "{}",
                                        "{\"items\":{\"a\":[{}]}}", "{\"x\":[{\"items\":[{}]}]}"};
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        struct kube_cutter cutter;
        struct heard heard = {.len = 0};
        kube_cutter_init(&cutter, KUBE_CUTTER_LIST, on_piece, &heard);
        CU_ASSERT_EQUAL(feed(&cutter, texts[i], strlen(texts[i]), 3), ERR_OK);
        CU_ASSERT_EQUAL(heard.pieces, 0);
        CU_ASSERT_TRUE(kube_cutter_is_whole(&cutter));
        kube_cutter_deinit(&cutter);
    }
}

static void what_is_no_object_is_refused_at_once(void)
{
    static const char *const streams[] = {"<html>", "[]",    "1",     "null",
                                          "}",      "{},{}", "{}\n,", "\"a\""};
    static const char *const lists[] = {
        "<html>",          "[]", "}", "{}{}", "{} x", "{\"items\":[1]}", "{\"items\":[{}}",
        "{\"items\":[[]]}"};
    for (size_t i = 0; i < 8; i++) {
        struct kube_cutter cutter;
        struct heard heard = {.len = 0};
        struct err err = {0};
        kube_cutter_init(&cutter, KUBE_CUTTER_STREAM, on_piece, &heard);
        CU_ASSERT_EQUAL(kube_cutter_feed(&cutter, streams[i], strlen(streams[i]), &err),
                        ERR_INVALID);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "found the byte"));
        kube_cutter_deinit(&cutter);
        kube_cutter_init(&cutter, KUBE_CUTTER_LIST, on_piece, &heard);
        CU_ASSERT_EQUAL(kube_cutter_feed(&cutter, lists[i], strlen(lists[i]), &err), ERR_INVALID);
        kube_cutter_deinit(&cutter);
    }
}

static void giant_piece_is_left_out_and_counted(void)
{
    static char blanks[1 << 20];
    memset(blanks, 'x', sizeof blanks);
    struct kube_cutter cutter;
    struct heard heard = {.len = 0};
    kube_cutter_init(&cutter, KUBE_CUTTER_STREAM, on_piece, &heard);
    CU_ASSERT_EQUAL(feed(&cutter, "{\"a\":\"", 6, 6), ERR_OK);
    for (size_t i = 0; i <= KUBE_PIECE_MAX / sizeof blanks; i++)
        CU_ASSERT_EQUAL(kube_cutter_feed(&cutter, blanks, sizeof blanks, NULL), ERR_OK);
    CU_ASSERT_TRUE(cutter.piece.size <= 2 * KUBE_PIECE_MAX);
    CU_ASSERT_EQUAL(feed(&cutter, "}\"}{\"b\":1}", 10, 10), ERR_OK);
    CU_ASSERT_STRING_EQUAL(heard.text, "{\"b\":1}\n");
    CU_ASSERT_EQUAL(cutter.dropped, 1);
    CU_ASSERT_TRUE(cutter.piece.size < 1 << 20); /* and its memory is given back */
    kube_cutter_deinit(&cutter);

    kube_cutter_init(&cutter, KUBE_CUTTER_LIST, on_piece, &heard);
    CU_ASSERT_EQUAL(feed(&cutter, "{\"a\":\"", 6, 6), ERR_OK);
    CU_ASSERT_EQUAL(kube_cutter_feed(&cutter, blanks, sizeof blanks, NULL), ERR_TOO_LARGE);
    kube_cutter_deinit(&cutter);
}

static void feeding_stops_when_told_to(void)
{
    struct kube_cutter cutter;
    struct heard heard = {.stop_at = 2};
    kube_cutter_init(&cutter, KUBE_CUTTER_STREAM, on_piece, &heard);
    CU_ASSERT_EQUAL(kube_cutter_feed(&cutter, "{}{}{}", 6, NULL), ERR_CANCELLED);
    CU_ASSERT_EQUAL(heard.pieces, 2);
    kube_cutter_deinit(&cutter);
}

/* --- random ----------------------------------------------------------------------------------- */

static uint64_t seed = 20251125;

static unsigned dice(unsigned sides)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(seed >> 33) % sides;
}

static json_t *random_value(unsigned depth)
{
    static const char *const texts[] = {"", "items", "}", "{\"", "\\", "\\\"", "]\n", "\xc3\xa4"};
    unsigned kind = dice(depth > 4 ? 4 : 6);
    if (kind < 2)
        return json_string(texts[dice(8)]);
    if (kind == 2)
        return json_integer(dice(1000));
    if (kind == 3)
        return dice(2) ? json_null() : json_real(0.5);
    json_t *made = kind == 4 ? json_array() : json_object();
    for (unsigned i = dice(4); i > 0; i--) {
        if (kind == 4)
            json_array_append_new(made, random_value(depth + 1));
        else
            json_object_set_new(made, texts[dice(8)], random_value(depth + 1));
    }
    return made;
}

static json_t *random_object(void)
{
    json_t *object = json_object();
    for (unsigned i = dice(4); i > 0; i--)
        json_object_set_new(object, dice(2) ? "items" : "x", random_value(1));
    return object;
}

static enum err_code feed_randomly(struct kube_cutter *cutter, const char *text, size_t len)
{
    enum err_code code = ERR_OK;
    while (len > 0 && code == ERR_OK) {
        size_t part = 1 + dice(9);
        part = part > len ? len : part;
        code = feed(cutter, text, part, part);
        text += part;
        len -= part;
    }
    return code;
}

static void random_lists_are_cut_as_a_parser_would(void)
{
    for (unsigned round = 0; round < 500; round++) {
        json_t *items = json_array(), *frame = random_object();
        for (unsigned i = dice(4); i > 0; i--)
            json_array_append_new(items, random_object());
        json_object_set(frame, "items", items);
        char *text = json_dumps(frame, dice(2) ? JSON_INDENT(2) : JSON_COMPACT);
        struct kube_cutter cutter;
        struct heard heard = {.len = 0};
        kube_cutter_init(&cutter, KUBE_CUTTER_LIST, on_piece, &heard);
        CU_ASSERT_EQUAL(feed_randomly(&cutter, text, strlen(text)), ERR_OK);
        CU_ASSERT_TRUE(kube_cutter_is_whole(&cutter));
        CU_ASSERT_EQUAL(heard.pieces, json_array_size(items));
        json_t *left = json_loadb(cutter.frame.bytes, cutter.frame.len, 0, NULL);
        json_object_set_new(frame, "items", json_array());
        CU_ASSERT_TRUE(json_equal(left, frame));
        size_t at = 0;
        for (size_t i = 0; i < json_array_size(items); i++) {
            json_error_t error;
            json_t *piece =
                json_loadb(heard.text + at, heard.len - at, JSON_DISABLE_EOF_CHECK, &error);
            CU_ASSERT_TRUE(json_equal(piece, json_array_get(items, i)));
            at += (size_t)error.position + 1;
            json_decref(piece);
        }
        json_decref(left);
        json_decref(items);
        json_decref(frame);
        free(text);
        kube_cutter_deinit(&cutter);
    }
}

static void nonsense_is_refused_or_cut_but_harms_nobody(void)
{
    static const char alphabet[] = "{}[]\",:\\ \nitems1\0\xff";
    for (unsigned round = 0; round < 4000; round++) {
        char text[200];
        size_t len = dice(sizeof text);
        bool is_list = dice(2);
        for (size_t i = 0; i < len; i++)
            text[i] = dice(8) ? alphabet[dice(sizeof alphabet)] : (char)dice(256);
        if (dice(2) && len > 12)
            memcpy(text, "{\"items\":[{", 11);
        struct kube_cutter one, other;
        struct heard first = {.len = 0}, second = {.len = 0};
        kube_cutter_init(&one, is_list ? KUBE_CUTTER_LIST : KUBE_CUTTER_STREAM, on_piece, &first);
        kube_cutter_init(&other, is_list ? KUBE_CUTTER_LIST : KUBE_CUTTER_STREAM, on_piece,
                         &second);
        enum err_code whole = feed(&one, text, len, len + 1);
        enum err_code bytes = feed(&other, text, len, 1);
        /* And the chunks still make no difference. */
        CU_ASSERT_EQUAL(whole, bytes);
        CU_ASSERT_EQUAL(first.pieces, second.pieces);
        CU_ASSERT_TRUE(first.len == second.len && memcmp(first.text, second.text, first.len) == 0);
        kube_cutter_deinit(&one);
        kube_cutter_deinit(&other);
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(stream_is_cut_the_same_whatever_the_chunks),
        SUITE_CASE(stream_cut_off_anywhere_gives_whole_events_only),
        SUITE_CASE(list_is_cut_the_same_whatever_the_chunks),
        SUITE_CASE(list_cut_off_anywhere_is_not_whole),
        SUITE_CASE(list_without_items_is_a_list),
        SUITE_CASE(what_is_no_object_is_refused_at_once),
        SUITE_CASE(giant_piece_is_left_out_and_counted),
        SUITE_CASE(feeding_stops_when_told_to),
        SUITE_CASE(random_lists_are_cut_as_a_parser_would),
        SUITE_CASE(nonsense_is_refused_or_cut_but_harms_nobody),
        SUITE_END,
    };
    return suite_main("kube/cutter", cases, argc, argv);
}
