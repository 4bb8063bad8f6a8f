/* Messages that were bent on their way: whatever comes, nobody reads or writes where he should not,
 * and the next good stream works. Of use under the sanitizers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit.h"
#include "suite.h"
#include "xds/delta_client.h"

enum { QUEUE = 64, ROUNDS = 4000 };

struct world {
    struct xds_store store;
    struct xds_delta_server *stream;
    struct xds_delta_client *client;
    struct {
        void *data;
        size_t len;
    } requests[QUEUE];
    size_t request_count;
    unsigned seed;
    size_t refused, taken;
};

static void on_request(void *data, size_t len, void *arg)
{
    struct world *world = arg;
    CU_ASSERT_FATAL(world->request_count < QUEUE);
    world->requests[world->request_count].data = data;
    world->requests[world->request_count++].len = len;
}

static void on_workload(struct mesh_workload *workload, void *arg)
{
    (void)workload, (void)arg;
}

static void on_service(struct mesh_service *service, void *arg)
{
    (void)service, (void)arg;
}

static void on_policy(struct mesh_policy *policy, void *arg)
{
    (void)policy, (void)arg;
}

static void on_name(const char *name, void *arg)
{
    (void)name, (void)arg;
}

static void on_bundle(const struct xds_bundle *bundle, void *arg)
{
    (void)bundle, (void)arg;
}

/* A copy exactly as long as it says, with a few bytes changed, or cut; the caller frees it. */
static uint8_t *bend(struct world *world, const void *data, size_t *len)
{
    uint8_t *copy = malloc(*len + 1);
    memcpy(copy, data, *len);
    for (unsigned n = (unsigned)rand_r(&world->seed) % 4; n > 0 && *len > 0; n--)
        copy[(unsigned)rand_r(&world->seed) % *len] = (uint8_t)rand_r(&world->seed);
    if (rand_r(&world->seed) % 4 == 0 && *len > 0)
        *len = (unsigned)rand_r(&world->seed) % *len;
    return realloc(copy, *len ? *len : 1);
}

static void start_over(struct world *world)
{
    for (size_t i = 0; i < world->request_count; i++)
        free(world->requests[i].data);
    world->request_count = 0;
    xds_delta_server_free(world->stream);
    world->stream = xds_delta_server_new(&world->store, NULL, 500, NULL);
    CU_ASSERT_EQUAL(xds_delta_client_start(world->client, NULL), ERR_OK);
}

static void note(struct world *world, enum err_code code)
{
    if (code == ERR_OK) {
        world->taken++;
    } else {
        world->refused++;
        start_over(world);
    }
}

static void serve(struct world *world)
{
    if (world->request_count == 0)
        return;
    size_t len = world->requests[0].len;
    uint8_t *copy = bend(world, world->requests[0].data, &len);
    free(world->requests[0].data);
    memmove(world->requests, world->requests + 1,
            --world->request_count * sizeof world->requests[0]);
    enum err_code code = xds_delta_server_request(world->stream, copy, len, NULL);
    free(copy);
    note(world, code);
}

static void deliver(struct world *world)
{
    void *data;
    size_t len;
    enum err_code code = xds_delta_server_next(world->stream, &data, &len, NULL);
    if (code == ERR_OK && !data)
        return;
    if (code == ERR_OK) {
        uint8_t *copy = bend(world, data, &len);
        code = xds_delta_client_response(world->client, copy, len, NULL);
        free(copy);
        free(data);
    }
    note(world, code);
}

static void publish(struct world *world)
{
    int revision = rand_r(&world->seed) % 5;
    kit_publish(&world->store, XDS_ADDRESS, kit_workload_at("a", revision, "10.0.0.1", "shop/web"),
                revision % 2 ? kit_workload("b", revision) : kit_service("web", "10.96.0.1"), NULL);
    kit_publish(&world->store, XDS_AUTHORIZATION, kit_policy("p", revision % 2), NULL);
    kit_publish(&world->store, XDS_SECRET, kit_bundle(revision % 2 ? "PEM" : "OTHER"), NULL);
}

static void hostile_messages_are_refused_and_do_no_harm(void)
{
    static const struct xds_delta_events events = {
        .on_request = on_request,
        .on_workload = on_workload,
        .on_service = on_service,
        .on_policy = on_policy,
        .on_unreadable_policy = on_policy,
        .on_removed_address = on_name,
        .on_removed_policy = on_name,
        .on_bundle = on_bundle,
    };
    const struct xds_delta_node node = {.id = KIT_NODE, .namespace = "shop", .cluster = "c"};
    struct world world = {.seed = 5};
    xds_store_init(&world.store);
    world.client = xds_delta_client_new(&node, &events, &world);
    start_over(&world);
    for (int round = 0; round < ROUNDS; round++) {
        if (rand_r(&world.seed) % 10 == 0)
            publish(&world);
        if (rand_r(&world.seed) % 50 == 0)
            start_over(&world); /* a bent answer may have left a response unanswered for good */
        serve(&world);
        deliver(&world);
    }
    CU_ASSERT(world.refused > ROUNDS / 20);
    CU_ASSERT(world.taken > ROUNDS / 20);
    for (size_t i = 0; i < world.request_count; i++)
        free(world.requests[i].data);
    xds_delta_server_free(world.stream);
    xds_delta_client_free(world.client);
    xds_store_deinit(&world.store);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(hostile_messages_are_refused_and_do_no_harm),
        SUITE_END,
    };
    return suite_main("hostile", cases, argc, argv);
}
