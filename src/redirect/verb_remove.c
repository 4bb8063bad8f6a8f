#include <stdio.h>
#include <stdlib.h>

#include "redirect/nftables.h"
#include "redirect/rules.h"
#include "redirect/verb.h"

enum err_code verb_remove(const struct verb_options *options, struct err *err)
{
    (void)options;
    char *script;
    if (rules_format_removal(RULES_TABLE, &script, err) != ERR_OK)
        return err->code;
    enum err_code code = nftables_run(script, err);
    free(script);
    if (code == ERR_OK)
        printf("removed: there is no table inet %s any more; connections that were captured are "
               "cut unless other rules of this network namespace translate addresses\n",
               RULES_TABLE);
    return code;
}
