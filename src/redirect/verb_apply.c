#include <stdio.h>
#include <stdlib.h>

#include "redirect/nftables.h"
#include "redirect/rules.h"
#include "redirect/verb.h"

static void print_count(unsigned count, const char *what)
{
    if (count > 0)
        printf("; %s: %u", what, count);
}

enum err_code verb_apply(const struct verb_options *options, struct err *err)
{
    const struct capture *capture = &options->capture;
    char *script;
    if (rules_format(capture, RULES_TABLE, false, &script, err) != ERR_OK)
        return err->code;
    enum err_code code = nftables_run(script, err);
    free(script);
    if (code != ERR_OK)
        return code;
    printf("installed: new TCP connections of this pod go to port %lld, those to it to port %lld; "
           "uid and gid %lld are left alone",
           (long long)capture->outbound_port, (long long)capture->inbound_port,
           (long long)capture->proxy_uid);
    print_count(capture->exclude_inbound.count, "excluded inbound ports");
    print_count(capture->include_inbound.count, "included inbound ports");
    print_count(capture->exclude_outbound.count, "excluded outbound ports");
    print_count(capture->exclude_outbound_cidrs.count, "excluded outbound ranges");
    print_count(capture->include_outbound_cidrs.count, "included outbound ranges");
    print_count(capture->exclude_interfaces.count, "excluded interfaces");
    printf("\n");
    return ERR_OK;
}
