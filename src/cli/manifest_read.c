#include <stdbool.h>
#include <stdio.h>
#include <string.h>
#include <yaml.h>

#include "cli/manifest_scalar.h"
#include "cli/manifest_yaml.h"

/* One document being converted. */
struct reading {
    yaml_document_t document;
    const char *text; /* the document's, only when there are tags !!str in it */
    size_t len, first_line;
    unsigned depth, values;
    struct err *err;
};

static json_t *convert(struct reading *reading, const yaml_node_t *node);

static json_t *refuse(struct reading *reading, const yaml_node_t *node, enum err_code code,
                      const char *what)
{
    err_set(reading->err, code, "line %zu: %s", reading->first_line + node->start_mark.line, what);
    return NULL;
}

static const yaml_node_t *node_at(struct reading *reading, yaml_node_item_t index)
{
    return yaml_document_get_node(&reading->document, index);
}

static bool has_tag(const yaml_node_t *node, const char *tag)
{
    return node->tag && strcmp((const char *)node->tag, tag) == 0;
}

/* True for `!!str 5`. libyaml gives that tag to every scalar without one, so the text has to be
 * looked at; its marks count characters, not bytes. */
static bool is_tagged(const struct reading *reading, const yaml_node_t *node)
{
    if (!reading->text)
        return false;
    size_t at = 0;
    for (size_t left = node->start_mark.index; left > 0 && at < reading->len; left--) {
        do
            at++;
        while (at < reading->len && ((unsigned char)reading->text[at] & 0xc0) == 0x80);
    }
    if (at < reading->len && reading->text[at] == '&') { /* an anchor may come first */
        while (at < reading->len && !strchr(" \t\r\n", reading->text[at]))
            at++;
        while (at < reading->len && strchr(" \t\r\n", reading->text[at]))
            at++;
    }
    return at < reading->len && reading->text[at] == '!';
}

static json_t *convert_scalar(struct reading *reading, const yaml_node_t *node)
{
    const char *text = (const char *)node->data.scalar.value;
    size_t len = node->data.scalar.length;
    bool plain = node->data.scalar.style == YAML_PLAIN_SCALAR_STYLE && !is_tagged(reading, node);
    json_t *value = plain                 ? manifest_scalar_resolve(text, len)
                    : strlen(text) == len ? json_string(text)
                                          : NULL;
    return value ? value : refuse(reading, node, ERR_INVALID, "this value has no form in JSON");
}

static json_t *convert_sequence(struct reading *reading, const yaml_node_t *node)
{
    json_t *list = json_array();
    for (yaml_node_item_t *item = node->data.sequence.items.start;
         list && item < node->data.sequence.items.top; item++) {
        json_t *value = convert(reading, node_at(reading, *item));
        if (!value || json_array_append_new(list, value) < 0) {
            json_decref(list);
            return NULL;
        }
    }
    return list;
}

/* A key as text, as Kubernetes has it: the truth `on` becomes "true". Freed by the caller. */
static json_t *convert_key(struct reading *reading, const yaml_node_t *node)
{
    char text[40];
    if (node->type != YAML_SCALAR_NODE)
        return refuse(reading, node, ERR_INVALID, "a key is not a word");
    json_t *key = convert_scalar(reading, node);
    if (!key || json_is_string(key))
        return key;
    if (json_is_integer(key))
        snprintf(text, sizeof text, "%lld", (long long)json_integer_value(key));
    else if (json_is_real(key))
        snprintf(text, sizeof text, "%.17g", json_real_value(key));
    else
        snprintf(text, sizeof text, "%s",
                 json_is_true(key)    ? "true"
                 : json_is_false(key) ? "false"
                                      : "null");
    json_decref(key);
    return json_string(text);
}

static bool is_merge(const yaml_node_t *key)
{
    return key->type == YAML_SCALAR_NODE && key->data.scalar.style == YAML_PLAIN_SCALAR_STYLE &&
           strcmp((const char *)key->data.scalar.value, "<<") == 0;
}

/* "<<": what the other mapping, or each of a list of them, has and this one has not. */
static bool merge(struct reading *reading, const yaml_node_t *node, json_t *into, json_t *from)
{
    size_t index;
    json_t *item;
    if (json_is_object(from))
        return json_object_update_missing(into, from) == 0;
    if (!json_is_array(from)) {
        refuse(reading, node, ERR_INVALID, "<< is not followed by a mapping");
        return false;
    }
    json_array_foreach(from, index, item)
    {
        if (!merge(reading, node, into, item))
            return false;
    }
    return true;
}

static bool add_pair(struct reading *reading, const yaml_node_pair_t *pair, json_t *map)
{
    const yaml_node_t *key_node = node_at(reading, pair->key);
    json_t *key = convert_key(reading, key_node);
    if (!key)
        return false;
    const char *text = json_string_value(key);
    bool done = false;
    if (json_object_get(map, text)) {
        char sentence[120];
        snprintf(sentence, sizeof sentence, "the key '%.80s' is there twice", text);
        refuse(reading, key_node, ERR_INVALID, sentence);
    } else {
        json_t *value = convert(reading, node_at(reading, pair->value));
        done = value && json_object_set_new(map, text, value) == 0;
    }
    json_decref(key);
    return done;
}

static json_t *convert_mapping(struct reading *reading, const yaml_node_t *node)
{
    json_t *map = json_object();
    bool done = map != NULL;
    const yaml_node_pair_t *top = node->data.mapping.pairs.top;
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; done && pair < top; pair++) {
        if (!is_merge(node_at(reading, pair->key)))
            done = add_pair(reading, pair, map);
    }
    /* Behind all of its own keys, which count first. */
    for (yaml_node_pair_t *pair = node->data.mapping.pairs.start; done && pair < top; pair++) {
        if (!is_merge(node_at(reading, pair->key)))
            continue;
        json_t *from = convert(reading, node_at(reading, pair->value));
        done = from && merge(reading, node, map, from);
        json_decref(from);
    }
    if (done)
        return map;
    json_decref(map);
    return NULL;
}

static json_t *convert(struct reading *reading, const yaml_node_t *node)
{
    json_t *value = NULL;
    if (reading->depth >= MANIFEST_DEPTH_MAX)
        return refuse(reading, node, ERR_TOO_LARGE, "the document is nested too deeply");
    if (++reading->values > MANIFEST_VALUES_MAX)
        return refuse(reading, node, ERR_TOO_LARGE, "the document has too many values");
    reading->depth++;
    if (node->type == YAML_SCALAR_NODE)
        value = has_tag(node, YAML_STR_TAG)
                    ? convert_scalar(reading, node)
                    : refuse(reading, node, ERR_INVALID, "a tag of this kind is not known");
    else if (node->type == YAML_SEQUENCE_NODE)
        value = convert_sequence(reading, node);
    else if (node->type == YAML_MAPPING_NODE)
        value = convert_mapping(reading, node);
    reading->depth--;
    return value;
}

static enum err_code parser_problem(const yaml_parser_t *parser, size_t first_line, struct err *err)
{
    if (parser->error == YAML_MEMORY_ERROR)
        return err_set(err, ERR_NO_MEMORY, "no memory for a document");
    return err_set(err, ERR_INVALID, "line %zu: %s%s%s", first_line + parser->problem_mark.line,
                   parser->context ? parser->context : "", parser->context ? ": " : "",
                   parser->problem ? parser->problem : "not YAML");
}

enum err_code manifest_parse(json_t **out, const char *text, size_t len, size_t first_line,
                             struct err *err)
{
    struct reading reading = {.len = len, .first_line = first_line, .err = err};
    yaml_parser_t parser;
    *out = NULL;
    *err = (struct err){0};
    if (!yaml_parser_initialize(&parser))
        return err_set(err, ERR_NO_MEMORY, "no memory for a document");
    yaml_parser_set_encoding(&parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, len);
    if (!yaml_parser_load(&parser, &reading.document)) {
        enum err_code code = parser_problem(&parser, first_line, err);
        yaml_parser_delete(&parser);
        return code;
    }
    if (memmem(text, len, "!!str", 5) || memmem(text, len, YAML_STR_TAG, strlen(YAML_STR_TAG)))
        reading.text = text;
    const yaml_node_t *root = yaml_document_get_root_node(&reading.document);
    if (root) {
        *out = convert(&reading, root);
        if (!*out && err->code == ERR_OK)
            err_set(err, ERR_NO_MEMORY, "no memory for a document");
    }
    yaml_document_delete(&reading.document);
    yaml_parser_delete(&parser);
    return err->code;
}
