#include "control/source.h"

#include "control/source_check.h"
#include "control/source_schema.h"
#include "control/source_text.h"

enum err_code source_parse(struct source *source, const char *path, const char *data, size_t len,
                           struct err *err)
{
    struct source_report *report = &source->report;
    const struct source_node *root = NULL;
    *source = (struct source){0};
    if (len > SOURCE_FILE_MAX)
        source_report_error(report, 0, 0, "found %zu bytes, expected at most %d", len,
                            SOURCE_FILE_MAX);
    else if (source_text_check(data, len, report))
        root = source_node_parse(&source->arena, data, len, report);
    if (root) {
        source_schema_read(&source->arena, root, &source->model, report);
        source_check(&source->arena, &source->model, report);
        source_mtls_resolve(&source->arena, &source->model, &source->guards, report);
    }
    if (root && report->errors == 0)
        source_check_warn(&source->arena, &source->model, report);
    source_report_sort(report);
    if (source->arena.failed)
        return err_set(err, ERR_NO_MEMORY, "no memory for %s", path);
    return report->errors ? source_report_err(report, path, err) : ERR_OK;
}

void source_deinit(struct source *source)
{
    source_arena_free(&source->arena);
}
