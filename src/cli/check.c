#include "cli/check.h"

#include <string.h>

#include "cli/verb.h"

/* It goes into paths. */
static bool is_label(const char *name)
{
    size_t len = strspn(name, "abcdefghijklmnopqrstuvwxyz0123456789-");
    return len > 0 && len <= 63 && !name[len];
}

int verb_check(const struct verb_options *options, struct err *err)
{
    struct check check = {.ns = options->ns};
    if (!is_label(options->ns)) {
        err_set(err, ERR_USAGE, "--namespace: '%.80s' is not the name of a namespace", options->ns);
        return VERB_USAGE;
    }
    if (api_open(&check.api, options->kubeconfig, err) != ERR_OK)
        return VERB_FAILED;
    findings_init(&check.findings);
    if (check_cluster(&check)) {
        check_permissions(&check);
        check_crds(&check);
        check_programs(&check);
        check_trust_root(&check);
        check_webhook(&check);
        check_namespaces(&check);
    }
    findings_print(&check.findings, options->json);
    unsigned failed = check.findings.count[FINDING_FAILED];
    if (failed)
        err_set(err, ERR_INVALID, "%u of the checks failed", failed);
    json_decref(check.trust);
    findings_deinit(&check.findings);
    api_close(check.api);
    return failed ? VERB_FAILED : VERB_DONE;
}
