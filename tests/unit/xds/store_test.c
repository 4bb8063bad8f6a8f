/* Sets of changes beside sets of everything, as a stream sees what comes of them. */
#include "xds/store.h"

#include "kit.h"
#include "suite.h"

static struct xds_store store;
static struct xds_server_stats stats;
static struct xds_delta_server *stream;

/* "a", "b" and "c", sent. */
static void setup(void)
{
    xds_store_init(&store);
    stats = (struct xds_server_stats){0};
    stream = xds_delta_server_new(&store, "shop", 0, &stats);
    CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
    kit_publish(&store, XDS_ADDRESS, kit_workload("a", 1), kit_workload("b", 1),
                kit_workload("c", 1), NULL);
    CU_ASSERT_EQUAL(kit_send(stream, &(const struct kit_request){.type_url = NULL}), ERR_OK);
    CU_ASSERT_STRING_EQUAL(kit_step(stream), "a,b,c");
}

static void teardown(void)
{
    xds_delta_server_free(stream);
    xds_store_deinit(&store);
}

static void add(struct xds_set *set, const char *name, int revision)
{
    CU_ASSERT_EQUAL(xds_set_add(set, kit_workload(name, revision), NULL), ERR_OK);
}

static bool update(struct xds_set *set)
{
    bool changed;
    CU_ASSERT_EQUAL(xds_store_update(&store, XDS_ADDRESS, set, &changed, NULL), ERR_OK);
    return changed;
}

static void set_of_changes_leaves_the_rest_as_it_is(void)
{
    setup();
    struct xds_set *set = xds_set_new_changes();
    add(set, "b", 2);
    add(set, "d", 1);
    CU_ASSERT_EQUAL(xds_set_remove(set, "a", NULL), ERR_OK);
    CU_ASSERT_EQUAL(xds_set_count(set), 3);
    CU_ASSERT_TRUE(update(set));
    CU_ASSERT_STRING_EQUAL(kit_step(stream), "b,d,-a");
    CU_ASSERT_EQUAL(store.lists[XDS_ADDRESS].count, 3);
    /* A set of everything after it knows them all. */
    kit_publish(&store, XDS_ADDRESS, kit_workload("b", 2), kit_workload("c", 1), NULL);
    CU_ASSERT_STRING_EQUAL(kit_step(stream), "-d");
    teardown();
}

static void set_of_changes_that_changes_nothing_sends_nothing(void)
{
    setup();
    CU_ASSERT_FALSE(update(xds_set_new_changes()));
    struct xds_set *set = xds_set_new_changes();
    add(set, "b", 1);
    CU_ASSERT_EQUAL(xds_set_remove(set, "unknown", NULL), ERR_OK);
    CU_ASSERT_FALSE(update(set));
    CU_ASSERT_STRING_EQUAL(kit_step(stream), "nothing");
    set = xds_set_new_changes();
    CU_ASSERT_EQUAL(xds_set_remove(set, "b", NULL), ERR_OK);
    CU_ASSERT_TRUE(update(set));
    set = xds_set_new_changes();
    CU_ASSERT_EQUAL(xds_set_remove(set, "b", NULL), ERR_OK);
    CU_ASSERT_FALSE(update(set));
    CU_ASSERT_STRING_EQUAL(kit_step(stream), "-b");
    teardown();
}

static void set_of_changes_means_what_it_was_told_last(void)
{
    setup();
    struct xds_set *set = xds_set_new_changes();
    CU_ASSERT_EQUAL(xds_set_remove(set, "a", NULL), ERR_OK);
    add(set, "a", 2);
    add(set, "b", 2);
    CU_ASSERT_EQUAL(xds_set_remove(set, "b", NULL), ERR_OK);
    CU_ASSERT_TRUE(update(set));
    CU_ASSERT_STRING_EQUAL(kit_step(stream), "a,-b");
    set = xds_set_new_changes();
    CU_ASSERT_EQUAL(xds_set_remove(set, "c", NULL), ERR_OK);
    xds_set_free(set);
    teardown();
}

static void removals_of_changes_are_remembered_up_to_the_limit(void)
{
    char name[2] = "a";
    setup();
    store.tombstones_max = 2;
    for (; name[0] <= 'c'; name[0]++) {
        struct xds_set *set = xds_set_new_changes();
        CU_ASSERT_EQUAL(xds_set_remove(set, name, NULL), ERR_OK);
        CU_ASSERT_TRUE(update(set));
    }
    CU_ASSERT_EQUAL(store.lists[XDS_ADDRESS].tombstones, 2);
    CU_ASSERT_EQUAL(store.lists[XDS_ADDRESS].names.count, 2);
    teardown();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(set_of_changes_leaves_the_rest_as_it_is),
        SUITE_CASE(set_of_changes_that_changes_nothing_sends_nothing),
        SUITE_CASE(set_of_changes_means_what_it_was_told_last),
        SUITE_CASE(removals_of_changes_are_remembered_up_to_the_limit),
        SUITE_END,
    };
    return suite_main("xds.store", cases, argc, argv);
}
