#include "proxy/news.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "mesh/builder.h"
#include "suite.h"

enum { SAID_MAX = 8192, PATIENCE_MS = 10000 };

static struct {
    struct loop loop;
    struct timers timers;
    struct config config;
    struct mesh_snapshot *mesh;
    struct news news;
    FILE *log;
    char said[SAID_MAX];
} bed;

static void begin(void)
{
    struct err err = {0};
    memset(&bed, 0, sizeof bed);
    bed.log = tmpfile();
    CU_ASSERT_PTR_NOT_NULL_FATAL(bed.log);
    log_init(fileno(bed.log), LOG_FORMAT_TEXT, LOG_LEVEL_INFO);
    CU_ASSERT_EQUAL_FATAL(loop_init(&bed.loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(timers_init(&bed.timers, &bed.loop, &err), ERR_OK);
    bed.config = (struct config){.pod_name = "web-1", .ns = "shop", .pod_ip_count = 2};
    addr_parse(&bed.config.pod_ips[0], "10.0.0.1");
    addr_parse(&bed.config.pod_ips[1], "fd00::1");
    bed.mesh = mesh_snapshot_new("test.mesh");
    bed.news = (struct news){.config = &bed.config, .timers = &bed.timers, .grace_ms = 20};
}

static void end(void)
{
    news_close(&bed.news);
    timers_close(&bed.timers, NULL);
    loop_deinit(&bed.loop);
    mesh_snapshot_unref(bed.mesh);
    log_init(2, LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    fclose(bed.log);
}

/* What the log has got since the last time. */
static const char *said(void)
{
    off_t len = lseek(fileno(bed.log), 0, SEEK_END);
    ssize_t got = pread(fileno(bed.log), bed.said, SAID_MAX - 1, 0);
    CU_ASSERT_EQUAL(got, len);
    bed.said[got > 0 ? got : 0] = 0;
    CU_ASSERT_EQUAL(ftruncate(fileno(bed.log), 0), 0);
    lseek(fileno(bed.log), 0, SEEK_SET);
    return bed.said;
}

static bool says(const char *part)
{
    bool found = strstr(bed.said, part);
    if (!found)
        printf("\nnot there: %s\nin:\n%s\n", part, bed.said);
    return found;
}

static void finish(struct mesh_builder *builder)
{
    struct err err;
    struct mesh_snapshot *next;
    CU_ASSERT_EQUAL_FATAL(mesh_builder_finish(builder, &next, &err), ERR_OK);
    mesh_snapshot_unref(bed.mesh);
    bed.mesh = next;
}

/* A workload of the namespace at both addresses (NULL: none), which names one policy or none. */
static void put_workload(const char *name, const char *ip4, const char *ip6, const char *policy,
                         enum mesh_status status)
{
    struct err err;
    struct addr addresses[2];
    unsigned count = 0;
    count += ip4 && addr_parse(&addresses[count], ip4);
    count += ip6 && addr_parse(&addresses[count], ip6);
    const struct mesh_workload from = {.uid = name,
                                       .name = name,
                                       .namespace = "shop",
                                       .status = status,
                                       .addresses = addresses,
                                       .address_count = count,
                                       .policies = &policy,
                                       .policy_count = policy ? 1 : 0};
    struct mesh_workload *record;
    struct mesh_builder *builder = mesh_builder_new(bed.mesh);
    CU_ASSERT_EQUAL_FATAL(mesh_workload_new(&from, &record, &err), ERR_OK);
    CU_ASSERT_TRUE(mesh_builder_put_workload(builder, record));
    mesh_workload_unref(record);
    finish(builder);
}

static void put_policy(const char *namespace, const char *name, enum mesh_scope scope)
{
    struct err err;
    const struct mesh_policy from = {.name = name, .namespace = namespace, .scope = scope};
    struct mesh_policy *record;
    struct mesh_builder *builder = mesh_builder_new(bed.mesh);
    CU_ASSERT_EQUAL_FATAL(mesh_policy_new(&from, &record, &err), ERR_OK);
    CU_ASSERT_TRUE(mesh_builder_put_policy(builder, record));
    mesh_policy_unref(record);
    finish(builder);
}

static void show(bool complete)
{
    struct view *view = view_new(bed.mesh, NULL, complete);
    news_view(&bed.news, view);
    view_unref(view);
}

static void run_until_warned(unsigned at)
{
    int64_t until = clock_now_ms() + PATIENCE_MS;
    while (!bed.news.warned[at] && clock_now_ms() < until)
        uv_run(&bed.loop.uv, UV_RUN_ONCE);
    CU_ASSERT_TRUE(bed.news.warned[at]);
}

static void the_first_configuration_is_one_line(void)
{
    begin();
    put_workload("web-1", "10.0.0.1", "fd00::1", "shop/mine", MESH_HEALTHY);
    show(false);
    CU_ASSERT_STRING_EQUAL(said(), "");
    put_policy("", "strict", MESH_SCOPE_GLOBAL);
    put_policy("shop", "all", MESH_SCOPE_NAMESPACE);
    put_policy("jobs", "theirs", MESH_SCOPE_NAMESPACE);
    show(true);
    said();
    CU_ASSERT_TRUE(says("configuration generation=4 workloads=1 services=0 policies=3 "
                        "own_policies=3 names=\"/strict, shop/all, shop/mine (not here)\"\n"));
    show(true);
    CU_ASSERT_STRING_EQUAL(said(), "");
    end();
}

static void only_policies_that_guard_this_pod_are_news(void)
{
    begin();
    put_workload("web-1", "10.0.0.1", "fd00::1", "shop/mine", MESH_HEALTHY);
    show(true);
    said();
    put_policy("jobs", "theirs", MESH_SCOPE_NAMESPACE);
    put_policy("shop", "others", MESH_SCOPE_WORKLOAD);
    put_workload("web-2", "10.0.0.2", NULL, "shop/others", MESH_HEALTHY);
    put_workload("web-1", "10.0.0.1", "fd00::1", "shop/mine", MESH_UNHEALTHY);
    show(true);
    CU_ASSERT_STRING_EQUAL(said(), "");
    put_policy("shop", "mine", MESH_SCOPE_WORKLOAD);
    show(true);
    said();
    CU_ASSERT_TRUE(says("policies_changed generation=6 own_policies=1 names=shop/mine\n"));
    put_policy("shop", "mine", MESH_SCOPE_WORKLOAD); /* another record under the same name */
    show(true);
    said();
    CU_ASSERT_TRUE(says("policies_changed generation=7 own_policies=1 names=shop/mine\n"));
    end();
}

static void many_policies_make_a_short_line(void)
{
    begin();
    for (int i = 0; i < 100; i++) {
        char name[32];
        snprintf(name, sizeof name, "policy-number-%d", i);
        put_policy("shop", name, MESH_SCOPE_NAMESPACE);
    }
    show(true);
    CU_ASSERT_TRUE(strlen(said()) < 600);
    CU_ASSERT_TRUE(says("own_policies=100 "));
    CU_ASSERT_TRUE(says(" ...\"\n"));
    end();
}

static void an_address_that_no_record_has_is_warned_about_once(void)
{
    begin();
    put_workload("web-1", "10.0.0.1", NULL, NULL, MESH_HEALTHY);
    show(true);
    said();
    CU_ASSERT_PTR_NULL(strstr(bed.said, "pod_address_unknown"));
    run_until_warned(1);
    CU_ASSERT_FALSE(bed.news.warned[0]);
    said();
    CU_ASSERT_TRUE(says("pod_address_unknown"));
    CU_ASSERT_TRUE(says("no record of this pod, shop/web-1, has the address fd00::1 (--pod-ip): "
                        "connections to it are refused"));
    put_workload("web-2", "10.0.0.2", NULL, NULL, MESH_HEALTHY);
    show(true);
    CU_ASSERT_EQUAL(bed.news.grace.slot, 0);
    /* Somebody else has the other one. */
    put_workload("web-1", NULL, NULL, NULL, MESH_HEALTHY);
    put_workload("batch", "10.0.0.1", NULL, NULL, MESH_HEALTHY);
    show(true);
    run_until_warned(0);
    said();
    CU_ASSERT_TRUE(says("the address 10.0.0.1 (--pod-ip) belongs to shop/batch, not to this pod, "
                        "shop/web-1: connections to it are refused"));
    CU_ASSERT_PTR_NULL(strstr(bed.said, "fd00::1"));
    end();
}

static void a_record_that_comes_within_the_grace_is_no_warning(void)
{
    begin();
    show(true);
    CU_ASSERT_NOT_EQUAL(bed.news.grace.slot, 0);
    put_workload("web-1", "10.0.0.1", "fd00::1", NULL, MESH_HEALTHY);
    show(true);
    int64_t until = clock_now_ms() + PATIENCE_MS;
    while (bed.news.grace.slot && clock_now_ms() < until)
        uv_run(&bed.loop.uv, UV_RUN_ONCE);
    CU_ASSERT_PTR_NULL(strstr(said(), "pod_address_unknown"));
    end();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(the_first_configuration_is_one_line),
        SUITE_CASE(only_policies_that_guard_this_pod_are_news),
        SUITE_CASE(many_policies_make_a_short_line),
        SUITE_CASE(an_address_that_no_record_has_is_warned_about_once),
        SUITE_CASE(a_record_that_comes_within_the_grace_is_no_warning),
        SUITE_END,
    };
    return suite_main("proxy/news", cases, argc, argv);
}
