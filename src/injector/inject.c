#include "injector/inject.h"

#include <stdlib.h>
#include <string.h>

#include "injector/conflict.h"
#include "injector/consent.h"
#include "injector/patch.h"
#include "injector/probe.h"
#include "injector/sidecar.h"
#include "injector/warning.h"

/* One injection on its way. */
struct injection {
    const struct settings *settings;
    struct choices choices;
    struct pod pod;
    struct patch patch;
    json_t *warnings;
    bool native, for_job;
};

static enum err_code no_memory(struct err *err)
{
    return err_set(err, ERR_NO_MEMORY, "no memory for an injection");
}

/* --- the patch -------------------------------------------------------------------------------- */

static void add_containers(struct injection *injection, const char *probes)
{
    struct patch *patch = &injection->patch;
    bool inits = injection->pod.init_containers != NULL;
    json_t *redirect = sidecar_redirect(injection->settings, &injection->choices);
    json_t *proxy = sidecar_proxy(injection->settings, &injection->choices, &injection->pod,
                                  injection->native, probes);
    if (!inits)
        patch_add(patch, json_array(), NULL, "/spec/initContainers");
    if (injection->native) {
        patch_add(patch, redirect, NULL, "/spec/initContainers/0");
        patch_add(patch, proxy, NULL, "/spec/initContainers/1");
    } else {
        patch_add(patch, redirect, NULL, "/spec/initContainers/-");
        patch_add(patch, proxy, NULL, "/spec/containers/0");
    }
}

static void add_volumes(struct injection *injection)
{
    size_t index;
    json_t *volume, *volumes = sidecar_volumes(injection->settings);
    if (!volumes)
        injection->patch.failed = true;
    if (!injection->pod.volumes)
        patch_add(&injection->patch, json_array(), NULL, "/spec/volumes");
    json_array_foreach(volumes, index, volume)
        patch_add(&injection->patch, json_incref(volume), NULL, "/spec/volumes/-");
    json_decref(volumes);
}

/* kubectl logs and exec take the first container unless they are told another. */
static void add_annotations(struct injection *injection)
{
    static const char default_container[] = "kubectl.kubernetes.io/default-container";
    struct patch *patch = &injection->patch;
    const struct pod *pod = &injection->pod;
    char *status = sidecar_status(injection->native);
    if (!pod->metadata)
        patch_add(patch, json_object(), NULL, "/metadata");
    if (!pod->annotations)
        patch_add(patch, json_object(), NULL, "/metadata/annotations");
    patch_add(patch, status ? json_string(status) : NULL, CHOICE_STATUS, "/metadata/annotations");
    if (!injection->native && !json_object_get(pod->annotations, default_container))
        patch_add(patch, json_incref(json_object_get(json_array_get(pod->containers, 0), "name")),
                  default_container, "/metadata/annotations");
    free(status);
}

static enum err_code write_patch(struct injection *injection, struct err *err)
{
    char *probes = NULL;
    /* First, while the places of containers are still the pod's. */
    if (choice_true(&injection->choices, CHOICE_REWRITE_PROBES) &&
        probes_rewrite(&injection->pod, &injection->patch, injection->warnings, &probes, err) !=
            ERR_OK)
        return err->code;
    add_containers(injection, probes);
    add_volumes(injection);
    add_annotations(injection);
    free(probes);
    return injection->patch.failed ? no_memory(err) : ERR_OK;
}

/* --- what its author should know -------------------------------------------------------------- */

static bool is_job(const struct injection *injection)
{
    size_t index;
    json_t *owner;
    json_array_foreach(json_object_get(injection->pod.metadata, "ownerReferences"), index, owner)
    {
        const char *kind = pod_text(owner, "kind");
        if (kind && strcmp(kind, "Job") == 0)
            return true;
    }
    return injection->for_job;
}

static void warn(struct injection *injection)
{
    const struct pod *pod = &injection->pod;
    const char *restart = pod_text(pod->spec, "restartPolicy");
    if (json_is_true(json_object_get(pod->spec, "shareProcessNamespace")))
        warning_add(injection->warnings,
                    "the pod's containers share their processes (shareProcessNamespace): one that "
                    "runs as root can read the proxy's private key");
    if (!injection->native && json_array_size(pod->init_containers) > 0)
        warning_add(injection->warnings,
                    "without native sidecars the pod's init containers run before the redirect: "
                    "they reach the network in plaintext and without an identity");
    if (!injection->native && (is_job(injection) || (restart && strcmp(restart, "Always") != 0)))
        warning_add(injection->warnings,
                    "without native sidecars the proxy does not end with the pod's own containers: "
                    "the pod never completes");
    probes_warn_of_hooks(pod, injection->warnings);
}

/* --- the decision ----------------------------------------------------------------------------- */

/* An older server takes a native sidecar for an init container and waits for its end, for ever. */
static bool wants_native(const struct injection *injection)
{
    bool allowed = injection->settings->native_allowed;
    if (!*choice_text(&injection->choices, CHOICE_NATIVE_SIDECAR))
        return allowed;
    bool wanted = choice_true(&injection->choices, CHOICE_NATIVE_SIDECAR);
    if (wanted && !allowed)
        warning_add(injection->warnings,
                    "this cluster has no native sidecars (Kubernetes 1.29 and later have): the "
                    "proxy is added as a container");
    return wanted && allowed;
}

static enum err_code choose(struct injection *injection, struct err *err)
{
    if (!choices_copy(&injection->choices, &injection->settings->defaults))
        return no_memory(err);
    enum err_code code =
        choices_read(&injection->choices, injection->pod.annotations, injection->warnings, err);
    if (code == ERR_OK)
        injection->native = wants_native(injection);
    return code;
}

static enum inject_outcome decide(struct injection *injection, struct err *err)
{
    enum inject_outcome outcome = consent_ask(&injection->pod, injection->warnings, err);
    if (outcome != INJECT_DONE)
        return outcome;
    if (conflict_check(&injection->pod, err) != ERR_OK || choose(injection, err) != ERR_OK ||
        write_patch(injection, err) != ERR_OK)
        return INJECT_REFUSED;
    warn(injection);
    return INJECT_DONE;
}

void inject_pod(json_t *pod, const struct settings *settings, bool for_job,
                struct inject_result *result)
{
    struct injection injection = {.settings = settings, .for_job = for_job};
    *result = (struct inject_result){.outcome = INJECT_REFUSED, .warnings = json_array()};
    choices_init(&injection.choices);
    patch_init(&injection.patch);
    injection.warnings = result->warnings;
    if (!result->warnings || injection.patch.failed)
        no_memory(&result->err);
    else if (pod_read(&injection.pod, pod, &result->err) == ERR_OK)
        result->outcome = decide(&injection, &result->err);
    if (result->outcome == INJECT_DONE)
        result->patch = json_incref(injection.patch.operations);
    else
        result->patch = json_array();
    patch_deinit(&injection.patch);
    choices_deinit(&injection.choices);
}

void inject_result_deinit(struct inject_result *result)
{
    json_decref(result->patch);
    json_decref(result->warnings);
    result->patch = result->warnings = NULL;
}

const char *inject_outcome_name(enum inject_outcome outcome)
{
    static const char *const names[INJECT_OUTCOME_COUNT_] = {
        [INJECT_DONE] = "injected",       [INJECT_ALREADY] = "already_injected",
        [INJECT_OPTED_OUT] = "opted_out", [INJECT_HOST_NETWORK] = "host_network",
        [INJECT_WINDOWS] = "windows",     [INJECT_STATIC_POD] = "static_pod",
        [INJECT_REFUSED] = "refused",
    };
    return names[outcome];
}
