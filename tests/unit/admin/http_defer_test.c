#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "admin/http.h"
#include "base/clock.h"
#include "suite.h"
#include "web.h"

/* Where the handler puts what it deferred, and where the test waits for it. */
struct basket {
    pthread_mutex_t lock;
    pthread_cond_t filled;
    struct admin_http_pending *pending;
};

static struct basket basket = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, NULL};

static void defer(void *arg, struct admin_http_request *request,
                  struct admin_http_response *response)
{
    (void)response;
    struct basket *into = arg;
    pthread_mutex_lock(&into->lock);
    into->pending = admin_http_defer(request);
    CU_ASSERT_PTR_NULL(admin_http_defer(request)); /* once is all there is */
    pthread_cond_signal(&into->filled);
    pthread_mutex_unlock(&into->lock);
}

enum { PATIENCE_MS = 60000 };

static void defer_long(void *arg, struct admin_http_request *request,
                       struct admin_http_response *response)
{
    (void)response;
    struct basket *into = arg;
    pthread_mutex_lock(&into->lock);
    into->pending = admin_http_defer_for(request, PATIENCE_MS);
    pthread_cond_signal(&into->filled);
    pthread_mutex_unlock(&into->lock);
}

static void finish_with(struct admin_http_pending *pending, const char *word)
{
    struct admin_http_response response = {.status = 200, .content_type = "application/json"};
    admin_http_json(&response, json_pack("{s:s}", "word", word));
    admin_http_finish(pending, &response);
}

static void defer_and_finish(void *arg, struct admin_http_request *request,
                             struct admin_http_response *response)
{
    (void)arg;
    (void)response;
    finish_with(admin_http_defer(request), "at once");
}

static void plain(void *arg, struct admin_http_request *request,
                  struct admin_http_response *response)
{
    (void)arg;
    (void)request;
    admin_http_text(response, 200, "ok\n");
}

static const struct admin_http_route routes[] = {{"GET", "/later", defer, NULL},
                                                 {"GET", "/patient", defer_long, NULL},
                                                 {"GET", "/at-once", defer_and_finish, NULL},
                                                 {"GET", "/plain", plain, NULL},
                                                 ADMIN_HTTP_ROUTES_END};
static const char patient[] = "GET /patient HTTP/1.1\r\nHost: x\r\n\r\n";
static const char later[] = "GET /later HTTP/1.1\r\nHost: x\r\n\r\n";

static struct admin_http *server(uint16_t *port)
{
    struct admin_http *http = NULL;
    const struct admin_http_listen listens[] = {
        {.routes = routes, .arg = &basket, .address = {.ip = {.len = 4, .bytes = {127, 0, 0, 1}}}}};
    CU_ASSERT_EQUAL_FATAL(admin_http_start(&http, listens, 1, NULL), ERR_OK);
    *port = admin_http_port(http, 0);
    return http;
}

static struct admin_http_pending *take_from_basket(void)
{
    pthread_mutex_lock(&basket.lock);
    while (!basket.pending)
        pthread_cond_wait(&basket.filled, &basket.lock);
    struct admin_http_pending *pending = basket.pending;
    basket.pending = NULL;
    pthread_mutex_unlock(&basket.lock);
    return pending;
}

static void expect_plain(uint16_t port)
{
    char *answer = web_ask(port, "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n");
    CU_ASSERT_STRING_EQUAL(web_body(answer), "ok\n");
    free(answer);
}

static void another_thread_gives_the_answer_and_others_are_served_meanwhile(void)
{
    uint16_t port;
    struct admin_http *http = server(&port);
    int fd = web_connect(port);
    web_send(fd, later, strlen(later));
    shutdown(fd, SHUT_WR); /* a client that has said all it wants to say */
    struct admin_http_pending *pending = take_from_basket();
    for (int i = 0; i < 5; i++)
        expect_plain(port);
    finish_with(pending, "later");
    char *answer = web_read_all(fd, NULL);
    CU_ASSERT_EQUAL(web_status(answer), 200);
    CU_ASSERT_STRING_EQUAL(web_body(answer), "{\"word\":\"later\"}");
    free(answer);
    close(fd);
    admin_http_stop(http);
}

static void an_answer_may_be_finished_inside_the_handler(void)
{
    uint16_t port;
    struct admin_http *http = server(&port);
    char *answer = web_ask(port, "GET /at-once HTTP/1.1\r\nHost: x\r\n\r\n");
    CU_ASSERT_STRING_EQUAL(web_body(answer), "{\"word\":\"at once\"}");
    free(answer);
    admin_http_stop(http);
}

static void a_late_answer_becomes_504_and_is_dropped_when_it_comes(void)
{
    clock_fake(1000, 1000);
    uint16_t port;
    struct admin_http *http = server(&port);
    int fd = web_connect(port);
    web_send(fd, later, strlen(later));
    struct admin_http_pending *pending = take_from_basket();
    clock_fake(1000 + ADMIN_HTTP_DEFER_MAX_MS, 1000);
    char *answer = web_read_all(fd, NULL);
    CU_ASSERT_EQUAL(web_status(answer), 504);
    CU_ASSERT_STRING_EQUAL(web_body(answer),
                           "{\"error\":\"the answer was not ready within 4000 ms\"}");
    free(answer);
    finish_with(pending, "too late");
    expect_plain(port);
    close(fd);
    admin_http_stop(http);
    clock_fake(0, -1);
}

/* Longer than a connection may last otherwise. */
static void a_handler_may_ask_for_more_patience(void)
{
    clock_fake(1000, 1000);
    uint16_t port;
    struct admin_http *http = server(&port);
    int fd = web_connect(port);
    web_send(fd, patient, strlen(patient));
    struct admin_http_pending *pending = take_from_basket();
    clock_fake(1000 + PATIENCE_MS - 1, 1000);
    expect_plain(port); /* the server's thread has looked at its deadlines */
    finish_with(pending, "at last");
    char *answer = web_read_all(fd, NULL);
    CU_ASSERT_STRING_EQUAL(web_body(answer), "{\"word\":\"at last\"}");
    free(answer);
    close(fd);
    fd = web_connect(port);
    web_send(fd, patient, strlen(patient));
    pending = take_from_basket();
    clock_fake(1000 + 2 * PATIENCE_MS, 1000);
    answer = web_read_all(fd, NULL);
    CU_ASSERT_EQUAL(web_status(answer), 504);
    free(answer);
    finish_with(pending, "too late");
    close(fd);
    admin_http_stop(http);
    clock_fake(0, -1);
}

static void a_client_that_left_is_no_harm(void)
{
    uint16_t port;
    struct admin_http *http = server(&port);
    int fd = web_connect(port);
    web_send(fd, later, strlen(later));
    struct admin_http_pending *pending = take_from_basket();
    const struct linger reset = {.l_onoff = 1};
    setsockopt(fd, SOL_SOCKET, SO_LINGER, &reset, sizeof reset);
    close(fd);
    expect_plain(port);
    finish_with(pending, "nobody");
    expect_plain(port);
    admin_http_stop(http);
}

static void stopping_drops_what_is_deferred(void)
{
    unsigned fds = web_count_fds();
    uint16_t port;
    struct admin_http *http = server(&port);
    int fd = web_connect(port);
    web_send(fd, later, strlen(later));
    struct admin_http_pending *pending = take_from_basket();
    admin_http_stop(http);
    finish_with(pending, "after the end");
    bool ended;
    free(web_read_all(fd, &ended));
    CU_ASSERT(ended);
    close(fd);
    CU_ASSERT_EQUAL(web_count_fds(), fds);
}

static void *finish_elsewhere(void *arg)
{
    (void)arg;
    for (int i = 0; i < 200; i++)
        finish_with(take_from_basket(), "thread");
    return NULL;
}

static void many_answers_from_another_thread_all_arrive(void)
{
    uint16_t port;
    struct admin_http *http = server(&port);
    pthread_t thread;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, finish_elsewhere, NULL), 0);
    for (int i = 0; i < 200; i++) {
        char *answer = web_ask(port, later);
        CU_ASSERT_STRING_EQUAL(web_body(answer), "{\"word\":\"thread\"}");
        free(answer);
    }
    pthread_join(thread, NULL);
    admin_http_stop(http);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(another_thread_gives_the_answer_and_others_are_served_meanwhile),
        SUITE_CASE(an_answer_may_be_finished_inside_the_handler),
        SUITE_CASE(a_late_answer_becomes_504_and_is_dropped_when_it_comes),
        SUITE_CASE(a_handler_may_ask_for_more_patience),
        SUITE_CASE(a_client_that_left_is_no_harm),
        SUITE_CASE(stopping_drops_what_is_deferred),
        SUITE_CASE(many_answers_from_another_thread_all_arrive),
        SUITE_END,
    };
    return suite_main("admin_http_defer", cases, argc, argv);
}
