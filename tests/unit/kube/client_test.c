/* Calls over one connection, and what becomes of them when it is not as it should be. The server is
 * a stand-in: see apiserver.h. */
#include "kube/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bed.h"
#include "kube/client_impl.h"

static struct bed bed;

static void expect_good(const char *path)
{
    struct reply reply = bed_get(&bed, path, 10000);
    if (reply.err.code != ERR_OK)
        fprintf(stderr, "\n%s: %s\n", path, reply.err.text);
    CU_ASSERT_EQUAL(reply.err.code, ERR_OK);
    CU_ASSERT_EQUAL(reply.status, 200);
    json_decref(reply.body);
}

static void expect_error(enum err_code code, const char *says)
{
    struct reply reply = bed_get(&bed, "/x", 60000);
    if (reply.err.code != code || !strstr(reply.err.text, says))
        fprintf(stderr, "\nfound %s (%s), expected %s\n", reply.err.text, err_label(reply.err.code),
                says);
    CU_ASSERT_EQUAL(reply.err.code, code);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply.err.text, says));
    CU_ASSERT_EQUAL(reply.status, 0);
    CU_ASSERT_PTR_NULL(reply.body);
}

/* --- requests --------------------------------------------------------------------------------- */

static void request_and_answer_go_both_ways(void)
{
    bed_start(&bed);
    bed.config.token = strdup("se.cr.et");
    bed.config.base_path = (free(bed.config.base_path), strdup("/k8s/c-1"));
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "POST /k8s/c-1/api/v1/x?a=b", .status = 201, .body = "{\"a\":7}"},
           {.wants = "PATCH /k8s/c-1/y", .status = 200, .body = "{}"});
    struct reply reply = {0};
    struct err err;
    CU_ASSERT_PTR_NOT_NULL(kube_request(bed.client, "POST", "/api/v1/x?a=b", NULL,
                                        json_pack("{ss}", "kind", "Pod"), 10000, bed_on_answer,
                                        &reply, &err));
    CU_ASSERT_TRUE(bed_wait_flag(&bed, &reply.done));
    CU_ASSERT_EQUAL(reply.status, 201);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(reply.body, "a")), 7);
    CU_ASSERT_STRING_EQUAL(bed.server.last_authorization, "Bearer se.cr.et");
    CU_ASSERT_STRING_EQUAL(bed.server.last_content_type, "application/json");
    CU_ASSERT_STRING_EQUAL(bed.server.last_body, "{\"kind\":\"Pod\"}");
    reply.done = false;
    kube_request(bed.client, "PATCH", "/y", "application/merge-patch+json", json_object(), 10000,
                 bed_on_answer, &reply, &err);
    CU_ASSERT_TRUE(bed_wait_flag(&bed, &reply.done));
    CU_ASSERT_STRING_EQUAL(bed.server.last_content_type, "application/merge-patch+json");
    CU_ASSERT_STRING_EQUAL(bed.server.last_body, "{}");
    CU_ASSERT_EQUAL(bed.server.connections, 1);
    json_decref(reply.body);
    bed_stop(&bed);
}

static void put(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
}

static void token_is_read_for_every_request(void)
{
    char path[] = "/tmp/kube_client_test.XXXXXX";
    close(mkstemp(path));
    bed_start(&bed);
    bed.config.token = strdup("never");
    bed.config.token_file = strdup(path);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "GET /", .status = 200, .body = "{}", .repeat = true});
    put(path, "one\n");
    expect_good("/x");
    CU_ASSERT_STRING_EQUAL(bed.server.last_authorization, "Bearer one");
    put(path, "two");
    expect_good("/x");
    CU_ASSERT_STRING_EQUAL(bed.server.last_authorization, "Bearer two");
    put(path, "\n");
    expect_error(ERR_TOKEN_MISSING, "is empty");
    unlink(path);
    expect_error(ERR_TOKEN_MISSING, path);
    put(path, "three");
    expect_good("/x");
    CU_ASSERT_STRING_EQUAL(bed.server.last_authorization, "Bearer three");
    CU_ASSERT_EQUAL(bed.server.connections, 1);
    unlink(path);
    bed_stop(&bed);
}

static void no_token_is_no_header(void)
{
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "GET /x", .status = 200, .body = "{}"});
    expect_good("/x");
    CU_ASSERT_STRING_EQUAL(bed.server.last_authorization, "");
    bed_stop(&bed);
}

static void any_status_is_an_answer(void)
{
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server,
           {.wants = "/x",
            .status = 429,
            .retry_after = "7",
            .body = "{\"kind\":\"Status\",\"message\":\"too\\nmany\"}"},
           {.wants = "/x", .status = 503, .retry_after = "soon", .body = "<html>"},
           {.wants = "/x", .status = 204}, {.wants = "/x", .status = 200, .body = "{\"a\":"});
    struct reply reply = bed_get(&bed, "/x", 10000);
    char message[64];
    CU_ASSERT_EQUAL(reply.status, 429);
    CU_ASSERT_EQUAL(reply.retry_after_s, 7);
    CU_ASSERT_STRING_EQUAL(kube_status_message(reply.body, message, sizeof message), "too many");
    CU_ASSERT_STRING_EQUAL(kube_status_message(reply.body, message, 4), "too");
    json_decref(reply.body);
    reply = bed_get(&bed, "/x", 10000);
    CU_ASSERT_EQUAL(reply.status, 503);
    CU_ASSERT_EQUAL(reply.retry_after_s, 0);
    CU_ASSERT_PTR_NULL(reply.body);
    CU_ASSERT_STRING_EQUAL(kube_status_message(reply.body, message, sizeof message), "");
    reply = bed_get(&bed, "/x", 10000);
    CU_ASSERT_EQUAL(reply.status, 204);
    CU_ASSERT_PTR_NULL(reply.body);
    reply = bed_get(&bed, "/x", 10000);
    CU_ASSERT_EQUAL(reply.err.code, ERR_OK);
    CU_ASSERT_PTR_NULL(reply.body);
    bed_stop(&bed);
}

enum { MANY = 300 };

struct crowd {
    struct reply replies[MANY];
    unsigned good;
};

static bool all_answered(void *arg)
{
    struct crowd *crowd = arg;
    crowd->good = 0;
    for (int i = 0; i < MANY; i++)
        crowd->good += crowd->replies[i].done;
    return crowd->good == MANY;
}

static void many_calls_share_one_connection(void)
{
    static struct crowd crowd;
    struct err err;
    memset(&crowd, 0, sizeof crowd);
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "GET /n/", .status = 200, .body = "{}", .repeat = true});
    for (int i = 0; i < MANY; i++) {
        char path[32];
        snprintf(path, sizeof path, "/n/%d", i);
        CU_ASSERT_PTR_NOT_NULL(kube_request(bed.client, "GET", path, NULL, NULL, 10000,
                                            bed_on_answer, &crowd.replies[i], &err));
    }
    CU_ASSERT_TRUE(bed_wait(&bed, all_answered, &crowd));
    for (int i = 0; i < MANY; i++) {
        CU_ASSERT_EQUAL(crowd.replies[i].status, 200);
        CU_ASSERT_EQUAL(crowd.replies[i].times, 1);
        json_decref(crowd.replies[i].body);
    }
    CU_ASSERT_EQUAL(bed.server.connections, 1);
    CU_ASSERT_EQUAL(bed.server.requests, MANY);
    bed_stop(&bed);
}

static void large_bodies_go_both_ways(void)
{
    enum { REQUEST = 3 << 20, ANSWER = 9 << 20 };
    char *text = malloc(ANSWER + 1), *answer = malloc(ANSWER + 64);
    memset(text, 'y', ANSWER);
    text[ANSWER] = 0;
    sprintf(answer, "{\"a\":\"%s\"}", text);
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "PUT /x", .status = 200, .body = answer});
    struct reply reply = {0};
    struct err err;
    text[REQUEST] = 0;
    kube_request(bed.client, "PUT", "/x", NULL, json_pack("{ss}", "a", text), 20000, bed_on_answer,
                 &reply, &err);
    CU_ASSERT_TRUE(bed_wait_flag(&bed, &reply.done));
    CU_ASSERT_EQUAL(bed.server.last_body_len, REQUEST + 8);
    CU_ASSERT_EQUAL(json_string_length(json_object_get(reply.body, "a")), ANSWER);
    json_decref(reply.body);
    bed_stop(&bed);
    free(text);
    free(answer);
}

static void answer_over_its_ceiling_is_refused(void)
{
    size_t len = KUBE_ANSWER_MAX + 1;
    char *answer = malloc(len);
    memset(answer, ' ', len);
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "/x", .status = 200, .body = answer, .body_len = len},
           {.wants = "/y", .status = 200, .body = "{}"});
    expect_error(ERR_TOO_LARGE, "67108864 bytes");
    expect_good("/y");
    CU_ASSERT_EQUAL(bed.server.connections, 1);
    bed_stop(&bed);
    free(answer);
}

static void what_cannot_be_sent_is_refused_at_once(void)
{
    static const char *const paths[] = {"", "x", "/a b", "/a\n", "/\x80", "/a\x7f"};
    static char endless[KUBE_PATH_MAX + 2];
    struct reply reply = {0};
    struct err err = {0};
    bed_start(&bed);
    bed_connect(&bed);
    for (size_t i = 0; i < sizeof paths / sizeof paths[0]; i++) {
        CU_ASSERT_PTR_NULL(kube_request(bed.client, "GET", paths[i], NULL, json_object(), 10000,
                                        bed_on_answer, &reply, &err));
        CU_ASSERT_EQUAL(err.code, ERR_INVALID);
    }
    memset(endless, '/', sizeof endless - 1);
    CU_ASSERT_PTR_NULL(
        kube_request(bed.client, "GET", endless, NULL, NULL, 10000, bed_on_answer, &reply, &err));
    CU_ASSERT_EQUAL(err.code, ERR_TOO_LARGE);
    char *text = malloc(KUBE_REQUEST_MAX + 1);
    memset(text, 'a', KUBE_REQUEST_MAX);
    text[KUBE_REQUEST_MAX] = 0;
    CU_ASSERT_PTR_NULL(kube_request(bed.client, "PUT", "/x", NULL, json_pack("{ss}", "a", text),
                                    10000, bed_on_answer, &reply, &err));
    CU_ASSERT_EQUAL(err.code, ERR_TOO_LARGE);
    free(text);
    struct kube_call *calls[KUBE_CALLS_MAX];
    for (int i = 0; i < KUBE_CALLS_MAX; i++)
        calls[i] =
            kube_request(bed.client, "GET", "/x", NULL, NULL, 10000, bed_on_answer, &reply, &err);
    CU_ASSERT_PTR_NULL(
        kube_request(bed.client, "GET", "/x", NULL, NULL, 10000, bed_on_answer, &reply, &err));
    CU_ASSERT_EQUAL(err.code, ERR_BUSY);
    for (int i = 0; i < KUBE_CALLS_MAX; i++)
        kube_call_cancel(calls[i]);
    bed_idle(&bed, 30);
    CU_ASSERT_EQUAL(reply.times, 0);
    bed_stop(&bed);
}

/* --- deadlines and cancellation --------------------------------------------------------------- */

static void call_has_a_deadline_and_the_connection_stays(void)
{
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "/slow", .then = NOTHING},
           {.wants = "/slow", .status = 200, .body = "{", .then = HOLD},
           {.wants = "/x", .status = 200, .body = "{}"});
    for (int i = 0; i < 2; i++) {
        struct reply reply = bed_get(&bed, "/slow", 60);
        CU_ASSERT_EQUAL(reply.err.code, ERR_TIMEOUT);
        CU_ASSERT_PTR_NOT_NULL(strstr(reply.err.text, "GET /slow: no answer within 60 ms"));
        CU_ASSERT_EQUAL(reply.status, 0);
    }
    expect_good("/x");
    CU_ASSERT_EQUAL(bed.server.connections, 1);
    bed_stop(&bed);
}

static void cancelled_call_answers_nothing(void)
{
    struct reply reply = {0};
    struct err err;
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "/slow", .status = 200, .body = "{}", .then = HOLD},
           {.wants = "/x", .status = 200, .body = "{}"});
    kube_call_cancel(
        kube_request(bed.client, "GET", "/never", NULL, NULL, 10000, bed_on_answer, &reply, &err));
    struct kube_call *call =
        kube_request(bed.client, "GET", "/slow", NULL, NULL, 10000, bed_on_answer, &reply, &err);
    bed_idle(&bed, 50);
    CU_ASSERT_PTR_NOT_NULL(apiserver_open(&bed.server));
    kube_call_cancel(call);
    bed_idle(&bed, 50);
    CU_ASSERT_PTR_NULL(apiserver_open(&bed.server)); /* the server was told */
    CU_ASSERT_EQUAL(reply.times, 0);
    expect_good("/x");
    CU_ASSERT_EQUAL(bed.server.requests, 2);
    bed_stop(&bed);
}

/* --- the connection --------------------------------------------------------------------------- */

static bool three_done(void *arg)
{
    struct reply *replies = arg;
    return replies[0].done && replies[1].done && replies[2].done;
}

static void lost_connection_ends_every_call_with_a_reason(void)
{
    struct reply replies[3] = {0};
    struct err err;
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "/0", .then = NOTHING}, {.wants = "/1", .then = NOTHING},
           {.wants = "/2", .status = 200, .body = "{", .then = CUT},
           {.wants = "/x", .status = 200, .body = "{}"},
           {.wants = "/x", .status = 200, .body = "{", .then = CLOSE},
           {.wants = "/x", .status = 200, .body = "{}"});
    for (int i = 0; i < 3; i++) {
        char path[16];
        snprintf(path, sizeof path, "/%d", i);
        kube_request(bed.client, "GET", path, NULL, NULL, 10000, bed_on_answer, &replies[i], &err);
    }
    CU_ASSERT_TRUE(bed_wait(&bed, three_done, replies));
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(replies[i].err.code, ERR_CONN_RESET);
        CU_ASSERT_PTR_NOT_NULL(strstr(replies[i].err.text, "API server 127.0.0.1:"));
        CU_ASSERT_EQUAL(replies[i].times, 1);
    }
    expect_good("/x");
    CU_ASSERT_EQUAL(bed.server.connections, 2);
    expect_error(ERR_RPC_UNAVAILABLE, "the server closed the connection");
    expect_good("/x");
    CU_ASSERT_EQUAL(bed.server.connections, 3);
    bed_stop(&bed);
}

static void reset_stream_is_an_error_of_one_call(void)
{
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "/x", .status = 200, .body = "{\"a\":1", .then = RST},
           {.wants = "/x", .status = 200, .body = "{}"});
    expect_error(ERR_RPC_UNAVAILABLE, "the server ended the stream: INTERNAL_ERROR");
    expect_good("/x");
    CU_ASSERT_EQUAL(bed.server.connections, 1);
    bed_stop(&bed);
}

static void refused_stream_is_asked_once_more(void)
{
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "/x", .then = REFUSE},
           {.wants = "/x", .status = 200, .body = "{}"}, {.wants = "/x", .then = REFUSE},
           {.wants = "/x", .then = REFUSE});
    expect_good("/x");
    expect_error(ERR_RPC_UNAVAILABLE, "REFUSED_STREAM");
    CU_ASSERT_EQUAL(bed.server.requests, 4);
    bed_stop(&bed);
}

static void goaway_lets_calls_finish_and_new_ones_go_elsewhere(void)
{
    struct reply first = {0};
    struct err err;
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "/first", .status = 200, .body = "{\"a\"", .then = GOAWAY},
           {.wants = "/x", .status = 200, .body = "{}", .repeat = true});
    kube_request(bed.client, "GET", "/first", NULL, NULL, 10000, bed_on_answer, &first, &err);
    bed_idle(&bed, 50);
    expect_good("/x");
    CU_ASSERT_EQUAL(bed.server.connections, 2);
    CU_ASSERT_FALSE(first.done);
    apiserver_say(&bed.server, ":1}", 3, true);
    CU_ASSERT_TRUE(bed_wait_flag(&bed, &first.done));
    CU_ASSERT_EQUAL(first.err.code, ERR_OK);
    CU_ASSERT_EQUAL(json_integer_value(json_object_get(first.body, "a")), 1);
    json_decref(first.body);
    bed_idle(&bed, 30);
    CU_ASSERT_PTR_NULL(bed.client->retirees[0].session);
    CU_ASSERT_PTR_NULL(bed.server.conns->next); /* the old one is gone */
    expect_good("/x");
    CU_ASSERT_EQUAL(bed.server.connections, 2);
    bed_stop(&bed);
}

static void goaway_is_not_patient_for_ever(void)
{
    bed_start(&bed);
    bed_connect(&bed);
    bed.client->timing.retire_ms = 50;
    SCRIPT(&bed.server, {.wants = "/x", .status = 200, .body = "{", .then = GOAWAY},
           {.wants = "/x", .status = 200, .body = "{}"});
    expect_error(ERR_RPC_UNAVAILABLE, "GOAWAY");
    expect_good("/x");
    bed_stop(&bed);
}

static void goaways_that_follow_each_other_cost_no_call(void)
{
    enum { CALLS = 60, EVERY = 5 };
    static struct step script[CALLS];
    static struct reply replies[CALLS];
    struct err err;
    memset(replies, 0, sizeof replies);
    bed_start(&bed);
    bed_connect(&bed);
    for (int i = 0; i < CALLS; i++)
        script[i] = (struct step){.wants = "/x",
                                  .status = 200,
                                  .body = "{}",
                                  .then = i % EVERY == EVERY - 1 ? LEAVE : END};
    apiserver_script(&bed.server, script, CALLS);
    for (int i = 0; i < CALLS; i++)
        kube_request(bed.client, "POST", "/x", NULL, json_pack("{}"), 10000, bed_on_answer,
                     &replies[i], &err);
    for (int i = 0; i < CALLS; i++) {
        CU_ASSERT_TRUE(bed_wait_flag(&bed, &replies[i].done));
        CU_ASSERT_EQUAL(replies[i].err.code, ERR_OK);
        json_decref(replies[i].body);
    }
    CU_ASSERT_EQUAL(bed.server.requests, CALLS); /* and none was done twice */
    bed_stop(&bed);
}

static void connections_that_retire_keep_their_calls(void)
{
    enum { CONNECTIONS = 3 };
    struct reply replies[CONNECTIONS] = {0};
    struct err err;
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server,
           {.wants = "/x", .status = 200, .body = "{", .then = GOAWAY, .repeat = true});
    for (int i = 0; i < CONNECTIONS; i++) {
        kube_request(bed.client, "GET", "/x", NULL, NULL, 10000, bed_on_answer, &replies[i], &err);
        for (int turns = 0; turns < 500 && bed.client->retirees[i].session == NULL; turns++)
            bed_idle(&bed, 10);
    }
    CU_ASSERT_EQUAL_FATAL(bed.server.requests, CONNECTIONS);
    CU_ASSERT(bed.server.connections >= CONNECTIONS);
    for (int i = 0; i < CONNECTIONS; i++) {
        apiserver_say(&bed.server, "}", 1, true);
        bed_idle(&bed, 20);
    }
    for (int i = 0; i < CONNECTIONS; i++) {
        CU_ASSERT_TRUE(bed_wait_flag(&bed, &replies[i].done));
        CU_ASSERT_EQUAL(replies[i].err.code, ERR_OK);
        json_decref(replies[i].body);
    }
    bed_stop(&bed);
}

/* A server that says goodbye at every connection must not be called in a tight loop. */
static void goaway_at_every_connection_is_met_with_backoff(void)
{
    bed_start(&bed);
    bed_connect(&bed);
    bed.client->backoff = (struct backoff){.first_ms = 1, .max_ms = 100};
    bed.client->timing.retire_ms = 1;
    SCRIPT(&bed.server, {.wants = "/x", .then = GOAWAY, .status = 200, .repeat = true});
    for (int i = 0; i < 10; i++)
        expect_error(ERR_RPC_UNAVAILABLE, "GOAWAY");
    CU_ASSERT_TRUE(bed.client->backoff.failures >= 10);
    bed_stop(&bed);
}

static void silent_server_is_found_out(void)
{
    bed_start(&bed);
    bed_connect(&bed);
    bed.client->timing.session.ping_idle_ms = 60;
    bed.client->timing.session.ping_answer_ms = 60;
    SCRIPT(&bed.server, {.wants = "/x", .status = 200, .body = "{", .then = SILENT},
           {.wants = "/x", .status = 200, .body = "{}"});
    expect_error(ERR_TIMEOUT, "did not answer a PING");
    expect_good("/x");
    CU_ASSERT_EQUAL(bed.server.connections, 2);
    bed_stop(&bed);
}

static bool three_pings(void *arg)
{
    (void)arg;
    return bed.server.pings >= 3;
}

static void quiet_server_that_answers_pings_stays(void)
{
    struct reply reply = {0};
    struct err err;
    bed_start(&bed);
    bed_connect(&bed);
    bed.client->timing.session.ping_idle_ms = 20;
    bed.client->timing.session.ping_answer_ms = 100;
    SCRIPT(&bed.server, {.wants = "/x", .status = 200, .body = "{", .then = HOLD});
    kube_request(bed.client, "GET", "/x", NULL, NULL, 10000, bed_on_answer, &reply, &err);
    CU_ASSERT_TRUE(bed_wait(&bed, three_pings, NULL));
    CU_ASSERT_FALSE(reply.done);
    apiserver_say(&bed.server, "}", 1, true);
    CU_ASSERT_TRUE(bed_wait_flag(&bed, &reply.done));
    CU_ASSERT_EQUAL(reply.err.code, ERR_OK);
    CU_ASSERT_EQUAL(bed.server.connections, 1);
    json_decref(reply.body);
    bed_stop(&bed);
}

static void call_without_a_connection_learns_why(void)
{
    const struct err *why;
    bed_start(&bed);
    bed.server.refuses = true;
    bed_connect(&bed);
    struct reply reply = bed_get(&bed, "/x", 10000);
    CU_ASSERT_TRUE(reply.err.code == ERR_TLS_PEER_CLOSED || reply.err.code == ERR_TLS_PEER_RESET);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply.err.text, "TLS to \"kubernetes.test\""));
    CU_ASSERT_FALSE(kube_client_is_connected(bed.client, &why));
    CU_ASSERT_EQUAL(why->code, reply.err.code);
    bed.server.refuses = false;
    SCRIPT(&bed.server, {.wants = "/x", .status = 200, .body = "{}"});
    while (!kube_client_is_connected(bed.client, NULL))
        bed_idle(&bed, 5);
    expect_good("/x");
    bed_stop(&bed);

    bed_start(&bed);
    bed.server.deaf = true;
    bed_connect(&bed);
    reply = bed_get(&bed, "/x", 80);
    CU_ASSERT_EQUAL(reply.err.code, ERR_TIMEOUT);
    CU_ASSERT_PTR_NOT_NULL(strstr(reply.err.text, "no connection to the API server within 80 ms"));
    bed_stop(&bed);

    bed_start(&bed);
    int fd = bed.server.listener.fd;
    poll_item_remove(&bed.loop, &bed.server.listener);
    close(fd);
    bed_connect(&bed);
    expect_error(ERR_CONN_REFUSED, "nobody is listening there");
    bed_stop(&bed);
}

static void host_may_be_a_name_with_several_addresses(void)
{
    bed_start(&bed);
    free(bed.config.host);
    bed.config.host = strdup("localhost");
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "/x", .status = 200, .body = "{}"});
    expect_good("/x");
    bed_stop(&bed);
    bed_start(&bed);
    free(bed.config.host);
    bed.config.host = strdup("no-such-host.invalid");
    bed_connect(&bed);
    expect_error(ERR_RPC_UNAVAILABLE, "cannot be resolved");
    bed_stop(&bed);
}

/* --- who is who ------------------------------------------------------------------------------- */

static void set_text(char **target, const char *text)
{
    free(*target);
    *target = text ? strdup(text) : NULL;
}

static void server_must_carry_the_name(void)
{
    static const struct {
        const char *name;
        enum err_code code;
    } table[] = {
        {"kubernetes.test", ERR_OK}, {"other.test", ERR_TLS_NAME}, {"127.0.0.1", ERR_OK},
        {"127.0.0.2", ERR_TLS_NAME}, {"::ffff:127.0.0.1", ERR_OK},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        bed_start(&bed);
        set_text(&bed.config.server_name, table[i].name);
        bed_connect(&bed);
        SCRIPT(&bed.server, {.wants = "/x", .status = 200, .body = "{}"});
        if (table[i].code == ERR_OK)
            expect_good("/x");
        else
            expect_error(table[i].code, "is for kubernetes.test, 127.0.0.1, expected ");
        CU_ASSERT_EQUAL(bed.server.requests, table[i].code == ERR_OK);
        bed_stop(&bed);
    }
}

static void server_of_another_authority_gets_no_request(void)
{
    static struct certs other;
    if (!other.ca)
        certs_init(&other);
    bed_start(&bed);
    bed.config.token = strdup("secret");
    set_text(&bed.config.ca_pem, other.ca_pem);
    bed_connect(&bed);
    /* The same name, so a root is found: it is its signature that is not good. */
    struct reply reply = bed_get(&bed, "/x", 10000);
    CU_ASSERT_TRUE(reply.err.code == ERR_TLS_SIGNATURE || reply.err.code == ERR_TLS_UNKNOWN_ROOT);
    CU_ASSERT_EQUAL(bed.server.requests, 0);
    bed_stop(&bed);
}

static void server_with_an_rsa_key_is_as_good(void)
{
    bed_start(&bed);
    SSL_CTX_free(bed.server.tls);
    bed.server.tls = certs_server(bed.certs, "kubernetes.test", NULL, true);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "/x", .status = 200, .body = "{}"});
    expect_good("/x");
    bed_stop(&bed);
}

static void server_without_http2_is_refused(void)
{
    bed_start(&bed);
    SSL_CTX_set_alpn_select_cb(bed.server.tls, NULL, NULL);
    bed_connect(&bed);
    expect_error(ERR_TLS_ALPN, "selected no ALPN, expected \"h2\"");
    bed_stop(&bed);
}

static void client_certificate_says_who_we_are(void)
{
    for (int rsa = 0; rsa < 2; rsa++) {
        bed_start(&bed);
        certs_client(bed.certs, rsa ? "rsa-admin" : "ec-admin", rsa, &bed.config.client_cert_pem,
                     &bed.config.client_key_pem);
        bed_connect(&bed);
        SCRIPT(&bed.server, {.wants = "/x", .status = 200, .body = "{}"});
        expect_good("/x");
        CU_ASSERT_STRING_EQUAL(bed.server.last_client, rsa ? "rsa-admin" : "ec-admin");
        bed_stop(&bed);
    }
}

static void credentials_that_cannot_be_used_are_refused(void)
{
    struct err err = {0};
    char *chain, *key, *other_chain, *other_key;
    bed_start(&bed);
    certs_client(bed.certs, "a", false, &chain, &key);
    certs_client(bed.certs, "a", false, &other_chain, &other_key);
    const struct {
        const char *ca, *chain, *key;
        enum err_code code;
    } table[] = {
        {"", NULL, NULL, ERR_TLS_BAD_CERTIFICATE},
        {chain, NULL, NULL, ERR_TLS_BAD_CERTIFICATE}, /* no CA */
        {NULL, chain, other_key, ERR_TLS_KEY_MISMATCH},
        {NULL, "nothing", key, ERR_TLS_BAD_CERTIFICATE},
        {NULL, chain, "nothing", ERR_INVALID},
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        set_text(&bed.config.ca_pem, table[i].ca ? table[i].ca : bed.certs->ca_pem);
        set_text(&bed.config.client_cert_pem, table[i].chain);
        set_text(&bed.config.client_key_pem, table[i].key);
        CU_ASSERT_EQUAL(kube_client_new(&bed.client, &bed.env, &bed.config, &err), table[i].code);
        CU_ASSERT_PTR_NULL(bed.client);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "credentials for the API server"));
    }
    free(chain);
    free(key);
    free(other_chain);
    free(other_key);
    bed_stop(&bed);
}

/* --- closing, and callbacks that do things ---------------------------------------------------- */

static void closing_client_ends_its_calls(void)
{
    struct reply replies[3] = {0};
    struct err err;
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "/x", .status = 200, .body = "{", .then = HOLD, .repeat = true});
    for (int i = 0; i < 3; i++)
        kube_request(bed.client, "GET", "/x", NULL, NULL, 10000, bed_on_answer, &replies[i], &err);
    bed_idle(&bed, 50);
    bed_stop(&bed);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_EQUAL(replies[i].times, 1);
        CU_ASSERT_EQUAL(replies[i].err.code, ERR_CANCELLED);
    }
}

/* However far it has come: resolving, connecting, shaking hands, asking. */
static void client_may_be_closed_at_any_turn(void)
{
    for (int turns = 0; turns < 60; turns++) {
        struct reply reply = {0};
        struct err err;
        bed_start(&bed);
        set_text(&bed.config.host, turns % 2 ? "localhost" : "127.0.0.1");
        bed_connect(&bed);
        SCRIPT(&bed.server, {.wants = "/x", .status = 200, .body = "{}"});
        CU_ASSERT_PTR_NOT_NULL(
            kube_request(bed.client, "GET", "/x", NULL, NULL, 10000, bed_on_answer, &reply, &err));
        for (int i = 0; i < turns / 2; i++)
            uv_run(&bed.loop.uv, UV_RUN_NOWAIT);
        bed_stop(&bed);
        CU_ASSERT_EQUAL(reply.times, 1);
        CU_ASSERT_TRUE(reply.err.code == ERR_CANCELLED || reply.status == 200);
        json_decref(reply.body);
    }
}

static bool client_closed;

static void on_client_closed(void *arg)
{
    *(bool *)arg = true;
}

static void close_in_answer(const struct kube_answer *answer, const struct err *err, void *arg)
{
    struct reply *other = arg;
    struct err refused;
    (void)answer, (void)err;
    kube_client_close(bed.client, on_client_closed, &client_closed);
    CU_ASSERT_PTR_NULL(
        kube_request(bed.client, "GET", "/x", NULL, NULL, 10000, bed_on_answer, other, &refused));
    CU_ASSERT_EQUAL(refused.code, ERR_CANCELLED);
}

static void answer_may_close_the_client(void)
{
    struct reply other = {0};
    struct err err;
    client_closed = false;
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "/x", .then = NOTHING},
           {.wants = "/y", .status = 200, .body = "{}"});
    kube_request(bed.client, "GET", "/x", NULL, NULL, 10000, bed_on_answer, &other, &err);
    kube_request(bed.client, "GET", "/y", NULL, NULL, 10000, close_in_answer, &other, &err);
    CU_ASSERT_TRUE(bed_wait_flag(&bed, &client_closed));
    CU_ASSERT_EQUAL(other.times, 1);
    CU_ASSERT_EQUAL(other.err.code, ERR_CANCELLED);
    bed.client = NULL;
    bed_stop(&bed);
}

/* --- a server out of its mind ----------------------------------------------------------------- */

static void broken_http2_ends_the_connection_with_a_reason(void)
{
    static const struct {
        const char *bytes;
        size_t len;
    } table[] = {
        {"HTTP/1.1 400 Bad Request\r\n\r\n", 28},
        {"\0\0\0\x01\0\0\0\0\x02", 9},     /* HEADERS on an even stream that is not there */
        {"\0\0\x01\0\0\0\0\0\0x", 10},     /* DATA on stream 0 */
        {"\xff\xff\xff\0\0\0\0\0\x01", 9}, /* a frame of 16 MiB */
        {"\0\0\x04\x01\x04\0\0\0\x01\xff\xff\xff\xff", 13}, /* headers that do not decode */
        {"\0\0\x05\x06\0\0\0\0\0hello", 14},                /* a PING of 5 bytes */
    };
    for (size_t i = 0; i < sizeof table / sizeof table[0]; i++) {
        struct reply reply = {0};
        struct err err;
        bed_start(&bed);
        bed_connect(&bed);
        SCRIPT(&bed.server, {.wants = "/x", .then = NOTHING},
               {.wants = "/y", .status = 200, .body = "{}"});
        kube_request(bed.client, "GET", "/x", NULL, NULL, 10000, bed_on_answer, &reply, &err);
        while (bed.server.requests == 0)
            uv_run(&bed.loop.uv, UV_RUN_ONCE);
        apiserver_babble(&bed.server, table[i].bytes, table[i].len);
        CU_ASSERT_TRUE(bed_wait_flag(&bed, &reply.done));
        if (reply.err.code != ERR_RPC_PROTOCOL && reply.err.code != ERR_RPC_UNAVAILABLE)
            fprintf(stderr, "\n%zu: %s\n", i, reply.err.text);
        CU_ASSERT_TRUE(reply.err.code == ERR_RPC_PROTOCOL || reply.err.code == ERR_RPC_UNAVAILABLE);
        expect_good("/y");
        bed_stop(&bed);
    }
}

static void random_bytes_harm_nobody(void)
{
    uint64_t seed = 7;
    bed_start(&bed);
    bed_connect(&bed);
    SCRIPT(&bed.server, {.wants = "/x", .then = NOTHING, .repeat = true});
    for (int round = 0; round < 60; round++) {
        struct reply reply = {0};
        struct err err;
        uint8_t bytes[64];
        unsigned before = bed.server.requests;
        for (size_t i = 0; i < sizeof bytes; i++) {
            seed = seed * 6364136223846793005u + 1442695040888963407u;
            bytes[i] = (uint8_t)(seed >> 56);
        }
        bytes[0] = bytes[1] = 0;
        bytes[2] %= 48; /* frames that are there as a whole */
        bytes[3] %= 10;
        bytes[5] = bytes[6] = bytes[7] = 0;
        bytes[8] %= 4;
        kube_request(bed.client, "GET", "/x", NULL, NULL, 60, bed_on_answer, &reply, &err);
        while (bed.server.requests == before && !reply.done)
            uv_run(&bed.loop.uv, UV_RUN_ONCE);
        if (bed.server.conns && bed.server.conns->shaken)
            apiserver_babble(&bed.server, bytes, sizeof bytes);
        CU_ASSERT_TRUE(bed_wait_flag(&bed, &reply.done));
        CU_ASSERT_EQUAL(reply.times, 1);
        json_decref(reply.body);
    }
    bed_stop(&bed);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(request_and_answer_go_both_ways),
        SUITE_CASE(token_is_read_for_every_request),
        SUITE_CASE(no_token_is_no_header),
        SUITE_CASE(any_status_is_an_answer),
        SUITE_CASE(many_calls_share_one_connection),
        SUITE_CASE(large_bodies_go_both_ways),
        SUITE_CASE(answer_over_its_ceiling_is_refused),
        SUITE_CASE(what_cannot_be_sent_is_refused_at_once),
        SUITE_CASE(call_has_a_deadline_and_the_connection_stays),
        SUITE_CASE(cancelled_call_answers_nothing),
        SUITE_CASE(lost_connection_ends_every_call_with_a_reason),
        SUITE_CASE(reset_stream_is_an_error_of_one_call),
        SUITE_CASE(refused_stream_is_asked_once_more),
        SUITE_CASE(goaway_lets_calls_finish_and_new_ones_go_elsewhere),
        SUITE_CASE(goaway_is_not_patient_for_ever),
        SUITE_CASE(goaways_that_follow_each_other_cost_no_call),
        SUITE_CASE(connections_that_retire_keep_their_calls),
        SUITE_CASE(goaway_at_every_connection_is_met_with_backoff),
        SUITE_CASE(silent_server_is_found_out),
        SUITE_CASE(quiet_server_that_answers_pings_stays),
        SUITE_CASE(call_without_a_connection_learns_why),
        SUITE_CASE(host_may_be_a_name_with_several_addresses),
        SUITE_CASE(server_must_carry_the_name),
        SUITE_CASE(server_of_another_authority_gets_no_request),
        SUITE_CASE(server_with_an_rsa_key_is_as_good),
        SUITE_CASE(server_without_http2_is_refused),
        SUITE_CASE(client_certificate_says_who_we_are),
        SUITE_CASE(credentials_that_cannot_be_used_are_refused),
        SUITE_CASE(closing_client_ends_its_calls),
        SUITE_CASE(client_may_be_closed_at_any_turn),
        SUITE_CASE(answer_may_close_the_client),
        SUITE_CASE(broken_http2_ends_the_connection_with_a_reason),
        SUITE_CASE(random_bytes_harm_nobody),
        SUITE_END,
    };
    return suite_main("kube/client", cases, argc, argv);
}
