#include "injector/patch.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void patch_init(struct patch *patch)
{
    patch->operations = json_array();
    patch->failed = patch->operations == NULL;
}

void patch_deinit(struct patch *patch)
{
    json_decref(patch->operations);
    patch->operations = NULL;
}

/* --- writing ---------------------------------------------------------------------------------- */

/* Appends "/key", escaped; returns the new length, or PATCH_PATH_MAX when it does not fit. */
static size_t append_key(char path[PATCH_PATH_MAX], size_t length, const char *key)
{
    if (length < PATCH_PATH_MAX)
        path[length++] = '/';
    for (; *key && length + 2 < PATCH_PATH_MAX; key++) {
        if (*key == '~' || *key == '/') {
            path[length++] = '~';
            path[length++] = *key == '~' ? '0' : '1';
        } else {
            path[length++] = *key;
        }
    }
    if (*key || length >= PATCH_PATH_MAX)
        return PATCH_PATH_MAX;
    path[length] = 0;
    return length;
}

__attribute__((format(printf, 5, 0))) static void append(struct patch *patch, const char *op,
                                                         json_t *value, const char *key,
                                                         const char *format, va_list args)
{
    char path[PATCH_PATH_MAX];
    int written = vsnprintf(path, sizeof path, format, args);
    size_t length = written < 0 || written >= PATCH_PATH_MAX ? PATCH_PATH_MAX : (size_t)written;
    if (key && length < PATCH_PATH_MAX)
        length = append_key(path, length, key);
    if (!value || length >= PATCH_PATH_MAX || patch->failed) {
        json_decref(value);
        patch->failed = true;
        return;
    }
    json_t *operation = json_pack("{s:s, s:s, s:o}", "op", op, "path", path, "value", value);
    if (!operation || json_array_append_new(patch->operations, operation) < 0)
        patch->failed = true;
}

void patch_add(struct patch *patch, json_t *value, const char *key, const char *path, ...)
{
    va_list args;
    va_start(args, path);
    append(patch, "add", value, key, path, args);
    va_end(args);
}

void patch_replace(struct patch *patch, json_t *value, const char *key, const char *path, ...)
{
    va_list args;
    va_start(args, path);
    append(patch, "replace", value, key, path, args);
    va_end(args);
}

/* --- carrying out ----------------------------------------------------------------------------- */

/* Cuts the first part off a pointer, unescaped, into `part`; returns the rest or NULL. */
static const char *next_part(const char *path, char part[PATCH_PATH_MAX])
{
    size_t length = 0;
    if (*path++ != '/')
        return NULL;
    for (; *path && *path != '/' && length + 1 < PATCH_PATH_MAX; path++) {
        char byte = *path;
        if (byte == '~') {
            byte = path[1] == '0' ? '~' : path[1] == '1' ? '/' : 0;
            if (!byte)
                return NULL;
            path++;
        }
        part[length++] = byte;
    }
    part[length] = 0;
    return *path == 0 || *path == '/' ? path : NULL;
}

static bool parse_index(const char *part, size_t size, size_t *index)
{
    char *end;
    if (strcmp(part, "-") == 0) {
        *index = size;
        return true;
    }
    unsigned long number = strtoul(part, &end, 10);
    *index = number;
    return part[strspn(part, "0123456789")] == 0 && *part && *end == 0 && number <= size;
}

static json_t *child(json_t *parent, const char *part)
{
    size_t index;
    if (json_is_object(parent))
        return json_object_get(parent, part);
    if (json_is_array(parent) && parse_index(part, json_array_size(parent), &index))
        return json_array_get(parent, index);
    return NULL;
}

static bool put(json_t *parent, const char *part, json_t *value, bool replace)
{
    size_t index;
    if (replace && !child(parent, part))
        return false;
    if (json_is_object(parent))
        return json_object_set(parent, part, value) == 0;
    if (!json_is_array(parent) || !parse_index(part, json_array_size(parent), &index))
        return false;
    return (replace ? json_array_set(parent, index, value)
                    : json_array_insert(parent, index, value)) == 0;
}

static bool apply_one(json_t *document, json_t *operation)
{
    const char *op = json_string_value(json_object_get(operation, "op"));
    const char *path = json_string_value(json_object_get(operation, "path"));
    json_t *at = document, *value = json_deep_copy(json_object_get(operation, "value"));
    char part[PATCH_PATH_MAX];
    while (path && at && (path = next_part(path, part)) && *path)
        at = child(at, part);
    bool done = op && path && at && value && put(at, part, value, strcmp(op, "replace") == 0);
    json_decref(value);
    return done;
}

bool patch_apply(json_t *document, const json_t *operations)
{
    for (size_t i = 0; i < json_array_size(operations); i++) {
        if (!apply_one(document, json_array_get(operations, i)))
            return false;
    }
    return true;
}
