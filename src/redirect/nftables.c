#include "redirect/nftables.h"

#include <errno.h>
#include <linux/capability.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netlink.h>
#include <nftables/libnftables.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "redirect/failure.h"

static bool has_net_admin(void)
{
    struct __user_cap_header_struct header = {.version = _LINUX_CAPABILITY_VERSION_3};
    struct __user_cap_data_struct data[_LINUX_CAPABILITY_U32S_3];
    memset(data, 0, sizeof data);
    if (syscall(SYS_capget, &header, data) != 0)
        return false;
    return data[CAP_TO_INDEX(CAP_NET_ADMIN)].effective & CAP_TO_MASK(CAP_NET_ADMIN);
}

/* Asks nf_tables for its generation number; 0 when it answers, else an errno value. Without this,
 * libnftables prints lines of its own about a missing privilege, and ends the process when there is
 * no netfilter at all. */
static int nf_tables_errno(void)
{
    struct {
        struct nlmsghdr header;
        struct nfgenmsg body;
    } request = {.header = {.nlmsg_len = sizeof request,
                            .nlmsg_type = NFNL_SUBSYS_NFTABLES << 8 | NFT_MSG_GETGEN,
                            .nlmsg_flags = NLM_F_REQUEST},
                 .body = {.nfgen_family = AF_UNSPEC, .version = NFNETLINK_V0}};
    union {
        struct nlmsghdr header;
        unsigned char bytes[1024];
    } answer;
    int fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_NETFILTER), sys = 0;
    if (fd < 0)
        return errno;
    ssize_t len = send(fd, &request, sizeof request, 0);
    if (len >= 0)
        len = recv(fd, &answer, sizeof answer, 0);
    if (len < 0)
        sys = errno;
    else if (answer.header.nlmsg_type == NLMSG_ERROR &&
             (size_t)len >= NLMSG_LENGTH(sizeof(struct nlmsgerr)))
        sys = -((struct nlmsgerr *)NLMSG_DATA(&answer.header))->error;
    close(fd);
    return sys;
}

static struct nft_ctx *open_context(void)
{
    struct nft_ctx *context = nft_ctx_new(NFT_CTX_DEFAULT);
    if (context && nft_ctx_buffer_output(context) == 0 && nft_ctx_buffer_error(context) == 0)
        return context;
    if (context)
        nft_ctx_free(context);
    return NULL;
}

static int attempt(void *arg, const char *script)
{
    (void)arg;
    int sys = nf_tables_errno();
    if (sys != 0)
        return sys;
    struct nft_ctx *context = open_context();
    if (!context)
        return 0; /* no memory says nothing about the kernel */
    nft_ctx_set_dry_run(context, true);
    if (nft_run_cmd_from_buffer(context, script) != 0) {
        sys = failure_errno(nft_ctx_get_error_buffer(context));
        sys = sys ? sys : EINVAL;
    }
    nft_ctx_free(context);
    return sys;
}

static enum err_code explain(const char *tried, const char *message, struct err *err)
{
    struct failure failure = {
        .tried = tried, .message = message, .net_admin = has_net_admin(), .attempt = attempt};
    struct err unwanted;
    return failure_explain(&failure, err ? err : &unwanted);
}

/* Runs the script and leaves the context, with its output, to the caller. NULL on failure. */
static struct nft_ctx *run(const char *tried, const char *script, unsigned flags, struct err *err)
{
    int sys = nf_tables_errno();
    if (sys != 0) {
        explain(tried, strerror(sys), err);
        return NULL;
    }
    struct nft_ctx *context = open_context();
    if (!context) {
        err_set(err, ERR_NO_MEMORY, "cannot %s: out of memory", tried);
        return NULL;
    }
    nft_ctx_output_set_flags(context, flags);
    if (nft_run_cmd_from_buffer(context, script) == 0)
        return context;
    explain(tried, nft_ctx_get_error_buffer(context), err);
    nft_ctx_free(context);
    return NULL;
}

enum err_code nftables_run(const char *script, struct err *err)
{
    struct err inner;
    struct nft_ctx *context = run("change the nftables rules", script, 0, &inner);
    if (context) {
        nft_ctx_free(context);
        return ERR_OK;
    }
    if (err)
        *err = inner;
    return inner.code;
}

/* Listing a table that is not there and a kernel without nftables both answer ENOENT; the list of
 * all tables tells them apart. */
static enum err_code find_table(const char *table, struct err *err)
{
    struct nft_ctx *context = run("read the nftables rules", "list tables inet", 0, err);
    if (!context)
        return err->code;
    char line[80];
    snprintf(line, sizeof line, "table inet %.40s\n", table);
    bool found = strstr(nft_ctx_get_output_buffer(context), line) != NULL;
    nft_ctx_free(context);
    return found ? ERR_OK
                 : err_set(err, ERR_NOT_FOUND,
                           "there is no table inet %s in this network namespace", table);
}

enum err_code nftables_list(const char *table, enum nftables_form form, char **listing,
                            struct err *err)
{
    struct err inner;
    char script[80];
    unsigned flags = NFT_CTX_OUTPUT_HANDLE;
    if (form == NFTABLES_JSON)
        flags |= NFT_CTX_OUTPUT_JSON;
    else
        flags |= NFT_CTX_OUTPUT_STATELESS;
    snprintf(script, sizeof script, "list table inet %.40s", table);
    struct nft_ctx *context = NULL;
    if (find_table(table, &inner) == ERR_OK)
        context = run("read the nftables rules", script, flags, &inner);
    if (!context) {
        if (err)
            *err = inner;
        return inner.code;
    }
    *listing = strdup(nft_ctx_get_output_buffer(context));
    nft_ctx_free(context);
    return *listing ? ERR_OK
                    : err_set(err, ERR_NO_MEMORY, "no memory for the listing of %s", table);
}
