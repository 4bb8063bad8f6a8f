#include "redirect/capture.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRY_MAX = 64 };

void capture_init(struct capture *capture)
{
    memset(capture, 0, sizeof *capture);
    capture->outbound_port = 15001;
    capture->inbound_port = 15006;
    capture->metrics_port = 15020;
    capture->health_port = 15021;
    capture->proxy_uid = 1337;
}

typedef enum err_code add_entry(void *list, const char *entry, struct err *err);

/* Calls `add` for every entry of a comma list. */
static enum err_code add_each(void *list, const char *text, add_entry *add, struct err *err)
{
    static const char blanks[] = " \t";
    if (text[strspn(text, blanks)] == 0)
        return ERR_OK;
    for (bool more = true; more;) {
        text += strspn(text, blanks);
        size_t span = strcspn(text, ","), len = span;
        while (len > 0 && strchr(blanks, text[len - 1]))
            len--;
        if (len == 0)
            return err_set(err, ERR_USAGE,
                           "there is an empty entry in the list; entries are "
                           "separated by one comma");
        if (len >= ENTRY_MAX)
            return err_set(err, ERR_USAGE, "the entry '%.60s...' is too long", text);
        char entry[ENTRY_MAX];
        memcpy(entry, text, len);
        entry[len] = 0;
        if (add(list, entry, err) != ERR_OK)
            return ERR_USAGE;
        more = text[span] == ',';
        text += span + more;
    }
    return ERR_OK;
}

static enum err_code full(const char *entry, struct err *err)
{
    return err_set(err, ERR_USAGE, "'%s' is one entry too many: a list holds at most %d", entry,
                   CAPTURE_LIST_MAX);
}

static enum err_code add_port(void *arg, const char *entry, struct err *err)
{
    struct capture_ports *list = arg;
    char *end;
    unsigned long value = strtoul(entry, &end, 10);
    if (*entry < '0' || *entry > '9' || *end || strlen(entry) > 5 || value < 1 || value > 65535)
        return err_set(err, ERR_USAGE, "'%s' is not a port: expected a number from 1 to 65535",
                       entry);
    uint16_t port = (uint16_t)value;
    unsigned at = 0;
    while (at < list->count && list->ports[at] < port)
        at++;
    if (at < list->count && list->ports[at] == port)
        return ERR_OK;
    if (list->count == CAPTURE_LIST_MAX)
        return full(entry, err);
    memmove(&list->ports[at + 1], &list->ports[at], (list->count - at) * sizeof list->ports[0]);
    list->ports[at] = port;
    list->count++;
    return ERR_OK;
}

static void clear_host_bits(struct addr_prefix *prefix)
{
    for (unsigned bit = prefix->bits; bit < prefix->ip.len * 8U; bit++)
        prefix->ip.bytes[bit / 8] &= (uint8_t) ~(0x80U >> bit % 8);
}

static bool prefix_inside(const struct addr_prefix *inner, const struct addr_prefix *outer)
{
    return inner->bits >= outer->bits && addr_prefix_contains(outer, &inner->ip);
}

static bool prefix_before(const struct addr_prefix *a, const struct addr_prefix *b)
{
    if (a->ip.len != b->ip.len)
        return a->ip.len < b->ip.len;
    return memcmp(a->ip.bytes, b->ip.bytes, a->ip.len) < 0;
}

static enum err_code add_prefix(void *arg, const char *entry, struct err *err)
{
    struct capture_prefixes *list = arg;
    struct addr_prefix prefix;
    if (!addr_prefix_parse(&prefix, entry))
        return err_set(err, ERR_USAGE,
                       "'%s' is not an address range: expected one like 10.0.0.0/8 or fd00::/8",
                       entry);
    clear_host_bits(&prefix);
    unsigned kept = 0;
    for (unsigned i = 0; i < list->count; i++) {
        if (prefix_inside(&prefix, &list->prefixes[i]))
            return ERR_OK; /* nothing was moved yet: none inside another, so nobody was inside it */
        if (!prefix_inside(&list->prefixes[i], &prefix))
            list->prefixes[kept++] = list->prefixes[i];
    }
    list->count = kept;
    if (list->count == CAPTURE_LIST_MAX)
        return full(entry, err);
    unsigned at = list->count++;
    for (; at > 0 && prefix_before(&prefix, &list->prefixes[at - 1]); at--)
        list->prefixes[at] = list->prefixes[at - 1];
    list->prefixes[at] = prefix;
    return ERR_OK;
}

/* The kernel takes nearly anything as a name; ours go into a text that nftables parses. */
static bool interface_name_valid(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-@+";
    return strlen(name) < CAPTURE_INTERFACE_MAX && name[strspn(name, allowed)] == 0 &&
           strcmp(name, ".") != 0 && strcmp(name, "..") != 0;
}

static enum err_code add_interface(void *arg, const char *entry, struct err *err)
{
    struct capture_interfaces *list = arg;
    if (!interface_name_valid(entry))
        return err_set(err, ERR_USAGE,
                       "'%s' is not an interface: expected a name like net1, at most %d letters, "
                       "digits and . _ - @ +",
                       entry, CAPTURE_INTERFACE_MAX - 1);
    unsigned at = 0;
    while (at < list->count && strcmp(list->names[at], entry) < 0)
        at++;
    if (at < list->count && strcmp(list->names[at], entry) == 0)
        return ERR_OK;
    if (list->count == CAPTURE_LIST_MAX)
        return full(entry, err);
    memmove(list->names[at + 1], list->names[at], (list->count - at) * sizeof list->names[0]);
    memset(list->names[at], 0, sizeof list->names[at]);
    memcpy(list->names[at], entry, strlen(entry));
    list->count++;
    return ERR_OK;
}

enum err_code capture_add_ports(void *list, const char *text, struct err *err)
{
    return add_each(list, text, add_port, err);
}

enum err_code capture_add_prefixes(void *list, const char *text, struct err *err)
{
    return add_each(list, text, add_prefix, err);
}

enum err_code capture_add_interfaces(void *list, const char *text, struct err *err)
{
    return add_each(list, text, add_interface, err);
}

bool capture_ports_contain(const struct capture_ports *list, uint16_t port)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (list->ports[i] == port)
            return true;
    }
    return false;
}

bool capture_prefixes_contain(const struct capture_prefixes *list, const struct addr *addr)
{
    for (unsigned i = 0; i < list->count; i++) {
        if (addr_prefix_contains(&list->prefixes[i], addr))
            return true;
    }
    return false;
}

static enum err_code check_own_ports(const struct capture *capture, struct err *err)
{
    const struct {
        const char *option;
        int64_t port;
    } own[] = {{"--outbound-port", capture->outbound_port},
               {"--inbound-port", capture->inbound_port},
               {"--metrics-port", capture->metrics_port},
               {"--health-port", capture->health_port}};
    for (unsigned i = 0; i < sizeof own / sizeof own[0]; i++) {
        for (unsigned j = i + 1; j < sizeof own / sizeof own[0]; j++) {
            if (own[i].port == own[j].port)
                return err_set(err, ERR_USAGE,
                               "%s and %s are both %lld: each of the proxy's ports has one role",
                               own[i].option, own[j].option, (long long)own[i].port);
        }
        if (i < 2 && capture_ports_contain(&capture->exclude_inbound, (uint16_t)own[i].port))
            return err_set(err, ERR_USAGE,
                           "--exclude-inbound-ports names %lld, which is %s: the proxy's listeners "
                           "are reached through the redirect only",
                           (long long)own[i].port, own[i].option);
    }
    return ERR_OK;
}

static enum err_code check_both(const struct capture_ports *include,
                                const struct capture_ports *exclude, const char *direction,
                                struct err *err)
{
    for (unsigned i = 0; i < include->count; i++) {
        if (capture_ports_contain(exclude, include->ports[i]))
            return err_set(err, ERR_USAGE,
                           "port %u is in both --include-%s-ports and --exclude-%s-ports: leave it "
                           "out of one of them",
                           include->ports[i], direction, direction);
    }
    return ERR_OK;
}

enum err_code capture_check(const struct capture *capture, struct err *err)
{
    if (capture->proxy_uid == 0)
        return err_set(err, ERR_USAGE,
                       "--proxy-uid is 0: everything that runs as root would bypass the proxy; "
                       "give it a uid of its own, such as 1337");
    if (check_own_ports(capture, err) != ERR_OK)
        return ERR_USAGE;
    if (check_both(&capture->include_inbound, &capture->exclude_inbound, "inbound", err) !=
            ERR_OK ||
        check_both(&capture->include_outbound, &capture->exclude_outbound, "outbound", err) !=
            ERR_OK)
        return ERR_USAGE;
    for (unsigned i = 0; i < capture->exclude_interfaces.count; i++) {
        if (strcmp(capture->exclude_interfaces.names[i], "lo") == 0)
            return err_set(err, ERR_USAGE,
                           "--exclude-interfaces names lo: loopback traffic is "
                           "never captured, leave it out");
    }
    return ERR_OK;
}

static bool own_port(const struct capture *capture, uint16_t port)
{
    return port == capture->inbound_port || port == capture->outbound_port;
}

static bool open_port(const struct capture *capture, uint16_t port)
{
    return port == capture->metrics_port || port == capture->health_port;
}

bool capture_wants_inbound(const struct capture *capture, uint16_t port)
{
    if (own_port(capture, port))
        return true;
    if (open_port(capture, port) || capture_ports_contain(&capture->exclude_inbound, port))
        return false;
    return capture->include_inbound.count == 0 ||
           capture_ports_contain(&capture->include_inbound, port);
}

/* The rule about link-local and multicast destinations is in rules.c; nobody asks about those. */
bool capture_wants_outbound(const struct capture *capture, const struct addr_port *destination)
{
    const struct capture_prefixes *include = &capture->include_outbound_cidrs;
    if (open_port(capture, destination->port) ||
        capture_ports_contain(&capture->exclude_outbound, destination->port) ||
        capture_prefixes_contain(&capture->exclude_outbound_cidrs, &destination->ip))
        return false;
    return include->count == 0 || capture_prefixes_contain(include, &destination->ip) ||
           capture_ports_contain(&capture->include_outbound, destination->port);
}
