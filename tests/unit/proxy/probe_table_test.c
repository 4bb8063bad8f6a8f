#include "proxy/probe_table.h"

#include <stdio.h>
#include <string.h>

#include "suite.h"

#define ROUTE "\"/app-health/web/readyz\""

static void the_injectors_table_is_read(void)
{
    static const char json[] =
        "{\"/app-health/web/livez\": {\"kind\": \"http\", \"port\": 8080, \"path\": \"/ok?x=1\","
        " \"headers\": [[\"X-A\", \"\\u0024(B)\"], [\"Host\", \"shop\"]], \"timeout_s\": 3},"
        " \"/app-health/db/readyz\": {\"kind\": \"tcp\", \"port\": 5432, \"timeout_s\": 1},"
        " \"/app-health/api/startupz\": {\"kind\": \"grpc\", \"port\": 9000, \"service\": \"s\","
        " \"timeout_s\": 100000}}";
    struct probe_table table;
    struct err err = {0};
    CU_ASSERT_EQUAL_FATAL(probe_table_parse(&table, json, &err), ERR_OK);
    CU_ASSERT_EQUAL(table.count, 3);
    const struct probe *http = probe_table_find(&table, "/app-health/web/livez");
    CU_ASSERT_PTR_NOT_NULL_FATAL(http);
    CU_ASSERT_EQUAL(http->kind, PROBE_HTTP);
    CU_ASSERT_EQUAL(http->port, 8080);
    CU_ASSERT_EQUAL(http->timeout_ms, 3000);
    CU_ASSERT_STRING_EQUAL(http->path, "/ok?x=1");
    CU_ASSERT(http->has_host);
    CU_ASSERT_STRING_EQUAL(http->headers,
                           "X-A: $(B)\r\nHost: shop\r\nUser-Agent: kube-probe/" HANDFAST_VERSION
                           "\r\nAccept: */*\r\n"
                           "Connection: close\r\n");
    const struct probe *grpc = probe_table_find(&table, "/app-health/api/startupz");
    CU_ASSERT_EQUAL(grpc->timeout_ms, PROBE_TIMEOUT_MAX_S * 1000);
    CU_ASSERT_STRING_EQUAL(grpc->service, "s");
    CU_ASSERT_PTR_NULL(probe_table_find(&table, "/app-health/web/readyz"));
    probe_table_deinit(&table);
}

static void there_need_not_be_one(void)
{
    struct probe_table table;
    CU_ASSERT_EQUAL(probe_table_parse(&table, NULL, NULL), ERR_OK);
    CU_ASSERT_EQUAL(table.count, 0);
    CU_ASSERT_EQUAL(probe_table_parse(&table, "", NULL), ERR_OK);
    CU_ASSERT_EQUAL(probe_table_parse(&table, "{}", NULL), ERR_OK);
    probe_table_deinit(&table);
}

static void paths_are_escaped_and_lose_their_fragment(void)
{
    struct probe_table table;
    CU_ASSERT_EQUAL_FATAL(
        probe_table_parse(&table,
                          "{" ROUTE ": {\"kind\": \"https\", \"port\": 1, \"timeout_s\": 1,"
                          " \"headers\": [], \"path\": \"/a b/%20/\xc3\xa9?q=1#there\"}}",
                          NULL),
        ERR_OK);
    CU_ASSERT_STRING_EQUAL(table.probes[0].path, "/a%20b/%20/%C3%A9?q=1");
    probe_table_deinit(&table);
}

static void a_header_of_the_probe_takes_the_place_of_ours(void)
{
    struct probe_table table;
    CU_ASSERT_EQUAL_FATAL(
        probe_table_parse(&table,
                          "{" ROUTE ": {\"kind\": \"http\", \"port\": 1, \"timeout_s\": 1,"
                          " \"path\": \"/\", \"headers\": [[\"accept\", \"text/plain\"],"
                          " [\"user-agent\", \"me\"], [\"connection\", \"keep-alive\"]]}}",
                          NULL),
        ERR_OK);
    CU_ASSERT_STRING_EQUAL(table.probes[0].headers,
                           "accept: text/plain\r\nuser-agent: me\r\nConnection: close\r\n");
    probe_table_deinit(&table);
}

static void what_is_no_table_is_refused(void)
{
    static const struct {
        const char *json, *sentence;
    } rows[] = {
        {"[]", "no object"},
        {"{", "column"},
        {"{\"/x\": {}}", "/x: expected a path that begins with /app-health/"},
        {"{" ROUTE ": 5}", "expected the kind"},
        {"{" ROUTE ": {\"kind\": \"exec\"}}", "expected the kind"},
        {"{" ROUTE ": {\"kind\": \"tcp\", \"port\": 0}}", "expected a port"},
        {"{" ROUTE ": {\"kind\": \"tcp\", \"port\": 65536}}", "expected a port"},
        {"{" ROUTE ": {\"kind\": \"tcp\", \"port\": 1}}", "expected a timeout_s"},
        {"{" ROUTE ": {\"kind\": \"grpc\", \"port\": 1, \"timeout_s\": 1}}", "expected a service"},
        {"{" ROUTE ": {\"kind\": \"http\", \"port\": 1, \"timeout_s\": 1}}", "expected a path"},
        {"{" ROUTE ": {\"kind\": \"http\", \"port\": 1, \"timeout_s\": 1, \"path\": \"x\","
         " \"headers\": []}}",
         "expected a path"},
        {"{" ROUTE ": {\"kind\": \"http\", \"port\": 1, \"timeout_s\": 1, \"path\": \"/\\n\","
         " \"headers\": []}}",
         "expected a path"},
        {"{" ROUTE ": {\"kind\": \"http\", \"port\": 1, \"timeout_s\": 1, \"path\": \"/\","
         " \"headers\": [[\"A\"]]}}",
         "a header is not a name and a value"},
        {"{" ROUTE ": {\"kind\": \"http\", \"port\": 1, \"timeout_s\": 1, \"path\": \"/\","
         " \"headers\": [[\"A\", \"x\\r\\nB: y\"]]}}",
         "a header is not a name and a value"},
        {"{" ROUTE ": {\"kind\": \"http\", \"port\": 1, \"timeout_s\": 1, \"path\": \"/\","
         " \"headers\": [[\"A: b\", \"\"]]}}",
         "a header is not a name and a value"},
        {"{" ROUTE ": {}, " ROUTE ": {}}", "duplicate object key"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        struct probe_table table;
        struct err err = {0};
        CU_ASSERT_EQUAL(probe_table_parse(&table, rows[i].json, &err), ERR_INVALID);
        if (!strstr(err.text, rows[i].sentence))
            printf("\n%s: %s\n", rows[i].json, err.text);
        CU_ASSERT(strstr(err.text, rows[i].sentence) != NULL);
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(the_injectors_table_is_read),
        SUITE_CASE(there_need_not_be_one),
        SUITE_CASE(paths_are_escaped_and_lose_their_fragment),
        SUITE_CASE(a_header_of_the_probe_takes_the_place_of_ours),
        SUITE_CASE(what_is_no_table_is_refused),
        SUITE_END,
    };
    return suite_main("proxy.probe_table", cases, argc, argv);
}
