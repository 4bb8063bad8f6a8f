#include "injector/inject.h"

#include <string.h>

#include "injector/patch.h"
#include "kit.h"
#include "suite.h"

#define POD(metadata, spec) "{'metadata': {'name': 'p'" metadata "}, 'spec': {" spec "}}"
#define WEB "'containers': [{'name': 'web', 'image': 'web'}]"
#define SIMPLE POD("", WEB)

static const char status[] = "handfast.io/status";

/* --- the whole pod ---------------------------------------------------------------------------- */

static void expect_file(const char *name)
{
    struct inject_result result;
    json_t *file = kit_file(name), *pod = json_object_get(file, "pod");
    kit_inject_json(pod, json_string_value(json_object_get(file, "kube_version")), &result);
    CU_ASSERT_EQUAL(result.outcome, INJECT_DONE);
    CU_ASSERT(json_equal(result.warnings, json_object_get(file, "warnings")));
    CU_ASSERT_FATAL(patch_apply(pod, result.patch));
    bool same = json_equal(pod, json_object_get(file, "expected"));
    if (!same)
        json_dumpf(pod, stdout, JSON_INDENT(2));
    CU_ASSERT(same);
    inject_result_deinit(&result);
    json_decref(file);
}

static void pods_become_what_the_files_say(void)
{
    expect_file("plain");
    expect_file("rich");
    expect_file("classic");
}

static void redirect_and_proxy_come_before_every_other_init_container(void)
{
    json_t *pod = kit_injected(
        POD("", WEB ", 'initContainers': [{'name': 'migrate'}, {'name': 'warm'}]"), NULL, NULL);
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/initContainers/0/name"), "handfast-redirect");
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/initContainers/1/name"), "handfast-proxy");
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/initContainers/1/restartPolicy"), "Always");
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/initContainers/2/name"), "migrate");
    CU_ASSERT_EQUAL(json_array_size(kit_at(pod, "/spec/containers")), 1);
    json_decref(pod);
}

static void redirect_has_net_admin_and_nothing_else_and_the_proxy_has_nothing(void)
{
    json_t *pod = kit_injected(SIMPLE, NULL, NULL);
    json_t *redirect = kit_at(pod, "/spec/initContainers/0/securityContext"),
           *proxy = kit_at(pod, "/spec/initContainers/1/securityContext"),
           *want_redirect = kit_json(
               "{'runAsUser': 0, 'runAsGroup': 0, 'runAsNonRoot': false,"
               " 'allowPrivilegeEscalation': false, 'privileged': false,"
               " 'readOnlyRootFilesystem': true, 'seccompProfile': {'type': 'RuntimeDefault'},"
               " 'capabilities': {'drop': ['ALL'], 'add': ['NET_ADMIN']}}"),
           *want_proxy = kit_json(
               "{'runAsUser': 1337, 'runAsGroup': 1337, 'runAsNonRoot': true,"
               " 'allowPrivilegeEscalation': false, 'privileged': false,"
               " 'readOnlyRootFilesystem': true, 'seccompProfile': {'type': 'RuntimeDefault'},"
               " 'capabilities': {'drop': ['ALL']}}");
    CU_ASSERT(json_equal(redirect, want_redirect));
    CU_ASSERT(json_equal(proxy, want_proxy));
    json_decref(want_redirect);
    json_decref(want_proxy);
    json_decref(pod);
}

static void without_native_sidecars_the_redirect_is_last_and_the_proxy_is_a_container(void)
{
    json_t *pod = kit_injected(
        POD("", WEB ", 'initContainers': [{'name': 'migrate'}], 'restartPolicy': 'Always'"),
        "v1.28.9", "run before the redirect");
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/initContainers/0/name"), "migrate");
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/initContainers/1/name"), "handfast-redirect");
    CU_ASSERT_EQUAL(json_array_size(kit_at(pod, "/spec/initContainers")), 2);
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/containers/0/name"), "handfast-proxy");
    CU_ASSERT_PTR_NULL(kit_at(pod, "/spec/containers/0/restartPolicy"));
    CU_ASSERT_PTR_NULL(kit_at(pod, "/spec/containers/0/startupProbe"));
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/containers/0/lifecycle/postStart/exec/command/1"),
                           "wait");
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/containers/0/lifecycle/preStop/exec/command/1"),
                           "outlive");
    json_t *annotations = kit_at(pod, "/metadata/annotations");
    CU_ASSERT_STRING_EQUAL(
        json_string_value(json_object_get(annotations, "kubectl.kubernetes.io/default-container")),
        "web");
    json_decref(pod);
}

static void native_sidecars_are_a_question_of_version_and_of_choice(void)
{
    static const struct {
        const char *version, *choice;
        bool native;
        const char *warning;
    } rows[] = {
        {NULL, NULL, true, NULL},
        {"1.29", NULL, true, NULL},
        {"v1.34.4", NULL, true, NULL},
        {"v2.0.0", NULL, true, NULL},
        {"v1.28.15", NULL, false, NULL},
        {"1.28+", NULL, false, NULL},
        {"1.34", "false", false, NULL},
        {"1.34", "true", true, NULL},
        {"1.28", "true", false, "this cluster has no native sidecars"},
    };
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++) {
        json_t *pod = kit_json(SIMPLE);
        struct inject_result result;
        if (rows[i].choice)
            json_object_set_new(json_object_get(pod, "metadata"), "annotations",
                                json_pack("{s:s}", "handfast.io/native-sidecar", rows[i].choice));
        kit_inject_json(pod, rows[i].version, &result);
        CU_ASSERT_EQUAL_FATAL(result.outcome, INJECT_DONE);
        CU_ASSERT(rows[i].warning ? kit_warned(&result, rows[i].warning)
                                  : json_array_size(result.warnings) == 0);
        CU_ASSERT_FATAL(patch_apply(pod, result.patch));
        CU_ASSERT_STRING_EQUAL(kit_text(pod, rows[i].native ? "/spec/initContainers/1/name"
                                                            : "/spec/containers/0/name"),
                               "handfast-proxy");
        inject_result_deinit(&result);
        json_decref(pod);
    }
}

static void jobs_pods_are_warned_of_only_without_native_sidecars(void)
{
    const char *const job = POD(", 'ownerReferences': [{'kind': 'Job', 'name': 'j'}]", WEB);
    const char *const once = POD("", WEB ", 'restartPolicy': 'Never'");
    json_decref(kit_injected(job, NULL, NULL));
    json_decref(kit_injected(job, "1.28", "never completes"));
    json_decref(kit_injected(once, "1.28", "never completes"));
    json_decref(kit_injected(once, NULL, NULL));
}

static void proxys_deadline_is_the_pods(void)
{
    json_t *pod = kit_injected(POD("", WEB ", 'terminationGracePeriodSeconds': 300"), NULL, NULL);
    json_t *args = kit_at(pod, "/spec/initContainers/1/args");
    const char *last = json_string_value(json_array_get(args, json_array_size(args) - 1));
    CU_ASSERT_STRING_EQUAL(last, "--drain-ms=300000");
    json_decref(pod);
    pod = kit_injected(POD("", WEB ", 'terminationGracePeriodSeconds': 60"), "1.28", NULL);
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/containers/0/lifecycle/preStop/exec/command/5"),
                           "59");
    json_decref(pod);
}

static void shared_processes_are_warned_of(void)
{
    json_decref(kit_injected(POD("", WEB ", 'shareProcessNamespace': true"), NULL,
                             "can read the proxy's private key"));
}

/* --- injected twice --------------------------------------------------------------------------- */

static void what_is_injected_is_left_alone(void)
{
    static const char *const versions[] = {"1.34", "1.28"};
    for (int i = 0; i < 2; i++) {
        struct inject_result result;
        json_t *pod = kit_injected(SIMPLE, versions[i], NULL);
        kit_inject_json(pod, versions[i], &result);
        CU_ASSERT_EQUAL(result.outcome, INJECT_ALREADY);
        CU_ASSERT_EQUAL(json_array_size(result.patch), 0);
        CU_ASSERT_EQUAL(json_array_size(result.warnings), 0);
        inject_result_deinit(&result);
        json_decref(pod);
    }
}

static void status_says_what_was_added(void)
{
    json_t *pod = kit_injected(SIMPLE, NULL, NULL);
    const char *text =
        json_string_value(json_object_get(kit_at(pod, "/metadata/annotations"), status));
    json_t *have = json_loads(text, 0, NULL),
           *want = kit_json(
               "{'version': '" HANDFAST_VERSION "', 'initContainers': ['handfast-redirect', "
               "'handfast-proxy'], 'containers': [], 'volumes': ['handfast-run', 'handfast-token', "
               "'handfast-trust']}");
    CU_ASSERT(json_equal(have, want));
    json_decref(have);
    json_decref(want);
    json_decref(pod);
}

static void a_status_without_the_proxy_makes_nobody_exempt(void)
{
    json_t *pod =
        kit_injected(POD(", 'annotations': {'handfast.io/status': '{}'}", WEB), NULL, NULL);
    CU_ASSERT_STRING_EQUAL(kit_text(pod, "/spec/initContainers/1/name"), "handfast-proxy");
    CU_ASSERT(
        strstr(json_string_value(json_object_get(kit_at(pod, "/metadata/annotations"), status)),
               "version") != NULL);
    json_decref(pod);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(pods_become_what_the_files_say),
        SUITE_CASE(redirect_and_proxy_come_before_every_other_init_container),
        SUITE_CASE(redirect_has_net_admin_and_nothing_else_and_the_proxy_has_nothing),
        SUITE_CASE(without_native_sidecars_the_redirect_is_last_and_the_proxy_is_a_container),
        SUITE_CASE(native_sidecars_are_a_question_of_version_and_of_choice),
        SUITE_CASE(jobs_pods_are_warned_of_only_without_native_sidecars),
        SUITE_CASE(proxys_deadline_is_the_pods),
        SUITE_CASE(shared_processes_are_warned_of),
        SUITE_CASE(what_is_injected_is_left_alone),
        SUITE_CASE(status_says_what_was_added),
        SUITE_CASE(a_status_without_the_proxy_makes_nobody_exempt),
        SUITE_END,
    };
    return suite_main("injector.inject", cases, argc, argv);
}
