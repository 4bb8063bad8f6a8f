#include "shelf.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { STEPS = 64 };

static struct shelf *shelf_now; /* `answer` carries no argument */

static struct shelf_object *find(struct shelf *shelf, const char *path, bool make)
{
    struct shelf_object *empty = NULL;
    for (int i = 0; i < SHELF_OBJECTS; i++) {
        struct shelf_object *object = &shelf->objects[i];
        if (object->object && strcmp(object->path, path) == 0)
            return object;
        if (!object->object && !empty)
            empty = object;
    }
    if (!make)
        return NULL;
    if (!empty)
        abort();
    snprintf(empty->path, sizeof empty->path, "%s", path);
    return empty;
}

/* "/api/v1/namespaces/shop/secrets/x" is in "/api/v1/namespaces/shop/secrets" and in
 * "/api/v1/secrets". */
static bool is_in(const char *path, const char *collection)
{
    const char *name = strrchr(path, '/'), *kind = strrchr(collection, '/');
    size_t len = strlen(collection), kind_len = strlen(kind);
    if (strncmp(path, collection, len) == 0 && path + len == name)
        return true;
    return strncmp(path, collection, len - kind_len) == 0 && !strstr(collection, "/namespaces/") &&
           strncmp(path + (len - kind_len), "/namespaces/", 12) == 0 &&
           name - path > (long)kind_len && strncmp(name - kind_len, kind, kind_len) == 0;
}

static void tell(struct shelf *shelf, const char *type, const char *path, json_t *object)
{
    char collection[256], *text;
    json_t *event = json_pack("{s:s, s:O}", "type", type, "object", object);
    snprintf(collection, sizeof collection, "%.*s", (int)(strrchr(path, '/') - path), path);
    text = json_dumps(event, JSON_COMPACT);
    text = realloc(text, strlen(text) + 2);
    strcat(text, "\n");
    for (int i = 0; i < APISERVER_STREAMS && !shelf->mute; i++) {
        const struct apiserver_stream *stream = &shelf->server->streams[i];
        char watched[APISERVER_LINE_MAX];
        if (!stream->id || !strstr(stream->line, "watch=true"))
            continue;
        snprintf(watched, sizeof watched, "%.*s", (int)strcspn(stream->path, "?"), stream->path);
        if (is_in(path, watched)) {
            apiserver_tell(shelf->server, stream->path, "watch=true", text);
            break;
        }
    }
    free(text);
    json_decref(event);
}

static json_t *store(struct shelf *shelf, const char *path, json_t *object)
{
    char version[16];
    struct shelf_object *place = find(shelf, path, true);
    bool is_new = !place->object;
    json_t *metadata = json_object_get(object, "metadata");
    snprintf(version, sizeof version, "%u", ++shelf->version);
    if (!metadata) {
        metadata = json_object();
        json_object_set_new(object, "metadata", metadata);
    }
    json_object_set_new(metadata, "resourceVersion", json_string(version));
    if (!json_object_get(metadata, "name"))
        json_object_set_new(metadata, "name", json_string(strrchr(path, '/') + 1));
    const char *space = strstr(path, "/namespaces/");
    if (space && strchr(space + 12, '/'))
        json_object_set_new(metadata, "namespace",
                            json_stringn(space + 12, strcspn(space + 12, "/")));
    if (place->object != object)
        json_decref(place->object);
    place->object = object;
    tell(shelf, is_new ? "ADDED" : "MODIFIED", path, object);
    return object;
}

/* --- answers ---------------------------------------------------------------------------------- */

/* `text` is taken. */
static const struct step *say(int status, char *text, enum then then)
{
    static struct step steps[STEPS];
    static char *texts[STEPS];
    static unsigned turn;
    unsigned at = turn++ % STEPS;
    free(texts[at]);
    texts[at] = text;
    steps[at] = (struct step){.status = status, .body = texts[at], .then = then};
    return &steps[at];
}

static const struct step *say_json(int status, json_t *body)
{
    char *text = json_dumps(body, JSON_COMPACT);
    json_decref(body);
    return say(status, text, END);
}

static const char *version_of(const json_t *object)
{
    const char *version =
        json_string_value(json_object_get(json_object_get(object, "metadata"), "resourceVersion"));
    return version ? version : "";
}

/* What has changed since the list comes first; what was deleted since is not known any more. */
static const struct step *watch(struct shelf *shelf, const char *path, const char *line)
{
    const char *since = strstr(line, "resourceVersion=");
    char *text = strdup("");
    for (int i = 0; i < SHELF_OBJECTS && since && !shelf->mute; i++) {
        json_t *object = shelf->objects[i].object;
        if (!object || !is_in(shelf->objects[i].path, path) ||
            atoi(version_of(object)) <= atoi(since + 16))
            continue;
        char *one = json_dumps(object, JSON_COMPACT);
        text = realloc(text, strlen(text) + strlen(one) + 64);
        sprintf(text + strlen(text), "{\"type\":\"ADDED\",\"object\":%s}\n", one);
        free(one);
    }
    return say(200, text, HOLD);
}

static const struct step *list(struct shelf *shelf, const char *path)
{
    char version[16];
    json_t *items = json_array();
    snprintf(version, sizeof version, "%u", shelf->version);
    for (int i = 0; i < SHELF_OBJECTS; i++)
        if (shelf->objects[i].object && is_in(shelf->objects[i].path, path))
            json_array_append(items, shelf->objects[i].object);
    return say_json(200, json_pack("{s:s, s:{s:s}, s:o}", "kind", "List", "metadata",
                                   "resourceVersion", version, "items", items));
}

static int write_object(struct shelf *shelf, const char *method, char *path, json_t *body)
{
    char *status = strstr(path, "/status");
    const char *type = shelf->server->last_content_type;
    if (strcmp(method, "POST") == 0) {
        const char *name =
            json_string_value(json_object_get(json_object_get(body, "metadata"), "name"));
        strcat(strcat(path, "/"), name ? name : "none");
    }
    if (status)
        *status = 0;
    struct shelf_object *now = find(shelf, path, false);
    if (strcmp(method, "POST") == 0 && now)
        return 409;
    if (strcmp(method, "PUT") == 0 && (!now || strcmp(version_of(now->object), version_of(body))))
        return now ? 409 : 404;
    if (strstr(type, "merge-patch") && !now)
        return 404;
    if (strstr(type, "json-patch"))
        return 200; /* whoever looks at it reads it himself */
    if (strcmp(method, "PATCH") == 0 && now) {
        json_object_update_recursive(now->object, body);
        store(shelf, path, now->object);
    } else {
        store(shelf, path, json_incref(body));
    }
    return now ? 200 : 201;
}

static const struct step *answer(struct apiserver *server, const char *line)
{
    struct shelf *shelf = shelf_now;
    char method[16], path[APISERVER_LINE_MAX];
    (void)server;
    sscanf(line, "%15s %2000[^? ]", method, path);
    if (strstr(line, "watch=true"))
        return watch(shelf, path, line);
    if (strstr(line, "limit="))
        return list(shelf, path);
    if (strcmp(method, "GET") == 0) {
        const struct shelf_object *object = find(shelf, path, false);
        shelf->reads++;
        if (shelf->hang_reads)
            return say(0, NULL, NOTHING);
        return say_json(object ? 200 : 404, object ? json_incref(object->object) : json_object());
    }
    shelf->writes++;
    snprintf(shelf->last_write, sizeof shelf->last_write, "%s", line);
    json_t *body = json_loads(shelf->server->last_body, 0, NULL);
    bool fails = shelf->fail && (!shelf->fail_at || strstr(path, shelf->fail_at));
    int status = fails ? shelf->fail : write_object(shelf, method, path, body);
    json_decref(body);
    if (shelf->hang_writes) {
        shelf->at_once++;
        if (shelf->at_once > shelf->most)
            shelf->most = shelf->at_once;
        return say(0, NULL, NOTHING);
    }
    const struct shelf_object *object = find(shelf, path, false);
    return say_json(status, object && status < 300 ? json_incref(object->object) : json_object());
}

/* --- for tests -------------------------------------------------------------------------------- */

void shelf_start(struct shelf *shelf, struct apiserver *server)
{
    memset(shelf, 0, sizeof *shelf);
    shelf->server = server;
    shelf->version = 10;
    shelf_now = shelf;
    server->answer = answer;
}

void shelf_stop(struct shelf *shelf)
{
    for (int i = 0; i < SHELF_OBJECTS; i++)
        json_decref(shelf->objects[i].object);
}

void shelf_put(struct shelf *shelf, const char *path, json_t *object)
{
    if (!object)
        abort();
    store(shelf, path, object);
    apiserver_serve(shelf->server);
}

void shelf_delete(struct shelf *shelf, const char *path)
{
    struct shelf_object *place = find(shelf, path, false);
    if (!place)
        abort();
    tell(shelf, "DELETED", path, place->object);
    json_decref(place->object);
    place->object = NULL;
    apiserver_serve(shelf->server);
}

json_t *shelf_get(struct shelf *shelf, const char *path)
{
    const struct shelf_object *place = find(shelf, path, false);
    return place ? place->object : NULL;
}

const char *shelf_text(struct shelf *shelf, const char *path, const char *a, const char *b)
{
    const char *text =
        json_string_value(json_object_get(json_object_get(shelf_get(shelf, path), a), b));
    return text ? text : "";
}
