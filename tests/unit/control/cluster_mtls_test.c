/* What PeerAuthentications come to: may somebody without an identity connect? */
#include "control/cluster_mtls.h"

#include <stdio.h>
#include <string.h>

#include "bed.h"
#include "suite.h"

#define PLAIN "10.9.9.9"
#define STRICT "'mtls': {'mode': 'STRICT'}"
#define PERMISSIVE "'mtls': {'mode': 'PERMISSIVE'}"
#define DISABLE "'mtls': {'mode': 'DISABLE'}"
#define WEB "'selector': {'matchLabels': {'app': 'web'}}"

static struct bed bed;

/* shop/web, shop/db and bank/web are of the mesh, shop/old is not. */
static void setup(void)
{
    bed_start(&bed);
    bed_pod(&bed, "shop/web", (struct bed_pod){.ip = "10.1.0.1", .labels = "'app': 'web'"});
    bed_pod(&bed, "shop/db", (struct bed_pod){.ip = "10.1.0.2", .labels = "'app': 'db'"});
    bed_pod(&bed, "bank/web", (struct bed_pod){.ip = "10.1.0.3", .labels = "'app': 'web'"});
    bed_pod(&bed, "shop/old",
            (struct bed_pod){.ip = "10.1.0.4", .labels = "'app': 'web'", .plain = true});
    bed_settle(&bed);
}

/* What shop/web, shop/db and bank/web say to plaintext on ports 80 and 81: "s" is strict. */
static const char *modes(void)
{
    static const char *const pods[] = {"shop/web", "shop/db", "bank/web"};
    static char text[16];
    char *at = text;
    for (int i = 0; i < 3; i++) {
        for (uint16_t port = 80; port < 82; port++) {
            *at++ = bed_allows(&bed, PLAIN, pods[i], port) ? 'p' : 's';
            CU_ASSERT_TRUE(bed_allows(&bed, "jobs/batch", pods[i], port));
        }
        *at++ = ' ';
    }
    *--at = 0;
    return text;
}

#define EXPECT(modes_, policies_)                                                                  \
    do {                                                                                           \
        bed_settle(&bed);                                                                          \
        CU_ASSERT_STRING_EQUAL(modes(), modes_);                                                   \
        CU_ASSERT_STRING_EQUAL(bed_policies(&bed), policies_);                                     \
        if (strcmp(modes(), modes_) != 0 || strcmp(bed_policies(&bed), policies_) != 0)            \
            fprintf(stderr, "\nline %d: %s, %s\n", __LINE__, modes(), bed_policies(&bed));         \
    } while (0)

static void mtls_is_permissive_where_nothing_is_said(void)
{
    setup();
    EXPECT("pp pp pp", "");
    bed_mtls(&bed, BED_ROOT "/default", 0, "{" PERMISSIVE "}");
    EXPECT("pp pp pp", "");
    bed_mtls(&bed, BED_ROOT "/default", 0, "{'mtls': {'mode': 'UNSET'}}");
    EXPECT("pp pp pp", "");
    bed_mtls(&bed, BED_ROOT "/default", 0, "{}");
    EXPECT("pp pp pp", "");
    bed_stop(&bed);
}

static void mtls_of_the_mesh_is_one_policy_for_all(void)
{
    setup();
    bed_mtls(&bed, BED_ROOT "/default", 0, "{" STRICT "}");
    EXPECT("ss ss ss", "/mtls:strict");
    CU_ASSERT_STRING_EQUAL(bed_policies_of(&bed, "shop/web"), "");
    bed_remove(&bed, CLUSTER_MTLS, BED_ROOT "/default");
    EXPECT("pp pp pp", "");
    bed_stop(&bed);
}

static void mtls_of_a_namespace_goes_before_the_mesh(void)
{
    setup();
    bed_mtls(&bed, BED_ROOT "/default", 0, "{" STRICT "}");
    bed_mtls(&bed, "shop/default", 0, "{" PERMISSIVE "}");
    EXPECT("pp pp ss", "bank/mtls:strict");
    bed_mtls(&bed, "shop/default", 0, "{}");
    EXPECT("ss ss ss", "bank/mtls:strict,shop/mtls:strict");
    bed_mtls(&bed, "shop/default", 0, "{" STRICT "}");
    bed_remove(&bed, CLUSTER_MTLS, BED_ROOT "/default");
    EXPECT("ss ss pp", "shop/mtls:strict");
    bed_stop(&bed);
}

/* Its namespace has a guard from its first pod of the mesh to its last. */
static void mtls_holds_for_a_namespace_that_comes_later(void)
{
    setup();
    bed_mtls(&bed, BED_ROOT "/default", 0, "{" STRICT "}");
    bed_mtls(&bed, "shop/default", 0, "{" PERMISSIVE "}");
    bed_settle(&bed);
    bed_pod(&bed, "jobs/one", (struct bed_pod){.ip = "10.1.0.9", .plain = true});
    EXPECT("pp pp ss", "bank/mtls:strict");
    bed_pod(&bed, "jobs/one", (struct bed_pod){.ip = "10.1.0.9"});
    EXPECT("pp pp ss", "bank/mtls:strict,jobs/mtls:strict");
    CU_ASSERT_FALSE(bed_allows(&bed, PLAIN, "jobs/one", 80));
    bed_remove(&bed, CLUSTER_PODS, "jobs/one");
    EXPECT("pp pp ss", "bank/mtls:strict");
    bed_stop(&bed);
}

static void mtls_of_a_workload_goes_before_the_namespace(void)
{
    setup();
    bed_mtls(&bed, "shop/default", 0, "{" STRICT "}");
    bed_mtls(&bed, "shop/web", 1, "{" WEB ", " PERMISSIVE "}");
    EXPECT("pp ss pp", "shop/mtls:strict-selected");
    CU_ASSERT_STRING_EQUAL(bed_policies_of(&bed, "shop/db"), "shop/mtls:strict-selected");
    bed_mtls(&bed, "shop/web", 1, "{" WEB ", 'mtls': {'mode': 'UNSET'}}");
    EXPECT("ss ss pp", "shop/mtls:strict-selected");
    bed_remove(&bed, CLUSTER_MTLS, "shop/web");
    EXPECT("ss ss pp", "shop/mtls:strict");
    CU_ASSERT_STRING_EQUAL(bed_policies_of(&bed, "shop/db"), "");
    bed_mtls(&bed, "shop/default", 0, "{" PERMISSIVE "}");
    bed_mtls(&bed, "shop/web", 1, "{" WEB ", " STRICT "}");
    EXPECT("ss pp pp", "shop/mtls:strict-selected");
    CU_ASSERT_STRING_EQUAL(bed_policies_of(&bed, "shop/old"), "");
    bed_pod(&bed, "shop/db", (struct bed_pod){.ip = "10.1.0.2", .labels = "'app': 'web'"});
    EXPECT("ss ss pp", "shop/mtls:strict-selected");
    bed_stop(&bed);
}

static void mtls_of_a_port_goes_before_that_of_its_workload(void)
{
    setup();
    bed_mtls(&bed, "shop/web", 0,
             "{" WEB ", " STRICT ", 'portLevelMtls': {'81': {'mode': 'PERMISSIVE'}, '9': {'mode': "
             "'UNSET'}, '82': {'mode': 'STRICT'}}}");
    EXPECT("sp pp pp", "shop/mtls:strict-selected-except-81");
    bed_mtls(&bed, "shop/web", 0,
             "{" WEB ", 'portLevelMtls': {'81': {'mode': 'STRICT'}, '80': {'mode': 'DISABLE'}}}");
    EXPECT("ps pp pp", "shop/mtls:strict-selected-port-81");
    /* What the workload leaves open, its namespace says. */
    bed_mtls(&bed, "shop/default", 0, "{" STRICT "}");
    EXPECT("ps ss pp", "shop/mtls:strict-selected,shop/mtls:strict-selected-except-80");
    bed_stop(&bed);
}

/* As in Istio, which passes it over: one that was written for it must not come to life here. */
static void mtls_of_the_root_namespace_selects_nothing(void)
{
    setup();
    bed_mtls(&bed, BED_ROOT "/default", 5, "{" STRICT "}");
    bed_mtls(&bed, BED_ROOT "/web", 0, "{" WEB ", " PERMISSIVE "}");
    EXPECT("ss ss ss", "/mtls:strict");
    const struct bed_verdict *verdict = bed_verdict_on(&bed, CLUSTER_MTLS, BED_ROOT "/web");
    CU_ASSERT_PTR_NOT_NULL_FATAL(verdict);
    CU_ASSERT_STRING_EQUAL(verdict->reason, "Unsupported");
    CU_ASSERT_PTR_NOT_NULL(strstr(verdict->sentence, "not in force"));
    bed_stop(&bed);
}

static void mtls_of_the_oldest_holds(void)
{
    setup();
    bed_mtls(&bed, "shop/a", 5, "{" STRICT "}");
    bed_mtls(&bed, "shop/b", 3, "{" PERMISSIVE "}");
    EXPECT("pp pp pp", "");
    const struct bed_verdict *verdict = bed_verdict_on(&bed, CLUSTER_MTLS, "shop/a");
    CU_ASSERT_PTR_NOT_NULL_FATAL(verdict);
    CU_ASSERT_FALSE(verdict->accepted);
    CU_ASSERT_STRING_EQUAL(verdict->reason, "Conflict");
    CU_ASSERT_PTR_NOT_NULL(strstr(verdict->sentence, "shop/b"));
    CU_ASSERT_TRUE(bed_verdict_on(&bed, CLUSTER_MTLS, "shop/b")->accepted);
    /* The older one goes: the other is told that it holds now. */
    bed_remove(&bed, CLUSTER_MTLS, "shop/b");
    EXPECT("ss ss pp", "shop/mtls:strict");
    verdict = bed_verdict_on(&bed, CLUSTER_MTLS, "shop/a");
    CU_ASSERT_PTR_NOT_NULL_FATAL(verdict);
    CU_ASSERT_TRUE(verdict->accepted);
    CU_ASSERT_EQUAL(bed.verdict_count, 1);
    /* Of the same age, the first by name; the kinds of Istio count like ours. */
    bed_put(&bed, CLUSTER_ISTIO_MTLS, "shop/A",
            "{'metadata': {'creationTimestamp': '2026-08-01T10:05:00Z'}, 'spec': {" PERMISSIVE
            "}}");
    EXPECT("pp pp pp", "");
    CU_ASSERT_STRING_EQUAL(bed_verdict_on(&bed, CLUSTER_MTLS, "shop/a")->reason, "Conflict");
    bed_put(&bed, CLUSTER_ISTIO_MTLS, "shop/a",
            "{'metadata': {'creationTimestamp': '2026-08-01T10:05:00Z'}, 'spec': {" PERMISSIVE
            "}}");
    bed_remove(&bed, CLUSTER_ISTIO_MTLS, "shop/A");
    EXPECT("ss ss pp", "shop/mtls:strict"); /* of the same name, ours */
    bed_remove(&bed, CLUSTER_MTLS, "shop/a");
    EXPECT("pp pp pp", "");
    /* Among those that select, whole objects count: not the port of one and the mode of another. */
    bed_mtls(&bed, "shop/x", 1, "{" WEB ", 'portLevelMtls': {'81': {'mode': 'STRICT'}}}");
    bed_mtls(&bed, "shop/y", 2, "{" WEB ", " STRICT "}");
    EXPECT("ps pp pp", "shop/mtls:strict-selected-port-81");
    bed_stop(&bed);
}

/* --- verdicts --------------------------------------------------------------------------------- */

static void expect_verdict(const char *spec, bool accepted, const char *reason, const char *part,
                           const char *expected)
{
    bed_mtls(&bed, "shop/x", 59, spec);
    bed_settle(&bed);
    const struct bed_verdict *verdict = bed_verdict_on(&bed, CLUSTER_MTLS, "shop/x");
    CU_ASSERT_PTR_NOT_NULL_FATAL(verdict);
    bool good = verdict->accepted == accepted && strcmp(verdict->reason, reason) == 0 &&
                strstr(verdict->sentence, part) && strcmp(modes(), expected) == 0;
    CU_ASSERT_TRUE(good);
    if (!good)
        fprintf(stderr, "\n%s\n%s: %s (%s)\n", spec, verdict->reason, verdict->sentence, modes());
}

static void mtls_is_accepted_or_not_with_a_sentence(void)
{
    setup();
    expect_verdict("{" STRICT "}", true, "Accepted", "in force as it is written", "ss ss pp");
    expect_verdict("{" DISABLE "}", false, "Unsupported", "mtls.mode DISABLE is held as PERMISSIVE",
                   "pp pp pp");
    expect_verdict("{'mtls': {'mode': 'OFF'}}", false, "Invalid", "held as STRICT", "ss ss pp");
    expect_verdict("{" PERMISSIVE ", 'portLevelMtls': {'80': {'mode': 'STRICT'}}}", false,
                   "Invalid", "left out", "pp pp pp");
    expect_verdict("{" WEB ", " STRICT ", 'portLevelMtls': {'080': {'mode': 'PERMISSIVE'}}}", false,
                   "Invalid", "\"080\"", "ss pp pp");
    expect_verdict("{" WEB ", 'portLevelMtls': {'81': {'mode': 'DISABLE'}}}", false, "Unsupported",
                   "portLevelMtls[81].mode", "pp pp pp");
    expect_verdict("{'selector': {'matchLabels': 'x'}, " STRICT "}", false, "Invalid",
                   "not in force", "pp pp pp");
    bed_stop(&bed);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(mtls_is_permissive_where_nothing_is_said),
        SUITE_CASE(mtls_of_the_mesh_is_one_policy_for_all),
        SUITE_CASE(mtls_of_a_namespace_goes_before_the_mesh),
        SUITE_CASE(mtls_holds_for_a_namespace_that_comes_later),
        SUITE_CASE(mtls_of_a_workload_goes_before_the_namespace),
        SUITE_CASE(mtls_of_a_port_goes_before_that_of_its_workload),
        SUITE_CASE(mtls_of_the_root_namespace_selects_nothing),
        SUITE_CASE(mtls_of_the_oldest_holds),
        SUITE_CASE(mtls_is_accepted_or_not_with_a_sentence),
        SUITE_END,
    };
    return suite_main("control.cluster_mtls", cases, argc, argv);
}
