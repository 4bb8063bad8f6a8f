#include "mesh/snapshot.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "mesh/builder.h"
#include "suite.h"

static struct addr ip4(unsigned a, unsigned b, unsigned c, unsigned d)
{
    return (struct addr){.len = 4, .bytes = {(uint8_t)a, (uint8_t)b, (uint8_t)c, (uint8_t)d}};
}

static void put_workload(struct mesh_builder *builder, const struct mesh_workload *from)
{
    struct mesh_workload *workload;
    struct err err;
    CU_ASSERT_FATAL(mesh_workload_new(from, &workload, &err) == ERR_OK);
    CU_ASSERT(mesh_builder_put_workload(builder, workload));
    mesh_workload_unref(workload);
}

static void put_service(struct mesh_builder *builder, const struct mesh_service *from)
{
    struct mesh_service *service;
    struct err err;
    CU_ASSERT_FATAL(mesh_service_new(from, &service, &err) == ERR_OK);
    CU_ASSERT(mesh_builder_put_service(builder, service));
    mesh_service_unref(service);
}

static void put_policy(struct mesh_builder *builder, const struct mesh_policy *from)
{
    struct mesh_policy *policy;
    struct err err;
    CU_ASSERT_FATAL(mesh_policy_new(from, &policy, &err) == ERR_OK);
    CU_ASSERT(mesh_builder_put_policy(builder, policy));
    mesh_policy_unref(policy);
}

/* A builder on `base`, which it takes over. */
static struct mesh_builder *change(struct mesh_snapshot *base)
{
    struct mesh_builder *builder = mesh_builder_new(base);
    CU_ASSERT_PTR_NOT_NULL_FATAL(builder);
    mesh_snapshot_unref(base);
    return builder;
}

static struct mesh_snapshot *done(struct mesh_builder *builder)
{
    struct mesh_snapshot *snapshot;
    struct err err;
    CU_ASSERT_FATAL(mesh_builder_finish(builder, &snapshot, &err) == ERR_OK);
    return snapshot;
}

static void snapshot_finds_services_before_workloads(void)
{
    struct mesh_builder *builder = change(mesh_snapshot_new("mesh.test"));
    struct addr pod = ip4(10, 0, 0, 1), both = ip4(10, 0, 0, 2), vip = ip4(10, 96, 0, 1);
    const struct addr pods[] = {pod, both}, vips[] = {both, vip};
    put_workload(builder, &(struct mesh_workload){
                              .uid = "w", .namespace = "n", .addresses = pods, .address_count = 2});
    put_service(builder,
                &(struct mesh_service){
                    .hostname = "h", .namespace = "n", .addresses = vips, .address_count = 2});
    struct mesh_snapshot *snapshot = done(builder);
    CU_ASSERT_PTR_NOT_NULL(mesh_find_address(snapshot, &pod).workload);
    CU_ASSERT_PTR_NULL(mesh_find_address(snapshot, &pod).service);
    CU_ASSERT_PTR_NOT_NULL(mesh_find_address(snapshot, &vip).service);
    CU_ASSERT_PTR_NOT_NULL(mesh_find_address(snapshot, &both).service);
    CU_ASSERT_PTR_NULL(mesh_find_address(snapshot, &both).workload);
    CU_ASSERT_PTR_NOT_NULL(mesh_find_workload_at(snapshot, &both));
    struct addr other = ip4(10, 0, 0, 3), none = {0};
    CU_ASSERT_PTR_NULL(mesh_find_address(snapshot, &other).workload);
    CU_ASSERT_PTR_NULL(mesh_find_address(snapshot, &none).workload);
    CU_ASSERT_STRING_EQUAL(mesh_find_service(snapshot, "n/h")->hostname, "h");
    CU_ASSERT_PTR_NULL(mesh_find_service(snapshot, "n/g"));
    mesh_snapshot_unref(snapshot);
}

static void snapshot_gives_a_shared_address_to_the_later_pod(void)
{
    struct mesh_builder *builder = change(mesh_snapshot_new("mesh.test"));
    struct addr ip = ip4(10, 0, 0, 1);
    const struct mesh_workload old = {
        .uid = "old", .namespace = "n", .addresses = &ip, .address_count = 1};
    const struct mesh_workload new = {
        .uid = "new", .namespace = "n", .addresses = &ip, .address_count = 1};
    const struct mesh_workload host = {.uid = "host",
                                       .namespace = "n",
                                       .addresses = &ip,
                                       .address_count = 1,
                                       .network_mode = MESH_NETWORK_HOST};
    put_workload(builder, &old);
    put_workload(builder, &new);
    put_workload(builder, &host);
    struct mesh_snapshot *snapshot = done(builder);
    CU_ASSERT_STRING_EQUAL(mesh_find_address(snapshot, &ip).workload->uid, "new");
    builder = change(snapshot);
    put_workload(builder, &old);
    snapshot = done(builder);
    CU_ASSERT_STRING_EQUAL(mesh_find_address(snapshot, &ip).workload->uid, "old");
    builder = change(snapshot);
    CU_ASSERT(mesh_builder_remove_address(builder, "old"));
    CU_ASSERT(mesh_builder_remove_address(builder, "new"));
    CU_ASSERT_FALSE(mesh_builder_remove_address(builder, "new"));
    snapshot = done(builder);
    CU_ASSERT_STRING_EQUAL(mesh_find_address(snapshot, &ip).workload->uid, "host");
    mesh_snapshot_unref(snapshot);
}

static void snapshot_lists_healthy_endpoints_and_resolves_their_ports(void)
{
    struct mesh_builder *builder = change(mesh_snapshot_new("mesh.test"));
    const struct mesh_port service_ports[] = {{80, 8080}, {90, 0}};
    put_service(builder,
                &(struct mesh_service){
                    .hostname = "h", .namespace = "n", .ports = service_ports, .port_count = 2});
    put_service(builder, &(struct mesh_service){.hostname = "all",
                                                .namespace = "n",
                                                .ports = service_ports,
                                                .port_count = 2,
                                                .allow_unhealthy = true});
    struct addr ip = ip4(10, 0, 0, 1);
    const struct mesh_port own[] = {{90, 9999}};
    const struct mesh_link links[] = {{"n/h", own, 1}, {"n/all", NULL, 0}, {"n/unknown", NULL, 0}};
    struct mesh_workload workload = {.uid = "a",
                                     .namespace = "n",
                                     .addresses = &ip,
                                     .address_count = 1,
                                     .links = links,
                                     .link_count = 3};
    put_workload(builder, &workload);
    workload.uid = "sick";
    workload.status = MESH_UNHEALTHY;
    put_workload(builder, &workload);
    workload = (struct mesh_workload){
        .uid = "placeless", .namespace = "n", .links = links, .link_count = 3};
    put_workload(builder, &workload);
    struct mesh_snapshot *snapshot = done(builder);

    const struct mesh_service *service = mesh_find_service(snapshot, "n/h");
    struct mesh_endpoints endpoints = mesh_service_endpoints(snapshot, service);
    CU_ASSERT_EQUAL_FATAL(endpoints.count, 1);
    CU_ASSERT_STRING_EQUAL(endpoints.items[0].workload->uid, "a");
    CU_ASSERT_EQUAL(mesh_endpoint_port(&endpoints.items[0], service, 80), 8080);
    CU_ASSERT_EQUAL(mesh_endpoint_port(&endpoints.items[0], service, 90), 9999);
    CU_ASSERT_EQUAL(mesh_endpoint_port(&endpoints.items[0], service, 91), 0);

    service = mesh_find_service(snapshot, "n/all");
    endpoints = mesh_service_endpoints(snapshot, service);
    CU_ASSERT_EQUAL_FATAL(endpoints.count, 2);
    CU_ASSERT_EQUAL(mesh_endpoint_port(&endpoints.items[0], service, 90), 0);
    mesh_snapshot_unref(snapshot);
}

static void snapshot_sorts_policies_by_scope(void)
{
    struct mesh_builder *builder = change(mesh_snapshot_new("mesh.test"));
    static const char *const namespaces[] = {"b", "a", "c", "a"};
    char name[16];
    for (int i = 0; i < 4; i++) {
        snprintf(name, sizeof name, "p%d", i);
        put_policy(builder, &(struct mesh_policy){.name = name,
                                                  .namespace = namespaces[i],
                                                  .scope = MESH_SCOPE_NAMESPACE});
    }
    put_policy(builder, &(struct mesh_policy){.name = "g", .scope = MESH_SCOPE_GLOBAL});
    put_policy(builder,
               &(struct mesh_policy){.name = "s", .namespace = "a", .scope = MESH_SCOPE_WORKLOAD});
    struct mesh_snapshot *snapshot = done(builder);
    CU_ASSERT_EQUAL(mesh_global_policies(snapshot).count, 1);
    CU_ASSERT_STRING_EQUAL(mesh_global_policies(snapshot).items[0]->key, "/g");
    struct mesh_policies policies = mesh_namespace_policies(snapshot, "a");
    CU_ASSERT_EQUAL_FATAL(policies.count, 2);
    CU_ASSERT_STRING_EQUAL(policies.items[0]->key, "a/p1");
    CU_ASSERT_STRING_EQUAL(policies.items[1]->key, "a/p3");
    CU_ASSERT_EQUAL(mesh_namespace_policies(snapshot, "c").count, 1);
    CU_ASSERT_EQUAL(mesh_namespace_policies(snapshot, "d").count, 0);
    CU_ASSERT_EQUAL(mesh_namespace_policies(snapshot, "").count, 0);
    CU_ASSERT_PTR_NOT_NULL(mesh_find_policy(snapshot, "a/s"));
    builder = change(snapshot);
    CU_ASSERT(mesh_builder_remove_policy(builder, "a/p1"));
    snapshot = done(builder);
    CU_ASSERT_EQUAL(mesh_namespace_policies(snapshot, "a").count, 1);
    mesh_snapshot_unref(snapshot);
}

static void snapshot_stays_as_it_was_when_the_next_one_is_made(void)
{
    struct mesh_builder *builder = change(mesh_snapshot_new("mesh.test"));
    struct addr ip = ip4(10, 0, 0, 1);
    put_workload(builder, &(struct mesh_workload){
                              .uid = "a", .namespace = "n", .addresses = &ip, .address_count = 1});
    struct mesh_snapshot *first = done(builder);
    const struct mesh_workload *before = mesh_find_workload(first, "a");
    builder = mesh_builder_new(first);
    put_workload(builder, &(struct mesh_workload){.uid = "b", .namespace = "n"});
    struct mesh_snapshot *second = done(builder);
    builder = mesh_builder_new(second);
    CU_ASSERT(mesh_builder_remove_address(builder, "a"));
    struct mesh_snapshot *third = done(builder);
    CU_ASSERT_PTR_EQUAL(mesh_find_workload(second, "a"), before); /* shared, not copied */
    CU_ASSERT_PTR_NULL(mesh_find_workload(first, "b"));
    CU_ASSERT_PTR_NULL(mesh_find_workload(third, "a"));
    CU_ASSERT_EQUAL(mesh_workload_count(second), 2);
    CU_ASSERT_EQUAL(mesh_snapshot_generation(third), mesh_snapshot_generation(first) + 2);
    mesh_snapshot_unref(third);
    mesh_snapshot_unref(second);
    CU_ASSERT_STRING_EQUAL(mesh_find_address(first, &ip).workload->uid, "a");
    mesh_snapshot_unref(first);
}

static void fill(struct mesh_builder *builder, unsigned from, unsigned count)
{
    const struct mesh_port ports[] = {{80, 8080}};
    for (unsigned i = from; i < from + count; i++) {
        char uid[64], service[64];
        snprintf(uid, sizeof uid, "Kubernetes//Pod/shop/web-%u", i);
        snprintf(service, sizeof service, "shop/s%u.shop.svc.cluster.local", i % 100);
        const struct addr addresses[] = {
            ip4(10, i >> 16, (i >> 8) & 255, i & 255),
            {.len = 16, .bytes = {0xfd, [14] = (uint8_t)(i >> 8), [15] = (uint8_t)i}}};
        const struct mesh_link link = {service, ports, 1};
        put_workload(builder, &(struct mesh_workload){.uid = uid,
                                                      .name = uid + 21,
                                                      .namespace = "shop",
                                                      .service_account = "web",
                                                      .addresses = addresses,
                                                      .address_count = 2,
                                                      .links = &link,
                                                      .link_count = 1});
    }
}

static double now_ms(void)
{
    struct timespec at;
    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec * 1e3 + (double)at.tv_nsec / 1e6;
}

static void snapshot_of_ten_thousand_is_derived_in_milliseconds(void)
{
    struct mesh_builder *builder = change(mesh_snapshot_new("mesh.test"));
    for (unsigned i = 0; i < 100; i++) {
        char host[64];
        snprintf(host, sizeof host, "s%u.shop.svc.cluster.local", i);
        struct addr vip = ip4(10, 200, 0, i);
        put_service(builder, &(struct mesh_service){.hostname = host,
                                                    .namespace = "shop",
                                                    .addresses = &vip,
                                                    .address_count = 1});
    }
    fill(builder, 0, 10000);
    struct mesh_snapshot *snapshot = done(builder);
    double best = 1e9;
    for (unsigned round = 0; round < 5; round++) {
        struct mesh_builder *next = mesh_builder_new(snapshot);
        fill(next, 10000 + round, 1);
        double start = now_ms();
        struct mesh_builder *copy = mesh_builder_new(snapshot);
        struct mesh_snapshot *other = done(copy);
        double spent = now_ms() - start;
        mesh_snapshot_unref(other);
        best = spent < best ? spent : best;
        mesh_snapshot_unref(snapshot);
        snapshot = done(next);
    }
    printf(" (%.2f ms) ", best);
    CU_ASSERT_EQUAL(mesh_workload_count(snapshot), 10005);
    CU_ASSERT(best < 200); /* loose: this also runs under sanitizers on a busy machine */
    struct addr ip = ip4(10, 0, 0x12, 0x34);
    CU_ASSERT_STRING_EQUAL(mesh_find_address(snapshot, &ip).workload->name, "web-4660");
    CU_ASSERT_EQUAL(mesh_service_endpoints(
                        snapshot, mesh_find_service(snapshot, "shop/s7.shop.svc.cluster.local"))
                        .count,
                    100);
    mesh_snapshot_unref(snapshot);
}

/* Random puts and removals against a plain array. */
static void snapshot_agrees_with_a_plain_list_after_random_changes(void)
{
    enum { NAMES = 64, STEPS = 3000 };
    int present[NAMES] = {0}, status[NAMES] = {0};
    srand(7);
    struct mesh_snapshot *snapshot = mesh_snapshot_new("mesh.test");
    for (int step = 0; step < STEPS; step++) {
        struct mesh_builder *builder = change(snapshot);
        for (int n = rand() % 4; n >= 0; n--) {
            int i = rand() % NAMES;
            char uid[16];
            snprintf(uid, sizeof uid, "w%d", i);
            if (rand() % 3) {
                struct addr ip = ip4(10, 0, 0, (unsigned)i);
                status[i] = rand() % 2;
                present[i] = 1;
                put_workload(builder, &(struct mesh_workload){.uid = uid,
                                                              .namespace = "n",
                                                              .status = status[i],
                                                              .addresses = &ip,
                                                              .address_count = 1});
            } else {
                CU_ASSERT_EQUAL(mesh_builder_remove_address(builder, uid), present[i]);
                present[i] = 0;
            }
        }
        snapshot = done(builder);
        size_t count = 0;
        for (int i = 0; i < NAMES; i++) {
            struct addr ip = ip4(10, 0, 0, (unsigned)i);
            const struct mesh_workload *found = mesh_find_address(snapshot, &ip).workload;
            if ((found != NULL) != present[i] || (found && (int)found->status != status[i]))
                CU_FAIL_FATAL("the snapshot differs from the list");
            count += (size_t)present[i];
        }
        CU_ASSERT_EQUAL_FATAL(mesh_workload_count(snapshot), count);
    }
    mesh_snapshot_unref(snapshot);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(snapshot_finds_services_before_workloads),
        SUITE_CASE(snapshot_gives_a_shared_address_to_the_later_pod),
        SUITE_CASE(snapshot_lists_healthy_endpoints_and_resolves_their_ports),
        SUITE_CASE(snapshot_sorts_policies_by_scope),
        SUITE_CASE(snapshot_stays_as_it_was_when_the_next_one_is_made),
        SUITE_CASE(snapshot_of_ten_thousand_is_derived_in_milliseconds),
        SUITE_CASE(snapshot_agrees_with_a_plain_list_after_random_changes),
        SUITE_END,
    };
    return suite_main("snapshot", cases, argc, argv);
}
