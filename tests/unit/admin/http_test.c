#include "admin/http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "suite.h"
#include "web.h"

enum { BIG = 8 << 20 }; /* more than the kernel's buffers take */

static void hello(void *arg, struct admin_http_request *request,
                  struct admin_http_response *response)
{
    const char *name = admin_http_query(request, "name");
    admin_http_json(response, json_pack("{s:s, s:s}", "hello", name ? name : "nobody", "from",
                                        (const char *)arg));
}

static void number(void *arg, struct admin_http_request *request,
                   struct admin_http_response *response)
{
    (void)arg;
    int64_t value;
    if (admin_http_query_int(request, "limit", 1, 50, 7, &value, response))
        admin_http_json(response, json_pack("{s:I}", "limit", (json_int_t)value));
}

static void body_length(void *arg, struct admin_http_request *request,
                        struct admin_http_response *response)
{
    (void)arg;
    size_t len;
    const char *body = admin_http_body(request, &len);
    char text[64];
    snprintf(text, sizeof text, "%zu %.8s", len, body);
    admin_http_text(response, 200, text);
}

static void big(void *arg, struct admin_http_request *request, struct admin_http_response *response)
{
    (void)arg;
    (void)request;
    response->body_len = BIG;
    response->body = malloc(response->body_len);
    memset(response->body, 'x', response->body_len);
}

static void echo(void *arg, struct admin_http_request *request,
                 struct admin_http_response *response)
{
    (void)arg;
    char text[64];
    const char *color = admin_http_header(request, "x-color");
    snprintf(text, sizeof text, "%s %s", admin_http_path(request), color ? color : "none");
    admin_http_text(response, 200, text);
}

static const struct admin_http_route routes[] = {{"GET", "/echo", echo, NULL},
                                                 {"GET", "/hello", hello, NULL},
                                                 {"PUT", "/level", hello, "name"},
                                                 {"GET", "/number", number, NULL},
                                                 {"POST", "/body", body_length, NULL},
                                                 {"GET", "/big", big, NULL},
                                                 ADMIN_HTTP_ROUTES_END};
static const struct admin_http_route other_routes[] = {{"GET", "/other", hello, NULL},
                                                       ADMIN_HTTP_ROUTES_END};

static char first_name[] = "first", second_name[] = "second";
static const struct addr_port any_port = {.ip = {.len = 4, .bytes = {127, 0, 0, 1}}};

static struct admin_http *server(uint16_t *port)
{
    struct admin_http *http = NULL;
    struct err err = {0};
    const struct admin_http_listen listens[] = {
        {.routes = routes, .arg = first_name, .address = any_port}};
    CU_ASSERT_EQUAL_FATAL(admin_http_start(&http, listens, 1, &err), ERR_OK);
    *port = admin_http_port(http, 0);
    CU_ASSERT_NOT_EQUAL_FATAL(*port, 0);
    return http;
}

/* Asks and compares status and body; a null body is not looked at. */
static void expect(uint16_t port, const char *request, int status, const char *body)
{
    char *answer = web_ask(port, request);
    CU_ASSERT_EQUAL(web_status(answer), status);
    if (body && strcmp(web_body(answer), body) != 0) {
        printf("\n%s\ngot: %s\n", request, answer);
        CU_FAIL("another body");
    }
    free(answer);
}

static void a_get_is_answered_and_the_connection_closed(void)
{
    uint16_t port;
    struct admin_http *http = server(&port);
    /* Two requests in one go: the second is not looked at. */
    char *answer = web_ask(port, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n"
                                 "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    CU_ASSERT_EQUAL(web_status(answer), 200);
    CU_ASSERT_PTR_NOT_NULL(strstr(answer, "Content-Type: application/json\r\n"));
    CU_ASSERT_PTR_NOT_NULL(strcasestr(answer, "Connection: close\r\n"));
    CU_ASSERT_STRING_EQUAL(web_body(answer), "{\"hello\":\"nobody\",\"from\":\"first\"}");
    free(answer);
    admin_http_stop(http);
}

static void http_1_0_and_head_work(void)
{
    uint16_t port;
    struct admin_http *http = server(&port);
    expect(port, "GET /hello HTTP/1.0\r\n\r\n", 200, "{\"hello\":\"nobody\",\"from\":\"first\"}");
    expect(port, "HEAD /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200, "");
    admin_http_stop(http);
}

static void an_unknown_path_is_404_and_another_method_405(void)
{
    uint16_t port;
    struct admin_http *http = server(&port);
    expect(port, "GET /nope HTTP/1.1\r\nHost: x\r\n\r\n", 404,
           "{\"error\":\"there is no /nope here\"}");
    expect(port, "GET /\xff\xfe HTTP/1.1\r\nHost: x\r\n\r\n", 404,
           "{\"error\":\"there is no /?? here\"}");
    char *answer = web_ask(port, "DELETE /hello HTTP/1.1\r\nHost: x\r\n\r\n");
    CU_ASSERT_EQUAL(web_status(answer), 405);
    CU_ASSERT_PTR_NOT_NULL(strstr(answer, "Allow: GET\r\n"));
    CU_ASSERT_STRING_EQUAL(web_body(answer), "{\"error\":\"/hello takes GET, not DELETE\"}");
    free(answer);
    admin_http_stop(http);
}

static void query_parameters_are_decoded_and_required(void)
{
    uint16_t port;
    struct admin_http *http = server(&port);
    expect(port, "GET /hello?a=b&name=J%c3%bcrg%20+x HTTP/1.1\r\nHost: x\r\n\r\n", 200,
           "{\"hello\":\"J\xc3\xbcrg  x\",\"from\":\"first\"}");
    expect(port, "PUT /level?name=x HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 200, NULL);
    expect(port, "PUT /level HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400,
           "{\"error\":\"PUT /level needs ?name=\"}");
    expect(port, "PUT /level?name HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400, NULL);
    expect(port, "PUT /level?name=a%00b HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 400,
           NULL);
    admin_http_stop(http);
}

static void numbers_in_a_query_are_checked(void)
{
    uint16_t port;
    struct admin_http *http = server(&port);
    expect(port, "GET /number HTTP/1.1\r\nHost: x\r\n\r\n", 200, "{\"limit\":7}");
    expect(port, "GET /number?limit=50 HTTP/1.1\r\nHost: x\r\n\r\n", 200, "{\"limit\":50}");
    expect(port, "GET /number?limit=51 HTTP/1.1\r\nHost: x\r\n\r\n", 400,
           "{\"error\":\"limit: '51' is not a number from 1 to 50\"}");
    expect(port, "GET /number?limit=-1 HTTP/1.1\r\nHost: x\r\n\r\n", 400, NULL);
    expect(port, "GET /number?limit=5x HTTP/1.1\r\nHost: x\r\n\r\n", 400, NULL);
    expect(port, "GET /number?limit=%205 HTTP/1.1\r\nHost: x\r\n\r\n", 400, NULL);
    expect(port, "GET /number?limit= HTTP/1.1\r\nHost: x\r\n\r\n", 400, NULL);
    expect(port, "GET /number?limit=99999999999999999999 HTTP/1.1\r\nHost: x\r\n\r\n", 400, NULL);
    admin_http_stop(http);
}

static void a_body_up_to_the_ceiling_arrives_and_a_larger_one_is_refused(void)
{
    uint16_t port;
    struct admin_http *http = server(&port);
    char *request = malloc(ADMIN_HTTP_BODY_MAX + 200);
    int head = sprintf(request, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n",
                       ADMIN_HTTP_BODY_MAX);
    memset(request + head, 'z', ADMIN_HTTP_BODY_MAX);
    request[head + ADMIN_HTTP_BODY_MAX] = 0;
    expect(port, request, 200, "4096 zzzzzzzz");
    free(request);
    expect(port, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n", 200, "0 ");
    expect(port, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 4097\r\n\r\n", 413,
           "{\"error\":\"the body is over 4096 bytes\"}");
    expect(port, "POST /body HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n", 411,
           "{\"error\":\"a body needs a Content-Length\"}");
    admin_http_stop(http);
}

/* The client sends all of it before it reads. */
static void a_listeners_own_ceiling_holds_and_its_refusal_reaches_who_is_still_sending(void)
{
    enum { BODY_MAX = 2 << 20, TOO_MUCH = 10 << 20 };
    struct admin_http *http = NULL;
    const struct admin_http_listen listens[] = {
        {.routes = routes, .address = any_port, .body_max = BODY_MAX}};
    CU_ASSERT_EQUAL_FATAL(admin_http_start(&http, listens, 1, NULL), ERR_OK);
    uint16_t port = admin_http_port(http, 0);
    char *request = malloc(TOO_MUCH + 200);
    const size_t sizes[] = {BODY_MAX, BODY_MAX + 1, TOO_MUCH};
    for (unsigned i = 0; i < sizeof sizes / sizeof sizes[0]; i++) {
        int head = sprintf(request, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: %zu\r\n\r\n",
                           sizes[i]);
        memset(request + head, 'z', sizes[i]);
        request[(size_t)head + sizes[i]] = 0;
        if (i == 0)
            expect(port, request, 200, "2097152 zzzzzzzz");
        else
            expect(port, request, 413, "{\"error\":\"the body is over 2097152 bytes\"}");
    }
    free(request);
    expect(port, "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n", 413, NULL);
    admin_http_stop(http);
}

static void bodies_that_are_held_together_have_a_ceiling(void)
{
    static const char begun[] = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 3000\r\n\r\nz";
    static const char more[] = "POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\nok";
    struct admin_http *http = NULL;
    const struct admin_http_listen listens[] = {
        {.routes = routes, .address = any_port, .bodies_max = 3001}};
    CU_ASSERT_EQUAL_FATAL(admin_http_start(&http, listens, 1, NULL), ERR_OK);
    uint16_t port = admin_http_port(http, 0);
    int fd = web_connect(port);
    web_send(fd, begun, strlen(begun));
    int status = 200;
    for (int i = 0; i < 1000 && status == 200; i++) { /* until the server has seen the first one */
        char *answer = web_ask(port, more);
        status = web_status(answer);
        free(answer);
    }
    CU_ASSERT_EQUAL(status, 503);
    expect(port, more, 503, "{\"error\":\"requests of 3000 bytes are being read already\"}");
    close(fd);
    for (int i = 0; i < 1000 && status == 503; i++) {
        char *answer = web_ask(port, more);
        status = web_status(answer);
        free(answer);
    }
    CU_ASSERT_EQUAL(status, 200);
    admin_http_stop(http);
}

static void headers_and_the_path_can_be_read(void)
{
    uint16_t port;
    struct admin_http *http = server(&port);
    expect(port, "GET /echo HTTP/1.1\r\nHost: x\r\nX-Color: blue\r\n\r\n", 200, "/echo blue");
    expect(port, "GET /echo HTTP/1.1\r\nHost: x\r\n\r\n", 200, "/echo none");
    admin_http_stop(http);
}

static void a_large_answer_arrives_whole(void)
{
    uint16_t port;
    struct admin_http *http = server(&port);
    int fd = web_connect(port);
    web_send(fd, "GET /big HTTP/1.1\r\nHost: x\r\n\r\n", 30);
    char *answer = web_read_all(fd, NULL);
    CU_ASSERT_EQUAL(strlen(web_body(answer)), BIG);
    free(answer);
    close(fd);
    admin_http_stop(http);
}

static void garbage_is_refused_and_hurts_nobody(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } garbage[] = {
#define BYTES(text) {text, sizeof text - 1}
        BYTES("\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"),
        BYTES("\0\0\0\0\0\0\r\n\r\n"),
        BYTES("\xff\xfe\xfd\r\n\r\n"),
        BYTES("GET\r\n\r\n"),
        BYTES("GET /hello\r\n\r\n"),
        BYTES("GET  HTTP/1.1\r\n\r\n"),
        BYTES("GET /hello HTTP/9.9\r\nHost: x\r\n\r\n"),
        BYTES("GET /hello HTTP/1.1\r\nHost x\r\n\r\n"),
        BYTES("GET /hello HTTP/1.1\r\n: x\r\n\r\n"),
        BYTES("GET /hello HTTP/1.1\r\n\r\n"),
        BYTES("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        BYTES("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: -5\r\n\r\n"),
        BYTES("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999999999999999999\r\n\r\n"),
        BYTES("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf"),
        BYTES("POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: "
              "chunked\r\n\r\n0\r\n\r\n"),
        BYTES("GET /hello HTTP/1.1\r\nHost: x"),
        BYTES("GE"),
        BYTES("GET /%zz%%%00?%%%=%00&&&=&=== HTTP/1.1\r\nHost: x\r\n\r\n"),
        BYTES(""),
#undef BYTES
    };
    uint16_t port;
    struct admin_http *http = server(&port);
    for (unsigned i = 0; i < sizeof garbage / sizeof garbage[0]; i++) {
        int fd = web_connect(port);
        web_send(fd, garbage[i].bytes, garbage[i].len);
        shutdown(fd, SHUT_WR);
        bool ended;
        char *answer = web_read_all(fd, &ended);
        CU_ASSERT(ended);
        if (web_status(answer) == 200) {
            printf("\naccepted: %s\n", garbage[i].bytes);
            CU_FAIL("garbage was answered with 200");
        }
        free(answer);
        close(fd);
        expect(port, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200, NULL);
    }
    admin_http_stop(http);
}

static void headers_without_end_are_cut_off(void)
{
    uint16_t port;
    struct admin_http *http = server(&port);
    char filler[1024];
    memset(filler, 'h', sizeof filler);
    int fd = web_connect(port);
    web_send(fd, "GET /hello HTTP/1.1\r\nX: ", 24);
    for (int i = 0; i < 64; i++)
        web_send(fd, filler, sizeof filler);
    bool ended;
    char *answer = web_read_all(fd, &ended);
    CU_ASSERT(ended);
    CU_ASSERT_NOT_EQUAL(web_status(answer), 200);
    free(answer);
    close(fd);
    expect(port, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200, NULL);
    admin_http_stop(http);
}

static void a_client_that_drips_is_closed_at_the_deadline(void)
{
    clock_fake(1000, 1000);
    uint16_t port;
    struct admin_http *http = server(&port);
    int fd = web_connect(port);
    web_send(fd, "GET /he", 7);
    /* Accepted in order: once this one is answered, the server has the one before. */
    expect(port, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200, NULL);
    clock_fake(1000 + ADMIN_HTTP_DEADLINE_MS - 1, 1000);
    web_send(fd, "ll", 2);
    expect(port, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200, NULL);
    char byte;
    CU_ASSERT(recv(fd, &byte, 1, MSG_DONTWAIT) < 0);
    clock_fake(1000 + ADMIN_HTTP_DEADLINE_MS, 1000);
    bool ended;
    char *answer = web_read_all(fd, &ended);
    CU_ASSERT(ended);
    CU_ASSERT_STRING_EQUAL(answer, "");
    free(answer);
    close(fd);
    admin_http_stop(http);
    clock_fake(0, -1);
}

static void a_client_that_does_not_read_is_closed_at_the_deadline(void)
{
    clock_fake(1000, 1000);
    uint16_t port;
    struct admin_http *http = server(&port);
    unsigned fds_before = web_count_fds();
    int fds[8];
    for (unsigned i = 0; i < 8; i++) {
        fds[i] = web_connect(port);
        const int small = 4096;
        setsockopt(fds[i], SOL_SOCKET, SO_RCVBUF, &small, sizeof small);
        web_send(fds[i], "GET /big HTTP/1.1\r\nHost: x\r\n\r\n", 30);
    }
    expect(port, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200, NULL);
    clock_fake(1000 + ADMIN_HTTP_DEADLINE_MS, 1000);
    bool gone = false;
    for (int i = 0; i < 1000 && !gone; i++) {
        expect(port, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200, NULL);
        gone = web_count_fds() == fds_before + 8;
    }
    CU_ASSERT(gone);
    for (unsigned i = 0; i < 8; i++)
        close(fds[i]);
    admin_http_stop(http);
    clock_fake(0, -1);
}

static void idle_connections_do_not_keep_a_probe_out(void)
{
    enum { IDLE = 200 };
    uint16_t port;
    struct admin_http *http = server(&port);
    int fds[IDLE];
    for (int i = 0; i < IDLE; i++)
        fds[i] = web_connect(port);
    for (int i = 0; i < 5; i++)
        expect(port, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200, NULL);
    for (int i = 0; i < IDLE; i++)
        close(fds[i]);
    admin_http_stop(http);
}

static void several_listeners_share_one_thread_and_keep_their_routes(void)
{
    struct admin_http *http = NULL;
    const struct admin_http_listen listens[] = {
        {.routes = routes, .arg = first_name, .address = any_port},
        {.routes = other_routes, .arg = second_name, .address = {.ip = {.len = 0}}}};
    unsigned threads = web_count_threads();
    CU_ASSERT_EQUAL_FATAL(admin_http_start(&http, listens, 2, NULL), ERR_OK);
    CU_ASSERT_EQUAL(web_count_threads(), threads + 1);
    uint16_t one = admin_http_port(http, 0), two = admin_http_port(http, 1);
    expect(one, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200,
           "{\"hello\":\"nobody\",\"from\":\"first\"}");
    expect(one, "GET /other HTTP/1.1\r\nHost: x\r\n\r\n", 404, NULL);
    expect(two, "GET /other HTTP/1.1\r\nHost: x\r\n\r\n", 200,
           "{\"hello\":\"nobody\",\"from\":\"second\"}");
    expect(two, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 404, NULL);
    admin_http_stop(http);
    CU_ASSERT_EQUAL(web_count_threads(), threads);
}

static void stopping_leaves_nothing_open_whatever_was_going_on(void)
{
    unsigned fds = web_count_fds();
    uint16_t port;
    struct admin_http *http = server(&port);
    int idle = web_connect(port), half = web_connect(port);
    web_send(half, "GET /hello HT", 13);
    expect(port, "GET /hello HTTP/1.1\r\nHost: x\r\n\r\n", 200, NULL);
    admin_http_stop(http);
    bool ended;
    free(web_read_all(idle, &ended));
    CU_ASSERT(ended);
    close(idle);
    close(half);
    CU_ASSERT_EQUAL(web_count_fds(), fds);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(a_get_is_answered_and_the_connection_closed),
        SUITE_CASE(http_1_0_and_head_work),
        SUITE_CASE(an_unknown_path_is_404_and_another_method_405),
        SUITE_CASE(query_parameters_are_decoded_and_required),
        SUITE_CASE(numbers_in_a_query_are_checked),
        SUITE_CASE(a_body_up_to_the_ceiling_arrives_and_a_larger_one_is_refused),
        SUITE_CASE(a_listeners_own_ceiling_holds_and_its_refusal_reaches_who_is_still_sending),
        SUITE_CASE(bodies_that_are_held_together_have_a_ceiling),
        SUITE_CASE(headers_and_the_path_can_be_read),
        SUITE_CASE(a_large_answer_arrives_whole),
        SUITE_CASE(garbage_is_refused_and_hurts_nobody),
        SUITE_CASE(headers_without_end_are_cut_off),
        SUITE_CASE(a_client_that_drips_is_closed_at_the_deadline),
        SUITE_CASE(a_client_that_does_not_read_is_closed_at_the_deadline),
        SUITE_CASE(idle_connections_do_not_keep_a_probe_out),
        SUITE_CASE(several_listeners_share_one_thread_and_keep_their_routes),
        SUITE_CASE(stopping_leaves_nothing_open_whatever_was_going_on),
        SUITE_END,
    };
    return suite_main("admin_http", cases, argc, argv);
}
