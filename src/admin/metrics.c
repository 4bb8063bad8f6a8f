#include "admin/metrics.h"

#include <stdlib.h>
#include <string.h>

#include "admin/exposition.h"

enum { BUCKETS = 256, KEY_MAX = METRICS_LABELS_MAX * (METRICS_VALUE_MAX + 1) };

static const struct metrics_family refused_family = {
    "handfast_metrics_rows_refused_total", METRICS_COUNTER,
    "Lookups that were sent to the row \"other\" because a table was full."};

/* One table in one shard. `rows` is what scrapers walk: the owner puts new rows in front with
 * release, a row and everything behind it never change afterwards. The buckets are the owner's
 * alone. */
struct shard_table {
    struct metrics_row *rows;
    struct metrics_row **buckets;
    struct metrics_row *other; /* for a table without labels: its only row */
    bool other_published;
    unsigned row_count;
};

struct metrics_shard {
    struct metrics_shard *next; /* fixed once published */
    const struct metrics *metrics;
    uint64_t refused;
    struct shard_table tables[];
};

struct collector {
    void (*collect)(void *arg, struct exposition *text);
    void *arg;
};

struct metrics {
    const struct metrics_table *tables;
    unsigned table_count, collector_count;
    struct metrics_shard *shards;
    struct collector collectors[METRICS_COLLECTORS_MAX];
};

enum err_code metrics_new(struct metrics **out, const struct metrics_table *tables, unsigned count,
                          struct err *err)
{
    for (unsigned i = 0; i < count; i++) {
        if (tables[i].label_count > METRICS_LABELS_MAX || tables[i].family_count == 0)
            abort();
    }
    struct metrics *metrics = calloc(1, sizeof *metrics);
    if (!metrics)
        return err_set(err, ERR_NO_MEMORY, "no memory for the metrics registry");
    metrics->tables = tables;
    metrics->table_count = count;
    *out = metrics;
    return ERR_OK;
}

static struct metrics_row *row_new(const struct metrics_table *table, const char *key,
                                   uint32_t key_len, uint32_t hash)
{
    size_t cells = table->family_count * sizeof(uint64_t);
    struct metrics_row *row = calloc(1, sizeof *row + cells + key_len);
    if (!row)
        return NULL;
    char *copy = (char *)&row->cells[table->family_count];
    memcpy(copy, key, key_len);
    row->key = copy;
    row->key_len = key_len;
    row->hash = hash;
    return row;
}

static void publish(struct shard_table *table, struct metrics_row *row)
{
    row->next = table->rows;
    __atomic_store_n(&table->rows, row, __ATOMIC_RELEASE);
}

/* Writes the values, each with its null, into `key` and returns how many bytes that were. */
static uint32_t key_format(char key[KEY_MAX], const struct metrics_table *table,
                           const char *const *values)
{
    uint32_t len = 0;
    for (unsigned i = 0; i < table->label_count; i++) {
        const char *value = values[i] && *values[i] ? values[i] : "unknown";
        size_t value_len = strnlen(value, METRICS_VALUE_MAX);
        memcpy(key + len, value, value_len);
        len += (uint32_t)value_len;
        key[len++] = 0;
    }
    return len;
}

static uint32_t key_hash(const char *key, uint32_t len)
{
    uint32_t hash = 2166136261u;
    for (uint32_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)key[i]) * 16777619u;
    return hash;
}

static void shard_free(struct metrics_shard *shard)
{
    for (unsigned i = 0; i < shard->metrics->table_count; i++) {
        struct shard_table *table = &shard->tables[i];
        while (table->rows) {
            struct metrics_row *row = table->rows;
            table->rows = row->next;
            free(row);
        }
        if (!table->other_published)
            free(table->other);
        free(table->buckets);
    }
    free(shard);
}

static bool shard_table_init(struct shard_table *table, const struct metrics_table *spec)
{
    static const char *const others[METRICS_LABELS_MAX] = {
        "other", "other", "other", "other", "other", "other", "other", "other",
        "other", "other", "other", "other", "other", "other", "other", "other",
        "other", "other", "other", "other", "other", "other", "other", "other"};
    char key[KEY_MAX];
    uint32_t len = key_format(key, spec, others);
    table->other = row_new(spec, key, len, key_hash(key, len));
    if (!table->other)
        return false;
    if (spec->label_count == 0) {
        publish(table, table->other);
        table->other_published = true;
        return true;
    }
    table->buckets = calloc(BUCKETS, sizeof *table->buckets);
    return table->buckets != NULL;
}

enum err_code metrics_shard_new(struct metrics_shard **out, struct metrics *metrics,
                                struct err *err)
{
    struct metrics_shard *shard =
        calloc(1, sizeof *shard + metrics->table_count * sizeof shard->tables[0]);
    if (!shard)
        return err_set(err, ERR_NO_MEMORY, "no memory for a metrics shard");
    shard->metrics = metrics;
    for (unsigned i = 0; i < metrics->table_count; i++) {
        if (!shard_table_init(&shard->tables[i], &metrics->tables[i])) {
            shard_free(shard);
            return err_set(err, ERR_NO_MEMORY, "no memory for a metrics shard");
        }
    }
    shard->next = __atomic_load_n(&metrics->shards, __ATOMIC_ACQUIRE);
    while (!__atomic_compare_exchange_n(&metrics->shards, &shard->next, shard, true,
                                        __ATOMIC_ACQ_REL, __ATOMIC_ACQUIRE)) {
    }
    *out = shard;
    return ERR_OK;
}

void metrics_free(struct metrics *metrics)
{
    if (!metrics)
        return;
    while (metrics->shards) {
        struct metrics_shard *shard = metrics->shards;
        metrics->shards = shard->next;
        shard_free(shard);
    }
    free(metrics);
}

static struct metrics_row *other_row(struct metrics_shard *shard, struct shard_table *table)
{
    uint64_t refused = __atomic_load_n(&shard->refused, __ATOMIC_RELAXED);
    __atomic_store_n(&shard->refused, refused + 1, __ATOMIC_RELAXED);
    if (!table->other_published) {
        publish(table, table->other);
        table->other_published = true;
    }
    return table->other;
}

struct metrics_row *metrics_row(struct metrics_shard *shard, unsigned index,
                                const char *const *values)
{
    if (index >= shard->metrics->table_count)
        abort();
    const struct metrics_table *spec = &shard->metrics->tables[index];
    struct shard_table *table = &shard->tables[index];
    if (spec->label_count == 0)
        return table->other;
    char key[KEY_MAX];
    uint32_t len = key_format(key, spec, values), hash = key_hash(key, len);
    struct metrics_row **bucket = &table->buckets[hash % BUCKETS];
    for (struct metrics_row *row = *bucket; row; row = row->bucket_next) {
        if (row->hash == hash && row->key_len == len && memcmp(row->key, key, len) == 0)
            return row;
    }
    if (table->row_count == METRICS_ROWS_MAX)
        return other_row(shard, table);
    struct metrics_row *row = row_new(spec, key, len, hash);
    if (!row)
        return other_row(shard, table);
    row->bucket_next = *bucket;
    *bucket = row;
    table->row_count++;
    publish(table, row);
    return row;
}

enum err_code metrics_collect(struct metrics *metrics,
                              void (*collect)(void *arg, struct exposition *text), void *arg,
                              struct err *err)
{
    if (metrics->collector_count == METRICS_COLLECTORS_MAX)
        return err_set(err, ERR_BUSY, "more than %d metrics collectors", METRICS_COLLECTORS_MAX);
    metrics->collectors[metrics->collector_count++] = (struct collector){collect, arg};
    return ERR_OK;
}

static const struct metrics_shard *first_shard(const struct metrics *metrics)
{
    return __atomic_load_n(&metrics->shards, __ATOMIC_ACQUIRE);
}

static const struct metrics_row *first_row(const struct metrics_shard *shard, unsigned table)
{
    return __atomic_load_n(&shard->tables[table].rows, __ATOMIC_ACQUIRE);
}

uint64_t metrics_sum(const struct metrics *metrics, unsigned table, unsigned family,
                     const char *const *values)
{
    char key[KEY_MAX];
    uint32_t len = key_format(key, &metrics->tables[table], values);
    uint64_t sum = 0;
    for (const struct metrics_shard *shard = first_shard(metrics); shard; shard = shard->next) {
        for (const struct metrics_row *row = first_row(shard, table); row; row = row->next) {
            if (row->key_len == len && memcmp(row->key, key, len) == 0)
                sum += __atomic_load_n(&row->cells[family], __ATOMIC_RELAXED);
        }
    }
    return sum;
}

/* All rows of one table, borrowed, sorted so that equal keys are neighbours. */
struct rows {
    const struct metrics_row **at;
    size_t count, capacity;
};

static int compare_rows(const void *a, const void *b)
{
    const struct metrics_row *x = *(const struct metrics_row *const *)a;
    const struct metrics_row *y = *(const struct metrics_row *const *)b;
    size_t shorter = x->key_len < y->key_len ? x->key_len : y->key_len;
    int order = memcmp(x->key, y->key, shorter);
    return order ? order : (x->key_len > y->key_len) - (x->key_len < y->key_len);
}

static bool rows_gather(struct rows *rows, const struct metrics *metrics, unsigned table)
{
    rows->count = 0;
    for (const struct metrics_shard *shard = first_shard(metrics); shard; shard = shard->next) {
        for (const struct metrics_row *row = first_row(shard, table); row; row = row->next) {
            if (rows->count == rows->capacity) {
                size_t capacity = rows->capacity ? rows->capacity * 2 : 64;
                void *bigger = realloc(rows->at, capacity * sizeof *rows->at);
                if (!bigger)
                    return false;
                rows->at = bigger;
                rows->capacity = capacity;
            }
            rows->at[rows->count++] = row;
        }
    }
    if (rows->count)
        qsort(rows->at, rows->count, sizeof *rows->at, compare_rows);
    return true;
}

static void render_family(struct exposition *text, const struct metrics_table *table,
                          unsigned family, const struct rows *rows)
{
    const struct metrics_family *spec = &table->families[family];
    exposition_family(text, spec->name, spec->type, spec->help);
    for (size_t i = 0, next; i < rows->count; i = next) {
        uint64_t sum = 0;
        for (next = i; next < rows->count && compare_rows(&rows->at[i], &rows->at[next]) == 0;
             next++)
            sum += __atomic_load_n(&rows->at[next]->cells[family], __ATOMIC_RELAXED);
        if (sum == 0 && table->omit_zero)
            continue;
        const char *values[METRICS_LABELS_MAX], *at = rows->at[i]->key;
        for (unsigned label = 0; label < table->label_count; label++, at += strlen(at) + 1)
            values[label] = at;
        if (spec->type == METRICS_GAUGE)
            exposition_int(text, table->labels, values, table->label_count, (int64_t)sum);
        else
            exposition_uint(text, table->labels, values, table->label_count, sum);
    }
}

enum err_code metrics_render(const struct metrics *metrics, char **out, size_t *len,
                             struct err *err)
{
    struct exposition text = {0};
    struct rows rows = {0};
    uint64_t refused = 0;
    for (unsigned table = 0; table < metrics->table_count && !text.failed; table++) {
        if (!rows_gather(&rows, metrics, table)) {
            text.failed = ERR_NO_MEMORY;
            break;
        }
        for (unsigned i = 0; i < metrics->tables[table].family_count; i++)
            render_family(&text, &metrics->tables[table], i, &rows);
    }
    free(rows.at);
    for (const struct metrics_shard *shard = first_shard(metrics); shard; shard = shard->next)
        refused += __atomic_load_n(&shard->refused, __ATOMIC_RELAXED);
    exposition_family(&text, refused_family.name, refused_family.type, refused_family.help);
    exposition_uint(&text, NULL, NULL, 0, refused);
    for (unsigned i = 0; i < metrics->collector_count; i++)
        metrics->collectors[i].collect(metrics->collectors[i].arg, &text);
    if (text.failed) {
        free(text.data);
        return err_set(err, text.failed, "metrics: %s (at most %d bytes)",
                       err_sentence(text.failed), EXPOSITION_MAX);
    }
    *out = text.data;
    *len = text.len;
    return ERR_OK;
}
