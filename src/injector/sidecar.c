#include "injector/sidecar.h"

#include <stdio.h>
#include <string.h>

enum {
    ARGS_TEXT_MAX = 256,
    PROBE_PERIOD_S = 1,
    STARTUP_FAILURES = 600, /* ten minutes for the control plane to come; then a fresh start */
    READINESS_PERIOD_S = 5,
    READINESS_FAILURES = 3,
    CLASSIC_READY_S = 600,
    CLASSIC_OUTLIVE_MIN_S = 5, /* until endpoints without this pod have got around */
    GRACE_DEFAULT_S = 30,      /* Kubernetes' default */
    GRACE_MAX_S = 86400,
};

bool sidecar_owns_port(int64_t port)
{
    return port == SIDECAR_OUTBOUND_PORT || port == SIDECAR_INBOUND_PORT ||
           port == SIDECAR_METRICS_PORT || port == SIDECAR_HEALTH_PORT;
}

/* --- parts of containers ---------------------------------------------------------------------- */

/* Appends --name=value, unless there is no value; false without memory. */
static bool append_option(json_t *args, const char *name, const char *value)
{
    if (!*value)
        return true;
    return json_array_append_new(args, json_sprintf("--%s=%s", name, value)) == 0;
}

static json_t *security(bool root)
{
    json_t *capabilities = root ? json_pack("{s:[s], s:[s]}", "drop", "ALL", "add", "NET_ADMIN")
                                : json_pack("{s:[s]}", "drop", "ALL");
    int id = root ? 0 : SIDECAR_UID;
    return json_pack("{s:i, s:i, s:b, s:b, s:b, s:b, s:o, s:{s:s}}", "runAsUser", id, "runAsGroup",
                     id, "runAsNonRoot", !root, "allowPrivilegeEscalation", 0, "privileged", 0,
                     "readOnlyRootFilesystem", 1, "capabilities", capabilities, "seccompProfile",
                     "type", "RuntimeDefault");
}

static bool set_amount(json_t *object, const char *key, const char *amount)
{
    return !*amount || json_object_set_new(object, key, json_string(amount)) == 0;
}

static json_t *resources(const struct choices *choices)
{
    json_t *requests = json_object(), *limits = json_object(), *both = NULL;
    if (requests && limits && set_amount(requests, "cpu", choice_text(choices, CHOICE_PROXY_CPU)) &&
        set_amount(requests, "memory", choice_text(choices, CHOICE_PROXY_MEMORY)) &&
        set_amount(limits, "cpu", choice_text(choices, CHOICE_PROXY_CPU_LIMIT)) &&
        set_amount(limits, "memory", choice_text(choices, CHOICE_PROXY_MEMORY_LIMIT)))
        both = json_pack("{s:O, s:O}", "requests", requests, "limits", limits);
    json_decref(requests);
    json_decref(limits);
    return both;
}

/* What both containers have in common; takes `args`. */
static json_t *container(const struct settings *settings, const struct choices *choices,
                         const char *name, json_t *args, bool root)
{
    return json_pack("{s:s, s:s, s:s, s:[s], s:o, s:o, s:o, s:s}", "name", name, "image",
                     settings->image, "imagePullPolicy", settings->image_pull_policy, "command",
                     name, "args", args, "resources", resources(choices), "securityContext",
                     security(root), "terminationMessagePolicy", "FallbackToLogsOnError");
}

/* --- the redirect ----------------------------------------------------------------------------- */

json_t *sidecar_redirect(const struct settings *settings, const struct choices *choices)
{
    static const struct {
        enum choice choice;
        const char *option;
    } rows[] = {
        {CHOICE_EXCLUDE_INBOUND_PORTS, "exclude-inbound-ports"},
        {CHOICE_INCLUDE_INBOUND_PORTS, "include-inbound-ports"},
        {CHOICE_EXCLUDE_OUTBOUND_PORTS, "exclude-outbound-ports"},
        {CHOICE_INCLUDE_OUTBOUND_PORTS, "include-outbound-ports"},
        {CHOICE_EXCLUDE_OUTBOUND_CIDRS, "exclude-outbound-cidrs"},
        {CHOICE_INCLUDE_OUTBOUND_CIDRS, "include-outbound-cidrs"},
        {CHOICE_EXCLUDE_INTERFACES, "exclude-interfaces"},
    };
    json_t *args = json_pack("[s]", "apply");
    bool whole = args != NULL;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        whole = whole && append_option(args, rows[i].option, choice_text(choices, rows[i].choice));
    if (whole)
        return container(settings, choices, SIDECAR_REDIRECT, args, true);
    json_decref(args);
    return NULL;
}

/* --- the proxy -------------------------------------------------------------------------------- */

static int64_t grace_s(const struct pod *pod)
{
    json_t *grace = json_object_get(pod->spec, "terminationGracePeriodSeconds");
    int64_t seconds = json_is_integer(grace) ? json_integer_value(grace) : GRACE_DEFAULT_S;
    return seconds < 0 ? 0 : seconds > GRACE_MAX_S ? GRACE_MAX_S : seconds;
}

/* The proxy's own deadline is the pod's: what the kubelet would not wait for, nobody need. */
static json_t *proxy_args(const struct settings *settings, const struct choices *choices,
                          const struct pod *pod)
{
    char drain_ms[24];
    snprintf(drain_ms, sizeof drain_ms, "%lld", (long long)grace_s(pod) * 1000);
    const char *const rows[][2] = {
        {"control", settings->control},
        {"control-name", settings->control_name},
        {"control-ca", "/etc/handfast/trust/root-cert.pem"},
        {"token-file", "/var/run/secrets/handfast/token"},
        {"trust-domain", settings->trust_domain},
        {"cluster-id", settings->cluster_id},
        {"log-format", settings->proxy_log_format},
        {"log-level", choice_text(choices, CHOICE_LOG_LEVEL)},
        {"access-log", choice_text(choices, CHOICE_ACCESS_LOG)},
        {"drain-ms", grace_s(pod) == GRACE_DEFAULT_S ? "" : drain_ms},
    };
    json_t *args = json_array();
    bool whole = args != NULL;
    for (unsigned i = 0; i < sizeof rows / sizeof rows[0]; i++)
        whole = whole && append_option(args, rows[i][0], rows[i][1]);
    if (whole)
        return args;
    json_decref(args);
    return NULL;
}

static json_t *field_env(const char *name, const char *path)
{
    return json_pack("{s:s, s:{s:{s:s}}}", "name", name, "valueFrom", "fieldRef", "fieldPath",
                     path);
}

static json_t *proxy_env(const char *probes)
{
    json_t *env = json_pack("[o, o, o, o]", field_env("POD_NAME", "metadata.name"),
                            field_env("POD_NAMESPACE", "metadata.namespace"),
                            field_env("POD_IPS", "status.podIPs"),
                            field_env("SERVICE_ACCOUNT", "spec.serviceAccountName"));
    if (!env || !probes ||
        json_array_append_new(
            env, json_pack("{s:s, s:s}", "name", "HANDFAST_APP_PROBES", "value", probes)) == 0)
        return env;
    json_decref(env);
    return NULL;
}

static json_t *ready_probe(int period_s, int failures)
{
    return json_pack("{s:{s:s, s:i, s:s}, s:i, s:i, s:i}", "httpGet", "path", "/healthz/ready",
                     "port", SIDECAR_HEALTH_PORT, "scheme", "HTTP", "timeoutSeconds", 3,
                     "periodSeconds", period_s, "failureThreshold", failures);
}

static bool set(json_t *object, const char *key, json_t *value)
{
    return json_object_set_new(object, key, value) == 0;
}

/* The kubelet starts what follows a native sidecar when its startup probe has passed, and ends it
 * after everything else. */
static bool make_native(json_t *proxy)
{
    return set(proxy, "restartPolicy", json_string("Always")) &&
           set(proxy, "startupProbe", ready_probe(PROBE_PERIOD_S, STARTUP_FAILURES));
}

/* Without that, two hooks do it: the kubelet starts containers one after the other and waits for a
 * postStart, so the application comes when the proxy is ready; and a preStop keeps the proxy until
 * the application has closed its sockets, as far as the grace period goes. */
static bool make_classic(json_t *proxy, const struct pod *pod)
{
    int64_t most_s = grace_s(pod) - 1;
    json_t *start = json_pack("[s, s, s, o]", "handfast", "wait", "--timeout-s",
                              json_sprintf("%d", CLASSIC_READY_S));
    json_t *stop = json_pack("[s, s, s, o, s, o]", "handfast", "outlive", "--at-least-s",
                             json_sprintf("%d", CLASSIC_OUTLIVE_MIN_S), "--at-most-s",
                             json_sprintf("%lld", (long long)(most_s < 1 ? 1 : most_s)));
    return set(proxy, "lifecycle",
               json_pack("{s:{s:{s:o}}, s:{s:{s:o}}}", "postStart", "exec", "command", start,
                         "preStop", "exec", "command", stop));
}

json_t *sidecar_proxy(const struct settings *settings, const struct choices *choices,
                      const struct pod *pod, bool native, const char *probes)
{
    json_t *proxy =
        container(settings, choices, SIDECAR_PROXY, proxy_args(settings, choices, pod), false);
    json_t *ports =
        json_pack("[{s:s, s:i}, {s:s, s:i}]", "name", "hf-metrics", "containerPort",
                  SIDECAR_METRICS_PORT, "name", "hf-health", "containerPort", SIDECAR_HEALTH_PORT);
    json_t *mounts = json_pack("[{s:s, s:s}, {s:s, s:s, s:b}, {s:s, s:s, s:b}]", "name",
                               SIDECAR_RUN, "mountPath", "/run/handfast", "name", SIDECAR_TOKEN,
                               "mountPath", "/var/run/secrets/handfast", "readOnly", 1, "name",
                               SIDECAR_TRUST, "mountPath", "/etc/handfast/trust", "readOnly", 1);
    bool whole = set(proxy, "ports", ports);
    whole = set(proxy, "volumeMounts", mounts) && whole;
    whole = set(proxy, "env", proxy_env(probes)) && whole &&
            set(proxy, "readinessProbe", ready_probe(READINESS_PERIOD_S, READINESS_FAILURES)) &&
            (native ? make_native(proxy) : make_classic(proxy, pod));
    if (whole)
        return proxy;
    json_decref(proxy);
    return NULL;
}

/* --- the rest --------------------------------------------------------------------------------- */

json_t *sidecar_volumes(const struct settings *settings)
{
    return json_pack("[{s:s, s:{s:s, s:s}}, {s:s, s:{s:[{s:{s:s, s:I, s:s}}]}}, {s:s, s:{s:s}}]",
                     "name", SIDECAR_RUN, "emptyDir", "medium", "Memory", "sizeLimit", "1Mi",
                     "name", SIDECAR_TOKEN, "projected", "sources", "serviceAccountToken",
                     "audience", settings->audience, "expirationSeconds",
                     (json_int_t)settings->token_ttl_s, "path", "token", "name", SIDECAR_TRUST,
                     "configMap", "name", settings->trust_config_map);
}

char *sidecar_status(bool native)
{
    json_t *status =
        native ? json_pack("{s:s, s:[s, s], s:[], s:[s, s, s]}", "version", HANDFAST_VERSION,
                           "initContainers", SIDECAR_REDIRECT, SIDECAR_PROXY, "containers",
                           "volumes", SIDECAR_RUN, SIDECAR_TOKEN, SIDECAR_TRUST)
               : json_pack("{s:s, s:[s], s:[s], s:[s, s, s]}", "version", HANDFAST_VERSION,
                           "initContainers", SIDECAR_REDIRECT, "containers", SIDECAR_PROXY,
                           "volumes", SIDECAR_RUN, SIDECAR_TOKEN, SIDECAR_TRUST);
    char *text = status ? json_dumps(status, JSON_COMPACT) : NULL;
    json_decref(status);
    return text;
}
