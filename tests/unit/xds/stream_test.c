/* Both ends over gRPC, on one loop. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "base/clock.h"
#include "base/log.h"
#include "kit.h"
#include "suite.h"
#include "xds/client.h"
#include "xds/encode.h"
#include "xds/server.h"
#include "xds/wire.h"

enum { WATCHDOG_MS = 60000 };

struct world {
    struct loop loop;
    struct timers timers;
    struct timer watchdog;
    struct rpc *rpc;
    struct rpc_server *rpc_server;
    struct xds_server *server;
    struct xds_peer peer; /* what the next stream's token proves */
    bool timed_out, rpc_closed, server_closed;
};

static struct world *current; /* for callbacks without an argument */

/* The owner of a client, who notes what happens. */
struct owner {
    struct xds_client *client;
    unsigned snapshots, bundles, ends;
    struct mesh_snapshot *snapshot;
    struct err end;
    bool answered, closed;
};

static void on_snapshot(struct mesh_snapshot *snapshot, void *arg)
{
    struct owner *owner = arg;
    owner->snapshots++;
    mesh_snapshot_unref(owner->snapshot);
    owner->snapshot = snapshot;
}

static void on_bundle(const struct xds_bundle *bundle, void *arg)
{
    struct owner *owner = arg;
    owner->bundles++;
    CU_ASSERT_EQUAL(bundle->domain_count, 1);
}

static void on_end(const struct err *err, bool answered, void *arg)
{
    struct owner *owner = arg;
    owner->ends++;
    owner->end = *err;
    owner->answered = answered;
}

static void set_flag(void *arg)
{
    bool *flag = arg;
    *flag = true;
}

static void on_open(struct rpc_call *call, void *arg)
{
    struct world *world = arg;
    size_t len;
    const char *token = rpc_call_initial(call, "authorization", &len);
    if (token)
        CU_ASSERT(len == 12 && memcmp(token, "Bearer token", len) == 0);
    xds_server_open(world->server, call, &world->peer);
}

static void on_watchdog(struct timer *timer)
{
    (void)timer;
    current->timed_out = true;
}

#define WAIT_UNTIL(world, condition)                                                               \
    do {                                                                                           \
        while (!(condition) && !(world)->timed_out)                                                \
            uv_run(&(world)->loop.uv, UV_RUN_ONCE);                                                \
        CU_ASSERT_FATAL(condition);                                                                \
    } while (0)

static void open_world(struct world *world, const struct xds_server_config *config)
{
    static const struct rpc_method methods[] = {{XDS_METHOD_DELTA, on_open}, {NULL, NULL}};
    struct err err;
    memset(world, 0, sizeof *world);
    current = world;
    log_init(2, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    CU_ASSERT_FATAL(loop_init(&world->loop, &err) == ERR_OK);
    CU_ASSERT_FATAL(timers_init(&world->timers, &world->loop, &err) == ERR_OK);
    timer_start(&world->timers, &world->watchdog, WATCHDOG_MS, on_watchdog);
    world->rpc = rpc_start(&world->loop, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world->rpc);
    world->server = xds_server_new(&world->timers, config, &err);
    world->rpc_server = rpc_server_new(world->rpc, methods, world, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world->rpc_server);
    world->peer = (struct xds_peer){.namespace = "shop", .service_account = "web"};
}

static void close_world(struct world *world)
{
    xds_server_close(world->server, set_flag, &world->server_closed);
    WAIT_UNTIL(world, world->server_closed);
    rpc_close(world->rpc, set_flag, &world->rpc_closed);
    WAIT_UNTIL(world, world->rpc_closed);
    timer_stop(&world->timers, &world->watchdog);
    timers_close(&world->timers, NULL);
    loop_deinit(&world->loop);
}

static struct rpc_channel *dial(struct world *world)
{
    int pair[2];
    struct err err;
    CU_ASSERT_EQUAL_FATAL(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(rpc_server_add_fd(world->rpc_server, pair[0], NULL, &err));
    struct rpc_channel *channel = rpc_channel_new(world->rpc, pair[1], "control.test", &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(channel);
    return channel;
}

static void open_owner(struct world *world, struct owner *owner)
{
    static const struct xds_client_events events = {
        .on_snapshot = on_snapshot, .on_bundle = on_bundle, .on_end = on_end};
    const struct xds_client_config config = {.pod_ip = "10.0.0.1",
                                             .pod_name = "web-1",
                                             .namespace = "shop",
                                             .cluster_id = "Kubernetes",
                                             .trust_domain = "mesh.test"};
    struct err err;
    memset(owner, 0, sizeof *owner);
    owner->client = xds_client_new(&world->timers, &config, &events, owner, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(owner->client);
}

static struct rpc_channel *attach(struct world *world, struct owner *owner)
{
    struct rpc_channel *channel = dial(world);
    struct err err;
    CU_ASSERT_EQUAL_FATAL(xds_client_attach(owner->client, channel, "token", &err), ERR_OK);
    return channel;
}

static void close_owner(struct world *world, struct owner *owner)
{
    xds_client_close(owner->client, set_flag, &owner->closed);
    WAIT_UNTIL(world, owner->closed);
    mesh_snapshot_unref(owner->snapshot);
}

static void publish(struct world *world, enum xds_type type, struct xds_resource *const *resources)
{
    struct xds_set *set = xds_set_new();
    for (; *resources; resources++)
        CU_ASSERT_FATAL(xds_set_add(set, *resources, NULL) == ERR_OK);
    CU_ASSERT_EQUAL(xds_server_publish(world->server, type, set, NULL), ERR_OK);
}

#define PUBLISH(world, type, ...)                                                                  \
    publish(world, type, (struct xds_resource *const[]){__VA_ARGS__, NULL})

/* `count` workloads, each about 500 bytes. */
static void publish_many(struct world *world, int count, int revision)
{
    struct xds_set *set = xds_set_new();
    for (int i = 0; i < count; i++) {
        char uid[512];
        snprintf(uid, sizeof uid, "%0400d", i);
        xds_set_add(set, kit_workload(uid, revision), NULL);
    }
    CU_ASSERT_EQUAL(xds_server_publish(world->server, XDS_ADDRESS, set, NULL), ERR_OK);
}

/* A second type that takes more than one response. */
static void publish_many_policies(struct world *world)
{
    struct xds_set *set = xds_set_new();
    for (int i = 0; i < 5000; i++) {
        char name[512];
        snprintf(name, sizeof name, "%0400d", i);
        xds_set_add(set, kit_policy(name, true), NULL);
    }
    CU_ASSERT_EQUAL(xds_server_publish(world->server, XDS_AUTHORIZATION, set, NULL), ERR_OK);
}

/* --- a client and a server --- */

static void stream_brings_the_mesh_and_then_what_changes(void)
{
    struct world world;
    struct owner owner;
    open_world(&world, NULL);
    open_owner(&world, &owner);
    PUBLISH(&world, XDS_ADDRESS, kit_workload_at("a", 1, "10.0.0.1", "shop/web"),
            kit_service("web", "10.96.0.1"));
    PUBLISH(&world, XDS_AUTHORIZATION, kit_policy("p", true));
    PUBLISH(&world, XDS_SECRET, kit_bundle("PEM"));
    CU_ASSERT_FALSE(xds_client_ready(owner.client));
    attach(&world, &owner);
    CU_ASSERT_EQUAL(owner.snapshots, 0); /* nothing comes from inside the call */
    WAIT_UNTIL(&world, owner.snapshots > 0 && owner.bundles > 0);
    CU_ASSERT(xds_client_ready(owner.client));
    CU_ASSERT_EQUAL(owner.snapshots, 1); /* the first answers made one snapshot */
    CU_ASSERT_PTR_NOT_NULL(mesh_find_workload(owner.snapshot, "a"));
    CU_ASSERT_PTR_NOT_NULL(mesh_find_policy(owner.snapshot, "shop/p"));
    const struct mesh_service *service = mesh_find_service(owner.snapshot, "shop/web");
    CU_ASSERT_PTR_NOT_NULL_FATAL(service);
    CU_ASSERT_EQUAL(mesh_service_endpoints(owner.snapshot, service).count, 1);
    CU_ASSERT_STRING_EQUAL(mesh_snapshot_trust_domain(owner.snapshot), "mesh.test");

    PUBLISH(&world, XDS_ADDRESS, kit_workload("b", 1), kit_service("web", "10.96.0.1"));
    WAIT_UNTIL(&world, owner.snapshots == 2);
    CU_ASSERT_PTR_NULL(mesh_find_workload(owner.snapshot, "a"));
    CU_ASSERT_PTR_NOT_NULL(mesh_find_workload(owner.snapshot, "b"));
    const struct xds_server_stats *server = xds_server_stats(world.server);
    WAIT_UNTIL(&world, server->acks == 4);
    CU_ASSERT_EQUAL(server->resources_sent, 5);
    CU_ASSERT_EQUAL(server->removals_sent, 1);
    CU_ASSERT_EQUAL(server->streams, 1);
    CU_ASSERT_EQUAL(server->resources[XDS_ADDRESS], 2);
    const struct xds_client_stats *client = xds_client_stats(owner.client);
    CU_ASSERT(client->ready && client->connected);
    CU_ASSERT_EQUAL(client->nacks, 0);
    CU_ASSERT_EQUAL(client->removed, 1);
    CU_ASSERT(client->last_update_wall_ms > 0);
    close_owner(&world, &owner);
    close_world(&world);
}

static void stream_that_comes_back_brings_only_what_changed(void)
{
    struct world world;
    struct owner owner;
    open_world(&world, NULL);
    open_owner(&world, &owner);
    PUBLISH(&world, XDS_ADDRESS, kit_workload("a", 1), kit_workload("b", 1));
    PUBLISH(&world, XDS_SECRET, kit_bundle("PEM"));
    struct rpc_channel *channel = attach(&world, &owner);
    WAIT_UNTIL(&world, owner.snapshots == 1 && owner.bundles == 1);
    const struct xds_server_stats *server = xds_server_stats(world.server);
    WAIT_UNTIL(&world, server->acks == 3);
    rpc_channel_close(channel);
    WAIT_UNTIL(&world, owner.ends == 1 && server->streams == 0);
    CU_ASSERT(owner.answered);
    CU_ASSERT(xds_client_ready(owner.client)); /* what it knows, it goes on knowing */
    uint64_t sent = server->resources_sent;
    PUBLISH(&world, XDS_ADDRESS, kit_workload("a", 2));
    attach(&world, &owner);
    WAIT_UNTIL(&world, owner.snapshots == 2 && server->acks == 6);
    CU_ASSERT_EQUAL(server->resources_sent, sent + 1);
    CU_ASSERT_STRING_EQUAL(mesh_find_workload(owner.snapshot, "a")->name, "revision-2");
    CU_ASSERT_PTR_NULL(mesh_find_workload(owner.snapshot, "b"));
    CU_ASSERT_EQUAL(xds_client_stats(owner.client)->attached, 2);
    struct err err;
    CU_ASSERT_EQUAL(xds_client_attach(owner.client, channel, "token", &err), ERR_BUSY);
    xds_client_detach(owner.client);
    WAIT_UNTIL(&world, owner.ends == 2);
    CU_ASSERT_EQUAL(owner.end.code, ERR_CANCELLED);
    xds_client_detach(owner.client);
    close_owner(&world, &owner);
    close_world(&world);
}

static void stream_splits_what_is_large_and_makes_one_snapshot_of_it(void)
{
    struct world world;
    struct owner owner;
    open_world(&world, NULL);
    open_owner(&world, &owner);
    publish_many(&world, 10000, 1); /* about 9 MB */
    attach(&world, &owner);
    WAIT_UNTIL(&world, owner.snapshots == 1);
    CU_ASSERT_EQUAL(mesh_workload_count(owner.snapshot), 10000);
    CU_ASSERT(xds_client_stats(owner.client)->messages >= 4);
    close_owner(&world, &owner);
    close_world(&world);
}

static void stream_puts_no_half_of_a_split_answer_in_force(void)
{
    static const struct xds_server_config config = {.response_target_bytes = 1};
    struct world world;
    struct owner owner;
    open_world(&world, &config);
    open_owner(&world, &owner);
    PUBLISH(&world, XDS_AUTHORIZATION, kit_policy("old", true));
    attach(&world, &owner);
    WAIT_UNTIL(&world, owner.snapshots == 1);
    /* One removal and one policy, each in a response of its own. */
    PUBLISH(&world, XDS_AUTHORIZATION, kit_policy("new", true));
    WAIT_UNTIL(&world, !mesh_find_policy(owner.snapshot, "shop/old"));
    CU_ASSERT_PTR_NOT_NULL(mesh_find_policy(owner.snapshot, "shop/new"));
    CU_ASSERT_EQUAL(owner.snapshots, 2);
    /* To who comes back, what is gone is told first. */
    xds_client_detach(owner.client);
    WAIT_UNTIL(&world, owner.ends == 1);
    PUBLISH(&world, XDS_AUTHORIZATION, kit_policy("newest", true));
    attach(&world, &owner);
    WAIT_UNTIL(&world, !mesh_find_policy(owner.snapshot, "shop/new"));
    CU_ASSERT_PTR_NOT_NULL(mesh_find_policy(owner.snapshot, "shop/newest"));
    close_owner(&world, &owner);
    close_world(&world);
}

static void stream_ends_when_the_token_expires(void)
{
    struct world world;
    struct owner owner;
    open_world(&world, NULL);
    open_owner(&world, &owner);
    clock_fake(0, 1000 * 1000 - 50); /* 50 ms before the token's second */
    world.peer.expires_wall_s = 1000;
    attach(&world, &owner);
    WAIT_UNTIL(&world, owner.snapshots == 1);
    WAIT_UNTIL(&world, owner.ends == 1);
    CU_ASSERT_EQUAL(owner.end.code, ERR_RPC_STATUS);
    CU_ASSERT_PTR_NOT_NULL(strstr(owner.end.text, "UNAUTHENTICATED"));
    CU_ASSERT_EQUAL(xds_server_stats(world.server)->streams_expired, 1);
    /* A token that has expired opens no stream at all. */
    clock_fake(0, 1000 * 1000);
    attach(&world, &owner);
    WAIT_UNTIL(&world, owner.ends == 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(owner.end.text, "token_expired"));
    CU_ASSERT_FALSE(owner.answered);
    CU_ASSERT_EQUAL(xds_server_stats(world.server)->streams_refused[ERR_TOKEN_EXPIRED], 1);
    clock_fake(0, -1);
    close_owner(&world, &owner);
    close_world(&world);
}

static void stream_is_refused_to_a_node_of_another_namespace(void)
{
    struct world world;
    struct owner owner;
    open_world(&world, NULL);
    open_owner(&world, &owner);
    world.peer.namespace = "other";
    attach(&world, &owner);
    WAIT_UNTIL(&world, owner.ends == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(owner.end.text, "PERMISSION_DENIED"));
    CU_ASSERT_PTR_NOT_NULL(strstr(owner.end.text, "xds_node"));
    CU_ASSERT_EQUAL(owner.snapshots, 0);
    CU_ASSERT_EQUAL(xds_server_stats(world.server)->streams_refused[ERR_XDS_NODE], 1);
    close_owner(&world, &owner);
    close_world(&world);
}

static void stream_is_refused_over_the_limit(void)
{
    struct world world;
    struct owner one, two;
    open_world(&world, &(const struct xds_server_config){.streams_max = 1});
    open_owner(&world, &one);
    open_owner(&world, &two);
    attach(&world, &one);
    WAIT_UNTIL(&world, one.snapshots == 1);
    attach(&world, &two);
    WAIT_UNTIL(&world, two.ends == 1);
    CU_ASSERT_PTR_NOT_NULL(strstr(two.end.text, "RESOURCE_EXHAUSTED"));
    xds_client_detach(one.client);
    WAIT_UNTIL(&world, one.ends == 1 && xds_server_stats(world.server)->streams == 0);
    attach(&world, &two);
    WAIT_UNTIL(&world, two.snapshots == 1);
    close_owner(&world, &one);
    close_owner(&world, &two);
    close_world(&world);
}

static void stream_client_refuses_a_bad_resource_and_the_server_says_so(void)
{
    struct world world;
    struct owner owner;
    open_world(&world, NULL);
    open_owner(&world, &owner);
    PUBLISH(&world, XDS_ADDRESS, kit_workload("good", 1), kit_blob("bad", "\xff\xff", 2));
    attach(&world, &owner);
    const struct xds_server_stats *server = xds_server_stats(world.server);
    WAIT_UNTIL(&world, owner.snapshots == 1 && server->nacks == 1);
    CU_ASSERT_PTR_NOT_NULL(mesh_find_workload(owner.snapshot, "good"));
    CU_ASSERT_PTR_NOT_NULL(strstr(server->last_nack, "bad"));
    CU_ASSERT_PTR_NOT_NULL(strstr(xds_client_stats(owner.client)->last_nack, "bad"));
    CU_ASSERT_EQUAL(owner.ends, 0);
    /* The mended one arrives on the same stream. */
    PUBLISH(&world, XDS_ADDRESS, kit_workload("good", 1), kit_workload("bad", 1));
    WAIT_UNTIL(&world, owner.snapshots == 2);
    CU_ASSERT_PTR_NOT_NULL(mesh_find_workload(owner.snapshot, "bad"));
    close_owner(&world, &owner);
    close_world(&world);
}

static struct xds_resource *bad_policy(const char *name)
{
    return kit_blob_of(XDS_AUTHORIZATION, name, "\xff\xff", 2);
}

static bool is_unreadable(const struct owner *owner, const char *key)
{
    const struct mesh_policy *policy = mesh_find_policy(owner->snapshot, key);
    CU_ASSERT_PTR_NOT_NULL_FATAL(policy);
    return policy->unreadable != NULL;
}

static void stream_of_a_policy_that_cannot_be_read_leaves_a_record_of_it(void)
{
    struct world world;
    struct owner owner;
    open_world(&world, NULL);
    open_owner(&world, &owner);
    PUBLISH(&world, XDS_AUTHORIZATION, bad_policy("shop/p"), bad_policy("shop/q"));
    struct rpc_channel *channel = attach(&world, &owner);
    const struct xds_server_stats *server = xds_server_stats(world.server);
    WAIT_UNTIL(&world, owner.snapshots == 1 && server->nacks == 1);
    CU_ASSERT(is_unreadable(&owner, "shop/p") && is_unreadable(&owner, "shop/q"));
    CU_ASSERT_EQUAL(mesh_namespace_policies(owner.snapshot, "shop").count, 2);

    /* A mended one takes its place and keeps it. */
    PUBLISH(&world, XDS_AUTHORIZATION, kit_policy("p", true), bad_policy("shop/q"));
    WAIT_UNTIL(&world, owner.snapshots == 2);
    CU_ASSERT_FALSE(is_unreadable(&owner, "shop/p"));
    PUBLISH(&world, XDS_AUTHORIZATION, bad_policy("shop/p"), bad_policy("shop/q"));
    WAIT_UNTIL(&world, owner.snapshots == 3 && server->nacks == 2);
    CU_ASSERT_FALSE(is_unreadable(&owner, "shop/p"));

    /* Removed while nobody listened. */
    rpc_channel_close(channel);
    WAIT_UNTIL(&world, owner.ends == 1 && server->streams == 0);
    PUBLISH(&world, XDS_AUTHORIZATION, bad_policy("shop/p"));
    attach(&world, &owner);
    WAIT_UNTIL(&world, owner.snapshots == 4);
    CU_ASSERT_PTR_NULL(mesh_find_policy(owner.snapshot, "shop/q"));
    CU_ASSERT_FALSE(is_unreadable(&owner, "shop/p"));
    close_owner(&world, &owner);
    close_world(&world);
}

static void stream_client_can_be_closed_at_any_moment(void)
{
    struct world world;
    struct owner owner;
    open_world(&world, NULL);
    PUBLISH(&world, XDS_ADDRESS, kit_workload("a", 1));
    for (int rounds = 0; rounds < 12; rounds++) {
        open_owner(&world, &owner);
        attach(&world, &owner);
        for (int i = 0; i < rounds; i++)
            uv_run(&world.loop.uv, UV_RUN_NOWAIT);
        close_owner(&world, &owner);
        CU_ASSERT_EQUAL(owner.ends, 0);
    }
    WAIT_UNTIL(&world, xds_server_stats(world.server)->streams == 0);
    close_world(&world);
}

static void stream_server_can_be_closed_under_live_streams(void)
{
    struct world world;
    struct owner owner;
    open_world(&world, NULL);
    open_owner(&world, &owner);
    attach(&world, &owner);
    WAIT_UNTIL(&world, owner.snapshots == 1);
    xds_server_close(world.server, set_flag, &world.server_closed);
    WAIT_UNTIL(&world, world.server_closed && owner.ends == 1);
    CU_ASSERT_EQUAL(owner.end.code, ERR_RPC_UNAVAILABLE);
    close_owner(&world, &owner);
    world.server_closed = false;
    world.server = xds_server_new(&world.timers, NULL, NULL);
    close_world(&world);
}

/* --- somebody who is not our client --- */

struct stranger {
    struct rpc_call *call;
    unsigned messages, ends;
    int status;
    char text[256];
};

static void stranger_on_message(struct rpc_call *call, const void *data, size_t len, void *arg)
{
    (void)call, (void)data, (void)len;
    ((struct stranger *)arg)->messages++;
}

static void stranger_on_end(struct rpc_call *call, int status, const char *message, void *arg)
{
    struct stranger *stranger = arg;
    (void)call;
    stranger->ends++;
    stranger->call = NULL;
    stranger->status = status;
    snprintf(stranger->text, sizeof stranger->text, "%s", message);
}

static void open_stranger(struct world *world, struct stranger *stranger)
{
    static const struct rpc_call_events events = {.on_message = stranger_on_message,
                                                  .on_end = stranger_on_end};
    struct err err;
    memset(stranger, 0, sizeof *stranger);
    stranger->call =
        rpc_call_start(dial(world), XDS_METHOD_DELTA, NULL, 0, 0, &events, stranger, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(stranger->call);
}

static void ask_for(struct stranger *stranger, enum xds_type type)
{
    static char id[] = KIT_NODE;
    Envoy__Service__Discovery__V3__DeltaDiscoveryRequest request =
        ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_REQUEST__INIT;
    Envoy__Config__Core__V3__Node node = ENVOY__CONFIG__CORE__V3__NODE__INIT;
    node.id = id;
    request.node = &node;
    request.type_url = (char *)(uintptr_t)xds_type_url(type);
    void *data;
    size_t len;
    CU_ASSERT_FATAL(xds_pack(&request.base, &data, &len));
    CU_ASSERT_EQUAL(rpc_call_send(stranger->call, data, len), ERR_OK);
    free(data);
}

/* gRPC has asked for the first message before it can be told to stop, so only the second one is
 * stuck. */
static void ask_for_too_much(struct stranger *stranger)
{
    rpc_call_read_pause(stranger->call);
    ask_for(stranger, XDS_ADDRESS);
    ask_for(stranger, XDS_AUTHORIZATION);
}

static void stream_of_a_reader_that_stops_is_cut_and_the_others_are_served(void)
{
    struct world world;
    struct owner owner;
    struct stranger stranger;
    open_world(&world, &(const struct xds_server_config){.send_deadline_ms = 3000});
    open_owner(&world, &owner);
    publish_many(&world, 10000, 1);
    publish_many_policies(&world);
    open_stranger(&world, &stranger);
    ask_for_too_much(&stranger);
    attach(&world, &owner);
    WAIT_UNTIL(&world, owner.snapshots == 1);
    const struct xds_server_stats *server = xds_server_stats(world.server);
    /* Everything changes while it does not read; the others see it. */
    for (int revision = 2; revision < 6; revision++) {
        publish_many(&world, 10000, revision);
        WAIT_UNTIL(&world, owner.snapshots == (unsigned)revision);
    }
    WAIT_UNTIL(&world, server->streams_stalled == 1 && server->streams == 1);
    CU_ASSERT_EQUAL(owner.ends, 0);
    /* What changed meanwhile was not queued for it: one answer for each type is all it was given.
     */
    CU_ASSERT(server->responses <= xds_client_stats(owner.client)->messages + 2);
    rpc_call_read_resume(stranger.call);
    WAIT_UNTIL(&world, stranger.ends == 1);
    CU_ASSERT_NOT_EQUAL(stranger.status, RPC_OK);
    close_owner(&world, &owner);
    close_world(&world);
}

static void stream_without_a_first_request_is_ended(void)
{
    struct world world;
    struct stranger stranger;
    open_world(&world, &(const struct xds_server_config){.node_deadline_ms = 50});
    open_stranger(&world, &stranger);
    WAIT_UNTIL(&world, stranger.ends == 1);
    CU_ASSERT_EQUAL(stranger.status, RPC_DEADLINE_EXCEEDED);
    close_world(&world);
}

static void stream_of_garbage_is_ended_with_a_reason(void)
{
    struct world world;
    struct owner owner;
    struct stranger stranger;
    open_world(&world, NULL);
    open_owner(&world, &owner);
    attach(&world, &owner);
    WAIT_UNTIL(&world, owner.snapshots == 1);
    open_stranger(&world, &stranger);
    CU_ASSERT_EQUAL(rpc_call_send(stranger.call, "\xff\xff\xff", 3), ERR_OK);
    WAIT_UNTIL(&world, stranger.ends == 1);
    CU_ASSERT_EQUAL(stranger.status, RPC_INVALID_ARGUMENT);
    CU_ASSERT_PTR_NOT_NULL(strstr(stranger.text, "xds_malformed"));
    CU_ASSERT_EQUAL(xds_server_stats(world.server)->streams_refused[ERR_XDS_MALFORMED], 1);
    CU_ASSERT_EQUAL(owner.ends, 0);
    PUBLISH(&world, XDS_ADDRESS, kit_workload("a", 1));
    WAIT_UNTIL(&world, owner.snapshots == 2);
    close_owner(&world, &owner);
    close_world(&world);
}

static void stream_that_the_client_half_closes_is_finished(void)
{
    struct world world;
    struct stranger stranger;
    open_world(&world, NULL);
    PUBLISH(&world, XDS_ADDRESS, kit_workload("a", 1));
    open_stranger(&world, &stranger);
    ask_for(&stranger, XDS_ADDRESS);
    rpc_call_half_close(stranger.call);
    WAIT_UNTIL(&world, stranger.ends == 1);
    CU_ASSERT_EQUAL(stranger.status, RPC_OK);
    CU_ASSERT_EQUAL(stranger.messages, 1);
    WAIT_UNTIL(&world, xds_server_stats(world.server)->streams == 0);
    close_world(&world);
}

static void stream_half_closed_by_a_client_that_does_not_read_is_cut(void)
{
    struct world world;
    struct stranger stranger;
    open_world(&world, &(const struct xds_server_config){.send_deadline_ms = 1000});
    publish_many(&world, 10000, 1);
    publish_many_policies(&world);
    open_stranger(&world, &stranger);
    ask_for_too_much(&stranger);
    const struct xds_server_stats *server = xds_server_stats(world.server);
    WAIT_UNTIL(&world, server->responses == 2);
    rpc_call_half_close(stranger.call);
    WAIT_UNTIL(&world, server->streams_stalled == 1 && server->streams == 0);
    close_world(&world);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(stream_brings_the_mesh_and_then_what_changes),
        SUITE_CASE(stream_that_comes_back_brings_only_what_changed),
        SUITE_CASE(stream_splits_what_is_large_and_makes_one_snapshot_of_it),
        SUITE_CASE(stream_puts_no_half_of_a_split_answer_in_force),
        SUITE_CASE(stream_ends_when_the_token_expires),
        SUITE_CASE(stream_is_refused_to_a_node_of_another_namespace),
        SUITE_CASE(stream_is_refused_over_the_limit),
        SUITE_CASE(stream_client_refuses_a_bad_resource_and_the_server_says_so),
        SUITE_CASE(stream_of_a_policy_that_cannot_be_read_leaves_a_record_of_it),
        SUITE_CASE(stream_client_can_be_closed_at_any_moment),
        SUITE_CASE(stream_server_can_be_closed_under_live_streams),
        SUITE_CASE(stream_of_a_reader_that_stops_is_cut_and_the_others_are_served),
        SUITE_CASE(stream_without_a_first_request_is_ended),
        SUITE_CASE(stream_of_garbage_is_ended_with_a_reason),
        SUITE_CASE(stream_that_the_client_half_closes_is_finished),
        SUITE_CASE(stream_half_closed_by_a_client_that_does_not_read_is_cut),
        SUITE_END,
    };
    return suite_main("stream", cases, argc, argv);
}
