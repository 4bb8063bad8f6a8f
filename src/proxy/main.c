/* handfast-proxy: wires the parts together and waits for signals. To follow one connection, read
 * worker.c, listener.c, inbound.c or outbound.c, and on into src/tls and src/relay. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/options.h"
#include "proxy/cgroup.h"
#include "proxy/config.h"
#include "proxy/control.h"
#include "proxy/drain.h"
#include "proxy/ops.h"
#include "proxy/trial.h"
#include "proxy/worker.h"

enum {
    WORKERS_MAX = 4,      /* when the quota decides */
    FILES_RESERVED = 256, /* descriptors that are not connections: listeners, control, admin */
    EXIT_USAGE = 2,
};

/* Static, so that a leak checker sees what a failed start leaves behind. */
static struct program {
    struct config config;
    struct loop loop;
    struct timers timers;
    struct relay_env env;
    struct mailbox mailbox;
    uv_signal_t signals[2]; /* SIGTERM, SIGINT */
    struct metrics *registry;
    struct stats stats;
    struct ceiling ceiling;
    struct worker *workers;
    unsigned worker_count, workers_running;
    unsigned closing; /* handles of the main loop that are not closed yet */
    struct control control;
    struct drain drain;
    struct probes probes;
    struct ops ops;
} program;

/* --- the end, step by step: HTTP, workers, probes, control plane, handles -------------------- */

/* exit() joins libuv's threads, and one of them may be waiting for a name server that is dead: that
 * must not hold up the pod's end. */
static _Noreturn void leave(int status)
{
    if (program.control.link.lookup)
        _exit(status);
    exit(status);
}

static void count_closed(void)
{
    if (--program.closing > 0)
        return;
    relay_env_deinit(&program.env);
    loop_stop(&program.loop);
}

static void on_handle_closed(uv_handle_t *handle)
{
    (void)handle;
    count_closed();
}

static void on_timers_closed(struct timers *timers)
{
    (void)timers;
    count_closed();
}

static void on_mailbox_closed(struct mailbox *mailbox)
{
    (void)mailbox;
    count_closed();
}

static void on_control_closed(struct control *control)
{
    (void)control;
    program.closing = 4;
    for (int i = 0; i < 2; i++)
        uv_close((uv_handle_t *)&program.signals[i], on_handle_closed);
    timers_close(&program.timers, on_timers_closed);
    mailbox_close(&program.mailbox, on_mailbox_closed);
}

static void on_probes_closed(struct probes *probes)
{
    (void)probes;
    control_close(&program.control, on_control_closed);
}

struct ended_mail {
    struct mail mail;
    struct worker *worker;
};

static void on_worker_gone(struct mail *mail, void *owner)
{
    (void)owner;
    struct worker *worker = ((struct ended_mail *)mail)->worker;
    free(mail);
    pthread_join(worker->thread, NULL);
    worker_deinit(worker);
    if (--program.workers_running == 0)
        probes_close(&program.probes, on_probes_closed);
}

static void discard_ended(struct mail *mail)
{
    free(mail);
}

/* On the worker's thread. */
static void on_worker_ended(struct worker *worker, void *arg)
{
    struct ended_mail *ended = arg;
    *ended = (struct ended_mail){.mail = {.deliver = on_worker_gone, .discard = discard_ended},
                                 .worker = worker};
    mailbox_post(&program.mailbox, &ended->mail);
}

static void on_drained(struct drain *drain)
{
    ops_stop(&program.ops);
    for (unsigned i = 0; i < drain->worker_count; i++) {
        if (!worker_post_stop(&program.workers[i])) {
            /* Nothing can be told to the worker any more, so the kernel ends its connections. */
            LOG_ERROR("stop_lost", F_STR("error", "out of memory"));
            leave(EXIT_FAILURE);
        }
    }
}

static void on_drain_begin(struct drain *drain)
{
    (void)drain;
    ops_set_draining(&program.ops);
}

static void on_signal(uv_signal_t *handle, int number)
{
    (void)handle;
    LOG_INFO("signal", F_STR("name", number == SIGTERM ? "SIGTERM" : "SIGINT"));
    drain_and_end(&program.drain);
}

/* --- the beginning -------------------------------------------------------------------------- */

static void on_view(struct control *control, struct view *view)
{
    (void)control;
    ops_set_view(&program.ops, view);
    for (unsigned i = 0; i < program.workers_running && !program.drain.done; i++) {
        if (!worker_post_view(&program.workers[i], view))
            LOG_ERROR("view_lost", F_INT("worker", i), F_STR("error", "out of memory"));
    }
}

/* Nobody but the kernel may look at our memory: it holds the pod's private key. */
static void harden(void)
{
    const struct rlimit none = {0};
    prctl(PR_SET_DUMPABLE, 0, 0, 0, 0);
    setrlimit(RLIMIT_CORE, &none);
    signal(SIGPIPE, SIG_IGN);
}

/* As many descriptors as we may have, and two of them for every connection. */
static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) < 0)
        limit.rlim_cur = limit.rlim_max = 1024;
    rlim_t was = limit.rlim_cur;
    limit.rlim_cur = limit.rlim_max;
    if (setrlimit(RLIMIT_NOFILE, &limit) < 0)
        limit.rlim_cur = was;
    rlim_t files = limit.rlim_cur > (1u << 30) ? (1u << 30) : limit.rlim_cur;
    rlim_t reserved = files / 4 < FILES_RESERVED ? files / 4 : FILES_RESERVED;
    ceiling_init(&program.ceiling, (int)((files - reserved) / 2));
}

static enum err_code start_loop(struct err *err)
{
    static const int numbers[2] = {SIGTERM, SIGINT};
    if (loop_init(&program.loop, err) != ERR_OK ||
        timers_init(&program.timers, &program.loop, err) != ERR_OK ||
        relay_env_init(&program.env, &program.loop, &program.timers, err) != ERR_OK ||
        mailbox_open(&program.mailbox, &program.loop, &program, err) != ERR_OK)
        return err->code;
    for (int i = 0; i < 2; i++) {
        uv_signal_init(&program.loop.uv, &program.signals[i]);
        int failed = uv_signal_start(&program.signals[i], on_signal, numbers[i]);
        if (failed)
            return err_sys(err, ERR_SYSTEM, failed, "watch signal %d", numbers[i]);
    }
    return ERR_OK;
}

/* Makes the workers with their listeners; their threads start last. */
static enum err_code make_workers(struct err *err)
{
    unsigned count = (unsigned)program.config.workers;
    if (count == 0)
        count = cgroup_worker_count(WORKERS_MAX);
    program.workers = calloc(count, sizeof *program.workers);
    if (!program.workers)
        return err_set(err, ERR_NO_MEMORY, "no memory for %u workers", count);
    for (; program.worker_count < count; program.worker_count++) {
        struct worker *worker = &program.workers[program.worker_count];
        if (worker_init(worker, program.worker_count, &program.config, &program.ceiling,
                        program.registry, err) != ERR_OK ||
            worker_listen(worker, err) != ERR_OK)
            return err->code;
        worker->on_ended = on_worker_ended;
        worker->on_ended_arg = calloc(1, sizeof(struct ended_mail));
        if (!worker->on_ended_arg)
            return err_set(err, ERR_NO_MEMORY, "no memory for a worker");
    }
    return ERR_OK;
}

static void wire(void)
{
    program.drain = (struct drain){.config = &program.config,
                                   .timers = &program.timers,
                                   .workers = program.workers,
                                   .worker_count = program.worker_count,
                                   .ceiling = &program.ceiling,
                                   .on_begin = on_drain_begin,
                                   .on_done = on_drained};
    program.control.config = &program.config;
    program.control.env = &program.env;
    program.control.stats = &program.stats;
    program.control.on_view = on_view;
    program.probes.ip = program.config.pod_ips[0];
    program.probes.env = &program.env;
    program.probes.main_box = &program.mailbox;
    program.ops.probes = &program.probes;
    program.ops.config = &program.config;
    program.ops.control = &program.control;
    program.ops.drain = &program.drain;
    program.ops.registry = program.registry;
    program.ops.workers = program.workers;
    program.ops.worker_count = program.worker_count;
    program.ops.main_box = &program.mailbox;
    program.ops.started_ms = clock_now_ms();
}

static enum err_code start(struct err *err)
{
    if (start_loop(err) != ERR_OK || stats_new(&program.registry, err) != ERR_OK ||
        stats_init(&program.stats, program.registry, err) != ERR_OK || make_workers(err) != ERR_OK)
        return err->code;
    wire();
    if (probes_init(&program.probes, program.config.app_probes, err) != ERR_OK ||
        control_start(&program.control, err) != ERR_OK)
        return err->code;
    program.probes.rpc = program.control.rpc;
    if (ops_start(&program.ops, err) != ERR_OK)
        return err->code;
    for (; program.workers_running < program.worker_count; program.workers_running++) {
        if (worker_start(&program.workers[program.workers_running], err) != ERR_OK)
            return err->code;
    }
    return ERR_OK;
}

/* --probe-control */
static _Noreturn void probe_control(void)
{
    struct err err = {0};
    bool failed = trial_run(&program.config, &err) != ERR_OK;
    if (failed)
        fprintf(stderr, "handfast-proxy: no certificate: %s [%s]\n", err.text, err_label(err.code));
    failed = fflush(stdout) != 0 || failed;
    _exit(failed ? EXIT_FAILURE : EXIT_SUCCESS);
}

int main(int argc, char **argv)
{
    struct err err = {0};
    if (options_want_help(argc, argv)) {
        config_print_help();
        return 0;
    }
    if (config_parse(&program.config, argc, argv, &err) != ERR_OK) {
        fprintf(stderr, "handfast-proxy: %s\n", err.text);
        return EXIT_USAGE;
    }
    if (program.config.version) {
        printf("handfast-proxy " HANDFAST_VERSION "\n");
        return 0;
    }
    log_init(2, program.config.format, program.config.level);
    harden();
    if (program.config.probe_control)
        probe_control();
    raise_file_limit();
    if (start(&err) != ERR_OK) {
        LOG_ERROR("start_failed", F_ERR(&err));
        leave(EXIT_FAILURE);
    }
    LOG_INFO(
        "started", F_STR("version", HANDFAST_VERSION), F_STR("identity", program.config.id.text),
        F_INT("workers", program.worker_count), F_INT("connections_max", program.ceiling.max),
        F_INT("inbound_max", program.ceiling.share), F_INT("outbound_max", program.ceiling.share));
    loop_run(&program.loop);
    LOG_INFO("ended", F_STR("because", "drained"));
    if (program.control.link.lookup)
        leave(EXIT_SUCCESS);
    loop_deinit(&program.loop);
    metrics_free(program.registry);
    free(program.workers);
    return 0;
}
