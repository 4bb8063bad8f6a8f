#include "control/kube_webhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "base/log.h"

static void on_timer(struct timer *timer);

static char *to_base64(const char *text)
{
    size_t len = strlen(text);
    char *base64 = malloc(BASE64_TEXT_SIZE(len));
    if (base64)
        base64_encode(text, len, base64);
    return base64;
}

static void look_again(struct kube_webhook *webhook, int64_t delay_ms)
{
    timer_start(webhook->timers, &webhook->timer, delay_ms, on_timer);
}

/* Not again so soon: what was written may be in nobody's interest but ours (an authority that is
 * about to end gives certificates that are to be renewed at once, another controller puts its own
 * back). Marks the attempt. */
static bool may_write(struct kube_webhook *webhook, int64_t *last_ms)
{
    int64_t now_ms = clock_now_ms();
    if (*last_ms && now_ms - *last_ms < WEBHOOK_RETRY_MS) {
        look_again(webhook, *last_ms + WEBHOOK_RETRY_MS - now_ms);
        return false;
    }
    *last_ms = now_ms;
    return true;
}

/* --- the certificate -------------------------------------------------------------------------- */

static void on_secret_written(const struct kube_answer *answer, const struct err *err, void *arg)
{
    struct kube_webhook *webhook = arg;
    webhook->secret_call = NULL;
    if (kube_keeper_result(webhook->keeper, answer, err, "the injector's certificate") == ERR_OK)
        LOG_INFO("injector_certificate", F_STR("name", webhook->dns_name));
    else
        look_again(webhook, WEBHOOK_RETRY_MS);
}

static json_t *make_secret(struct kube_webhook *webhook, struct err *err)
{
    struct ca_issued issued = {0};
    struct tls_key *key = tls_key_new();
    char *key_pem = NULL, *key64 = NULL, *chain64 = NULL, *root64 = NULL;
    json_t *secret = NULL;
    size_t len;
    enum err_code code = key ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory for a key");
    if (code == ERR_OK)
        code = ca_issue_server(webhook->state->ca, key, &webhook->dns_name, 1, WEBHOOK_TTL_S,
                               &issued, err);
    if (code == ERR_OK)
        code = tls_key_format_pem(key, &key_pem, &len, err);
    if (code == ERR_OK) {
        key64 = to_base64(key_pem);
        chain64 = to_base64(issued.chain_pem);
        root64 = to_base64(ca_root_pem(webhook->state->ca));
        secret = key64 && chain64 && root64
                     ? kube_keeper_object(webhook->keeper, "v1", "Secret", webhook->keeper->ns,
                                          WEBHOOK_SECRET)
                     : NULL;
    }
    if (secret && (json_object_set_new(secret, "type", json_string("kubernetes.io/tls")) < 0 ||
                   json_object_set_new(secret, "data",
                                       json_pack("{s:s, s:s, s:s}", "tls.crt", chain64, "tls.key",
                                                 key64, "ca.crt", root64)) < 0)) {
        json_decref(secret);
        secret = NULL;
    }
    if (key_pem)
        explicit_bzero(key_pem, strlen(key_pem));
    if (key64)
        explicit_bzero(key64, strlen(key64));
    free(key_pem);
    free(key64);
    free(chain64);
    free(root64);
    ca_issued_deinit(&issued);
    tls_key_unref(key);
    return secret;
}

static void check_secret(struct kube_webhook *webhook)
{
    char path[KEEPER_NAME_MAX * 2];
    struct err err = {0};
    if (!webhook->secrets_synced || webhook->secret_call)
        return;
    char *root64 = to_base64(ca_root_pem(webhook->state->ca));
    bool good = root64 && webhook->secret_root && strcmp(root64, webhook->secret_root) == 0 &&
                clock_wall_s() < webhook->renew_at_s;
    free(root64);
    if (good || !may_write(webhook, &webhook->secret_ms))
        return;
    snprintf(path, sizeof path, "/api/v1/namespaces/%s/secrets/" WEBHOOK_SECRET,
             webhook->keeper->ns);
    webhook->secret_call = kube_keeper_apply(webhook->keeper, path, make_secret(webhook, &err),
                                             on_secret_written, webhook, &err);
    if (!webhook->secret_call) {
        LOG_WARN("injector_certificate_not_made", F_ERR(&err));
        look_again(webhook, WEBHOOK_RETRY_MS);
    }
}

static void on_secret(const char *key, json_t *object, void *arg)
{
    struct kube_webhook *webhook = arg;
    const json_t *data = json_object_get(object, "data");
    const json_t *chain = json_object_get(data, "tls.crt");
    const char *root = json_string_value(json_object_get(data, "ca.crt"));
    size_t len = json_string_length(chain), got = 0;
    struct cert_info info;
    (void)key;
    free(webhook->secret_root);
    webhook->secret_root = root ? strdup(root) : NULL;
    webhook->renew_at_s = 0;
    char *pem = malloc(BASE64_BYTES_SIZE(len) + 1);
    if (pem && json_is_string(chain) && base64_decode(json_string_value(chain), len, pem, &got) &&
        cert_info_parse(&info, pem, got, NULL) == ERR_OK)
        webhook->renew_at_s = info.not_before_s + (info.not_after_s - info.not_before_s) / 2;
    free(pem);
    kube_webhook_check(webhook);
}

static void on_secret_gone(const char *key, void *arg)
{
    struct kube_webhook *webhook = arg;
    (void)key;
    free(webhook->secret_root);
    webhook->secret_root = NULL;
    kube_webhook_check(webhook);
}

static void on_secrets_synced(void *arg)
{
    struct kube_webhook *webhook = arg;
    webhook->secrets_synced = true;
    kube_webhook_check(webhook);
}

/* --- the API server's trust in it ------------------------------------------------------------- */

static void on_hook_written(const struct kube_answer *answer, const struct err *err, void *arg)
{
    struct kube_webhook *webhook = arg;
    webhook->hook_call = NULL;
    if (kube_keeper_result(webhook->keeper, answer, err, "the webhook's caBundle") == ERR_OK)
        LOG_INFO("ca_bundle", F_STR("webhook", WEBHOOK_NAME));
    else
        look_again(webhook, WEBHOOK_RETRY_MS);
}

/* Only after the certificate is there: the bundle follows what the injector has, not what it will
 * have. */
static void check_hook(struct kube_webhook *webhook)
{
    struct err err = {0};
    if (!webhook->hook || webhook->hook_call || !webhook->secret_root)
        return;
    json_t *patch = json_array();
    size_t index;
    json_t *entry;
    json_array_foreach(json_object_get(webhook->hook, "webhooks"), index, entry)
    {
        const json_t *config = json_object_get(entry, "clientConfig");
        const char *now = json_string_value(json_object_get(config, "caBundle"));
        if (now && strcmp(now, webhook->secret_root) == 0)
            continue;
        /* Entries may have moved since. */
        json_array_append_new(patch, json_pack("{s:s, s:o, s:O}", "op", "test", "path",
                                               json_sprintf("/webhooks/%zu/name", index), "value",
                                               json_object_get(entry, "name")));
        json_array_append_new(patch,
                              json_pack("{s:s, s:o, s:s}", "op", "add", "path",
                                        json_sprintf("/webhooks/%zu/clientConfig/caBundle", index),
                                        "value", webhook->secret_root));
    }
    if (json_array_size(patch) > 0 && may_write(webhook, &webhook->hook_ms))
        webhook->hook_call = kube_request(
            webhook->keeper->client, "PATCH",
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/" WEBHOOK_NAME,
            "application/json-patch+json", json_incref(patch), KEEPER_CALL_MS, on_hook_written,
            webhook, &err);
    json_decref(patch);
}

static void on_hook(const char *key, json_t *object, void *arg)
{
    struct kube_webhook *webhook = arg;
    (void)key;
    json_decref(webhook->hook);
    webhook->hook = json_incref(object);
    kube_webhook_check(webhook);
}

static void on_hook_gone(const char *key, void *arg)
{
    struct kube_webhook *webhook = arg;
    (void)key;
    json_decref(webhook->hook);
    webhook->hook = NULL;
}

static void on_hooks_synced(void *arg)
{
    (void)arg;
}

/* --- both ------------------------------------------------------------------------------------- */

void kube_webhook_check(struct kube_webhook *webhook)
{
    if (!webhook->keeper->leading || !webhook->state->ca || !webhook->dns_name)
        return;
    check_secret(webhook);
    check_hook(webhook);
}

static void on_timer(struct timer *timer)
{
    struct kube_webhook *webhook =
        (struct kube_webhook *)(void *)((char *)timer - offsetof(struct kube_webhook, timer));
    look_again(webhook, WEBHOOK_CHECK_MS);
    kube_webhook_check(webhook);
}

enum err_code kube_webhook_start(struct kube_webhook *webhook, struct err *err)
{
    static const struct kube_reflector_events secrets = {
        .on_object = on_secret, .on_gone = on_secret_gone, .on_synced = on_secrets_synced};
    static const struct kube_reflector_events hooks = {
        .on_object = on_hook, .on_gone = on_hook_gone, .on_synced = on_hooks_synced};
    char path[KEEPER_NAME_MAX * 2];
    snprintf(path, sizeof path,
             "/api/v1/namespaces/%s/secrets?fieldSelector=metadata.name%%3D" WEBHOOK_SECRET,
             webhook->keeper->ns);
    webhook->secrets = kube_reflector_start(webhook->keeper->client, path, &secrets, webhook, err);
    if (webhook->secrets)
        webhook->hooks = kube_reflector_start(
            webhook->keeper->client,
            "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations"
            "?fieldSelector=metadata.name%3D" WEBHOOK_NAME,
            &hooks, webhook, err);
    if (!webhook->hooks)
        return err->code;
    look_again(webhook, WEBHOOK_CHECK_MS);
    return ERR_OK;
}

void kube_webhook_close(struct kube_webhook *webhook)
{
    timer_stop(webhook->timers, &webhook->timer);
    if (webhook->secrets)
        kube_reflector_close(webhook->secrets);
    if (webhook->hooks)
        kube_reflector_close(webhook->hooks);
    if (webhook->secret_call)
        kube_call_cancel(webhook->secret_call);
    if (webhook->hook_call)
        kube_call_cancel(webhook->hook_call);
    json_decref(webhook->hook);
    free(webhook->secret_root);
    webhook->secrets = webhook->hooks = NULL;
    webhook->secret_call = webhook->hook_call = NULL;
    webhook->hook = NULL;
    webhook->secret_root = NULL;
}
