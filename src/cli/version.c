#include <stdio.h>

#include "cli/admin_client.h"
#include "cli/page.h"
#include "cli/verb.h"

/* Our own version is known without a proxy, so a proxy that is not there is no failure. */
int verb_version(const struct verb_options *options, struct err *err)
{
    (void)err;
    json_t *proxy = NULL;
    struct err absent = {0};
    admin_client_ask(options->admin_socket, "GET", "/version", ADMIN_CLIENT_TIMEOUT_MS, &proxy,
                     &absent);
    if (options->json) {
        json_t *document = json_pack("{s:s, s:s, s:o}", "version", HANDFAST_VERSION, "program",
                                     "handfast", "proxy", proxy ? proxy : json_null());
        page_json(document);
        json_decref(document);
        return VERB_DONE;
    }
    page_row("handfast", "%s", HANDFAST_VERSION);
    if (proxy)
        page_row("proxy", "%s %s", page_text_or(proxy, "program", "unknown"),
                 page_text_or(proxy, "version", "unknown"));
    else
        page_row("proxy", "%s", absent.text);
    json_decref(proxy);
    return VERB_DONE;
}
