#include <stdio.h>

#include "base/log.h"
#include "cli/admin_client.h"
#include "cli/page.h"
#include "cli/verb.h"

int verb_log_level(const struct verb_options *options, struct err *err)
{
    json_t *answer;
    enum log_level level;
    char target[64] = "/log-level";
    if (options->word) {
        if (!log_level_parse(options->word, &level)) {
            err_set(err, ERR_USAGE, "'%.40s' is not a log level: error, warn, info or debug",
                    options->word);
            return VERB_USAGE;
        }
        snprintf(target, sizeof target, "/log-level?level=%s", log_level_name(level));
    }
    if (admin_client_ask(options->admin_socket, options->word ? "PUT" : "GET", target,
                         ADMIN_CLIENT_TIMEOUT_MS, &answer, err) != ERR_OK)
        return VERB_FAILED;
    if (options->json)
        page_json(answer);
    else if (options->word && page_text(answer, "was"))
        printf("%s (was %s)\n", page_text_or(answer, "level", "unknown"), page_text(answer, "was"));
    else
        printf("%s\n", page_text_or(answer, "level", "unknown"));
    json_decref(answer);
    return VERB_DONE;
}
