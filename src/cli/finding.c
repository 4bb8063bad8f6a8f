#include "cli/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/page.h"

static const char *const words[] = {"ok", "unknown", "warning", "failed"};

void findings_init(struct findings *findings)
{
    *findings = (struct findings){.list = json_array()};
}

void findings_deinit(struct findings *findings)
{
    json_decref(findings->list);
}

void finding_add(struct findings *findings, enum finding_level level, const char *subject,
                 const char *advice, const char *format, ...)
{
    char *found = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&found, format, args);
    va_end(args);
    json_t *line = json_pack("{s:s, s:s, s:s, s:s*}", "level", words[level], "subject", subject,
                             "found", len < 0 ? "" : found, "advice", advice);
    if (!line) /* what came from afar is no UTF-8 */
        line = json_pack("{s:s, s:s, s:s, s:s*}", "level", words[level], "subject", subject,
                         "found", "(the sentence is not valid text)", "advice", advice);
    json_array_append_new(findings->list, line);
    findings->count[level]++;
    if (len >= 0)
        free(found);
}

void finding_add_err(struct findings *findings, const char *subject, const struct err *err)
{
    bool may_not = err->code == ERR_PERMISSION;
    finding_add(findings, may_not ? FINDING_WARNING : FINDING_FAILED, subject,
                may_not ? "ask as somebody who may look at this" : NULL, "%s", err->text);
}

void findings_print(const struct findings *findings, bool json)
{
    if (json) {
        json_t *document =
            json_pack("{s:i, s:i, s:O}", "failed", findings->count[FINDING_FAILED], "warnings",
                      findings->count[FINDING_WARNING], "findings", findings->list);
        page_json(document);
        json_decref(document);
        return;
    }
    size_t at;
    const json_t *line;
    json_array_foreach(findings->list, at, line)
    {
        const char *advice = page_text(line, "advice");
        page_row(page_text_or(line, "level", ""), "%s: %s", page_text_or(line, "subject", ""),
                 page_text_or(line, "found", ""));
        if (advice)
            page_row("", "%s", advice);
    }
    printf("\n%u failed, %u warnings, %u ok, %u cannot be seen from here\n",
           findings->count[FINDING_FAILED], findings->count[FINDING_WARNING],
           findings->count[FINDING_OK], findings->count[FINDING_UNKNOWN]);
}

void names_add(struct names *names, const char *format, ...)
{
    size_t room = sizeof names->text - names->len;
    if (names->count++ >= NAMES_SHOWN || room < 40)
        return;
    if (names->len)
        names->len += (size_t)snprintf(names->text + names->len, room, ", ");
    va_list args;
    va_start(args, format);
    /* 20 bytes stay for "and N more". */
    room = sizeof names->text - names->len - 20;
    int len = vsnprintf(names->text + names->len, room, format, args);
    va_end(args);
    names->len += len < 0 ? 0 : (size_t)len < room ? (size_t)len : room - 1;
}

const char *names_text(struct names *names)
{
    if (names->count > NAMES_SHOWN)
        snprintf(names->text + names->len, sizeof names->text - names->len, " and %u more",
                 names->count - NAMES_SHOWN);
    return names->text;
}
