/* kubeconfig files; declared in config.h. */
#include <jansson.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "base/base64.h"
#include "base/file.h"
#include "kube/config.h"
#include "kube/yaml.h"
#include "tls/context.h"

struct reader {
    struct kube_config config;
    const char *path; /* of the file */
    const char *what; /* what is being read, "cluster", and its name: for sentences */
    const char *name;
    struct err *err;
};

__attribute__((format(printf, 3, 4))) static enum err_code
fail(struct reader *reader, enum err_code code, const char *format, ...)
{
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    return err_set(reader->err, code, "%s \"%.60s\": %s", reader->what, reader->name, text);
}

static enum err_code no_memory(struct reader *reader)
{
    return err_set(reader->err, ERR_NO_MEMORY, "no memory for a kubeconfig");
}

/* The text of `key`, copied; *out stays NULL when there is none. */
static enum err_code read_text(struct reader *reader, json_t *map, const char *key, char **out)
{
    json_t *value = json_object_get(map, key);
    if (!value || json_is_null(value))
        return ERR_OK;
    if (!json_is_string(value))
        return fail(reader, ERR_INVALID, "%s is no text", key);
    if (json_string_length(value) == 0)
        return ERR_OK;
    *out = strdup(json_string_value(value));
    return *out ? ERR_OK : no_memory(reader);
}

/* A path in the file is relative to the file's folder. */
static char *resolve(const struct reader *reader, const char *path)
{
    const char *slash = strrchr(reader->path, '/');
    char *out = NULL;
    if (path[0] == '/' || !slash)
        return strdup(path);
    return asprintf(&out, "%.*s/%s", (int)(slash - reader->path), reader->path, path) < 0 ? NULL
                                                                                          : out;
}

static enum err_code decode(struct reader *reader, const char *key, char *text)
{
    size_t len = 0;
    if (!base64_decode(text, strlen(text), text, &len) || len == 0)
        return fail(reader, ERR_INVALID, "%s is no base64", key);
    text[len] = 0;
    return strlen(text) == len ? ERR_OK : fail(reader, ERR_INVALID, "%s is no PEM", key);
}

/* PEM from "<key>-data" or from the file that `key` names; the former wins, as in kubectl. */
static enum err_code read_pem(struct reader *reader, json_t *map, const char *key, char **out)
{
    char data_key[64], *path = NULL, *full = NULL;
    size_t len = 0;
    snprintf(data_key, sizeof data_key, "%s-data", key);
    enum err_code code = read_text(reader, map, data_key, out);
    if (code != ERR_OK || *out)
        return code == ERR_OK ? decode(reader, data_key, *out) : code;
    code = read_text(reader, map, key, &path);
    if (code != ERR_OK || !path)
        return code;
    full = resolve(reader, path);
    code = full ? file_read(full, TLS_BUNDLE_PEM_MAX, out, &len, reader->err) : no_memory(reader);
    if (code != ERR_OK && full)
        err_wrap(reader->err, "%s \"%.60s\": %s", reader->what, reader->name, key);
    free(full);
    free(path);
    return code;
}

/* The `inner` mapping of the item of the list `list` that has this name. */
static enum err_code find(struct reader *reader, json_t *root, const char *list, const char *inner,
                          const char *name, json_t **out)
{
    size_t i;
    json_t *item;
    reader->what = inner;
    reader->name = name;
    json_array_foreach(json_object_get(root, list), i, item)
    {
        const char *found = json_string_value(json_object_get(item, "name"));
        if (!found || strcmp(found, name) != 0)
            continue;
        *out = json_object_get(item, inner);
        return json_is_object(*out) ? ERR_OK : fail(reader, ERR_INVALID, "is no mapping");
    }
    return fail(reader, ERR_NOT_FOUND, "is not among the %s of the file", list);
}

/* --- the cluster ------------------------------------------------------------------------------ */

/* What is there and says anything but false. */
static bool is_set(json_t *map, const char *key)
{
    json_t *value = json_object_get(map, key);
    return value && !json_is_null(value) && !json_is_false(value);
}

/* https://HOST[:PORT][/PATH], HOST a name, an IPv4 address, or an IPv6 address in brackets. */
static enum err_code parse_server(struct reader *reader, const char *url)
{
    static const char scheme[] = "https://";
    struct kube_config *config = &reader->config;
    if (strncmp(url, scheme, sizeof scheme - 1) != 0 || strpbrk(url, "?#@ "))
        return fail(reader, ERR_INVALID, "server is \"%.80s\", expected https://HOST:PORT", url);
    const char *host = url + sizeof scheme - 1, *path = strchrnul(host, '/');
    bool bracket = *host == '[';
    host += bracket;
    size_t host_len = strcspn(host, bracket ? "]" : ":/");
    const char *rest = host + host_len;
    struct addr ip;
    bool closed = !bracket || *rest == ']';
    rest += bracket && closed;
    config->port = 443;
    if (*rest == ':') {
        char *end = NULL;
        unsigned long port = rest[1] >= '0' && rest[1] <= '9' ? strtoul(rest + 1, &end, 10) : 0;
        config->port = port <= 65535 ? (uint16_t)port : 0;
        rest = end ? end : rest;
    }
    config->host = strndup(host, host_len);
    config->base_path = strdup(path);
    if (!config->host || !config->base_path)
        return no_memory(reader);
    size_t path_len = strlen(config->base_path);
    while (path_len > 0 && config->base_path[path_len - 1] == '/')
        config->base_path[--path_len] = 0;
    if (host_len == 0 || host_len > 253 || rest != path || !closed || config->port == 0 ||
        (bracket && !(addr_parse(&ip, config->host) && strchr(config->host, ':'))))
        return fail(reader, ERR_INVALID, "server is \"%.80s\", expected https://HOST:PORT", url);
    return ERR_OK;
}

static enum err_code read_cluster(struct reader *reader, json_t *cluster)
{
    char *url = NULL;
    if (is_set(cluster, "insecure-skip-tls-verify"))
        return fail(reader, ERR_INVALID,
                    "insecure-skip-tls-verify would trust anybody, expected a "
                    "certificate-authority");
    if (is_set(cluster, "proxy-url"))
        return fail(reader, ERR_INVALID, "proxy-url is not supported, expected a direct server");
    enum err_code code = read_text(reader, cluster, "server", &url);
    if (code == ERR_OK)
        code = url ? parse_server(reader, url) : fail(reader, ERR_INVALID, "has no server");
    free(url);
    if (code == ERR_OK)
        code = read_text(reader, cluster, "tls-server-name", &reader->config.server_name);
    if (code == ERR_OK && !reader->config.server_name) {
        reader->config.server_name = strdup(reader->config.host);
        code = reader->config.server_name ? ERR_OK : no_memory(reader);
    }
    if (code == ERR_OK)
        code = read_pem(reader, cluster, "certificate-authority", &reader->config.ca_pem);
    if (code == ERR_OK && !reader->config.ca_pem)
        code = fail(reader, ERR_INVALID,
                    "has no certificate-authority, expected one: no other root is trusted");
    return code;
}

/* --- the user --------------------------------------------------------------------------------- */

static enum err_code refuse_user(struct reader *reader, json_t *user)
{
    static const char *const refused[][2] = {
        {"exec", "runs another program"},
        {"auth-provider", "needs a plugin"},
        {"username", "is basic authentication, which no server takes any more"},
        {"password", "is basic authentication, which no server takes any more"},
        {"as", "is impersonation"},
        {"as-uid", "is impersonation"},
        {"as-groups", "is impersonation"},
        {"as-user-extra", "is impersonation"},
    };
    for (size_t i = 0; i < sizeof refused / sizeof refused[0]; i++)
        if (is_set(user, refused[i][0]))
            return fail(reader, ERR_INVALID,
                        "%s %s and is not supported, expected token, tokenFile or "
                        "client-certificate and client-key",
                        refused[i][0], refused[i][1]);
    return ERR_OK;
}

static enum err_code read_user(struct reader *reader, json_t *user)
{
    struct kube_config *config = &reader->config;
    char *file = NULL;
    enum err_code code = refuse_user(reader, user);
    if (code == ERR_OK)
        code = read_text(reader, user, "token", &config->token);
    if (code == ERR_OK)
        code = read_text(reader, user, "tokenFile", &file);
    if (code == ERR_OK && file) {
        config->token_file = resolve(reader, file);
        code = config->token_file ? ERR_OK : no_memory(reader);
    }
    free(file);
    if (code == ERR_OK)
        code = read_pem(reader, user, "client-certificate", &config->client_cert_pem);
    if (code == ERR_OK)
        code = read_pem(reader, user, "client-key", &config->client_key_pem);
    if (code == ERR_OK && !config->client_cert_pem != !config->client_key_pem)
        code = fail(reader, ERR_INVALID, "has %s, expected both or neither",
                    config->client_key_pem ? "client-key without client-certificate"
                                           : "client-certificate without client-key");
    return code;
}

/* --- the file --------------------------------------------------------------------------------- */

static enum err_code read_root(struct reader *reader, json_t *root, const char *wanted)
{
    char *name = NULL, *cluster_name = NULL, *user_name = NULL;
    json_t *context = NULL, *cluster = NULL, *user = NULL;
    reader->what = "file";
    reader->name = reader->path;
    if (!json_is_object(root))
        return err_set(reader->err, ERR_INVALID, "is no mapping, expected a kubeconfig");
    enum err_code code = ERR_OK;
    if (wanted) {
        name = strdup(wanted);
        code = name ? ERR_OK : no_memory(reader);
    } else {
        code = read_text(reader, root, "current-context", &name);
        if (code == ERR_OK && !name)
            code = err_set(reader->err, ERR_NOT_FOUND,
                           "has no current-context, expected one, or the name of a context");
    }
    if (code == ERR_OK)
        code = find(reader, root, "contexts", "context", name, &context);
    if (code == ERR_OK)
        code = read_text(reader, context, "cluster", &cluster_name);
    if (code == ERR_OK)
        code = read_text(reader, context, "user", &user_name);
    if (code == ERR_OK)
        code = read_text(reader, context, "namespace", &reader->config.namespace);
    if (code == ERR_OK && (!cluster_name || !user_name))
        code = fail(reader, ERR_INVALID, "names no %s", cluster_name ? "user" : "cluster");
    if (code == ERR_OK)
        code = find(reader, root, "clusters", "cluster", cluster_name, &cluster);
    if (code == ERR_OK)
        code = read_cluster(reader, cluster);
    if (code == ERR_OK)
        code = find(reader, root, "users", "user", user_name, &user);
    if (code == ERR_OK)
        code = read_user(reader, user);
    if (code == ERR_OK && !reader->config.namespace) {
        reader->config.namespace = strdup("default");
        code = reader->config.namespace ? ERR_OK : no_memory(reader);
    }
    free(name);
    free(cluster_name);
    free(user_name);
    return code;
}

enum err_code kube_config_file(struct kube_config *out, const char *path, const char *context,
                               struct err *err)
{
    struct err local;
    struct reader reader = {.path = path, .err = err ? err : &local};
    char *text = NULL;
    size_t len = 0;
    json_t *root = NULL;
    enum err_code code = file_read(path, KUBE_CONFIG_FILE_MAX, &text, &len, reader.err);
    if (code != ERR_OK)
        return err_wrap(reader.err, "kubeconfig");
    code = kube_yaml_parse(&root, text, len, reader.err);
    if (code == ERR_OK)
        code = read_root(&reader, root, context);
    explicit_bzero(text, len);
    free(text);
    json_decref(root);
    if (code == ERR_OK)
        *out = reader.config;
    else
        kube_config_deinit(&reader.config);
    return code == ERR_OK ? ERR_OK : err_wrap(reader.err, "kubeconfig %s", path);
}
