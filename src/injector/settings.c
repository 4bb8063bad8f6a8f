#include "injector/settings.h"

#include <stdlib.h>
#include <string.h>

/* Figures for a proxy at rest with room for a few hundred connections; see tests/bench. */
static const struct {
    enum choice choice;
    const char *value;
} defaults[] = {
    {CHOICE_REWRITE_PROBES, "true"},      {CHOICE_PROXY_CPU, "10m"},  {CHOICE_PROXY_MEMORY, "32Mi"},
    {CHOICE_PROXY_MEMORY_LIMIT, "256Mi"}, {CHOICE_LOG_LEVEL, "info"}, {CHOICE_ACCESS_LOG, "text"},
};

enum { NATIVE_MAJOR = 1, NATIVE_MINOR = 29 };

enum err_code settings_init(struct settings *settings, struct err *err)
{
    *settings = (struct settings){
        .image = "handfast:" HANDFAST_VERSION,
        .image_pull_policy = "IfNotPresent",
        .control = "handfast-control.handfast-system.svc:15012",
        .control_name = "handfast-control.handfast-system.svc",
        .trust_domain = "cluster.local",
        .cluster_id = "Kubernetes",
        .audience = "handfast",
        .trust_config_map = "handfast-ca-root-cert",
        .proxy_log_format = "text",
        .token_ttl_s = 3600,
    };
    choices_init(&settings->defaults);
    for (unsigned i = 0; i < sizeof defaults / sizeof defaults[0]; i++) {
        if (choice_set(&settings->defaults, defaults[i].choice, defaults[i].value, false, err) !=
            ERR_OK)
            return err_wrap(err, "the default of an option");
    }
    return ERR_OK;
}

void settings_deinit(struct settings *settings)
{
    choices_deinit(&settings->defaults);
}

unsigned settings_add_options(struct settings *s, struct option_spec *specs)
{
    const struct option_spec rows[] = {
        OPT_STR("image", "IMAGE", &s->image, "HANDFAST_IMAGE", "the image with all programs"),
        OPT_STR("image-pull-policy", "POLICY", &s->image_pull_policy, NULL,
                "Always, IfNotPresent or Never"),
        OPT_STR("control", "HOST:PORT", &s->control, "HANDFAST_CONTROL",
                "where proxies find the control plane"),
        OPT_STR("control-name", "DNS", &s->control_name, "HANDFAST_CONTROL_NAME",
                "the name that its certificate must have"),
        OPT_STR("trust-domain", "NAME", &s->trust_domain, "TRUST_DOMAIN",
                "the mesh's trust domain"),
        OPT_STR("cluster-id", "NAME", &s->cluster_id, "CLUSTER_ID",
                "the cluster that proxies say they are in"),
        OPT_STR("audience", "NAME", &s->audience, "HANDFAST_AUDIENCE",
                "audience of the tokens that proxies show to the control plane"),
        OPT_INT("token-ttl-s", "SECONDS", &s->token_ttl_s, 600, 86400, NULL,
                "how long such a token is good for"),
        OPT_STR("trust-config-map", "NAME", &s->trust_config_map, NULL,
                "ConfigMap of every meshed namespace with the roots, key root-cert.pem"),
        OPT_STR("proxy-log-format", "text|json", &s->proxy_log_format, NULL,
                "how the proxies' log lines look"),
        OPT_STR("kube-version", "VERSION", &s->kube_version, "HANDFAST_KUBE_VERSION",
                "version of the API server, such as 1.34; unset is a recent one"),
    };
    const unsigned count = sizeof rows / sizeof rows[0];
    _Static_assert(sizeof rows / sizeof rows[0] + CHOICE_COUNT_ <= SETTINGS_OPTIONS_MAX,
                   "the table is too small");
    memcpy(specs, rows, sizeof rows);
    choices_add_options(&s->defaults, s->slots, specs + count);
    return count + CHOICE_COUNT_;
}

static bool is_one_of(const char *text, const char *a, const char *b, const char *c)
{
    return strcmp(text, a) == 0 || strcmp(text, b) == 0 || strcmp(text, c) == 0;
}

/* "v1.34.4", "1.29", "1.28+". */
static bool parse_version(const char *text, unsigned long *major, unsigned long *minor)
{
    char *end;
    if (*text == 'v')
        text++;
    *major = strtoul(text, &end, 10);
    if (*text < '0' || *text > '9' || *end != '.' || end[1] < '0' || end[1] > '9')
        return false;
    *minor = strtoul(end + 1, NULL, 10);
    return true;
}

enum err_code settings_check(struct settings *settings, struct err *err)
{
    unsigned long major = NATIVE_MAJOR, minor = NATIVE_MINOR;
    const struct {
        const char *option, *value;
    } needed[] = {{"image", settings->image},
                  {"control", settings->control},
                  {"control-name", settings->control_name},
                  {"trust-domain", settings->trust_domain},
                  {"audience", settings->audience},
                  {"trust-config-map", settings->trust_config_map}};
    for (unsigned i = 0; i < sizeof needed / sizeof needed[0]; i++) {
        if (!*needed[i].value)
            return err_set(err, ERR_USAGE, "--%s is empty", needed[i].option);
    }
    if (!is_one_of(settings->image_pull_policy, "Always", "IfNotPresent", "Never"))
        return err_set(err, ERR_USAGE,
                       "--image-pull-policy: '%.40s' is not Always, IfNotPresent or Never",
                       settings->image_pull_policy);
    if (!is_one_of(settings->proxy_log_format, "text", "json", "json"))
        return err_set(err, ERR_USAGE, "--proxy-log-format: '%.40s' is not text or json",
                       settings->proxy_log_format);
    if (settings->kube_version && !parse_version(settings->kube_version, &major, &minor))
        return err_set(err, ERR_USAGE, "--kube-version: '%.40s' is not a version like 1.34",
                       settings->kube_version);
    settings->native_allowed =
        major > NATIVE_MAJOR || (major == NATIVE_MAJOR && minor >= NATIVE_MINOR);
    if (choices_check(&settings->defaults, err) == ERR_OK)
        return ERR_OK;
    err->code = ERR_USAGE;
    return ERR_USAGE;
}
