#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "cli/check.h"
#include "cli/page.h"
#include "tls/cert_info.h"

#define CRD_VERSION "v1"

enum { ROOT_SOON_S = 30 * 86400 };

/* --- the resources ---------------------------------------------------------------------------- */

static bool serves(const json_t *crd)
{
    size_t at;
    const json_t *version;
    json_array_foreach(json_object_get(json_object_get(crd, "spec"), "versions"), at, version)
    {
        if (strcmp(page_text_or(version, "name", ""), CRD_VERSION) == 0)
            return json_is_true(json_object_get(version, "served"));
    }
    return false;
}

static bool is_established(const json_t *crd)
{
    size_t at;
    const json_t *condition;
    json_array_foreach(json_object_get(json_object_get(crd, "status"), "conditions"), at, condition)
    {
        if (strcmp(page_text_or(condition, "type", ""), "Established") == 0)
            return strcmp(page_text_or(condition, "status", ""), "True") == 0;
    }
    return false;
}

static void check_crd(struct check *check, const char *name)
{
    char path[200];
    json_t *crd;
    struct err err;
    struct findings *findings = &check->findings;
    snprintf(path, sizeof path, "/apis/apiextensions.k8s.io/v1/customresourcedefinitions/%s", name);
    enum err_code code = api_read(check->api, path, &crd, &err);
    if (code == ERR_NOT_FOUND) {
        finding_add(findings, FINDING_FAILED, name,
                    "helm upgrade with crds.install=true makes it; without it there are no such "
                    "policies and the control plane does not start",
                    "the cluster has no such resource (CustomResourceDefinition)");
        return;
    }
    if (code != ERR_OK) {
        finding_add_err(findings, name, &err);
        return;
    }
    if (!serves(crd) || !is_established(crd))
        finding_add(findings, FINDING_FAILED, name, "helm upgrade puts the chart's own back",
                    "the cluster does not serve version " CRD_VERSION " of it");
    else
        finding_add(findings, FINDING_OK, name, NULL, "version " CRD_VERSION " is served");
    json_decref(crd);
}

void check_crds(struct check *check)
{
    check_crd(check, "authorizationpolicies.handfast.io");
    check_crd(check, "peerauthentications.handfast.io");
}

/* --- the programs ----------------------------------------------------------------------------- */

static void check_deployment(struct check *check, const char *name)
{
    char path[300], advice[300];
    json_t *deployment;
    struct err err;
    snprintf(path, sizeof path, "/apis/apps/v1/namespaces/%s/deployments/%s", check->ns, name);
    enum err_code code = api_read(check->api, path, &deployment, &err);
    if (code == ERR_NOT_FOUND) {
        finding_add(&check->findings, FINDING_FAILED, name,
                    "install the chart, or name its namespace with --namespace",
                    "there is no such Deployment in namespace %s", check->ns);
        return;
    }
    if (code != ERR_OK) {
        finding_add_err(&check->findings, name, &err);
        return;
    }
    int64_t wanted = page_int(json_object_get(deployment, "spec"), "replicas", 1);
    int64_t ready = page_int(json_object_get(deployment, "status"), "readyReplicas", 0);
    snprintf(advice, sizeof advice, "kubectl -n %s describe pods -l app.kubernetes.io/name=%s",
             check->ns, name);
    finding_add(&check->findings,
                ready >= wanted && ready > 0 ? FINDING_OK
                : ready > 0                  ? FINDING_WARNING
                                             : FINDING_FAILED,
                name, ready >= wanted && ready > 0 ? NULL : advice,
                "%lld of %lld replicas are ready", (long long)ready, (long long)wanted);
    json_decref(deployment);
}

static const char *version_of(const json_t *pod)
{
    return page_text_or(json_object_get(json_object_get(pod, "metadata"), "labels"),
                        "app.kubernetes.io/version", "unknown");
}

/* Each replica is asked itself: a Deployment may be ready because of the other one. */
static void check_replicas(struct check *check)
{
    static const char subject[] = "control plane replicas";
    struct names well = {0}, ill = {0};
    json_t *list;
    struct err err;
    size_t at;
    const json_t *pod;
    const char *version = NULL;
    bool mixed = false;
    if (api_control_pods(check->api, check->ns, &list, &err) != ERR_OK) {
        finding_add_err(&check->findings, subject, &err);
        return;
    }
    json_array_foreach(json_object_get(list, "items"), at, pod)
    {
        struct api_answer answer;
        const char *name = page_text_or(json_object_get(pod, "metadata"), "name", "");
        if (api_control_get(check->api, check->ns, name, "/healthz/ready", &answer, &err) != ERR_OK)
            answer = (struct api_answer){0};
        else
            api_answer_deinit(&answer);
        if (answer.status == 403)
            names_add(&ill, "%s (you may not ask it)", name);
        else if (answer.status / 100 != 2)
            names_add(&ill, "%s (/healthz/ready says %d)", name, answer.status);
        else
            names_add(&well, "%s %s", name, version_of(pod));
        mixed = mixed || (version && strcmp(version, version_of(pod)) != 0);
        version = version_of(pod);
    }
    if (ill.count || mixed)
        finding_add(&check->findings, FINDING_WARNING, subject,
                    mixed ? "an upgrade is under way, or has stopped half way"
                          : "kubectl logs of these pods say what they wait for",
                    "well: %s; not well: %s", well.count ? names_text(&well) : "none",
                    ill.count ? names_text(&ill) : "none");
    else if (well.count)
        finding_add(&check->findings, FINDING_OK, subject, NULL, "%s", names_text(&well));
    json_decref(list);
}

void check_programs(struct check *check)
{
    check_deployment(check, "handfast-control");
    check_replicas(check);
    check_deployment(check, "handfast-injector");
}

/* --- trust ------------------------------------------------------------------------------------ */

void check_trust_root(struct check *check)
{
    static const char subject[] = "trust bundle";
    static const char advice[] = "the control plane makes it: see its log";
    char path[300], until[CLOCK_TEXT_MAX];
    json_t *map;
    struct err err;
    struct cert_info info;
    snprintf(path, sizeof path, "/api/v1/namespaces/%s/configmaps/handfast-ca-root-cert",
             check->ns);
    if (api_read(check->api, path, &map, &err) != ERR_OK) {
        finding_add_err(&check->findings, subject, &err);
        return;
    }
    json_t *pem = json_object_get(json_object_get(map, "data"), "root-cert.pem");
    if (!json_is_string(pem) ||
        cert_info_parse(&info, json_string_value(pem), json_string_length(pem), &err) != ERR_OK) {
        finding_add(&check->findings, FINDING_FAILED, subject, advice,
                    "ConfigMap handfast-ca-root-cert in %s has no certificate in root-cert.pem",
                    check->ns);
    } else {
        int64_t left = info.not_after_s - clock_wall_s();
        check->trust = json_incref(pem);
        finding_add(&check->findings,
                    left <= 0            ? FINDING_FAILED
                    : left < ROOT_SOON_S ? FINDING_WARNING
                                         : FINDING_OK,
                    subject, left < ROOT_SOON_S ? "the root has to be replaced" : NULL,
                    "the root %s is valid until %s", info.subject,
                    clock_format(info.not_after_s, until));
    }
    json_decref(map);
}

/* --- the webhook ------------------------------------------------------------------------------ */

/* What the API server checks the injector against, malloc'd, or NULL. */
static char *ca_bundle(const json_t *webhook)
{
    const char *text = page_text(json_object_get(webhook, "clientConfig"), "caBundle");
    size_t len = text ? strlen(text) : 0, bytes;
    char *pem = len ? malloc(BASE64_BYTES_SIZE(len) + 1) : NULL;
    if (!pem || !base64_decode(text, len, pem, &bytes)) {
        free(pem);
        return NULL;
    }
    pem[bytes] = 0;
    return pem;
}

static void check_bundle(struct check *check, const json_t *webhook)
{
    static const char subject[] = "webhook configuration";
    static const char advice[] =
        "the control plane fills it in: see the log of the replica that leads";
    char *pem = ca_bundle(webhook);
    if (!pem)
        finding_add(&check->findings, FINDING_FAILED, subject, advice,
                    "caBundle is empty, so the API server cannot call the injector and no pod "
                    "starts in a namespace that asks for sidecars");
    else if (check->trust && strcmp(pem, json_string_value(check->trust)) != 0)
        finding_add(&check->findings, FINDING_WARNING, subject, advice,
                    "caBundle is not the trust bundle; whether the injector's certificate is "
                    "believed is what the webhook's answer shows");
    else
        finding_add(&check->findings, FINDING_OK, subject, NULL, "caBundle is the trust bundle");
    free(pem);
}

void check_webhook(struct check *check)
{
    static const char subject[] = "webhook configuration";
    json_t *configuration;
    struct err err;
    enum err_code code = api_read(check->api,
                                  "/apis/admissionregistration.k8s.io/v1/"
                                  "mutatingwebhookconfigurations/handfast-injector",
                                  &configuration, &err);
    if (code == ERR_NOT_FOUND) {
        finding_add(&check->findings, FINDING_FAILED, subject, "helm upgrade makes it",
                    "there is no MutatingWebhookConfiguration handfast-injector: new pods get no "
                    "sidecar");
        return;
    }
    if (code != ERR_OK) {
        finding_add_err(&check->findings, subject, &err);
        return;
    }
    check_bundle(check, json_array_get(json_object_get(configuration, "webhooks"), 0));
    json_decref(configuration);
}
