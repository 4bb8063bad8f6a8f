#include "cli/admin_client.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "suite.h"

static char folder[64], path[128];

/* A server that takes one connection, reads a request, says `words` and closes; NULL: it says
 * nothing until the client goes. */
struct server {
    pthread_t thread;
    int fd;
    const char *words;
    char request[512];
};

static void *serve(void *arg)
{
    struct server *server = arg;
    int fd = accept(server->fd, NULL, NULL);
    size_t used = 0;
    while (used < sizeof server->request - 1 && !strstr(server->request, "\r\n\r\n")) {
        ssize_t got = recv(fd, server->request + used, sizeof server->request - 1 - used, 0);
        if (got <= 0)
            break;
        used += (size_t)got;
    }
    if (server->words)
        send(fd, server->words, strlen(server->words), MSG_NOSIGNAL);
    else
        recv(fd, server->request, 1, 0);
    close(fd);
    return NULL;
}

static void server_start(struct server *server, const char *words)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    *server = (struct server){.words = words, .fd = socket(AF_UNIX, SOCK_STREAM, 0)};
    strcpy(folder, "/tmp/cli-client-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/admin.sock", folder);
    CU_ASSERT_FATAL(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    CU_ASSERT_EQUAL_FATAL(bind(server->fd, (struct sockaddr *)&address, sizeof address), 0);
    CU_ASSERT_EQUAL_FATAL(listen(server->fd, 1), 0);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&server->thread, NULL, serve, server), 0);
}

static void server_stop(struct server *server)
{
    pthread_join(server->thread, NULL);
    close(server->fd);
    unlink(path);
    CU_ASSERT_EQUAL(rmdir(folder), 0);
}

/* Asks a server that says `words` and compares what comes of it. */
static void expect(const char *words, enum err_code code, const char *sentence)
{
    struct server server;
    struct err err = {0};
    json_t *document = NULL;
    server_start(&server, words);
    CU_ASSERT_EQUAL(admin_client_ask(path, "GET", "/x", words ? 10000 : 30, &document, &err), code);
    if (code != ERR_OK && !strstr(err.text, sentence)) {
        printf("\ngot: %s\n", err.text);
        CU_FAIL("another sentence");
    }
    CU_ASSERT((code == ERR_OK) == (document != NULL));
    json_decref(document);
    server_stop(&server);
}

#define HEAD(length) "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n" length "\r\n"

static void a_good_answer_is_an_object(void)
{
    expect(HEAD("Content-Length: 8\r\n") "{\"a\": 1}", ERR_OK, "");
    expect(HEAD("content-length: 2\r\n") "{}", ERR_OK, "");
    expect(HEAD("") "{}", ERR_OK, "");
}

static void the_request_is_http_1_1_and_asks_to_close(void)
{
    struct server server;
    json_t *document = NULL;
    server_start(&server, HEAD("") "{}");
    CU_ASSERT_EQUAL(admin_client_ask(path, "PUT", "/log-level?level=debug", 10000, &document, NULL),
                    ERR_OK);
    json_decref(document);
    server_stop(&server);
    CU_ASSERT_STRING_EQUAL(server.request,
                           "PUT /log-level?level=debug HTTP/1.1\r\nHost: handfast\r\n"
                           "Connection: close\r\nContent-Length: 0\r\n\r\n");
}

static void an_answer_cut_short_is_said_to_be(void)
{
    expect(HEAD("Content-Length: 9\r\n") "{\"a\": 1}", ERR_CONN_RESET,
           "was cut short: 8 of 9 bytes");
    expect("", ERR_CONN_RESET, "closed the connection without a word");
}

static void what_is_no_proxy_is_said_to_be_none(void)
{
    expect("SSH-2.0-OpenSSH_9.2\r\n", ERR_INVALID, "is not a handfast proxy");
    expect("HTTP/1.1 200 OK\r\n", ERR_INVALID, "is not a handfast proxy");
    expect(HEAD("") "<html>", ERR_INVALID, "something else than a JSON object");
    expect(HEAD("") "[1]", ERR_INVALID, "something else than a JSON object");
    expect(HEAD("") "{\"a\": ", ERR_INVALID, "something else than a JSON object");
}

static void refusals_carry_the_servers_sentence_or_the_status(void)
{
    expect("HTTP/1.1 503 Gone\r\n\r\n{\"error\": \"too busy\"}", ERR_INVALID,
           "the proxy refused: too busy");
    expect("HTTP/1.1 500 Oh\r\n\r\nnot json", ERR_INVALID, "answered GET /x with status 500");
    expect("HTTP/1.1 404 No\r\n\r\n{\"error\": \"there is no /x here\"}", ERR_INVALID,
           "does not know GET /x");
}

static void silence_ends_at_the_deadline(void)
{
    expect(NULL, ERR_TIMEOUT, "did not answer within 0.0 s");
}

static void nobody_there_is_told_with_the_path(void)
{
    struct err err = {0};
    json_t *document = NULL;
    struct server server;
    CU_ASSERT_EQUAL(admin_client_ask("/nowhere/admin.sock", "GET", "/x", 10000, &document, &err),
                    ERR_NOT_FOUND);
    CU_ASSERT_STRING_EQUAL(err.text, "no proxy is listening at /nowhere/admin.sock: is this the "
                                     "proxy's container?");
    /* A socket file whose listener has died. */
    server_start(&server, HEAD("") "{}");
    CU_ASSERT_EQUAL(admin_client_ask(path, "GET", "/x", 10000, &document, &err), ERR_OK);
    json_decref(document);
    pthread_join(server.thread, NULL);
    close(server.fd);
    CU_ASSERT_EQUAL(admin_client_ask(path, "GET", "/x", 10000, &document, &err), ERR_NOT_FOUND);
    unlink(path);
    rmdir(folder);
    memset(path, 'x', sizeof path - 1);
    CU_ASSERT_EQUAL(admin_client_ask(path, "GET", "/x", 10000, &document, &err), ERR_INVALID);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is longer than 107 bytes"));
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(a_good_answer_is_an_object),
        SUITE_CASE(the_request_is_http_1_1_and_asks_to_close),
        SUITE_CASE(an_answer_cut_short_is_said_to_be),
        SUITE_CASE(what_is_no_proxy_is_said_to_be_none),
        SUITE_CASE(refusals_carry_the_servers_sentence_or_the_status),
        SUITE_CASE(silence_ends_at_the_deadline),
        SUITE_CASE(nobody_there_is_told_with_the_path),
        SUITE_END,
    };
    return suite_main("cli_admin_client", cases, argc, argv);
}
