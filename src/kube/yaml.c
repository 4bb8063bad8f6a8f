/* libyaml's events become JSON; a stack of the lists and mappings that are open replaces recursion,
 * so depth is bounded before memory is. */
#include "kube/yaml.h"

#include <stdbool.h>
#include <string.h>
#include <yaml.h>

struct builder {
    json_t *stack[KUBE_YAML_DEPTH_MAX]; /* borrowed: each is inside the one before */
    json_t *keys[KUBE_YAML_DEPTH_MAX];  /* the key that waits for its value, owned */
    unsigned depth, nodes, documents;
    json_t *root;
    struct err *err;
};

static enum err_code fail_at(struct builder *builder, yaml_mark_t mark, const char *found)
{
    return err_set(builder->err, ERR_INVALID, "%zu:%zu: found %s", mark.line + 1, mark.column + 1,
                   found);
}

static enum err_code no_memory(struct builder *builder)
{
    return err_set(builder->err, ERR_NO_MEMORY, "no memory for a YAML file");
}

/* Takes `value` as a key of the mapping on top. */
static enum err_code attach_key(struct builder *builder, json_t *value, yaml_mark_t mark)
{
    json_t *map = builder->stack[builder->depth - 1];
    const char *key = json_string_value(value);
    enum err_code code = ERR_OK;
    if (!key || !*key)
        code = fail_at(builder, mark, "a key that is no text, expected a name");
    else if (json_object_get(map, key))
        code = fail_at(builder, mark, "a key again, expected it once in a mapping");
    if (code == ERR_OK)
        builder->keys[builder->depth - 1] = value;
    else
        json_decref(value);
    return code;
}

/* Puts `value`, which it takes, where the document is. */
static enum err_code attach(struct builder *builder, json_t *value, yaml_mark_t mark)
{
    if (!value)
        return no_memory(builder);
    if (++builder->nodes > KUBE_YAML_NODES_MAX) {
        json_decref(value);
        return err_set(builder->err, ERR_TOO_LARGE, "more than %d values, expected fewer",
                       KUBE_YAML_NODES_MAX);
    }
    if (builder->depth == 0) {
        builder->root = value;
        return ERR_OK;
    }
    json_t *parent = builder->stack[builder->depth - 1], *key = builder->keys[builder->depth - 1];
    if (json_is_object(parent) && !key)
        return attach_key(builder, value, mark);
    bool added = key ? json_object_set_new(parent, json_string_value(key), value) == 0
                     : json_array_append_new(parent, value) == 0;
    json_decref(key);
    builder->keys[builder->depth - 1] = NULL;
    return added ? ERR_OK : no_memory(builder);
}

static enum err_code scalar(struct builder *builder, const yaml_event_t *event)
{
    const char *text = (const char *)event->data.scalar.value;
    size_t len = event->data.scalar.length;
    bool plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    json_t *value;
    if (strlen(text) != len)
        return fail_at(builder, event->start_mark, "a null character, expected text");
    if (plain && (len == 0 || strcmp(text, "~") == 0 || strcmp(text, "null") == 0))
        value = json_null();
    else if (plain && (strcmp(text, "true") == 0 || strcmp(text, "false") == 0))
        value = json_boolean(text[0] == 't');
    else
        value = json_string(text);
    return attach(builder, value, event->start_mark);
}

static enum err_code open_level(struct builder *builder, json_t *value, yaml_mark_t mark)
{
    if (builder->depth == KUBE_YAML_DEPTH_MAX) {
        json_decref(value);
        return fail_at(builder, mark, "too many levels inside each other");
    }
    if (value && builder->depth > 0 && json_is_object(builder->stack[builder->depth - 1]) &&
        !builder->keys[builder->depth - 1]) {
        json_decref(value);
        return fail_at(builder, mark, "a key that is no text, expected a name");
    }
    enum err_code code = attach(builder, value, mark);
    if (code == ERR_OK) {
        builder->keys[builder->depth] = NULL;
        builder->stack[builder->depth++] = value;
    }
    return code;
}

static bool is_refused(const yaml_event_t *event)
{
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        return true;
    case YAML_SCALAR_EVENT:
        return event->data.scalar.anchor || event->data.scalar.tag;
    case YAML_SEQUENCE_START_EVENT:
        return event->data.sequence_start.anchor || event->data.sequence_start.tag;
    case YAML_MAPPING_START_EVENT:
        return event->data.mapping_start.anchor || event->data.mapping_start.tag;
    default:
        return false;
    }
}

static enum err_code take(struct builder *builder, const yaml_event_t *event)
{
    if (is_refused(event))
        return fail_at(builder, event->start_mark, "an anchor, an alias or a tag, expected none");
    switch (event->type) {
    case YAML_DOCUMENT_START_EVENT:
        if (builder->documents++ == 0)
            return ERR_OK;
        return fail_at(builder, event->start_mark, "a second document, expected one in a file");
    case YAML_SCALAR_EVENT:
        return scalar(builder, event);
    case YAML_SEQUENCE_START_EVENT:
        return open_level(builder, json_array(), event->start_mark);
    case YAML_MAPPING_START_EVENT:
        return open_level(builder, json_object(), event->start_mark);
    case YAML_SEQUENCE_END_EVENT:
    case YAML_MAPPING_END_EVENT:
        builder->depth--;
        return ERR_OK;
    default:
        return ERR_OK;
    }
}

static enum err_code fail_syntax(const yaml_parser_t *parser, struct err *err)
{
    yaml_mark_t mark = parser->error == YAML_READER_ERROR ? parser->mark : parser->problem_mark;
    if (parser->error == YAML_MEMORY_ERROR)
        return err_set(err, ERR_NO_MEMORY, "no memory for a YAML file");
    return err_set(err, ERR_INVALID, "%zu:%zu: %s", mark.line + 1, mark.column + 1,
                   parser->problem ? parser->problem : "this is not YAML");
}

enum err_code kube_yaml_parse(json_t **out, const char *text, size_t len, struct err *err)
{
    struct builder builder = {.err = err};
    yaml_parser_t parser;
    *out = NULL;
    if (!yaml_parser_initialize(&parser))
        return no_memory(&builder);
    /* Else a byte order mark would make it UTF-16, which nobody has checked. */
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    enum err_code code = ERR_OK;
    for (bool ended = false; !ended && code == ERR_OK;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            code = fail_syntax(&parser, err);
            break;
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        code = take(&builder, &event);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    if (code == ERR_OK && !builder.root)
        code = err_set(err, ERR_INVALID, "the file is empty");
    if (code == ERR_OK) {
        *out = builder.root;
        return ERR_OK;
    }
    for (unsigned i = 0; i < builder.depth; i++)
        json_decref(builder.keys[i]);
    json_decref(builder.root);
    return code;
}
