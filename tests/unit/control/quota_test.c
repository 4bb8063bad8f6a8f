#include "control/quota.h"

#include <stdio.h>
#include <string.h>

#include "suite.h"

enum { PLACES = 1000, POOL = PLACES / 2 };

static struct quota quota;
static struct err err;

/* The mesh lists `count` workloads under this identity, and nothing else. */
static void expect(const char *key, unsigned count)
{
    struct map workloads;
    map_init(&workloads);
    CU_ASSERT_FATAL(map_set_str(&workloads, key, (void *)(uintptr_t)count, NULL));
    quota_expect(&quota, &workloads);
    CU_ASSERT_EQUAL(workloads.count, 0);
}

static struct quota_caller *take(enum quota_kind kind, const char *account)
{
    struct quota_caller *caller = NULL;
    err = (struct err){0};
    enum err_code code = quota_take(&quota, kind, "shop", account, &caller, &err);
    CU_ASSERT_EQUAL(code, err.code);
    CU_ASSERT_EQUAL(caller != NULL, code == ERR_OK);
    return caller;
}

/* Takes until it is refused, at most `most`; how many that were. */
static unsigned take_all(enum quota_kind kind, const char *account, unsigned most)
{
    unsigned taken = 0;
    while (taken < most && take(kind, account))
        taken++;
    return taken;
}

static void give_all(void)
{
    size_t position = 0;
    for (struct map_entry *at; (at = map_next(&quota.callers, &position)); position = 0) {
        struct quota_caller *caller = at->value;
        quota_give(caller, caller->held[QUOTA_STREAMS] ? QUOTA_STREAMS : QUOTA_CONNECTIONS);
    }
    CU_ASSERT_EQUAL(quota.callers.count, 0);
    quota_deinit(&quota);
}

static void quota_derives_its_places_from_the_descriptors(void)
{
    CU_ASSERT_EQUAL(quota_places(20000), (20000 - QUOTA_FILES_SPARE) / QUOTA_FILES_PER_PLACE);
    CU_ASSERT_EQUAL(quota_places(1 << 20), QUOTA_PLACES_MAX);
    CU_ASSERT_EQUAL(quota_places(UINT64_MAX), QUOTA_PLACES_MAX);
    CU_ASSERT_EQUAL(quota_places(1024), (1024 - QUOTA_FILES_SPARE) / QUOTA_FILES_PER_PLACE);
    CU_ASSERT_EQUAL(quota_places(100), QUOTA_PLACES_MIN);
    CU_ASSERT_EQUAL(quota_places(0), QUOTA_PLACES_MIN);
}

static void quota_never_stops_replicas_that_share_a_service_account(void)
{
    quota_init(&quota, PLACES);
    expect("shop/web", 500);
    CU_ASSERT_EQUAL(take_all(QUOTA_STREAMS, "web", PLACES), PLACES);
    CU_ASSERT_EQUAL(take_all(QUOTA_CONNECTIONS, "web", PLACES), PLACES);
    give_all();
}

static void quota_leaves_of_the_pool_what_an_identity_takes(void)
{
    quota_init(&quota, PLACES);
    expect("shop/web", 3);
    /* A quarter of all places, and for who is listed what that brings. */
    CU_ASSERT_EQUAL(take_all(QUOTA_STREAMS, "thief", PLACES), POOL / 2);
    CU_ASSERT_EQUAL(err.code, ERR_QUOTA);
    CU_ASSERT_EQUAL(take_all(QUOTA_STREAMS, "web", PLACES), 6 + POOL / 4);
    CU_ASSERT_EQUAL(err.code, ERR_QUOTA);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "shop/web holds 131 streams already: 2 for each of the "
                                            "3 workloads that the mesh lists"));
    /* The other kind is another matter. */
    CU_ASSERT_EQUAL(take_all(QUOTA_CONNECTIONS, "web", PLACES), 6 + POOL / 2);
    give_all();
}

static void quota_keeps_half_of_the_places_from_any_number_of_thieves(void)
{
    char account[24];
    unsigned taken = 0;
    quota_init(&quota, PLACES);
    expect("shop/web", 100);
    for (int i = 0; i < 200; i++) {
        snprintf(account, sizeof account, "thief-%d", i);
        taken += take_all(QUOTA_STREAMS, account, PLACES);
    }
    CU_ASSERT(taken > POOL - 2 && taken <= POOL);
    CU_ASSERT_EQUAL(take_all(QUOTA_STREAMS, "web", 200), 200);
    CU_ASSERT_PTR_NULL(take(QUOTA_STREAMS, "web"));
    give_all();
}

static void quota_has_again_what_was_given_back(void)
{
    quota_init(&quota, PLACES);
    CU_ASSERT_EQUAL(take_all(QUOTA_STREAMS, "web", PLACES), POOL / 2);
    struct quota_caller *web = map_get_str(&quota.callers, "shop/web");
    CU_ASSERT_PTR_NOT_NULL_FATAL(web);
    quota_give(web, QUOTA_STREAMS);
    CU_ASSERT_PTR_EQUAL(take(QUOTA_STREAMS, "web"), web);
    CU_ASSERT_PTR_NULL(take(QUOTA_STREAMS, "web"));
    give_all();
}

static void quota_follows_the_mesh(void)
{
    quota_init(&quota, PLACES);
    CU_ASSERT_EQUAL(take_all(QUOTA_STREAMS, "web", PLACES), POOL / 2);
    struct quota_caller *web = map_get_str(&quota.callers, "shop/web");
    CU_ASSERT_EQUAL(web->names.max, QUOTA_NAMES_BYTES);
    expect("shop/web", 400);
    CU_ASSERT_EQUAL(web->names.max, QUOTA_NAMES_BYTES + 400 * QUOTA_NAMES_BYTES_PER_WORKLOAD);
    CU_ASSERT_EQUAL(take_all(QUOTA_STREAMS, "web", 600), 600);
    /* Scaled down: what is held stays, and it is the others' loss no longer than it lasts. */
    expect("shop/other", 1);
    CU_ASSERT_EQUAL(web->held[QUOTA_STREAMS], 850);
    CU_ASSERT_PTR_NULL(take(QUOTA_STREAMS, "web"));
    CU_ASSERT_EQUAL(take_all(QUOTA_STREAMS, "other", PLACES), 2);
    CU_ASSERT_PTR_NULL(take(QUOTA_STREAMS, "third"));
    CU_ASSERT_EQUAL(quota.callers.count, 2); /* who was refused is not remembered */
    give_all();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(quota_derives_its_places_from_the_descriptors),
        SUITE_CASE(quota_never_stops_replicas_that_share_a_service_account),
        SUITE_CASE(quota_leaves_of_the_pool_what_an_identity_takes),
        SUITE_CASE(quota_keeps_half_of_the_places_from_any_number_of_thieves),
        SUITE_CASE(quota_has_again_what_was_given_back),
        SUITE_CASE(quota_follows_the_mesh),
        SUITE_END,
    };
    return suite_main("control.quota", cases, argc, argv);
}
