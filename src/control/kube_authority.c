#include "control/kube_authority.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/log.h"

enum { PART_MAX = 64 << 10 };

/* --- parts of a Secret ------------------------------------------------------------------------ */

/* The keys of a Secret that cert-manager keeps, in the order of enum ca_part. */
static const char *const foreign_names[CA_PARTS] = {"ca.crt", NULL, "tls.crt", "tls.key", NULL};

static const char *key_of(const struct kube_authority *authority, int part)
{
    return authority->foreign ? foreign_names[part] : ca_part_names[part];
}

static char *decode(const json_t *value)
{
    size_t len = json_string_length(value), got = 0;
    char *text =
        json_is_string(value) && len <= PART_MAX ? malloc(BASE64_BYTES_SIZE(len) + 1) : NULL;
    if (text && base64_decode(json_string_value(value), len, text, &got) && !memchr(text, 0, got)) {
        text[got] = 0;
        return text;
    }
    free(text);
    return NULL;
}

static json_t *encode(const char *text)
{
    size_t len = strlen(text);
    char *base64 = malloc(BASE64_TEXT_SIZE(len));
    json_t *value = base64 ? json_stringn(base64, base64_encode(text, len, base64)) : NULL;
    if (base64)
        explicit_bzero(base64, BASE64_TEXT_SIZE(len));
    free(base64);
    return value;
}

static void adopt(struct kube_authority *authority, json_t *object)
{
    char *parts[CA_PARTS] = {0};
    struct err err = {0};
    const json_t *data = json_object_get(object, "data");
    for (int part = 0; part < CA_PARTS; part++) {
        if (key_of(authority, part))
            parts[part] = decode(json_object_get(data, key_of(authority, part)));
    }
    enum err_code code = ca_state_adopt(authority->state, parts, &err);
    ca_parts_free(parts);
    authority->refused = code != ERR_OK;
    if (code != ERR_OK) {
        LOG_ERROR("authority_refused", F_STR("secret", authority->secret), F_ERR(&err));
        return;
    }
    json_decref(authority->object);
    authority->object = json_incref(object);
    LOG_INFO("authority", F_STR("secret", authority->secret),
             F_STR("kept_by", authority->foreign ? "somebody else" : KEEPER_OWNER));
    authority->on_changed(authority);
}

static void make(struct kube_authority *authority);

static void on_retry(struct timer *timer)
{
    make((struct kube_authority *)(void *)((char *)timer - offsetof(struct kube_authority, retry)));
}

static void make_later(struct kube_authority *authority)
{
    timer_start(authority->timers, &authority->retry, AUTHORITY_RETRY_MS, on_retry);
}

/* --- making it -------------------------------------------------------------------------------- */

static void on_made(const struct kube_answer *answer, const struct err *err, void *arg)
{
    struct kube_authority *authority = arg;
    authority->call = NULL;
    if (err->code == ERR_OK && answer->status == 409)
        return; /* another replica was first; its Secret comes by the watch */
    if (kube_keeper_result(authority->keeper, answer, err, "the authority's Secret") == ERR_OK)
        LOG_INFO("authority_made", F_STR("secret", authority->secret));
    else
        make_later(authority);
}

static json_t *new_secret(struct kube_authority *authority, struct err *err)
{
    char *parts[CA_PARTS] = {0};
    json_t *secret = NULL, *data = json_object();
    bool whole = data && ca_parts_make(parts, err) == ERR_OK;
    for (int part = 0; whole && part < CA_PARTS; part++) {
        if (part != CA_TOKEN_KEY) /* the cluster's tokens are not ours to sign */
            whole = json_object_set_new(data, ca_part_names[part], encode(parts[part])) == 0;
    }
    ca_parts_free(parts);
    if (whole)
        secret = kube_keeper_object(authority->keeper, "v1", "Secret", authority->keeper->ns,
                                    authority->secret);
    if (secret && (json_object_set(secret, "data", data) < 0 ||
                   json_object_set_new(secret, "type", json_string("Opaque")) < 0)) {
        json_decref(secret);
        secret = NULL;
    }
    json_decref(data);
    return secret;
}

static void make(struct kube_authority *authority)
{
    char path[KEEPER_NAME_MAX];
    struct err err = {0};
    if (authority->call || authority->object)
        return;
    if (authority->foreign) {
        LOG_WARN("authority_missing", F_STR("secret", authority->secret));
        return;
    }
    json_t *secret = new_secret(authority, &err);
    snprintf(path, sizeof path, "/api/v1/namespaces/%s/secrets", authority->keeper->ns);
    if (secret)
        authority->call = kube_request(authority->keeper->client, "POST", path, NULL, secret,
                                       KEEPER_CALL_MS, on_made, authority, &err);
    if (authority->call)
        return;
    if (err.code == ERR_OK)
        err_set(&err, ERR_NO_MEMORY, "no memory for a Secret");
    LOG_ERROR("authority_not_made", F_ERR(&err));
    make_later(authority);
}

/* --- following it ----------------------------------------------------------------------------- */

static void on_object(const char *key, json_t *object, void *arg)
{
    (void)key;
    adopt(arg, object);
}

/* Its owner is being uninstalled, or somebody made a mistake that a new root would only make worse:
 * what is in use stays. One that was never in use makes room for a good one. */
static void on_gone(const char *key, void *arg)
{
    struct kube_authority *authority = arg;
    (void)key;
    LOG_ERROR("authority_deleted", F_STR("secret", authority->secret));
    make(authority);
}

static void on_synced(void *arg)
{
    struct kube_authority *authority = arg;
    if (!authority->refused)
        make(authority);
}

enum err_code kube_authority_start(struct kube_authority *authority, struct err *err)
{
    static const struct kube_reflector_events events = {
        .on_object = on_object, .on_gone = on_gone, .on_synced = on_synced};
    char path[KEEPER_NAME_MAX * 2];
    snprintf(path, sizeof path, "/api/v1/namespaces/%s/secrets?fieldSelector=metadata.name%%3D%s",
             authority->keeper->ns, authority->secret);
    authority->reflector =
        kube_reflector_start(authority->keeper->client, path, &events, authority, err);
    return authority->reflector ? ERR_OK : err->code;
}

/* --- renewing it ------------------------------------------------------------------------------ */

static void on_renewed(const struct kube_answer *answer, const struct err *err, void *arg)
{
    struct kube_authority *authority = arg;
    authority->call = NULL;
    kube_keeper_result(authority->keeper, answer, err, "the renewed issuing certificate");
}

/* The whole object goes back with its resourceVersion, so that a change in between is not lost. */
void kube_authority_renew(struct kube_authority *authority)
{
    char path[KEEPER_NAME_MAX * 2], *pem = NULL;
    struct err err = {0};
    if (authority->call || !authority->object || authority->foreign)
        return;
    if (ca_state_issuer_if_due(authority->state, &pem, &err) != ERR_OK)
        LOG_ERROR("authority_not_renewed", F_ERR(&err));
    if (!pem)
        return;
    json_t *next = json_deep_copy(authority->object);
    snprintf(path, sizeof path, "/api/v1/namespaces/%s/secrets/%s", authority->keeper->ns,
             authority->secret);
    if (next && json_object_set_new(json_object_get(next, "data"), ca_part_names[CA_ISSUER],
                                    encode(pem)) == 0)
        authority->call =
            kube_request(authority->keeper->client, "PUT", path, NULL, json_incref(next),
                         KEEPER_CALL_MS, on_renewed, authority, &err);
    json_decref(next);
    free(pem);
}

void kube_authority_close(struct kube_authority *authority)
{
    timer_stop(authority->timers, &authority->retry);
    if (authority->reflector)
        kube_reflector_close(authority->reflector);
    if (authority->call)
        kube_call_cancel(authority->call);
    json_decref(authority->object);
    authority->reflector = NULL;
    authority->call = NULL;
    authority->object = NULL;
}
