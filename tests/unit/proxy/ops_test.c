#include "proxy/ops.h"

#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "suite.h"

enum { HEALTH = 2, ANSWER_MAX = 4096, PATIENCE_MS = 10000 }; /* HEALTH: the listener's number */

static struct {
    struct loop loop;
    struct mailbox mailbox;
    struct config config;
    struct metrics *registry;
    struct control control;
    struct drain drain;
    struct ops ops;
    struct probes probes; /* none */
    char folder[64], socket[96], answer[ANSWER_MAX];
    struct rpc_channel *link; /* stands for a link that is up; never looked into */
} bed;

static void begin(void)
{
    struct err err = {0};
    memset(&bed, 0, sizeof bed);
    log_set_level(LOG_LEVEL_ERROR);
    strcpy(bed.folder, "/tmp/ops_test.XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(bed.folder));
    snprintf(bed.socket, sizeof bed.socket, "%s/admin.sock", bed.folder);
    bed.config.admin_socket = bed.socket;
    CU_ASSERT_EQUAL_FATAL(loop_init(&bed.loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(mailbox_open(&bed.mailbox, &bed.loop, NULL, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(stats_new(&bed.registry, &err), ERR_OK);
    bed.control.config = &bed.config;
    bed.ops.config = &bed.config;
    bed.ops.control = &bed.control;
    bed.ops.drain = &bed.drain;
    bed.ops.registry = bed.registry;
    bed.ops.main_box = &bed.mailbox;
    bed.ops.probes = &bed.probes;
    CU_ASSERT_EQUAL_FATAL(ops_start(&bed.ops, &err), ERR_OK);
}

static void end(void)
{
    ops_stop(&bed.ops);
    mailbox_close(&bed.mailbox, NULL);
    uv_run(&bed.loop.uv, UV_RUN_NOWAIT);
    loop_deinit(&bed.loop);
    metrics_free(bed.registry);
    rmdir(bed.folder);
}

/* GET /healthz/ready, while main's loop turns when `main_runs`; the whole answer. */
static const char *ready(bool main_runs)
{
    static const char request[] = "GET /healthz/ready HTTP/1.1\r\nHost: pod\r\n\r\n";
    struct sockaddr_in at = {.sin_family = AF_INET,
                             .sin_port = htons(admin_http_port(bed.ops.http, HEALTH)),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int64_t until = clock_now_ms() + PATIENCE_MS;
    size_t used = 0;
    ssize_t got = -1;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    CU_ASSERT_EQUAL(send(fd, request, sizeof request - 1, MSG_NOSIGNAL), sizeof request - 1);
    while (got != 0 && clock_now_ms() < until) {
        struct pollfd item = {.fd = fd, .events = POLLIN};
        if (main_runs)
            uv_run(&bed.loop.uv, UV_RUN_NOWAIT);
        if (poll(&item, 1, 5) == 1 &&
            (got = recv(fd, bed.answer + used, ANSWER_MAX - 1 - used, 0)) > 0)
            used += (size_t)got;
    }
    close(fd);
    bed.answer[used] = 0;
    return bed.answer;
}

static bool has(const char *text, const char *part)
{
    bool found = strstr(text, part);
    if (!found)
        printf("\nnot there: %s\nin:\n%s\n", part, text);
    return found;
}

static const char *explain(void)
{
    static char text[OPS_REASON_MAX];
    return ops_explain(&bed.ops, text) ? text : NULL;
}

static void not_ready_says_what_the_certificate_failed_for(void)
{
    begin();
    bed.control.channel = (struct rpc_channel *)(void *)&bed.link;
    CU_ASSERT_STRING_EQUAL(explain(), "waiting for the first certificate");
    err_set(&bed.control.identity.last_error, ERR_RPC_STATUS,
            "CreateCertificate at c:1: PERMISSION_DENIED: csr_identity\n\x1b[2J");
    CU_ASSERT_STRING_EQUAL(explain(),
                           "waiting for the first certificate: CreateCertificate at c:1: "
                           "PERMISSION_DENIED: csr_identity??[2J");
    CU_ASSERT_TRUE(has(ready(true), "HTTP/1.1 503 "));
    CU_ASSERT_TRUE(has(bed.answer, "\r\n\r\nwaiting for the first certificate: CreateCertificate "
                                   "at c:1: PERMISSION_DENIED: csr_identity??[2J\n"));
    end();
}

static void a_link_that_is_down_comes_before_what_failed_earlier(void)
{
    begin();
    err_set(&bed.control.identity.last_error, ERR_RPC_STATUS, "refused");
    err_set(&bed.control.last_error, ERR_RPC_UNAVAILABLE, "no route");
    CU_ASSERT_STRING_EQUAL(explain(), "waiting for the first certificate: no route");
    bed.control.channel = (struct rpc_channel *)(void *)&bed.link;
    CU_ASSERT_STRING_EQUAL(explain(), "waiting for the first certificate: refused");
    atomic_store(&bed.ops.state, OPS_NO_CONFIGURATION);
    CU_ASSERT_STRING_EQUAL(explain(), "waiting for the first configuration: no route");
    end();
}

static void an_expired_certificate_says_why_it_was_not_renewed(void)
{
    begin();
    atomic_store(&bed.ops.state, OPS_READY);
    atomic_store(&bed.ops.not_after_s, clock_wall_s() - 1);
    err_set(&bed.control.last_error, ERR_RPC_UNAVAILABLE, "no route");
    CU_ASSERT_STRING_EQUAL(explain(),
                           "the certificate has expired and could not be renewed: no route");
    end();
}

static void ready_needs_no_answer_of_mains(void)
{
    begin();
    atomic_store(&bed.ops.state, OPS_READY);
    atomic_store(&bed.ops.not_after_s, clock_wall_s() + 3600);
    CU_ASSERT_PTR_NULL(explain());
    CU_ASSERT_TRUE(has(ready(false), "HTTP/1.1 200 "));
    CU_ASSERT_TRUE(has(bed.answer, "\r\n\r\nready\n"));
    end();
}

static void draining_is_reason_enough(void)
{
    begin();
    err_set(&bed.control.last_error, ERR_RPC_UNAVAILABLE, "no route");
    ops_set_draining(&bed.ops);
    CU_ASSERT_TRUE(has(ready(true), "HTTP/1.1 503 "));
    CU_ASSERT_TRUE(has(bed.answer, "\r\n\r\ndraining\n"));
    end();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(not_ready_says_what_the_certificate_failed_for),
        SUITE_CASE(a_link_that_is_down_comes_before_what_failed_earlier),
        SUITE_CASE(an_expired_certificate_says_why_it_was_not_renewed),
        SUITE_CASE(ready_needs_no_answer_of_mains),
        SUITE_CASE(draining_is_reason_enough),
        SUITE_END,
    };
    return suite_main("proxy/ops", cases, argc, argv);
}
