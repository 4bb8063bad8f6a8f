#include "cli/human.h"

#include <stdio.h>
#include <stdlib.h>

const char *human_duration(int64_t seconds, char text[HUMAN_TEXT_MAX])
{
    static const struct {
        int64_t size;
        char name;
    } units[] = {{86400, 'd'}, {3600, 'h'}, {60, 'm'}, {1, 's'}};
    int64_t left = seconds < 0 ? -seconds : seconds;
    unsigned i = 0;
    while (i < 3 && left < units[i].size)
        i++;
    int64_t first = left / units[i].size;
    int64_t second = i < 3 ? left % units[i].size / units[i + 1].size : 0;
    if (second)
        snprintf(text, HUMAN_TEXT_MAX, "%lld%c %lld%c", (long long)first, units[i].name,
                 (long long)second, units[i + 1].name);
    else
        snprintf(text, HUMAN_TEXT_MAX, "%lld%c", (long long)first, units[i].name);
    return text;
}

const char *human_age(int64_t milliseconds, char text[HUMAN_TEXT_MAX])
{
    if (milliseconds >= 10000 || milliseconds < 0)
        return human_duration(milliseconds / 1000, text);
    snprintf(text, HUMAN_TEXT_MAX, "%.1fs", (double)milliseconds / 1000);
    return text;
}

const char *human_bytes(int64_t bytes, char text[HUMAN_TEXT_MAX])
{
    static const char *const units[] = {"KiB", "MiB", "GiB", "TiB", "PiB"};
    double size = (double)bytes / 1024;
    unsigned i = 0;
    if (bytes < 1024) {
        snprintf(text, HUMAN_TEXT_MAX, "%lld B", (long long)bytes);
        return text;
    }
    for (; size >= 1023.95 && i < 4; i++)
        size /= 1024;
    snprintf(text, HUMAN_TEXT_MAX, "%.1f %s", size, units[i]);
    return text;
}

const char *human_moment(int64_t moment_s, int64_t now_s, char text[HUMAN_TEXT_MAX])
{
    char span[HUMAN_TEXT_MAX];
    human_duration(moment_s - now_s, span);
    if (moment_s >= now_s)
        snprintf(text, HUMAN_TEXT_MAX, "in %.40s", span);
    else
        snprintf(text, HUMAN_TEXT_MAX, "%.40s ago", span);
    return text;
}

const char *human_count(int64_t count, const char *one, const char *plural,
                        char text[HUMAN_TEXT_MAX])
{
    snprintf(text, HUMAN_TEXT_MAX, "%lld %.30s", (long long)count, count == 1 ? one : plural);
    return text;
}
