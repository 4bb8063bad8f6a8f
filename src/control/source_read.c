#include "control/source_read.h"

#include <stdio.h>
#include <string.h>

enum { VALUES_MAX = 1024 /* of one short list: addresses, ports, patterns */ };

void source_read_refuse(struct source_reader *reader, const struct source_node *node,
                        const char *expected)
{
    char found[SOURCE_DESCRIBE_MAX];
    source_report_error(reader->report, node->line, node->column, "%s%sfound %s, expected %s",
                        reader->field ? reader->field : "", reader->field ? ": " : "",
                        source_node_describe(node, found), expected);
}

static const struct source_field *find(const struct source_field *fields,
                                       const struct source_node *key)
{
    for (; fields->name; fields++) {
        if (strlen(fields->name) == key->len && memcmp(fields->name, key->text, key->len) == 0)
            return fields;
    }
    return NULL;
}

static void refuse_key(struct source_reader *reader, const struct source_node *key,
                       const struct source_field *fields, const char *what)
{
    char found[SOURCE_DESCRIBE_MAX], names[256] = "";
    size_t used = 0;
    for (const struct source_field *field = fields; field->name; field++) {
        const char *glue = field == fields ? "" : field[1].name ? ", " : " or ";
        int len = snprintf(names + used, sizeof names - used, "%s%s", glue, field->name);
        if (len < 0 || (size_t)len >= sizeof names - used)
            break;
        used += (size_t)len;
    }
    source_report_error(reader->report, key->line, key->column,
                        "found the key %s in %s, expected %s", source_node_describe(key, found),
                        what, names);
}

void source_read_map(struct source_reader *reader, const struct source_node *node,
                     const struct source_field *fields, void *record, const char *what)
{
    const char *outer = reader->field;
    if (node->kind != SOURCE_MAP) {
        char expected[96];
        snprintf(expected, sizeof expected, "%s, a mapping", what);
        source_read_refuse(reader, node, expected);
        return;
    }
    for (const struct source_node *value = node->first; value; value = value->next) {
        const struct source_field *field = find(fields, value->key);
        if (!field) {
            refuse_key(reader, value->key, fields, what);
            continue;
        }
        reader->field = field->name;
        field->read(reader, value, (char *)record + field->offset);
    }
    reader->field = outer;
    for (const struct source_field *field = fields; field->name; field++) {
        const struct source_node *value = node->first;
        while (value && find(fields, value->key) != field)
            value = value->next;
        if (field->required && !value)
            source_report_error(reader->report, node->line, node->column,
                                "%s: found no key \"%s\" in %s, expected %s", field->name,
                                field->name, what, field->expected);
    }
}

void source_read_list(struct source_reader *reader, const struct source_node *node,
                      size_t item_size, unsigned min, unsigned max,
                      void (*read)(struct source_reader *, const struct source_node *, void *),
                      void **items, unsigned *count, const char *what)
{
    char expected[160];
    snprintf(expected, sizeof expected, "%s", what);
    if (node->kind == SOURCE_LIST && node->count < min)
        source_report_error(reader->report, node->line, node->column,
                            "%s: found an empty list, expected %s", reader->field, what);
    else if (node->kind == SOURCE_LIST && node->count > max)
        source_report_error(reader->report, node->line, node->column,
                            "%s: found %u elements, expected at most %u", reader->field,
                            node->count, max);
    else if (node->kind != SOURCE_LIST)
        source_read_refuse(reader, node, expected);
    else if (node->count > 0) {
        char *item = source_arena_array(reader->arena, node->count, item_size);
        if (!item)
            return;
        *items = item;
        *count = node->count;
        for (const struct source_node *child = node->first; child; child = child->next) {
            read(reader, child, item);
            item += item_size;
        }
    }
}

/* --- texts ------------------------------------------------------------------------------------ */

static bool is_label(const char *text, size_t len, size_t max)
{
    if (len == 0 || len > max || text[0] == '-' || text[len - 1] == '-')
        return false;
    for (size_t i = 0; i < len; i++) {
        if (!(text[i] >= 'a' && text[i] <= 'z') && !(text[i] >= '0' && text[i] <= '9') &&
            text[i] != '-')
            return false;
    }
    return true;
}

/* Dotted labels; RFC 1123 section 2.1, as Kubernetes takes it. */
static bool is_name(const char *text, size_t len)
{
    if (len == 0 || len > 253)
        return false;
    for (size_t at = 0; at <= len;) {
        const char *dot = memchr(text + at, '.', len - at);
        size_t part = dot ? (size_t)(dot - text) - at : len - at;
        if (!is_label(text + at, part, 253))
            return false;
        at += part + 1;
    }
    return true;
}

static bool is_trust_domain(const char *text, size_t len)
{
    for (size_t i = 0; i < len; i++) {
        if (!(text[i] >= 'a' && text[i] <= 'z') && !(text[i] >= '0' && text[i] <= '9') &&
            text[i] != '.' && text[i] != '-' && text[i] != '_')
            return false;
    }
    return len > 0 && len <= 255;
}

static void keep(const struct source_node *node, void *target)
{
    struct source_text *text = target;
    text->text = node->text;
    text->at = node;
}

void source_read_trust_domain(struct source_reader *reader, const struct source_node *node,
                              void *target)
{
    if (node->kind == SOURCE_SCALAR && is_trust_domain(node->text, node->len))
        keep(node, target);
    else
        source_read_refuse(reader, node,
                           "a trust domain: lower case, digits, '.', '-' and '_', at most 255 "
                           "characters, without spiffe://");
}

void source_read_label_name(struct source_reader *reader, const struct source_node *node,
                            void *target)
{
    if (node->kind == SOURCE_SCALAR && !source_node_is_null(node) &&
        is_label(node->text, node->len, 63))
        keep(node, target);
    else
        source_read_refuse(reader, node,
                           "a DNS label: lower case, digits and '-', at most 63 characters");
}

void source_read_name(struct source_reader *reader, const struct source_node *node, void *target)
{
    if (node->kind == SOURCE_SCALAR && !source_node_is_null(node) && is_name(node->text, node->len))
        keep(node, target);
    else
        source_read_refuse(reader, node,
                           "a DNS name: lower case, digits, '-' and '.', at most 253 characters");
}

void source_read_names(struct source_reader *reader, const struct source_node *node, void *target)
{
    struct source_texts *texts = target;
    texts->at = node;
    source_read_list(reader, node, sizeof *texts->items, 1, VALUES_MAX, source_read_name,
                     (void **)&texts->items, &texts->count, "a list of names, at least one");
}

static void read_choice(struct source_reader *reader, const struct source_node *node, void *target,
                        const char *const choices[2])
{
    char expected[64];
    for (unsigned i = 0; i < 2; i++) {
        if (node->kind == SOURCE_SCALAR && strlen(choices[i]) == node->len &&
            memcmp(choices[i], node->text, node->len) == 0) {
            keep(node, target);
            return;
        }
    }
    snprintf(expected, sizeof expected, "%s or %s", choices[0], choices[1]);
    source_read_refuse(reader, node, expected);
}

void source_read_action(struct source_reader *reader, const struct source_node *node, void *target)
{
    static const char *const choices[] = {"allow", "deny"};
    read_choice(reader, node, target, choices);
}

void source_read_mode(struct source_reader *reader, const struct source_node *node, void *target)
{
    static const char *const choices[] = {"strict", "permissive"};
    read_choice(reader, node, target, choices);
}

void source_read_flag(struct source_reader *reader, const struct source_node *node, void *target)
{
    struct source_flag *flag = target;
    bool is_true = node->kind == SOURCE_SCALAR && node->plain && strcmp(node->text, "true") == 0;
    bool is_false = node->kind == SOURCE_SCALAR && node->plain && strcmp(node->text, "false") == 0;
    if (!is_true && !is_false) {
        source_read_refuse(reader, node, "true or false, without quotes");
        return;
    }
    flag->value = is_true;
    flag->at = node;
}

/* --- patterns --------------------------------------------------------------------------------- */

static void read_pattern(struct source_reader *reader, const struct source_node *node, void *target,
                         const char *expected)
{
    size_t stars = 0;
    for (size_t i = 0; node->kind == SOURCE_SCALAR && i < node->len; i++)
        stars += node->text[i] == '*' ? (i == 0 || i + 1 == node->len ? 1 : 2) : 0;
    if (node->kind != SOURCE_SCALAR || source_node_is_null(node) || node->len == 0 ||
        node->len > 600 || stars > 1 || strlen(node->text) != node->len)
        source_read_refuse(reader, node, expected);
    else
        keep(node, target);
}

static void read_principal(struct source_reader *reader, const struct source_node *node,
                           void *target)
{
    read_pattern(reader, node, target,
                 "<trust domain>/ns/<namespace>/sa/<service account>, a beginning of it with * "
                 "behind, an end with * in front, or *");
}

static void read_namespace(struct source_reader *reader, const struct source_node *node,
                           void *target)
{
    bool fits = node->kind == SOURCE_SCALAR;
    for (size_t i = 0; fits && i < node->len; i++)
        fits = (node->text[i] >= 'a' && node->text[i] <= 'z') ||
               (node->text[i] >= '0' && node->text[i] <= '9') || node->text[i] == '-' ||
               node->text[i] == '*';
    if (fits)
        read_pattern(reader, node, target, "a namespace, name*, *name or *");
    else
        source_read_refuse(reader, node, "a namespace, name*, *name or *");
}

static void read_service_account(struct source_reader *reader, const struct source_node *node,
                                 void *target)
{
    const char *slash = node->kind == SOURCE_SCALAR ? memchr(node->text, '/', node->len) : NULL;
    size_t ns = slash ? (size_t)(slash - node->text) : 0;
    if (slash && is_label(node->text, ns, 63) && is_name(slash + 1, node->len - ns - 1))
        keep(node, target);
    else
        source_read_refuse(reader, node, "<namespace>/<service account>");
}

static void read_texts(struct source_reader *reader, const struct source_node *node, void *target,
                       void (*read)(struct source_reader *, const struct source_node *, void *),
                       const char *what)
{
    struct source_texts *texts = target;
    texts->at = node;
    source_read_list(reader, node, sizeof *texts->items, 1, VALUES_MAX, read,
                     (void **)&texts->items, &texts->count, what);
}

void source_read_principals(struct source_reader *reader, const struct source_node *node,
                            void *target)
{
    read_texts(reader, node, target, read_principal, "a list of principals, at least one");
}

void source_read_namespaces(struct source_reader *reader, const struct source_node *node,
                            void *target)
{
    read_texts(reader, node, target, read_namespace, "a list of namespaces, at least one");
}

void source_read_service_accounts(struct source_reader *reader, const struct source_node *node,
                                  void *target)
{
    read_texts(reader, node, target, read_service_account,
               "a list of <namespace>/<service account>, at least one");
}
