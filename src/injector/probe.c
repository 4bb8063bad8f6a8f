#include "injector/probe.h"

#include <stdlib.h>
#include <string.h>

#include "injector/sidecar.h"
#include "injector/value.h"
#include "injector/warning.h"

enum { NAME_SHOWN = 64, TIMEOUT_DEFAULT_S = 1, HEADERS_MAX = 64 };

/* One probe on its way. */
struct probe {
    const struct pod_container *container;
    const char *key; /* "readinessProbe" */
    const char *end; /* of its path, "readyz" */
    json_t *spec;
};

static const char *const kinds[][2] = {
    {"livenessProbe", "livez"}, {"readinessProbe", "readyz"}, {"startupProbe", "startupz"}};
enum { KIND_COUNT = sizeof kinds / sizeof kinds[0] };

/* --- what the original says ------------------------------------------------------------------- */

/* A port by number, or by name among those of its container, or a number as text: as the kubelet
 * finds it. 0: there is none. */
static int find_port(const struct pod_container *container, json_t *value)
{
    const char *text = json_string_value(value);
    json_int_t port = json_integer_value(value);
    if (text) {
        size_t index;
        json_t *row;
        char *end;
        port = strtol(text, &end, 10);
        if (*end || end == text)
            port = 0;
        json_array_foreach(json_object_get(container->container, "ports"), index, row)
        {
            const char *name = pod_text(row, "name");
            if (name && strcmp(name, text) == 0) {
                port = json_integer_value(json_object_get(row, "containerPort"));
                break;
            }
        }
    }
    return port >= 1 && port <= 65535 ? (int)port : 0;
}

/* True for what can be put into an HTTP request as it is. */
static bool is_clean(const char *text)
{
    for (; *text; text++) {
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            return false;
    }
    return true;
}

static bool is_token(const char *text)
{
    static const char token[] = "!#$%&'*+-.^_`|~0123456789abcdefghijklmnopqrstuvwxyz"
                                "ABCDEFGHIJKLMNOPQRSTUVWXYZ"; /* RFC 9110 section 5.6.2 */
    return *text && text[strspn(text, token)] == 0;
}

/* [["Name", "value"], ...]; NULL: one of them cannot be sent. */
static json_t *take_headers(json_t *http)
{
    size_t index;
    json_t *row, *headers = json_array(), *given = json_object_get(http, "httpHeaders");
    json_array_foreach(given, index, row)
    {
        const char *name = pod_text(row, "name"), *value = pod_text(row, "value");
        if (index >= HEADERS_MAX || !name || !is_token(name) || !is_clean(value ? value : "") ||
            json_array_append_new(headers, json_pack("[s, s]", name, value ? value : "")) < 0) {
            json_decref(headers);
            return NULL;
        }
    }
    return headers;
}

/* Why a probe has to stay as it is, for the warning; NULL: it need not. */
static const char *reason_to_stay(const char *host, int port)
{
    if (host && *host)
        return "it goes to a host of its own";
    if (!port)
        return "its port is none of the container's";
    return sidecar_owns_port(port) ? "its port is the proxy's" : NULL;
}

/* --- the table's entry ------------------------------------------------------------------------ */

static json_t *http_entry(json_t *http, int port, const char **stays)
{
    const char *path = pod_text(http, "path"), *scheme = pod_text(http, "scheme");
    json_t *headers = take_headers(http);
    path = path ? path : "";
    if (!headers || !is_clean(path)) {
        json_decref(headers);
        *stays = "its path or a header cannot be sent";
        return NULL;
    }
    return json_pack("{s:s, s:i, s:s+, s:o}", "kind",
                     scheme && strcmp(scheme, "HTTPS") == 0 ? "https" : "http", "port", port,
                     "path", *path == '/' ? "" : "/", path, "headers", headers);
}

/* The entry for this probe; NULL with *stays set when it has to stay (an empty reason: silently),
 * NULL without when there is no memory. */
static json_t *make_entry(const struct probe *probe, const char **stays)
{
    json_t *http = json_object_get(probe->spec, "httpGet");
    json_t *tcp = json_object_get(probe->spec, "tcpSocket");
    json_t *grpc = json_object_get(probe->spec, "grpc");
    json_t *target = http ? http : tcp ? tcp : grpc;
    *stays = "";
    if (!json_is_object(target))
        return NULL;
    int port = find_port(probe->container, json_object_get(target, "port"));
    *stays = reason_to_stay(pod_text(target, "host"), port);
    if (*stays)
        return NULL;
    if (http)
        return http_entry(http, port, stays);
    if (tcp)
        return json_pack("{s:s, s:i}", "kind", "tcp", "port", port);
    const char *service = pod_text(grpc, "service");
    return json_pack("{s:s, s:i, s:s}", "kind", "grpc", "port", port, "service",
                     service ? service : "");
}

/* --- the replacement -------------------------------------------------------------------------- */

static json_t *replacement(const struct probe *probe, json_t *path)
{
    json_t *spec = json_copy(probe->spec);
    json_object_del(spec, "httpGet");
    json_object_del(spec, "tcpSocket");
    json_object_del(spec, "grpc");
    if (json_object_set_new(spec, "httpGet",
                            json_pack("{s:O, s:i, s:s}", "path", path, "port", SIDECAR_HEALTH_PORT,
                                      "scheme", "HTTP")) == 0)
        return spec;
    json_decref(spec);
    return NULL;
}

static void rewrite_one(const struct probe *probe, struct patch *patch, json_t *table,
                        json_t *warnings)
{
    const struct pod_container *container = probe->container;
    const char *stays;
    char shown[NAME_SHOWN];
    json_t *entry = make_entry(probe, &stays);
    if (!entry && stays) {
        if (*stays)
            warning_add(warnings,
                        "the %s of the container '%s' is left as it is, and may fail under strict "
                        "mTLS: %s",
                        probe->key, value_printable(container->name, shown, sizeof shown), stays);
        return;
    }
    json_int_t timeout_s = json_integer_value(json_object_get(probe->spec, "timeoutSeconds"));
    json_t *path = json_sprintf("/app-health/%s/%s", container->name, probe->end);
    bool whole = path && json_object_set_new(
                             entry, "timeout_s",
                             json_integer(timeout_s > 0 ? timeout_s : TIMEOUT_DEFAULT_S)) == 0;
    if (whole)
        whole = json_object_set(table, json_string_value(path), entry) == 0;
    patch_replace(patch, whole ? replacement(probe, path) : NULL, probe->key, "/spec/%s/%zu",
                  container->list, container->index);
    json_decref(path);
    json_decref(entry);
}

/* The table as text. The kubelet replaces $(NAME) in the values of environment variables; in JSON a
 * dollar can only be inside a string, where it has another spelling. */
static enum err_code write_table(json_t *table, char **out, struct err *err)
{
    static const char dollar[] = "\\u0024";
    *out = NULL;
    if (json_object_size(table) == 0)
        return ERR_OK;
    char *text = json_dumps(table, JSON_COMPACT);
    size_t length = text ? strlen(text) : 0, used = 0;
    if (length <= PROBE_TABLE_MAX_BYTES && text)
        *out = malloc(length * (sizeof dollar - 1) + 1);
    for (size_t i = 0; *out && i < length; i++) {
        if (text[i] == '$') {
            memcpy(*out + used, dollar, sizeof dollar - 1);
            used += sizeof dollar - 1;
        } else {
            (*out)[used++] = text[i];
        }
    }
    free(text);
    if (*out) {
        (*out)[used] = 0;
        return ERR_OK;
    }
    if (length > PROBE_TABLE_MAX_BYTES)
        return err_set(err, ERR_INVALID,
                       "the probes of the pod are %zu bytes, more than the %d that the proxy "
                       "takes: " CHOICE_PREFIX "rewrite-probes: \"false\" leaves them as they are",
                       length, PROBE_TABLE_MAX_BYTES);
    return err_set(err, ERR_NO_MEMORY, "no memory for the pod's probes");
}

enum err_code probes_rewrite(const struct pod *pod, struct patch *patch, json_t *warnings,
                             char **text, struct err *err)
{
    struct pod_container container;
    json_t *table = json_object();
    if (!table)
        return err_set(err, ERR_NO_MEMORY, "no memory for the pod's probes");
    for (size_t i = 0; pod_container_at(pod, i, &container); i++) {
        for (unsigned kind = 0; kind < KIND_COUNT && pod_container_stays(&container); kind++) {
            struct probe probe = {.container = &container,
                                  .key = kinds[kind][0],
                                  .end = kinds[kind][1],
                                  .spec = json_object_get(container.container, kinds[kind][0])};
            if (json_is_object(probe.spec))
                rewrite_one(&probe, patch, table, warnings);
        }
    }
    enum err_code code = write_table(table, text, err);
    json_decref(table);
    return code;
}

void probes_warn_of_hooks(const struct pod *pod, json_t *warnings)
{
    static const char *const hooks[] = {"postStart", "preStop"};
    struct pod_container container;
    for (size_t i = 0; pod_container_at(pod, i, &container); i++) {
        json_t *lifecycle = json_object_get(container.container, "lifecycle");
        for (unsigned hook = 0; hook < 2; hook++) {
            char shown[NAME_SHOWN];
            json_t *handler = json_object_get(lifecycle, hooks[hook]);
            if (json_object_get(handler, "httpGet") || json_object_get(handler, "tcpSocket"))
                warning_add(warnings,
                            "the kubelet calls the %s hook of the container '%s' in plaintext: "
                            "under strict mTLS its port has to be in " CHOICE_PREFIX
                            "exclude-inbound-ports",
                            hooks[hook], value_printable(container.name, shown, sizeof shown));
        }
    }
}
