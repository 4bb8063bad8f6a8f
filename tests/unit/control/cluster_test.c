/* The cluster as a whole: when a mesh goes out, what is made anew for it, and that the order in
 * which objects came does not matter. */
#include "control/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "bed.h"
#include "control/cluster_compile.h"
#include "suite.h"

static struct bed bed;

/* --- when a mesh goes out --------------------------------------------------------------------- */

static void mesh_waits_for_every_kind_to_be_listed(void)
{
    bed_start_unsynced(&bed, false);
    bed_pod(&bed, "shop/web", (struct bed_pod){.ip = "10.1.0.1"});
    bed_put(&bed, CLUSTER_ISTIO_POLICIES, "shop/p", "{'spec': {}}"); /* is not read */
    for (int kind = CLUSTER_PODS; kind < CLUSTER_MTLS; kind++)
        cluster_synced(&bed.cluster, (enum cluster_kind)kind);
    CU_ASSERT_EQUAL(bed.cluster.settle.slot, 0);
    bed_policy(&bed, "shop/p", "{}");
    CU_ASSERT_EQUAL(bed.cluster.settle.slot, 0);
    cluster_synced(&bed.cluster, CLUSTER_MTLS);
    CU_ASSERT_EQUAL(bed.compiled, 0);
    CU_ASSERT_FALSE(cluster_is_published(&bed.cluster));
    bed_settle(&bed);
    CU_ASSERT_EQUAL(bed.compiled, 1);
    CU_ASSERT_TRUE(cluster_is_published(&bed.cluster));
    CU_ASSERT_STRING_EQUAL(bed_policies(&bed), "shop/p");
    CU_ASSERT_EQUAL(bed.tally.mesh_loads, 1);
    bed_stop(&bed);
}

static void mesh_of_an_empty_cluster_goes_out(void)
{
    bed_start(&bed);
    CU_ASSERT_EQUAL(bed.compiled, 1);
    CU_ASSERT_EQUAL(bed.workloads + bed.services + bed.policies, 0);
    bed_stop(&bed);
}

static void changes_that_come_together_go_out_together(void)
{
    char key[32], ip[32];
    bed_start(&bed);
    for (int i = 0; i < 50; i++) {
        snprintf(key, sizeof key, "shop/web-%d", i);
        snprintf(ip, sizeof ip, "10.1.0.%d", i + 1);
        bed_pod(&bed, key, (struct bed_pod){.ip = ip});
    }
    bed_settle(&bed);
    CU_ASSERT_EQUAL(bed.compiled, 2);
    CU_ASSERT_EQUAL(bed.workloads, 50);
    bed_stop(&bed);
}

/* How long the mesh is waited for after a change at `now_ms`, as the timer has it; how long the
 * test itself takes does not matter. */
static bool is_waited_for(int64_t now_ms, int64_t wait_ms)
{
    static bool ready;
    ready = !ready;
    int64_t before = (int64_t)(uv_hrtime() / 1000000);
    clock_fake(now_ms, 0);
    bed_pod(&bed, "shop/web", (struct bed_pod){.ip = "10.1.0.1", .unready = !ready});
    clock_fake(0, -1);
    int64_t after = (int64_t)(uv_hrtime() / 1000000), due = bed.cluster.settle.due_ms;
    return due >= before + wait_ms && due <= after + wait_ms;
}

static void changes_that_never_end_are_not_waited_for(void)
{
    bed_start(&bed);
    for (int64_t now = 0; now <= CLUSTER_SETTLE_MAX_MS + 50; now += CLUSTER_SETTLE_MS / 2) {
        int64_t left = CLUSTER_SETTLE_MAX_MS - now;
        left = left > CLUSTER_SETTLE_MS ? CLUSTER_SETTLE_MS : left;
        CU_ASSERT_TRUE(is_waited_for(5000 + now, left > 0 ? left : 0));
    }
    bed_settle(&bed);
    CU_ASSERT_EQUAL(bed.compiled, 2);
    /* The next change begins anew. */
    CU_ASSERT_TRUE(is_waited_for(90000, CLUSTER_SETTLE_MS));
    bed_stop(&bed);
}

static void object_that_says_the_same_sends_nothing(void)
{
    bed_start(&bed);
    for (int round = 0; round < 2; round++) {
        bed_pod(&bed, "shop/web", (struct bed_pod){.ip = "10.1.0.1"});
        bed_service(&bed, "shop/web", "10.96.0.1", "{'port': 80}");
        bed_slice(&bed, "shop/web-1", "web", 8080, bed_endpoint("10.1.0.1", "web"));
        bed_policy(&bed, "shop/p", "{'selector': {'matchLabels': {'app': 'web'}}}");
        bed_mtls(&bed, "shop/m", 0, "{'mtls': {'mode': 'STRICT'}}");
        bed_settle(&bed);
        CU_ASSERT_EQUAL(bed.compiled, 2);
        CU_ASSERT_EQUAL(bed.cluster.graph.encoded, 2); /* not even tried again */
        CU_ASSERT_EQUAL(bed.verdict_count, round == 0 ? 2 : 0);
    }
    /* A new generation is told of, and nothing is sent for it. */
    bed_put(&bed, CLUSTER_POLICIES, "shop/p",
            "{'metadata': {'generation': 2}, 'spec': {'selector': {'matchLabels': {'app': "
            "'web'}}}}");
    bed_settle(&bed);
    CU_ASSERT_EQUAL(bed.compiled, 2);
    CU_ASSERT_EQUAL(bed.verdict_count, 1);
    CU_ASSERT_EQUAL(bed.verdicts[0].generation, 2);
    bed_stop(&bed);
}

static void verdicts_are_told_again_to_who_asks(void)
{
    bed_start(&bed);
    bed_policy(&bed, "shop/p", "{}");
    bed_mtls(&bed, "shop/m", 0, "{}");
    bed_settle(&bed);
    CU_ASSERT_EQUAL(bed.verdict_count, 2);
    cluster_report(&bed.cluster);
    bed_settle(&bed);
    CU_ASSERT_EQUAL(bed.verdict_count, 2);
    CU_ASSERT_EQUAL(bed.compiled, 2);
    bed_stop(&bed);
}

/* What proxies are fed from may be out of memory: then all records come again. */
static void mesh_that_was_lost_comes_again_as_a_whole(void)
{
    bed_start(&bed);
    bed_pod(&bed, "shop/a", (struct bed_pod){.ip = "10.1.0.1"});
    bed.failures = 1;
    bed_settle(&bed);
    CU_ASSERT_EQUAL(bed.tally.mesh_load_failures, 1);
    CU_ASSERT_PTR_NOT_NULL(bed_workload(&bed, "shop/a"));
    CU_ASSERT_EQUAL(bed.failures, 0);
    bed_stop(&bed);
}

/* --- what is made anew ------------------------------------------------------------------------ */

enum { PODS = 200 };

static const struct xds_resource *resource_of(int pod)
{
    char key[32];
    snprintf(key, sizeof key, "shop/web-%d", pod);
    const struct cluster_workload *workload = map_get_str(&bed.cluster.graph.pods, key);
    CU_ASSERT_PTR_NOT_NULL_FATAL(workload);
    return workload->resource;
}

static void put_numbered(int pod, const char *labels)
{
    char key[32], ip[32];
    snprintf(key, sizeof key, "shop/web-%d", pod);
    snprintf(ip, sizeof ip, "10.1.%d.%d", pod / 200, pod % 200 + 1);
    bed_pod(&bed, key, (struct bed_pod){.ip = ip, .labels = labels});
}

/* The records that were made for the last change, once it has gone out. */
static uint64_t encoded(void)
{
    static uint64_t before;
    bed_settle(&bed);
    uint64_t count = bed.cluster.graph.encoded - before;
    before = bed.cluster.graph.encoded;
    return count;
}

static void change_makes_anew_what_depends_on_it_and_nothing_else(void)
{
    const struct xds_resource *before[PODS];
    bed_start(&bed);
    for (int i = 0; i < PODS; i++)
        put_numbered(i, "'app': 'web'");
    bed_service(&bed, "shop/web", "10.96.0.1", "{'port': 80}");
    bed_slice(&bed, "shop/web-1", "web", 8080, bed_endpoint("10.1.0.1", "web-0"));
    encoded();
    for (int i = 0; i < PODS; i++)
        before[i] = resource_of(i);
    put_numbered(7, "'app': 'web', 'version': 'v2'");
    CU_ASSERT_EQUAL(encoded(), 1);
    bed_policy(&bed, "shop/p", "{}"); /* of the namespace: no record names it */
    CU_ASSERT_EQUAL(encoded(), 0);
    bed_mtls(&bed, "shop/m", 0, "{'mtls': {'mode': 'STRICT'}}");
    CU_ASSERT_EQUAL(encoded(), 0);
    bed_policy(&bed, "shop/p", "{'selector': {'matchLabels': {'version': 'v2'}}}");
    CU_ASSERT_EQUAL(encoded(), 1);
    bed_slice(&bed, "shop/web-1", "web", 8080, bed_endpoint("10.1.0.10", "web-9"));
    CU_ASSERT_EQUAL(encoded(), 3); /* the service, who left it and who joined it */
    bed_remove(&bed, CLUSTER_PODS, "shop/web-8");
    CU_ASSERT_EQUAL(encoded(), 0);
    for (int i = 0; i < PODS; i++) {
        if (i != 0 && i != 7 && i != 8 && i != 9)
            CU_ASSERT_PTR_EQUAL(resource_of(i), before[i]);
    }
    CU_ASSERT_EQUAL(bed.workloads, PODS - 1);
    bed_stop(&bed);
}

/* --- the order in which objects come ---------------------------------------------------------- */

static uint64_t random_state;

static unsigned dice(unsigned sides)
{
    random_state = random_state * 6364136223846793005u + 1442695040888963407u;
    return (unsigned)(random_state >> 33) % sides;
}

enum { NAMES = 8, OBJECTS = CLUSTER_KINDS * 2 * NAMES };

/* The objects that are there now. */
struct world {
    json_t *objects[OBJECTS];
};

static enum cluster_kind kind_of(unsigned object)
{
    return (enum cluster_kind)(object / (2 * NAMES));
}

static const char *key_of(unsigned object)
{
    static char key[32];
    enum cluster_kind kind = kind_of(object);
    bool policy = kind >= CLUSTER_POLICIES;
    const char *second = !policy                          ? "bank"
                         : kind >= CLUSTER_ISTIO_POLICIES ? BED_ISTIO_ROOT
                                                          : BED_ROOT;
    snprintf(key, sizeof key, "%s/o%u", object / NAMES % 2 ? second : "shop", object % NAMES);
    return key;
}

static json_t *random_pod(const char *key)
{
    static const char *const ips[] = {NULL,       "10.1.0.1", "10.1.0.2", "10.1.0.3",
                                      "10.1.0.4", "10.1.0.5", "10.1.0.6"};
    static const char *const labels[] = {"'app': 'web'", "'app': 'db'", "'app': 'web', 'x': 'y'"};
    static const char *const created[] = {"2026-08-01T10:00:00Z", "2026-08-01T11:00:00Z"};
    return bed_pod_json(key, (struct bed_pod){.ip = ips[dice(7)],
                                              .ip6 = dice(4) ? NULL : "fd00:1::1",
                                              .labels = labels[dice(3)],
                                              .created = created[dice(2)],
                                              .phase = dice(8) ? "Running" : "Failed",
                                              .plain = dice(4) == 0,
                                              .host = dice(5) == 0,
                                              .unready = dice(4) == 0,
                                              .terminating = dice(4) == 0});
}

static json_t *random_service(void)
{
    static const char *const ports[] = {"{'port': 80, 'targetPort': 8080}",
                                        "{'name': 'a', 'port': 80}, {'name': 'b', 'port': 81}",
                                        "{'name': 'b', 'port': 80}, {'name': 'a', 'port': 81}"};
    return bed_json("{'spec': {'type': '%s', 'clusterIPs': ['10.96.0.%u'], %s 'ports': [%s], "
                    "'publishNotReadyAddresses': %s}}",
                    dice(6) ? "ClusterIP" : "ExternalName", 1 + dice(3),
                    dice(2) ? "'selector': {'app': 'web'}," : "", ports[dice(3)],
                    dice(4) ? "false" : "true");
}

static json_t *random_slice(void)
{
    static const char *const conditions[] = {
        "", "'ready': true", "'ready': false",
        "'ready': false, 'serving': true, 'terminating': true"};
    static const char *const ports[] = {"{'port': 8080}", "{'name': 'a', 'port': 7070}",
                                        "{'name': 'a', 'port': 7071}, {'name': 'b', 'port': 9}"};
    char endpoints[1024] = "";
    size_t used = 0;
    for (unsigned i = dice(5); i > 0; i--) {
        char ip[32], pod[32];
        snprintf(ip, sizeof ip, "10.1.0.%u", 1 + dice(8));
        snprintf(pod, sizeof pod, "o%u", dice(NAMES));
        used +=
            (size_t)snprintf(endpoints + used, sizeof endpoints - used, "%s%s", used ? ", " : "",
                             bed_endpoint_that(ip, dice(3) ? pod : "", conditions[dice(4)]));
    }
    return bed_json("{'metadata': {'labels': {'kubernetes.io/service-name': 'o%u'}}, "
                    "'addressType': 'IPv4', 'ports': [%s], 'endpoints': [%s]}",
                    dice(NAMES), ports[dice(3)], endpoints);
}

static json_t *random_policy(void)
{
    static const char *const selectors[] = {"", "'selector': {'matchLabels': {'app': 'web'}},",
                                            "'selector': {'matchLabels': {'x': 'y'}},"};
    static const char *const actions[] = {"ALLOW", "DENY", "AUDIT"};
    return bed_json("{'metadata': {'generation': %u}, 'spec': {%s 'action': '%s', 'rules': [{'to': "
                    "[{'operation': {'ports': ['%u']}}]}]}}",
                    dice(3), selectors[dice(3)], actions[dice(3)], 1 + dice(3));
}

static json_t *random_mtls(void)
{
    static const char *const selectors[] = {"", "'selector': {'matchLabels': {'app': 'web'}},"};
    static const char *const modes[] = {"UNSET", "STRICT", "PERMISSIVE"};
    return bed_json("{'metadata': {'creationTimestamp': '2026-08-01T10:0%u:00Z'}, 'spec': {%s "
                    "'mtls': {'mode': '%s'}, 'portLevelMtls': {'%u': {'mode': '%s'}}}}",
                    dice(4), selectors[dice(2)], modes[dice(3)], 1 + dice(3), modes[dice(3)]);
}

static json_t *random_object(unsigned object)
{
    switch (kind_of(object)) {
    case CLUSTER_PODS:
        return random_pod(key_of(object));
    case CLUSTER_SERVICES:
        return random_service();
    case CLUSTER_SLICES:
        return random_slice();
    case CLUSTER_POLICIES:
    case CLUSTER_ISTIO_POLICIES:
        return random_policy();
    default:
        return random_mtls();
    }
}

static void put_object(struct cluster *cluster, const struct world *world, unsigned object)
{
    if (world->objects[object])
        CU_ASSERT_EQUAL(
            cluster_put(cluster, kind_of(object), key_of(object), world->objects[object], NULL),
            ERR_OK);
}

static void change(struct cluster *cluster, struct world *world)
{
    unsigned object = dice(OBJECTS);
    json_decref(world->objects[object]);
    world->objects[object] = dice(4) ? random_object(object) : NULL;
    if (world->objects[object])
        put_object(cluster, world, object);
    else
        cluster_remove(cluster, kind_of(object), key_of(object));
}

static void compile_into(struct cluster *cluster, struct xds_store *store)
{
    struct compiled compiled;
    bool changed;
    struct err err;
    CU_ASSERT_EQUAL_FATAL(cluster_compile(&cluster->graph, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(cluster_compile_take(&cluster->graph, &compiled, &err), ERR_OK);
    struct xds_set *policies = xds_set_new();
    for (unsigned i = 0; i < compiled.policy_count; i++)
        xds_set_add(policies, xds_resource_ref(compiled.policies[i].resource), NULL);
    xds_store_update(store, XDS_ADDRESS, compiled.addresses, &changed, NULL);
    xds_store_update(store, XDS_AUTHORIZATION, policies, &changed, NULL);
    compiled.addresses = NULL;
    compiled_deinit(&compiled);
}

static bool has_all(const struct xds_list *list, const struct xds_list *of)
{
    for (const struct xds_entry *entry = of->oldest; entry; entry = entry->newer) {
        if (entry->gone)
            continue;
        const struct xds_entry *other = xds_list_find(list, entry->resource->name);
        if (!other || other->resource->hash != entry->resource->hash) {
            fprintf(stderr, "\n%s is %s\n", entry->resource->name, other ? "different" : "missing");
            return false;
        }
    }
    return true;
}

/* A cluster that gets the same objects at once, in another order, comes to the same as what the
 * changes of this one have come to in bed.store. */
static bool comes_to_the_same(struct cluster *cluster, const struct world *world)
{
    struct cluster other;
    struct xds_store store;
    unsigned order[OBJECTS];
    const struct xds_list *left = bed.store.lists, *right = store.lists;
    cluster_init(&other, &cluster->config, cluster->timers, cluster->tally, &cluster->events, &bed);
    for (unsigned i = 0; i < OBJECTS; i++) {
        unsigned place = dice(i + 1);
        order[i] = order[place];
        order[place] = i;
    }
    for (unsigned i = 0; i < OBJECTS; i++)
        put_object(&other, world, order[i]);
    xds_store_init(&store);
    compile_into(cluster, &bed.store);
    compile_into(&other, &store);
    bool same = true;
    for (int type = 0; type < XDS_SECRET; type++)
        same = same && has_all(&left[type], &right[type]) && has_all(&right[type], &left[type]);
    xds_store_deinit(&store);
    cluster_deinit(&other);
    return same;
}

static void world_deinit(struct world *world)
{
    for (unsigned i = 0; i < OBJECTS; i++)
        json_decref(world->objects[i]);
}

static void mesh_does_not_depend_on_how_the_cluster_came_to_be(void)
{
    bool same = true;
    for (unsigned seed = 1; same && seed <= 20; seed++) {
        struct world world = {0};
        struct err err;
        random_state = seed;
        bed_start_unsynced(&bed, true);
        for (unsigned step = 0; same && step < 300; step++) {
            change(&bed.cluster, &world);
            if (dice(3) == 0)
                CU_ASSERT_EQUAL(cluster_compile(&bed.cluster.graph, &err), ERR_OK);
            if (dice(6) == 0)
                compile_into(&bed.cluster, &bed.store);
            if (step % 20 == 19)
                same = comes_to_the_same(&bed.cluster, &world);
            if (!same)
                fprintf(stderr, "seed %u, step %u\n", seed, step);
        }
        world_deinit(&world);
        bed_stop(&bed);
    }
    CU_ASSERT_TRUE(same);
}

static void cluster_that_is_emptied_leaves_nothing_behind(void)
{
    struct world world = {0};
    struct err err;
    random_state = 7;
    bed_start_unsynced(&bed, true);
    for (unsigned step = 0; step < 500; step++)
        change(&bed.cluster, &world);
    CU_ASSERT_EQUAL(cluster_compile(&bed.cluster.graph, &err), ERR_OK);
    for (unsigned object = 0; object < OBJECTS; object++)
        cluster_remove(&bed.cluster, kind_of(object), key_of(object));
    CU_ASSERT_EQUAL(cluster_compile(&bed.cluster.graph, &err), ERR_OK);
    const struct cluster_graph *graph = &bed.cluster.graph;
    CU_ASSERT_EQUAL(graph->pods.count + graph->externals.count + graph->places.count, 0);
    CU_ASSERT_EQUAL(graph->slots.count + graph->slices.count, 0);
    CU_ASSERT_EQUAL(graph->namespaces.count, 0);
    CU_ASSERT_EQUAL(graph->guards.count, 0);
    world_deinit(&world);
    bed_stop(&bed);
}

/* --- objects that are not what they should be ------------------------------------------------- */

static json_t *nonsense(void)
{
    switch (dice(9)) {
    case 0:
        return json_null();
    case 1:
        return json_integer((json_int_t)dice(100000) - 50000);
    case 2:
        return json_string("");
    case 3:
        return json_string("*nonsense*/with a star");
    case 4:
        return json_array();
    case 5:
        return json_pack("[[], {}, s, i, n]", "x", 7);
    case 6:
        return json_object();
    case 7:
        return json_pack("{s: {s: []}}", "source", "principals");
    default:
        return json_true();
    }
}

/* Puts nonsense somewhere into the object. */
static void spoil(json_t *json, unsigned depth)
{
    const char *key;
    json_t *value;
    size_t index;
    if (json_is_object(json) && json_object_size(json) > 0) {
        unsigned chosen = dice((unsigned)json_object_size(json));
        json_object_foreach(json, key, value)
        {
            if (chosen-- > 0)
                continue;
            if (depth == 0 || !json_is_object(value) || dice(3) == 0)
                json_object_set_new(json, key, nonsense());
            else
                spoil(value, depth - 1);
            return;
        }
    }
    if (json_is_array(json) && json_array_size(json) > 0) {
        index = dice((unsigned)json_array_size(json));
        if (dice(3) == 0)
            json_array_set_new(json, index, nonsense());
        else
            spoil(json_array_get(json, index), depth);
    }
}

static void nonsense_is_survived_and_leaves_no_trace(void)
{
    struct world world = {0};
    struct err err;
    random_state = 11;
    bed_start_unsynced(&bed, true);
    for (unsigned step = 0; step < 4000; step++) {
        unsigned object = dice(OBJECTS);
        json_t *json = random_object(object);
        for (unsigned i = 1 + dice(3); i > 0; i--)
            spoil(json, dice(6));
        CU_ASSERT_EQUAL(cluster_put(&bed.cluster, kind_of(object), key_of(object), json, NULL),
                        ERR_OK);
        json_decref(json);
        if (step % 10 == 0)
            CU_ASSERT_EQUAL(cluster_compile(&bed.cluster.graph, &err), ERR_OK);
    }
    for (unsigned object = 0; object < OBJECTS; object++) {
        world.objects[object] = random_object(object);
        put_object(&bed.cluster, &world, object);
    }
    CU_ASSERT_TRUE(comes_to_the_same(&bed.cluster, &world));
    world_deinit(&world);
    bed_stop(&bed);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(mesh_waits_for_every_kind_to_be_listed),
        SUITE_CASE(mesh_of_an_empty_cluster_goes_out),
        SUITE_CASE(changes_that_come_together_go_out_together),
        SUITE_CASE(changes_that_never_end_are_not_waited_for),
        SUITE_CASE(object_that_says_the_same_sends_nothing),
        SUITE_CASE(verdicts_are_told_again_to_who_asks),
        SUITE_CASE(mesh_that_was_lost_comes_again_as_a_whole),
        SUITE_CASE(change_makes_anew_what_depends_on_it_and_nothing_else),
        SUITE_CASE(mesh_does_not_depend_on_how_the_cluster_came_to_be),
        SUITE_CASE(cluster_that_is_emptied_leaves_nothing_behind),
        SUITE_CASE(nonsense_is_survived_and_leaves_no_trace),
        SUITE_END,
    };
    return suite_main("control.cluster", cases, argc, argv);
}
