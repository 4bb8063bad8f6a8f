/* The order of the rules is the order in which the first packet of a connection meets them:
 *
 *   prerouting  from outside: leave exemptions alone, redirect the rest to the inbound port
 *   input       the same again after the redirect: a SYN that is still addressed to the
 *               application's own port has slipped past it, and is dropped
 *   output      from this pod: leave the proxy and exemptions alone, redirect the rest
 *
 * Why the SYN is looked at. Conntrack takes a packet in the middle of a connection that it does not
 * know for the first of a new one. Redirecting it would cut every connection older than the rules,
 * so only a SYN is redirected. Then somebody could send an ACK first, which makes an entry that
 * is not redirected, and the SYN after it, which finds that entry: the chain `input` closes
 * this door. It also refuses what conntrack calls invalid, which passes the nat chains unseen. */
#include "redirect/rules.h"

#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

/* The names of the priorities, dstnat and filter, are not known for every hook. */
const struct rules_chain rules_chains[RULES_CHAIN_COUNT] = {
    {"prerouting", "nat", "prerouting", -100},
    {"input", "filter", "input", 0},
    {"output", "nat", "output", -100},
};

#define NOT_A_SYN "tcp flags & (fin | syn | rst | ack) != syn"

static void write_ports(FILE *out, const struct capture_ports *list)
{
    fputs("{ ", out);
    for (unsigned i = 0; i < list->count; i++)
        fprintf(out, "%s%u", i ? ", " : "", list->ports[i]);
    fputs(" }", out);
}

static void write_interfaces(FILE *out, const char *direction,
                             const struct capture_interfaces *list)
{
    if (list->count == 0)
        return;
    fprintf(out, "\t\t%s { ", direction);
    for (unsigned i = 0; i < list->count; i++)
        fprintf(out, "%s\"%s\"", i ? ", " : "", list->names[i]);
    fputs(" } counter accept comment \"excluded interface\"\n", out);
}

/* `before`, then `ip daddr { ... }` with the prefixes of one family; false, and nothing, when there
 * are none. */
static bool write_daddr(FILE *out, const char *before, const struct capture_prefixes *list,
                        uint8_t addr_len, const char *operator)
{
    char text[ADDR_TEXT_MAX];
    unsigned written = 0;
    for (unsigned i = 0; i < list->count; i++) {
        const struct addr_prefix *prefix = &list->prefixes[i];
        if (prefix->ip.len != addr_len)
            continue;
        if (written++ == 0)
            fprintf(out, "%s%s daddr %s{ ", before, addr_len == 4 ? "ip" : "ip6", operator);
        else
            fputs(", ", out);
        fprintf(out, "%s/%u", addr_format(&prefix->ip, text), prefix->bits);
    }
    if (written > 0)
        fputs(" }", out);
    return written > 0;
}

static void write_excluded(FILE *out, const struct capture *capture, uint8_t addr_len)
{
    if (write_daddr(out, "\t\t", &capture->exclude_outbound_cidrs, addr_len, ""))
        fputs(" counter accept comment \"excluded outbound range\"\n", out);
}

/* And its opposite, `ip daddr != { ... }`, for everything but some ports. A family of which there
 * is no prefix is left alone as a whole. */
static void write_not_included(FILE *out, const struct capture *capture, uint8_t addr_len)
{
    fputs("\t\t", out);
    if (capture->include_outbound.count > 0) {
        fputs("tcp dport != ", out);
        write_ports(out, &capture->include_outbound);
        fputs(" ", out);
    }
    if (!write_daddr(out, "", &capture->include_outbound_cidrs, addr_len, "!= "))
        fprintf(out, "meta nfproto %s", addr_len == 4 ? "ipv4" : "ipv6");
    fputs(" counter accept comment \"not an included outbound range\"\n", out);
}

static void write_open_ports(FILE *out, const struct capture *capture)
{
    struct capture_ports open = {.count = 2};
    bool swap = capture->metrics_port > capture->health_port;
    open.ports[swap] = (uint16_t)capture->metrics_port;
    open.ports[!swap] = (uint16_t)capture->health_port;
    fputs("\t\ttcp dport ", out);
    write_ports(out, &open);
    fputs(" counter accept comment \"metrics and health of the proxy\"\n", out);
}

/* What both chains that look at arriving packets leave alone. */
static void write_inbound_exemptions(FILE *out, const struct capture *capture)
{
    write_interfaces(out, "iifname", &capture->exclude_interfaces);
    write_open_ports(out, capture);
    if (capture->exclude_inbound.count > 0) {
        fputs("\t\ttcp dport ", out);
        write_ports(out, &capture->exclude_inbound);
        fputs(" counter accept comment \"excluded inbound port\"\n", out);
    }
    if (capture->include_inbound.count > 0) {
        fprintf(out, "\t\ttcp dport != { %u, %u", (unsigned)capture->outbound_port,
                (unsigned)capture->inbound_port);
        for (unsigned i = 0; i < capture->include_inbound.count; i++) {
            uint16_t port = capture->include_inbound.ports[i];
            if (port != capture->outbound_port && port != capture->inbound_port)
                fprintf(out, ", %u", port);
        }
        fputs(" } counter accept comment \"not an included inbound port\"\n", out);
    }
}

static void write_prerouting(FILE *out, const struct capture *capture)
{
    fputs("\t\tmeta l4proto != tcp counter accept comment \"not TCP\"\n"
          "\t\tiifname \"lo\" counter accept comment \"loopback\"\n"
          "\t\tfib daddr type != local counter accept comment \"forwarded, not for this pod\"\n",
          out);
    write_inbound_exemptions(out, capture);
    fprintf(out,
            "\t\t" NOT_A_SYN " counter accept comment \"connection older than the rules\"\n"
            "\t\tmeta l4proto tcp counter redirect to :%u comment \"captured inbound\"\n",
            (unsigned)capture->inbound_port);
}

static void write_input(FILE *out, const struct capture *capture)
{
    fprintf(out,
            "\t\tiifname \"lo\" accept comment \"loopback\"\n"
            "\t\tmeta l4proto != tcp accept comment \"not TCP\"\n"
            "\t\t" NOT_A_SYN " accept comment \"not a new connection\"\n"
            "\t\ttcp dport %u counter accept comment \"captured inbound\"\n",
            (unsigned)capture->inbound_port);
    write_inbound_exemptions(out, capture);
    fputs("\t\tmeta l4proto tcp counter drop comment \"slipped past the redirect\"\n", out);
}

static void write_output(FILE *out, const struct capture *capture)
{
    fprintf(out,
            "\t\tmeta l4proto != tcp counter accept comment \"not TCP\"\n"
            "\t\tmeta skuid %u counter accept comment \"the proxy's own\"\n"
            "\t\tmeta skgid %u counter accept comment \"the proxy's own\"\n"
            "\t\toifname \"lo\" counter accept comment \"loopback\"\n",
            (unsigned)capture->proxy_uid, (unsigned)capture->proxy_uid);
    write_interfaces(out, "oifname", &capture->exclude_interfaces);
    fputs("\t\tip daddr { 169.254.0.0/16, 224.0.0.0/4 } counter accept"
          " comment \"link-local and multicast\"\n"
          "\t\tip6 daddr { fe80::/10, ff00::/8 } counter accept"
          " comment \"link-local and multicast\"\n",
          out);
    write_open_ports(out, capture);
    if (capture->exclude_outbound.count > 0) {
        fputs("\t\ttcp dport ", out);
        write_ports(out, &capture->exclude_outbound);
        fputs(" counter accept comment \"excluded outbound port\"\n", out);
    }
    write_excluded(out, capture, 4);
    write_excluded(out, capture, 16);
    if (capture->include_outbound_cidrs.count > 0) {
        write_not_included(out, capture, 4);
        write_not_included(out, capture, 16);
    }
    fprintf(out,
            "\t\t" NOT_A_SYN " counter accept comment \"connection older than the rules\"\n"
            "\t\tmeta l4proto tcp counter redirect to :%u comment \"captured outbound\"\n",
            (unsigned)capture->outbound_port);
}

/* In the order of rules_chains. */
static void (*const write_rules[RULES_CHAIN_COUNT])(FILE *out, const struct capture *capture) = {
    write_prerouting, write_input, write_output};

static enum err_code finish(FILE *out, char **text, struct err *err)
{
    bool failed = ferror(out) != 0;
    if (fclose(out) == 0 && !failed)
        return ERR_OK;
    free(*text);
    *text = NULL;
    return err_set(err, ERR_NO_MEMORY, "no memory for the text of the rules");
}

enum err_code rules_format(const struct capture *capture, const char *table, bool detached,
                           char **text, struct err *err)
{
    size_t len;
    FILE *out = open_memstream(text, &len);
    if (!out)
        return err_set(err, ERR_NO_MEMORY, "no memory for the text of the rules");
    /* Adding the table first lets the removal succeed when there is none. */
    fprintf(out, "add table inet %s\ndelete table inet %s\ntable inet %s {\n", table, table, table);
    for (unsigned i = 0; i < RULES_CHAIN_COUNT; i++) {
        const struct rules_chain *chain = &rules_chains[i];
        fprintf(out, "\tchain %s {\n", chain->name);
        if (!detached)
            fprintf(out, "\t\ttype %s hook %s priority %d; policy accept;\n", chain->type,
                    chain->hook, chain->priority);
        write_rules[i](out, capture);
        fputs("\t}\n", out);
    }
    fputs("}\n", out);
    return finish(out, text, err);
}

enum err_code rules_format_removal(const char *table, char **text, struct err *err)
{
    size_t len;
    FILE *out = open_memstream(text, &len);
    if (!out)
        return err_set(err, ERR_NO_MEMORY, "no memory for the text of the rules");
    fprintf(out, "add table inet %s\ndelete table inet %s\n", table, table);
    return finish(out, text, err);
}
