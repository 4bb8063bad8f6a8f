/* The client against a server whose every answer the test gives itself. */
#include "xds/client.h"

#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/log.h"
#include "kit.h"
#include "suite.h"
#include "xds/wire.h"

enum { WATCHDOG_MS = 60000, PATIENT_MS = 50000, CATCH_UP_MS = 60 };

struct world {
    struct loop loop;
    struct timers timers;
    struct timer watchdog, pause;
    struct rpc *rpc;
    struct rpc_server *server;
    struct rpc_channel *channel;
    struct rpc_call *call; /* the server's end of the present stream */
    unsigned requests;     /* on that stream */
    struct xds_client *client;
    struct mesh_snapshot *snapshot;
    unsigned snapshots, ends;
    bool timed_out, paused, closed, rpc_closed;
};

#define WAIT_UNTIL(world, condition)                                                               \
    do {                                                                                           \
        while (!(condition) && !(world)->timed_out)                                                \
            uv_run(&(world)->loop.uv, UV_RUN_ONCE);                                                \
        CU_ASSERT_FATAL(condition);                                                                \
    } while (0)

/* --- the server --- */

static void on_request(struct rpc_call *call, const void *data, size_t len, void *arg)
{
    (void)call, (void)data, (void)len;
    ((struct world *)arg)->requests++;
}

static void on_served(struct rpc_call *call, int status, const char *message, void *arg)
{
    struct world *world = arg;
    (void)status, (void)message;
    if (world->call == call)
        world->call = NULL;
}

static void on_open(struct rpc_call *call, void *arg)
{
    static const struct rpc_call_events events = {.on_message = on_request, .on_end = on_served};
    struct world *world = arg;
    world->call = call;
    world->requests = 0;
    CU_ASSERT_EQUAL(rpc_call_accept(call, NULL, 0, &events, world), ERR_OK);
}

/* A response of one resource, or of none (NULL), and waits for its ACK. */
static void respond(struct world *world, enum xds_type type, const char *version,
                    struct xds_resource *resource)
{
    KIT_RESPONSE response = ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_RESPONSE__INIT;
    Envoy__Service__Discovery__V3__Resource *list[1];
    response.type_url = (char *)(uintptr_t)xds_type_url(type);
    response.system_version_info = (char *)(uintptr_t)version;
    response.resources = list;
    if (resource) {
        list[response.n_resources++] = envoy__service__discovery__v3__resource__unpack(
            NULL, resource->wire_len, resource->wire);
        CU_ASSERT_PTR_NOT_NULL_FATAL(list[0]);
    }
    void *data;
    size_t len;
    unsigned before = world->requests;
    CU_ASSERT_FATAL(xds_pack(&response.base, &data, &len));
    CU_ASSERT_EQUAL(rpc_call_send_take(world->call, data, len), ERR_OK);
    if (resource)
        envoy__service__discovery__v3__resource__free_unpacked(list[0], NULL);
    xds_resource_unref(resource);
    WAIT_UNTIL(world, world->requests > before);
}

/* --- the client's owner --- */

static void on_snapshot(struct mesh_snapshot *snapshot, void *arg)
{
    struct world *world = arg;
    mesh_snapshot_unref(world->snapshot);
    world->snapshot = snapshot;
    world->snapshots++;
}

static void on_bundle(const struct xds_bundle *bundle, void *arg)
{
    (void)bundle, (void)arg;
}

static void on_end(const struct err *err, bool answered, void *arg)
{
    (void)err, (void)answered;
    ((struct world *)arg)->ends++;
}

static void set_flag(void *arg)
{
    bool *flag = arg;
    *flag = true;
}

static void on_watchdog(struct timer *timer)
{
    ((struct world *)(void *)((char *)timer - offsetof(struct world, watchdog)))->timed_out = true;
}

static void on_pause(struct timer *timer)
{
    ((struct world *)(void *)((char *)timer - offsetof(struct world, pause)))->paused = true;
}

/* Long enough for whatever would come too early. */
static void linger(struct world *world)
{
    world->paused = false;
    timer_start(&world->timers, &world->pause, (int64_t)CATCH_UP_MS * 3, on_pause);
    WAIT_UNTIL(world, world->paused);
}

/* A new stream, whose three first requests have come. */
static void connect_again(struct world *world)
{
    int pair[2];
    unsigned ends = world->ends;
    if (world->channel) {
        rpc_channel_close(world->channel);
        WAIT_UNTIL(world, world->ends > ends && !world->call);
    }
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rpc_server_add_fd(world->server, pair[0], NULL, NULL));
    world->channel = rpc_channel_new(world->rpc, pair[1], "control.test", NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world->channel);
    CU_ASSERT_EQUAL(xds_client_attach(world->client, world->channel, "token", NULL), ERR_OK);
    WAIT_UNTIL(world, world->call && world->requests == XDS_TYPE_COUNT);
}

static void open_world(struct world *world, int64_t catch_up_ms)
{
    static const struct rpc_method methods[] = {{XDS_METHOD_DELTA, on_open}, {NULL, NULL}};
    static const struct xds_client_events events = {
        .on_snapshot = on_snapshot, .on_bundle = on_bundle, .on_end = on_end};
    const struct xds_client_config config = {.pod_ip = "10.0.0.1",
                                             .pod_name = "web-1",
                                             .namespace = "shop",
                                             .cluster_id = "",
                                             .trust_domain = "mesh.test",
                                             .catch_up_ms = catch_up_ms};
    memset(world, 0, sizeof *world);
    log_init(2, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    CU_ASSERT_FATAL(loop_init(&world->loop, NULL) == ERR_OK);
    CU_ASSERT_FATAL(timers_init(&world->timers, &world->loop, NULL) == ERR_OK);
    timer_start(&world->timers, &world->watchdog, WATCHDOG_MS, on_watchdog);
    world->rpc = rpc_start(&world->loop, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world->rpc);
    world->server = rpc_server_new(world->rpc, methods, world, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world->server);
    world->client = xds_client_new(&world->timers, &config, &events, world, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world->client);
    connect_again(world);
}

static void close_world(struct world *world)
{
    xds_client_close(world->client, set_flag, &world->closed);
    WAIT_UNTIL(world, world->closed);
    mesh_snapshot_unref(world->snapshot);
    rpc_close(world->rpc, set_flag, &world->rpc_closed);
    WAIT_UNTIL(world, world->rpc_closed);
    timer_stop(&world->timers, &world->watchdog);
    timers_close(&world->timers, NULL);
    loop_deinit(&world->loop);
}

/* Both types have been answered once, with a workload and no policy. */
static void open_world_with_a_mesh(struct world *world, int64_t catch_up_ms)
{
    open_world(world, catch_up_ms);
    respond(world, XDS_ADDRESS, "1", kit_workload("a", 1));
    respond(world, XDS_AUTHORIZATION, "1", NULL);
    WAIT_UNTIL(world, world->snapshots == 1);
}

static bool has(const struct world *world, const char *revision, const char *policy)
{
    const struct mesh_workload *workload = mesh_find_workload(world->snapshot, "a");
    return workload && strcmp(workload->name, revision) == 0 &&
           mesh_policy_count(world->snapshot) == (policy != NULL) &&
           (!policy || mesh_find_policy(world->snapshot, policy));
}

/* --- after a reconnect --- */

static void client_that_comes_back_waits_for_both_types(void)
{
    struct world world;
    open_world_with_a_mesh(&world, PATIENT_MS);
    connect_again(&world);
    respond(&world, XDS_ADDRESS, "2", kit_workload("a", 2));
    for (int i = 0; i < 20; i++)
        uv_run(&world.loop.uv, UV_RUN_NOWAIT);
    CU_ASSERT(has(&world, "revision-1", NULL));
    respond(&world, XDS_AUTHORIZATION, "2", kit_policy("p", true));
    WAIT_UNTIL(&world, world.snapshots == 2);
    CU_ASSERT(has(&world, "revision-2", "shop/p"));
    /* Then one type is enough. */
    respond(&world, XDS_ADDRESS, "3", kit_workload("a", 3));
    WAIT_UNTIL(&world, world.snapshots == 3);
    close_world(&world);
}

static void client_that_comes_back_does_not_wait_for_ever_for_a_silent_type(void)
{
    struct world world;
    open_world_with_a_mesh(&world, CATCH_UP_MS);
    connect_again(&world);
    respond(&world, XDS_ADDRESS, "2", kit_workload("a", 2));
    WAIT_UNTIL(&world, world.snapshots == 2);
    CU_ASSERT(has(&world, "revision-2", NULL));
    respond(&world, XDS_ADDRESS, "3", kit_workload("a", 3));
    WAIT_UNTIL(&world, world.snapshots == 3);
    close_world(&world);
}

static void client_that_comes_back_waits_longer_for_the_rest_of_an_answer(void)
{
    struct world world;
    open_world_with_a_mesh(&world, CATCH_UP_MS);
    connect_again(&world);
    respond(&world, XDS_AUTHORIZATION, "2+", kit_policy("p", true));
    respond(&world, XDS_ADDRESS, "2", kit_workload("a", 2));
    linger(&world);
    CU_ASSERT_EQUAL(world.snapshots, 1);
    respond(&world, XDS_AUTHORIZATION, "2", NULL);
    WAIT_UNTIL(&world, world.snapshots == 2);
    CU_ASSERT(has(&world, "revision-2", "shop/p"));
    close_world(&world);
}

static void client_whose_stream_ends_too_early_leaves_the_mesh_as_it_was(void)
{
    struct world world;
    open_world_with_a_mesh(&world, PATIENT_MS);
    connect_again(&world);
    respond(&world, XDS_ADDRESS, "2", kit_workload("a", 2));
    connect_again(&world);
    respond(&world, XDS_AUTHORIZATION, "2", kit_policy("p", true));
    for (int i = 0; i < 20; i++)
        uv_run(&world.loop.uv, UV_RUN_NOWAIT);
    CU_ASSERT_EQUAL(world.snapshots, 1); /* half of it is what another stream said */
    respond(&world, XDS_ADDRESS, "2", NULL);
    WAIT_UNTIL(&world, world.snapshots > 1);
    CU_ASSERT(has(&world, "revision-2", "shop/p"));
    close_world(&world);
}

static void client_without_a_mesh_waits_for_both_types_for_ever(void)
{
    struct world world;
    open_world(&world, CATCH_UP_MS);
    respond(&world, XDS_ADDRESS, "1", kit_workload("a", 1));
    linger(&world);
    CU_ASSERT_EQUAL(world.snapshots, 0);
    CU_ASSERT_FALSE(xds_client_ready(world.client));
    respond(&world, XDS_AUTHORIZATION, "1", NULL);
    WAIT_UNTIL(&world, world.snapshots == 1);
    close_world(&world);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(client_that_comes_back_waits_for_both_types),
        SUITE_CASE(client_that_comes_back_does_not_wait_for_ever_for_a_silent_type),
        SUITE_CASE(client_that_comes_back_waits_longer_for_the_rest_of_an_answer),
        SUITE_CASE(client_whose_stream_ends_too_early_leaves_the_mesh_as_it_was),
        SUITE_CASE(client_without_a_mesh_waits_for_both_types_for_ever),
        SUITE_END,
    };
    return suite_main("client", cases, argc, argv);
}
