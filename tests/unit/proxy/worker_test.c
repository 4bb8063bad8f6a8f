#include "proxy/worker.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "suite.h"

/* Real threads, so that ThreadSanitizer sees what crosses them. */
enum { WORKERS = 2, OUTBOUND = 0, INBOUND = 1 };

static struct {
    struct config config;
    struct ceiling ceiling;
    struct metrics *registry;
    struct worker workers[WORKERS];
    struct mesh_snapshot *mesh;
    atomic_uint ended;
} bed;

static void on_ended(struct worker *worker, void *arg)
{
    (void)worker;
    (void)arg;
    atomic_fetch_add(&bed.ended, 1);
}

static void begin(void)
{
    struct err err;
    log_set_level(LOG_LEVEL_ERROR);
    atomic_store(&bed.ended, 0);
    /* Port 0: the kernel gives every listener its own. */
    bed.config = (struct config){.access = ACCESS_OFF, .user_timeout_ms = 60000, .hold_ms = 1000};
    ceiling_init(&bed.ceiling, 100);
    CU_ASSERT_EQUAL_FATAL(stats_new(&bed.registry, &err), ERR_OK);
    bed.mesh = mesh_snapshot_new("test.mesh");
    for (unsigned i = 0; i < WORKERS; i++) {
        struct worker *worker = &bed.workers[i];
        CU_ASSERT_EQUAL_FATAL(worker_init(worker, i, &bed.config, &bed.ceiling, bed.registry, &err),
                              ERR_OK);
        CU_ASSERT_EQUAL_FATAL(worker_listen(worker, &err), ERR_OK);
        worker->on_ended = on_ended;
        CU_ASSERT_EQUAL_FATAL(worker_start(worker, &err), ERR_OK);
    }
}

static void end(void)
{
    for (unsigned i = 0; i < WORKERS; i++)
        CU_ASSERT_TRUE(worker_post_stop(&bed.workers[i]));
    for (unsigned i = 0; i < WORKERS; i++)
        pthread_join(bed.workers[i].thread, NULL);
    CU_ASSERT_EQUAL(atomic_load(&bed.ended), WORKERS);
    CU_ASSERT_EQUAL(ceiling_live(&bed.ceiling), 0);
    for (unsigned i = 0; i < WORKERS; i++)
        worker_deinit(&bed.workers[i]);
    mesh_snapshot_unref(bed.mesh);
    metrics_free(bed.registry);
}

static struct worker idle[3]; /* without threads */
static struct sockaddr_storage where[WORKERS][2];

/* Before the threads may change the listeners: reads their addresses. */
static void remember_ports(void)
{
    for (unsigned i = 0; i < WORKERS; i++) {
        for (int place = OUTBOUND; place <= INBOUND; place++) {
            socklen_t len = sizeof where[i][place];
            getsockname(bed.workers[i].listeners[place].item.fd,
                        (struct sockaddr *)&where[i][place], &len);
        }
    }
}

/* ECONNREFUSED: nobody listens; ECONNRESET: accepted and reset. A byte is sent because Linux tells
 * a silent client nothing when its handshake ends in the very moment in which the listener closes.
 */
static int try_connect(unsigned worker, int place)
{
    char byte;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), failed = 0;
    if (connect(fd, (struct sockaddr *)&where[worker][place], sizeof(struct sockaddr_in)) < 0 ||
        send(fd, "?", 1, MSG_NOSIGNAL) < 0 || recv(fd, &byte, 1, 0) < 0)
        failed = errno;
    close(fd);
    return failed;
}

static void post_views(unsigned count)
{
    for (unsigned n = 0; n < count; n++) {
        struct view *view = view_new(bed.mesh, NULL, n % 2);
        for (unsigned i = 0; i < WORKERS; i++)
            CU_ASSERT_TRUE(worker_post_view(&bed.workers[i], view));
        view_unref(view);
    }
}

static void connections_and_views_cross_without_a_race(void)
{
    begin();
    remember_ports();
    for (unsigned n = 0; n < 20; n++) {
        post_views(10);
        for (unsigned i = 0; i < WORKERS; i++) {
            CU_ASSERT_EQUAL(try_connect(i, OUTBOUND), ECONNRESET);
            CU_ASSERT_EQUAL(try_connect(i, INBOUND), ECONNRESET);
        }
    }
    const char *values[] = {"source", err_label(ERR_CONN_NOT_REDIRECTED)};
    CU_ASSERT_EQUAL(metrics_sum(bed.registry, STATS_REFUSED, 0, values), 20 * WORKERS);
    end();
}

static void draining_closes_inbound_and_keeps_outbound(void)
{
    begin();
    remember_ports();
    for (unsigned i = 0; i < WORKERS; i++) {
        CU_ASSERT_TRUE(worker_post_drain(&bed.workers[i]));
        int failed;
        do
            failed = try_connect(i, INBOUND); /* until the message has arrived */
        while (failed == ECONNRESET);
        CU_ASSERT_EQUAL(failed, ECONNREFUSED);
        CU_ASSERT_EQUAL(try_connect(i, OUTBOUND), ECONNRESET);
    }
    end();
}

static void a_worker_stops_with_mail_still_waiting(void)
{
    begin();
    post_views(1000);
    end();
}

static void ids_of_connections_differ_between_workers(void)
{
    enum { EACH = 3, COUNT = 3 };
    static const unsigned indexes[COUNT] = {0, 1, CONFIG_WORKERS_MAX - 1};
    static struct conn conns[COUNT][EACH];
    struct err err;
    begin();
    for (unsigned i = 0; i < COUNT; i++) {
        struct worker *worker = &idle[i];
        CU_ASSERT_EQUAL_FATAL(
            worker_init(worker, indexes[i], &bed.config, &bed.ceiling, bed.registry, &err), ERR_OK);
        for (unsigned k = 0; k < EACH; k++)
            worker_add(worker, &conns[i][k]);
    }
    for (unsigned a = 0; a < COUNT * EACH; a++) {
        for (unsigned b = 0; b < a; b++)
            CU_ASSERT_NOT_EQUAL(conns[a / EACH][a % EACH].id, conns[b / EACH][b % EACH].id);
    }
    for (unsigned i = 0; i < COUNT; i++) {
        for (unsigned k = 0; k < EACH; k++)
            worker_remove(&idle[i], &conns[i][k]);
        worker_stop(&idle[i]);
        loop_run(&idle[i].loop);
        worker_deinit(&idle[i]);
    }
    end();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(connections_and_views_cross_without_a_race),
        SUITE_CASE(draining_closes_inbound_and_keeps_outbound),
        SUITE_CASE(a_worker_stops_with_mail_still_waiting),
        SUITE_CASE(ids_of_connections_differ_between_workers),
        SUITE_END,
    };
    return suite_main("proxy/worker", cases, argc, argv);
}
