#include "injector/choice.h"

#include <stdlib.h>
#include <string.h>

#include "injector/quantity.h"
#include "injector/value.h"
#include "injector/warning.h"

typedef char *take_value(const char *text, struct err *err);

struct choice_row {
    const char *annotation; /* behind CHOICE_PREFIX */
    const char *alias;      /* Istio's, or NULL */
    take_value *take, *take_alias;
    const char *option, *value, *help;
};

#define TRAFFIC "traffic.sidecar.istio.io/"
#define SIDECAR "sidecar.istio.io/"

static const struct choice_row rows[CHOICE_COUNT_] = {
    [CHOICE_REWRITE_PROBES] = {"rewrite-probes", SIDECAR "rewriteAppHTTPProbers", value_bool,
                               value_bool, "rewrite-probes", "true|false",
                               "send the kubelet's HTTP, TCP and gRPC probes through the proxy"},
    [CHOICE_NATIVE_SIDECAR] = {"native-sidecar", SIDECAR "nativeSidecar", value_bool, value_bool,
                               "native-sidecar", "true|false",
                               "the proxy as an init container that goes on; without a choice, "
                               "where --kube-version is 1.29 or later"},
    [CHOICE_EXCLUDE_INBOUND_PORTS] = {"exclude-inbound-ports", TRAFFIC "excludeInboundPorts",
                                      value_ports, value_ports, "exclude-inbound-ports", "PORT,...",
                                      "ports of pods that are left alone"},
    [CHOICE_INCLUDE_INBOUND_PORTS] = {"include-inbound-ports", TRAFFIC "includeInboundPorts",
                                      value_ports_or_all, value_ports_or_all,
                                      "include-inbound-ports", "PORT,...",
                                      "capture only these ports of pods; * is all"},
    [CHOICE_EXCLUDE_OUTBOUND_PORTS] = {"exclude-outbound-ports", TRAFFIC "excludeOutboundPorts",
                                       value_ports, value_ports, "exclude-outbound-ports",
                                       "PORT,...", "destination ports that are left alone"},
    [CHOICE_INCLUDE_OUTBOUND_PORTS] = {"include-outbound-ports", TRAFFIC "includeOutboundPorts",
                                       value_ports, value_ports, "include-outbound-ports",
                                       "PORT,...",
                                       "destination ports that are captured outside of "
                                       "--include-outbound-cidrs, too"},
    [CHOICE_EXCLUDE_OUTBOUND_CIDRS] = {"exclude-outbound-cidrs", TRAFFIC "excludeOutboundIPRanges",
                                       value_prefixes, value_prefixes, "exclude-outbound-cidrs",
                                       "CIDR,...", "destinations that are left alone"},
    [CHOICE_INCLUDE_OUTBOUND_CIDRS] = {"include-outbound-cidrs", TRAFFIC "includeOutboundIPRanges",
                                       value_prefixes_or_all, value_prefixes_or_all,
                                       "include-outbound-cidrs", "CIDR,...",
                                       "capture only these destinations; * is all"},
    [CHOICE_EXCLUDE_INTERFACES] = {"exclude-interfaces", TRAFFIC "excludeInterfaces",
                                   value_interfaces, value_interfaces, "exclude-interfaces",
                                   "NAME,...", "interfaces whose traffic is left alone"},
    [CHOICE_PROXY_CPU] = {"proxy-cpu", SIDECAR "proxyCPU", value_cpu, value_cpu, "proxy-cpu", "CPU",
                          "processors that the proxy requests"},
    [CHOICE_PROXY_CPU_LIMIT] = {"proxy-cpu-limit", SIDECAR "proxyCPULimit", value_cpu, value_cpu,
                                "proxy-cpu-limit", "CPU", "processors that the proxy may use"},
    [CHOICE_PROXY_MEMORY] = {"proxy-memory", SIDECAR "proxyMemory", value_memory, value_memory,
                             "proxy-memory", "BYTES", "memory that the proxy requests"},
    [CHOICE_PROXY_MEMORY_LIMIT] = {"proxy-memory-limit", SIDECAR "proxyMemoryLimit",
                                   value_memory_limit, value_memory_limit, "proxy-memory-limit",
                                   "BYTES", "memory that the proxy may use"},
    [CHOICE_LOG_LEVEL] = {"log-level", SIDECAR "logLevel", value_log_level, value_envoy_log_level,
                          "proxy-log-level", "LEVEL", "of the proxy: error, warn, info or debug"},
    [CHOICE_ACCESS_LOG] = {"access-log", NULL, value_access_log, NULL, "access-log",
                           "text|json|off", "the proxy's line for each connection"},
};

void choices_init(struct choices *choices)
{
    memset(choices, 0, sizeof *choices);
}

void choices_deinit(struct choices *choices)
{
    for (unsigned i = 0; i < CHOICE_COUNT_; i++)
        free(choices->value[i]);
    choices_init(choices);
}

bool choices_copy(struct choices *to, const struct choices *from)
{
    for (unsigned i = 0; i < CHOICE_COUNT_; i++) {
        if (!from->value[i])
            continue;
        free(to->value[i]);
        to->value[i] = strdup(from->value[i]);
        if (!to->value[i])
            return false;
    }
    return true;
}

const char *choice_text(const struct choices *choices, enum choice choice)
{
    return choices->value[choice] ? choices->value[choice] : "";
}

bool choice_true(const struct choices *choices, enum choice choice)
{
    return strcmp(choice_text(choices, choice), "true") == 0;
}

enum err_code choice_set(struct choices *choices, enum choice choice, const char *text, bool alias,
                         struct err *err)
{
    const struct choice_row *row = &rows[choice];
    struct err scratch;
    char *value = (alias ? row->take_alias : row->take)(text, err ? err : (err = &scratch));
    if (!value)
        return err->code;
    free(choices->value[choice]);
    choices->value[choice] = value;
    return ERR_OK;
}

/* --- what fits together ----------------------------------------------------------------------- */

/* A port of `list` that `other` has as well, or 0. */
static uint16_t common_port(const char *list, const char *other)
{
    for (const char *at = list; *at;) {
        char *end;
        unsigned long port = strtoul(at, &end, 10);
        if (value_has_port(other, (uint16_t)port))
            return (uint16_t)port;
        at = *end == ',' ? end + 1 : end;
    }
    return 0;
}

static enum err_code check_ports(const struct choices *choices, struct err *err)
{
    static const struct {
        enum choice include, exclude;
        const char *direction;
    } pairs[] = {
        {CHOICE_INCLUDE_INBOUND_PORTS, CHOICE_EXCLUDE_INBOUND_PORTS, "inbound"},
        {CHOICE_INCLUDE_OUTBOUND_PORTS, CHOICE_EXCLUDE_OUTBOUND_PORTS, "outbound"},
    };
    for (unsigned i = 0; i < 2; i++) {
        uint16_t port = common_port(choice_text(choices, pairs[i].include),
                                    choice_text(choices, pairs[i].exclude));
        if (port)
            return err_set(
                err, ERR_INVALID,
                "port %u is both included and excluded %s: leave it out of one of " CHOICE_PREFIX
                "include-%s-ports and " CHOICE_PREFIX "exclude-%s-ports",
                port, pairs[i].direction, pairs[i].direction, pairs[i].direction);
    }
    uint16_t own = common_port("15001,15006", choice_text(choices, CHOICE_EXCLUDE_INBOUND_PORTS));
    if (own)
        return err_set(err, ERR_INVALID,
                       CHOICE_PREFIX "exclude-inbound-ports names %u, which is the proxy's own "
                                     "port: it is reached through the redirect only",
                       own);
    return ERR_OK;
}

/* A request above its limit is refused by the API server. Where only one of the two was chosen for
 * this pod, the other, which is a default, gives way. */
static enum err_code check_amounts(struct choices *choices, const bool chosen[CHOICE_COUNT_],
                                   struct err *err)
{
    static const enum choice pairs[][2] = {{CHOICE_PROXY_CPU, CHOICE_PROXY_CPU_LIMIT},
                                           {CHOICE_PROXY_MEMORY, CHOICE_PROXY_MEMORY_LIMIT}};
    for (unsigned i = 0; i < 2; i++) {
        enum choice request = pairs[i][0], limit = pairs[i][1];
        double wanted, most;
        if (!quantity_parse(choice_text(choices, request), &wanted) ||
            !quantity_parse(choice_text(choices, limit), &most) || wanted <= most)
            continue;
        if (chosen[request] == chosen[limit])
            return err_set(err, ERR_INVALID,
                           CHOICE_PREFIX
                           "%s is %s, which is more than the limit %s of " CHOICE_PREFIX "%s",
                           rows[request].annotation, choices->value[request], choices->value[limit],
                           rows[limit].annotation);
        enum choice moved = chosen[request] ? limit : request;
        char *value = strdup(choices->value[chosen[request] ? request : limit]);
        if (!value)
            return err_set(err, ERR_NO_MEMORY, "no memory for a value");
        free(choices->value[moved]);
        choices->value[moved] = value;
    }
    return ERR_OK;
}

enum err_code choices_check(struct choices *choices, struct err *err)
{
    const bool chosen[CHOICE_COUNT_] = {false};
    enum err_code code = check_ports(choices, err);
    return code == ERR_OK ? check_amounts(choices, chosen, err) : code;
}

/* --- annotations ------------------------------------------------------------------------------ */

/* The row of an annotation's name; *alias says whether it is Istio's. CHOICE_COUNT_: none. */
static enum choice find_annotation(const char *name, bool *alias)
{
    bool ours = strncmp(name, CHOICE_PREFIX, strlen(CHOICE_PREFIX)) == 0;
    for (unsigned i = 0; i < CHOICE_COUNT_; i++) {
        *alias = !ours;
        if (ours ? strcmp(name + strlen(CHOICE_PREFIX), rows[i].annotation) == 0
                 : rows[i].alias && strcmp(name, rows[i].alias) == 0)
            return (enum choice)i;
    }
    return CHOICE_COUNT_;
}

/* Not a choice about the sidecar: consent.c and inject.c read them. */
static bool is_known_otherwise(const char *name)
{
    return strcmp(name, CHOICE_INJECT) == 0 || strcmp(name, CHOICE_INJECT_ALIAS) == 0 ||
           strcmp(name, CHOICE_STATUS) == 0;
}

static bool starts_with(const char *text, const char *prefix)
{
    return strncmp(text, prefix, strlen(prefix)) == 0;
}

static void warn_unknown(const char *name, json_t *warnings)
{
    char shown[120];
    value_printable(name, shown, sizeof shown);
    if (is_known_otherwise(name))
        return;
    if (starts_with(name, CHOICE_PREFIX))
        warning_add(warnings, "there is no annotation %s: it has no effect", shown);
    else if (starts_with(name, TRAFFIC) || starts_with(name, SIDECAR))
        warning_add(warnings, "Handfast does not know the annotation %s: it has no effect", shown);
}

enum err_code choices_read(struct choices *choices, json_t *annotations, json_t *warnings,
                           struct err *err)
{
    bool chosen[CHOICE_COUNT_] = {false};
    const char *name;
    json_t *value;
    /* Istio's first, so that ours, where both are there, is the one that stays. */
    for (int pass = 0; pass < 2; pass++) {
        json_object_foreach(annotations, name, value)
        {
            bool alias;
            enum choice choice = find_annotation(name, &alias);
            if (alias != (pass == 0))
                continue;
            if (choice == CHOICE_COUNT_) {
                warn_unknown(name, warnings);
                continue;
            }
            enum err_code code = choice_set(choices, choice, json_string_value(value), alias, err);
            if (code != ERR_OK)
                return err_wrap(err, "annotation %s", name);
            if (chosen[choice])
                warning_add(warnings, "%s counts, and %s does not", name, rows[choice].alias);
            chosen[choice] = true;
        }
    }
    enum err_code code = check_ports(choices, err);
    return code == ERR_OK ? check_amounts(choices, chosen, err) : code;
}

/* --- options ---------------------------------------------------------------------------------- */

static enum err_code set_default(void *arg, const char *text, struct err *err)
{
    const struct choice_slot *slot = arg;
    return choice_set(slot->choices, slot->choice, text, false, err);
}

void choices_add_options(struct choices *defaults, struct choice_slot slots[CHOICE_COUNT_],
                         struct option_spec *specs)
{
    for (unsigned i = 0; i < CHOICE_COUNT_; i++) {
        slots[i] = (struct choice_slot){.choices = defaults, .choice = (enum choice)i};
        specs[i] = (struct option_spec)OPT_CALL(rows[i].option, rows[i].value, set_default,
                                                &slots[i], rows[i].help);
    }
}
