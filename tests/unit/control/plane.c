#include "plane.h"

#include <arpa/inet.h>
#include <poll.h>
#include <semaphore.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "suite.h"

const char plane_mesh[] =
    "trust_domain: test.mesh\n"
    "workloads:\n"
    "  - {name: web-1, namespace: shop, service_account: web, addresses: [10.9.0.2, \"fd09::2\"],\n"
    "     labels: {app: web, version: v2}}\n"
    "  - {name: client-1, namespace: shop, service_account: client, addresses: [10.9.0.3]}\n"
    "  - {name: old-1, namespace: shop, addresses: [10.9.0.4], mesh: false}\n"
    "services:\n"
    "  - {name: web, namespace: shop, addresses: [10.96.0.1], selector: {app: web},\n"
    "     ports: [{port: 80, target_port: 8080}]}\n";

struct start {
    struct plane *plane;
    sem_t started;
};

static void *run(void *arg)
{
    struct start *start = arg;
    struct plane *plane = start->plane;
    plane->code = control_start(&plane->control, &plane->config, &plane->err);
    bool good = plane->code == ERR_OK;
    sem_post(&start->started); /* `start` may be gone now */
    if (good)
        control_run(&plane->control);
    return NULL;
}

static uint16_t port_of(int fd)
{
    struct sockaddr_in address;
    socklen_t len = sizeof address;
    return getsockname(fd, (struct sockaddr *)&address, &len) == 0 ? ntohs(address.sin_port) : 0;
}

static void prepare(struct plane *plane, const char *mesh)
{
    struct rlimit limit;
    signal(SIGPIPE, SIG_IGN);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
    log_init(2, LOG_FORMAT_TEXT, getenv("PLANE_LOG") ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR);
    log_set_level(getenv("PLANE_LOG") ? LOG_LEVEL_INFO : LOG_LEVEL_ERROR);
    *plane = (struct plane){0};
    CU_ASSERT_FATAL(folder_make(&plane->folder));
    CU_ASSERT_FATAL(folder_write(&plane->folder, "mesh.yaml", mesh, 0644));
    strcpy(plane->mesh, folder_path(&plane->folder, "mesh.yaml"));
    strcpy(plane->state, folder_path(&plane->folder, "state"));
    config_defaults(&plane->config);
    plane->config.mesh = plane->mesh;
    plane->config.state = plane->state;
    plane->config.metrics_port = 0;
    plane->config.dns_names[plane->config.dns_count++] = "control.test";
    addr_port_parse(&plane->config.listen[plane->config.listen_count++], "127.0.0.1:0");
}

void plane_start(struct plane *plane, const char *mesh)
{
    plane_start_with(plane, mesh, NULL);
}

void plane_start_with(struct plane *plane, const char *mesh, void (*adjust)(struct config *config))
{
    struct start start = {.plane = plane};
    prepare(plane, mesh);
    if (adjust)
        adjust(&plane->config);
    sem_init(&start.started, 0, 0);
    CU_ASSERT_FATAL(pthread_create(&plane->thread, NULL, run, &start) == 0);
    while (sem_wait(&start.started) != 0)
        continue;
    sem_destroy(&start.started);
    if (plane->code != ERR_OK)
        fprintf(stderr, "\n%s\n", plane->err.text);
    CU_ASSERT_EQUAL_FATAL(plane->code, ERR_OK);
    plane->port = port_of(plane->control.listener.sockets[0].item.fd);
    plane->metrics_port = admin_http_port(plane->control.ops.http, 0);
}

static void deliver_end(struct mail *mail, void *owner)
{
    free(mail);
    control_end(owner);
}

static void discard(struct mail *mail)
{
    free(mail);
}

void plane_end(struct plane *plane)
{
    struct mail *mail = calloc(1, sizeof *mail);
    CU_ASSERT_FATAL(mail != NULL);
    *mail = (struct mail){.deliver = deliver_end, .discard = discard};
    mailbox_post(&plane->control.mailbox, mail);
}

void plane_stop(struct plane *plane)
{
    plane_end(plane);
    plane_join(plane);
}

void plane_join(struct plane *plane)
{
    pthread_join(plane->thread, NULL);
    folder_remove(&plane->folder);
}

char *plane_token_for(struct plane *plane, const struct token_claims *claims)
{
    struct tls_key *key = NULL;
    struct err err = {0};
    char *pem = NULL, *token = NULL;
    size_t len = 0;
    CU_ASSERT_EQUAL_FATAL(
        file_read(folder_path(&plane->folder, "state/token-key.pem"), 1 << 16, &pem, &len, &err),
        ERR_OK);
    CU_ASSERT_EQUAL_FATAL(tls_key_parse_pem(&key, pem, len, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(token_mint(key, claims, &token, &err), ERR_OK);
    tls_key_unref(key);
    free(pem);
    return token;
}

char *plane_token(struct plane *plane, const char *service_account)
{
    const struct token_claims claims = {
        .audience = "handfast", .ns = "shop", .service_account = service_account, .ttl_s = 600};
    return plane_token_for(plane, &claims);
}

char *plane_root(struct plane *plane)
{
    char *pem = NULL;
    size_t len;
    CU_ASSERT_EQUAL_FATAL(
        file_read(folder_path(&plane->folder, "state/root.pem"), 1 << 16, &pem, &len, NULL),
        ERR_OK);
    return pem;
}

static char *get_metrics(struct plane *plane)
{
    static const char request[] = "GET /metrics HTTP/1.0\r\n\r\n";
    struct sockaddr_in to = {.sin_family = AF_INET,
                             .sin_port = htons(plane->metrics_port),
                             .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    size_t room = 1 << 18, used = 0;
    char *text = calloc(1, room);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(text && fd >= 0);
    CU_ASSERT_FATAL(connect(fd, (struct sockaddr *)&to, sizeof to) == 0);
    CU_ASSERT_FATAL(write(fd, request, sizeof request - 1) == (ssize_t)sizeof request - 1);
    for (ssize_t got; used + 1 < room && (got = read(fd, text + used, room - 1 - used)) > 0;)
        used += (size_t)got;
    close(fd);
    return text;
}

double plane_metric(struct plane *plane, const char *name)
{
    char *text = get_metrics(plane), line[256];
    double value = -1;
    snprintf(line, sizeof line, "\n%s ", name);
    const char *found = strstr(text, line);
    if (found)
        value = strtod(found + strlen(line), NULL);
    free(text);
    return value;
}

bool plane_metric_reaches(struct plane *plane, const char *name, double value)
{
    for (int64_t start = clock_now_ms(); clock_now_ms() - start < 10000;) {
        if (plane_metric(plane, name) >= value)
            return true;
        poll(NULL, 0, 10);
    }
    fprintf(stderr, "\n%s is %g, expected %g\n", name, plane_metric(plane, name), value);
    return false;
}
