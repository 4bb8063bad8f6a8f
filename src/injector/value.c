#include "injector/value.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/addr.h"
#include "injector/quantity.h"

static const char blanks[] = " \t";

const char *value_printable(const char *text, char *out, size_t size)
{
    size_t at = 0;
    for (; text[at] && at + 1 < size; at++)
        out[at] = text[at] >= 0x20 && text[at] < 0x7f ? text[at] : '?';
    out[at] = 0;
    return out;
}

static char *no_memory(struct err *err)
{
    err_set(err, ERR_NO_MEMORY, "no memory for a value");
    return NULL;
}

static char *copy(const char *text, struct err *err)
{
    char *made = strdup(text);
    return made ? made : no_memory(err);
}

static char *refuse(const char *text, const char *expected, struct err *err)
{
    char shown[80];
    err_set(err, ERR_INVALID, "'%s' is not valid: expected %s",
            value_printable(text, shown, sizeof shown), expected);
    return NULL;
}

/* --- lists ------------------------------------------------------------------------------------ */

typedef bool entry_check(const char *entry);

static char *refuse_entry(const char *text, const char *entry, const char *expected,
                          struct err *err)
{
    char shown[80], shown_entry[VALUE_ENTRY_MAX];
    value_printable(text, shown, sizeof shown);
    value_printable(entry, shown_entry, sizeof shown_entry);
    if (*entry)
        err_set(err, ERR_INVALID, "'%s' is not valid: expected %s, found '%s'", shown, expected,
                shown_entry);
    else
        err_set(err, ERR_INVALID, "'%s' is not valid: expected %s, found an empty entry", shown,
                expected);
    return NULL;
}

/* Cuts the next entry off *text, trimmed; false when it is too long. */
static bool next_entry(const char **text, char entry[VALUE_ENTRY_MAX])
{
    *text += strspn(*text, blanks);
    size_t span = strcspn(*text, ","), length = span;
    while (length > 0 && strchr(blanks, (*text)[length - 1]))
        length--;
    bool fits = length < VALUE_ENTRY_MAX;
    if (!fits)
        length = VALUE_ENTRY_MAX - 1;
    memcpy(entry, *text, length);
    entry[length] = 0;
    *text += span;
    return fits;
}

static char *take_list(const char *text, entry_check *check, const char *expected, struct err *err)
{
    char entry[VALUE_ENTRY_MAX];
    const char *at = text;
    if (text[strspn(text, blanks)] == 0)
        return copy("", err);
    char *list = malloc(strlen(text) + 1);
    if (!list)
        return no_memory(err);
    size_t used = 0;
    for (unsigned count = 1;; count++, at++) {
        bool fits = next_entry(&at, entry);
        if (!fits || !check(entry)) {
            free(list);
            return refuse_entry(text, entry, expected, err);
        }
        if (count > VALUE_LIST_MAX) {
            free(list);
            err_set(err, ERR_INVALID, "the list has more than %d entries", VALUE_LIST_MAX);
            return NULL;
        }
        size_t length = strlen(entry);
        memcpy(list + used, entry, length);
        used += length;
        if (*at != ',')
            break;
        list[used++] = ',';
    }
    list[used] = 0;
    return list;
}

/* "*" is everything, which is what no list at all means to handfast-redirect. */
static char *take_list_or_all(const char *text, entry_check *check, const char *expected,
                              struct err *err)
{
    if (strcmp(text, "*") == 0)
        return copy("", err);
    if (text[strspn(text, blanks)] == 0) {
        err_set(err, ERR_INVALID,
                "an empty list would leave everything out of the mesh: expected %s, or * for all",
                expected);
        return NULL;
    }
    return take_list(text, check, expected, err);
}

static bool is_port(const char *entry)
{
    size_t length = strspn(entry, "0123456789");
    unsigned long port = strtoul(entry, NULL, 10);
    return length > 0 && length <= 5 && entry[length] == 0 && port >= 1 && port <= 65535;
}

static bool is_prefix(const char *entry)
{
    struct addr_prefix prefix;
    return addr_prefix_parse(&prefix, entry);
}

/* What handfast-redirect takes: names go into the text of its rules. */
static bool is_interface(const char *entry)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789._-@+";
    size_t length = strlen(entry);
    return length > 0 && length < 16 && entry[strspn(entry, allowed)] == 0 &&
           strcmp(entry, ".") != 0 && strcmp(entry, "..") != 0 && strcmp(entry, "lo") != 0;
}

static const char expected_ports[] = "ports from 1 to 65535, separated by commas";
static const char expected_prefixes[] =
    "address ranges like 10.0.0.0/8 or fd00::/8, separated by commas";

char *value_ports(const char *text, struct err *err)
{
    return take_list(text, is_port, expected_ports, err);
}

char *value_ports_or_all(const char *text, struct err *err)
{
    return take_list_or_all(text, is_port, expected_ports, err);
}

char *value_prefixes(const char *text, struct err *err)
{
    return take_list(text, is_prefix, expected_prefixes, err);
}

char *value_prefixes_or_all(const char *text, struct err *err)
{
    return take_list_or_all(text, is_prefix, expected_prefixes, err);
}

char *value_interfaces(const char *text, struct err *err)
{
    return take_list(text, is_interface,
                     "names of interfaces other than lo, at most 15 letters, digits and . _ - @ +, "
                     "separated by commas",
                     err);
}

bool value_has_port(const char *list, uint16_t port)
{
    for (const char *at = list; at && *at;) {
        char *end;
        if (strtoul(at, &end, 10) == port)
            return true;
        at = *end == ',' ? end + 1 : end;
    }
    return false;
}

/* --- words and amounts ------------------------------------------------------------------------ */

static char *take_word(const char *text, const char *const *words, const char *expected,
                       struct err *err)
{
    for (; *words; words++) {
        if (strcmp(text, *words) == 0)
            return copy(text, err);
    }
    return refuse(text, expected, err);
}

char *value_bool(const char *text, struct err *err)
{
    static const char *const words[] = {"true", "false", NULL};
    return take_word(text, words, "true or false", err);
}

char *value_log_level(const char *text, struct err *err)
{
    static const char *const words[] = {"error", "warn", "info", "debug", NULL};
    return take_word(text, words, "error, warn, info or debug", err);
}

char *value_access_log(const char *text, struct err *err)
{
    static const char *const words[] = {"text", "json", "off", NULL};
    return take_word(text, words, "text, json or off", err);
}

char *value_envoy_log_level(const char *text, struct err *err)
{
    static const char *const levels[][2] = {
        {"trace", "debug"}, {"debug", "debug"}, {"info", "info"},      {"warning", "warn"},
        {"warn", "warn"},   {"error", "error"}, {"critical", "error"}, {"off", "error"},
    };
    for (unsigned i = 0; i < sizeof levels / sizeof levels[0]; i++) {
        if (strcmp(text, levels[i][0]) == 0)
            return copy(levels[i][1], err);
    }
    return refuse(text, "trace, debug, info, warning, error, critical or off", err);
}

static char *take_amount(const char *text, double min, double max, const char *expected,
                         struct err *err)
{
    double amount;
    if (quantity_parse(text, &amount) && amount >= min && amount <= max)
        return copy(text, err);
    return refuse(text, expected, err);
}

static const double Mi = 1048576.0, Ti = 1099511627776.0;

char *value_cpu(const char *text, struct err *err)
{
    return take_amount(text, 0.001, 1000, "processors from 1m to 1000, such as 100m", err);
}

char *value_memory(const char *text, struct err *err)
{
    return take_amount(text, Mi, Ti, "memory from 1Mi to 1Ti, such as 64Mi", err);
}

char *value_memory_limit(const char *text, struct err *err)
{
    return take_amount(text, 16 * Mi, Ti, "memory from 16Mi to 1Ti, such as 128Mi", err);
}
