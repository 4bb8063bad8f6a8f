#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/http.h"
#include "suite.h"
#include "web.h"

static char folder[64], path[128];

static void make_folder(void)
{
    strcpy(folder, "/tmp/admin-listen-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/run/admin.sock", folder);
}

static void remove_folder(void)
{
    unlink(path);
    char run[96];
    snprintf(run, sizeof run, "%s/run", folder);
    rmdir(run);
    CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static void plain(void *arg, struct admin_http_request *request,
                  struct admin_http_response *response)
{
    (void)arg;
    (void)request;
    admin_http_text(response, 200, "ok\n");
}

static const struct admin_http_route routes[] = {{"GET", "/plain", plain, NULL},
                                                 ADMIN_HTTP_ROUTES_END};

static enum err_code start(struct admin_http **http, struct err *err)
{
    const struct admin_http_listen listens[] = {{.routes = routes, .unix_path = path}};
    *http = NULL;
    return admin_http_start(http, listens, 1, err);
}

static void expect_answer_on(int fd)
{
    web_send(fd, "GET /plain HTTP/1.1\r\nHost: x\r\n\r\n", 32);
    char *answer = web_read_all(fd, NULL);
    CU_ASSERT_STRING_EQUAL(web_body(answer), "ok\n");
    free(answer);
    close(fd);
}

static mode_t mode_of(const char *file)
{
    struct stat found = {0};
    CU_ASSERT_EQUAL(lstat(file, &found), 0);
    return found.st_mode & 07777;
}

static void the_socket_is_0600_and_its_folder_0700_whatever_the_umask(void)
{
    make_folder();
    mode_t before = umask(0);
    struct admin_http *http;
    CU_ASSERT_EQUAL_FATAL(start(&http, NULL), ERR_OK);
    umask(before);
    CU_ASSERT_EQUAL(mode_of(path), 0600);
    char run[96];
    snprintf(run, sizeof run, "%s/run", folder);
    CU_ASSERT_EQUAL(mode_of(run), 0700);
    CU_ASSERT_EQUAL(admin_http_port(http, 0), 0);
    expect_answer_on(web_connect_unix(path));
    admin_http_stop(http);
    CU_ASSERT(access(path, F_OK) < 0 && errno == ENOENT);
    remove_folder();
}

/* What a process that was killed leaves. */
static void leave_a_stale_socket(void)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    memcpy(address.sun_path, path, strnlen(path, sizeof address.sun_path - 1));
    int fd = socket(AF_UNIX, SOCK_STREAM, 0);
    char run[96];
    snprintf(run, sizeof run, "%s/run", folder);
    mkdir(run, 0700);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&address, sizeof address), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 1), 0);
    close(fd);
}

static void a_stale_socket_is_replaced(void)
{
    make_folder();
    leave_a_stale_socket();
    struct admin_http *http;
    CU_ASSERT_EQUAL_FATAL(start(&http, NULL), ERR_OK);
    CU_ASSERT_EQUAL(mode_of(path), 0600);
    expect_answer_on(web_connect_unix(path));
    admin_http_stop(http);
    remove_folder();
}

static void a_path_where_somebody_answers_is_refused_and_left_alone(void)
{
    make_folder();
    struct admin_http *first, *second;
    struct err err = {0};
    CU_ASSERT_EQUAL_FATAL(start(&first, NULL), ERR_OK);
    unsigned fds = web_count_fds();
    CU_ASSERT_EQUAL(start(&second, &err), ERR_BUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another process already listens at "));
    CU_ASSERT_PTR_NULL(second);
    /* The first server may still hold its end of the question whether anybody is there. */
    bool settled = false;
    for (int i = 0; i < 1000 && !settled; i++) {
        expect_answer_on(web_connect_unix(path));
        settled = web_count_fds() == fds;
    }
    CU_ASSERT(settled);
    admin_http_stop(first);
    remove_folder();
}

static void a_file_that_is_no_socket_stays(void)
{
    make_folder();
    snprintf(path, sizeof path, "%s/file", folder);
    FILE *file = fopen(path, "w");
    fputs("precious", file);
    fclose(file);
    struct admin_http *http;
    struct err err = {0};
    CU_ASSERT_EQUAL(start(&http, &err), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "exists and is not a socket"));
    CU_ASSERT_EQUAL(access(path, F_OK), 0);
    remove_folder();
}

static void a_socket_of_a_successor_is_not_removed(void)
{
    make_folder();
    struct admin_http *first, *second;
    CU_ASSERT_EQUAL_FATAL(start(&first, NULL), ERR_OK);
    unlink(path);
    CU_ASSERT_EQUAL_FATAL(start(&second, NULL), ERR_OK);
    admin_http_stop(first);
    expect_answer_on(web_connect_unix(path));
    admin_http_stop(second);
    remove_folder();
}

static void a_path_that_is_too_long_or_has_no_folder_is_a_sentence(void)
{
    make_folder();
    struct admin_http *http;
    struct err err = {0};
    snprintf(path, sizeof path, "%s/a/b/admin.sock", folder);
    CU_ASSERT_EQUAL(start(&http, &err), ERR_SYSTEM);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/a/b for the admin socket: No such file"));
    memset(path, 'x', sizeof path - 1);
    path[sizeof path - 1] = 0;
    CU_ASSERT_EQUAL(start(&http, &err), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is longer than 107 bytes"));
    path[0] = 0;
    remove_folder();
}

static void every_address_means_both_families(void)
{
    struct admin_http *http = NULL;
    const struct admin_http_listen listens[] = {{.routes = routes}};
    CU_ASSERT_EQUAL_FATAL(admin_http_start(&http, listens, 1, NULL), ERR_OK);
    uint16_t port = admin_http_port(http, 0);
    expect_answer_on(web_connect(port));
    struct sockaddr_storage storage;
    struct addr_port address = {.ip = {.len = 16, .bytes = {[15] = 1}}, .port = port};
    socklen_t len = addr_to_sockaddr(&address, &storage);
    int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd >= 0 && connect(fd, (struct sockaddr *)&storage, len) == 0)
        expect_answer_on(fd);
    else
        printf("\nSKIPPED: this machine has no IPv6 loopback\n");
    admin_http_stop(http);
}

static void a_port_in_use_is_a_sentence_and_closes_what_was_open(void)
{
    struct admin_http *first = NULL, *second = NULL;
    struct addr_port address = {.ip = {.len = 4, .bytes = {127, 0, 0, 1}}};
    const struct admin_http_listen one[] = {{.routes = routes, .address = address}};
    CU_ASSERT_EQUAL_FATAL(admin_http_start(&first, one, 1, NULL), ERR_OK);
    unsigned fds = web_count_fds();
    address.port = admin_http_port(first, 0);
    const struct admin_http_listen two[] = {
        {.routes = routes, .address = {.ip = {.len = 4, .bytes = {127, 0, 0, 1}}}},
        {.routes = routes, .address = address}};
    struct err err = {0};
    CU_ASSERT_EQUAL(admin_http_start(&second, two, 2, &err), ERR_SYSTEM);
    CU_ASSERT_EQUAL(err.sys, EADDRINUSE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "listen on 127.0.0.1:"));
    CU_ASSERT_EQUAL(web_count_fds(), fds);
    admin_http_stop(first);
}

static void a_listening_socket_may_be_handed_over(void)
{
    struct sockaddr_storage storage;
    const struct addr_port address = {.ip = {.len = 4, .bytes = {127, 0, 0, 1}}};
    socklen_t len = addr_to_sockaddr(&address, &storage);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&storage, len), 0);
    CU_ASSERT_EQUAL_FATAL(listen(fd, 8), 0);
    struct admin_http *http = NULL;
    const struct admin_http_listen listens[] = {{.routes = routes, .fd = fd}};
    CU_ASSERT_EQUAL_FATAL(admin_http_start(&http, listens, 1, NULL), ERR_OK);
    expect_answer_on(web_connect(admin_http_port(http, 0)));
    admin_http_stop(http);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(the_socket_is_0600_and_its_folder_0700_whatever_the_umask),
        SUITE_CASE(a_stale_socket_is_replaced),
        SUITE_CASE(a_path_where_somebody_answers_is_refused_and_left_alone),
        SUITE_CASE(a_file_that_is_no_socket_stays),
        SUITE_CASE(a_socket_of_a_successor_is_not_removed),
        SUITE_CASE(a_path_that_is_too_long_or_has_no_folder_is_a_sentence),
        SUITE_CASE(every_address_means_both_families),
        SUITE_CASE(a_port_in_use_is_a_sentence_and_closes_what_was_open),
        SUITE_CASE(a_listening_socket_may_be_handed_over),
        SUITE_END,
    };
    return suite_main("admin_http_listen", cases, argc, argv);
}
