/* What an installation says about the sidecars that it adds. The same options set it for
 * handfast-injector and for `handfast inject`. One thread; constant after settings_check. */
#ifndef INJECTOR_SETTINGS_H
#define INJECTOR_SETTINGS_H

#include "injector/choice.h"

enum { SETTINGS_OPTIONS_MAX = CHOICE_COUNT_ + 16 };

struct settings {
    const char *image, *image_pull_policy;
    const char *control, *control_name, *trust_domain, *cluster_id;
    const char *audience, *trust_config_map;
    const char *proxy_log_format;
    const char *kube_version; /* "v1.34.4", or NULL: recent */
    int64_t token_ttl_s;
    struct choices defaults;
    bool native_allowed; /* kube_version knows native sidecars; settings_check finds out */
    struct choice_slot slots[CHOICE_COUNT_];
};

/* Defaults that suit the chart's. ERR_NO_MEMORY. */
enum err_code settings_init(struct settings *settings, struct err *err);
void settings_deinit(struct settings *settings);
/* Puts the options into specs[0..SETTINGS_OPTIONS_MAX-1], without an end, and returns how many. */
unsigned settings_add_options(struct settings *settings, struct option_spec *specs);
/* After the options: refuses what makes no sidecar. ERR_USAGE. */
enum err_code settings_check(struct settings *settings, struct err *err);

#endif
