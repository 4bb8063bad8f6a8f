/* The trust bundle in every namespace that asks for it. */
#include "control/kube_trust.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/bed.h"
#include "kube/shelf.h"

#define SPACE(ns) "/api/v1/namespaces/" ns
#define MAP(ns) "/api/v1/namespaces/" ns "/configmaps/handfast-ca-root-cert"
#define OWN "handfast-system"

static struct bed bed;
static struct shelf shelf;
static struct kube_keeper keeper;
static struct kube_trust trust;

static void start(bool leading)
{
    struct err err;
    bed_start(&bed);
    bed_connect(&bed);
    shelf_start(&shelf, &bed.server);
    keeper = (struct kube_keeper){.client = bed.client, .ns = OWN, .leading = leading};
    trust = (struct kube_trust){.keeper = &keeper, .timers = &bed.timers};
    CU_ASSERT_EQUAL_FATAL(kube_trust_start(&trust, &err), ERR_OK);
}

static void set(const char *pem)
{
    struct err err;
    CU_ASSERT_EQUAL(kube_trust_set(&trust, pem, &err), ERR_OK);
}

static void stop(void)
{
    kube_trust_close(&trust);
    kube_trust_close(&trust); /* twice is harmless */
    bed_stop(&bed);
    shelf_stop(&shelf);
}

static const char *held(const char *map)
{
    return shelf_text(&shelf, map, "data", "root-cert.pem");
}

struct want {
    const char *map, *text;
};

static bool holds(void *arg)
{
    const struct want *want = arg;
    return strcmp(held(want->map), want->text) == 0 && trust.calls == 0;
}

static void wait_held(const char *map, const char *text)
{
    struct want want = {map, text};
    CU_ASSERT_TRUE_FATAL(bed_wait(&bed, holds, &want));
}

static void bundle_goes_to_our_own_namespace_and_those_that_ask(void)
{
    start(true);
    shelf_put(&shelf, SPACE("shop"), json_object());
    set("ROOT");
    wait_held(MAP(OWN), "ROOT");
    wait_held(MAP("shop"), "ROOT");
    shelf_put(&shelf, SPACE("late"), json_object());
    wait_held(MAP("late"), "ROOT");
    bed_idle(&bed, 50);
    CU_ASSERT_EQUAL(shelf.writes, 3); /* and not again when the watch brings our own writes */
    set("ROOT2");
    wait_held(MAP(OWN), "ROOT2");
    wait_held(MAP("shop"), "ROOT2");
    wait_held(MAP("late"), "ROOT2");
    stop();
}

static void only_the_leader_writes(void)
{
    start(false);
    shelf_put(&shelf, SPACE("shop"), json_object());
    set("ROOT");
    bed_idle(&bed, 50);
    CU_ASSERT_EQUAL(shelf.writes, 0);
    keeper.leading = true;
    kube_trust_check(&trust);
    wait_held(MAP("shop"), "ROOT");
    stop();
}

static void bundle_that_somebody_changed_or_deleted_is_put_right(void)
{
    start(true);
    set("ROOT");
    wait_held(MAP(OWN), "ROOT");
    shelf_put(&shelf, MAP(OWN), json_pack("{s:{s:s}}", "data", "root-cert.pem", "EVIL"));
    wait_held(MAP(OWN), "ROOT");
    shelf_put(&shelf, MAP(OWN), json_pack("{s:i}", "data", 7));
    wait_held(MAP(OWN), "ROOT");
    shelf_delete(&shelf, MAP(OWN));
    wait_held(MAP(OWN), "ROOT");
    stop();
}

static void namespace_that_ends_or_asks_no_more_is_left_alone(void)
{
    start(true);
    set("ROOT");
    shelf_put(&shelf, SPACE("shop"), json_object());
    wait_held(MAP("shop"), "ROOT");
    shelf_put(&shelf, SPACE("ends"), json_pack("{s:{s:s}}", "status", "phase", "Terminating"));
    shelf_delete(&shelf, SPACE("shop"));
    bed_idle(&bed, 50);
    CU_ASSERT_STRING_EQUAL(held(MAP("ends")), "");
    CU_ASSERT_STRING_EQUAL(held(MAP("shop")), "ROOT");
    CU_ASSERT_EQUAL(trust.namespaces.count, 2); /* ours, and what is still held */
    shelf_delete(&shelf, MAP("shop"));
    bed_idle(&bed, 50);
    CU_ASSERT_STRING_EQUAL(held(MAP("shop")), "");
    CU_ASSERT_EQUAL(trust.namespaces.count, 1);
    stop();
}

static bool no_calls(void *arg)
{
    (void)arg;
    return shelf.writes > 0 && trust.calls == 0;
}

static void write_that_failed_is_tried_again_later(void)
{
    start(true);
    shelf.fail = 500;
    set("ROOT");
    CU_ASSERT_TRUE(bed_wait(&bed, no_calls, NULL));
    CU_ASSERT_EQUAL(shelf.writes, 1);
    CU_ASSERT_TRUE_FATAL(trust.retry.slot);
    shelf.fail = 0;
    timer_start(&bed.timers, &trust.retry, 0, trust.retry.on_due);
    wait_held(MAP(OWN), "ROOT");
    stop();
}

/* The watch is slow: the answer alone must do. */
static void bundle_that_changed_during_a_write_is_written_again(void)
{
    start(true);
    set("ROOT");
    set("ROOT2");
    shelf.mute = true;
    CU_ASSERT_TRUE(bed_wait(&bed, no_calls, NULL));
    CU_ASSERT_STRING_EQUAL(held(MAP(OWN)), "ROOT");
    CU_ASSERT_TRUE_FATAL(trust.retry.slot);
    timer_start(&bed.timers, &trust.retry, 0, trust.retry.on_due);
    wait_held(MAP(OWN), "ROOT2");
    CU_ASSERT_EQUAL(trust.retry.slot, 0);
    stop();
}

static bool all_held(void *arg)
{
    (void)arg;
    for (int i = 0; i < 50; i++) {
        char map[100];
        snprintf(map, sizeof map, MAP("n%d"), i);
        if (strcmp(held(map), "ROOT") != 0)
            return false;
    }
    return trust.calls == 0;
}

static bool has_spaces(void *arg)
{
    (void)arg;
    return trust.namespaces.count == 51;
}

static void many_namespaces_have_it_a_few_at_a_time(void)
{
    start(true);
    for (int i = 0; i < 50; i++) {
        char space[100];
        snprintf(space, sizeof space, SPACE("n%d"), i);
        shelf_put(&shelf, space, json_object());
    }
    CU_ASSERT_TRUE_FATAL(bed_wait(&bed, has_spaces, NULL));
    set("ROOT");
    CU_ASSERT_EQUAL(trust.calls, TRUST_CALLS_MAX);
    CU_ASSERT_TRUE(bed_wait(&bed, all_held, NULL));
    CU_ASSERT_EQUAL(shelf.writes, 51);
    stop();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(bundle_goes_to_our_own_namespace_and_those_that_ask),
        SUITE_CASE(only_the_leader_writes),
        SUITE_CASE(bundle_that_somebody_changed_or_deleted_is_put_right),
        SUITE_CASE(namespace_that_ends_or_asks_no_more_is_left_alone),
        SUITE_CASE(write_that_failed_is_tried_again_later),
        SUITE_CASE(bundle_that_changed_during_a_write_is_written_again),
        SUITE_CASE(many_namespaces_have_it_a_few_at_a_time),
        SUITE_END,
    };
    return suite_main("control/kube_trust", cases, argc, argv);
}
