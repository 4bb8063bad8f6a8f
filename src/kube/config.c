#include "kube/config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "tls/context.h"

static const char pod_folder[] = "/var/run/secrets/kubernetes.io/serviceaccount";

/* The content of `folder`/`name`, without white space at its end. */
static enum err_code read_text(const char *folder, const char *name, size_t max, char **out,
                               struct err *err)
{
    char path[4096];
    size_t len = 0;
    if (snprintf(path, sizeof path, "%s/%s", folder, name) >= (int)sizeof path)
        return err_set(err, ERR_INVALID, "the path %.100s... is too long", folder);
    enum err_code code = file_read(path, max, out, &len, err);
    if (code != ERR_OK)
        return code;
    while (len > 0 && strchr(" \t\r\n", (*out)[len - 1]))
        (*out)[--len] = 0;
    if (len > 0 && strlen(*out) == len)
        return ERR_OK;
    free(*out);
    *out = NULL;
    return err_set(err, ERR_INVALID, "%s is %s, expected a text", path, len ? "binary" : "empty");
}

static enum err_code parse_port(const char *text, uint16_t *out, struct err *err)
{
    char *end = NULL;
    unsigned long port = text[0] >= '0' && text[0] <= '9' ? strtoul(text, &end, 10) : 0;
    if (port == 0 || port > 65535 || *end)
        return err_set(err, ERR_INVALID,
                       "KUBERNETES_SERVICE_PORT is \"%.20s\", expected 1 to 65535", text);
    *out = (uint16_t)port;
    return ERR_OK;
}

enum err_code kube_config_of_pod(struct kube_config *out, const char *host, const char *port,
                                 const char *folder, struct err *err)
{
    struct kube_config config = {0};
    char *token = NULL;
    enum err_code code = ERR_OK;
    if (!host || !*host || !port || !*port)
        return err_set(err, ERR_NOT_FOUND,
                       "KUBERNETES_SERVICE_HOST and KUBERNETES_SERVICE_PORT are not set: this is "
                       "no pod of a cluster");
    code = parse_port(port, &config.port, err);
    if (code == ERR_OK)
        code = read_text(folder, "ca.crt", TLS_BUNDLE_PEM_MAX, &config.ca_pem, err);
    /* Read here only to say at once that it is missing. */
    if (code == ERR_OK)
        code = read_text(folder, "token", KUBE_TOKEN_MAX, &token, err);
    if (code == ERR_OK)
        code = read_text(folder, "namespace", 256, &config.namespace, err);
    free(token);
    if (code == ERR_OK) {
        config.host = strdup(host);
        config.server_name = strdup(host);
        config.base_path = strdup("");
        if (asprintf(&config.token_file, "%s/token", folder) < 0)
            config.token_file = NULL;
        if (!config.host || !config.server_name || !config.base_path || !config.token_file)
            code = err_set(err, ERR_NO_MEMORY, "no memory for the cluster's credentials");
    } else {
        err_wrap(err, "the pod's credentials");
    }
    if (code == ERR_OK)
        *out = config;
    else
        kube_config_deinit(&config);
    return code;
}

enum err_code kube_config_in_cluster(struct kube_config *out, struct err *err)
{
    return kube_config_of_pod(out, getenv("KUBERNETES_SERVICE_HOST"),
                              getenv("KUBERNETES_SERVICE_PORT"), pod_folder, err);
}

static void wipe(char *secret)
{
    if (secret)
        explicit_bzero(secret, strlen(secret));
    free(secret);
}

void kube_config_deinit(struct kube_config *config)
{
    free(config->host);
    free(config->base_path);
    free(config->server_name);
    free(config->ca_pem);
    wipe(config->token);
    free(config->token_file);
    free(config->client_cert_pem);
    wipe(config->client_key_pem);
    free(config->namespace);
    *config = (struct kube_config){0};
}
