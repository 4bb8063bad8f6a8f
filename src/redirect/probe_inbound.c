/* Inbound: one connection for each family, from a process outside of the pod's namespace.
 *
 *   connected, our listener saw it with its destination   proven
 *   connected to a port without listener, proxy running   proven: only the redirect can answer
 *   refused or silence                                    failed
 *   no second namespace, or no such port                  not tried, the rules were read back only
 */
#include <sys/socket.h>

#include "redirect/outsider.h"
#include "redirect/probe.h"

static const char *const names[] = {"inbound_ipv4", "inbound_ipv6"};

static bool somebody_listens(int family, uint16_t port)
{
    struct trap trap;
    bool taken = trap_open(&trap, family, port, NULL) == ERR_OK && trap.fd < 0;
    trap_close(&trap);
    return taken;
}

/* A port that the options want captured; `alone` when nobody may listen there. 0 when none. */
static uint16_t choose_port(const struct capture *capture, int family, bool alone)
{
    for (unsigned port = 1; port <= 65535; port++) {
        if (port == capture->inbound_port || port == capture->outbound_port ||
            !capture_wants_inbound(capture, (uint16_t)port))
            continue;
        if (!alone || !somebody_listens(family, (uint16_t)port))
            return (uint16_t)port;
    }
    return 0;
}

static void judge(const char *name, enum trap_answer answer, const struct addr_port *to,
                  const struct addr_port *from, struct trap *trap, struct report *report,
                  unsigned proxy_port)
{
    char text[ADDR_TEXT_MAX];
    struct err err;
    addr_port_format(to, text);
    if (answer != TRAP_CONNECTED)
        report_add(report, name, REPORT_FAILED, ERR_CAPTURE_FAILED,
                   "a connection from outside to %s was not captured: %s, expected an answer from "
                   "port %u",
                   text, answer == TRAP_REFUSED ? "it was refused" : "there was no answer",
                   proxy_port);
    else if (trap->fd < 0)
        report_add(report, name, REPORT_PROVEN, ERR_OK,
                   "a connection from outside to %s, where nobody listens, was answered at once; "
                   "port %u is in use, so the original destination was not looked at",
                   text, proxy_port);
    else if (trap_catch(trap, from, to, &err) == ERR_OK)
        report_add(report, name, REPORT_PROVEN, ERR_OK,
                   "a connection from outside to %s arrived at port %u with its original "
                   "destination",
                   text, proxy_port);
    else
        report_add(report, name, REPORT_FAILED, err.code, "%s", err.text);
}

static enum err_code connect_from_outside(const struct capture *capture, struct outsider *outsider,
                                          int family, struct trap *trap, struct report *report,
                                          struct err *err)
{
    const char *name = names[family == AF_INET6];
    struct addr_port to, from = {0};
    enum trap_answer answer;
    to.port = choose_port(capture, family, trap->fd < 0);
    if (to.port == 0)
        return err_set(err, ERR_NOT_FOUND,
                       "somebody listens on every port that is captured, and port %u is in use; "
                       "run verify before the application and the proxy start",
                       (unsigned)capture->inbound_port);
    if (outsider_join(outsider, family, &to.ip, err) != ERR_OK)
        return err->code;
    if (outsider_connect(outsider, &to, &answer, &from, err) != ERR_OK)
        return err->code;
    if (answer == TRAP_NO_ROUTE || answer == TRAP_BROKEN)
        return err_set(err, ERR_SYSTEM, "the process outside of the pod could not send anything");
    judge(name, answer, &to, &from, trap, report, (unsigned)capture->inbound_port);
    return ERR_OK;
}

static void probe_family(const struct capture *capture, struct outsider *outsider, int family,
                         struct report *report)
{
    struct trap trap;
    struct err err;
    enum err_code code = trap_open(&trap, family, (uint16_t)capture->inbound_port, &err);
    if (code == ERR_OK)
        code = connect_from_outside(capture, outsider, family, &trap, report, &err);
    trap_close(&trap);
    if (code != ERR_OK)
        report_add(report, names[family == AF_INET6],
                   code == ERR_NOT_FOUND || code == ERR_PERMISSION ? REPORT_SKIPPED : REPORT_FAILED,
                   code, "%s", err.text);
}

void probe_inbound(const struct capture *capture, struct report *report)
{
    struct outsider outsider;
    struct err err;
    enum err_code code = outsider_start(&outsider, &err);
    if (code == ERR_PERMISSION || code == ERR_NOT_FOUND) {
        report_add(report, "inbound", REPORT_SKIPPED, ERR_OK,
                   "the rules were read back, but no connection from outside was made: %s",
                   err.text);
        return;
    }
    if (code != ERR_OK) {
        report_add(report, "inbound", REPORT_FAILED, code, "%s", err.text);
        return;
    }
    probe_family(capture, &outsider, AF_INET, report);
    probe_family(capture, &outsider, AF_INET6, report);
    outsider_stop(&outsider);
}
