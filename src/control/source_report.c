#include "control/source_report.h"

#include <stdarg.h>
#include <stdio.h>

__attribute__((format(printf, 5, 0))) static void add(struct source_report *report, bool warning,
                                                      unsigned line, unsigned column,
                                                      const char *format, va_list list)
{
    if (warning)
        report->warnings++;
    else
        report->errors++;
    if (report->count == SOURCE_PROBLEMS_MAX)
        return;
    struct source_problem *problem = &report->items[report->count++];
    problem->warning = warning;
    problem->line = line;
    problem->column = column;
    vsnprintf(problem->text, sizeof problem->text, format, list);
}

void source_report_error(struct source_report *report, unsigned line, unsigned column,
                         const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add(report, false, line, column, format, list);
    va_end(list);
}

void source_report_warning(struct source_report *report, unsigned line, unsigned column,
                           const char *format, ...)
{
    va_list list;
    va_start(list, format);
    add(report, true, line, column, format, list);
    va_end(list);
}

static bool comes_before(const struct source_problem *a, const struct source_problem *b)
{
    return a->line < b->line || (a->line == b->line && a->column < b->column);
}

/* Stable: problems at one place stay in the order in which they were found. */
void source_report_sort(struct source_report *report)
{
    for (unsigned i = 1; i < report->count; i++) {
        const struct source_problem moving = report->items[i];
        unsigned to = i;
        for (; to > 0 && comes_before(&moving, &report->items[to - 1]); to--)
            report->items[to] = report->items[to - 1];
        report->items[to] = moving;
    }
}

const char *source_report_line(const struct source_problem *problem, const char *file,
                               char text[SOURCE_LINE_MAX])
{
    const char *severity = problem->warning ? "warning: " : "";
    if (problem->line == 0)
        snprintf(text, SOURCE_LINE_MAX, "%.512s: %s%s", file, severity, problem->text);
    else
        snprintf(text, SOURCE_LINE_MAX, "%.512s:%u:%u: %s%s", file, problem->line, problem->column,
                 severity, problem->text);
    return text;
}

enum err_code source_report_err(const struct source_report *report, const char *file,
                                struct err *err)
{
    char text[SOURCE_LINE_MAX];
    for (unsigned i = 0; i < report->count; i++) {
        if (report->items[i].warning)
            continue;
        source_report_line(&report->items[i], file, text);
        if (report->errors == 1)
            return err_set(err, ERR_MESH_FILE, "%s", text);
        return err_set(err, ERR_MESH_FILE, "%.380s (and %u more)", text, report->errors - 1);
    }
    return err_set(err, ERR_MESH_FILE, "%s: %u mistakes", file, report->errors);
}
