#include "injector/certificate_secret.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/log.h"

enum { PATH_MAX_BYTES = 700, PART_MAX = 64 << 10 };

/* One key of the Secret, decoded; NULL when it is missing or none. */
static char *part(const json_t *object, const char *key, size_t *len)
{
    const json_t *value = json_object_get(json_object_get(object, "data"), key);
    size_t size = json_string_length(value);
    char *text =
        json_is_string(value) && size <= PART_MAX ? malloc(BASE64_BYTES_SIZE(size) + 1) : NULL;
    if (text && base64_decode(json_string_value(value), size, text, len)) {
        text[*len] = 0;
        return text;
    }
    free(text);
    return NULL;
}

static enum err_code use(struct certificate_secret *secret, const json_t *object, struct err *err)
{
    struct tls_key *key = NULL;
    struct tls_context *context;
    size_t chain_len = 0, key_len = 0;
    char *chain = part(object, "tls.crt", &chain_len), *pem = part(object, "tls.key", &key_len);
    enum err_code code =
        chain && pem ? tls_key_parse_pem(&key, pem, key_len, err)
                     : err_set(err, ERR_TLS_BAD_CERTIFICATE, "tls.crt and tls.key are not there");
    if (code == ERR_OK)
        code = tls_context_new_https(&context, key, chain, chain_len, err);
    if (code == ERR_OK) {
        secret->base.on_context(&secret->base, context);
        tls_context_unref(context);
    }
    tls_key_unref(key);
    if (pem)
        explicit_bzero(pem, key_len);
    free(pem);
    free(chain);
    return code;
}

static void on_object(const char *key, json_t *object, void *arg)
{
    struct certificate_secret *secret = arg;
    struct err err = {0};
    if (use(secret, object, &err) != ERR_OK)
        LOG_WARN("certificate_refused", F_STR("secret", key), F_ERR(&err));
}

static void on_gone(const char *key, void *arg)
{
    (void)arg;
    LOG_WARN("certificate_deleted", F_STR("secret", key));
}

static void on_synced(void *arg)
{
    (void)arg;
}

static enum err_code start(struct webhook_certificate *certificate, struct err *err)
{
    static const struct kube_reflector_events events = {
        .on_object = on_object, .on_gone = on_gone, .on_synced = on_synced};
    struct certificate_secret *secret = (struct certificate_secret *)(void *)certificate;
    char path[PATH_MAX_BYTES];
    enum err_code code = secret->kubeconfig
                             ? kube_config_file(&secret->access, secret->kubeconfig, NULL, err)
                             : kube_config_in_cluster(&secret->access, err);
    if (code == ERR_OK)
        code = kube_client_new(&secret->client, certificate->env, &secret->access, err);
    if (code != ERR_OK)
        return err_wrap(err, "the cluster's API server");
    snprintf(path, sizeof path, "/api/v1/namespaces/%s/secrets?fieldSelector=metadata.name%%3D%s",
             secret->access.namespace, secret->name);
    secret->reflector = kube_reflector_start(secret->client, path, &events, secret, err);
    return secret->reflector ? ERR_OK : err->code;
}

static void on_client_closed(void *arg)
{
    struct certificate_secret *secret = arg;
    kube_config_deinit(&secret->access);
    secret->base.on_closed(&secret->base);
}

static void close_secret(struct webhook_certificate *certificate)
{
    struct certificate_secret *secret = (struct certificate_secret *)(void *)certificate;
    kube_reflector_close(secret->reflector);
    kube_client_close(secret->client, on_client_closed, secret);
}

void certificate_secret_init(struct certificate_secret *secret, const char *name,
                             const char *kubeconfig)
{
    static const struct webhook_certificate_type type = {start, close_secret};
    *secret =
        (struct certificate_secret){.base.type = &type, .name = name, .kubeconfig = kubeconfig};
}
