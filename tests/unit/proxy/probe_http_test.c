#include "proxy/probe_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "suite.h"

/* Feeds `answer` in pieces of `chunk` bytes; END: the server hangs up behind it. */
enum { OPEN, END };

static enum probe_http_state feed(struct probe_http *http, const char *answer, size_t len,
                                  size_t chunk, int then)
{
    enum probe_http_state state = PROBE_HTTP_MORE;
    memset(http, 0, sizeof *http);
    for (size_t at = 0; at < len && state == PROBE_HTTP_MORE; at += chunk)
        state = probe_http_feed(http, answer + at, len - at < chunk ? len - at : chunk);
    return state == PROBE_HTTP_MORE && then == END ? probe_http_end(http) : state;
}

#define CHUNKED "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"

static void an_answer_is_done_when_its_body_is_there_however_it_is_cut(void)
{
    static const struct {
        const char *answer;
        int then;
        unsigned status; /* 0: broken; 1: more is waited for */
    } rows[] = {
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", OPEN, 200},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", OPEN, 1},
        {"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\no", END, 0},
        {"HTTP/1.1 503 Service Unavailable\r\ncontent-length:  0 \r\n\r\n", OPEN, 503},
        {"HTTP/1.0 200 OK\r\n\r\nuntil the end", OPEN, 1},
        {"HTTP/1.0 200 OK\r\n\r\nuntil the end", END, 200},
        {"HTTP/1.1 204 No Content\r\n\r\n", OPEN, 204},
        {"HTTP/1.1 200 \r\nContent-Length: 0\r\n\r\n", OPEN, 200},
        {"HTTP/1.1 200\r\nContent-Length: 0\r\n\r\n", OPEN, 200},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", OPEN, 200},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: Chunked\r\n\r\n2\r\nok\r\n", OPEN, 1},
        {"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n", END, 0},
        /* Content that looks like the end, which it is not. */
        {CHUNKED "5\r\n0\r\n\r\n\r\n", OPEN, 1},
        {CHUNKED "5\r\n0\r\n\r\n\r\n", END, 0},
        {CHUNKED "A\r\n0\r\n\r\nhello\r\n0\r\n\r\n", OPEN, 200},
        {CHUNKED "2;name=\"0\"\r\nok\r\n0;last\r\nExpires: 0\r\n\r\n", OPEN, 200},
        {CHUNKED "0\r\nExpires: 0\r\n", OPEN, 1},
        {CHUNKED "00000000a\r\n0123456789\r\n000\r\n\r\n", OPEN, 200},
        {CHUNKED "\r\n", OPEN, 0},
        {CHUNKED "x\r\n", OPEN, 0},
        {CHUNKED "-2\r\nok\r\n0\r\n\r\n", OPEN, 0},
        {CHUNKED "2\nok\r\n0\r\n\r\n", OPEN, 0},
        {CHUNKED "2\r\nokay\r\n0\r\n\r\n", OPEN, 0},
        {CHUNKED "1000000000000000\r\n", OPEN, 0},
        {"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", OPEN, 200},
        {"HTTP/1.1 101 Switching Protocols\r\n\r\n", OPEN, 101},
        {"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", END, 0},
        {"", END, 0},
        {"HTTP/2 200 OK\r\n\r\n", OPEN, 0},
        {"HTTP/1.1 20 OK\r\n\r\n", OPEN, 0},
        {"HTTP/1.1 2000 OK\r\n\r\n", OPEN, 0},
        {"HTTP/1.1 999 OK\r\n\r\n", OPEN, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", OPEN, 0},
        {"HTTP/1.1 200 OK\r\nContent-Length: 1x\r\n\r\n", OPEN, 0},
        {"SSH-2.0-OpenSSH_9.2\r\n\r\n", OPEN, 0},
    };
    static struct probe_http http;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        size_t len = strlen(rows[i].answer);
        for (size_t chunk = 1; chunk <= len + 1; chunk++) {
            enum probe_http_state want = rows[i].status == 0   ? PROBE_HTTP_BROKEN
                                         : rows[i].status == 1 ? PROBE_HTTP_MORE
                                                               : PROBE_HTTP_DONE;
            enum probe_http_state state = feed(&http, rows[i].answer, len, chunk, rows[i].then);
            if (state != want)
                printf("\n%s in pieces of %zu: %d\n", rows[i].answer, chunk, state);
            CU_ASSERT_EQUAL(state, want);
            if (want == PROBE_HTTP_DONE)
                CU_ASSERT_EQUAL(http.status, rows[i].status);
        }
    }
}

static void a_null_in_the_head_is_broken(void)
{
    static struct probe_http http;
    static const char answer[] = "HTTP/1.1 200 OK\r\nA: \0\r\n\r\n";
    CU_ASSERT_EQUAL(feed(&http, answer, sizeof answer - 1, 100, OPEN), PROBE_HTTP_BROKEN);
}

static void heads_and_bodies_have_a_ceiling(void)
{
    static struct probe_http http;
    size_t size = 1 << 20;
    char *answer = malloc(size);
    memset(answer, 'x', size);
    memcpy(answer, "HTTP/1.1 200 OK\r\nA: ", 20);
    CU_ASSERT_EQUAL(feed(&http, answer, size, 4096, OPEN), PROBE_HTTP_BROKEN);
    memcpy(answer, "HTTP/1.1 200 OK\r\n\r\n", 19);
    CU_ASSERT_EQUAL(feed(&http, answer, 19 + PROBE_BODY_MAX - 1, 4096, OPEN), PROBE_HTTP_MORE);
    CU_ASSERT_EQUAL(feed(&http, answer, 19 + PROBE_BODY_MAX, 4096, OPEN), PROBE_HTTP_DONE);
    memcpy(answer, CHUNKED "2;", sizeof CHUNKED "2;" - 1);
    CU_ASSERT_EQUAL(feed(&http, answer, size, 4096, OPEN), PROBE_HTTP_BROKEN);
    memcpy(answer, CHUNKED "0\r\n", sizeof CHUNKED "0\r\n" - 1);
    CU_ASSERT_EQUAL(feed(&http, answer, size, 4096, OPEN), PROBE_HTTP_BROKEN);
    memcpy(answer, CHUNKED "fffff\r\n", sizeof CHUNKED "fffff\r\n" - 1);
    CU_ASSERT_EQUAL(feed(&http, answer, size, 4096, OPEN), PROBE_HTTP_DONE);
    free(answer);
}

static void a_request_has_a_host_unless_the_probe_brings_one(void)
{
    static struct probe_target target;
    char path[] = "/ok", plain[] = "Connection: close\r\n",
         own[] = "Host: shop\r\nConnection: close\r\n";
    struct probe probe = {.kind = PROBE_HTTP, .port = 8080, .path = path, .headers = plain};
    struct addr ip;
    size_t len;
    CU_ASSERT(addr_parse(&ip, "fd00::1"));
    CU_ASSERT(probe_target_init(&target, &probe, &ip));
    char *request = probe_http_request(&probe, &target, &len);
    CU_ASSERT_STRING_EQUAL(request, "GET /ok HTTP/1.1\r\nHost: [fd00::1]:8080\r\n"
                                    "Connection: close\r\n\r\n");
    CU_ASSERT_EQUAL(len, strlen(request));
    free(request);
    probe.headers = own;
    probe.has_host = true;
    request = probe_http_request(&probe, &target, &len);
    CU_ASSERT_STRING_EQUAL(request, "GET /ok HTTP/1.1\r\nHost: shop\r\nConnection: close\r\n\r\n");
    free(request);
}

static void redirects_are_followed_to_the_same_host_only(void)
{
    static const struct {
        unsigned status;
        const char *location, *to; /* scheme, address and path; NULL: not followed */
    } rows[] = {
        {302, "/login", "http 10.0.0.5:8080 /login"},
        {301, "/login?next=%2F#form", "http 10.0.0.5:8080 /login?next=%2F"},
        {303, "b", "http 10.0.0.5:8080 /a/b"},
        {307, "../b", "http 10.0.0.5:8080 /a/../b"},
        {308, "?y=2", "http 10.0.0.5:8080 /a/x?y=2"},
        {302, "http://10.0.0.5:8080/z", "http 10.0.0.5:8080 /z"},
        {302, "HTTPS://10.0.0.5:8443", "https 10.0.0.5:8443 /"},
        {302, "https://10.0.0.5/z", "https 10.0.0.5:443 /z"},
        {302, "http://10.0.0.5?y", "http 10.0.0.5:80 /?y"},
        {302, "//10.0.0.5/z", "http 10.0.0.5:80 /z"},
        {302, "http://10.0.0.6/z", NULL},
        {302, "http://example.com/z", NULL},
        {302, "http://[fd00::1]/z", NULL},
        {302, "http://user@10.0.0.5/", NULL},
        {302, "mailto:somebody", NULL},
        {302, "", NULL},
        {302, "/a b", NULL},
        {302, "/a\x01", NULL},
        {200, "/login", NULL},
        {304, "/login", NULL},
    };
    static struct probe_http http;
    static struct probe_target target;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        char answer[200], got[200] = "", at[ADDR_TEXT_MAX];
        snprintf(answer, sizeof answer,
                 "HTTP/1.1 %u X\r\nX: y\r\nlocation: %s\r\nContent-Length: 0\r\n\r\n",
                 rows[i].status, rows[i].location);
        CU_ASSERT_EQUAL(feed(&http, answer, strlen(answer), 500, OPEN), PROBE_HTTP_DONE);
        target.https = false;
        CU_ASSERT(addr_port_parse(&target.at, "10.0.0.5:8080"));
        strcpy(target.path, "/a/x?z=1");
        if (probe_http_follow(&http, &target))
            snprintf(got, sizeof got, "%s %s %.100s", target.https ? "https" : "http",
                     addr_port_format(&target.at, at), target.path);
        if (strcmp(got, rows[i].to ? rows[i].to : "") != 0)
            printf("\n%s: %s\n", rows[i].location, got);
        CU_ASSERT_STRING_EQUAL(got, rows[i].to ? rows[i].to : "");
    }
}

static void a_redirect_that_does_not_fit_is_not_followed(void)
{
    static struct probe_http http;
    static struct probe_target target;
    char *answer = malloc(PROBE_HEAD_MAX);
    int head = sprintf(answer, "HTTP/1.1 302 X\r\nLocation: /");
    memset(answer + head, 'x', PROBE_TARGET_MAX);
    sprintf(answer + head + PROBE_TARGET_MAX, "\r\nContent-Length: 0\r\n\r\n");
    CU_ASSERT_EQUAL(feed(&http, answer, strlen(answer), 500, OPEN), PROBE_HTTP_DONE);
    CU_ASSERT(!probe_http_follow(&http, &target));
    free(answer);
    memset(target.path, 'y', PROBE_TARGET_MAX - 1);
    target.path[0] = '/';
    target.path[PROBE_TARGET_MAX - 2] = '/';
    const char relative[] = "HTTP/1.1 302 X\r\nLocation: zz\r\nContent-Length: 0\r\n\r\n";
    CU_ASSERT_EQUAL(feed(&http, relative, strlen(relative), 500, OPEN), PROBE_HTTP_DONE);
    CU_ASSERT(!probe_http_follow(&http, &target));
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(an_answer_is_done_when_its_body_is_there_however_it_is_cut),
        SUITE_CASE(a_null_in_the_head_is_broken),
        SUITE_CASE(heads_and_bodies_have_a_ceiling),
        SUITE_CASE(a_request_has_a_host_unless_the_probe_brings_one),
        SUITE_CASE(redirects_are_followed_to_the_same_host_only),
        SUITE_CASE(a_redirect_that_does_not_fit_is_not_followed),
        SUITE_END,
    };
    return suite_main("proxy.probe_http", cases, argc, argv);
}
