/* libyaml's events become nodes; a stack of the lists and mappings that are open replaces
 * recursion, so depth is bounded before memory is. */
#include "control/source_node.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

struct builder {
    struct source_arena *arena;
    struct source_report *report;
    struct source_node *stack[SOURCE_DEPTH_MAX];
    struct source_node *keys[SOURCE_DEPTH_MAX]; /* the key that waits for its value */
    bool repeated[SOURCE_DEPTH_MAX];            /* that key was there before */
    unsigned depth, nodes, documents;
    struct source_node *root;
};

static unsigned line_of(yaml_mark_t mark)
{
    return (unsigned)mark.line + 1;
}

static unsigned column_of(yaml_mark_t mark)
{
    return (unsigned)mark.column + 1;
}

bool source_node_is_null(const struct source_node *node)
{
    return node->kind == SOURCE_SCALAR && node->plain &&
           (node->len == 0 || strcmp(node->text, "~") == 0 || strcmp(node->text, "null") == 0);
}

const char *source_node_describe(const struct source_node *node, char text[SOURCE_DESCRIBE_MAX])
{
    if (node->kind != SOURCE_SCALAR || source_node_is_null(node)) {
        snprintf(text, SOURCE_DESCRIBE_MAX, "%s",
                 node->kind == SOURCE_LIST  ? "a list"
                 : node->kind == SOURCE_MAP ? "a mapping"
                                            : "nothing");
        return text;
    }
    size_t used = 0, i = 0;
    const size_t room = 60;
    text[used++] = '"';
    for (; i < node->len && used < room; i++) {
        unsigned char byte = (unsigned char)node->text[i];
        text[used++] = byte < 0x20 || byte == 0x7f ? '?' : (char)byte;
    }
    while (i < node->len && ((unsigned char)node->text[i] & 0xc0) == 0x80)
        text[used++] = node->text[i++]; /* not in the middle of a character */
    snprintf(text + used, SOURCE_DESCRIBE_MAX - used, "%s\"", i < node->len ? "..." : "");
    return text;
}

static bool has_key(const struct source_node *map, const struct source_node *key)
{
    for (const struct source_node *item = map->first; item; item = item->next) {
        if (item->key->len == key->len && memcmp(item->key->text, key->text, key->len) == 0)
            return true;
    }
    return false;
}

/* False: a problem was reported. */
static bool attach_key(struct builder *builder, struct source_node *map, struct source_node *node)
{
    char found[SOURCE_DESCRIBE_MAX];
    if (node->kind != SOURCE_SCALAR || node->len == 0) {
        source_report_error(builder->report, node->line, node->column,
                            "found %s as a key, expected a name",
                            source_node_describe(node, found));
        return false;
    }
    if (map->count == SOURCE_KEYS_MAX) {
        source_report_error(builder->report, node->line, node->column,
                            "found more than %d keys in one mapping, expected fewer",
                            SOURCE_KEYS_MAX);
        return false;
    }
    builder->repeated[builder->depth - 1] = has_key(map, node);
    if (builder->repeated[builder->depth - 1])
        source_report_error(builder->report, node->line, node->column,
                            "found the key %s again, expected it once",
                            source_node_describe(node, found));
    builder->keys[builder->depth - 1] = node;
    return true;
}

static bool attach(struct builder *builder, struct source_node *node)
{
    if (builder->depth == 0) {
        builder->root = node;
        return true;
    }
    struct source_node *parent = builder->stack[builder->depth - 1];
    if (parent->kind == SOURCE_MAP) {
        node->key = builder->keys[builder->depth - 1];
        if (!node->key)
            return attach_key(builder, parent, node);
        builder->keys[builder->depth - 1] = NULL;
        if (builder->repeated[builder->depth - 1])
            return true;
    }
    if (parent->last)
        parent->last->next = node;
    else
        parent->first = node;
    parent->last = node;
    parent->count++;
    return true;
}

static struct source_node *new_node(struct builder *builder, enum source_kind kind,
                                    yaml_mark_t mark)
{
    if (builder->nodes == SOURCE_NODES_MAX) {
        source_report_error(builder->report, line_of(mark), column_of(mark),
                            "found more than %d values, expected a smaller file", SOURCE_NODES_MAX);
        return NULL;
    }
    builder->nodes++;
    struct source_node *node = source_arena_take(builder->arena, sizeof *node);
    if (node) {
        node->kind = kind;
        node->line = line_of(mark);
        node->column = column_of(mark);
    }
    return node;
}

static bool scalar(struct builder *builder, const yaml_event_t *event)
{
    struct source_node *node = new_node(builder, SOURCE_SCALAR, event->start_mark);
    if (!node)
        return false;
    node->len = event->data.scalar.length;
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text =
        source_arena_text(builder->arena, (const char *)event->data.scalar.value, node->len);
    return node->text && attach(builder, node);
}

static bool open_level(struct builder *builder, const yaml_event_t *event, enum source_kind kind)
{
    if (builder->depth == SOURCE_DEPTH_MAX) {
        source_report_error(
            builder->report, line_of(event->start_mark), column_of(event->start_mark),
            "found more than %d levels inside each other, expected fewer", SOURCE_DEPTH_MAX);
        return false;
    }
    struct source_node *node = new_node(builder, kind, event->start_mark);
    if (!node || !attach(builder, node))
        return false;
    builder->keys[builder->depth] = NULL;
    builder->stack[builder->depth++] = node;
    return true;
}

/* What the event carries that a mesh file may not, or NULL. */
static const char *refused(const yaml_event_t *event, const yaml_char_t **name)
{
    const yaml_char_t *anchor = NULL, *tag = NULL;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        *name = event->data.alias.anchor;
        return "alias *";
    case YAML_SCALAR_EVENT:
        anchor = event->data.scalar.anchor;
        tag = event->data.scalar.tag;
        break;
    case YAML_SEQUENCE_START_EVENT:
        anchor = event->data.sequence_start.anchor;
        tag = event->data.sequence_start.tag;
        break;
    case YAML_MAPPING_START_EVENT:
        anchor = event->data.mapping_start.anchor;
        tag = event->data.mapping_start.tag;
        break;
    default:
        break;
    }
    *name = anchor ? anchor : tag;
    return anchor ? "anchor &" : tag ? "tag " : NULL;
}

static bool take(struct builder *builder, const yaml_event_t *event)
{
    const yaml_char_t *name = NULL;
    const char *what = refused(event, &name);
    if (what) {
        source_report_error(builder->report, line_of(event->start_mark),
                            column_of(event->start_mark), "found the %s%.60s, expected none", what,
                            (const char *)name);
        return false;
    }
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (builder->documents++ == 0)
            return true;
        source_report_error(builder->report, line_of(event->start_mark),
                            column_of(event->start_mark),
                            "found a second document, expected one in a file");
        return false;
    case YAML_SCALAR_EVENT:
        return scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_level(builder, event, SOURCE_LIST);
    case YAML_MAPPING_START_EVENT:
        return open_level(builder, event, SOURCE_MAP);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        builder->depth--;
        return true;
    default:
        return true;
    }
}

/* libyaml's words for what it found, at the place where it found it. */
static void report_syntax(const yaml_parser_t *parser, struct source_report *report)
{
    const char *problem = parser->problem ? parser->problem : "this is not YAML";
    if (parser->error == YAML_READER_ERROR)
        source_report_error(report, line_of(parser->mark), column_of(parser->mark), "%s", problem);
    else
        source_report_error(report, line_of(parser->problem_mark), column_of(parser->problem_mark),
                            "%s%s%s", problem, parser->context ? ", " : "",
                            parser->context ? parser->context : "");
}

struct source_node *source_node_parse(struct source_arena *arena, const char *data, size_t len,
                                      struct source_report *report)
{
    struct builder builder = {.arena = arena, .report = report};
    yaml_parser_t parser;
    if (!yaml_parser_initialize(&parser)) {
        arena->failed = true;
        return NULL;
    }
    /* Else a byte order mark would make it UTF-16, which nobody has checked. */
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)data, len);
    bool going = true, good = false;
    while (going) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            if (parser.error == YAML_MEMORY_ERROR)
                arena->failed = true;
            else
                report_syntax(&parser, report);
            break;
        }
        good = event.type == YAML_STREAM_END_EVENT;
        going = !good && take(&builder, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (good && !builder.root)
        source_report_error(report, 1, 1, "found an empty file, expected a mapping");
    return good && !arena->failed ? builder.root : NULL;
}
