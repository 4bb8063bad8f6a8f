/* Status conditions: written when there is something new to say, and no more. */
#include "control/kube_status.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "kube/bed.h"
#include "kube/shelf.h"

#define POLICIES "/apis/handfast.io/v1/namespaces/shop/authorizationpolicies/"

static struct bed bed;
static struct shelf shelf;
static struct kube_keeper keeper;
static struct kube_status status;

static void start(bool leading)
{
    bed_start(&bed);
    bed_connect(&bed);
    shelf_start(&shelf, &bed.server);
    keeper =
        (struct kube_keeper){.client = bed.client, .ns = "handfast-system", .leading = leading};
    status = (struct kube_status){.keeper = &keeper, .timers = &bed.timers};
    kube_status_init(&status);
}

static void stop(void)
{
    clock_fake(0, -1);
    kube_status_deinit(&status);
    bed_stop(&bed);
    shelf_stop(&shelf);
}

static void make(const char *name)
{
    char path[200];
    snprintf(path, sizeof path, POLICIES "%s", name);
    shelf_put(&shelf, path, json_object());
}

static void say(const char *name, bool accepted, const char *sentence)
{
    char key[100];
    snprintf(key, sizeof key, "shop/%s", name);
    kube_status_verdict(&status,
                        &(struct cluster_verdict){.kind = CLUSTER_POLICIES,
                                                  .key = key,
                                                  .generation = 3,
                                                  .accepted = accepted,
                                                  .reason = accepted ? "Accepted" : "Invalid",
                                                  .sentence = sentence});
}

static const json_t *condition(const char *name)
{
    char path[200];
    snprintf(path, sizeof path, POLICIES "%s", name);
    const json_t *about = json_object_get(shelf_get(&shelf, path), "status");
    return json_array_get(json_object_get(about, "conditions"), 0);
}

static const char *text(const char *name, const char *key)
{
    const char *value = json_string_value(json_object_get(condition(name), key));
    return value ? value : "";
}

static bool is_settled(void *arg)
{
    return shelf.writes >= *(const unsigned *)arg && status.calls == 0 && !status.retry.slot;
}

static void wait_writes(unsigned count)
{
    CU_ASSERT_TRUE_FATAL(bed_wait(&bed, is_settled, &count));
    CU_ASSERT_EQUAL(shelf.writes, count);
}

/* What the reflector does with what was written. */
static void see(const char *name)
{
    char path[200], key[100];
    snprintf(path, sizeof path, POLICIES "%s", name);
    snprintf(key, sizeof key, "shop/%s", name);
    kube_status_seen(&status, CLUSTER_POLICIES, key, shelf_get(&shelf, path));
}

static void verdict_becomes_a_condition(void)
{
    start(true);
    make("p");
    say("p", true, "in force");
    wait_writes(1);
    CU_ASSERT_STRING_EQUAL(shelf.last_write, "PATCH " POLICIES "p/status");
    CU_ASSERT_STRING_EQUAL(bed.server.last_content_type, "application/merge-patch+json");
    CU_ASSERT_STRING_EQUAL(text("p", "type"), "Accepted");
    CU_ASSERT_STRING_EQUAL(text("p", "status"), "True");
    CU_ASSERT_STRING_EQUAL(text("p", "message"), "in force");
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(condition("p"), "observedGeneration")), 3);
    see("p");
    say("p", true, "in force");
    bed_idle(&bed, 50);
    CU_ASSERT_EQUAL(shelf.writes, 1);
    stop();
}

/* The watch may be down for a while: what was written is known without it. */
static void condition_is_written_once_even_if_nobody_sees_it(void)
{
    start(true);
    make("p");
    say("p", true, "in force");
    wait_writes(1);
    bed_idle(&bed, 100);
    CU_ASSERT_EQUAL(shelf.writes, 1);
    stop();
}

static void object_that_is_not_there_is_written_once_only(void)
{
    start(true);
    say("p", true, "in force");
    wait_writes(1);
    bed_idle(&bed, 100);
    CU_ASSERT_EQUAL(shelf.writes, 1);
    CU_ASSERT_EQUAL(keeper.failures, 0);
    stop();
}

static void transition_time_is_that_of_the_last_turn(void)
{
    char since[40];
    int64_t now_ms = clock_now_ms(), wall_ms = clock_wall_ms();
    start(true);
    make("p");
    say("p", true, "in force");
    wait_writes(1);
    snprintf(since, sizeof since, "%s", text("p", "lastTransitionTime"));
    CU_ASSERT_STRING_NOT_EQUAL(since, "");
    clock_fake(now_ms, wall_ms + 60000);
    say("p", true, "in force, still");
    wait_writes(2);
    CU_ASSERT_STRING_EQUAL(text("p", "message"), "in force, still");
    CU_ASSERT_STRING_EQUAL(text("p", "lastTransitionTime"), since);
    say("p", false, "not in force");
    wait_writes(3);
    CU_ASSERT_STRING_EQUAL(text("p", "status"), "False");
    CU_ASSERT_STRING_NOT_EQUAL(text("p", "lastTransitionTime"), since);
    stop();
}

static void verdict_that_changed_during_a_write_is_written_too(void)
{
    start(true);
    make("p");
    say("p", true, "one");
    say("p", true, "two");
    wait_writes(2);
    CU_ASSERT_STRING_EQUAL(text("p", "message"), "two");
    stop();
}

static void new_leader_writes_what_is_due_and_nobody_else_does(void)
{
    start(false);
    make("p");
    say("p", true, "in force");
    bed_idle(&bed, 30);
    CU_ASSERT_EQUAL(shelf.writes, 0);
    keeper.leading = true;
    kube_status_check(&status);
    wait_writes(1);
    stop();
}

static bool all_done(void *arg)
{
    (void)arg;
    for (int i = 0; i < 40; i++) {
        char name[20];
        snprintf(name, sizeof name, "p%d", i);
        if (strcmp(text(name, "status"), "True") != 0)
            return false;
    }
    return true;
}

static void make_many(void)
{
    for (int i = 0; i < 40; i++) {
        char name[20];
        snprintf(name, sizeof name, "p%d", i);
        make(name);
        say(name, true, "in force");
    }
}

static void many_conditions_are_written_a_few_at_a_time(void)
{
    start(true);
    make_many();
    CU_ASSERT_EQUAL(status.calls, STATUS_CALLS_MAX);
    CU_ASSERT_TRUE(bed_wait(&bed, all_done, NULL));
    wait_writes(40);
    stop();
}

static bool no_calls(void *arg)
{
    (void)arg;
    return status.calls == 0;
}

static void those_that_fail_are_not_in_the_way_of_others(void)
{
    start(true);
    shelf.fail = 422;
    shelf.fail_at = "/bad";
    for (int i = 0; i < 2 * STATUS_CALLS_MAX; i++) {
        char name[20];
        snprintf(name, sizeof name, "bad%d", i);
        make(name);
        say(name, true, "in force");
    }
    make_many();
    for (int i = 0; i < 30 && !all_done(NULL); i++) {
        CU_ASSERT_TRUE_FATAL(bed_wait(&bed, no_calls, NULL));
        CU_ASSERT_TRUE_FATAL(status.retry.slot);
        timer_start(&bed.timers, &status.retry, 0, status.retry.on_due);
        bed_idle(&bed, 5);
    }
    CU_ASSERT_TRUE(all_done(NULL));
    stop();
}

static void policy_that_goes_makes_room_for_others(void)
{
    start(true);
    shelf.hang_writes = true;
    make_many();
    while (shelf.writes < STATUS_CALLS_MAX)
        uv_run(&bed.loop.uv, UV_RUN_ONCE);
    shelf.hang_writes = false;
    for (int i = 0; i < STATUS_CALLS_MAX; i++) { /* those whose calls hang: the first */
        char key[30];
        snprintf(key, sizeof key, "shop/p%d", i);
        kube_status_gone(&status, CLUSTER_POLICIES, key);
    }
    CU_ASSERT_EQUAL(status.calls, 0);
    CU_ASSERT_EQUAL(status.entries.count, 40 - STATUS_CALLS_MAX);
    wait_writes(40);
    stop();
}

static void kinds_that_are_not_ours_and_odd_objects_are_left_alone(void)
{
    json_t *odd = json_loads("{\"status\":{\"conditions\":{\"type\":[]}}}", 0, NULL);
    json_t *odder =
        json_loads("{\"status\":{\"conditions\":[7,null,{\"type\":\"Accepted\"}]}}", 0, NULL);
    start(true);
    kube_status_seen(&status, CLUSTER_ISTIO_POLICIES, "shop/p", odd);
    kube_status_seen(&status, CLUSTER_SERVICES, "shop/p", odd);
    kube_status_gone(&status, CLUSTER_SERVICES, "shop/p");
    kube_status_seen(&status, CLUSTER_POLICIES, "none", odd);
    CU_ASSERT_EQUAL(status.entries.count, 0);
    kube_status_seen(&status, CLUSTER_POLICIES, "shop/p", odd);
    kube_status_seen(&status, CLUSTER_POLICIES, "shop/p", odder);
    make("p");
    say("p", true, "in force");
    wait_writes(1);
    CU_ASSERT_STRING_EQUAL(text("p", "status"), "True");
    json_decref(odd);
    json_decref(odder);
    stop();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(verdict_becomes_a_condition),
        SUITE_CASE(condition_is_written_once_even_if_nobody_sees_it),
        SUITE_CASE(object_that_is_not_there_is_written_once_only),
        SUITE_CASE(transition_time_is_that_of_the_last_turn),
        SUITE_CASE(verdict_that_changed_during_a_write_is_written_too),
        SUITE_CASE(new_leader_writes_what_is_due_and_nobody_else_does),
        SUITE_CASE(many_conditions_are_written_a_few_at_a_time),
        SUITE_CASE(those_that_fail_are_not_in_the_way_of_others),
        SUITE_CASE(policy_that_goes_makes_room_for_others),
        SUITE_CASE(kinds_that_are_not_ours_and_odd_objects_are_left_alone),
        SUITE_END,
    };
    return suite_main("control/kube_status", cases, argc, argv);
}
