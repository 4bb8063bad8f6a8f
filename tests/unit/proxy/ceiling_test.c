#include "proxy/ceiling.h"

#include "suite.h"

static struct ceiling ceiling;
static struct err err;

/* So many, or fewer when the ceiling is reached. */
static int take(enum conn_direction direction, int count)
{
    for (int i = 0; i < count; i++) {
        if (ceiling_take(&ceiling, direction, &err) != ERR_OK)
            return i;
    }
    return count;
}

static void neither_direction_takes_the_last_eighth_from_the_other(void)
{
    for (int i = 0; i < 2; i++) {
        enum conn_direction flooded = (enum conn_direction)i, other = (enum conn_direction) !i;
        ceiling_init(&ceiling, 800);
        CU_ASSERT_EQUAL(take(flooded, 1000), 700);
        CU_ASSERT_EQUAL(err.code, ERR_BUSY);
        CU_ASSERT_STRING_EQUAL(
            err.text, flooded == CONN_INBOUND
                          ? "700 inbound connections are open already, the most there may be"
                          : "700 outbound connections are open already, the most there may be");
        CU_ASSERT_EQUAL(ceiling_room(&ceiling, flooded), 0);
        CU_ASSERT_EQUAL(ceiling_room(&ceiling, other), 100);
        CU_ASSERT_EQUAL(take(other, 1000), 100);
        CU_ASSERT_EQUAL(ceiling_live(&ceiling), 800);
    }
}

static void both_together_have_a_ceiling_too(void)
{
    ceiling_init(&ceiling, 800);
    CU_ASSERT_EQUAL(take(CONN_OUTBOUND, 500), 500);
    CU_ASSERT_EQUAL(take(CONN_INBOUND, 1000), 300);
    CU_ASSERT_EQUAL(err.code, ERR_BUSY);
    CU_ASSERT_STRING_EQUAL(err.text, "800 connections are open already, the most there may be in "
                                     "both directions, and 300 of them are inbound");
    ceiling_give(&ceiling, CONN_OUTBOUND);
    CU_ASSERT_EQUAL(ceiling_room(&ceiling, CONN_INBOUND), 1);
    CU_ASSERT_EQUAL(take(CONN_INBOUND, 2), 1);
}

static void the_smallest_ceiling_is_one(void)
{
    ceiling_init(&ceiling, 1);
    CU_ASSERT_EQUAL(take(CONN_OUTBOUND, 2), 1);
    ceiling_give(&ceiling, CONN_OUTBOUND);
    CU_ASSERT_EQUAL(take(CONN_INBOUND, 2), 1);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(neither_direction_takes_the_last_eighth_from_the_other),
        SUITE_CASE(both_together_have_a_ceiling_too),
        SUITE_CASE(the_smallest_ceiling_is_one),
        SUITE_END,
    };
    return suite_main("proxy/ceiling", cases, argc, argv);
}
