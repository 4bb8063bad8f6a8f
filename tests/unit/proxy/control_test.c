#include "proxy/control.h"

#include <stdio.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "plane.h"
#include "suite.h"

static struct {
    struct plane plane;
    struct config config;
    struct metrics *registry;
    struct stats stats;
    struct control control;
    unsigned views;
    bool complete, closed;
} bed;

static void on_view(struct control *control, struct view *view)
{
    (void)control;
    bed.views++;
    bed.complete = view->complete;
}

static void on_closed(struct control *control)
{
    (void)control;
    bed.closed = true;
}

/* Everything but the control's start. */
static void prepare(void)
{
    struct err err = {0};
    memset(&bed, 0, sizeof bed);
    log_set_level(LOG_LEVEL_ERROR);
    plane_open(&bed.plane);
    const char *const words[] = {"handfast-proxy",
                                 "--pod-name",
                                 "web-1",
                                 "--namespace",
                                 "shop",
                                 "--service-account",
                                 "web",
                                 "--pod-ip",
                                 "127.0.1.1",
                                 "--trust-domain",
                                 "test.mesh",
                                 "--control",
                                 bed.plane.address,
                                 "--control-name",
                                 "control.test",
                                 "--control-ca",
                                 bed.plane.ca_file,
                                 "--token-file",
                                 bed.plane.token_file};
    char *argv[32];
    int count = sizeof words / sizeof words[0];
    for (int i = 0; i < count; i++)
        argv[i] = (char *)(uintptr_t)words[i];
    CU_ASSERT_EQUAL_FATAL(config_parse(&bed.config, count, argv, &err), ERR_OK);
    log_set_level(LOG_LEVEL_ERROR);
    CU_ASSERT_EQUAL_FATAL(stats_new(&bed.registry, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(stats_init(&bed.stats, bed.registry, &err), ERR_OK);
    bed.control.config = &bed.config;
    bed.control.env = &bed.plane.env;
    bed.control.stats = &bed.stats;
    bed.control.on_view = on_view;
}

static void begin(void)
{
    struct err err = {0};
    CU_ASSERT_EQUAL_FATAL(control_start(&bed.control, &err), ERR_OK);
}

static void end(void)
{
    control_close(&bed.control, on_closed);
    PLANE_UNTIL(&bed.plane, bed.closed);
    plane_close(&bed.plane);
    metrics_free(bed.registry);
}

static uint64_t answers(void)
{
    return xds_client_stats(bed.control.xds)->messages;
}

static void it_brings_a_certificate_and_a_configuration(void)
{
    prepare();
    begin();
    PLANE_UNTIL(&bed.plane, bed.complete && bed.control.identity.context);
    CU_ASSERT_TRUE(control_connected(&bed.control));
    CU_ASSERT_EQUAL(bed.control.last_error.code, ERR_OK);
    CU_ASSERT_EQUAL(bed.control.connects, 1);
    CU_ASSERT_PTR_NOT_NULL(bed.control.news.view);
    CU_ASSERT_NOT_EQUAL(bed.control.news.grace.slot, 0); /* the mesh is empty: no record of ours */
    end();
}

static void a_stream_that_answers_again_ends_the_error_though_nothing_changed(void)
{
    prepare();
    begin();
    PLANE_UNTIL(&bed.plane, bed.complete && control_connected(&bed.control));
    unsigned views = bed.views;
    int64_t changed_ms = bed.control.changed_ms;
    plane_end_stream(&bed.plane, "the token expired [token_expired]");
    PLANE_UNTIL(&bed.plane, !control_connected(&bed.control));
    CU_ASSERT_PTR_NOT_NULL(strstr(bed.control.last_error.text, "token_expired"));
    uint64_t before = answers();
    PLANE_UNTIL(&bed.plane, control_connected(&bed.control) && answers() > before);
    CU_ASSERT_EQUAL(bed.control.last_error.code, ERR_OK);
    CU_ASSERT_TRUE(bed.control.changed_ms > changed_ms);
    CU_ASSERT_EQUAL(bed.control.connects, 1);
    CU_ASSERT_EQUAL(bed.views, views);
    end();
}

static void a_stream_that_is_refused_was_never_connected(void)
{
    prepare();
    bed.plane.refuse_streams = "the token expired [token_expired]";
    begin();
    int64_t changed_ms = bed.control.changed_ms;
    bool ever = false;
    while (bed.plane.streams < 4 && !bed.plane.timed_out) {
        uv_run(&bed.plane.loop.uv, UV_RUN_ONCE);
        ever = ever || control_connected(&bed.control);
    }
    CU_ASSERT_FALSE(ever);
    CU_ASSERT_EQUAL(bed.control.changed_ms, changed_ms);
    CU_ASSERT_PTR_NOT_NULL(strstr(bed.control.last_error.text, "token_expired"));
    bed.plane.refuse_streams = NULL;
    PLANE_UNTIL(&bed.plane, control_connected(&bed.control));
    CU_ASSERT_EQUAL(bed.control.last_error.code, ERR_OK);
    end();
}

/* A port at which nobody listens. */
static void point_at_nobody(void)
{
    struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t len = sizeof at;
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_EQUAL_FATAL(bind(fd, (struct sockaddr *)&at, len), 0);
    getsockname(fd, (struct sockaddr *)&at, &len);
    snprintf(bed.config.control_port, sizeof bed.config.control_port, "%u", ntohs(at.sin_port));
    close(fd);
}

static void every_link_that_fails_is_counted(void)
{
    prepare();
    point_at_nobody();
    begin();
    PLANE_UNTIL(&bed.plane, bed.control.last_error.code != ERR_OK);
    const char *reason = err_label(bed.control.last_error.code);
    PLANE_UNTIL(&bed.plane, metrics_sum(bed.registry, STATS_LINK, 0, &reason) >= 4);
    end();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(it_brings_a_certificate_and_a_configuration),
        SUITE_CASE(a_stream_that_answers_again_ends_the_error_though_nothing_changed),
        SUITE_CASE(a_stream_that_is_refused_was_never_connected),
        SUITE_CASE(every_link_that_fails_is_counted),
        SUITE_END,
    };
    return suite_main("proxy/control", cases, argc, argv);
}
