#include "rpc/grpclog.h"

#include <grpc/support/log.h>
#include <string.h>

#include "base/log.h"

/* What gRPC calls an error and an operator calls the end of a connection. */
static const char *const ordinary_ends[] = {
    "Socket closed",         "Connection reset",     "Broken pipe",     "EOF",
    "Endpoint read failed",  "Transport closed",     "GOAWAY received", "Endpoint shutdown",
    "transport is shutting", "Cancelling all calls",
};

static bool is_ordinary_end(const char *message)
{
    for (size_t i = 0; i < sizeof ordinary_ends / sizeof ordinary_ends[0]; i++)
        if (strstr(message, ordinary_ends[i]))
            return true;
    return false;
}

static void on_line(gpr_log_func_args *args)
{
    const char *slash = strrchr(args->file, '/');
    const char *file = slash ? slash + 1 : args->file;
    if (args->severity == GPR_LOG_SEVERITY_ERROR && !is_ordinary_end(args->message))
        LOG_LIMITED(LOG_LEVEL_ERROR, 10, "grpc", F_STR("message", args->message),
                    F_STR("file", file), F_INT("line", args->line));
    else
        LOG_LIMITED(LOG_LEVEL_DEBUG, 100, "grpc", F_STR("message", args->message),
                    F_STR("file", file), F_INT("line", args->line));
}

void grpclog_start(void)
{
    /* Our level may change at any time, so gRPC always tells us what it has, short of its debug
     * lines. */
    gpr_set_log_verbosity(GPR_LOG_SEVERITY_INFO);
    gpr_set_log_function(on_line);
}
