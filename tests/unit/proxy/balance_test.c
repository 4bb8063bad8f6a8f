#include "proxy/balance.h"

#include <stdio.h>
#include <string.h>

#include "mesh/builder.h"
#include "suite.h"

enum { ENDPOINTS = 4 };

/* A service with ENDPOINTS workloads; the last one does not serve the port when `partial`. */
static struct mesh_snapshot *make_mesh(bool partial)
{
    struct mesh_snapshot *empty = mesh_snapshot_new("test.mesh"), *snapshot = NULL;
    struct mesh_builder *builder = mesh_builder_new(empty);
    const struct mesh_port ports[] = {{.service_port = 80, .target_port = 0}};
    const struct mesh_service service = {
        .name = "web", .namespace = "shop", .hostname = "web", .ports = ports, .port_count = 1};
    struct mesh_service *made;
    struct err err = {0};
    CU_ASSERT_EQUAL_FATAL(mesh_service_new(&service, &made, &err), ERR_OK);
    mesh_builder_put_service(builder, made);
    mesh_service_unref(made);
    for (unsigned i = 0; i < ENDPOINTS; i++) {
        char uid[32];
        struct addr ip;
        snprintf(uid, sizeof uid, "w%u", i);
        addr_parse(&ip, "10.0.0.1");
        ip.bytes[3] = (uint8_t)(i + 1);
        bool serves = !(partial && i == ENDPOINTS - 1);
        const struct mesh_port own[] = {{.service_port = 80, .target_port = 8080}};
        const struct mesh_link link = {.service = "shop/web", .ports = own, .port_count = serves};
        const struct mesh_workload workload = {.uid = uid,
                                               .name = uid,
                                               .namespace = "shop",
                                               .addresses = &ip,
                                               .address_count = 1,
                                               .links = &link,
                                               .link_count = 1};
        struct mesh_workload *record;
        CU_ASSERT_EQUAL_FATAL(mesh_workload_new(&workload, &record, &err), ERR_OK);
        mesh_builder_put_workload(builder, record);
        mesh_workload_unref(record);
    }
    CU_ASSERT_EQUAL_FATAL(mesh_builder_finish(builder, &snapshot, &err), ERR_OK);
    mesh_snapshot_unref(empty);
    return snapshot;
}

static void connections_spread_evenly_over_the_endpoints(void)
{
    struct mesh_snapshot *mesh = make_mesh(false);
    const struct mesh_service *service = mesh_find_service(mesh, "shop/web");
    struct balance balance;
    struct balance_load *loads[400];
    balance_init(&balance, NULL);
    for (int i = 0; i < 400; i++) {
        uint16_t port = 0;
        loads[i] = balance_begin(&balance, balance_pick(&balance, mesh, service, 80, NULL, &port));
        CU_ASSERT_EQUAL(port, 8080);
    }
    for (int i = 0; i < ENDPOINTS; i++) {
        char uid[32];
        snprintf(uid, sizeof uid, "w%d", i);
        unsigned count = balance_count(&balance, uid);
        CU_ASSERT_TRUE(count >= 95 && count <= 105);
    }
    for (int i = 0; i < 400; i++)
        balance_end(&balance, loads[i]);
    CU_ASSERT_EQUAL(balance.loads.count, 0);
    balance_deinit(&balance);
    mesh_snapshot_unref(mesh);
}

static void who_does_not_serve_the_port_or_was_tried_is_never_picked(void)
{
    struct mesh_snapshot *mesh = make_mesh(true);
    const struct mesh_service *service = mesh_find_service(mesh, "shop/web");
    const struct mesh_workload *tried = mesh_find_workload(mesh, "w0");
    struct balance balance;
    balance_init(&balance, NULL);
    for (int i = 0; i < 500; i++) {
        uint16_t port = 0;
        const struct mesh_workload *one = balance_pick(&balance, mesh, service, 80, tried, &port);
        CU_ASSERT_PTR_NOT_NULL_FATAL(one);
        CU_ASSERT_TRUE(strcmp(one->uid, "w1") == 0 || strcmp(one->uid, "w2") == 0);
    }
    uint16_t port = 0;
    CU_ASSERT_PTR_NULL(balance_pick(&balance, mesh, service, 81, NULL, &port));
    balance_deinit(&balance);
    mesh_snapshot_unref(mesh);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(connections_spread_evenly_over_the_endpoints),
        SUITE_CASE(who_does_not_serve_the_port_or_was_tried_is_never_picked),
        SUITE_END,
    };
    return suite_main("proxy/balance", cases, argc, argv);
}
