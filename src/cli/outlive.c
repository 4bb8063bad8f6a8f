#include <stdio.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "cli/page.h"
#include "cli/tcp_table.h"
#include "cli/verb.h"

enum { OUTLIVE_STEP_MS = 100 };

static enum err_code count_others(unsigned *count, struct err *err)
{
    *count = 0;
    enum err_code code = tcp_table_count("/proc/net/tcp", getuid(), count, err);
    if (code == ERR_OK)
        code = tcp_table_count("/proc/net/tcp6", getuid(), count, err);
    return code == ERR_NOT_FOUND ? ERR_OK : code; /* a kernel without IPv6 */
}

/* The hook that runs before the proxy is told to end asks so, where the kubelet ends all containers
 * at the same time. What it sees of the application are its sockets: one that has none and will
 * connect once more is not seen, which is why there is a least time. */
int verb_outlive(const struct verb_options *options, struct err *err)
{
    const struct timespec step = {.tv_nsec = OUTLIVE_STEP_MS * 1000000L};
    int64_t began_ms = clock_now_ms(), waited_ms;
    unsigned others;
    for (;;) {
        if (count_others(&others, err) != ERR_OK)
            return VERB_FAILED;
        waited_ms = clock_now_ms() - began_ms;
        if (waited_ms >= options->at_most_s * 1000 ||
            (others == 0 && waited_ms >= options->at_least_s * 1000))
            break;
        nanosleep(&step, NULL);
    }
    *err = (struct err){0};
    if (options->json) {
        json_t *document = json_pack("{s:I, s:i}", "waited_ms", (json_int_t)waited_ms,
                                     "sockets_left", (int)others);
        page_json(document);
        json_decref(document);
    } else {
        printf("waited %.1f s, %u sockets of others are left\n", (double)waited_ms / 1000, others);
    }
    return VERB_DONE;
}
