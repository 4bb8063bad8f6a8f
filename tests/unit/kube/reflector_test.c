/* A collection followed through everything that an API server does to its clients. The server is a
 * stand-in: see apiserver.h. */
#include "kube/reflector.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "follower.h"
#include "kube/client_impl.h"
#include "kube/cutter.h"

static struct bed bed;
static struct follower follower;

#define OBJECT(ns, name, version)                                                                  \
    "{\"metadata\":{\"namespace\":\"" ns "\",\"name\":\"" name "\",\"resourceVersion\":\"" version \
    "\",\"managedFields\":[{\"manager\":\"x\"}]}}"
#define LIST(version, more, items)                                                                 \
    "{\"kind\":\"PodList\",\"apiVersion\":\"v1\",\"metadata\":{\"resourceVersion\":\"" version     \
    "\"" more "},\"items\":[" items "]}\n"
#define MORE(token) ",\"continue\":\"" token "\",\"remainingItemCount\":1"
#define EVENT(type, object) "{\"type\":\"" type "\",\"object\":" object "}\n"
#define BOOKMARK(version)                                                                          \
    EVENT("BOOKMARK", "{\"kind\":\"Pod\",\"metadata\":{\"resourceVersion\":\"" version "\"}}")
#define STATUS(code, reason, message)                                                              \
    "{\"kind\":\"Status\",\"status\":\"Failure\",\"message\":\"" message "\",\"reason\":\"" reason \
    "\",\"code\":" code "}"
#define GONE STATUS("410", "Expired", "too old resource version: 1 (2)")

#define LIST_URL "GET /api/v1/pods?limit=500"
#define WATCH_URL(version) "GET /api/v1/pods?watch=true&allowWatchBookmarks=true&timeoutSeconds="

static void start(void)
{
    memset(&follower, 0, sizeof follower);
    bed_start(&bed);
    bed_connect(&bed);
}

static void follow(void)
{
    follower_start(&follower, &bed, "/api/v1/pods");
}

static void stop(void)
{
    CU_ASSERT_TRUE(apiserver_is_done(&bed.server));
    CU_ASSERT_TRUE(follower.synced <= 1);
    CU_ASSERT_EQUAL(follower.managed, 0);
    follower_stop(&follower);
    bed_stop(&bed);
}

static void say(const char *text)
{
    apiserver_say(&bed.server, text, strlen(text), false);
}

static bool is_done(void *arg)
{
    (void)arg;
    return apiserver_is_done(&bed.server);
}

/* Until the script has been asked through, and a little longer: nothing more may happen. */
static void run_script(void)
{
    CU_ASSERT_TRUE(bed_wait(&bed, is_done, NULL));
    bed_idle(&bed, 30);
}

#define A1 OBJECT("a", "x", "1")
#define A2 OBJECT("a", "x", "2")
#define B1 OBJECT("a", "y", "1")
#define C1 OBJECT("b", "x", "1")

/* --- the happy path --------------------------------------------------------------------------- */

static void list_then_watch_tells_what_changes(void)
{
    start();
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1 "," B1)},
           {.wants = "&resourceVersion=10", .status = 200, .then = HOLD});
    follow();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 +a/y@1 synced"));
    run_script();
    follower_clear(&follower);
    say(EVENT("MODIFIED", A2) EVENT("ADDED", C1) EVENT("DELETED", B1) BOOKMARK("20"));
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@2 +b/x@1 -a/y"));
    follower_clear(&follower);
    /* Said again, it is no news; gone twice is gone once; what nobody knows is no event. */
    say(EVENT("ADDED", A2) EVENT("DELETED", B1) EVENT("NEWFANGLED", A1) EVENT("DELETED", C1));
    CU_ASSERT_TRUE(follower_tells(&follower, "-b/x"));
    stop();
}

static void watch_asks_for_a_timeout_between_five_and_ten_minutes(void)
{
    int64_t least = INT64_MAX, most = 0;
    start();
    bed.client->timing.steady_ms = 0;
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", "", "")},
           {.wants = "watch=true", .status = 200, .body = "", .repeat = true});
    follow();
    unsigned seen = 0;
    while (seen < 40) {
        uv_run(&bed.loop.uv, UV_RUN_ONCE);
        const char *at = strstr(bed.server.last_line, "timeoutSeconds=");
        if (bed.server.requests == seen || !at)
            continue;
        seen = bed.server.requests;
        int64_t timeout = atoll(at + 15);
        least = timeout < least ? timeout : least;
        most = timeout > most ? timeout : most;
        CU_ASSERT_PTR_NOT_NULL(strstr(bed.server.last_line, "allowWatchBookmarks=true"));
    }
    CU_ASSERT_TRUE(least >= 300 && most <= 600 && most - least > 30);
    stop();
}

static void large_list_comes_in_pages(void)
{
    start();
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", MORE("a/+=&b"), A1)},
           {.wants = LIST_URL "&continue=a%2F%2B%3D%26b",
            .status = 200,
            .body = LIST("11", MORE("c"), B1)},
           {.wants = LIST_URL "&continue=c", .status = 200, .body = LIST("12", "", C1)},
           {.wants = "&resourceVersion=10", .status = 200, .then = HOLD});
    follow();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 +a/y@1 +b/x@1 synced"));
    run_script();
    stop();
}

static void path_may_have_a_query(void)
{
    start();
    SCRIPT(
        &bed.server,
        {.wants = "GET /api/v1/pods?labelSelector=a%3Db&limit=500",
         .status = 200,
         .body = LIST("10", "", "")},
        {.wants = "GET /api/v1/pods?labelSelector=a%3Db&watch=true", .status = 200, .then = HOLD});
    follower_start(&follower, &bed, "/api/v1/pods?labelSelector=a%3Db");
    CU_ASSERT_TRUE(follower_tells(&follower, "synced"));
    run_script();
    stop();
}

static void cluster_scoped_objects_have_a_name_alone(void)
{
    start();
    SCRIPT(&bed.server,
           {.wants = "limit=500",
            .status = 200,
            .body = LIST("10", "", "{\"metadata\":{\"name\":\"shop\",\"resourceVersion\":\"3\"}}")},
           {.wants = "watch=true", .status = 200, .then = HOLD});
    follower_start(&follower, &bed, "/api/v1/namespaces");
    CU_ASSERT_TRUE(follower_tells(&follower, "+shop@3 synced"));
    run_script();
    stop();
}

static void answers_cut_at_every_byte_mean_the_same(void)
{
    start();
    SCRIPT(&bed.server,
           {.wants = LIST_URL, .status = 200, .chunk = 1, .body = LIST("10", "", A1 ", " B1)},
           {.wants = "&resourceVersion=10",
            .status = 200,
            .chunk = 1,
            .body = EVENT("MODIFIED", A2) BOOKMARK("11") EVENT("DELETED", B1),
            .then = HOLD});
    follow();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 +a/y@1 synced +a/x@2 -a/y"));
    run_script();
    stop();
}

static void watch_that_ends_goes_on_where_it_was(void)
{
    start();
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1)},
           {.wants = "&resourceVersion=10", .status = 200, .body = BOOKMARK("15")},
           {.wants = "&resourceVersion=15", .status = 200, .body = EVENT("MODIFIED", A2)},
           {.wants = "&resourceVersion=2", .status = 200, .body = ""},
           {.wants = "&resourceVersion=2", .status = 200, .then = HOLD});
    follow();
    run_script();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 synced +a/x@2"));
    stop();
}

/* --- 410 -------------------------------------------------------------------------------------- */

/* As the status of the watch, as an event of the watch, in the middle of a paged list: each leads
 * to a new list, and the list to the difference alone. */
static void gone_as_a_status_leads_to_a_diff(void)
{
    start();
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1 "," B1)},
           {.wants = "&resourceVersion=10", .status = 410, .body = GONE},
           {.wants = LIST_URL, .status = 200, .body = LIST("20", "", A2 "," C1)},
           {.wants = "&resourceVersion=20", .status = 200, .then = HOLD});
    follow();
    run_script();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 +a/y@1 synced +a/x@2 +b/x@1 -a/y"));
    stop();
}

static void gone_as_an_event_leads_to_a_diff(void)
{
    static const char *const events[] = {
        EVENT("ERROR", GONE),
        EVENT("ERROR", STATUS("410", "Gone", "x")),
        EVENT("ERROR", STATUS("500", "InternalError", "too old resource version: 1 (2)")),
        EVENT("ERROR", STATUS("410", "", "")) EVENT("DELETED", A1),
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        start();
        SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1 "," B1)},
               {.wants = "&resourceVersion=10", .status = 200, .body = events[i], .then = HOLD},
               {.wants = LIST_URL, .status = 200, .body = LIST("20", "", A1 "," B1)},
               {.wants = "&resourceVersion=20", .status = 200, .then = HOLD});
        follow();
        run_script();
        CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 +a/y@1 synced"));
        CU_ASSERT_EQUAL(bed.server.connections, 1);
        stop();
    }
}

static void gone_between_pages_starts_the_list_anew(void)
{
    start();
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", MORE("a"), A1)},
           {.wants = "&continue=a", .status = 410, .body = GONE},
           {.wants = LIST_URL, .status = 200, .body = LIST("20", MORE("b"), C1)},
           {.wants = "&continue=b", .status = 200, .body = LIST("20", "", B1)},
           {.wants = "&resourceVersion=20", .status = 200, .then = HOLD});
    follow();
    run_script();
    /* What the first list had on its first page and the second had nowhere is gone. */
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 +b/x@1 +a/y@1 -a/x synced"));
    stop();
}

static void nothing_is_gone_while_a_list_is_not_complete(void)
{
    start();
    SCRIPT(&bed.server,
           {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1 "," B1 "," C1)},
           {.wants = "&resourceVersion=10", .status = 410, .body = GONE},
           {.wants = LIST_URL, .status = 200, .body = LIST("20", MORE("a"), A1)},
           {.wants = "&continue=a", .status = 500, .body = "{}"},
           {.wants = LIST_URL, .status = 200, .body = LIST("21", MORE("b"), A1), .then = CUT},
           {.wants = LIST_URL, .status = 200, .body = LIST("22", MORE("c"), A1)},
           {.wants = "&continue=c",
            .status = 200,
            .body = "{\"metadata\":{\"resourceVersion\":\"22\"},\"items\":[" B1 ","},
           {.wants = LIST_URL, .status = 200, .body = LIST("23", "", A1 "," B1 "," C1)},
           {.wants = "&resourceVersion=23", .status = 200, .then = HOLD});
    follow();
    run_script();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 +a/y@1 +b/x@1 synced"));
    CU_ASSERT_EQUAL(follower.gone, 0);
    stop();
}

/* --- a server with problems ------------------------------------------------------------------- */

static void refusal_is_met_with_patience(void)
{
    start();
    SCRIPT(&bed.server,
           {.wants = LIST_URL, .status = 403, .body = STATUS("403", "Forbidden", "no")},
           {.wants = LIST_URL, .status = 503, .body = "<html>"},
           {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1)},
           {.wants = "&resourceVersion=10", .status = 503, .body = "{}"},
           {.wants = "&resourceVersion=10", .status = 500, .body = "{}"},
           {.wants = "&resourceVersion=10", .status = 200, .then = HOLD});
    follow();
    run_script();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 synced"));
    stop();
}

/* A version from the future, as after a restored backup, is not 410 and never gets better. */
static void watch_refused_thrice_leads_to_a_list(void)
{
    static const char future[] = STATUS("504", "Timeout", "Too large resource version: 10");
    start();
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1)},
           {.wants = "&resourceVersion=10", .status = 504, .body = future},
           {.wants = "&resourceVersion=10", .status = 200, .body = EVENT("ERROR", "{}")},
           {.wants = "&resourceVersion=10", .status = 504, .body = future},
           {.wants = LIST_URL, .status = 200, .body = LIST("5", "", A1)},
           {.wants = "&resourceVersion=5", .status = 200, .then = HOLD});
    follow();
    run_script();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 synced"));
    stop();
}

static void retry_after_is_waited_for(void)
{
    start();
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 429, .retry_after = "1", .body = "{}"},
           {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1)},
           {.wants = "&resourceVersion=10", .status = 200, .then = HOLD});
    follow();
    bed_idle(&bed, 700);
    CU_ASSERT_EQUAL(bed.server.requests, 1);
    run_script();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 synced"));
    stop();
}

static void stream_cut_in_half_an_object_goes_on_from_the_last_whole_one(void)
{
    static const char half[] = EVENT("MODIFIED", A2) "{\"type\":\"DELETED\",\"object\":{\"meta";
    static const enum then thens[] = {CUT, CLOSE, RST, END};
    for (size_t i = 0; i < 4; i++) {
        start();
        SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1)},
               {.wants = "&resourceVersion=10", .status = 200, .body = half, .then = thens[i]},
               {.wants = "&resourceVersion=2", .status = 200, .then = HOLD});
        follow();
        run_script();
        CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 synced +a/x@2"));
        CU_ASSERT_EQUAL(bed.server.connections, i < 2 ? 2 : 1);
        stop();
    }
}

static void list_cut_anywhere_is_asked_again(void)
{
    static const char whole[] = LIST("10", "", A1 "," B1);
    for (size_t cut = 0; cut < sizeof whole - 2; cut += 13) {
        start();
        SCRIPT(&bed.server,
               {.wants = LIST_URL,
                .status = 200,
                .body = cut ? whole : NULL,
                .body_len = cut,
                .then = cut % 2 ? CUT : END},
               {.wants = LIST_URL, .status = 200, .body = whole},
               {.wants = "&resourceVersion=10", .status = 200, .then = HOLD});
        follow();
        run_script();
        CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 +a/y@1 synced"));
        stop();
    }
}

static void goaway_moves_the_watch_to_another_connection(void)
{
    start();
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1)},
           {.wants = "&resourceVersion=10",
            .status = 200,
            .body = EVENT("MODIFIED", A2),
            .then = GOAWAY},
           {.wants = "&resourceVersion=2", .status = 200, .then = HOLD});
    follow();
    run_script();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 synced +a/x@2"));
    CU_ASSERT_EQUAL(bed.server.connections, 2);
    CU_ASSERT_PTR_NULL(bed.client->retirees[0].session);
    stop();
}

static void silent_server_is_left(void)
{
    start();
    bed.client->timing.session.ping_idle_ms = 50;
    bed.client->timing.session.ping_answer_ms = 50;
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1)},
           {.wants = "&resourceVersion=10", .status = 200, .body = BOOKMARK("11"), .then = SILENT},
           {.wants = "&resourceVersion=11", .status = 200, .then = HOLD});
    follow();
    run_script();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 synced"));
    CU_ASSERT_EQUAL(bed.server.connections, 2);
    stop();
}

static void slow_server_is_asked_again(void)
{
    start();
    bed.client->timing.page_ms = 150;
    bed.client->timing.head_ms = 150;
    SCRIPT(&bed.server, {.wants = LIST_URL, .then = NOTHING},
           {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1), .then = HOLD},
           {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1)},
           {.wants = "&resourceVersion=10", .then = NOTHING},
           {.wants = "&resourceVersion=10", .status = 200, .then = HOLD});
    follow();
    run_script();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 synced"));
    /* Once a watch stands, that deadline is over: it may be quiet for as long as it was asked to.
     */
    bed_idle(&bed, 300);
    CU_ASSERT_EQUAL(bed.server.requests, 5);
    CU_ASSERT_EQUAL(bed.server.connections, 1);
    stop();
}

static void watch_that_overstays_is_ended(void)
{
    start();
    bed.client->timing.watch_s = 0;
    bed.client->timing.watch_grace_ms = 60;
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1)},
           {.wants = "&resourceVersion=10", .status = 200, .body = BOOKMARK("11"), .then = HOLD},
           {.wants = "&resourceVersion=11", .status = 200, .body = BOOKMARK("12"), .then = HOLD},
           {.wants = "&resourceVersion=12", .status = 200, .then = HOLD, .repeat = true});
    follow();
    run_script();
    CU_ASSERT_EQUAL(bed.server.connections, 1);
    stop();
}

/* --- answers that cannot be read -------------------------------------------------------------- */

static void event_that_is_no_json_leads_to_a_list(void)
{
    static const char *const events[] = {
        "{\"type\":\"ADDED\",\"object\":{nonsense}}\n",
        "<html>\n",
        "[]\n",
        "{\"kind\":\"Status\"}\n",
        "{\"type\":7,\"object\":{}}\n",
        "{\"type\":\"ADDED\",\"object\":null}\n",
        EVENT("ADDED", "{\"metadata\":{}}"),
        EVENT("DELETED", "{\"metadata\":{\"name\":\"\"}}"),
    };
    for (size_t i = 0; i < sizeof events / sizeof events[0]; i++) {
        start();
        SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1 "," B1)},
               {.wants = "&resourceVersion=10", .status = 200, .body = events[i], .then = HOLD},
               {.wants = LIST_URL, .status = 200, .body = LIST("20", "", B1)},
               {.wants = "&resourceVersion=20", .status = 200, .then = HOLD});
        follow();
        run_script();
        CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 +a/y@1 synced -a/x"));
        stop();
    }
}

static void list_that_is_none_is_asked_again(void)
{
    static const char *const lists[] = {
        "<html>",
        "",
        "{}",
        "[]",
        "{\"items\":[]}",
        "{\"metadata\":{\"resourceVersion\":7},\"items\":[]}",
        "{\"metadata\":{\"resourceVersion\":\"\"},\"items\":[]}",
        "{\"metadata\":{nonsense},\"items\":[]}",
        "{\"metadata\":{\"resourceVersion\":\"7\"},\"items\":[1]}",
    };
    start();
    for (size_t i = 0; i < sizeof lists / sizeof lists[0]; i++) {
        SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = lists[i]},
               {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1)},
               {.wants = "&resourceVersion=10", .status = 200, .then = HOLD});
        memset(&follower, 0, sizeof follower);
        follow();
        run_script();
        CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 synced"));
        follower_stop(&follower);
    }
    stop();
}

/* One object that we cannot read must not take the others with it, and least of all itself. */
static void item_that_cannot_be_read_is_left_out_and_nothing_is_gone(void)
{
    static const char bad[] =
        "{\"metadata\":{\"namespace\":\"a\",\"name\":\"y\",\"resourceVersion\":\"9\"},\"x\":1e999}";
    start();
    char list[2048];
    snprintf(list, sizeof list,
             "{\"metadata\":{\"resourceVersion\":\"20\"},\"items\":[" A2 ",%s,{\"metadata\":7}]}",
             bad);
    SCRIPT(&bed.server,
           {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1 "," B1 "," C1)},
           {.wants = "&resourceVersion=10", .status = 410, .body = GONE},
           {.wants = LIST_URL, .status = 200, .body = list},
           {.wants = "&resourceVersion=20", .status = 410, .body = GONE},
           {.wants = LIST_URL, .status = 200, .body = LIST("30", "", A2 "," B1)},
           {.wants = "&resourceVersion=30", .status = 200, .then = HOLD});
    follow();
    run_script();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 +a/y@1 +b/x@1 synced +a/x@2 -b/x"));
    stop();
}

static void null_in_a_text_or_a_key_is_no_reason_to_leave_an_object_out(void)
{
    start();
    SCRIPT(&bed.server,
           {.wants = LIST_URL,
            .status = 200,
            .body = LIST("10", "",
                         "{\"metadata\":{\"name\":\"x\",\"resourceVersion\":\"1\",\"annotations\":"
                         "{\"a\":\"\\u0000\",\"b\\u0000\":\"\"}}}")},
           {.wants = "&resourceVersion=10", .status = 200, .then = HOLD});
    follow();
    run_script();
    CU_ASSERT_TRUE(follower_tells(&follower, "+x@1 synced"));
    stop();
}

static char *giant_object(void)
{
    size_t len = KUBE_PIECE_MAX + 100;
    char *text = malloc(len + 200);
    int at = sprintf(text, "{\"metadata\":{\"namespace\":\"a\",\"name\":\"g\"},\"x\":\"");
    memset(text + at, 'x', len);
    strcpy(text + at + len, "\"}");
    return text;
}

static void giant_event_leads_to_a_list_that_leaves_it_out(void)
{
    char *giant = giant_object();
    char *event = malloc(strlen(giant) + 100), *list = malloc(strlen(giant) + 400);
    sprintf(event, "{\"type\":\"ADDED\",\"object\":%s}\n", giant);
    sprintf(list, "{\"metadata\":{\"resourceVersion\":\"20\"},\"items\":[" A2 ",%s," B1 "]}",
            giant);
    start();
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1)},
           {.wants = "&resourceVersion=10", .status = 200, .body = event, .then = HOLD},
           {.wants = LIST_URL, .status = 200, .body = list},
           {.wants = "&resourceVersion=20", .status = 200, .then = HOLD});
    follow();
    run_script();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 synced +a/x@2 +a/y@1"));
    CU_ASSERT_EQUAL(bed.server.connections, 1);
    stop();
    free(giant);
    free(event);
    free(list);
}

/* --- a collection that is not there ----------------------------------------------------------- */

static void absent_collection_is_asked_for_again(void)
{
    start();
    bed.client->timing.absent_ms = 20;
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 404, .body = "404 page not found"},
           {.wants = LIST_URL, .status = 404, .body = "404 page not found"},
           {.wants = LIST_URL, .status = 404, .body = "404 page not found"},
           {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1)},
           {.wants = "&resourceVersion=10", .status = 200, .then = HOLD});
    follow();
    run_script();
    CU_ASSERT_TRUE(follower_tells(&follower, "absent +a/x@1 synced"));
    stop();
}

/* 404 once may be a server that is still starting; twice, 30 s apart, is none. */
static void collection_must_be_absent_twice_to_be_gone(void)
{
    start();
    bed.client->timing.absent_ms = 20;
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1)},
           {.wants = "&resourceVersion=10", .status = 404, .body = "{}"},
           {.wants = LIST_URL, .status = 200, .body = LIST("11", "", A1)},
           {.wants = "&resourceVersion=11", .status = 404, .body = "{}"},
           {.wants = LIST_URL, .status = 404, .body = "{}"},
           {.wants = LIST_URL, .status = 404, .body = "{}"},
           {.wants = LIST_URL, .status = 200, .body = LIST("20", "", A1)},
           {.wants = "&resourceVersion=20", .status = 200, .then = HOLD});
    follow();
    run_script();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1 synced absent absent -a/x +a/x@1"));
    stop();
}

/* --- closing ---------------------------------------------------------------------------------- */

static void reflector_may_close_in_its_own_callback(void)
{
    start();
    follower.close_at_object = true;
    SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", "", A1 "," B1)});
    follow();
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1"));
    bed_idle(&bed, 30);
    CU_ASSERT_TRUE(follower_tells(&follower, "+a/x@1"));
    CU_ASSERT_PTR_NULL(follower.reflector);
    stop();
}

static void reflector_may_be_closed_at_any_turn(void)
{
    for (int turns = 0; turns < 40; turns++) {
        start();
        SCRIPT(&bed.server, {.wants = LIST_URL, .status = 200, .body = LIST("10", MORE("a"), A1)},
               {.wants = "&continue=a", .status = 200, .body = LIST("10", "", B1)},
               {.wants = "&resourceVersion=10",
                .status = 200,
                .chunk = 20,
                .body = EVENT("MODIFIED", A2),
                .then = HOLD,
                .repeat = true});
        follow();
        for (int i = 0; i < turns; i++)
            uv_run(&bed.loop.uv, UV_RUN_NOWAIT);
        follower_stop(&follower);
        follower_clear(&follower);
        bed_idle(&bed, 2);
        CU_ASSERT_TRUE(follower_tells(&follower, ""));
        bed_stop(&bed);
    }
}

static void several_collections_share_a_connection(void)
{
    static struct follower others[3];
    static const char *const paths[] = {"/api/v1/services", "/api/v1/namespaces", "/api/v1/nodes"};
    memset(others, 0, sizeof others);
    start();
    SCRIPT(&bed.server, {.wants = "limit=500", .status = 200, .body = LIST("10", "", A1)},
           {.wants = "limit=500", .status = 200, .body = LIST("10", "", A1)},
           {.wants = "limit=500", .status = 200, .body = LIST("10", "", A1)},
           {.wants = "watch=true",
            .status = 200,
            .body = EVENT("DELETED", A1),
            .then = HOLD,
            .repeat = true});
    for (int i = 0; i < 3; i++)
        follower_start(&others[i], &bed, paths[i]);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_TRUE(follower_tells(&others[i], "+a/x@1 synced -a/x"));
    CU_ASSERT_EQUAL(bed.server.connections, 1);
    for (int i = 0; i < 3; i++)
        follower_stop(&others[i]);
    stop();
}

/* --- everything at once ----------------------------------------------------------------------- */

enum { OBJECTS = 60, ROUNDS = 400 };

/* A model of a collection, and a server that shows it truthfully but behaves badly: whatever it
 * does, what the follower knows in the end is what there is, and nothing was ever reported as gone
 * that had not been deleted. */
static struct model {
    unsigned version[OBJECTS]; /* 0: is not there */
    unsigned deleted[OBJECTS]; /* how often it has been */
    unsigned now;
    char events[1 << 16]; /* since the beginning, as text, with the version of each */
    struct {
        unsigned version;
        size_t at;
    } index[4096];
    unsigned count;
    unsigned seen_version[OBJECTS], seen_gone[OBJECTS];
    unsigned spurious;
    uint64_t seed;
    char body[1 << 17];
    struct step step;
    bool calm;
} model;

static unsigned dice(unsigned sides)
{
    model.seed = model.seed * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(model.seed >> 33) % sides;
}

static size_t object_text(char *out, size_t size, unsigned i, unsigned version)
{
    return (size_t)snprintf(out, size,
                            "{\"metadata\":{\"namespace\":\"n\",\"name\":\"o%u\","
                            "\"resourceVersion\":\"%u\"}}",
                            i, version);
}

static void change_something(void)
{
    unsigned i = dice(OBJECTS);
    char object[200], event[300];
    bool delete = model.version[i] && dice(3) == 0;
    const char *type = delete ? "DELETED" : model.version[i] ? "MODIFIED" : "ADDED";
    model.now++;
    model.version[i] = delete ? 0 : model.now;
    model.deleted[i] += delete;
    object_text(object, sizeof object, i, model.now);
    int len = snprintf(event, sizeof event, "{\"type\":\"%s\",\"object\":%s}\n", type, object);
    size_t used = strlen(model.events);
    CU_ASSERT_FATAL(used + (size_t)len < sizeof model.events && model.count < 4096);
    memcpy(model.events + used, event, (size_t)len + 1);
    model.index[model.count].version = model.now;
    model.index[model.count++].at = used;
}

static enum then misbehave(void)
{
    static const enum then thens[] = {END, CUT, CLOSE, RST, GOAWAY, HOLD};
    return model.calm ? END : thens[dice(6)];
}

static void answer_list(const char *line)
{
    const char *page = strstr(line, "continue=");
    unsigned from = page ? (unsigned)atoi(page + 9) : 0, to = from + 1 + dice(OBJECTS);
    char object[200];
    size_t used = 0;
    bool first = true;
    /* A page shows the state of its list's beginning; here nothing changes while one is paged. */
    used += (size_t)sprintf(model.body, "{\"metadata\":{\"resourceVersion\":\"%u\"", model.now);
    if (to < OBJECTS)
        used += (size_t)sprintf(model.body + used, ",\"continue\":\"%u\"", to);
    used += (size_t)sprintf(model.body + used, "},\"items\":[");
    for (unsigned i = from; i < to && i < OBJECTS; i++) {
        if (!model.version[i])
            continue;
        object_text(object, sizeof object, i, model.version[i]);
        used += (size_t)sprintf(model.body + used, "%s%s", first ? "" : ",", object);
        first = false;
    }
    used += (size_t)sprintf(model.body + used, "]}");
    model.step = (struct step){.status = 200, .body = model.body, .body_len = used};
    if (!model.calm && dice(4) == 0) {
        model.step.body_len = 1 + dice((unsigned)used);
        model.step.then = misbehave();
        if (model.step.then == HOLD)
            model.step.then = END;
    }
}

static void answer_watch(const char *line)
{
    unsigned from = (unsigned)atoi(strstr(line, "resourceVersion=") + 16);
    size_t at = strlen(model.events);
    for (unsigned i = model.count; i > 0 && model.index[i - 1].version > from; i--)
        at = model.index[i - 1].at;
    size_t len = strlen(model.events + at);
    memcpy(model.body, model.events + at, len + 1);
    model.step = (struct step){.status = 200, .body = model.body, .body_len = len, .then = HOLD};
    if (model.calm)
        return;
    if (len > 0 && dice(3) == 0)
        model.step.body_len = 1 + dice((unsigned)len);
    model.step.then = misbehave();
    if (model.step.then == HOLD && dice(2))
        model.step.then = END; /* else nobody would go on */
    if (model.step.then == HOLD)
        model.step.then = RST;
    if (len == 0)
        model.step.body = NULL;
}

static const struct step *answer_from_model(struct apiserver *server, const char *line)
{
    static const struct step refusals[] = {
        {.status = 410, .body = GONE},
        {.status = 500, .body = "{}"},
        {.status = 504, .body = "<html>"},
        {.status = 200, .body = EVENT("ERROR", GONE)},
        {.status = 200, .body = "{\"type\":"},
        {.status = 200, .body = "{]"},
        {.then = REFUSE},
    };
    (void)server;
    if (!model.calm) {
        unsigned changes = strstr(line, "continue=") ? 0 : dice(4);
        while (changes-- > 0)
            change_something();
        if (dice(5) == 0)
            return &refusals[dice(7)];
    }
    if (strstr(line, "watch=true"))
        answer_watch(line);
    else
        answer_list(line);
    return &model.step;
}

static void see_object(const char *key, json_t *object, void *arg)
{
    unsigned i = (unsigned)atoi(key + 3);
    (void)arg;
    model.seen_version[i] = (unsigned)atoi(
        json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion")));
}

static void see_gone(const char *key, void *arg)
{
    unsigned i = (unsigned)atoi(key + 3);
    (void)arg;
    model.seen_version[i] = 0;
    /* Each report needs a deletion of its own. */
    model.spurious += ++model.seen_gone[i] > model.deleted[i];
}

static void see_synced(void *arg)
{
    (void)arg;
}

static bool model_is_seen(void *arg)
{
    (void)arg;
    return memcmp(model.version, model.seen_version, sizeof model.version) == 0;
}

static bool enough_asked(void *arg)
{
    (void)arg;
    return bed.server.requests >= ROUNDS;
}

static void bad_server_never_makes_us_believe_what_is_not_so(void)
{
    static const struct kube_reflector_events events = {
        .on_object = see_object, .on_gone = see_gone, .on_synced = see_synced};
    for (unsigned run = 0; run < 3; run++) {
        struct err err;
        memset(&model, 0, sizeof model);
        model.seed = 20251125 + run;
        start();
        bed.client->timing.retire_ms = 5;
        bed.client->timing.pause_max_ms = 2;
        bed.client->timing.backoff_max_ms = 2;
        bed.client->backoff.max_ms = 2;
        bed.server.answer = answer_from_model;
        struct kube_reflector *reflector =
            kube_reflector_start(bed.client, "/api/v1/pods", &events, NULL, &err);
        CU_ASSERT_TRUE(bed_wait(&bed, enough_asked, NULL));
        model.calm = true;
        CU_ASSERT_TRUE(bed_wait(&bed, model_is_seen, NULL));
        CU_ASSERT_EQUAL(model.spurious, 0);
        CU_ASSERT_TRUE(model.now > 100);
        kube_reflector_close(reflector);
        bed_stop(&bed);
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(list_then_watch_tells_what_changes),
        SUITE_CASE(watch_asks_for_a_timeout_between_five_and_ten_minutes),
        SUITE_CASE(large_list_comes_in_pages),
        SUITE_CASE(path_may_have_a_query),
        SUITE_CASE(cluster_scoped_objects_have_a_name_alone),
        SUITE_CASE(answers_cut_at_every_byte_mean_the_same),
        SUITE_CASE(watch_that_ends_goes_on_where_it_was),
        SUITE_CASE(gone_as_a_status_leads_to_a_diff),
        SUITE_CASE(gone_as_an_event_leads_to_a_diff),
        SUITE_CASE(gone_between_pages_starts_the_list_anew),
        SUITE_CASE(nothing_is_gone_while_a_list_is_not_complete),
        SUITE_CASE(refusal_is_met_with_patience),
        SUITE_CASE(watch_refused_thrice_leads_to_a_list),
        SUITE_CASE(retry_after_is_waited_for),
        SUITE_CASE(stream_cut_in_half_an_object_goes_on_from_the_last_whole_one),
        SUITE_CASE(list_cut_anywhere_is_asked_again),
        SUITE_CASE(goaway_moves_the_watch_to_another_connection),
        SUITE_CASE(silent_server_is_left),
        SUITE_CASE(slow_server_is_asked_again),
        SUITE_CASE(watch_that_overstays_is_ended),
        SUITE_CASE(event_that_is_no_json_leads_to_a_list),
        SUITE_CASE(list_that_is_none_is_asked_again),
        SUITE_CASE(item_that_cannot_be_read_is_left_out_and_nothing_is_gone),
        SUITE_CASE(null_in_a_text_or_a_key_is_no_reason_to_leave_an_object_out),
        SUITE_CASE(giant_event_leads_to_a_list_that_leaves_it_out),
        SUITE_CASE(absent_collection_is_asked_for_again),
        SUITE_CASE(collection_must_be_absent_twice_to_be_gone),
        SUITE_CASE(reflector_may_close_in_its_own_callback),
        SUITE_CASE(reflector_may_be_closed_at_any_turn),
        SUITE_CASE(several_collections_share_a_connection),
        SUITE_CASE(bad_server_never_makes_us_believe_what_is_not_so),
        SUITE_END,
    };
    return suite_main("kube/reflector", cases, argc, argv);
}
