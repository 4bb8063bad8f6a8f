/* Who leads: two replicas of one program, a Lease on the stand-in API server, and clocks of the
 * test's. */
#include "control/kube_lease.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kube/bed.h"
#include "kube/shelf.h"

#define LEASE "/apis/coordination.k8s.io/v1/namespaces/handfast-system/leases/handfast-control"

static struct bed bed;
static struct shelf shelf;
static struct replica {
    struct kube_lease lease; /* first */
    struct kube_keeper keeper;
    unsigned led;
    bool closed;
} one, two;
static int64_t now_ms, wall_ms;

static void on_leading(struct kube_lease *lease)
{
    struct replica *replica = (struct replica *)lease;
    CU_ASSERT_TRUE(replica->keeper.leading);
    replica->led++;
}

static void on_closed(struct kube_lease *lease)
{
    ((struct replica *)lease)->closed = true;
}

static void replica_start(struct replica *replica, const char *holder)
{
    memset(replica, 0, sizeof *replica);
    replica->keeper = (struct kube_keeper){.client = bed.client, .ns = "handfast-system"};
    replica->lease = (struct kube_lease){.keeper = &replica->keeper,
                                         .timers = &bed.timers,
                                         .name = "handfast-control",
                                         .holder = holder,
                                         .on_leading = on_leading};
    kube_lease_start(&replica->lease);
}

static void replica_stop(struct replica *replica)
{
    kube_lease_close(&replica->lease, on_closed);
    CU_ASSERT_TRUE(bed_wait_flag(&bed, &replica->closed));
    CU_ASSERT_FALSE(replica->keeper.leading);
}

static void start(void)
{
    bed_start(&bed);
    bed_connect(&bed);
    shelf_start(&shelf, &bed.server);
    now_ms = clock_now_ms();
    wall_ms = clock_wall_ms();
    clock_fake(now_ms, wall_ms);
}

static void stop(void)
{
    clock_fake(0, -1);
    bed_stop(&bed);
    shelf_stop(&shelf);
}

static void later(int64_t ms)
{
    now_ms += ms;
    clock_fake(now_ms, wall_ms);
}

static bool is_idle(void *arg)
{
    const struct replica *replica = arg;
    return !replica->lease.call && replica->lease.timer.slot;
}

/* One round: until it waits for the next. */
static void settle(struct replica *replica)
{
    CU_ASSERT_TRUE_FATAL(bed_wait(&bed, is_idle, replica));
}

static bool has_asked(void *arg)
{
    const struct replica *replica = arg;
    return replica->lease.call != NULL;
}

static void go_round(struct replica *replica)
{
    CU_ASSERT_TRUE_FATAL(replica->lease.timer.slot);
    timer_start(&bed.timers, &replica->lease.timer, 0, replica->lease.timer.on_due);
    CU_ASSERT_TRUE_FATAL(bed_wait(&bed, has_asked, replica));
}

static void next(struct replica *replica)
{
    go_round(replica);
    settle(replica);
}

static void first_start(struct replica *replica, const char *holder)
{
    replica_start(replica, holder);
    CU_ASSERT_TRUE_FATAL(bed_wait(&bed, has_asked, replica));
    settle(replica);
}

static const char *holder(void)
{
    return shelf_text(&shelf, LEASE, "spec", "holderIdentity");
}

static json_int_t moves(void)
{
    const json_t *spec = json_object_get(shelf_get(&shelf, LEASE), "spec");
    return json_integer_value(json_object_get(spec, "leaseTransitions"));
}

/* --- taking it -------------------------------------------------------------------------------- */

static void first_replica_makes_the_lease_and_leads(void)
{
    start();
    first_start(&one, "one");
    CU_ASSERT_TRUE(one.keeper.leading);
    CU_ASSERT_EQUAL(one.led, 1);
    CU_ASSERT_STRING_EQUAL(holder(), "one");
    CU_ASSERT_STRING_EQUAL(shelf_text(&shelf, LEASE, "metadata", "namespace"), "handfast-system");
    char taken[64];
    snprintf(taken, sizeof taken, "%s", shelf_text(&shelf, LEASE, "spec", "acquireTime"));
    CU_ASSERT_EQUAL(strlen(taken), strlen("2026-11-25T10:00:00.000000Z"));
    next(&one);
    CU_ASSERT_EQUAL(one.led, 1);
    CU_ASSERT_EQUAL(shelf.writes, 2);
    CU_ASSERT_STRING_EQUAL(shelf_text(&shelf, LEASE, "spec", "acquireTime"), taken);
    CU_ASSERT_EQUAL(moves(), 0);
    replica_stop(&one);
    stop();
}

static void second_replica_waits_for_as_long_as_the_lease_is_renewed(void)
{
    start();
    first_start(&one, "one");
    first_start(&two, "two");
    for (int i = 0; i < 4; i++) {
        later(9000);
        next(&one);
        next(&two);
        CU_ASSERT_FALSE(two.keeper.leading);
    }
    later(9999);
    next(&two);
    CU_ASSERT_FALSE(two.keeper.leading);
    later(1);
    next(&two);
    CU_ASSERT_TRUE(two.keeper.leading);
    CU_ASSERT_STRING_EQUAL(holder(), "two");
    CU_ASSERT_EQUAL(moves(), 1);
    next(&one);
    CU_ASSERT_FALSE(one.keeper.leading);
    replica_stop(&one);
    CU_ASSERT_STRING_EQUAL(holder(), "two"); /* not its to give back */
    replica_stop(&two);
    stop();
}

static void replica_that_comes_second_at_a_write_does_not_lead(void)
{
    start();
    shelf.fail = 409;
    first_start(&one, "one");
    CU_ASSERT_FALSE(one.keeper.leading);
    shelf.fail = 0;
    next(&one);
    CU_ASSERT_TRUE(one.keeper.leading);
    shelf.fail = 409;
    next(&one);
    CU_ASSERT_FALSE(one.keeper.leading);
    replica_stop(&one);
    stop();
}

static void lease_that_was_given_back_is_taken_at_once(void)
{
    start();
    first_start(&one, "one");
    first_start(&two, "two");
    replica_stop(&one);
    CU_ASSERT_STRING_EQUAL(holder(), "");
    next(&two);
    CU_ASSERT_TRUE(two.keeper.leading);
    replica_stop(&two);
    stop();
}

static void odd_leases_are_taken_too(void)
{
    static const char *const odd[] = {"{}", "{'spec':null}", "{'spec':{'holderIdentity':''}}",
                                      "{'spec':{'holderIdentity':7,'leaseTransitions':'x'}}"};
    for (unsigned i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        char text[100];
        snprintf(text, sizeof text, "%s", odd[i]);
        for (char *at = text; *at; at++)
            *at = *at == '\'' ? '"' : *at;
        start();
        shelf_put(&shelf, LEASE, json_loads(text, 0, NULL));
        first_start(&one, "one");
        CU_ASSERT_TRUE(one.keeper.leading);
        CU_ASSERT_STRING_EQUAL(holder(), "one");
        replica_stop(&one);
        stop();
    }
}

/* --- giving it up ----------------------------------------------------------------------------- */

static void leader_yields_before_another_can_lead_even_while_a_call_hangs(void)
{
    start();
    first_start(&one, "one");
    CU_ASSERT_TRUE_FATAL(one.lease.yield.slot);
    int64_t due_ms = one.lease.yield.due_ms;
    CU_ASSERT_TRUE(due_ms - (int64_t)(uv_hrtime() / 1000000) <= LEASE_YIELD_MS);
    CU_ASSERT_TRUE(LEASE_YIELD_MS < LEASE_LIFE_S * 1000);
    shelf.hang_reads = true;
    go_round(&one);
    CU_ASSERT_TRUE(one.keeper.leading);
    CU_ASSERT_EQUAL(one.lease.yield.due_ms, due_ms); /* asking renews nothing */
    timer_start(&bed.timers, &one.lease.yield, 0, one.lease.yield.on_due);
    bed_idle(&bed, 0);
    later(0);
    uv_run(&bed.loop.uv, UV_RUN_ONCE);
    uv_run(&bed.loop.uv, UV_RUN_ONCE);
    CU_ASSERT_FALSE(one.keeper.leading);
    CU_ASSERT_PTR_NOT_NULL(one.lease.call);
    replica_stop(&one);
    stop();
}

static void renewal_counts_from_when_it_was_asked_for(void)
{
    start();
    first_start(&one, "one");
    /* The write is answered after 7 s: too late. */
    timer_start(&bed.timers, &one.lease.timer, 0, one.lease.timer.on_due);
    unsigned writes = shelf.writes;
    while (shelf.writes == writes)
        uv_run(&bed.loop.uv, UV_RUN_ONCE);
    later(LEASE_YIELD_MS);
    timer_stop(&bed.timers, &one.lease.yield);
    one.lease.yield.on_due(&one.lease.yield);
    settle(&one);
    CU_ASSERT_FALSE(one.keeper.leading);
    CU_ASSERT_EQUAL(one.led, 1); /* not for a moment */
    next(&one);
    CU_ASSERT_TRUE(one.keeper.leading);
    CU_ASSERT_EQUAL(one.led, 2);
    CU_ASSERT_TRUE(one.lease.yield.slot);
    replica_stop(&one);
    stop();
}

static void leader_goes_on_for_as_long_as_the_last_renewal_holds(void)
{
    start();
    first_start(&one, "one");
    shelf.fail = 500;
    next(&one);
    CU_ASSERT_TRUE(one.keeper.leading);
    CU_ASSERT_TRUE(one.lease.yield.slot);
    CU_ASSERT_EQUAL(one.keeper.failures, 1);
    replica_stop(&one);
    stop();
}

static void end_does_not_wait_for_a_server_that_hangs(void)
{
    start();
    first_start(&one, "one");
    shelf.hang_writes = true;
    kube_lease_close(&one.lease, on_closed);
    CU_ASSERT_FALSE(one.closed);
    CU_ASSERT_FALSE(one.keeper.leading);
    CU_ASSERT_TRUE(bed_wait_flag(&bed, &one.closed)); /* LEASE_GIVE_BACK_MS */
    CU_ASSERT_PTR_NULL(one.lease.call);
    stop();
}

static void end_of_one_that_does_not_lead_is_at_once(void)
{
    start();
    first_start(&one, "one");
    first_start(&two, "two");
    kube_lease_close(&two.lease, on_closed);
    CU_ASSERT_TRUE(two.closed);
    replica_stop(&one);
    stop();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(first_replica_makes_the_lease_and_leads),
        SUITE_CASE(second_replica_waits_for_as_long_as_the_lease_is_renewed),
        SUITE_CASE(replica_that_comes_second_at_a_write_does_not_lead),
        SUITE_CASE(lease_that_was_given_back_is_taken_at_once),
        SUITE_CASE(odd_leases_are_taken_too),
        SUITE_CASE(leader_yields_before_another_can_lead_even_while_a_call_hangs),
        SUITE_CASE(renewal_counts_from_when_it_was_asked_for),
        SUITE_CASE(leader_goes_on_for_as_long_as_the_last_renewal_holds),
        SUITE_CASE(end_does_not_wait_for_a_server_that_hangs),
        SUITE_CASE(end_of_one_that_does_not_lead_is_at_once),
        SUITE_END,
    };
    return suite_main("control/kube_lease", cases, argc, argv);
}
