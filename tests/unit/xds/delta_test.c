/* Both halves of the delta protocol joined: whatever happens, once it is quiet the client knows
 * what the store holds, and only what changed has travelled. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/map.h"
#include "kit.h"
#include "suite.h"
#include "xds/delta_client.h"

enum { NAMES = 40, QUEUE = 64 };

struct message {
    void *data;
    size_t len;
};

/* One client after another stream of the server, and what lies on the wire between them. */
struct link {
    struct xds_store store;
    struct xds_server_stats stats;
    struct xds_delta_server *stream; /* NULL: no stream */
    struct xds_delta_client *client;
    struct message to_server[QUEUE];
    size_t to_server_count;
    /* what there is: revision, 0 = absent */
    int workloads[NAMES], policies[NAMES];
    /* what the client was told */
    int seen_workloads[NAMES], seen_policies[NAMES];
    size_t redundant; /* resources that came though the client had that very revision */
    unsigned seed;
};

static unsigned roll(struct link *link, unsigned below)
{
    link->seed = link->seed * 1103515245u + 12345u;
    return (link->seed >> 8) % below;
}

static void on_request(void *data, size_t len, void *arg)
{
    struct link *link = arg;
    CU_ASSERT_FATAL(link->to_server_count < QUEUE);
    link->to_server[link->to_server_count++] = (struct message){data, len};
}

static void on_workload(struct mesh_workload *workload, void *arg)
{
    struct link *link = arg;
    int i = atoi(workload->uid + 1), revision = atoi(workload->name + strlen("revision-"));
    link->redundant += link->seen_workloads[i] == revision;
    link->seen_workloads[i] = revision;
}

static void on_policy(struct mesh_policy *policy, void *arg)
{
    struct link *link = arg;
    int i = atoi(policy->name + 1);
    int revision = policy->action == MESH_ACTION_DENY ? 2 : 1;
    link->redundant += link->seen_policies[i] == revision;
    link->seen_policies[i] = revision;
}

static void on_unreadable_policy(struct mesh_policy *policy, void *arg)
{
    (void)policy, (void)arg;
    CU_FAIL("the server encodes nothing that the client cannot read");
}

static void on_service(struct mesh_service *service, void *arg)
{
    (void)service, (void)arg;
}

static void on_removed_address(const char *name, void *arg)
{
    struct link *link = arg;
    link->redundant += link->seen_workloads[atoi(name + 1)] == 0;
    link->seen_workloads[atoi(name + 1)] = 0;
}

static void on_removed_policy(const char *key, void *arg)
{
    struct link *link = arg;
    const char *name = strchr(key, '/') + 2;
    link->redundant += link->seen_policies[atoi(name)] == 0;
    link->seen_policies[atoi(name)] = 0;
}

static void on_bundle(const struct xds_bundle *bundle, void *arg)
{
    (void)bundle, (void)arg;
}

static const struct xds_delta_events events = {
    .on_request = on_request,
    .on_workload = on_workload,
    .on_service = on_service,
    .on_policy = on_policy,
    .on_unreadable_policy = on_unreadable_policy,
    .on_removed_address = on_removed_address,
    .on_removed_policy = on_removed_policy,
    .on_bundle = on_bundle,
};

static void publish_workloads(struct link *link)
{
    struct xds_set *set = xds_set_new();
    bool changed;
    for (int i = 0; i < NAMES; i++) {
        char uid[16];
        snprintf(uid, sizeof uid, "w%d", i);
        if (link->workloads[i])
            xds_set_add(set, kit_workload(uid, link->workloads[i]), NULL);
    }
    CU_ASSERT_EQUAL(xds_store_update(&link->store, XDS_ADDRESS, set, &changed, NULL), ERR_OK);
}

static void publish_policies(struct link *link)
{
    struct xds_set *set = xds_set_new();
    bool changed;
    for (int i = 0; i < NAMES; i++) {
        char name[16];
        snprintf(name, sizeof name, "p%d", i);
        if (link->policies[i])
            xds_set_add(set, kit_policy(name, link->policies[i] == 2), NULL);
    }
    CU_ASSERT_EQUAL(xds_store_update(&link->store, XDS_AUTHORIZATION, set, &changed, NULL), ERR_OK);
}

static void change_something(struct link *link)
{
    for (unsigned n = 1 + roll(link, 4); n > 0; n--) {
        unsigned i = roll(link, NAMES);
        if (roll(link, 3))
            link->workloads[i] = (int)roll(link, 4);
        else
            link->policies[i] = (int)roll(link, 3);
    }
    publish_workloads(link);
    publish_policies(link);
}

/* The stream breaks; what was on the wire is lost. */
static void break_stream(struct link *link)
{
    for (size_t i = 0; i < link->to_server_count; i++)
        free(link->to_server[i].data);
    link->to_server_count = 0;
    xds_delta_server_free(link->stream);
    link->stream = NULL;
}

static void open_stream(struct link *link)
{
    if (link->stream)
        return;
    /* Small responses, so that most answers are split. */
    link->stream = xds_delta_server_new(&link->store, "shop", 400, &link->stats);
    CU_ASSERT_EQUAL(xds_delta_client_start(link->client, NULL), ERR_OK);
}

/* The server takes in the oldest request. */
static bool serve(struct link *link)
{
    if (!link->stream || link->to_server_count == 0)
        return false;
    struct message message = link->to_server[0];
    link->to_server_count--;
    memmove(link->to_server, link->to_server + 1, link->to_server_count * sizeof message);
    CU_ASSERT_EQUAL_FATAL(xds_delta_server_request(link->stream, message.data, message.len, NULL),
                          ERR_OK);
    free(message.data);
    return true;
}

/* The client takes in a response. */
static bool deliver(struct link *link)
{
    void *data = NULL;
    size_t len;
    if (!link->stream)
        return false;
    CU_ASSERT_FATAL(xds_delta_server_next(link->stream, &data, &len, NULL) == ERR_OK);
    if (!data)
        return false;
    CU_ASSERT_EQUAL(xds_delta_client_response(link->client, data, len, NULL), ERR_OK);
    free(data);
    return true;
}

static void prune(struct link *link)
{
    for (int i = 0; i < XDS_TYPE_COUNT; i++) {
        uint64_t place;
        bool started =
            link->stream && xds_delta_server_place(link->stream, (enum xds_type)i, &place);
        xds_store_prune(&link->store, (enum xds_type)i, started ? place : link->store.seq);
    }
}

static void settle_and_compare(struct link *link)
{
    open_stream(link);
    while (serve(link) || deliver(link))
        ;
    CU_ASSERT(xds_delta_client_ready(link->client));
    CU_ASSERT(memcmp(link->workloads, link->seen_workloads, sizeof link->workloads) == 0);
    CU_ASSERT(memcmp(link->policies, link->seen_policies, sizeof link->policies) == 0);
}

static void open_link(struct link *link, unsigned seed)
{
    const struct xds_delta_node node = {.id = KIT_NODE, .namespace = "shop", .cluster = ""};
    memset(link, 0, sizeof *link);
    link->seed = seed;
    xds_store_init(&link->store);
    link->client = xds_delta_client_new(&node, &events, link);
}

static void close_link(struct link *link)
{
    break_stream(link);
    xds_delta_client_free(link->client);
    xds_store_deinit(&link->store);
}

static void run(struct link *link, unsigned steps, bool breaks)
{
    for (unsigned step = 0; step < steps; step++) {
        switch (roll(link, 12)) {
        case 0:
        case 1:
            change_something(link);
            break;
        case 2:
            if (breaks && roll(link, 8) == 0)
                break_stream(link);
            break;
        case 3:
            open_stream(link);
            break;
        case 4:
            prune(link);
            break;
        case 5:
            if (roll(link, 20) == 0)
                settle_and_compare(link);
            break;
        default:
            if (roll(link, 2))
                serve(link);
            else
                deliver(link);
        }
    }
    settle_and_compare(link);
}

static void delta_brings_the_client_to_what_the_store_holds(void)
{
    for (unsigned seed = 1; seed <= 20; seed++) {
        struct link link;
        open_link(&link, seed);
        run(&link, 2000, false);
        /* Without broken streams nothing travels that the client has: a revision that went and came
         * back in between is the one exception that a stateless order of changes makes. */
        CU_ASSERT(link.redundant * 20 <= link.stats.resources_sent + link.stats.removals_sent);
        close_link(&link);
    }
}

static void delta_survives_streams_that_break_anywhere(void)
{
    for (unsigned seed = 100; seed < 120; seed++) {
        struct link link;
        open_link(&link, seed);
        run(&link, 2000, true);
        close_link(&link);
    }
}

static void delta_sends_only_what_changed(void)
{
    struct link link;
    open_link(&link, 1);
    for (int i = 0; i < NAMES; i++)
        link.workloads[i] = 1;
    publish_workloads(&link);
    settle_and_compare(&link);
    CU_ASSERT_EQUAL(link.stats.resources_sent, NAMES);
    CU_ASSERT_EQUAL(link.stats.removals_sent, 1); /* there is no ROOTCA here */
    link.workloads[7] = 2;
    link.workloads[8] = 0;
    publish_workloads(&link);
    settle_and_compare(&link);
    CU_ASSERT_EQUAL(link.stats.resources_sent, NAMES + 1);
    CU_ASSERT_EQUAL(link.stats.removals_sent, 2);
    /* A broken stream costs nothing when nothing changed meanwhile. */
    break_stream(&link);
    settle_and_compare(&link);
    CU_ASSERT_EQUAL(link.stats.resources_sent, NAMES + 1);
    CU_ASSERT_EQUAL(link.stats.removals_sent, 3); /* ROOTCA is asked for on every stream */
    /* And only the change when something did. */
    break_stream(&link);
    link.workloads[9] = 3;
    link.workloads[10] = 0;
    publish_workloads(&link);
    settle_and_compare(&link);
    CU_ASSERT_EQUAL(link.stats.resources_sent, NAMES + 2);
    CU_ASSERT_EQUAL(link.stats.removals_sent, 5);
    CU_ASSERT_EQUAL(link.redundant, 0);
    close_link(&link);
}

static void delta_brings_everything_again_to_a_client_that_lost_something(void)
{
    struct link link;
    open_link(&link, 1);
    for (int i = 0; i < NAMES; i++)
        link.workloads[i] = 1;
    publish_workloads(&link);
    settle_and_compare(&link);
    memset(link.seen_workloads, 0, sizeof link.seen_workloads);
    link.seen_workloads[3] = 1;
    xds_delta_client_forget(link.client);
    break_stream(&link);
    link.workloads[3] = 0;
    publish_workloads(&link);
    settle_and_compare(&link);
    close_link(&link);
}

static void delta_memory_does_not_grow_under_a_stalled_reader(void)
{
    struct link link;
    open_link(&link, 1);
    for (int i = 0; i < NAMES; i++)
        link.workloads[i] = 1;
    publish_workloads(&link);
    open_stream(&link);
    while (serve(&link))
        ;
    void *data;
    size_t len;
    CU_ASSERT_FATAL(xds_delta_server_next(link.stream, &data, &len, NULL) == ERR_OK);
    /* The client never answers this one; thousands of changes go by. */
    for (int round = 0; round < 2000; round++) {
        link.workloads[round % NAMES] = 2 + round;
        publish_workloads(&link);
        void *more;
        size_t more_len;
        CU_ASSERT_FATAL(xds_delta_server_next(link.stream, &more, &more_len, NULL) == ERR_OK);
        if (more) { /* the empty first answers of the other types */
            CU_ASSERT(more_len < 200);
            free(more);
        }
    }
    CU_ASSERT_EQUAL(link.store.lists[XDS_ADDRESS].count, NAMES);
    CU_ASSERT_EQUAL(link.store.lists[XDS_ADDRESS].id_count, NAMES);
    CU_ASSERT_EQUAL(link.store.lists[XDS_ADDRESS].tombstones, 0);
    size_t sent = link.stats.resources_sent;
    CU_ASSERT_EQUAL(xds_delta_client_response(link.client, data, len, NULL), ERR_OK);
    free(data);
    while (serve(&link) || deliver(&link))
        ;
    CU_ASSERT(memcmp(link.workloads, link.seen_workloads, sizeof link.workloads) == 0);
    CU_ASSERT(link.stats.resources_sent - sent <= NAMES); /* 2,000 changes merged into one each */
    close_link(&link);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(delta_brings_the_client_to_what_the_store_holds),
        SUITE_CASE(delta_survives_streams_that_break_anywhere),
        SUITE_CASE(delta_sends_only_what_changed),
        SUITE_CASE(delta_brings_everything_again_to_a_client_that_lost_something),
        SUITE_CASE(delta_memory_does_not_grow_under_a_stalled_reader),
        SUITE_END,
    };
    return suite_main("delta", cases, argc, argv);
}
