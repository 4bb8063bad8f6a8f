#include "proxy/link.h"

#include <netdb.h>
#include <semaphore.h>
#include <string.h>

#include "base/clock.h"
#include "suite.h"

enum { PATIENCE_MS = 10000 };

static struct {
    struct loop loop;
    struct timers timers;
    struct relay_env env;
    struct rpc *rpc;
    struct config config;
    struct link link;
    sem_t asked, answer; /* the resolver was asked; it may answer */
    unsigned downs;
    struct err down;
    bool closed, rpc_closed, timers_closed;
} bed;

/* Takes the place of the C library's, in libuv's threads too. */
__attribute__((visibility("default"))) int getaddrinfo(const char *name, const char *service,
                                                       const struct addrinfo *hints,
                                                       struct addrinfo **results)
{
    (void)name;
    (void)service;
    (void)hints;
    (void)results;
    sem_post(&bed.asked);
    sem_wait(&bed.answer);
    return EAI_AGAIN;
}

static void on_up(struct link *link, struct rpc_channel *channel)
{
    (void)link;
    (void)channel;
}

static void on_down(struct link *link, const struct err *err, bool again)
{
    (void)link;
    (void)again;
    bed.downs++;
    bed.down = *err;
}

static void on_closed(struct link *link)
{
    (void)link;
    bed.closed = true;
}

static void on_rpc_closed(void *arg)
{
    (void)arg;
    bed.rpc_closed = true;
}

static void on_timers_closed(struct timers *timers)
{
    (void)timers;
    bed.timers_closed = true;
}

static bool run_until(const bool *done, int64_t patience_ms)
{
    int64_t until = clock_now_ms() + patience_ms;
    while (!*done && clock_now_ms() < until)
        uv_run(&bed.loop.uv, UV_RUN_NOWAIT);
    return *done;
}

static void begin(void)
{
    struct err err = {0};
    memset(&bed, 0, sizeof bed);
    sem_init(&bed.asked, 0, 0);
    sem_init(&bed.answer, 0, 0);
    CU_ASSERT_EQUAL_FATAL(loop_init(&bed.loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(timers_init(&bed.timers, &bed.loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(relay_env_init(&bed.env, &bed.loop, &bed.timers, &err), ERR_OK);
    bed.rpc = rpc_start(&bed.loop, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bed.rpc);
    bed.config = (struct config){.control = "control.test:15012"};
    strcpy(bed.config.control_host, "control.test");
    strcpy(bed.config.control_port, "15012");
    bed.link = (struct link){
        .config = &bed.config, .env = &bed.env, .rpc = bed.rpc, .on_up = on_up, .on_down = on_down};
    link_start(&bed.link);
    while (sem_wait(&bed.asked) != 0) {
    }
}

/* Everything but the link. */
static void end(void)
{
    rpc_close(bed.rpc, on_rpc_closed, NULL);
    CU_ASSERT_TRUE_FATAL(run_until(&bed.rpc_closed, PATIENCE_MS));
    relay_env_deinit(&bed.env);
    timers_close(&bed.timers, on_timers_closed);
    CU_ASSERT_TRUE_FATAL(run_until(&bed.timers_closed, PATIENCE_MS));
    loop_deinit(&bed.loop);
}

static void it_closes_though_the_resolver_does_not_answer(void)
{
    begin();
    CU_ASSERT_STRING_EQUAL(link_state_name(&bed.link), "resolving");
    link_close(&bed.link, on_closed);
    CU_ASSERT_TRUE_FATAL(run_until(&bed.closed, PATIENCE_MS));
    CU_ASSERT_PTR_NOT_NULL(bed.link.lookup); /* whoever ends the process must know */
    CU_ASSERT_EQUAL(bed.downs, 0);
    /* The answer finds nobody, and the link's memory is somebody else's. */
    memset(&bed.link, 0xa5, sizeof bed.link);
    sem_post(&bed.answer);
    int64_t until = clock_now_ms() + PATIENCE_MS;
    while (bed.loop.uv.active_reqs.count > 0 && clock_now_ms() < until)
        uv_run(&bed.loop.uv, UV_RUN_NOWAIT);
    end();
}

static void a_name_that_cannot_be_resolved_is_the_reason(void)
{
    begin();
    sem_post(&bed.answer);
    int64_t until = clock_now_ms() + PATIENCE_MS;
    while (bed.downs == 0 && clock_now_ms() < until)
        uv_run(&bed.loop.uv, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(bed.down.code, ERR_RPC_UNAVAILABLE);
    CU_ASSERT_PTR_NOT_NULL(strstr(bed.down.text, "the name control.test cannot be resolved"));
    CU_ASSERT_STRING_EQUAL(link_state_name(&bed.link), "waiting");
    CU_ASSERT_PTR_NULL(bed.link.lookup);
    link_close(&bed.link, on_closed);
    CU_ASSERT_TRUE_FATAL(run_until(&bed.closed, PATIENCE_MS));
    end();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(it_closes_though_the_resolver_does_not_answer),
        SUITE_CASE(a_name_that_cannot_be_resolved_is_the_reason),
        SUITE_END,
    };
    return suite_main("proxy/link", cases, argc, argv);
}
