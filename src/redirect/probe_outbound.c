/* Outbound: one connection for each family, from this process.
 *
 *   connected, our listener saw it with its destination   proven
 *   connected to nobody while the proxy has the port      proven: somebody answered for nobody
 *   refused or silence                                    failed
 *   nothing could be sent, or the options exempt us       not tried */
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "redirect/probe.h"
#include "redirect/trap.h"

/* RFC 5737 and RFC 3849: never anybody's. */
static const char *const nowhere_ipv4[] = {"192.0.2.1", "198.51.100.1", "203.0.113.1", NULL};
static const char *const nowhere_ipv6[] = {"2001:db8::1", "2001:db8:ffff::1", NULL};

enum { PROBE_PORTS = 64 }; /* ports to try for one that is not excluded */

/* An address of nobody that the options want captured. */
static bool choose_nowhere(const struct capture *capture, int family, struct addr_port *out)
{
    const char *const *candidate = family == AF_INET ? nowhere_ipv4 : nowhere_ipv6;
    for (; *candidate; candidate++) {
        addr_parse(&out->ip, *candidate);
        for (out->port = 1; out->port <= PROBE_PORTS; out->port++) {
            if (capture_wants_outbound(capture, out))
                return true;
        }
    }
    return false;
}

/* An address inside an included range: somebody may be there, so it serves only while we listen. */
static bool choose_included(const struct capture *capture, int family, struct addr_port *out)
{
    const struct capture_prefixes *list = &capture->include_outbound_cidrs;
    for (unsigned i = 0; i < list->count; i++) {
        if (list->prefixes[i].ip.len != (family == AF_INET ? 4 : 16))
            continue;
        out->ip = list->prefixes[i].ip;
        if (list->prefixes[i].bits < out->ip.len * 8)
            out->ip.bytes[out->ip.len - 1] |= 1;
        for (out->port = 1; out->port <= PROBE_PORTS; out->port++) {
            if (capture_wants_outbound(capture, out))
                return true;
        }
    }
    return false;
}

static void judge(const char *name, enum trap_answer answer, const struct addr_port *to,
                  const struct addr_port *local, struct trap *trap, struct report *report,
                  unsigned proxy_port)
{
    char text[ADDR_TEXT_MAX];
    struct err err;
    addr_port_format(to, text);
    if (answer == TRAP_CONNECTED && trap->fd >= 0) {
        if (trap_catch(trap, local, to, &err) == ERR_OK)
            report_add(report, name, REPORT_PROVEN, ERR_OK,
                       "a connection to %s arrived at port %u with its original destination", text,
                       proxy_port);
        else
            report_add(report, name, REPORT_FAILED, err.code, "%s", err.text);
    } else if (answer == TRAP_CONNECTED) {
        report_add(report, name, REPORT_PROVEN, ERR_OK,
                   "a connection to %s, where nobody is, was answered at once; port %u is in use, "
                   "so the original destination was not looked at",
                   text, proxy_port);
    } else if (answer == TRAP_NO_ROUTE) {
        report_add(report, name, REPORT_SKIPPED, ERR_OK,
                   "no route from this network namespace leads to %s, so nothing was sent", text);
    } else {
        report_add(report, name, REPORT_FAILED, ERR_CAPTURE_FAILED,
                   "a connection to %s was not captured: %s, expected an answer from port %u", text,
                   answer == TRAP_REFUSED ? "it was refused" : "there was no answer", proxy_port);
    }
}

static void probe_family(const struct capture *capture, int family, struct report *report)
{
    const char *name = family == AF_INET ? "outbound_ipv4" : "outbound_ipv6";
    struct addr_port to, local = {0};
    struct trap trap;
    struct err err;
    bool nowhere = choose_nowhere(capture, family, &to);
    if (!nowhere && !choose_included(capture, family, &to)) {
        report_add(report, name, REPORT_SKIPPED, ERR_OK,
                   "the options leave every address alone that could be tried");
        return;
    }
    enum err_code code = trap_open(&trap, family, (uint16_t)capture->outbound_port, &err);
    if (code != ERR_OK) {
        report_add(report, name, code == ERR_NOT_FOUND ? REPORT_SKIPPED : REPORT_FAILED, code, "%s",
                   err.text);
        return;
    }
    if (trap.fd < 0 && !nowhere) {
        report_add(report, name, REPORT_SKIPPED, ERR_OK,
                   "port %u is in use and only included ranges are captured, where somebody may "
                   "answer; run verify before the proxy starts",
                   (unsigned)capture->outbound_port);
        return;
    }
    int fd = -1;
    enum trap_answer answer = trap_connect(&to, &fd, &local);
    judge(name, answer, &to, &local, &trap, report, (unsigned)capture->outbound_port);
    if (fd >= 0 && answer != TRAP_NO_ROUTE && answer != TRAP_BROKEN)
        trap_drop(fd);
    trap_close(&trap);
}

void probe_outbound(const struct capture *capture, struct report *report)
{
    if (geteuid() == capture->proxy_uid || getegid() == capture->proxy_uid) {
        report_add(report, "outbound", REPORT_SKIPPED, ERR_OK,
                   "this process runs as the proxy's uid or gid %lld, which the rules leave alone",
                   (long long)capture->proxy_uid);
        return;
    }
    probe_family(capture, AF_INET, report);
    probe_family(capture, AF_INET6, report);
}
