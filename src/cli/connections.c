#include <stdio.h>
#include <string.h>

#include "cli/admin_client.h"
#include "cli/human.h"
#include "cli/page.h"
#include "cli/verb.h"

enum { PLACE_MAX = 160 };

/* "10.96.0.10:80 -> 10.77.1.2:8080" where a service address became an endpoint. */
static const char *destination_of(const json_t *connection, char text[PLACE_MAX])
{
    const char *reached = page_text_or(connection, "destination", "-");
    const char *dialled = page_text_or(connection, "original_destination", reached);
    if (strcmp(reached, dialled) == 0 || strcmp(reached, "-") == 0)
        snprintf(text, PLACE_MAX, "%.70s", dialled);
    else
        snprintf(text, PLACE_MAX, "%.70s -> %.70s", dialled, reached);
    return text;
}

static const char *security_of(const json_t *connection)
{
    const char *security = page_text_or(connection, "security", "unknown");
    return strcmp(security, "mutual_tls") == 0 ? "mutual TLS" : security;
}

static void add_connection(struct page_table *table, const json_t *connection)
{
    char id[HUMAN_TEXT_MAX], sent[HUMAN_TEXT_MAX], received[HUMAN_TEXT_MAX], age[HUMAN_TEXT_MAX];
    char destination[PLACE_MAX];
    snprintf(id, sizeof id, "%lld", (long long)page_int(connection, "id", 0));
    const char *const cells[] = {id,
                                 page_text(connection, "direction"),
                                 page_text(connection, "state"),
                                 page_text(connection, "source"),
                                 destination_of(connection, destination),
                                 human_age(page_int(connection, "age_ms", 0), age),
                                 human_bytes(page_int(connection, "bytes_sent", 0), sent),
                                 human_bytes(page_int(connection, "bytes_received", 0), received),
                                 security_of(connection),
                                 page_text(connection, "peer_identity")};
    page_table_row(table, cells);
}

static void print_connections(const json_t *answer)
{
    static const char *const heads[] = {"ID",  "DIRECTION", "STATE",    "SOURCE",   "DESTINATION",
                                        "AGE", "SENT",      "RECEIVED", "SECURITY", "PEER"};
    const json_t *list = json_object_get(answer, "connections"), *connection;
    int64_t total = page_int(answer, "total", (int64_t)json_array_size(list));
    struct page_table table;
    char text[HUMAN_TEXT_MAX];
    size_t i;
    if (json_array_size(list) > 0) {
        page_table_begin(&table, heads, PAGE_COLUMNS_MAX);
        json_array_foreach(list, i, connection) add_connection(&table, connection);
        page_table_end(&table, 0);
        putchar('\n');
    }
    printf("%s", human_count(total, "connection", "connections", text));
    if ((int64_t)json_array_size(list) < total)
        printf(", %zu shown (--limit shows more)", json_array_size(list));
    putchar('\n');
}

int verb_connections(const struct verb_options *options, struct err *err)
{
    json_t *answer;
    char target[64];
    snprintf(target, sizeof target, "/connections?limit=%lld", (long long)options->limit);
    if (admin_client_ask(options->admin_socket, "GET", target, ADMIN_CLIENT_TIMEOUT_MS, &answer,
                         err) != ERR_OK)
        return VERB_FAILED;
    if (options->json)
        page_json(answer);
    else
        print_connections(answer);
    json_decref(answer);
    return VERB_DONE;
}
