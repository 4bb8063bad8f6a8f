#include "control/mesh_file.h"

#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/file.h"
#include "base/log.h"

/* --- loading ---------------------------------------------------------------------------------- */

static void log_report(const struct source_report *report, const char *path)
{
    char line[SOURCE_LINE_MAX];
    for (unsigned i = 0; i < report->count; i++) {
        const struct source_problem *problem = &report->items[i];
        source_report_line(problem, path, line);
        if (problem->warning)
            LOG_WARN("mesh_file_warning", F_STR("problem", line));
        else
            LOG_ERROR("mesh_file_error", F_STR("problem", line));
    }
}

enum err_code mesh_file_check(const char *path, struct err *err)
{
    struct source source;
    struct compiled compiled;
    char *data, line[SOURCE_LINE_MAX];
    size_t len;
    enum err_code code = file_read(path, SOURCE_FILE_MAX, &data, &len, err);
    if (code != ERR_OK)
        return code;
    code = source_parse(&source, path, data, len, err);
    if (code == ERR_OK)
        code = compile_source(&source, "Kubernetes", &compiled, err);
    if (code == ERR_OK)
        compiled_deinit(&compiled);
    for (unsigned i = 0; i < source.report.count; i++)
        fprintf(stderr, "%s\n", source_report_line(&source.report.items[i], path, line));
    source_deinit(&source);
    free(data);
    return code;
}

static enum err_code check_trust_domain(struct mesh_file *file, const char *found, struct err *err)
{
    if (!file->trust_domain[0])
        snprintf(file->trust_domain, sizeof file->trust_domain, "%s", found);
    if (strcmp(file->trust_domain, found) == 0)
        return ERR_OK;
    return err_set(err, ERR_MESH_FILE,
                   "%s: the trust domain is now %s and was %s; that takes a restart, since every "
                   "identity changes",
                   file->path, found, file->trust_domain);
}

static enum err_code compile(struct mesh_file *file, struct err *err)
{
    struct source source;
    struct compiled compiled;
    enum err_code code = source_parse(&source, file->path, file->content, file->content_len, err);
    if (code == ERR_OK)
        code = check_trust_domain(file, source.model.trust_domain.text, err);
    if (code == ERR_OK) {
        code = compile_source(&source, file->cluster_id, &compiled, err);
        if (code == ERR_MESH_FILE)
            source_report_err(&source.report, file->path, err);
    }
    log_report(&source.report, file->path);
    source_deinit(&source);
    if (code != ERR_OK)
        return code;
    LOG_INFO("mesh_loaded", F_STR("file", file->path), F_INT("workloads", compiled.workload_count),
             F_INT("services", compiled.service_count), F_INT("policies", compiled.policy_count));
    file->tally->mesh_loads++;
    file->tally->mesh_loaded_wall_ms = clock_wall_ms();
    file->on_compiled(file, &compiled);
    return ERR_OK;
}

/* Reads the file; *changed is false when it is as it was. */
static enum err_code read_again(struct mesh_file *file, bool *changed, struct err *err)
{
    char *data;
    size_t len;
    enum err_code code = file_read(file->path, SOURCE_FILE_MAX, &data, &len, err);
    if (code != ERR_OK)
        return code;
    *changed = !file->content || len != file->content_len || memcmp(data, file->content, len) != 0;
    free(file->content);
    file->content = data;
    file->content_len = len;
    return ERR_OK;
}

enum err_code mesh_file_load(struct mesh_file *file, struct err *err)
{
    bool changed;
    enum err_code code = read_again(file, &changed, err);
    return code == ERR_OK ? compile(file, err) : code;
}

static void fail_reload(struct mesh_file *file, const struct err *err)
{
    file->tally->mesh_load_failures++;
    LOG_LIMITED(LOG_LEVEL_ERROR, 2, "mesh_reload_failed",
                F_STR("note", "the last good mesh stays in force"), F_ERR(err));
}

void mesh_file_reload(struct mesh_file *file)
{
    struct err err = {0};
    bool changed = false;
    enum err_code code = read_again(file, &changed, &err);
    if (code != ERR_OK) {
        /* Missing for longer than an editor's rename takes is a mistake, but said only once. */
        if (file->content)
            fail_reload(file, &err);
        free(file->content);
        file->content = NULL;
        file->content_len = 0;
    } else if (changed && compile(file, &err) != ERR_OK) {
        fail_reload(file, &err);
    }
}

/* --- watching -------------------------------------------------------------------------------- */

static void on_timer(struct timer *timer)
{
    struct mesh_file *file =
        (struct mesh_file *)(void *)((char *)timer - offsetof(struct mesh_file, timer));
    file->first_event_ms = 0;
    mesh_file_reload(file);
    timer_start(file->timers, &file->timer, MESH_FILE_POLL_MS, on_timer);
}

static void on_folder_event(uv_fs_event_t *watch, const char *name, int events, int status)
{
    struct mesh_file *file = watch->data;
    (void)name;
    (void)events;
    (void)status;
    int64_t now = clock_now_ms();
    if (file->first_event_ms == 0)
        file->first_event_ms = now;
    int64_t left = file->first_event_ms + MESH_FILE_SETTLE_MAX_MS - now;
    if (left > MESH_FILE_SETTLE_MS)
        left = MESH_FILE_SETTLE_MS;
    timer_start(file->timers, &file->timer, left > 0 ? left : 0, on_timer);
}

void mesh_file_watch(struct mesh_file *file, struct loop *loop)
{
    char folder[PATH_MAX];
    snprintf(folder, sizeof folder, "%s", file->path);
    uv_fs_event_init(&loop->uv, &file->watch);
    file->watch.data = file;
    file->watching = true;
    int failed = uv_fs_event_start(&file->watch, on_folder_event, dirname(folder), 0);
    if (failed)
        LOG_WARN("mesh_file_polled", F_STR("file", file->path),
                 F_STR("error", uv_strerror(failed)));
    timer_start(file->timers, &file->timer, MESH_FILE_POLL_MS, on_timer);
}

static void on_watch_closed(uv_handle_t *handle)
{
    struct mesh_file *file = handle->data;
    if (file->on_closed)
        file->on_closed(file);
}

void mesh_file_close(struct mesh_file *file, void (*on_closed)(struct mesh_file *))
{
    file->on_closed = on_closed;
    free(file->content);
    file->content = NULL;
    timer_stop(file->timers, &file->timer);
    if (file->watching)
        uv_close((uv_handle_t *)&file->watch, on_watch_closed);
    else if (on_closed)
        on_closed(file);
}
