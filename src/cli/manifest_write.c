#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <yaml.h>

#include "cli/manifest_scalar.h"
#include "cli/manifest_yaml.h"

enum { INDENT = 2, LINE_MAX = 120 };

/* What libyaml writes, in one piece. */
struct output {
    char *text;
    size_t len, size;
};

static int append(void *arg, unsigned char *bytes, size_t len)
{
    struct output *output = arg;
    if (output->len + len + 1 > output->size) {
        size_t size = 2 * (output->len + len + 1);
        char *grown = realloc(output->text, size);
        if (!grown)
            return 0;
        output->text = grown;
        output->size = size;
    }
    memcpy(output->text + output->len, bytes, len);
    output->len += len;
    output->text[output->len] = 0;
    return 1;
}

static bool put_value(yaml_emitter_t *emitter, json_t *value);

static bool put_scalar(yaml_emitter_t *emitter, const char *text, yaml_scalar_style_t style)
{
    yaml_event_t event;
    const yaml_char_t *bytes = (const yaml_char_t *)text;
    return yaml_scalar_event_initialize(&event, NULL, NULL, bytes, (int)strlen(text), 1, 1,
                                        style) &&
           yaml_emitter_emit(emitter, &event);
}

/* A text of several lines as such; libyaml falls back to quotes where that would change it. */
static bool put_text(yaml_emitter_t *emitter, const char *text)
{
    yaml_scalar_style_t style = YAML_PLAIN_SCALAR_STYLE;
    if (manifest_scalar_needs_quotes(text))
        style = YAML_DOUBLE_QUOTED_SCALAR_STYLE;
    else if (strchr(text, '\n'))
        style = YAML_LITERAL_SCALAR_STYLE;
    return put_scalar(emitter, text, style);
}

static bool put_array(yaml_emitter_t *emitter, json_t *array)
{
    yaml_event_t event;
    size_t index;
    json_t *value;
    if (!yaml_sequence_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_SEQUENCE_STYLE) ||
        !yaml_emitter_emit(emitter, &event))
        return false;
    json_array_foreach(array, index, value)
    {
        if (!put_value(emitter, value))
            return false;
    }
    return yaml_sequence_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static bool put_object(yaml_emitter_t *emitter, json_t *object)
{
    yaml_event_t event;
    const char *key;
    json_t *value;
    if (!yaml_mapping_start_event_initialize(&event, NULL, NULL, 1, YAML_BLOCK_MAPPING_STYLE) ||
        !yaml_emitter_emit(emitter, &event))
        return false;
    json_object_foreach(object, key, value)
    {
        if (!put_text(emitter, key) || !put_value(emitter, value))
            return false;
    }
    return yaml_mapping_end_event_initialize(&event) && yaml_emitter_emit(emitter, &event);
}

static bool put_number(yaml_emitter_t *emitter, json_t *number)
{
    char *text = json_dumps(number, JSON_ENCODE_ANY);
    bool done = text && put_scalar(emitter, text, YAML_PLAIN_SCALAR_STYLE);
    free(text);
    return done;
}

static bool put_value(yaml_emitter_t *emitter, json_t *value)
{
    switch (json_typeof(value)) {
    case JSON_OBJECT:
        return put_object(emitter, value);
    case JSON_ARRAY:
        return put_array(emitter, value);
    case JSON_STRING:
        return put_text(emitter, json_string_value(value));
    case JSON_INTEGER:
    case JSON_REAL:
        return put_number(emitter, value);
    case JSON_TRUE:
        return put_scalar(emitter, "true", YAML_PLAIN_SCALAR_STYLE);
    case JSON_FALSE:
        return put_scalar(emitter, "false", YAML_PLAIN_SCALAR_STYLE);
    case JSON_NULL:
        return put_scalar(emitter, "null", YAML_PLAIN_SCALAR_STYLE);
    }
    return false;
}

char *manifest_format(json_t *value)
{
    struct output output = {0};
    yaml_emitter_t emitter;
    yaml_event_t event;
    if (!yaml_emitter_initialize(&emitter))
        return NULL;
    yaml_emitter_set_output(&emitter, append, &output);
    yaml_emitter_set_indent(&emitter, INDENT);
    yaml_emitter_set_width(&emitter, LINE_MAX);
    yaml_emitter_set_unicode(&emitter, 1);
    bool done = yaml_stream_start_event_initialize(&event, YAML_UTF8_ENCODING) &&
                yaml_emitter_emit(&emitter, &event) &&
                yaml_document_start_event_initialize(&event, NULL, NULL, NULL, 1) &&
                yaml_emitter_emit(&emitter, &event) && put_value(&emitter, value) &&
                yaml_document_end_event_initialize(&event, 1) &&
                yaml_emitter_emit(&emitter, &event) && yaml_stream_end_event_initialize(&event) &&
                yaml_emitter_emit(&emitter, &event) && yaml_emitter_flush(&emitter);
    yaml_emitter_delete(&emitter);
    if (done)
        return output.text;
    free(output.text);
    return NULL;
}
