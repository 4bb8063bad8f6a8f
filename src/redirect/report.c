#include "redirect/report.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

static const char *const result_names[] = {"proven", "failed", "not tried"};

void report_init(struct report *report)
{
    memset(report, 0, sizeof *report);
}

void report_deinit(struct report *report)
{
    for (unsigned i = 0; i < report->difference_count; i++)
        free(report->differences[i]);
    report_init(report);
}

void report_add(struct report *report, const char *name, enum report_result result,
                enum err_code code, const char *format, ...)
{
    if (report->check_count == REPORT_CHECKS_MAX)
        abort(); /* our own checks, counted by us */
    struct report_check *check = &report->checks[report->check_count++];
    check->name = name;
    check->result = result;
    char text[ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    err_set(&check->found, code, "%s", text);
}

void report_difference(struct report *report, const char *format, ...)
{
    char *text = NULL;
    va_list args;
    va_start(args, format);
    if (report->difference_count < REPORT_DIFFERENCES_MAX && vasprintf(&text, format, args) >= 0)
        report->differences[report->difference_count++] = text;
    else
        report->differences_left_out++;
    va_end(args);
}

enum err_code report_code(const struct report *report)
{
    for (unsigned i = 0; i < report->check_count; i++) {
        if (report->checks[i].result == REPORT_FAILED)
            return report->checks[i].found.code;
    }
    return ERR_OK;
}

static void print_text(const struct report *report, const struct listing *installed, FILE *out)
{
    for (unsigned i = 0; i < report->check_count; i++) {
        const struct report_check *check = &report->checks[i];
        fprintf(out, "%-9s  %-13s  %s\n", result_names[check->result], check->name,
                check->found.text);
        for (unsigned j = 0; i == 0 && j < report->difference_count; j++)
            fprintf(out, "%26s %s\n", "-", report->differences[j]);
        if (i == 0 && report->differences_left_out > 0)
            fprintf(out, "%26s and %u more\n", "-", report->differences_left_out);
    }
    for (unsigned i = 0; installed && i < installed->rule_count; i++) {
        const struct listing_rule *rule = &installed->rules[i];
        if (rule->counted && rule->packets > 0)
            fprintf(out, "counter    %-13s  %lld packets: %s\n", rule->chain,
                    (long long)rule->packets, rule->comment ? rule->comment : rule->text);
    }
}

static json_t *checks_json(const struct report *report)
{
    json_t *checks = json_array();
    for (unsigned i = 0; i < report->check_count; i++) {
        const struct report_check *check = &report->checks[i];
        json_t *row = json_pack("{s:s, s:s, s:s}", "name", check->name, "result",
                                result_names[check->result], "text", check->found.text);
        if (check->result == REPORT_FAILED)
            json_object_set_new(row, "reason", json_string(err_label(check->found.code)));
        json_array_append_new(checks, row);
    }
    return checks;
}

static json_t *counters_json(const struct listing *installed)
{
    json_t *counters = json_array();
    for (unsigned i = 0; installed && i < installed->rule_count; i++) {
        const struct listing_rule *rule = &installed->rules[i];
        if (rule->counted)
            json_array_append_new(
                counters, json_pack("{s:s, s:s, s:s?, s:I, s:I}", "chain", rule->chain, "rule",
                                    rule->text, "comment", rule->comment, "packets",
                                    (json_int_t)rule->packets, "bytes", (json_int_t)rule->bytes));
    }
    return counters;
}

static enum err_code print_json(const struct report *report, const struct listing *installed,
                                FILE *out, struct err *err)
{
    json_t *differences = json_array();
    for (unsigned i = 0; i < report->difference_count; i++)
        json_array_append_new(differences, json_string(report->differences[i]));
    json_t *root =
        json_pack("{s:b, s:o, s:o, s:i, s:o}", "ok", report_code(report) == ERR_OK, "checks",
                  checks_json(report), "differences", differences, "differences_left_out",
                  (int)report->differences_left_out, "counters", counters_json(installed));
    bool printed = root && json_dumpf(root, out, JSON_INDENT(2)) == 0;
    json_decref(root);
    fputc('\n', out);
    return printed ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory to print the report");
}

enum err_code report_print(const struct report *report, const struct listing *installed, bool json,
                           FILE *out, struct err *err)
{
    if (json)
        return print_json(report, installed, out, err);
    print_text(report, installed, out);
    return ERR_OK;
}
