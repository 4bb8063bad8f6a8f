#include "yaml.h"

#include <stdio.h>
#include <string.h>

const char *yaml_problem_bytes(const char *data, size_t len)
{
    static char text[SOURCE_PROBLEM_TEXT_MAX + 32];
    struct source source;
    struct err err = {0};
    enum err_code code = source_parse(&source, "mesh.yaml", data, len, &err);
    text[0] = 0;
    if (source.report.count > 0) {
        const struct source_problem *problem = &source.report.items[0];
        snprintf(text, sizeof text, "%u:%u: %s%s", problem->line, problem->column,
                 problem->warning ? "warning: " : "", problem->text);
    }
    if ((code == ERR_OK) != (source.report.errors == 0))
        snprintf(text, sizeof text, "code %s with %u errors", err_label(code),
                 source.report.errors);
    source_deinit(&source);
    return text;
}

const char *yaml_problem(const char *text)
{
    return yaml_problem_bytes(text, strlen(text));
}

bool yaml_expect(const char *yaml, const char *place, const char *part)
{
    const char *found = yaml_problem(yaml);
    size_t len = strlen(place);
    bool good = strncmp(found, place, len) == 0 && found[len] == ':' && strstr(found, part);
    if (!good)
        fprintf(stderr, "\nexpected %s ... %s\nfound    %s\n", place, part, found);
    return good;
}
