/* Numbers, addresses and labels of a mesh file; declared in source_read.h. */
#include <string.h>

#include "control/source_read.h"
#include "mesh/service.h"

enum { VALUES_MAX = 1024 };

void source_read_port(struct source_reader *reader, const struct source_node *node, void *target)
{
    struct source_number *number = target;
    unsigned value = 0;
    bool good = node->kind == SOURCE_SCALAR && node->plain && node->len > 0 && node->len <= 5 &&
                node->text[0] != '0';
    for (size_t i = 0; good && i < node->len; i++) {
        good = node->text[i] >= '0' && node->text[i] <= '9';
        value = value * 10 + (unsigned)(node->text[i] - '0');
    }
    if (!good || value > 65535) {
        source_read_refuse(reader, node, "a port: a number from 1 to 65535, without quotes");
        return;
    }
    number->value = (uint16_t)value;
    number->at = node;
}

void source_read_ports(struct source_reader *reader, const struct source_node *node, void *target)
{
    struct source_numbers *numbers = target;
    numbers->at = node;
    source_read_list(reader, node, sizeof *numbers->items, 1, VALUES_MAX, source_read_port,
                     (void **)&numbers->items, &numbers->count, "a list of ports, at least one");
}

static bool is_unicast(const struct addr *ip)
{
    if (addr_is_unspecified(ip) || addr_is_loopback(ip))
        return false;
    return ip->len == 4 ? ip->bytes[0] < 224 : ip->bytes[0] != 0xff;
}

static void read_address(struct source_reader *reader, const struct source_node *node, void *target)
{
    struct source_addr *address = target;
    struct addr ip;
    if (node->kind != SOURCE_SCALAR || strlen(node->text) != node->len ||
        !addr_parse(&ip, node->text)) {
        source_read_refuse(reader, node, "an IPv4 or IPv6 address");
        return;
    }
    if (!is_unicast(&ip)) {
        source_read_refuse(reader, node,
                           "an address that others can reach: no loopback, multicast or "
                           "unspecified one");
        return;
    }
    address->ip = ip;
    address->at = node;
}

void source_read_addresses(struct source_reader *reader, const struct source_node *node,
                           void *target)
{
    struct source_addrs *addresses = target;
    addresses->at = node;
    source_read_list(reader, node, sizeof *addresses->items, 1, MESH_WORKLOAD_ADDRESSES_MAX,
                     read_address, (void **)&addresses->items, &addresses->count,
                     "a list of addresses, at least one");
}

static void read_prefix(struct source_reader *reader, const struct source_node *node, void *target)
{
    struct source_prefix *prefix = target;
    struct addr_prefix parsed;
    if (node->kind == SOURCE_SCALAR && strlen(node->text) == node->len &&
        addr_prefix_parse(&parsed, node->text)) {
        prefix->prefix = parsed;
        prefix->at = node;
        return;
    }
    source_read_refuse(reader, node, "an address or a prefix such as 10.0.0.0/8 or fd00::/8");
}

void source_read_prefixes(struct source_reader *reader, const struct source_node *node,
                          void *target)
{
    struct source_prefixes *prefixes = target;
    prefixes->at = node;
    source_read_list(reader, node, sizeof *prefixes->items, 1, VALUES_MAX, read_prefix,
                     (void **)&prefixes->items, &prefixes->count,
                     "a list of prefixes, at least one");
}

/* --- labels ----------------------------------------------------------------------------------- */

static bool is_label_text(const struct source_node *node, size_t max, const char *extra)
{
    if (node->kind != SOURCE_SCALAR || node->len > max || strlen(node->text) != node->len)
        return false;
    for (size_t i = 0; i < node->len; i++) {
        char c = node->text[i];
        if (!(c >= 'a' && c <= 'z') && !(c >= 'A' && c <= 'Z') && !(c >= '0' && c <= '9') &&
            !strchr(extra, c))
            return false;
    }
    return true;
}

void source_read_labels(struct source_reader *reader, const struct source_node *node, void *target)
{
    struct source_labels *labels = target;
    labels->at = node;
    if (node->kind != SOURCE_MAP) {
        source_read_refuse(reader, node, "labels, a mapping of texts");
        return;
    }
    labels->items = source_arena_array(reader->arena, node->count + 1, sizeof *labels->items);
    for (const struct source_node *value = node->first; labels->items && value;
         value = value->next) {
        /* 253 of a prefix, a slash and 63 of a name, as Kubernetes has it. */
        if (!is_label_text(value->key, 317, "-_./")) {
            source_read_refuse(reader, value->key,
                               "a label's key: letters, digits, '-', '_', '.' and '/'");
            continue;
        }
        if (source_node_is_null(value) || !is_label_text(value, 63, "-_.")) {
            source_read_refuse(reader, value,
                               "a label's value: letters, digits, '-', '_' and '.', at most 63 "
                               "characters");
            continue;
        }
        labels->items[labels->count++] =
            (struct source_label){.key = value->key->text, .value = value->text, .at = value};
    }
}

void source_read_selector(struct source_reader *reader, const struct source_node *node,
                          void *target)
{
    if (node->kind == SOURCE_MAP && node->count == 0) {
        struct source_labels *labels = target;
        labels->at = node;
        source_report_error(reader->report, node->line, node->column,
                            "%s: found no label, expected at least one", reader->field);
        return;
    }
    source_read_labels(reader, node, target);
}

bool source_labels_select(const struct source_labels *selector, const struct source_labels *labels)
{
    for (unsigned i = 0; i < selector->count; i++) {
        bool found = false;
        for (unsigned j = 0; j < labels->count && !found; j++)
            found = strcmp(selector->items[i].key, labels->items[j].key) == 0 &&
                    strcmp(selector->items[i].value, labels->items[j].value) == 0;
        if (!found)
            return false;
    }
    return true;
}
