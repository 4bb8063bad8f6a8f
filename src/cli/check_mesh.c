#include <stdio.h>
#include <string.h>

#include "cli/check.h"
#include "cli/page.h"
#include "injector/sidecar.h"

bool check_has_container(const json_t *pod, const char *kind, const char *name)
{
    size_t at;
    const json_t *container;
    json_array_foreach(json_object_get(json_object_get(pod, "spec"), kind), at, container)
    {
        if (strcmp(page_text_or(container, "name", ""), name) == 0)
            return true;
    }
    return false;
}

static bool has_sidecar(const json_t *pod)
{
    return check_has_container(pod, "initContainers", SIDECAR_PROXY) ||
           check_has_container(pod, "containers", SIDECAR_PROXY);
}

/* --- the webhook's answer --------------------------------------------------------------------- */

void check_dry_run(struct check *check, const char *ns)
{
    static const char subject[] = "webhook";
    char path[200];
    struct api_answer answer;
    struct err err;
    snprintf(path, sizeof path, "/api/v1/namespaces/%s/pods?dryRun=All", ns);
    json_t *body = json_pack("{s:s, s:s, s:{s:s}, s:{s:b, s:[{s:s, s:s}]}}", "apiVersion", "v1",
                             "kind", "Pod", "metadata", "generateName", "handfast-check-", "spec",
                             "automountServiceAccountToken", 0, "containers", "name", "app",
                             "image", "handfast-check");
    if (api_post(check->api, path, body, &answer, &err) != ERR_OK) {
        finding_add_err(&check->findings, subject, &err);
        return;
    }
    if (answer.status / 100 != 2) {
        api_refused(&answer, path, &err);
        finding_add(&check->findings, FINDING_FAILED, subject,
                    "no pod starts in this namespace until this is mended", "%s", err.text);
    } else if (!has_sidecar(answer.body)) {
        finding_add(&check->findings, FINDING_FAILED, subject,
                    "see the webhook's configuration and the injector's log",
                    "a pod that was made in %s for trial got no sidecar", ns);
    } else {
        finding_add(&check->findings, FINDING_OK, subject, NULL,
                    "a pod that was made in %s for trial got its sidecar: the API server believes "
                    "the injector's certificate",
                    ns);
    }
    api_answer_deinit(&answer);
}

/* --- kernels ---------------------------------------------------------------------------------- */

static void look_at_redirect(const json_t *pod, json_t *well, struct names *ill)
{
    size_t at;
    const json_t *status;
    const json_t *metadata = json_object_get(pod, "metadata");
    json_array_foreach(json_object_get(json_object_get(pod, "status"), "initContainerStatuses"), at,
                       status)
    {
        if (strcmp(page_text_or(status, "name", ""), SIDECAR_REDIRECT) != 0)
            continue;
        const char *node = page_text_or(json_object_get(pod, "spec"), "nodeName", "?");
        const json_t *ended = json_object_get(json_object_get(status, "state"), "terminated");
        const json_t *last = json_object_get(json_object_get(status, "lastState"), "terminated");
        const json_t *bad = ended ? ended : last;
        if (ended && page_int(ended, "exitCode", 1) == 0)
            json_object_set_new(well, node, json_true());
        else if (bad && page_int(bad, "exitCode", 0) != 0)
            names_add(ill, "%s of pod %s/%s: %.120s", node, page_text_or(metadata, "namespace", ""),
                      page_text_or(metadata, "name", ""),
                      page_text_or(bad, "message", "no message"));
    }
}

void check_kernels(struct check *check, const json_t *pods)
{
    static const char subject[] = "nodes' kernels (nf_tables, nft_redir)";
    struct names ill = {0}, nodes = {0};
    json_t *well = json_object();
    size_t at;
    const json_t *pod, *one;
    const char *node;
    json_array_foreach(pods, at, pod) look_at_redirect(pod, well, &ill);
    json_object_foreach(well, node, one) names_add(&nodes, "%s", node);
    if (ill.count)
        finding_add(&check->findings, FINDING_FAILED, subject,
                    "load the modules on the node: modprobe -a nf_tables nft_redir nft_ct nft_nat",
                    "the redirect failed on %s", names_text(&ill));
    else if (nodes.count)
        finding_add(&check->findings, FINDING_OK, subject, NULL,
                    "the redirect of pods that are there was installed on %s", names_text(&nodes));
    else
        finding_add(&check->findings, FINDING_UNKNOWN, subject, NULL,
                    "no pod with a sidecar shows what they can, and from here one cannot look");
    json_decref(well);
}

/* --- namespaces ------------------------------------------------------------------------------- */

static bool label_says_no(const json_t *metadata)
{
    const char *said = page_text_or(json_object_get(metadata, "labels"), "handfast.io/inject", "");
    return strcmp(said, "false") == 0 || strcmp(said, "disabled") == 0;
}

static bool is_over(const json_t *pod)
{
    const char *phase = page_text_or(json_object_get(pod, "status"), "phase", "");
    return strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0 ||
           page_text(json_object_get(pod, "metadata"), "deletionTimestamp");
}

struct tally {
    unsigned with;
    struct names without, unmeshed, differs; /* pods, pods on their host's network, namespaces */
};

static void count_pods(const json_t *pods, struct tally *tally)
{
    size_t at;
    const json_t *pod;
    json_array_foreach(pods, at, pod)
    {
        const json_t *metadata = json_object_get(pod, "metadata");
        const char *ns = page_text_or(metadata, "namespace", "");
        const char *name = page_text_or(metadata, "name", "");
        if (is_over(pod) || label_says_no(metadata))
            continue;
        if (has_sidecar(pod))
            tally->with++;
        else if (json_is_true(json_object_get(json_object_get(pod, "spec"), "hostNetwork")))
            names_add(&tally->unmeshed, "%s/%s", ns, name);
        else
            names_add(&tally->without, "%s/%s", ns, name);
    }
}

/* False: the pods could not be seen. */
static bool look_at_namespace(struct check *check, const char *ns, struct tally *tally, json_t *all)
{
    char path[300];
    json_t *found;
    struct err err;
    snprintf(path, sizeof path, "/api/v1/namespaces/%s/configmaps/handfast-ca-root-cert", ns);
    enum err_code code = api_read(check->api, path, &found, &err);
    if (code == ERR_OK) {
        const json_t *pem = json_object_get(json_object_get(found, "data"), "root-cert.pem");
        if (check->trust && !json_equal(pem, check->trust))
            names_add(&tally->differs, "%s (another bundle)", ns);
        json_decref(found);
    } else {
        names_add(&tally->differs, "%s (%s)", ns, code == ERR_NOT_FOUND ? "none" : err.text);
    }
    snprintf(path, sizeof path, "/api/v1/namespaces/%s/pods", ns);
    if (api_read(check->api, path, &found, &err) != ERR_OK) {
        finding_add_err(&check->findings, "pods", &err);
        return false;
    }
    count_pods(json_object_get(found, "items"), tally);
    json_array_extend(all, json_object_get(found, "items"));
    json_decref(found);
    return true;
}

static void say_tally(struct check *check, unsigned namespaces, struct tally *tally)
{
    struct findings *findings = &check->findings;
    if (tally->differs.count)
        finding_add(findings, FINDING_FAILED, "trust bundle of namespaces",
                    "the control plane keeps ConfigMap handfast-ca-root-cert: see its log; pods "
                    "there do not start without it",
                    "not as in %s: %s", check->ns, names_text(&tally->differs));
    else
        finding_add(findings, FINDING_OK, "trust bundle of namespaces", NULL,
                    "the same in all %u that ask for sidecars", namespaces);
    if (tally->without.count)
        finding_add(findings, FINDING_WARNING, "pods",
                    "they were made before the namespace asked, or while the webhook was away: "
                    "kubectl rollout restart makes them anew",
                    "%u have a sidecar, %u have none: %s", tally->with, tally->without.count,
                    names_text(&tally->without));
    else
        finding_add(findings, FINDING_OK, "pods", NULL, "all %u that should have a sidecar do",
                    tally->with);
    if (tally->unmeshed.count)
        finding_add(findings, FINDING_WARNING, "pods on their host's network",
                    "they cannot have a sidecar and speak plaintext", "%s",
                    names_text(&tally->unmeshed));
}

void check_namespaces(struct check *check)
{
    struct tally tally = {0};
    json_t *list;
    struct err err;
    size_t at;
    const json_t *ns;
    const char *first = NULL;
    if (api_read(check->api, "/api/v1/namespaces?labelSelector=handfast.io%2Finject%3Denabled",
                 &list, &err) != ERR_OK) {
        finding_add_err(&check->findings, "namespaces", &err);
        return;
    }
    json_t *all = json_array();
    unsigned count = 0;
    bool seen = true;
    json_array_foreach(json_object_get(list, "items"), at, ns)
    {
        const json_t *phase = json_object_get(json_object_get(ns, "status"), "phase");
        const char *name = page_text(json_object_get(ns, "metadata"), "name");
        if (!name ||
            strcmp(json_is_string(phase) ? json_string_value(phase) : "", "Terminating") == 0)
            continue;
        first = first ? first : name;
        count++;
        seen = look_at_namespace(check, name, &tally, all) && seen;
    }
    if (first) {
        check_dry_run(check, first);
        if (seen)
            say_tally(check, count, &tally);
    } else {
        finding_add(&check->findings, FINDING_UNKNOWN, "webhook", NULL,
                    "no namespace asks for sidecars (label handfast.io/inject=enabled), so nobody "
                    "was asked");
    }
    check_kernels(check, all);
    json_decref(all);
    json_decref(list);
}
