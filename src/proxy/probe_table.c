#include "proxy/probe_table.h"

#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

static const char *const kinds[] = {"http", "https", "tcp", "grpc"};

const char *probe_kind_name(enum probe_kind kind)
{
    return kinds[kind];
}

static enum err_code wrong(const char *route, const char *what, struct err *err)
{
    return err_set(err, ERR_INVALID, "the table of probes: %.100s: %s", route, what);
}

/* True for what may stand in a line of an HTTP request. */
static bool is_line(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    }
    return true;
}

/* --- HTTP ------------------------------------------------------------------------------------- */

/* The path as it goes on the wire: without a fragment, and what URLs do not have is escaped. */
static char *escape_path(const char *path)
{
    static const char hex[] = "0123456789ABCDEF";
    char *escaped = malloc(3 * strlen(path) + 1);
    size_t used = 0;
    for (; escaped && *path && *path != '#'; path++) {
        unsigned char byte = (unsigned char)*path;
        if (byte > 0x20 && byte < 0x7f) {
            escaped[used++] = *path;
            continue;
        }
        escaped[used++] = '%';
        escaped[used++] = hex[byte >> 4];
        escaped[used++] = hex[byte & 15];
    }
    if (escaped)
        escaped[used] = 0;
    return escaped;
}

struct lines {
    char *text;
    size_t len;
    bool host, agent, accept;
};

static bool lines_add(struct lines *lines, const char *name, const char *value)
{
    size_t more = strlen(name) + strlen(value) + 4;
    char *text = realloc(lines->text, lines->len + more + 1);
    if (!text)
        return false;
    lines->text = text;
    char *at = stpcpy(stpcpy(stpcpy(text + lines->len, name), ": "), value);
    strcpy(at, "\r\n");
    lines->len += more;
    return true;
}

/* What the kubelet sends besides, where the probe does not say otherwise. */
static bool lines_complete(struct lines *lines)
{
    return (lines->agent || lines_add(lines, "User-Agent", "kube-probe/" HANDFAST_VERSION)) &&
           (lines->accept || lines_add(lines, "Accept", "*/*")) &&
           lines_add(lines, "Connection", "close");
}

static enum err_code take_headers(struct probe *probe, json_t *headers, struct err *err)
{
    struct lines lines = {0};
    size_t index;
    json_t *row;
    bool whole = true;
    json_array_foreach(headers, index, row)
    {
        const char *name = json_string_value(json_array_get(row, 0));
        const char *value = json_string_value(json_array_get(row, 1));
        if (!name || !value || !*name || !is_line(name) || !is_line(value) || strpbrk(name, ": ")) {
            free(lines.text);
            return wrong(probe->route, "a header is not a name and a value", err);
        }
        lines.host = lines.host || strcasecmp(name, "Host") == 0;
        lines.agent = lines.agent || strcasecmp(name, "User-Agent") == 0;
        lines.accept = lines.accept || strcasecmp(name, "Accept") == 0;
        if (strcasecmp(name, "Connection") != 0)
            whole = whole && lines_add(&lines, name, value);
    }
    whole = whole && lines_complete(&lines);
    probe->headers = lines.text;
    probe->has_host = lines.host;
    return whole ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory for a probe");
}

static enum err_code take_http(struct probe *probe, json_t *row, struct err *err)
{
    const char *path = json_string_value(json_object_get(row, "path"));
    json_t *headers = json_object_get(row, "headers");
    if (!path || *path != '/' || !is_line(path) || !json_is_array(headers))
        return wrong(probe->route, "expected a path and a list of headers", err);
    probe->path = escape_path(path);
    if (!probe->path)
        return err_set(err, ERR_NO_MEMORY, "no memory for a probe");
    return take_headers(probe, headers, err);
}

/* --- rows ------------------------------------------------------------------------------------- */

static enum err_code take_kind(struct probe *probe, json_t *row, struct err *err)
{
    const char *kind = json_string_value(json_object_get(row, "kind"));
    for (int i = 0; kind && i <= PROBE_GRPC; i++) {
        probe->kind = (enum probe_kind)i;
        if (strcmp(kind, kinds[i]) == 0)
            return ERR_OK;
    }
    return wrong(probe->route, "expected the kind http, https, tcp or grpc", err);
}

static enum err_code take_row(struct probe *probe, json_t *row, struct err *err)
{
    json_int_t port = json_integer_value(json_object_get(row, "port"));
    json_int_t timeout_s = json_integer_value(json_object_get(row, "timeout_s"));
    const char *service = json_string_value(json_object_get(row, "service"));
    if (take_kind(probe, row, err) != ERR_OK)
        return err->code;
    if (port < 1 || port > 65535)
        return wrong(probe->route, "expected a port from 1 to 65535", err);
    if (timeout_s < 1)
        return wrong(probe->route, "expected a timeout_s of 1 or more", err);
    probe->port = (uint16_t)port;
    probe->timeout_ms = (timeout_s > PROBE_TIMEOUT_MAX_S ? PROBE_TIMEOUT_MAX_S : timeout_s) * 1000;
    if (probe->kind == PROBE_HTTP || probe->kind == PROBE_HTTPS)
        return take_http(probe, row, err);
    if (probe->kind == PROBE_GRPC && (!service || strlen(service) >= PROBE_SERVICE_MAX))
        return wrong(probe->route, "expected a service", err);
    if (probe->kind == PROBE_GRPC && !(probe->service = strdup(service)))
        return err_set(err, ERR_NO_MEMORY, "no memory for a probe");
    return ERR_OK;
}

static enum err_code take_table(struct probe_table *table, json_t *root, struct err *err)
{
    const char *route;
    json_t *row;
    if (!json_is_object(root) || json_object_size(root) > PROBE_TABLE_MAX)
        return err_set(err, ERR_INVALID, "the table of probes is no object of at most %d",
                       PROBE_TABLE_MAX);
    table->probes = calloc(json_object_size(root) + 1, sizeof *table->probes);
    if (!table->probes)
        return err_set(err, ERR_NO_MEMORY, "no memory for the table of probes");
    json_object_foreach(root, route, row)
    {
        struct probe *probe = &table->probes[table->count++];
        probe->route = strdup(route);
        if (!probe->route)
            return err_set(err, ERR_NO_MEMORY, "no memory for a probe");
        if (strncmp(route, "/app-health/", 12) != 0)
            return wrong(route, "expected a path that begins with /app-health/", err);
        if (take_row(probe, row, err) != ERR_OK)
            return err->code;
    }
    return ERR_OK;
}

enum err_code probe_table_parse(struct probe_table *table, const char *json, struct err *err)
{
    json_error_t error;
    struct err scratch;
    *table = (struct probe_table){0};
    err = err ? err : &scratch;
    if (!json || !*json)
        return ERR_OK;
    if (strlen(json) > 6 * PROBE_TABLE_MAX_BYTES) /* a dollar may have been written with six */
        return err_set(err, ERR_TOO_LARGE, "the table of probes has %zu bytes", strlen(json));
    json_t *root = json_loads(json, JSON_REJECT_DUPLICATES, &error);
    if (!root)
        return err_set(err, ERR_INVALID, "the table of probes: column %d: %s", error.column,
                       error.text);
    enum err_code code = take_table(table, root, err);
    json_decref(root);
    if (code != ERR_OK)
        probe_table_deinit(table);
    return code;
}

void probe_table_deinit(struct probe_table *table)
{
    for (unsigned i = 0; i < table->count; i++) {
        free(table->probes[i].route);
        free(table->probes[i].path);
        free(table->probes[i].headers);
        free(table->probes[i].service);
    }
    free(table->probes);
    *table = (struct probe_table){0};
}

struct probe *probe_table_find(const struct probe_table *table, const char *route)
{
    for (unsigned i = 0; i < table->count; i++) {
        if (strcmp(table->probes[i].route, route) == 0)
            return &table->probes[i];
    }
    return NULL;
}
