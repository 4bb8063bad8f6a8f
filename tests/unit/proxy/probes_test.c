/* Probes with everything real but the kubelet: the HTTP server's thread, the main loop in the
 * test's own, an application in a third. TLS and gRPC are in tests/e2e/probes_test.py. */
#include "proxy/probes.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "suite.h"

static const char route[] = "/app-health/web/readyz";

/* --- the application -------------------------------------------------------------------------- */

static struct app {
    int listening;
    uint16_t port;
    const char *reply; /* NULL: silence */
    char request[2048];
    atomic_uint accepted;
    atomic_bool released; /* the reply may go */
    pthread_t thread;
} app;

static void *serve(void *arg)
{
    (void)arg;
    int fd;
    while ((fd = accept(app.listening, NULL, NULL)) >= 0) {
        ssize_t got = recv(fd, app.request, sizeof app.request - 1, 0);
        app.request[got > 0 ? got : 0] = 0;
        app.accepted++;
        while (!atomic_load(&app.released))
            usleep(1000);
        if (app.reply)
            send(fd, app.reply, strlen(app.reply), MSG_NOSIGNAL);
        else
            got = recv(fd, app.request, 1, 0); /* until the other side gives up */
        close(fd);
    }
    return NULL;
}

static int listen_somewhere(uint16_t *port)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&at, sizeof at), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 16), 0);
    CU_ASSERT_EQUAL_FATAL(getsockname(fd, (struct sockaddr *)&at, &len), 0);
    *port = ntohs(at.sin_port);
    return fd;
}

static void app_start(const char *reply, bool released)
{
    app = (struct app){.reply = reply};
    atomic_store(&app.released, released);
    app.listening = listen_somewhere(&app.port);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&app.thread, NULL, serve, NULL), 0);
}

static void app_stop(void)
{
    atomic_store(&app.released, true);
    shutdown(app.listening, SHUT_RDWR);
    pthread_join(app.thread, NULL);
    close(app.listening);
}

/* --- the proxy -------------------------------------------------------------------------------- */

static struct bench {
    struct loop loop;
    struct timers timers;
    struct relay_env env;
    struct mailbox mailbox;
    struct probes probes;
    struct admin_http *http;
    struct admin_http_route routes[2];
    struct timer tick;
    unsigned asking; /* askers that have no answer yet */
    unsigned closing;
} bench;

static void handle(void *arg, struct admin_http_request *request,
                   struct admin_http_response *response)
{
    probes_ask(arg, request, response);
}

static void bench_open(const char *kind, uint16_t port, int timeout_s)
{
    char table[500];
    struct err err = {0};
    const struct addr loopback = {.len = 4, .bytes = {127, 0, 0, 1}};
    memset(&bench, 0, sizeof bench);
    CU_ASSERT_EQUAL_FATAL(loop_init(&bench.loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(timers_init(&bench.timers, &bench.loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(relay_env_init(&bench.env, &bench.loop, &bench.timers, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(mailbox_open(&bench.mailbox, &bench.loop, &bench, &err), ERR_OK);
    bench.probes = (struct probes){.ip = loopback, .env = &bench.env, .main_box = &bench.mailbox};
    snprintf(table, sizeof table,
             "{\"%s\": {\"kind\": \"%s\", \"port\": %u, \"timeout_s\": %d, \"path\": \"/ok\","
             " \"headers\": [[\"X-Probe\", \"yes\"]]}}",
             route, kind, port, timeout_s);
    CU_ASSERT_EQUAL_FATAL(probes_init(&bench.probes, table, &err), ERR_OK);
    bench.routes[0] = (struct admin_http_route){"GET", route, handle, NULL};
    const struct admin_http_listen listens[] = {
        {.routes = bench.routes, .arg = &bench.probes, .address = {.ip = loopback}}};
    CU_ASSERT_EQUAL_FATAL(admin_http_start(&bench.http, listens, 1, &err), ERR_OK);
}

static void count_closed(void)
{
    if (--bench.closing == 0)
        loop_stop(&bench.loop);
}

static void on_timers_closed(struct timers *timers)
{
    (void)timers;
    count_closed();
}

static void on_mailbox_closed(struct mailbox *mailbox)
{
    (void)mailbox;
    count_closed();
}

static void on_probes_closed(struct probes *probes)
{
    (void)probes;
    relay_env_deinit(&bench.env);
    bench.closing = 2;
    timers_close(&bench.timers, on_timers_closed);
    mailbox_close(&bench.mailbox, on_mailbox_closed);
}

static void bench_close(void)
{
    admin_http_stop(bench.http);
    timer_stop(&bench.timers, &bench.tick);
    probes_close(&bench.probes, on_probes_closed);
    loop_run(&bench.loop);
    loop_deinit(&bench.loop);
}

/* --- the kubelet ------------------------------------------------------------------------------ */

struct asker {
    struct mail mail;
    pthread_t thread;
    char answer[2048];
};

static void on_answered(struct mail *mail, void *owner)
{
    (void)mail;
    (void)owner;
    if (--bench.asking == 0)
        loop_stop(&bench.loop);
}

static void *ask(void *arg)
{
    struct asker *asker = arg;
    char request[200];
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                             .sin_port = htons(admin_http_port(bench.http, 0))};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    ssize_t used = 0, got = connect(fd, (struct sockaddr *)&at, sizeof at);
    int len = snprintf(request, sizeof request, "GET %s HTTP/1.1\r\nHost: x\r\n\r\n", route);
    send(fd, request, (size_t)len, MSG_NOSIGNAL);
    while ((got = recv(fd, asker->answer + used, sizeof asker->answer - 1 - (size_t)used, 0)) > 0)
        used += got;
    asker->answer[used] = 0;
    close(fd);
    mailbox_post(&bench.mailbox, &asker->mail);
    return NULL;
}

static void on_discarded(struct mail *mail)
{
    (void)mail;
}

static void start_asking(struct asker *asker)
{
    asker->mail = (struct mail){.deliver = on_answered, .discard = on_discarded};
    bench.asking++;
    CU_ASSERT_EQUAL_FATAL(pthread_create(&asker->thread, NULL, ask, asker), 0);
}

static void run_until_answered(struct asker *askers, unsigned count)
{
    loop_run(&bench.loop);
    for (unsigned i = 0; i < count; i++)
        pthread_join(askers[i].thread, NULL);
}

/* Asks once; a port of 0 is the application's. */
static void expect(const char *kind, uint16_t port, const char *reply, const char *status,
                   const char *body)
{
    static struct asker asker;
    app_start(reply, true);
    bench_open(kind, port ? port : app.port, 1);
    start_asking(&asker);
    run_until_answered(&asker, 1);
    bool as_expected =
        strncmp(asker.answer, status, strlen(status)) == 0 && strstr(asker.answer, body);
    if (!as_expected)
        printf("\n%s\n", asker.answer);
    CU_ASSERT(as_expected);
    bench_close();
    app_stop();
}

/* --- tests ------------------------------------------------------------------------------------ */

static void applications_status_is_the_answer(void)
{
    expect("http", 0, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", "HTTP/1.1 200 ", "ok\n");
    CU_ASSERT(strstr(app.request, "GET /ok HTTP/1.1\r\nHost: 127.0.0.1:") != NULL);
    CU_ASSERT(strstr(app.request, "\r\nX-Probe: yes\r\nUser-Agent: kube-probe/") != NULL);
    expect("http", 0, "HTTP/1.0 404 Not Found\r\n\r\nwhat?", "HTTP/1.1 404 ", "application's");
    expect("http", 0, "HTTP/1.1 500 Oops\r\nContent-Length: 0\r\n\r\n", "HTTP/1.1 500 ", "");
    expect("http", 0, "HTTP/1.1 302 Found\r\nLocation: http://elsewhere/\r\n\r\n", "HTTP/1.1 302 ",
           "ok\n");
    expect("http", 0, "HTTP/1.1 101 Switching\r\n\r\n", "HTTP/1.1 502 ", "");
}

static void redirects_to_itself_have_an_end(void)
{
    expect("http", 0, "HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n",
           "HTTP/1.1 302 ", "");
    CU_ASSERT_EQUAL(app.accepted, 11);
    CU_ASSERT(strstr(app.request, "GET /again HTTP/1.1\r\n") != NULL);
}

static void what_is_no_answer_is_a_503_with_a_sentence(void)
{
    expect("http", 0, "SSH-2.0\r\n\r\n", "HTTP/1.1 503 ", "no complete HTTP answer");
    expect("http", 0, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nok", "HTTP/1.1 503 ",
           "no complete HTTP answer");
    expect("http", 0, NULL, "HTTP/1.1 503 ", "did not answer within 1000 ms");
    expect("http", 1, NULL, "HTTP/1.1 503 ", "connect to 127.0.0.1:1: nobody is listening there");
}

static void a_port_that_takes_connections_is_well(void)
{
    expect("tcp", 0, NULL, "HTTP/1.1 200 ", "ok\n");
    expect("tcp", 1, NULL, "HTTP/1.1 503 ", "nobody is listening");
}

/* Lets the application answer when all three wait. */
static void on_tick(struct timer *timer)
{
    if (bench.probes.table.probes[0].waiting == 3)
        atomic_store(&app.released, true);
    timer_start(&bench.timers, timer, 1, on_tick);
}

static void the_application_is_asked_once_however_many_ask(void)
{
    static struct asker askers[3];
    app_start("HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", false);
    bench_open("http", app.port, 60);
    timer_start(&bench.timers, &bench.tick, 1, on_tick);
    for (int i = 0; i < 3; i++)
        start_asking(&askers[i]);
    run_until_answered(askers, 3);
    for (int i = 0; i < 3; i++)
        CU_ASSERT_EQUAL(strncmp(askers[i].answer, "HTTP/1.1 200 ", 13), 0);
    CU_ASSERT_EQUAL(app.accepted, 1);
    bench_close();
    app_stop();
}

static void on_tick_stop(struct timer *timer)
{
    if (app.accepted)
        loop_stop(&bench.loop);
    else
        timer_start(&bench.timers, timer, 1, on_tick_stop);
}

static void closing_ends_what_is_under_way(void)
{
    static struct asker asker;
    app_start(NULL, true);
    bench_open("http", app.port, 60);
    timer_start(&bench.timers, &bench.tick, 1, on_tick_stop);
    start_asking(&asker);
    loop_run(&bench.loop);
    admin_http_stop(bench.http);
    bench.http = NULL;
    pthread_join(asker.thread, NULL);
    CU_ASSERT_STRING_EQUAL(asker.answer, ""); /* cut, since the server is gone */
    bench_close();
    app_stop();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(applications_status_is_the_answer),
        SUITE_CASE(redirects_to_itself_have_an_end),
        SUITE_CASE(what_is_no_answer_is_a_503_with_a_sentence),
        SUITE_CASE(a_port_that_takes_connections_is_well),
        SUITE_CASE(the_application_is_asked_once_however_many_ask),
        SUITE_CASE(closing_ends_what_is_under_way),
        SUITE_END,
    };
    return suite_main("proxy.probes", cases, argc, argv);
}
