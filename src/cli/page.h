/* What a verb prints for people: rows "name   value", and tables with aligned columns. Whatever
 * came from elsewhere is printed without its control bytes, so that nobody's certificate can
 * repaint the operator's terminal. */
#ifndef PAGE_H
#define PAGE_H

#include <jansson.h>
#include <stdint.h>

enum { PAGE_COLUMNS_MAX = 10 };

/* "name          value", to stdout. */
void page_row(const char *name, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Rows are kept until page_table_end, which prints them and frees them. */
struct page_table {
    unsigned columns, count, capacity;
    char **cells; /* count * columns */
};

/* `heads`: the names of `columns` columns. */
void page_table_begin(struct page_table *table, const char *const *heads, unsigned columns);
/* One cell for each column, copied; NULL and "" are printed "-". */
void page_table_row(struct page_table *table, const char *const *cells);
/* Prints, each line behind `indent` blanks. */
void page_table_end(struct page_table *table, unsigned indent);

/* Members of a JSON object; the object may be NULL or null. */
const char *page_text(const json_t *object, const char *key); /* NULL if none */
const char *page_text_or(const json_t *object, const char *key, const char *fallback);
int64_t page_int(const json_t *object, const char *key, int64_t fallback);
/* The strings of a JSON list with ", " between, malloc'd, "" for none. */
char *page_list(const json_t *list);

/* The document itself, indented, for --json. */
void page_json(const json_t *document);

#endif
