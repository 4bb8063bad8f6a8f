#include <stdio.h>
#include <string.h>
#include <time.h>

#include "base/clock.h"
#include "cli/admin_client.h"
#include "cli/page.h"
#include "cli/verb.h"

enum { WAIT_STEP_MS = 50 };

/* The hook that holds an application back asks so, where the kubelet cannot: with a proxy that is a
 * container like the others. A proxy that does not answer yet is one that is starting. */
int verb_wait(const struct verb_options *options, struct err *err)
{
    const struct timespec step = {.tv_nsec = WAIT_STEP_MS * 1000000L};
    int64_t until_ms = clock_now_ms() + options->timeout_s * 1000;
    for (;;) {
        json_t *status = NULL;
        struct err absent = {0};
        const char *state = "";
        if (admin_client_ask(options->admin_socket, "GET", "/status", ADMIN_CLIENT_TIMEOUT_MS,
                             &status, &absent) == ERR_OK)
            state = page_text_or(status, "state", "");
        bool ready = strcmp(state, "ready") == 0;
        if (ready && options->json)
            page_json(status);
        if (ready || clock_now_ms() >= until_ms) {
            const char *reason = page_text_or(status, "state_reason", absent.text);
            if (!ready)
                err_set(err, ERR_TIMEOUT, "after %lld s the proxy is still not ready: %.300s",
                        (long long)options->timeout_s, reason);
            json_decref(status);
            return ready ? VERB_DONE : VERB_NOT_READY;
        }
        json_decref(status);
        nanosleep(&step, NULL);
    }
}
