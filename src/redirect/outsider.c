/* The interfaces vanish with the child's namespace, and the child dies with its parent, so that a
 * verify that is killed leaves nothing in the pod. */
#include "redirect/outsider.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "redirect/link.h"

#define OUTSIDER_INTERFACE "hfprobe0"

enum { ANSWER_WAIT_MS = 2 * TRAP_WAIT_MS, RUNNING_WAIT_MS = 1000 };

/* Documentation ranges, so that nobody's traffic takes the way of these interfaces meanwhile. */
static const char *const pod_addresses[] = {"203.0.113.253/30", "2001:db8:6866::1/64"};
static const char *const own_addresses[] = {"203.0.113.254/30", "2001:db8:6866::2/64"};

struct order {
    enum { ORDER_JOIN, ORDER_CONNECT } kind;
    int family;
    struct addr_port to;
};

struct answer {
    int sys; /* of the start: errno, or 0 */
    enum err_code code;
    struct err err;
    enum trap_answer connected;
    struct addr_port from;
};

/* --- the child ------------------------------------------------------------------------------- */

static int leave_namespace(void)
{
    if (unshare(CLONE_NEWNET) == 0)
        return 0;
    if (errno == EPERM && unshare(CLONE_NEWUSER | CLONE_NEWNET) == 0)
        return 0;
    return errno;
}

static enum err_code child_join(int family, struct err *err)
{
    struct addr_prefix own;
    addr_prefix_parse(&own, own_addresses[family == AF_INET6]);
    if (link_set_up(OUTSIDER_INTERFACE, err) != ERR_OK)
        return err->code;
    if (link_add_address(OUTSIDER_INTERFACE, &own, err) != ERR_OK)
        return err->code;
    link_await_running(OUTSIDER_INTERFACE, RUNNING_WAIT_MS);
    return ERR_OK;
}

static void child_serve(int channel)
{
    struct order order;
    int fd = -1;
    while (recv(channel, &order, sizeof order, 0) == (ssize_t)sizeof order) {
        struct answer answer;
        memset(&answer, 0, sizeof answer);
        if (fd >= 0)
            trap_drop(fd);
        fd = -1;
        if (order.kind == ORDER_JOIN) {
            answer.code = child_join(order.family, &answer.err);
        } else {
            answer.connected = trap_connect(&order.to, &fd, &answer.from);
            if (answer.connected == TRAP_NO_ROUTE || answer.connected == TRAP_BROKEN)
                fd = -1;
        }
        if (send(channel, &answer, sizeof answer, MSG_NOSIGNAL) != (ssize_t)sizeof answer)
            return;
    }
}

static void child_main(int channel, pid_t parent)
{
    struct answer answer;
    memset(&answer, 0, sizeof answer);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    answer.sys = leave_namespace();
    if (send(channel, &answer, sizeof answer, MSG_NOSIGNAL) == (ssize_t)sizeof answer)
        child_serve(channel);
    _exit(0);
}

/* --- the parent ------------------------------------------------------------------------------ */

static bool receive(struct outsider *outsider, struct answer *answer)
{
    struct pollfd ready = {.fd = outsider->channel, .events = POLLIN};
    int count;
    do {
        count = poll(&ready, 1, ANSWER_WAIT_MS);
    } while (count < 0 && errno == EINTR);
    return count > 0 &&
           recv(outsider->channel, answer, sizeof *answer, 0) == (ssize_t)sizeof *answer;
}

static enum err_code ask(struct outsider *outsider, const struct order *order,
                         struct answer *answer, struct err *err)
{
    if (send(outsider->channel, order, sizeof *order, MSG_NOSIGNAL) != (ssize_t)sizeof *order ||
        !receive(outsider, answer))
        return err_set(err, ERR_SYSTEM, "the process outside of the pod ended unexpectedly");
    if (answer->code != ERR_OK && err)
        *err = answer->err;
    return answer->code;
}

static enum err_code make_interfaces(struct outsider *outsider, struct err *err)
{
    struct answer answer;
    if (!receive(outsider, &answer))
        return err_set(err, ERR_SYSTEM, "the process outside of the pod ended unexpectedly");
    if (answer.sys == EPERM || answer.sys == ENOSPC || answer.sys == EACCES)
        return err_sys(err, ERR_PERMISSION, answer.sys,
                       "a second network namespace needs CAP_SYS_ADMIN or user namespaces");
    if (answer.sys != 0)
        return err_sys(err, ERR_SYSTEM, answer.sys, "cannot make a second network namespace");
    link_remove(OUTSIDER_INTERFACE, NULL); /* one whose namespace is still being taken down */
    if (link_add_pair(OUTSIDER_INTERFACE, outsider->pid, err) != ERR_OK)
        return err->code;
    return link_set_up(OUTSIDER_INTERFACE, err);
}

enum err_code outsider_start(struct outsider *outsider, struct err *err)
{
    int ends[2];
    outsider->channel = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) != 0)
        return err_sys(err, ERR_SYSTEM, errno, "cannot make a socket pair");
    pid_t parent = getpid();
    outsider->pid = fork();
    if (outsider->pid == 0) {
        close(ends[0]);
        child_main(ends[1], parent);
    }
    int sys = errno;
    close(ends[1]);
    if (outsider->pid < 0) {
        close(ends[0]);
        return err_sys(err, ERR_SYSTEM, sys, "cannot start a process outside of the pod");
    }
    outsider->channel = ends[0];
    enum err_code code = make_interfaces(outsider, err);
    if (code != ERR_OK)
        outsider_stop(outsider);
    return code;
}

enum err_code outsider_join(struct outsider *outsider, int family, struct addr *pod,
                            struct err *err)
{
    struct addr_prefix address;
    struct order order = {.kind = ORDER_JOIN, .family = family};
    struct answer answer;
    addr_prefix_parse(&address, pod_addresses[family == AF_INET6]);
    *pod = address.ip;
    if (link_add_address(OUTSIDER_INTERFACE, &address, err) != ERR_OK)
        return err->code;
    return ask(outsider, &order, &answer, err);
}

enum err_code outsider_connect(struct outsider *outsider, const struct addr_port *to,
                               enum trap_answer *connected, struct addr_port *from, struct err *err)
{
    struct order order = {.kind = ORDER_CONNECT, .to = *to};
    struct answer answer;
    if (ask(outsider, &order, &answer, err) != ERR_OK)
        return err->code;
    *connected = answer.connected;
    *from = answer.from;
    return ERR_OK;
}

void outsider_stop(struct outsider *outsider)
{
    if (outsider->channel < 0)
        return;
    link_remove(OUTSIDER_INTERFACE, NULL);
    close(outsider->channel);
    kill(outsider->pid, SIGKILL);
    while (waitpid(outsider->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    outsider->channel = -1;
}
