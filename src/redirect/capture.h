/* What is to be captured: the options of `apply` and `verify` as plain values. One thread. */
#ifndef CAPTURE_H
#define CAPTURE_H

#include "base/addr.h"
#include "base/err.h"

enum {
    CAPTURE_LIST_MAX = 256,    /* entries of one list */
    CAPTURE_INTERFACE_MAX = 16 /* IFNAMSIZ: the null included */
};

struct capture_ports {
    unsigned count;
    uint16_t ports[CAPTURE_LIST_MAX]; /* ascending, none twice */
};

struct capture_prefixes {
    unsigned count;
    struct addr_prefix prefixes[CAPTURE_LIST_MAX]; /* IPv4 first, ascending, none inside another */
};

struct capture_interfaces {
    unsigned count;
    char names[CAPTURE_LIST_MAX][CAPTURE_INTERFACE_MAX];
};

struct capture {
    int64_t outbound_port, inbound_port; /* where the proxy listens */
    int64_t metrics_port, health_port;   /* reachable without the proxy's TLS, in and out */
    int64_t proxy_uid;                   /* also the gid; its connections are left alone */
    struct capture_ports exclude_inbound, exclude_outbound;
    struct capture_ports include_inbound;  /* empty: every port */
    struct capture_ports include_outbound; /* captured outside of include_outbound_cidrs, too */
    struct capture_prefixes exclude_outbound_cidrs;
    struct capture_prefixes include_outbound_cidrs; /* empty: everywhere */
    struct capture_interfaces exclude_interfaces;
};

/* The ports of design.md's table, uid 1337, no exclusions. */
void capture_init(struct capture *capture);

/* Add a comma list to *list (a struct capture_ports, _prefixes or _interfaces); blanks around an
 * entry are ignored, repetitions are merged, bits behind a prefix are cleared. An empty text adds
 * nothing. The shape is that of an OPTION_CALL. ERR_USAGE names the entry and what was expected. */
enum err_code capture_add_ports(void *list, const char *text, struct err *err);
enum err_code capture_add_prefixes(void *list, const char *text, struct err *err);
enum err_code capture_add_interfaces(void *list, const char *text, struct err *err);

/* Refuses combinations that cannot be meant: two roles for one port, root as the proxy's user, a
 * port both included and excluded. ERR_USAGE. */
enum err_code capture_check(const struct capture *capture, struct err *err);

bool capture_ports_contain(const struct capture_ports *list, uint16_t port);
/* True when one of the prefixes holds the address. */
bool capture_prefixes_contain(const struct capture_prefixes *list, const struct addr *addr);

/* Whether a new connection from another machine to this port of the pod, or from the pod to this
 * destination, is to be captured by these options. */
bool capture_wants_inbound(const struct capture *capture, uint16_t port);
bool capture_wants_outbound(const struct capture *capture, const struct addr_port *destination);

#endif
