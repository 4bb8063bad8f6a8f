#include "cli/manifest.h"

#include <stdlib.h>
#include <string.h>

#include "cli/manifest_yaml.h"
#include "injector/inject.h"
#include "injector/patch.h"
#include "injector/value.h"

/* One call on its way. */
struct work {
    const struct settings *settings;
    bool json;
    FILE *notes, *out;
    struct err *err;
};

/* Where the pod template of a kind is. */
static const struct kind {
    const char *group; /* of the apiVersion; "" is the core group */
    const char *kind;
    const char *path[4]; /* to the template; NULL at once: the object is a pod itself */
    bool for_job;
} kinds[] = {
    {"", "Pod", {NULL}, false},
    {"", "PodTemplate", {"template", NULL}, false},
    {"", "ReplicationController", {"spec", "template", NULL}, false},
    {"apps", "Deployment", {"spec", "template", NULL}, false},
    {"apps", "ReplicaSet", {"spec", "template", NULL}, false},
    {"apps", "StatefulSet", {"spec", "template", NULL}, false},
    {"apps", "DaemonSet", {"spec", "template", NULL}, false},
    {"batch", "Job", {"spec", "template", NULL}, true},
    {"batch", "CronJob", {"spec", "jobTemplate", "spec", "template"}, true},
};

static const char *text_at(json_t *object, const char *key)
{
    const char *text = json_string_value(json_object_get(object, key));
    return text ? text : "";
}

/* --- one object ------------------------------------------------------------------------------- */

static bool in_group(const char *api_version, const char *group)
{
    const char *slash = strchr(api_version, '/');
    size_t len = slash ? (size_t)(slash - api_version) : 0;
    return strlen(group) == len && memcmp(api_version, group, len) == 0;
}

static const struct kind *find_kind(json_t *object)
{
    for (unsigned i = 0; i < sizeof kinds / sizeof kinds[0]; i++) {
        if (strcmp(text_at(object, "kind"), kinds[i].kind) == 0 &&
            in_group(text_at(object, "apiVersion"), kinds[i].group))
            return &kinds[i];
    }
    return NULL;
}

/* "Deployment shop/web" */
static void name_object(json_t *object, char *out, size_t size)
{
    char full[300];
    json_t *metadata = json_object_get(object, "metadata");
    const char *name = text_at(metadata, "name"), *ns = text_at(metadata, "namespace");
    snprintf(full, sizeof full, "%.80s %.80s%s%.100s", text_at(object, "kind"), ns, *ns ? "/" : "",
             *name ? name : text_at(metadata, "generateName"));
    value_printable(full, out, size);
}

static void print_notes(struct work *work, const char *name, const struct inject_result *result)
{
    size_t index;
    json_t *warning;
    if (result->outcome != INJECT_DONE && result->outcome != INJECT_REFUSED)
        fprintf(work->notes, "%s: left alone: %s\n", name, inject_outcome_name(result->outcome));
    json_array_foreach(result->warnings, index, warning)
        fprintf(work->notes, "%s: warning: %s\n", name, json_string_value(warning));
}

static enum err_code inject_object(struct work *work, json_t *object, const struct kind *kind,
                                   bool *changed)
{
    char name[300];
    struct inject_result result;
    json_t *pod = object;
    for (unsigned i = 0; i < 4 && kind->path[i]; i++)
        pod = json_object_get(pod, kind->path[i]);
    name_object(object, name, sizeof name);
    if (!json_is_object(pod))
        return err_set(work->err, ERR_INVALID, "%s: there is no pod template in it", name);
    inject_pod(pod, work->settings, kind->for_job, &result);
    print_notes(work, name, &result);
    enum err_code code = ERR_OK;
    if (result.outcome == INJECT_REFUSED) {
        *work->err = result.err;
        code = err_wrap(work->err, "%s", name);
    } else if (!patch_apply(pod, result.patch)) {
        code = err_set(work->err, ERR_NO_MEMORY, "no memory for a pod");
    }
    *changed = *changed || result.outcome == INJECT_DONE;
    inject_result_deinit(&result);
    return code;
}

static bool is_list(json_t *object)
{
    return strcmp(text_at(object, "kind"), "List") == 0 &&
           in_group(text_at(object, "apiVersion"), "");
}

/* An object of any kind; those inside a List of Lists are not looked for. */
static enum err_code inject_any(struct work *work, json_t *object, bool *changed)
{
    const struct kind *kind = find_kind(object);
    size_t index;
    json_t *item;
    if (kind)
        return inject_object(work, object, kind, changed);
    if (!is_list(object))
        return ERR_OK;
    json_array_foreach(json_object_get(object, "items"), index, item)
    {
        kind = find_kind(item);
        if (kind && inject_object(work, item, kind, changed) != ERR_OK)
            return work->err->code;
    }
    return ERR_OK;
}

/* --- one document ----------------------------------------------------------------------------- */

/* A stretch of the file with at most one document. */
struct stretch {
    const char *text;
    size_t len, line;
    bool marked; /* begins with "---" */
};

static enum err_code write_document(struct work *work, const struct stretch *stretch, json_t *root,
                                    bool changed)
{
    if (!work->json && !changed) {
        fwrite(stretch->text, 1, stretch->len, work->out);
        return ERR_OK;
    }
    if (!root)
        return ERR_OK;
    char *text =
        work->json ? json_dumps(root, JSON_INDENT(2) | JSON_ENCODE_ANY) : manifest_format(root);
    if (!text)
        return err_set(work->err, ERR_NO_MEMORY, "no memory for a document");
    fprintf(work->out, "%s%s%s", stretch->marked && !work->json ? "---\n" : "", text,
            work->json ? "\n" : "");
    free(text);
    return ERR_OK;
}

static enum err_code inject_stretch(struct work *work, const struct stretch *stretch)
{
    json_t *root;
    bool changed = false;
    enum err_code code =
        manifest_parse(&root, stretch->text, stretch->len, stretch->line, work->err);
    if (code == ERR_OK && json_is_object(root))
        code = inject_any(work, root, &changed);
    if (code == ERR_OK)
        code = write_document(work, stretch, root, changed);
    json_decref(root);
    return code;
}

/* --- the file --------------------------------------------------------------------------------- */

static bool is_marker(const char *line, size_t len)
{
    return len >= 3 && memcmp(line, "---", 3) == 0 &&
           (len == 3 || strchr(" \t\r\n", line[3]) != NULL);
}

/* Neither blank nor a comment nor a directive, which belong to the document that follows. */
static bool has_content(const char *line, size_t len)
{
    while (len > 0 && strchr(" \t\r\n", *line)) {
        line++;
        len--;
    }
    return len > 0 && *line != '#' && *line != '%';
}

/* Cuts the next stretch off: up to a line "---" in front of which there is a document. Such a line
 * is never inside one (YAML 1.2.2, section 9.1.2). */
static bool next_stretch(const char **text, size_t *len, size_t *line, struct stretch *stretch)
{
    bool begun = false;
    size_t at = 0, lines = 0;
    *stretch = (struct stretch){.text = *text, .line = *line};
    while (at < *len) {
        const char *newline = memchr(*text + at, '\n', *len - at);
        size_t line_len = newline ? (size_t)(newline - (*text + at)) + 1 : *len - at;
        bool marker = is_marker(*text + at, line_len);
        if (marker && begun)
            break;
        stretch->marked = stretch->marked || marker;
        begun = begun || marker || has_content(*text + at, line_len);
        at += line_len;
        lines++;
    }
    stretch->len = at;
    *text += at;
    *len -= at;
    *line += lines;
    return at > 0;
}

enum err_code manifest_inject(const char *text, size_t len, const struct settings *settings,
                              bool json, FILE *notes, char **out, size_t *out_len, struct err *err)
{
    struct work work = {.settings = settings, .json = json, .notes = notes, .err = err};
    struct stretch stretch;
    size_t line = 1;
    enum err_code code = ERR_OK;
    *err = (struct err){0};
    work.out = open_memstream(out, out_len);
    if (!work.out)
        return err_set(err, ERR_NO_MEMORY, "no memory for the documents");
    while (code == ERR_OK && next_stretch(&text, &len, &line, &stretch))
        code = inject_stretch(&work, &stretch);
    bool failed = ferror(work.out) != 0;
    if (fclose(work.out) != 0 || failed)
        code = err_set(err, ERR_NO_MEMORY, "no memory for the documents");
    if (code != ERR_OK) {
        free(*out);
        *out = NULL;
    }
    return code;
}
