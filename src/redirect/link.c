#include "redirect/link.h"

#include <errno.h>
#include <linux/if_addr.h>
#include <linux/if_link.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <linux/veth.h>
#include <net/if.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"

enum { REQUEST_MAX = 512, POLL_STEP_MS = 5 };

/* A request under construction. Names and attributes are our own, so what does not fit is a bug of
 * ours. */
struct request {
    union {
        struct nlmsghdr header;
        unsigned char bytes[REQUEST_MAX];
    } u;
};

static void *append(struct request *request, const void *data, size_t len)
{
    size_t used = NLMSG_ALIGN(request->u.header.nlmsg_len);
    if (used + len > REQUEST_MAX)
        abort();
    void *at = request->u.bytes + used;
    if (data)
        memcpy(at, data, len);
    request->u.header.nlmsg_len = (uint32_t)(used + len);
    return at;
}

static void begin(struct request *request, uint16_t type, uint16_t flags, const void *body,
                  size_t len)
{
    memset(request, 0, sizeof *request);
    request->u.header.nlmsg_len = NLMSG_HDRLEN;
    request->u.header.nlmsg_type = type;
    request->u.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_ACK | flags;
    append(request, body, len);
}

static struct rtattr *attribute(struct request *request, uint16_t type, const void *data,
                                size_t len)
{
    struct rtattr header = {.rta_len = (uint16_t)RTA_LENGTH(len), .rta_type = type};
    struct rtattr *at = append(request, &header, sizeof header);
    if (len > 0)
        append(request, data, len);
    return at;
}

static void end_nested(struct request *request, struct rtattr *nested)
{
    unsigned char *end = request->u.bytes + NLMSG_ALIGN(request->u.header.nlmsg_len);
    nested->rta_len = (uint16_t)(end - (unsigned char *)nested);
    request->u.header.nlmsg_len = (uint32_t)(end - request->u.bytes);
}

/* Sends the request and reads the kernel's answer: 0 or an errno value. */
static int transact(struct request *request)
{
    union {
        struct nlmsghdr header;
        unsigned char bytes[4096];
    } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE), sys = 0;
    if (fd < 0)
        return errno;
    ssize_t len = send(fd, request, request->u.header.nlmsg_len, 0);
    if (len >= 0)
        len = recv(fd, &answer, sizeof answer, 0);
    if (len < 0)
        sys = errno;
    else if ((size_t)len < NLMSG_LENGTH(sizeof(struct nlmsgerr)) ||
             answer.header.nlmsg_type != NLMSG_ERROR)
        sys = EPROTO;
    else
        sys = -((struct nlmsgerr *)NLMSG_DATA(&answer.header))->error;
    close(fd);
    return sys;
}

static enum err_code explain(int sys, const char *tried, const char *name, struct err *err)
{
    enum err_code code = ERR_SYSTEM;
    if (sys == 0)
        return ERR_OK;
    if (sys == EPERM)
        code = ERR_PERMISSION;
    else if (sys == EOPNOTSUPP || sys == EAFNOSUPPORT)
        code = ERR_NOT_FOUND;
    return err_sys(err, code, sys, "cannot %s %s", tried, name);
}

enum err_code link_add_pair(const char *name, pid_t peer, struct err *err)
{
    struct request request;
    struct ifinfomsg here = {.ifi_family = AF_UNSPEC}, there = {.ifi_family = AF_UNSPEC};
    uint32_t peer_pid = (uint32_t)peer;
    begin(&request, RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, &here, sizeof here);
    attribute(&request, IFLA_IFNAME, name, strlen(name) + 1);
    struct rtattr *info = attribute(&request, IFLA_LINKINFO, NULL, 0);
    attribute(&request, IFLA_INFO_KIND, "veth", 4);
    struct rtattr *data = attribute(&request, IFLA_INFO_DATA, NULL, 0);
    struct rtattr *end = attribute(&request, VETH_INFO_PEER, &there, sizeof there);
    attribute(&request, IFLA_IFNAME, name, strlen(name) + 1);
    attribute(&request, IFLA_NET_NS_PID, &peer_pid, sizeof peer_pid);
    end_nested(&request, end);
    end_nested(&request, data);
    end_nested(&request, info);
    return explain(transact(&request), "make the virtual interface", name, err);
}

enum err_code link_add_address(const char *name, const struct addr_prefix *address, struct err *err)
{
    struct request request;
    struct ifaddrmsg body = {.ifa_family = address->ip.len == 4 ? AF_INET : AF_INET6,
                             .ifa_prefixlen = address->bits,
                             .ifa_flags = address->ip.len == 4 ? 0 : IFA_F_NODAD,
                             .ifa_index = if_nametoindex(name)};
    begin(&request, RTM_NEWADDR, NLM_F_CREATE | NLM_F_EXCL, &body, sizeof body);
    attribute(&request, IFA_LOCAL, address->ip.bytes, address->ip.len);
    attribute(&request, IFA_ADDRESS, address->ip.bytes, address->ip.len);
    int sys = transact(&request);
    if (sys == EACCES)
        return err_set(err, ERR_NOT_FOUND, "IPv6 is switched off in this network namespace");
    return explain(sys, "give an address to the interface", name, err);
}

enum err_code link_set_up(const char *name, struct err *err)
{
    struct request request;
    struct ifinfomsg body = {.ifi_family = AF_UNSPEC,
                             .ifi_index = (int)if_nametoindex(name),
                             .ifi_flags = IFF_UP,
                             .ifi_change = IFF_UP};
    begin(&request, RTM_NEWLINK, 0, &body, sizeof body);
    return explain(transact(&request), "switch on the interface", name, err);
}

bool link_await_running(const char *name, int wait_ms)
{
    int64_t deadline_ms = clock_now_ms() + wait_ms;
    struct ifreq query = {0};
    bool running = false;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    snprintf(query.ifr_name, sizeof query.ifr_name, "%s", name);
    while (fd >= 0 && !running) {
        running = ioctl(fd, SIOCGIFFLAGS, &query) == 0 && (query.ifr_flags & IFF_RUNNING);
        if (!running && (clock_now_ms() >= deadline_ms || poll(NULL, 0, POLL_STEP_MS) < 0))
            break;
    }
    if (fd >= 0)
        close(fd);
    return running;
}

enum err_code link_remove(const char *name, struct err *err)
{
    struct request request;
    struct ifinfomsg body = {.ifi_family = AF_UNSPEC, .ifi_index = (int)if_nametoindex(name)};
    if (body.ifi_index == 0)
        return ERR_OK;
    begin(&request, RTM_DELLINK, 0, &body, sizeof body);
    return explain(transact(&request), "remove the interface", name, err);
}
