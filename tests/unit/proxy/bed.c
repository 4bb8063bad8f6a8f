#include "bed.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "mesh/unreadable.h"
#include "proxy/inbound.h"
#include "proxy/outbound.h"

enum { BED_PATIENCE_MS = 10000, BED_QUIET_MS = 30 };

static void must(bool good, const char *what)
{
    if (good)
        return;
    fprintf(stderr, "bed: %s\n", what);
    abort();
}

/* --- running -------------------------------------------------------------------------------- */

/* What the redirect would do: connections on the wire arrive at the server pod. */
static bool take_wire(struct bed *bed)
{
    if (bed->wire_is_plain)
        return false;
    int fd = accept4(bed->wire, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (fd < 0)
        return false;
    must(socket_prepare(fd, &bed->server.worker.limits), "prepare a socket");
    inbound_start(&bed->server.worker, fd, &bed->wire_source, &bed->app_at);
    return true;
}

/* One round; sleeps in poll(2) until something happens, at most `wait_ms`. */
static void step(struct bed *bed, int wait_ms)
{
    uv_loop_t *loops[2] = {&bed->client.worker.loop.uv, &bed->server.worker.loop.uv};
    struct pollfd ready[3] = {{.fd = bed->wire_is_plain ? -1 : bed->wire, .events = POLLIN}};
    for (int i = 0; i < 2; i++) {
        uv_run(loops[i], UV_RUN_NOWAIT);
        int timeout = uv_backend_timeout(loops[i]);
        if (timeout >= 0 && timeout < wait_ms)
            wait_ms = timeout;
        ready[1 + i] = (struct pollfd){.fd = uv_backend_fd(loops[i]), .events = POLLIN};
    }
    if (!take_wire(bed))
        poll(ready, 3, wait_ms);
}

bool bed_run(struct bed *bed, bool (*done)(void *arg), void *arg)
{
    int64_t until = clock_now_ms() + BED_PATIENCE_MS;
    while (!done(arg)) {
        if (clock_now_ms() > until)
            return false;
        step(bed, 5);
    }
    return true;
}

void bed_settle(struct bed *bed)
{
    int64_t until = clock_now_ms() + BED_QUIET_MS;
    while (clock_now_ms() < until)
        step(bed, 2);
}

/* --- the mesh ------------------------------------------------------------------------------- */

static void change(struct bed *bed, bool (*apply)(struct mesh_builder *, void *), void *record)
{
    struct err err;
    struct mesh_snapshot *next;
    struct mesh_builder *builder = mesh_builder_new(bed->mesh);
    must(builder && apply(builder, record), "change the mesh");
    must(mesh_builder_finish(builder, &next, &err) == ERR_OK, "make a snapshot");
    mesh_snapshot_unref(bed->mesh);
    bed->mesh = next;
}

static bool put_workload(struct mesh_builder *builder, void *record)
{
    return mesh_builder_put_workload(builder, record);
}

static bool put_policy(struct mesh_builder *builder, void *record)
{
    return mesh_builder_put_policy(builder, record);
}

static bool drop_policy(struct mesh_builder *builder, void *key)
{
    return mesh_builder_remove_policy(builder, key);
}

static bool put_service(struct mesh_builder *builder, void *record)
{
    return mesh_builder_put_service(builder, record);
}

static void add_workload(struct bed *bed, const struct mesh_workload *from)
{
    struct err err;
    struct mesh_workload *record;
    must(mesh_workload_new(from, &record, &err) == ERR_OK, "make a workload");
    change(bed, put_workload, record);
    mesh_workload_unref(record);
}

void bed_put_server(struct bed *bed, enum mesh_tunnel tunnel, const char *policy)
{
    const struct mesh_port port = {.service_port = 80, .target_port = bed->wire_at.port};
    const struct mesh_link link = {.service = "shop/web", .ports = &port, .port_count = 1};
    const struct mesh_workload workload = {
        .uid = "server",
        .name = "server",
        .namespace = "shop",
        .service_account = "server",
        .tunnel = tunnel,
        .addresses = &bed->server.config.pod_ips[0],
        .address_count = 1,
        .links = &link,
        .link_count = 1,
        .policies = &policy,
        .policy_count = policy != NULL,
    };
    add_workload(bed, &workload);
}

static void put_client(struct bed *bed)
{
    const struct mesh_workload workload = {
        .uid = "client",
        .name = "client",
        .namespace = "shop",
        .service_account = "client",
        .tunnel = MESH_TUNNEL_LEGACY_MTLS,
        .addresses = &bed->client.config.pod_ips[0],
        .address_count = 1,
    };
    add_workload(bed, &workload);
}

void bed_put_endpoint(struct bed *bed, const char *name, const char *at)
{
    struct addr_port to;
    must(addr_port_parse(&to, at), "parse an endpoint");
    const struct mesh_port port = {.service_port = 80, .target_port = to.port};
    const struct mesh_link link = {.service = "shop/web", .ports = &port, .port_count = 1};
    const struct mesh_workload workload = {
        .uid = name,
        .name = name,
        .namespace = "shop",
        .service_account = "server",
        .tunnel = MESH_TUNNEL_LEGACY_MTLS,
        .addresses = &to.ip,
        .address_count = 1,
        .links = &link,
        .link_count = 1,
    };
    add_workload(bed, &workload);
}

static void put_web(struct bed *bed)
{
    struct addr ip;
    struct err err;
    struct mesh_service *record;
    const struct mesh_port port = {.service_port = 80};
    must(addr_parse(&ip, BED_SERVICE_IP), "parse an address");
    const struct mesh_service service = {.name = "web",
                                         .namespace = "shop",
                                         .hostname = "web",
                                         .addresses = &ip,
                                         .address_count = 1,
                                         .ports = &port,
                                         .port_count = 1};
    must(mesh_service_new(&service, &record, &err) == ERR_OK, "make a service");
    change(bed, put_service, record);
    mesh_service_unref(record);
}

static void add_deny(struct bed *bed, const char *name, const struct mesh_match *match)
{
    struct err err;
    struct mesh_policy *record;
    const struct mesh_clause clause = {.matches = match, .match_count = 1};
    const struct mesh_rule rule = {.clauses = &clause, .clause_count = 1};
    /* A policy whose name has a slash in front is global, and without one the workload's own. */
    bool global = name[0] == '/';
    const struct mesh_policy policy = {
        .name = global ? name + 1 : name,
        .namespace = global ? "" : "shop",
        .scope = global ? MESH_SCOPE_GLOBAL : MESH_SCOPE_WORKLOAD,
        .action = MESH_ACTION_DENY,
        .rules = &rule,
        .rule_count = 1,
    };
    must(mesh_policy_new(&policy, &record, &err) == ERR_OK, "make a policy");
    change(bed, put_policy, record);
    mesh_policy_unref(record);
}

void bed_put_strict(struct bed *bed)
{
    const struct mesh_string anybody = {.kind = MESH_PRESENCE, .text = ""};
    const struct mesh_match match = {.not_principals = {.items = &anybody, .count = 1}};
    add_deny(bed, "/strict", &match);
}

void bed_put_deny(struct bed *bed, const char *name, const char *principal)
{
    const struct mesh_string text = {.kind = MESH_EXACT, .text = principal};
    const struct mesh_match match = {.principals = {.items = &text, .count = 1}};
    add_deny(bed, name, &match);
}

void bed_put_unreadable(struct bed *bed, const char *name)
{
    struct err err;
    struct mesh_policy *record;
    bool global = name[0] == '/';
    char key[64];
    snprintf(key, sizeof key, "%s%s", global ? "" : "shop/", name);
    const struct mesh_unreadable from = {.key = key,
                                         .scope = global ? MESH_SCOPE_GLOBAL : MESH_SCOPE_WORKLOAD,
                                         .why = "Match has field 99"};
    must(mesh_unreadable_new(&from, &record, &err) == ERR_OK, "make a policy");
    change(bed, put_policy, record);
    mesh_policy_unref(record);
}

void bed_drop_policy(struct bed *bed, const char *key)
{
    change(bed, drop_policy, (void *)(uintptr_t)key);
}

void bed_publish(struct bed *bed)
{
    struct bed_pod *pods[2] = {&bed->client, &bed->server};
    for (int i = 0; i < 2; i++) {
        struct view *view = view_new(bed->mesh, pods[i]->context, true);
        must(view != NULL, "make a view");
        worker_set_view(&pods[i]->worker, view);
        view_unref(view);
    }
}

struct tls_context *bed_context(struct bed *bed, const char *account)
{
    struct err err = {0};
    struct spiffe_id id;
    struct ca_issued issued = {0};
    struct tls_context *context = NULL;
    struct tls_key *key = tls_key_new();
    char *csr = NULL;
    must(key && spiffe_make(&id, "test.mesh", "shop", account), "make an identity");
    must(tls_key_make_csr(key, &id, &csr, &err) == ERR_OK, "make a request");
    must(ca_issue_leaf(bed->ca, &id, csr, strlen(csr), 3600, &issued, &err) == ERR_OK, err.text);
    must(tls_context_new(&context, key, issued.chain_pem, strlen(issued.chain_pem), bed->bundle,
                         &id, view_alpn, &err) == ERR_OK,
         err.text);
    ca_issued_deinit(&issued);
    tls_key_unref(key);
    free(csr);
    return context;
}

/* --- begin and end -------------------------------------------------------------------------- */

static void make_authority(struct bed *bed)
{
    struct err err = {0};
    struct tls_key *key = tls_key_new();
    char *root;
    must(ca_make_root(key, "test root", &root, &err) == ERR_OK, err.text);
    must(ca_new(&bed->ca, key, root, root, &err) == ERR_OK, err.text);
    must(tls_bundle_new(&bed->bundle, "test.mesh", root, strlen(root), &err) == ERR_OK, err.text);
    tls_key_unref(key);
    free(root);
}

static void make_pod(struct bed *bed, struct bed_pod *pod, const char *name, const char *ip)
{
    struct err err = {0};
    const char *const words[] = {
        "proxy",
        "--pod-name",
        name,
        "--namespace",
        "shop",
        "--pod-ip",
        ip,
        "--service-account",
        name,
        "--control",
        "127.0.0.1:1",
        "--control-ca",
        "none",
        "--token-file",
        "none",
        "--trust-domain",
        "test.mesh",
        "--access-log",
        "off",
        "--handshake-timeout-ms",
        "150",
        "--hold-ms",
        "150",
        "--plaintext-wait-ms",
        "40",
        "--log-level",
        "error",
    };
    char *argv[40];
    int count = sizeof words / sizeof words[0];
    for (int i = 0; i < count; i++)
        argv[i] = (char *)(uintptr_t)words[i];
    must(config_parse(&pod->config, count, argv, &err) == ERR_OK, err.text);
    log_set_level(LOG_LEVEL_ERROR);
    ceiling_init(&pod->ceiling, 1000);
    must(stats_new(&pod->registry, &err) == ERR_OK, err.text);
    must(worker_init(&pod->worker, 0, &pod->config, &pod->ceiling, pod->registry, &err) == ERR_OK,
         err.text);
    pod->context = bed_context(bed, name);
}

static int listen_at(const char *text, struct addr_port *at)
{
    int fd = -1;
    struct err err;
    struct sockaddr_storage bound;
    socklen_t len = sizeof bound;
    must(addr_port_parse(at, text), "parse an address");
    must(socket_listen(at, false, 1024, &fd, &err) == ERR_OK, err.text);
    getsockname(fd, (struct sockaddr *)&bound, &len);
    must(addr_from_sockaddr(at, &bound), "read an address");
    return fd;
}

void bed_init(struct bed *bed)
{
    *bed = (struct bed){0};
    make_authority(bed);
    make_pod(bed, &bed->client, "client", "127.0.1.1");
    make_pod(bed, &bed->server, "server", "127.0.2.1");
    bed->wire = listen_at("127.0.2.1:0", &bed->wire_at);
    bed->app = listen_at("127.0.2.1:0", &bed->app_at);
    must(addr_port_parse(&bed->wire_source, "127.0.1.1:40000"), "parse an address");
    bed->mesh = mesh_snapshot_new("test.mesh");
    put_web(bed);
    put_client(bed);
    bed_put_server(bed, MESH_TUNNEL_LEGACY_MTLS, NULL);
}

static void end_pod(struct bed_pod *pod)
{
    worker_stop(&pod->worker);
    loop_run(&pod->worker.loop);
    worker_deinit(&pod->worker);
    must(ceiling_live(&pod->ceiling) == 0, "a connection was not counted out");
    metrics_free(pod->registry);
    tls_context_unref(pod->context);
}

void bed_deinit(struct bed *bed)
{
    end_pod(&bed->client);
    end_pod(&bed->server);
    close(bed->wire);
    close(bed->app);
    mesh_snapshot_unref(bed->mesh);
    tls_bundle_unref(bed->bundle);
    ca_unref(bed->ca);
}

/* --- applications --------------------------------------------------------------------------- */

/* A connected pair over loopback: *near is the application's, the other end is returned. */
static int make_pair(int *near)
{
    struct addr_port at;
    struct sockaddr_storage to;
    int listening = listen_at("127.0.0.1:0", &at);
    socklen_t len = addr_to_sockaddr(&at, &to);
    *near = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    must(connect(*near, (struct sockaddr *)&to, len) == 0, "connect a pair");
    int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    must(fd >= 0, "accept a pair");
    close(listening);
    fcntl(*near, F_SETFL, O_NONBLOCK);
    return fd;
}

int bed_dial(struct bed *bed, const char *to)
{
    int near;
    struct addr_port source, original;
    must(addr_port_parse(&source, "127.0.1.1:40001") && addr_port_parse(&original, to),
         "parse an address");
    int fd = make_pair(&near);
    must(socket_prepare(fd, &bed->client.worker.limits), "prepare a socket");
    outbound_start(&bed->client.worker, fd, &source, &original);
    return near;
}

int bed_call(struct bed *bed, const char *source)
{
    int near;
    struct addr_port from;
    must(addr_port_parse(&from, source), "parse an address");
    int fd = make_pair(&near);
    must(socket_prepare(fd, &bed->server.worker.limits), "prepare a socket");
    inbound_start(&bed->server.worker, fd, &from, &bed->app_at);
    return near;
}

int bed_accept(struct bed *bed, int listening)
{
    int64_t until = clock_now_ms() + BED_PATIENCE_MS;
    while (clock_now_ms() < until) {
        int fd = accept4(listening, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            return fd;
        step(bed, 2);
    }
    return -1;
}

bool bed_read(struct bed *bed, int fd, void *bytes, size_t len)
{
    int64_t until = clock_now_ms() + BED_PATIENCE_MS;
    size_t done = 0;
    while (done < len && clock_now_ms() < until) {
        ssize_t got = recv(fd, (char *)bytes + done, len - done, 0);
        if (got == 0 || (got < 0 && errno != EAGAIN))
            return false;
        if (got > 0)
            done += (size_t)got;
        else
            step(bed, 2);
    }
    return done == len;
}

int bed_next(struct bed *bed, int fd)
{
    int64_t until = clock_now_ms() + 1000;
    for (;;) {
        char byte;
        ssize_t got = recv(fd, &byte, 1, 0);
        if (got >= 0 || errno != EAGAIN)
            return got >= 0 ? (int)got : -errno;
        if (clock_now_ms() > until)
            return -EAGAIN;
        step(bed, 2);
    }
}

void bed_write(int fd, const char *text)
{
    must(send(fd, text, strlen(text), MSG_NOSIGNAL) == (ssize_t)strlen(text), "write");
}

static unsigned count(const struct bed_pod *pod, enum stats_table table,
                      enum conn_direction direction, enum err_code code)
{
    const char *values[] = {stats_reporter(direction), err_label(code)};
    return (unsigned)metrics_sum(pod->registry, table, 0, values);
}

unsigned bed_refused(const struct bed_pod *pod, enum conn_direction direction, enum err_code code)
{
    return count(pod, STATS_REFUSED, direction, code);
}

unsigned bed_failed_handshakes(const struct bed_pod *pod, enum conn_direction direction,
                               enum err_code code)
{
    return count(pod, STATS_HANDSHAKE, direction, code);
}
