#include "proxy/door.h"

#include <stdio.h>
#include <string.h>

#include "suite.h"

enum { PLENTY = 1 << 20, HALF = DOOR_PLACES_MAX / 2, QUARTER = DOOR_PLACES_MAX / 4 };

static struct door door;
static struct err err;

static struct addr address(const char *text)
{
    struct addr addr = {0};
    CU_ASSERT_TRUE_FATAL(addr_parse(&addr, text));
    return addr;
}

/* So many from one source, or fewer when the door says no. */
static int enter(const char *source, bool mesh, int count)
{
    struct addr addr = address(source);
    for (int i = 0; i < count; i++) {
        if (!door_enter(&door, &addr, mesh, PLENTY, &err))
            return i;
    }
    return count;
}

/* One from each of many sources. */
static int crowd(const char *network, bool mesh, int count)
{
    char text[ADDR_TEXT_MAX];
    int entered = 0;
    for (int i = 0; i < count; i++) {
        snprintf(text, sizeof text, "%s.%d.%d", network, i / 250, 1 + i % 250);
        entered += enter(text, mesh, 1);
    }
    return entered;
}

static void one_source_that_floods_gets_half_and_the_next_still_comes_in(void)
{
    door_init(&door, PLENTY);
    /* The last quarter is the mesh's, and half of the others. */
    CU_ASSERT_EQUAL(enter("192.0.2.1", false, PLENTY), (HALF + QUARTER) / 2);
    CU_ASSERT_EQUAL(err.code, ERR_CONN_UNPROVEN);
    CU_ASSERT_STRING_EQUAL(err.text,
                           "768 connections have not proven yet who they are, of at most 2048, and "
                           "768 of them are from 192.0.2.1, which is not of the mesh");
    CU_ASSERT_EQUAL(enter("192.0.2.2", false, 300), 300);
    CU_ASSERT_EQUAL(enter("10.0.0.1", true, 300), 300);
    CU_ASSERT_EQUAL(enter("192.0.2.1", false, 1), 0);
}

static void a_workload_that_floods_gets_half_too(void)
{
    door_init(&door, PLENTY);
    CU_ASSERT_EQUAL(enter("10.0.0.1", true, PLENTY), HALF);
    CU_ASSERT_PTR_NULL(strstr(err.text, "not of the mesh"));
    CU_ASSERT_EQUAL(enter("10.0.0.2", true, 400), 400);
    CU_ASSERT_EQUAL(enter("192.0.2.1", false, 10), 10);
}

static void a_crowd_of_strangers_leaves_the_last_quarter_to_the_mesh(void)
{
    door_init(&door, PLENTY);
    int entered = crowd("192.0", false, 6000);
    CU_ASSERT_TRUE(entered <= HALF + QUARTER && entered >= HALF + QUARTER - 10);
    CU_ASSERT_EQUAL(enter("10.0.0.1", true, PLENTY), QUARTER / 2);
    int others = crowd("10.1", true, 2000);
    CU_ASSERT_TRUE(others <= QUARTER / 2 && others >= QUARTER / 2 - 10);
    CU_ASSERT_TRUE(door.count <= DOOR_PLACES_MAX);
}

static void an_ipv6_stranger_is_its_64_and_a_workload_its_address(void)
{
    door_init(&door, PLENTY);
    CU_ASSERT_EQUAL(enter("2001:db8::1", false, PLENTY), (HALF + QUARTER) / 2);
    CU_ASSERT_EQUAL(enter("2001:db8::2:3", false, 1), 0);
    CU_ASSERT_EQUAL(enter("2001:db8:0:1::1", false, 1), 1);
    CU_ASSERT_EQUAL(enter("2001:db8::2", true, 100), 100);
    door_init(&door, PLENTY);
    CU_ASSERT_EQUAL(enter("fd00::1", true, PLENTY), HALF);
    CU_ASSERT_EQUAL(enter("fd00::2", true, 1), 1);
}

static void the_ceiling_on_connections_counts_as_well(void)
{
    struct addr source = address("10.0.0.1"), stranger = address("192.0.2.1");
    door_init(&door, PLENTY);
    CU_ASSERT_NOT_EQUAL(door_enter(&door, &stranger, false, QUARTER, &err), 0);
    CU_ASSERT_EQUAL(door_enter(&door, &stranger, false, QUARTER - 1, &err), 0);
    CU_ASSERT_NOT_EQUAL(door_enter(&door, &source, true, 0, &err), 0);
    CU_ASSERT_EQUAL(door_enter(&door, &source, true, 0, &err), 0);
    door_init(&door, 8);
    CU_ASSERT_EQUAL(enter("192.0.2.1", false, 8), 3);
    CU_ASSERT_EQUAL(enter("10.0.0.1", true, 8), 3);
    CU_ASSERT_EQUAL(enter("10.0.0.2", true, 8), 1);
}

static void places_go_back_to_whom_they_came_from(void)
{
    uint16_t places[2][100];
    struct addr source[2] = {address("192.0.2.1"), address("10.0.0.1")};
    door_init(&door, PLENTY);
    for (int mesh = 0; mesh < 2; mesh++) {
        for (int i = 0; i < 100; i++)
            places[mesh][i] = door_enter(&door, &source[mesh], mesh, PLENTY, &err);
    }
    CU_ASSERT_EQUAL(door.count, 200);
    for (int i = 0; i < 200; i++)
        door_leave(&door, places[i % 2][i / 2]);
    CU_ASSERT_EQUAL(door.count, 0);
    for (unsigned i = 0; i < DOOR_BUCKETS; i++)
        CU_ASSERT_EQUAL(door.counts[0][i] + door.counts[1][i], 0);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(one_source_that_floods_gets_half_and_the_next_still_comes_in),
        SUITE_CASE(a_workload_that_floods_gets_half_too),
        SUITE_CASE(a_crowd_of_strangers_leaves_the_last_quarter_to_the_mesh),
        SUITE_CASE(an_ipv6_stranger_is_its_64_and_a_workload_its_address),
        SUITE_CASE(the_ceiling_on_connections_counts_as_well),
        SUITE_CASE(places_go_back_to_whom_they_came_from),
        SUITE_END,
    };
    return suite_main("proxy/door", cases, argc, argv);
}
