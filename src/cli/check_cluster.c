#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/check.h"
#include "cli/page.h"

enum { KUBE_MINOR_MIN = 29, CLOCK_TOLERATED_S = 10, ACCOUNT_MAX = 200 };

/* --- the API server and its clock ------------------------------------------------------------- */

/* The server dates what it makes, also what it does not keep, in whole seconds. */
static void check_clock(struct check *check)
{
    static const char subject[] = "clock";
    char path[200], theirs_text[CLOCK_TEXT_MAX], ours_text[CLOCK_TEXT_MAX];
    struct api_answer answer;
    struct err err;
    struct tm tm = {0};
    snprintf(path, sizeof path, "/api/v1/namespaces/%s/configmaps?dryRun=All", check->ns);
    json_t *body = json_pack("{s:s, s:s, s:{s:s}}", "apiVersion", "v1", "kind", "ConfigMap",
                             "metadata", "generateName", "handfast-check-");
    int64_t before = clock_wall_s();
    if (api_post(check->api, path, body, &answer, &err) != ERR_OK)
        goto unseen;
    int64_t after = clock_wall_s();
    const char *said = page_text(json_object_get(answer.body, "metadata"), "creationTimestamp");
    if (answer.status / 100 != 2)
        api_refused(&answer, path, &err);
    else if (!said || !strptime(said, "%Y-%m-%dT%H:%M:%SZ", &tm))
        err_set(&err, ERR_RPC_STATUS, "the API server did not date what it made");
    api_answer_deinit(&answer);
    if (err.code != ERR_OK)
        goto unseen;
    int64_t theirs = timegm(&tm);
    int64_t off = theirs < before ? theirs - before : theirs > after ? theirs - after : 0;
    bool well = llabs(off) <= CLOCK_TOLERATED_S;
    finding_add(&check->findings, well ? FINDING_OK : FINDING_WARNING, subject,
                well ? NULL
                     : "let every node have its time from one source (NTP): certificates are "
                       "refused before they begin and after they end",
                "the API server says %s, this machine %s", clock_format(theirs, theirs_text),
                clock_format(after, ours_text));
    return;
unseen:
    finding_add(&check->findings, FINDING_UNKNOWN, subject, NULL, "%s", err.text);
}

bool check_cluster(struct check *check)
{
    static const char subject[] = "cluster";
    struct err err;
    json_t *version;
    if (api_read(check->api, "/version", &version, &err) != ERR_OK) {
        finding_add(&check->findings, FINDING_FAILED, subject,
                    "see that the kubeconfig is for a cluster that runs", "%s", err.text);
        return false;
    }
    long major = strtol(page_text_or(version, "major", "0"), NULL, 10);
    long minor = strtol(page_text_or(version, "minor", "0"), NULL, 10);
    bool native = major > 1 || (major == 1 && minor >= KUBE_MINOR_MIN);
    finding_add(&check->findings, native ? FINDING_OK : FINDING_WARNING, subject,
                native ? NULL
                       : "before 1.29 the proxy is an ordinary container: init containers run "
                         "without it, and Jobs need their application to end first",
                "%s is Kubernetes %s", api_server(check->api),
                page_text_or(version, "gitVersion", "of unknown version"));
    json_decref(version);
    check_clock(check);
    return true;
}

/* --- permissions ------------------------------------------------------------------------------ */

struct need {
    const char *group, *resource, *name, *verbs[5];
    bool own; /* in the namespace of Handfast, not everywhere */
};

static const struct need callers[] = {
    {"", "namespaces", NULL, {"list"}, false},
    {"", "pods", NULL, {"list", "create"}, false},
    {"", "configmaps", "handfast-ca-root-cert", {"get"}, false},
    {"apps", "deployments", NULL, {"get"}, true},
    {"", "pods/proxy", NULL, {"get"}, true},
    {"apiextensions.k8s.io", "customresourcedefinitions", NULL, {"get"}, false},
    {"admissionregistration.k8s.io", "mutatingwebhookconfigurations", NULL, {"get"}, false},
    {"authorization.k8s.io", "subjectaccessreviews", NULL, {"create"}, false},
};

/* What the chart's control-rbac.yaml and injector.yaml give. */
static const struct need controls[] = {
    {"", "pods", NULL, {"list", "watch"}, false},
    {"", "services", NULL, {"list", "watch"}, false},
    {"", "namespaces", NULL, {"list", "watch"}, false},
    {"discovery.k8s.io", "endpointslices", NULL, {"list", "watch"}, false},
    {"handfast.io", "authorizationpolicies", NULL, {"list", "watch"}, false},
    {"handfast.io", "peerauthentications", NULL, {"list", "watch"}, false},
    {"handfast.io", "authorizationpolicies/status", NULL, {"patch"}, false},
    {"handfast.io", "peerauthentications/status", NULL, {"patch"}, false},
    {"authentication.k8s.io", "tokenreviews", NULL, {"create"}, false},
    {"", "configmaps", NULL, {"create"}, false},
    {"", "configmaps", "handfast-ca-root-cert", {"list", "watch", "patch"}, false},
    {"admissionregistration.k8s.io",
     "mutatingwebhookconfigurations",
     "handfast-injector",
     {"list", "watch", "patch"},
     false},
    {"rbac.authorization.k8s.io", "clusterroles", "handfast-control", {"get"}, false},
    {"", "secrets", NULL, {"create"}, true},
    {"", "secrets", "handfast-ca", {"list", "watch", "update"}, true},
    {"", "secrets", "handfast-injector-tls", {"list", "watch", "patch"}, true},
    {"coordination.k8s.io", "leases", NULL, {"create"}, true},
    {"coordination.k8s.io", "leases", "handfast-control", {"get", "update", "patch"}, true},
};

static const struct need injectors[] = {
    {"", "secrets", "handfast-injector-tls", {"list", "watch"}, true},
};

/* ERR_OK and whether `account` (NULL: whoever asks) may. */
static enum err_code may(struct check *check, const char *account, const struct need *need,
                         const char *verb, bool *allowed, struct err *err)
{
    const char *path = account ? "/apis/authorization.k8s.io/v1/subjectaccessreviews"
                               : "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews";
    char resource[80];
    snprintf(resource, sizeof resource, "%s", need->resource);
    char *sub = strchr(resource, '/');
    if (sub)
        *sub++ = 0;
    struct api_answer answer;
    json_t *body = json_pack("{s:s, s:s, s:{s:s*, s:{s:s, s:s, s:s, s:s*, s:s*, s:s*}}}",
                             "apiVersion", "authorization.k8s.io/v1", "kind",
                             account ? "SubjectAccessReview" : "SelfSubjectAccessReview", "spec",
                             "user", account, "resourceAttributes", "group", need->group,
                             "resource", resource, "verb", verb, "subresource", sub, "name",
                             need->name, "namespace", need->own ? check->ns : NULL);
    enum err_code code = api_post(check->api, path, body, &answer, err);
    if (code != ERR_OK)
        return code;
    if (answer.status / 100 != 2)
        code = api_refused(&answer, path, err);
    *allowed = json_is_true(json_object_get(json_object_get(answer.body, "status"), "allowed"));
    api_answer_deinit(&answer);
    return code;
}

static void check_account(struct check *check, const char *subject, const char *account,
                          const struct need *needs, size_t count)
{
    struct names missing = {0};
    struct err err;
    unsigned asked = 0;
    for (size_t i = 0; i < count; i++) {
        for (const char *const *verb = needs[i].verbs; *verb; verb++, asked++) {
            bool allowed = false;
            if (may(check, account, &needs[i], *verb, &allowed, &err) != ERR_OK) {
                finding_add_err(&check->findings, subject, &err);
                return;
            }
            if (!allowed)
                names_add(&missing, "%s %s%s%s", *verb, needs[i].resource, needs[i].name ? " " : "",
                          needs[i].name ? needs[i].name : "");
        }
    }
    if (!missing.count)
        finding_add(&check->findings, FINDING_OK, subject, NULL, "all %u that are needed", asked);
    else if (account)
        finding_add(&check->findings, FINDING_FAILED, subject,
                    "helm upgrade puts the chart's roles and bindings back", "%s may not: %s",
                    account, names_text(&missing));
    else
        finding_add(&check->findings, FINDING_WARNING, subject,
                    "what you may not look at is not checked", "you may not: %s",
                    names_text(&missing));
}

#define NEEDS(list) list, sizeof list / sizeof list[0]

void check_permissions(struct check *check)
{
    char account[ACCOUNT_MAX];
    check_account(check, "your permissions", NULL, NEEDS(callers));
    snprintf(account, sizeof account, "system:serviceaccount:%s:handfast-control", check->ns);
    check_account(check, "the control plane's permissions", account, NEEDS(controls));
    snprintf(account, sizeof account, "system:serviceaccount:%s:handfast-injector", check->ns);
    check_account(check, "the injector's permissions", account, NEEDS(injectors));
}
