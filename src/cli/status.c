#include <string.h>

#include "base/clock.h"
#include "cli/admin_client.h"
#include "cli/human.h"
#include "cli/page.h"
#include "cli/verb.h"

static void print_certificate(const json_t *status)
{
    const json_t *certificate = json_object_get(status, "certificate");
    int64_t not_after = page_int(certificate, "not_after", 0);
    int64_t left = page_int(certificate, "seconds_left", 0);
    const char *failed = page_text(certificate, "last_error");
    char span[HUMAN_TEXT_MAX], when[CLOCK_TEXT_MAX];
    if (not_after)
        page_row("certificate", "%s %s, %s (serial %s)", left > 0 ? "valid until" : "EXPIRED at",
                 clock_format(not_after, when), human_moment(left, 0, span),
                 page_text_or(certificate, "serial", "unknown"));
    else
        page_row("certificate", "none yet");
    if (failed)
        page_row("", "last %s failed: %s", not_after ? "renewal" : "request", failed);
}

static void print_control(const json_t *status)
{
    const json_t *control = json_object_get(status, "control");
    const char *address = page_text_or(control, "address", "unknown");
    const char *failed = page_text(control, "last_error");
    const char *nack = page_text(control, "last_nack"), *link = page_text(control, "link");
    bool connected = json_is_true(json_object_get(control, "connected"));
    int64_t updated = page_int(control, "last_update_s", -1);
    char since[HUMAN_TEXT_MAX], update[HUMAN_TEXT_MAX], reconnects[HUMAN_TEXT_MAX];
    human_duration(page_int(control, "since_s", 0), since);
    human_count(page_int(control, "reconnects", 0), "reconnect", "reconnects", reconnects);
    bool show_link = link && !connected; /* what it is at: resolving may take long */
    page_row("control plane", "%s, %s for %s%s%s%s, %s", address,
             connected ? "connected" : "NOT CONNECTED", since, show_link ? " (link " : "",
             show_link ? link : "", show_link ? ")" : "", reconnects);
    if (updated >= 0)
        page_row("", "last update %s ago", human_duration(updated, update));
    else
        page_row("", "no update yet");
    if (failed)
        page_row("", "last error: %s", failed);
    if (nack)
        page_row("", "last refused configuration: %s", nack);
}

static void print_clock(const json_t *status)
{
    const json_t *skew = json_object_get(status, "clock_skew_s");
    int64_t ahead = json_integer_value(skew);
    char span[HUMAN_TEXT_MAX];
    if (!json_is_integer(skew))
        page_row("clock", "not compared with the control plane's yet");
    else if (ahead == 0)
        page_row("clock", "agrees with the control plane's");
    else
        page_row("clock", "%s %s the control plane's", human_duration(ahead, span),
                 ahead > 0 ? "behind" : "ahead of");
}

static void print_status(const json_t *status)
{
    const json_t *connections = json_object_get(status, "connections");
    const json_t *config = json_object_get(status, "config");
    const json_t *warning;
    size_t i;
    const char *reason = page_text(status, "state_reason");
    int64_t unreadable = page_int(config, "unreadable_policies", 0);
    char up[HUMAN_TEXT_MAX], workloads[HUMAN_TEXT_MAX], services[HUMAN_TEXT_MAX];
    char policies[HUMAN_TEXT_MAX];
    const char *state = page_text_or(status, "state", "unknown");
    bool more = reason && strcmp(reason, state) != 0;
    page_row("state", "%s%s%s", state, more ? ": " : "", more ? reason : "");
    json_array_foreach(json_object_get(status, "warnings"), i, warning)
        page_row("WARNING", "%s", json_is_string(warning) ? json_string_value(warning) : "");
    page_row("identity", "%s", page_text_or(status, "identity", "unknown"));
    if (page_text(status, "pod"))
        page_row("pod", "%s/%s", page_text_or(status, "namespace", "default"),
                 page_text(status, "pod"));
    print_certificate(status);
    print_control(status);
    print_clock(status);
    page_row("connections", "%lld inbound, %lld outbound",
             (long long)page_int(connections, "inbound", 0),
             (long long)page_int(connections, "outbound", 0));
    page_row("configuration", "generation %lld: %s, %s, %s",
             (long long)page_int(config, "generation", 0),
             human_count(page_int(config, "workloads", 0), "workload", "workloads", workloads),
             human_count(page_int(config, "services", 0), "service", "services", services),
             human_count(page_int(config, "policies", 0), "policy", "policies", policies));
    if (unreadable > 0)
        page_row("", "%s could not be read, see `handfast config`",
                 human_count(unreadable, "policy", "policies", policies));
    page_row("process", "version %s, pid %lld, %lld worker%s, up %s",
             page_text_or(status, "version", "unknown"), (long long)page_int(status, "pid", 0),
             (long long)page_int(status, "workers", 0),
             page_int(status, "workers", 0) == 1 ? "" : "s",
             human_duration(page_int(status, "uptime_s", 0), up));
}

int verb_status(const struct verb_options *options, struct err *err)
{
    json_t *status;
    if (admin_client_ask(options->admin_socket, "GET", "/status", ADMIN_CLIENT_TIMEOUT_MS, &status,
                         err) != ERR_OK)
        return VERB_FAILED;
    if (options->json)
        page_json(status);
    else
        print_status(status);
    bool ready = strcmp(page_text_or(status, "state", ""), "ready") == 0;
    json_decref(status);
    return ready ? VERB_DONE : VERB_NOT_READY;
}
