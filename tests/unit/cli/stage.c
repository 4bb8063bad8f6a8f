#include "stage.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/contract.h"
#include "admin/http.h"
#include "base/clock.h"
#include "base/log.h"
#include "cli/verb.h"
#include "suite.h"

enum { NOW_S = 1795521600, WORDS_MAX = 16 };

struct stage stage;
char stage_socket[128];
static char folder[64];
static struct admin_http *http;

static void answer(struct admin_http_response *response, const char *document)
{
    if (stage.refuse_with)
        admin_http_error(response, stage.refuse_with, "not today");
    else
        admin_http_json(response, json_loads(document, 0, NULL));
}

#define DOCUMENT(name)                                                                             \
    static void get_##name(void *arg, struct admin_http_request *request,                          \
                           struct admin_http_response *response)                                   \
    {                                                                                              \
        (void)arg;                                                                                 \
        (void)request;                                                                             \
        answer(response, stage.name);                                                              \
    }
DOCUMENT(status)
DOCUMENT(certs)
DOCUMENT(config)
DOCUMENT(version)

static void get_connections(void *arg, struct admin_http_request *request,
                            struct admin_http_response *response)
{
    (void)arg;
    const char *limit = admin_http_query(request, "limit");
    snprintf(stage.limit, sizeof stage.limit, "%s", limit ? limit : "");
    answer(response, stage.connections);
}

static void get_level(void *arg, struct admin_http_request *request,
                      struct admin_http_response *response)
{
    (void)arg;
    (void)request;
    answer(response, "{\"level\": \"info\"}");
}

static void put_level(void *arg, struct admin_http_request *request,
                      struct admin_http_response *response)
{
    (void)arg;
    snprintf(stage.level, sizeof stage.level, "%s", admin_http_query(request, "level"));
    admin_http_json(response, json_pack("{s:s, s:s}", "level", stage.level, "was", "info"));
}

static void post_drain(void *arg, struct admin_http_request *request,
                       struct admin_http_response *response)
{
    (void)arg;
    (void)request;
    stage.drains++;
    answer(response, "{\"state\": \"draining\", \"grace_s\": 90}");
}

static const struct admin_http_route routes[] = {{"GET", "/status", get_status, NULL},
                                                 {"GET", "/certs", get_certs, NULL},
                                                 {"GET", "/connections", get_connections, NULL},
                                                 {"GET", "/config", get_config, NULL},
                                                 {"GET", "/log-level", get_level, NULL},
                                                 {"PUT", "/log-level", put_level, "level"},
                                                 {"POST", "/drain", post_drain, NULL},
                                                 {"GET", "/version", get_version, NULL},
                                                 ADMIN_HTTP_ROUTES_END};

static const struct stage fresh = {
    .status =
        "{\"version\": \"0.1.0\", \"pid\": 17, \"uptime_s\": 42732, \"state\": \"ready\","
        " \"state_reason\": null, \"identity\": \"spiffe://demo.handfast/ns/shop/sa/web\","
        " \"pod\": \"web-1\", \"namespace\": \"shop\", \"workers\": 2,"
        " \"connections\": {\"inbound\": 3, \"outbound\": 5},"
        " \"control\": {\"address\": \"10.0.0.1:15012\", \"connected\": true, \"since_s\": 3600,"
        " \"last_error\": null, \"reconnects\": 1, \"last_update_s\": 12},"
        " \"clock_skew_s\": 0, \"certificate\": {\"serial\": \"5c0f\", \"not_after\": 1795564320,"
        " \"seconds_left\": 42720, \"last_error\": null},"
        " \"config\": {\"generation\": 7, \"workloads\": 3, \"services\": 1, \"policies\": 0}}",
    .certs = "{\"identity\": \"spiffe://demo.handfast/ns/shop/sa/web\", \"serial\": \"5c0f\","
             " \"not_before\": 1795521480, \"not_after\": 1795564320, \"issuer\": \"CN=Issuer\","
             " \"next_renewal_s\": 21600, \"renewals\": 4, \"last_error\": null, \"bundle\":"
             " {\"digest\": \"abcd\", \"generation\": 1, \"roots\": [{\"trust_domain\":"
             " \"demo.handfast\", \"subject\": \"CN=Root\", \"not_after\": 2100000000}]}}",
    .connections =
        "{\"total\": 3, \"connections\": [{\"id\": 17, \"worker\": 0, \"direction\": \"outbound\","
        " \"state\": \"open\", \"source\": \"10.77.1.3:40312\", \"destination\":"
        " \"10.77.1.2:8080\", \"original_destination\": \"10.96.0.10:80\", \"peer_identity\":"
        " \"spiffe://demo.handfast/ns/shop/sa/web\", \"own_identity\": null, \"security\":"
        " \"mutual_tls\", \"bytes_sent\": 12, \"bytes_received\": 4198400, \"age_ms\": 90210},"
        " {\"id\": 4, \"direction\": \"inbound\", \"state\": \"handshaking\", \"source\":"
        " \"10.0.0.9:1\", \"destination\": \"10.77.1.3:80\", \"original_destination\":"
        " \"10.77.1.3:80\", \"peer_identity\": null, \"security\": \"plaintext\", \"bytes_sent\":"
        " 0, \"bytes_received\": 0, \"age_ms\": 250}]}",
    .config =
        "{\"generation\": 7, \"trust_domain\": \"demo.handfast\", \"workloads\": [{\"name\":"
        " \"web-1\", \"namespace\": \"shop\", \"addresses\": [\"10.77.1.2\", \"fd77:1::2\"],"
        " \"mesh\": true, \"healthy\": true, \"identity\":"
        " \"spiffe://demo.handfast/ns/shop/sa/web\", \"policies\": [\"shop/p\"]}, {\"name\":"
        " \"old\", \"namespace\": \"shop\", \"addresses\": [\"10.77.1.9\"], \"mesh\": false,"
        " \"healthy\": false, \"policies\": []}], \"services\": [{\"name\": \"web\","
        " \"namespace\": \"shop\", \"addresses\": [\"10.96.0.10\"], \"ports\": [{\"port\": 80,"
        " \"target_port\": 8080}, {\"port\": 443, \"target_port\": 443}], \"endpoints\": []}],"
        " \"policies\": [{\"name\": \"p\", \"namespace\": \"shop\", \"scope\": \"selector\","
        " \"action\": \"deny\", \"dry_run\": true, \"rules\": 2, \"text\": \"principal not *\"}]}",
    .version = "{\"version\": \"0.1.0\", \"program\": \"handfast-proxy\"}",
};

void stage_open(void)
{
    clock_fake(1000, (int64_t)NOW_S * 1000);
    stage = fresh;
    strcpy(folder, "/tmp/cli-test-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    snprintf(stage_socket, sizeof stage_socket, "%s/admin.sock", folder);
    setenv(ADMIN_SOCKET_ENV, stage_socket, 1);
    const struct admin_http_listen listens[] = {{.routes = routes, .unix_path = stage_socket}};
    CU_ASSERT_EQUAL_FATAL(admin_http_start(&http, listens, 1, NULL), ERR_OK);
}

void stage_close(void)
{
    admin_http_stop(http);
    http = NULL;
    unsetenv(ADMIN_SOCKET_ENV);
    CU_ASSERT_EQUAL(rmdir(folder), 0);
    clock_fake(0, -1);
}

/* Sends one of the two output streams into a file, and back. */
struct caught {
    FILE *file;
    int saved;
};

static struct caught catch_stream(FILE *stream)
{
    fflush(stream);
    struct caught caught = {.file = tmpfile(), .saved = dup(fileno(stream))};
    CU_ASSERT_FATAL(caught.file != NULL && caught.saved >= 0);
    dup2(fileno(caught.file), fileno(stream));
    return caught;
}

static char *release_stream(FILE *stream, struct caught *caught)
{
    fflush(stream);
    dup2(caught->saved, fileno(stream));
    close(caught->saved);
    long len = lseek(fileno(caught->file), 0, SEEK_END);
    char *text = calloc(1, (size_t)len + 1);
    CU_ASSERT_EQUAL(pread(fileno(caught->file), text, (size_t)len, 0), len);
    fclose(caught->file);
    return text;
}

struct outcome stage_run(const char *const *words)
{
    char *argv[WORDS_MAX + 1] = {strdup("handfast")};
    int argc = 1;
    for (; words[argc - 1] && argc < WORDS_MAX; argc++)
        argv[argc] = strdup(words[argc - 1]);
    struct caught out = catch_stream(stdout), err = catch_stream(stderr);
    struct outcome outcome = {.status = verb_main(argc, argv)};
    outcome.out = release_stream(stdout, &out);
    outcome.err = release_stream(stderr, &err);
    while (argc > 0)
        free(argv[--argc]);
    return outcome;
}

void outcome_free(struct outcome *outcome)
{
    free(outcome->out);
    free(outcome->err);
}

bool stage_has(const char *text, const char *part)
{
    if (strstr(text, part))
        return true;
    printf("\nnot there: %s\nin:\n%s\n", part, text);
    return false;
}
