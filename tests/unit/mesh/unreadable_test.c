#include "mesh/unreadable.h"

#include <string.h>

#include "mesh/authorize.h"
#include "mesh/builder.h"
#include "suite.h"

#define CLIENT "spiffe://mesh.test/ns/apps/sa/client"

static const char why[] = "rules[0]: Match has field 14";

/* --- a mesh of shop/web, which names shop/named, and jobs/batch, which names nothing --- */

struct world {
    struct mesh_snapshot *snapshot;
};

static struct mesh_builder *change(struct world *world)
{
    struct mesh_builder *builder = mesh_builder_new(world->snapshot);
    CU_ASSERT_PTR_NOT_NULL_FATAL(builder);
    mesh_snapshot_unref(world->snapshot);
    return builder;
}

static void done(struct world *world, struct mesh_builder *builder)
{
    CU_ASSERT_FATAL(mesh_builder_finish(builder, &world->snapshot, NULL) == ERR_OK);
}

static void add_workload(struct mesh_builder *builder, const char *uid, const char *space,
                         const char *policy)
{
    struct mesh_workload *workload;
    const struct mesh_workload from = {
        .uid = uid, .namespace = space, .policies = &policy, .policy_count = policy != NULL};
    CU_ASSERT_FATAL(mesh_workload_new(&from, &workload, NULL) == ERR_OK);
    CU_ASSERT(mesh_builder_put_workload(builder, workload));
    mesh_workload_unref(workload);
}

static void open_world(struct world *world)
{
    world->snapshot = mesh_snapshot_new("mesh.test");
    struct mesh_builder *builder = change(world);
    add_workload(builder, "web", "shop", "shop/named");
    add_workload(builder, "batch", "jobs", NULL);
    done(world, builder);
}

static void close_world(struct world *world)
{
    mesh_snapshot_unref(world->snapshot);
}

static void put_unreadable(struct world *world, const struct mesh_unreadable *from)
{
    struct mesh_policy *policy;
    struct mesh_builder *builder = change(world);
    CU_ASSERT_FATAL(mesh_unreadable_new(from, &policy, NULL) == ERR_OK);
    CU_ASSERT(mesh_builder_put_unreadable(builder, policy));
    mesh_policy_unref(policy);
    done(world, builder);
}

/* One that matches everybody. */
static void put_good(struct world *world, const char *name, enum mesh_scope scope,
                     enum mesh_action action)
{
    struct mesh_policy *policy;
    const struct mesh_rule everybody = {0};
    const struct mesh_policy from = {.name = name,
                                     .namespace = "shop",
                                     .scope = scope,
                                     .action = action,
                                     .rules = &everybody,
                                     .rule_count = 1};
    struct mesh_builder *builder = change(world);
    CU_ASSERT_FATAL(mesh_policy_new(&from, &policy, NULL) == ERR_OK);
    CU_ASSERT(mesh_builder_put_policy(builder, policy));
    mesh_policy_unref(policy);
    done(world, builder);
}

static void remove_policy(struct world *world, const char *key)
{
    struct mesh_builder *builder = change(world);
    CU_ASSERT(mesh_builder_remove_policy(builder, key));
    done(world, builder);
}

static const struct mesh_request request = {
    .destination_port = 8080, .principal = CLIENT, .principal_len = sizeof CLIENT - 1};

static struct mesh_verdict ask(const struct world *world, const char *uid)
{
    struct mesh_verdict verdict;
    mesh_authorize(world->snapshot, mesh_find_workload(world->snapshot, uid), &request, &verdict);
    return verdict;
}

#define EXPECT(world, uid, expected_decision, expected_reason)                                     \
    do {                                                                                           \
        struct mesh_verdict verdict = ask(world, uid);                                             \
        CU_ASSERT_EQUAL(verdict.decision, expected_decision);                                      \
        CU_ASSERT_EQUAL(verdict.reason, expected_reason);                                          \
    } while (0)

/* --- whom it holds --- */

static void unreadable_policy_holds_everybody_whom_it_may_guard(void)
{
    struct world world;
    open_world(&world);
    put_good(&world, "named", MESH_SCOPE_WORKLOAD, MESH_ACTION_ALLOW);
    put_unreadable(&world, &(struct mesh_unreadable){.key = "shop/p",
                                                     .namespace = "shop",
                                                     .scope = MESH_SCOPE_NAMESPACE,
                                                     .why = why});
    EXPECT(&world, "web", MESH_PENDING, MESH_REASON_UNREADABLE);
    EXPECT(&world, "batch", MESH_ALLOW, MESH_REASON_NO_POLICY);
    CU_ASSERT_EQUAL(mesh_unreadable_count(world.snapshot), 1);
    remove_policy(&world, "shop/p");
    EXPECT(&world, "web", MESH_ALLOW, MESH_REASON_ALLOW_MATCH);
    CU_ASSERT_EQUAL(mesh_unreadable_count(world.snapshot), 0);

    put_unreadable(&world, &(struct mesh_unreadable){.key = "root/p", .why = why});
    EXPECT(&world, "web", MESH_PENDING, MESH_REASON_UNREADABLE);
    EXPECT(&world, "batch", MESH_PENDING, MESH_REASON_UNREADABLE);
    close_world(&world);
}

static void unreadable_policy_of_a_selector_holds_who_names_it(void)
{
    struct world world;
    open_world(&world);
    EXPECT(&world, "web", MESH_PENDING, MESH_REASON_MISSING);
    put_unreadable(&world, &(struct mesh_unreadable){
                               .key = "shop/other", .scope = MESH_SCOPE_WORKLOAD, .why = why});
    EXPECT(&world, "web", MESH_PENDING, MESH_REASON_MISSING);
    put_unreadable(&world, &(struct mesh_unreadable){
                               .key = "shop/named", .scope = MESH_SCOPE_WORKLOAD, .why = why});
    EXPECT(&world, "web", MESH_PENDING, MESH_REASON_UNREADABLE);
    EXPECT(&world, "batch", MESH_ALLOW, MESH_REASON_NO_POLICY);
    close_world(&world);
}

static void unreadable_policy_yields_to_a_deny_that_matches(void)
{
    struct world world;
    open_world(&world);
    put_unreadable(&world, &(struct mesh_unreadable){.key = "/p", .why = why});
    put_good(&world, "deny", MESH_SCOPE_NAMESPACE, MESH_ACTION_DENY);
    EXPECT(&world, "web", MESH_DENY, MESH_REASON_DENY_MATCH);
    close_world(&world);
}

static void unreadable_dry_run_holds_nobody(void)
{
    struct world world;
    open_world(&world);
    put_unreadable(&world, &(struct mesh_unreadable){.key = "/p", .dry_run = true, .why = why});
    EXPECT(&world, "batch", MESH_ALLOW, MESH_REASON_NO_POLICY);
    CU_ASSERT_EQUAL(mesh_unreadable_count(world.snapshot), 1);
    close_world(&world);
}

/* --- what takes its place, and whose it takes --- */

static void unreadable_policy_leaves_the_last_good_one_in_force(void)
{
    struct world world;
    open_world(&world);
    put_good(&world, "named", MESH_SCOPE_WORKLOAD, MESH_ACTION_ALLOW);
    put_unreadable(&world, &(struct mesh_unreadable){
                               .key = "shop/named", .scope = MESH_SCOPE_WORKLOAD, .why = why});
    EXPECT(&world, "web", MESH_ALLOW, MESH_REASON_ALLOW_MATCH);
    CU_ASSERT_EQUAL(mesh_unreadable_count(world.snapshot), 0);
    close_world(&world);
}

static void unreadable_policy_gives_way_to_one_that_can_be_read(void)
{
    struct world world;
    open_world(&world);
    put_unreadable(&world, &(struct mesh_unreadable){
                               .key = "shop/named", .scope = MESH_SCOPE_WORKLOAD, .why = why});
    put_unreadable(&world, &(struct mesh_unreadable){.key = "shop/named",
                                                     .scope = MESH_SCOPE_WORKLOAD,
                                                     .why = "another reason"});
    CU_ASSERT_STRING_EQUAL(ask(&world, "web").policy->unreadable, "another reason");
    put_good(&world, "named", MESH_SCOPE_WORKLOAD, MESH_ACTION_ALLOW);
    EXPECT(&world, "web", MESH_ALLOW, MESH_REASON_ALLOW_MATCH);
    close_world(&world);
}

static void unreadable_policy_is_named_in_the_sentence(void)
{
    char text[MESH_VERDICT_TEXT_MAX];
    struct world world;
    open_world(&world);
    put_unreadable(&world, &(struct mesh_unreadable){.key = "no-slash", .why = why});
    struct mesh_verdict verdict = ask(&world, "batch");
    CU_ASSERT_STRING_EQUAL(mesh_verdict_format(&verdict, &request, text),
                           "policy no-slash could not be read by this proxy (rules[0]: Match has "
                           "field 14): " CLIENT " has to wait");
    CU_ASSERT_STRING_EQUAL(verdict.policy->name, "no-slash");
    close_world(&world);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(unreadable_policy_holds_everybody_whom_it_may_guard),
        SUITE_CASE(unreadable_policy_of_a_selector_holds_who_names_it),
        SUITE_CASE(unreadable_policy_yields_to_a_deny_that_matches),
        SUITE_CASE(unreadable_dry_run_holds_nobody),
        SUITE_CASE(unreadable_policy_leaves_the_last_good_one_in_force),
        SUITE_CASE(unreadable_policy_gives_way_to_one_that_can_be_read),
        SUITE_CASE(unreadable_policy_is_named_in_the_sentence),
        SUITE_END,
    };
    return suite_main("unreadable", cases, argc, argv);
}
