#include "control/kube_keeper.h"

#include <stdio.h>

#include "base/log.h"

void kube_keeper_set_owner(struct kube_keeper *keeper, const struct kube_answer *answer)
{
    const json_t *metadata = json_object_get(answer->body, "metadata");
    const char *uid = json_string_value(json_object_get(metadata, "uid"));
    json_decref(keeper->owner);
    keeper->owner = NULL;
    if (answer->status == 200 && uid)
        keeper->owner =
            json_pack("[{s:s, s:s, s:s, s:s}]", "apiVersion", "rbac.authorization.k8s.io/v1",
                      "kind", "ClusterRole", "name", KEEPER_OWNER, "uid", uid);
    if (!keeper->owner)
        LOG_WARN("no_owner", F_STR("cluster_role", KEEPER_OWNER), F_INT("status", answer->status));
}

void kube_keeper_deinit(struct kube_keeper *keeper)
{
    json_decref(keeper->owner);
    keeper->owner = NULL;
}

json_t *kube_keeper_object(const struct kube_keeper *keeper, const char *version, const char *kind,
                           const char *ns, const char *name)
{
    json_t *object =
        json_pack("{s:s, s:s, s:{s:s, s:s*, s:{s:s, s:s}}}", "apiVersion", version, "kind", kind,
                  "metadata", "name", name, "namespace", ns, "labels", "app.kubernetes.io/part-of",
                  "handfast", "app.kubernetes.io/managed-by", KEEPER_OWNER);
    if (object && keeper->owner &&
        json_object_set(json_object_get(object, "metadata"), "ownerReferences", keeper->owner) <
            0) {
        json_decref(object);
        object = NULL;
    }
    return object;
}

struct kube_call *kube_keeper_apply(struct kube_keeper *keeper, const char *path, json_t *object,
                                    kube_on_answer on_answer, void *arg, struct err *err)
{
    char full[KEEPER_NAME_MAX * 2];
    if (!object) {
        if (err->code == ERR_OK)
            err_set(err, ERR_NO_MEMORY, "no memory for an object");
        return NULL;
    }
    snprintf(full, sizeof full, "%s%cfieldManager=" KEEPER_OWNER "&force=true", path, '?');
    return kube_request(keeper->client, "PATCH", full, "application/apply-patch+yaml", object,
                        KEEPER_CALL_MS, on_answer, arg, err);
}

enum err_code kube_keeper_result(struct kube_keeper *keeper, const struct kube_answer *answer,
                                 const struct err *err, const char *what)
{
    char said[256];
    struct err reason = *err;
    if (err->code == ERR_OK && answer->status >= 200 && answer->status < 300) {
        keeper->written++;
        return ERR_OK;
    }
    if (err->code == ERR_OK)
        err_set(&reason, ERR_RPC_STATUS, "the API server answered %d: %s", answer->status,
                kube_status_message(answer->body, said, sizeof said));
    keeper->failures++;
    LOG_LIMITED(LOG_LEVEL_WARN, 5, "not_written", F_STR("object", what), F_ERR(&reason));
    return reason.code;
}
