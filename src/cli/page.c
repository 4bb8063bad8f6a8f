#include "cli/page.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* A command that prints a page and ends has no use for half of one. */
static void *must(void *memory)
{
    if (!memory) {
        fputs("handfast: out of memory\n", stderr);
        exit(1);
    }
    return memory;
}

static void print_clean(const char *text)
{
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        /* C1 controls are two bytes in UTF-8, 0xc2 0x80 to 0xc2 0x9f. */
        if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] < 0xa0) {
            putchar('?');
            at++;
        } else {
            putchar(*at < 0x20 || *at == 0x7f ? '?' : *at);
        }
    }
}

/* Characters, not bytes. */
static unsigned width_of(const char *text)
{
    unsigned width = 0;
    for (; *text; text++)
        width += ((unsigned char)*text & 0xc0) != 0x80;
    return width;
}

void page_row(const char *name, const char *format, ...)
{
    char *value = NULL;
    va_list args;
    va_start(args, format);
    int len = vasprintf(&value, format, args);
    va_end(args);
    must(len < 0 ? NULL : value);
    printf("%-14s", name);
    print_clean(value);
    putchar('\n');
    free(value);
}

void page_table_begin(struct page_table *table, const char *const *heads, unsigned columns)
{
    if (columns > PAGE_COLUMNS_MAX)
        abort();
    *table = (struct page_table){.columns = columns};
    page_table_row(table, heads);
}

void page_table_row(struct page_table *table, const char *const *cells)
{
    if (table->count == table->capacity) {
        table->capacity = table->capacity ? table->capacity * 2 : 16;
        size_t bytes = (size_t)table->capacity * table->columns * sizeof *table->cells;
        table->cells = must(realloc(table->cells, bytes));
    }
    char **row = &table->cells[(size_t)table->count++ * table->columns];
    for (unsigned i = 0; i < table->columns; i++)
        row[i] = must(strdup(cells[i] && *cells[i] ? cells[i] : "-"));
}

void page_table_end(struct page_table *table, unsigned indent)
{
    unsigned widths[PAGE_COLUMNS_MAX] = {0};
    size_t total = (size_t)table->count * table->columns;
    for (size_t i = 0; i < total; i++) {
        unsigned width = width_of(table->cells[i]);
        unsigned *widest = &widths[i % table->columns];
        *widest = width > *widest ? width : *widest;
    }
    for (size_t i = 0; i < total; i++) {
        unsigned column = (unsigned)(i % table->columns);
        bool last = column + 1 == table->columns;
        printf("%*s", column == 0 ? (int)indent : 2, "");
        print_clean(table->cells[i]);
        if (last)
            putchar('\n');
        else
            printf("%*s", (int)(widths[column] - width_of(table->cells[i])), "");
        free(table->cells[i]);
    }
    free(table->cells);
    *table = (struct page_table){0};
}

const char *page_text(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

const char *page_text_or(const json_t *object, const char *key, const char *fallback)
{
    const char *text = page_text(object, key);
    return text ? text : fallback;
}

int64_t page_int(const json_t *object, const char *key, int64_t fallback)
{
    const json_t *value = json_object_get(object, key);
    return json_is_integer(value) ? json_integer_value(value) : fallback;
}

char *page_list(const json_t *list)
{
    size_t len = 1, used = 0, i;
    const json_t *item;
    json_array_foreach(list, i, item) len += json_string_length(item) + 2;
    char *text = must(calloc(1, len));
    json_array_foreach(list, i, item)
    {
        const char *word = json_string_value(item);
        if (word)
            used += (size_t)snprintf(text + used, len - used, "%s%s", used ? ", " : "", word);
    }
    return text;
}

void page_json(const json_t *document)
{
    json_dumpf(document, stdout, JSON_INDENT(2));
    putchar('\n');
}
