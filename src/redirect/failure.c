#include "redirect/failure.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

enum { QUOTE_MAX = 160 };

#define PROBE_TABLE "inet handfast_probe"
#define PROBE_CHAIN(type, hook)                                                                    \
    "add table " PROBE_TABLE "\nadd chain " PROBE_TABLE " c { type " type " hook " hook            \
    " priority -100; }\n"

/* From the first that everything needs to the last; what a script adds to the one before it is the
 * part of the kernel that is named. */
static const struct {
    const char *module, *purpose, *script;
} parts[] = {
    {"nf_tables", "nftables with tables of family inet", "add table " PROBE_TABLE "\n"},
    {"nf_tables", "packet filtering by nftables", PROBE_CHAIN("filter", "input")},
    {"nft_chain_nat", "address translation by nftables", PROBE_CHAIN("nat", "output")},
    {"nft_redir", "the redirect statement of nftables",
     PROBE_CHAIN("nat", "output") "add rule " PROBE_TABLE " c meta l4proto tcp redirect to :1\n"},
    {"nft_fib_inet", "address lookups in nftables rules",
     PROBE_CHAIN("nat", "prerouting") "add rule " PROBE_TABLE " c fib daddr type local accept\n"},
    {"nft_counter", "counters in nftables rules",
     PROBE_CHAIN("nat", "output") "add rule " PROBE_TABLE " c counter\n"},
};

int failure_errno(const char *message)
{
    static const int known[] = {EPERM,     EACCES,  ENOENT,          EOPNOTSUPP,      EAFNOSUPPORT,
                                EINVAL,    EBUSY,   EPROTONOSUPPORT, EPROTOTYPE,      EEXIST,
                                ENOBUFS,   ENOMEM,  EMFILE,          ESOCKTNOSUPPORT, ENOSYS,
                                EOVERFLOW, EMSGSIZE};
    for (unsigned i = 0; i < sizeof known / sizeof known[0]; i++) {
        char text[80];
        if (strstr(message, strerror_r(known[i], text, sizeof text)))
            return known[i];
    }
    return 0;
}

static bool may_be_missing_part(int sys)
{
    return sys == ENOENT || sys == EOPNOTSUPP || sys == EAFNOSUPPORT || sys == EPROTONOSUPPORT ||
           sys == EPROTOTYPE || sys == ESOCKTNOSUPPORT || sys == EINVAL;
}

static enum err_code explain_privilege(const struct failure *failure, struct err *err)
{
    if (!failure->net_admin)
        return err_set(err, ERR_PERMISSION,
                       "cannot %s: this process lacks the capability CAP_NET_ADMIN; run it as "
                       "root, or add NET_ADMIN to the capabilities of the init container",
                       failure->tried);
    return err_set(err, ERR_PERMISSION,
                   "cannot %s: the kernel says no although this process has CAP_NET_ADMIN; the "
                   "capability must hold in the user namespace that owns the network namespace, "
                   "and no security module may take it away",
                   failure->tried);
}

/* One line, printable, cut: libnftables answers with the whole script and marks under it. */
static void quote(const char *message, char out[QUOTE_MAX])
{
    static const char prefix[] = "Error: ";
    if (strncmp(message, prefix, sizeof prefix - 1) == 0)
        message += sizeof prefix - 1;
    unsigned len = 0;
    for (; len < QUOTE_MAX - 1 && message[len] && message[len] != '\n'; len++)
        out[len] = (unsigned char)message[len] < ' ' ? ' ' : message[len];
    out[len] = 0;
}

enum err_code failure_explain(const struct failure *failure, struct err *err)
{
    int sys = failure_errno(failure->message);
    if (sys == EPERM || sys == EACCES || (sys == 0 && !failure->net_admin)) {
        enum err_code code = explain_privilege(failure, err);
        err->sys = EPERM;
        return code;
    }
    for (unsigned i = 0; may_be_missing_part(sys) && i < sizeof parts / sizeof parts[0]; i++) {
        int answer = failure->attempt(failure->arg, parts[i].script);
        if (answer == 0)
            continue;
        err_set(err, ERR_NFT_MODULE,
                "cannot %s: this kernel has no %s (module %s: %s); load it on the node with "
                "`modprobe %s`, or use a kernel that has it",
                failure->tried, parts[i].purpose, parts[i].module, strerror(answer),
                parts[i].module);
        err->sys = answer;
        return ERR_NFT_MODULE;
    }
    char said[QUOTE_MAX];
    quote(failure->message, said);
    err_set(err, ERR_NFT,
            "cannot %s: nftables refused, and neither a privilege nor a kernel module is missing; "
            "it said \"%s\"",
            failure->tried, *said ? said : "nothing");
    err->sys = sys;
    return ERR_NFT;
}
