#include "proxy/listener.h"

#include <errno.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "suite.h"

static struct loop loop;
static struct timers timers;
static struct listener listener;
static struct addr_port at;
static unsigned accepted, refused;
static enum err_code reason;

static void on_accept(struct listener *from, int fd, const struct addr_port *source,
                      const struct addr_port *original)
{
    (void)from;
    (void)source;
    (void)original;
    accepted++;
    close(fd);
}

static void on_refuse(struct listener *from, const struct addr_port *source,
                      const struct addr_port *original, const struct err *err)
{
    (void)from;
    (void)source;
    (void)original;
    refused++;
    reason = err->code;
}

static void on_alive(struct timer *timer)
{
    (void)timer;
}

static void begin(void)
{
    /* A listener alone does not keep the loop going; a worker's mailbox does that. */
    static struct timer alive;
    struct err err;
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    accepted = refused = 0;
    CU_ASSERT_EQUAL_FATAL(loop_init(&loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(timers_init(&timers, &loop, &err), ERR_OK);
    CU_ASSERT_TRUE_FATAL(addr_port_parse(&at, "127.0.0.1:0"));
    timer_start(&timers, &alive, 60000, on_alive);
    listener = (struct listener){.limits = {.user_timeout_ms = 60000},
                                 .own = {.outbound = 1, .inbound = 2},
                                 .on_accept = on_accept,
                                 .on_refuse = on_refuse};
    CU_ASSERT_EQUAL_FATAL(listener_open(&listener, &loop, &timers, &at, &err), ERR_OK);
    getsockname(listener.item.fd, (struct sockaddr *)&bound, &len);
    CU_ASSERT_TRUE_FATAL(addr_from_sockaddr(&at, &bound));
}

static void end(void)
{
    listener_close(&listener);
    listener_close(&listener);
    timers_close(&timers, NULL);
    loop_run(&loop);
    loop_deinit(&loop);
}

static int dial(void)
{
    struct sockaddr_storage to;
    socklen_t len = addr_to_sockaddr(&at, &to);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(connect(fd, (struct sockaddr *)&to, len), 0);
    return fd;
}

static void step_until(unsigned count)
{
    for (int i = 0; i < 1000 && accepted + refused < count; i++)
        uv_run(&loop.uv, UV_RUN_NOWAIT);
}

static bool was_reset(int fd)
{
    char byte;
    ssize_t got = recv(fd, &byte, 1, 0);
    return got < 0 && errno == ECONNRESET;
}

static void a_connection_straight_to_the_listener_is_reset(void)
{
    begin();
    int fd = dial();
    step_until(1);
    CU_ASSERT_EQUAL(refused, 1);
    CU_ASSERT_EQUAL(accepted, 0);
    CU_ASSERT_EQUAL(reason, ERR_CONN_NOT_REDIRECTED);
    CU_ASSERT_TRUE(was_reset(fd));
    close(fd);
    end();
}

static void more_than_one_turn_s_worth_is_accepted_over_several(void)
{
    enum { MANY = LISTENER_ACCEPTS_MAX + 10 };
    int fds[MANY];
    begin();
    for (int i = 0; i < MANY; i++)
        fds[i] = dial();
    step_until(MANY);
    CU_ASSERT_EQUAL(refused, MANY);
    for (int i = 0; i < MANY; i++)
        close(fds[i]);
    end();
}

static void without_descriptors_the_reserve_answers_with_a_reset(void)
{
    struct rlimit limit, tight;
    begin();
    int fd = dial(), lowest = dup(fd);
    close(lowest);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    tight = limit;
    tight.rlim_cur = (rlim_t)lowest; /* no new descriptor fits below the limit */
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &tight), 0);
    step_until(1);
    setrlimit(RLIMIT_NOFILE, &limit);
    CU_ASSERT_EQUAL(refused, 1);
    CU_ASSERT_EQUAL(reason, ERR_BUSY);
    CU_ASSERT_TRUE(was_reset(fd));
    CU_ASSERT_TRUE(listener.reserve_fd >= 0);
    close(fd);
    end();
}

/* accept(2) wants a descriptor before it looks whether anybody waits. */
static void without_descriptors_an_empty_queue_is_left_alone(void)
{
    struct rlimit limit, tight;
    begin();
    int fd = dial(), lowest = dup(fd);
    close(lowest);
    CU_ASSERT_EQUAL_FATAL(getrlimit(RLIMIT_NOFILE, &limit), 0);
    tight = limit;
    tight.rlim_cur = (rlim_t)lowest;
    CU_ASSERT_EQUAL_FATAL(setrlimit(RLIMIT_NOFILE, &tight), 0);
    step_until(1);
    CU_ASSERT_EQUAL(refused, 1);
    CU_ASSERT_FALSE(uv_is_active((uv_handle_t *)&loop.poller.idle));
    int second = -1;
    setrlimit(RLIMIT_NOFILE, &limit);
    second = dial();
    setrlimit(RLIMIT_NOFILE, &tight);
    step_until(2); /* nobody was forgotten */
    CU_ASSERT_EQUAL(refused, 2);
    setrlimit(RLIMIT_NOFILE, &limit);
    CU_ASSERT_TRUE(was_reset(second));
    close(fd);
    close(second);
    end();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(a_connection_straight_to_the_listener_is_reset),
        SUITE_CASE(more_than_one_turn_s_worth_is_accepted_over_several),
        SUITE_CASE(without_descriptors_the_reserve_answers_with_a_reset),
        SUITE_CASE(without_descriptors_an_empty_queue_is_left_alone),
        SUITE_END,
    };
    return suite_main("proxy/listener", cases, argc, argv);
}
