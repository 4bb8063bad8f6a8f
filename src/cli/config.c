#include <stdio.h>
#include <stdlib.h>

#include "cli/admin_client.h"
#include "cli/human.h"
#include "cli/page.h"
#include "cli/verb.h"

enum { PORTS_TEXT_MAX = 256 };

static void print_workloads(const json_t *list)
{
    static const char *const heads[] = {"WORKLOAD", "ADDRESSES", "MESH",
                                        "HEALTH",   "IDENTITY",  "POLICIES"};
    struct page_table table;
    const json_t *item;
    size_t i;
    page_table_begin(&table, heads, 6);
    json_array_foreach(list, i, item)
    {
        char name[256];
        char *addresses = page_list(json_object_get(item, "addresses"));
        char *policies = page_list(json_object_get(item, "policies"));
        bool mesh = json_is_true(json_object_get(item, "mesh"));
        snprintf(name, sizeof name, "%.120s/%.120s", page_text_or(item, "namespace", "-"),
                 page_text_or(item, "name", "-"));
        const char *const cells[] = {name,
                                     addresses,
                                     mesh ? "mutual TLS" : "plaintext",
                                     json_is_false(json_object_get(item, "healthy")) ? "UNHEALTHY"
                                                                                     : "healthy",
                                     mesh ? page_text(item, "identity") : NULL,
                                     policies};
        page_table_row(&table, cells);
        free(addresses);
        free(policies);
    }
    page_table_end(&table, 0);
}

/* "80 -> 8080, 443" */
static const char *ports_of(const json_t *service, char text[PORTS_TEXT_MAX])
{
    size_t used = 0, i;
    const json_t *port;
    text[0] = 0;
    json_array_foreach(json_object_get(service, "ports"), i, port)
    {
        long long from = page_int(port, "port", 0), to = page_int(port, "target_port", from);
        char one[64];
        if (from == to || to == 0)
            snprintf(one, sizeof one, "%s%lld", used ? ", " : "", from);
        else
            snprintf(one, sizeof one, "%s%lld -> %lld", used ? ", " : "", from, to);
        int len = snprintf(text + used, PORTS_TEXT_MAX - used, "%s", one);
        if (used + (size_t)len >= PORTS_TEXT_MAX)
            break;
        used += (size_t)len;
    }
    return text;
}

static void print_services(const json_t *list)
{
    static const char *const heads[] = {"SERVICE", "ADDRESSES", "PORTS", "ENDPOINTS"};
    struct page_table table;
    const json_t *item;
    size_t i;
    page_table_begin(&table, heads, 4);
    json_array_foreach(list, i, item)
    {
        char name[256], ports[PORTS_TEXT_MAX];
        char *addresses = page_list(json_object_get(item, "addresses"));
        char *endpoints = page_list(json_object_get(item, "endpoints"));
        snprintf(name, sizeof name, "%.120s/%.120s", page_text_or(item, "namespace", "-"),
                 page_text_or(item, "name", "-"));
        const char *const cells[] = {name, addresses, ports_of(item, ports),
                                     *endpoints ? endpoints : "NONE"};
        page_table_row(&table, cells);
        free(addresses);
        free(endpoints);
    }
    page_table_end(&table, 0);
}

static void print_policies(const json_t *list)
{
    static const char *const heads[] = {"POLICY", "ACTION", "APPLIES TO", "RULES", "WHAT"};
    struct page_table table;
    const json_t *item;
    size_t i;
    page_table_begin(&table, heads, 5);
    json_array_foreach(list, i, item)
    {
        char name[256], action[64], rules[32];
        bool dry = json_is_true(json_object_get(item, "dry_run"));
        snprintf(name, sizeof name, "%.120s/%.120s", page_text_or(item, "namespace", ""),
                 page_text_or(item, "name", "-"));
        snprintf(action, sizeof action, "%.20s%s", page_text_or(item, "action", "-"),
                 dry ? " (dry run)" : "");
        snprintf(rules, sizeof rules, "%lld", (long long)page_int(item, "rules", 0));
        const char *const cells[] = {name, action, page_text(item, "scope"), rules,
                                     page_text(item, "text")};
        page_table_row(&table, cells);
    }
    page_table_end(&table, 0);
}

static void print_part(const json_t *config, const char *key, void (*print)(const json_t *list))
{
    const json_t *list = json_object_get(config, key);
    if (json_array_size(list) > 0)
        print(list);
    else
        printf("no %s\n", key);
}

int verb_config(const struct verb_options *options, struct err *err)
{
    json_t *config;
    if (admin_client_ask(options->admin_socket, "GET", "/config", ADMIN_CLIENT_TIMEOUT_MS, &config,
                         err) != ERR_OK)
        return VERB_FAILED;
    if (options->json) {
        page_json(config);
    } else {
        page_row("trust domain", "%s", page_text_or(config, "trust_domain", "unknown"));
        page_row("generation", "%lld", (long long)page_int(config, "generation", 0));
        putchar('\n');
        print_part(config, "workloads", print_workloads);
        putchar('\n');
        print_part(config, "services", print_services);
        putchar('\n');
        print_part(config, "policies", print_policies);
    }
    json_decref(config);
    return VERB_DONE;
}
