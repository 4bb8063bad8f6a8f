#include "cli/verb.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/contract.h"
#include "stage.h"
#include "suite.h"

static const char *const names[] = {"status",    "certs",   "connections", "config",
                                    "log-level", "drain",   "token",       "inject",
                                    "wait",      "outlive", "check",       "version"};
enum { NAME_COUNT = sizeof names / sizeof names[0] };

/* Runs and checks the status; the caller frees what it gets. */
static struct outcome expect(int status, const char *const *words)
{
    struct outcome outcome = stage_run(words);
    CU_ASSERT_EQUAL(outcome.status, status);
    if (outcome.status != status)
        printf("\n%s: status %d\n%s%s\n", words[0], outcome.status, outcome.out, outcome.err);
    return outcome;
}
#define EXPECT(status, ...) expect(status, (const char *const[]){__VA_ARGS__, NULL})

static void help_lists_every_verb_and_every_verb_has_help(void)
{
    struct outcome help = EXPECT(VERB_DONE, "--help");
    CU_ASSERT_STRING_EQUAL(help.err, "");
    for (unsigned i = 0; i < NAME_COUNT; i++) {
        char row[64];
        snprintf(row, sizeof row, "\n  %s ", names[i]);
        CU_ASSERT(stage_has(help.out, row));
        struct outcome one = EXPECT(VERB_DONE, names[i], "--help");
        CU_ASSERT(stage_has(one.out, names[i]));
        CU_ASSERT(stage_has(one.out, "--json"));
        outcome_free(&one);
    }
    outcome_free(&help);
    help = EXPECT(VERB_DONE, "help");
    outcome_free(&help);
    help = EXPECT(VERB_DONE, "connections", "-h");
    CU_ASSERT(stage_has(help.out, "--limit N"));
    CU_ASSERT(stage_has(help.out, "(default /run/handfast/admin.sock)"));
    outcome_free(&help);
}

static void a_wrong_command_line_is_a_sentence_and_status_2(void)
{
    static const struct {
        const char *words[4];
        const char *sentence;
    } rows[] = {
        {{"stauts"}, "handfast: there is no verb 'stauts' (--help lists them) [usage]\n"},
        {{"--json", "status"}, "handfast: the verb comes before '--json' "},
        {{"status", "--nope"}, "handfast status: unknown option '--nope'"},
        {{"status", "more"}, "handfast status: unexpected argument 'more'"},
        {{"status", "--limit", "5"}, "handfast status: unknown option '--limit'"},
        {{"connections", "--limit", "0"}, "--limit: '0' is not a number from 1 to 20000"},
        {{"log-level", "loud"}, "'loud' is not a log level: error, warn, info or debug [usage]"},
        {{"log-level", "info", "debug"}, "unexpected argument 'debug'"},
        {{"inject"}, "-f FILE is needed"},
        {{"inject", "-f", "x", "--image="}, "--image is empty"},
        {{"inject", "-f", "x", "--proxy-cpu=much"}, "--proxy-cpu: 'much' is not valid"},
        {{"wait", "--timeout-s", "-1"}, "--timeout-s: '-1' is not a number from 0"},
        {{"token"}, "--state DIR and --service-account NS/NAME are needed"},
        {{"token", "--state=/", "--service-account=web"}, "'web' is not namespace/name"},
        {{"token", "--state=/", "--service-account=a/b/c"}, "'a/b/c' is not namespace/name"},
    };
    stage_open();
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct outcome outcome = expect(VERB_USAGE, rows[i].words);
        CU_ASSERT(stage_has(outcome.err, rows[i].sentence));
        CU_ASSERT_STRING_EQUAL(outcome.out, "");
        outcome_free(&outcome);
    }
    struct outcome nothing = stage_run((const char *const[]){NULL});
    CU_ASSERT_EQUAL(nothing.status, VERB_USAGE);
    CU_ASSERT(stage_has(nothing.err, "handfast VERB [OPTIONS]"));
    outcome_free(&nothing);
    CU_ASSERT_STRING_EQUAL(stage.level, "");
    stage_close();
}

static void json_is_the_admin_sockets_own_document(void)
{
    stage_open();
    const char *const documents[NAME_COUNT] = {stage.status,
                                               stage.certs,
                                               stage.connections,
                                               stage.config,
                                               "{\"level\": \"info\"}",
                                               "{\"state\": \"draining\", \"grace_s\": 90}",
                                               NULL,
                                               NULL};
    for (unsigned i = 0; i < NAME_COUNT; i++) {
        if (!documents[i])
            continue;
        struct outcome outcome = EXPECT(VERB_DONE, names[i], "--json");
        json_t *got = json_loads(outcome.out, 0, NULL);
        json_t *wanted = json_loads(documents[i], 0, NULL);
        CU_ASSERT_PTR_NOT_NULL(got);
        CU_ASSERT(json_equal(got, wanted));
        CU_ASSERT_STRING_EQUAL(outcome.err, "");
        json_decref(got);
        json_decref(wanted);
        outcome_free(&outcome);
    }
    CU_ASSERT_EQUAL(stage.drains, 1);
    stage_close();
}

static void status_reads_as_words_and_relative_times(void)
{
    static const char expected[] =
        "state         ready\n"
        "identity      spiffe://demo.handfast/ns/shop/sa/web\n"
        "pod           shop/web-1\n"
        "certificate   valid until 2026-11-24T23:52:00Z, in 11h 52m (serial 5c0f)\n"
        "control plane 10.0.0.1:15012, connected for 1h, 1 reconnect\n"
        "              last update 12s ago\n"
        "clock         agrees with the control plane's\n"
        "connections   3 inbound, 5 outbound\n"
        "configuration generation 7: 3 workloads, 1 service, 0 policies\n"
        "process       version 0.1.0, pid 17, 2 workers, up 11h 52m\n";
    stage_open();
    struct outcome outcome = EXPECT(VERB_DONE, "status");
    CU_ASSERT_STRING_EQUAL(outcome.out, expected);
    if (strcmp(outcome.out, expected) != 0)
        printf("\n%s\n", outcome.out);
    outcome_free(&outcome);
    stage_close();
}

static void status_of_a_proxy_that_is_not_ready_is_3_and_says_why(void)
{
    stage_open();
    stage.status =
        "{\"state\": \"starting\", \"state_reason\": \"waiting for the first certificate\","
        " \"certificate\": {\"serial\": null, \"not_after\": null, \"seconds_left\": null,"
        " \"last_error\": \"csr_identity\"}, \"clock_skew_s\": -75, \"control\": {\"address\": "
        "\"c:15012\","
        " \"connected\": false, \"link\": \"resolving\", \"since_s\": 75, \"reconnects\": 0, "
        "\"last_update_s\": null,"
        " \"last_error\": \"connect to 10.0.0.1:15012: Connection refused\"}}";
    struct outcome outcome = EXPECT(VERB_NOT_READY, "status");
    CU_ASSERT(stage_has(outcome.out, "state         starting: waiting for the first cert"));
    CU_ASSERT(stage_has(outcome.out, "certificate   none yet\n"
                                     "              last request failed: csr_identity\n"));
    CU_ASSERT(stage_has(outcome.out,
                        "c:15012, NOT CONNECTED for 1m 15s (link resolving), 0 reconnects\n"));
    CU_ASSERT(stage_has(outcome.out, "last error: connect to 10.0.0.1:15012: Connection refused"));
    CU_ASSERT(stage_has(outcome.out, "no update yet\n"));
    CU_ASSERT(stage_has(outcome.out, "clock         1m 15s ahead of the control plane's\n"));
    outcome_free(&outcome);
    outcome = EXPECT(VERB_NOT_READY, "status", "--json");
    outcome_free(&outcome);
    stage.status = "{\"state\": \"draining\", \"state_reason\": \"draining\", \"clock_skew_s\": 5, "
                   "\"certificate\": {\"not_after\":"
                   " 1795521590, \"seconds_left\": -10, \"last_error\": \"no answer\"}}";
    outcome = EXPECT(VERB_NOT_READY, "status");
    CU_ASSERT(stage_has(outcome.out, "state         draining\n"));
    CU_ASSERT(stage_has(outcome.out, "EXPIRED at 2026-11-24T11:59:50Z, 10s ago"));
    CU_ASSERT(stage_has(outcome.out, "last renewal failed: no answer"));
    CU_ASSERT(stage_has(outcome.out, "clock         5s behind the control plane's\n"));
    outcome_free(&outcome);
    stage.status =
        "{\"state\": \"ready\", \"warnings\": [\"no record has 10.0.0.9\", \"and more\"]}";
    outcome = EXPECT(VERB_DONE, "status");
    CU_ASSERT(stage_has(outcome.out, "state         ready\n"
                                     "WARNING       no record has 10.0.0.9\n"
                                     "WARNING       and more\n"));
    outcome_free(&outcome);
    stage.status = "{}";
    outcome = EXPECT(VERB_NOT_READY, "status");
    CU_ASSERT(stage_has(outcome.out, "certificate   none yet\n"));
    CU_ASSERT(stage_has(outcome.out, "unknown, NOT CONNECTED for 0s, 0 reconnects\n"));
    outcome_free(&outcome);
    stage_close();
}

static void status_says_how_many_policies_could_not_be_read(void)
{
    stage_open();
    stage.status = "{\"state\": \"ready\", \"config\": {\"policies\": 3,"
                   " \"unreadable_policies\": 1}}";
    struct outcome outcome = EXPECT(VERB_DONE, "status");
    CU_ASSERT(stage_has(outcome.out, "3 policies\n              1 policy could not be read, see "
                                     "`handfast config`\n"));
    outcome_free(&outcome);
    stage_close();
}

static void wait_ends_with_the_proxy_ready_or_with_its_time_over(void)
{
    stage_open();
    struct outcome outcome = EXPECT(VERB_DONE, "wait");
    CU_ASSERT_STRING_EQUAL(outcome.out, "");
    outcome_free(&outcome);
    outcome = EXPECT(VERB_DONE, "wait", "--json");
    CU_ASSERT(stage_has(outcome.out, "\"state\": \"ready\""));
    outcome_free(&outcome);
    stage.status = "{\"state\": \"starting\", \"state_reason\": \"waiting for everything\"}";
    outcome = EXPECT(VERB_NOT_READY, "wait", "--timeout-s", "0");
    CU_ASSERT(stage_has(outcome.err, "after 0 s the proxy is still not ready: waiting for every"));
    outcome_free(&outcome);
    outcome = EXPECT(VERB_NOT_READY, "wait", "--timeout-s", "0", "--admin-socket", "/nowhere");
    CU_ASSERT(stage_has(outcome.err, "still not ready: "));
    CU_ASSERT(stage_has(outcome.err, "/nowhere"));
    outcome_free(&outcome);
    stage_close();
}

static void outlive_waits_no_longer_than_it_may(void)
{
    struct outcome outcome = EXPECT(VERB_DONE, "outlive", "--at-most-s", "0");
    CU_ASSERT(stage_has(outcome.out, "waited "));
    outcome_free(&outcome);
    outcome = EXPECT(VERB_DONE, "outlive", "--at-most-s", "0", "--json");
    CU_ASSERT(stage_has(outcome.out, "\"sockets_left\": "));
    outcome_free(&outcome);
}

static void inject_reads_a_file_and_prints_it_with_sidecars(void)
{
    char path[] = "/tmp/handfast-inject-XXXXXX";
    static const char pod[] = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"
                              "spec: {containers: [{name: web, image: web}]}\n";
    static const char refused[] = "apiVersion: v1\nkind: Pod\nmetadata: {name: web}\n"
                                  "spec: {securityContext: {runAsUser: 1337}, containers: "
                                  "[{name: web, image: web}]}\n";
    int fd = mkstemp(path);
    CU_ASSERT_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(pwrite(fd, pod, sizeof pod - 1, 0), (ssize_t)sizeof pod - 1);
    struct outcome outcome = EXPECT(VERB_DONE, "inject", "-f", path, "--image", "mine:1");
    CU_ASSERT(stage_has(outcome.out, "  - name: handfast-redirect\n    image: mine:1\n"));
    CU_ASSERT_STRING_EQUAL(outcome.err, "");
    outcome_free(&outcome);
    outcome = EXPECT(VERB_DONE, "inject", "--json", "--file", path);
    json_t *parsed = json_loads(outcome.out, 0, NULL);
    CU_ASSERT(json_is_object(parsed));
    json_decref(parsed);
    outcome_free(&outcome);
    CU_ASSERT_EQUAL(pwrite(fd, refused, sizeof refused - 1, 0), (ssize_t)sizeof refused - 1);
    outcome = EXPECT(VERB_FAILED, "inject", "-f", path);
    CU_ASSERT_STRING_EQUAL(outcome.out, "");
    CU_ASSERT(stage_has(outcome.err, "Pod web: securityContext.runAsUser of the pod is 1337"));
    outcome_free(&outcome);
    close(fd);
    unlink(path);
    outcome = EXPECT(VERB_FAILED, "inject", "-f", path);
    CU_ASSERT(stage_has(outcome.err, "No such file"));
    outcome_free(&outcome);
}

static void certs_shows_leaf_renewal_and_roots(void)
{
    static const char expected[] = "identity      spiffe://demo.handfast/ns/shop/sa/web\n"
                                   "serial        5c0f\n"
                                   "issuer        CN=Issuer\n"
                                   "valid from    2026-11-24T11:58:00Z, 2m ago\n"
                                   "valid until   2026-11-24T23:52:00Z, in 11h 52m\n"
                                   "renewal       in 6h, 4 so far\n"
                                   "trust bundle  generation 1, sha256 abcd\n"
                                   "  TRUST DOMAIN   ROOT     EXPIRES               LEFT\n"
                                   "  demo.handfast  CN=Root  2036-07-18T13:20:00Z  in 3524d 1h\n";
    stage_open();
    struct outcome outcome = EXPECT(VERB_DONE, "certs");
    CU_ASSERT_STRING_EQUAL(outcome.out, expected);
    if (strcmp(outcome.out, expected) != 0)
        printf("\n%s\n", outcome.out);
    outcome_free(&outcome);
    stage.certs = "{\"identity\": \"spiffe://m/ns/a/sa/a\", \"serial\": null, \"last_error\":"
                  " \"the control plane cannot be reached\", \"bundle\": {}}";
    outcome = EXPECT(VERB_DONE, "certs");
    CU_ASSERT(
        stage_has(outcome.out, "certificate   none yet\nrenewal       due now, none so far\n"));
    CU_ASSERT(stage_has(outcome.out, "trust bundle  none yet\n"));
    CU_ASSERT(stage_has(outcome.out, "last error    the control plane cannot be reached\n"));
    outcome_free(&outcome);
    stage_close();
}

static void connections_is_a_table_with_both_ends(void)
{
    static const char expected[] =
        "ID  DIRECTION  STATE        SOURCE           DESTINATION                      AGE     "
        "SENT  RECEIVED  SECURITY    PEER\n"
        "17  outbound   open         10.77.1.3:40312  10.96.0.10:80 -> 10.77.1.2:8080  1m 30s  "
        "12 B  4.0 MiB   mutual TLS  spiffe://demo.handfast/ns/shop/sa/web\n"
        "4   inbound    handshaking  10.0.0.9:1       10.77.1.3:80                     0.2s    "
        "0 B   0 B       plaintext   -\n"
        "\n"
        "3 connections, 2 shown (--limit shows more)\n";
    stage_open();
    struct outcome outcome = EXPECT(VERB_DONE, "connections", "--limit", "2");
    CU_ASSERT_STRING_EQUAL(outcome.out, expected);
    if (strcmp(outcome.out, expected) != 0)
        printf("\n%s\n", outcome.out);
    CU_ASSERT_STRING_EQUAL(stage.limit, "2");
    outcome_free(&outcome);
    stage.connections = "{\"total\": 0, \"connections\": []}";
    outcome = EXPECT(VERB_DONE, "connections");
    CU_ASSERT_STRING_EQUAL(outcome.out, "0 connections\n");
    CU_ASSERT_STRING_EQUAL(stage.limit, "1000");
    outcome_free(&outcome);
    stage_close();
}

static void config_shows_workloads_services_and_policies(void)
{
    stage_open();
    struct outcome outcome = EXPECT(VERB_DONE, "config");
    CU_ASSERT(stage_has(outcome.out, "trust domain  demo.handfast\ngeneration    7\n"));
    CU_ASSERT(stage_has(outcome.out, "shop/web-1  10.77.1.2, fd77:1::2  mutual TLS  healthy    "
                                     "spiffe://demo.handfast/ns/shop/sa/web  shop/p\n"));
    CU_ASSERT(stage_has(outcome.out, "shop/old    10.77.1.9             plaintext   UNHEALTHY  -"));
    CU_ASSERT(stage_has(outcome.out, "shop/web  10.96.0.10  80 -> 8080, 443  NONE\n"));
    CU_ASSERT(
        stage_has(outcome.out, "shop/p  deny (dry run)  selector    2      principal not *\n"));
    outcome_free(&outcome);
    stage.config = "{}";
    outcome = EXPECT(VERB_DONE, "config");
    CU_ASSERT(stage_has(outcome.out, "\nno workloads\n\nno services\n\nno policies\n"));
    outcome_free(&outcome);
    stage_close();
}

static void the_log_level_is_shown_and_set(void)
{
    stage_open();
    struct outcome outcome = EXPECT(VERB_DONE, "log-level");
    CU_ASSERT_STRING_EQUAL(outcome.out, "info\n");
    CU_ASSERT_STRING_EQUAL(stage.level, "");
    outcome_free(&outcome);
    outcome = EXPECT(VERB_DONE, "log-level", "debug");
    CU_ASSERT_STRING_EQUAL(outcome.out, "debug (was info)\n");
    CU_ASSERT_STRING_EQUAL(stage.level, "debug");
    outcome_free(&outcome);
    stage_close();
}

static void drain_says_what_happens_next(void)
{
    stage_open();
    struct outcome outcome = EXPECT(VERB_DONE, "drain");
    CU_ASSERT_STRING_EQUAL(outcome.out,
                           "draining: no new inbound connections; the proxy goes on until SIGTERM, "
                           "then has 1m 30s for the connections that are left\n");
    CU_ASSERT_EQUAL(stage.drains, 1);
    outcome_free(&outcome);
    outcome = EXPECT(VERB_DONE, "drain", "--help");
    CU_ASSERT_PTR_NULL(strstr(outcome.out, "end"));
    outcome_free(&outcome);
    stage_close();
}

static void version_works_with_and_without_a_proxy(void)
{
    stage_open();
    struct outcome outcome = EXPECT(VERB_DONE, "--version");
    CU_ASSERT_STRING_EQUAL(outcome.out, "handfast " HANDFAST_VERSION "\n");
    outcome_free(&outcome);
    outcome = EXPECT(VERB_DONE, "version");
    CU_ASSERT(stage_has(outcome.out, "handfast      " HANDFAST_VERSION "\n"));
    CU_ASSERT(stage_has(outcome.out, "proxy         handfast-proxy 0.1.0\n"));
    outcome_free(&outcome);
    outcome = EXPECT(VERB_DONE, "version", "--json");
    CU_ASSERT(stage_has(outcome.out, "\"program\": \"handfast-proxy\""));
    outcome_free(&outcome);
    outcome = EXPECT(VERB_DONE, "version", "--admin-socket", "/nowhere/admin.sock");
    CU_ASSERT(stage_has(outcome.out, "no proxy is listening at /nowhere/admin.sock"));
    outcome_free(&outcome);
    outcome = EXPECT(VERB_DONE, "version", "--json", "--admin-socket", "/nowhere/admin.sock");
    CU_ASSERT(stage_has(outcome.out, "\"proxy\": null"));
    outcome_free(&outcome);
    stage_close();
}

static void without_a_proxy_every_question_fails_with_a_sentence(void)
{
    static const char *const questions[] = {"status", "certs",     "connections",
                                            "config", "log-level", "drain"};
    for (unsigned i = 0; i < sizeof questions / sizeof questions[0]; i++) {
        struct outcome outcome =
            EXPECT(VERB_FAILED, questions[i], "--json", "--admin-socket=/nowhere/admin.sock");
        CU_ASSERT(stage_has(outcome.err, ": no proxy is listening at /nowhere/admin.sock: is this "
                                         "the proxy's container? [not_found]\n"));
        CU_ASSERT_STRING_EQUAL(outcome.out, "");
        outcome_free(&outcome);
    }
}

static void a_refusal_is_told_in_the_proxys_own_words(void)
{
    stage_open();
    stage.refuse_with = 503;
    struct outcome outcome = EXPECT(VERB_FAILED, "certs");
    CU_ASSERT_STRING_EQUAL(outcome.err, "handfast certs: the proxy refused: not today [invalid]\n");
    outcome_free(&outcome);
    stage.refuse_with = 404;
    outcome = EXPECT(VERB_FAILED, "certs");
    CU_ASSERT(stage_has(outcome.err, "does not know GET /certs: it may be another version"));
    outcome_free(&outcome);
    stage_close();
}

static void control_bytes_from_afar_do_not_reach_the_terminal(void)
{
    stage_open();
    stage.certs = "{\"identity\": \"a\\u001b[2Jb\\u009bc\\nd\", \"serial\": \"\\u007f\","
                  " \"bundle\": {\"roots\": [{\"subject\": \"CN=\\u001b]0;x\\u0007\"}]}}";
    struct outcome outcome = EXPECT(VERB_DONE, "certs");
    CU_ASSERT(stage_has(outcome.out, "identity      a?[2Jb?c?d\n"));
    CU_ASSERT(stage_has(outcome.out, "CN=?]0;x?"));
    CU_ASSERT_PTR_NULL(strpbrk(outcome.out, "\x1b\x07\x7f"));
    outcome_free(&outcome);
    stage_close();
}

static void a_full_disk_is_not_an_empty_answer(void)
{
    stage_open();
    FILE *full = fopen("/dev/full", "w");
    CU_ASSERT_PTR_NOT_NULL_FATAL(full);
    fflush(stdout);
    int saved = dup(1);
    char program[] = "handfast", verb[] = "certs";
    char *argv[] = {program, verb, NULL};
    dup2(fileno(full), 1);
    int status = verb_main(2, argv);
    dup2(saved, 1);
    clearerr(stdout);
    close(saved);
    fclose(full);
    CU_ASSERT_EQUAL(status, VERB_FAILED);
    stage_close();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(help_lists_every_verb_and_every_verb_has_help),
        SUITE_CASE(a_wrong_command_line_is_a_sentence_and_status_2),
        SUITE_CASE(json_is_the_admin_sockets_own_document),
        SUITE_CASE(status_reads_as_words_and_relative_times),
        SUITE_CASE(status_says_how_many_policies_could_not_be_read),
        SUITE_CASE(status_of_a_proxy_that_is_not_ready_is_3_and_says_why),
        SUITE_CASE(wait_ends_with_the_proxy_ready_or_with_its_time_over),
        SUITE_CASE(outlive_waits_no_longer_than_it_may),
        SUITE_CASE(inject_reads_a_file_and_prints_it_with_sidecars),
        SUITE_CASE(certs_shows_leaf_renewal_and_roots),
        SUITE_CASE(connections_is_a_table_with_both_ends),
        SUITE_CASE(config_shows_workloads_services_and_policies),
        SUITE_CASE(the_log_level_is_shown_and_set),
        SUITE_CASE(drain_says_what_happens_next),
        SUITE_CASE(version_works_with_and_without_a_proxy),
        SUITE_CASE(without_a_proxy_every_question_fails_with_a_sentence),
        SUITE_CASE(a_refusal_is_told_in_the_proxys_own_words),
        SUITE_CASE(control_bytes_from_afar_do_not_reach_the_terminal),
        SUITE_CASE(a_full_disk_is_not_an_empty_answer),
        SUITE_END,
    };
    return suite_main("cli_verb", cases, argc, argv);
}
