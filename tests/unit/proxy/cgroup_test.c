#include "proxy/cgroup.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "suite.h"

static char root[] = "/tmp/cgroup_test.XXXXXX";

static void put(const char *folder, const char *file, const char *text)
{
    char path[512];
    snprintf(path, sizeof path, "%s%s", root, folder);
    mkdir(path, 0700);
    snprintf(path, sizeof path, "%s%s/%s", root, folder, file);
    FILE *stream = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(stream);
    fputs(text, stream);
    fclose(stream);
}

static void the_tightest_quota_on_the_way_up_counts(void)
{
    put("/v2", "cpu.max", "200000 100000\n");
    put("/v2/inner", "cpu.max", "max 100000\n");
    put("/v2/tight", "cpu.max", "150000 100000\n");
    CU_ASSERT_EQUAL(cgroup_cpu_millis(root, "/v2/inner"), 2000);
    CU_ASSERT_EQUAL(cgroup_cpu_millis(root, "/v2/tight"), 1500);
}

static void version_1_is_read_as_well(void)
{
    put("/cpu", "cpu.cfs_quota_us", "50000\n");
    put("/cpu", "cpu.cfs_period_us", "100000\n");
    CU_ASSERT_EQUAL(cgroup_cpu_millis(root, "/"), 500);
    put("/cpu", "cpu.cfs_quota_us", "-1\n");
    CU_ASSERT_EQUAL(cgroup_cpu_millis(root, "/"), -1);
}

static void no_file_or_no_number_is_no_limit(void)
{
    put("/odd", "cpu.max", "much\n");
    CU_ASSERT_EQUAL(cgroup_cpu_millis(root, "/odd"), -1);
    CU_ASSERT_EQUAL(cgroup_cpu_millis(root, "/none/such"), -1);
}

static void workers_are_the_quota_rounded_up_within_cpus_and_most(void)
{
    enum { NO_QUOTA = -1, MANY = 64 };
    static const struct {
        long millis;
        unsigned cpus, most, workers;
    } rows[] = {
        {NO_QUOTA, 2, 4, 2},    {NO_QUOTA, 8, 4, 4}, {NO_QUOTA, 1, 4, 1}, {NO_QUOTA, 0, 4, 4},
        {1, MANY, MANY, 1},     {100, 8, 4, 1},      {999, 8, 4, 1},      {1000, 8, 4, 1},
        {1001, 8, 4, 2},        {1500, 8, 4, 2},     {2000, 8, 4, 2},     {2001, 8, 4, 3},
        {8000, 8, 4, 4},        {8000, 2, 4, 2},     {3000, 2, 4, 2},     {0, 2, 4, 2},
        {LONG_MAX, 2, MANY, 2}, {500, 8, 0, 1},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        unsigned workers = cgroup_workers(rows[i].millis, rows[i].cpus, rows[i].most);
        CU_ASSERT_EQUAL(workers, rows[i].workers);
        if (workers != rows[i].workers)
            printf("\n%ld thousandths, %u CPUs, at most %u: %u workers\n", rows[i].millis,
                   rows[i].cpus, rows[i].most, workers);
    }
}

static void there_is_always_a_worker_and_never_more_than_asked(void)
{
    CU_ASSERT_EQUAL(cgroup_worker_count(1), 1);
    CU_ASSERT_TRUE(cgroup_worker_count(4) >= 1 && cgroup_worker_count(4) <= 4);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(the_tightest_quota_on_the_way_up_counts),
        SUITE_CASE(version_1_is_read_as_well),
        SUITE_CASE(no_file_or_no_number_is_no_limit),
        SUITE_CASE(workers_are_the_quota_rounded_up_within_cpus_and_most),
        SUITE_CASE(there_is_always_a_worker_and_never_more_than_asked),
        SUITE_END,
    };
    if (!mkdtemp(root))
        return 2;
    int failed = suite_main("proxy/cgroup", cases, argc, argv);
    char command[600];
    snprintf(command, sizeof command, "rm -r '%s'", root);
    return system(command) == 0 ? failed : 2;
}
