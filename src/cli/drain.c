#include <stdio.h>

#include "cli/admin_client.h"
#include "cli/human.h"
#include "cli/page.h"
#include "cli/verb.h"

int verb_drain(const struct verb_options *options, struct err *err)
{
    json_t *answer;
    char span[HUMAN_TEXT_MAX];
    if (admin_client_ask(options->admin_socket, "POST", "/drain", ADMIN_CLIENT_TIMEOUT_MS, &answer,
                         err) != ERR_OK)
        return VERB_FAILED;
    if (options->json)
        page_json(answer);
    else
        printf("draining: no new inbound connections; the proxy goes on until SIGTERM, then has %s "
               "for the connections that are left\n",
               human_duration(page_int(answer, "grace_s", 0), span));
    json_decref(answer);
    return VERB_DONE;
}
