#include "loop/loop.h"

#include <stdio.h>
#include <stdlib.h>

#include "loop/poller.h"

enum err_code loop_init(struct loop *loop, struct err *err)
{
    int failed = uv_loop_init(&loop->uv);
    if (failed)
        return err_sys(err, ERR_SYSTEM, failed, "create a loop");
    enum err_code code = poller_init(loop, err);
    if (code != ERR_OK)
        uv_loop_close(&loop->uv);
    return code;
}

void loop_run(struct loop *loop)
{
    uv_run(&loop->uv, UV_RUN_DEFAULT);
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}

static void report_open_handle(uv_handle_t *handle, void *arg)
{
    (void)arg;
    fprintf(stderr, "loop_deinit: a %s handle is still open\n", uv_handle_type_name(handle->type));
}

void loop_deinit(struct loop *loop)
{
    poller_close(loop);
    /* Close callbacks only: a live handle would make UV_RUN_DEFAULT wait for ever. */
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    poller_deinit(loop);
    if (uv_loop_close(&loop->uv) != 0) {
        uv_walk(&loop->uv, report_open_handle, NULL);
        abort();
    }
}
