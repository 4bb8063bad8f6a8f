#include "redirect/listing.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* --- canonical JSON: what the kernel numbers, counts or orders by itself taken out ----------- */

static int compare_dumps(const void *a, const void *b)
{
    char *const *left = a, *const *right = b;
    return strcmp(*left, *right);
}

static char *dump(const json_t *value)
{
    return json_dumps(value, JSON_COMPACT | JSON_SORT_KEYS | JSON_ENCODE_ANY);
}

/* The elements of a set come in the order of the kernel's hash table. */
static json_t *sorted(const json_t *array)
{
    size_t count = json_array_size(array);
    char **dumps = calloc(count + 1, sizeof *dumps);
    json_t *out = json_array();
    bool failed = !dumps || !out;
    for (size_t i = 0; !failed && i < count; i++)
        failed = !(dumps[i] = dump(json_array_get(array, i)));
    if (!failed)
        qsort(dumps, count, sizeof *dumps, compare_dumps);
    for (size_t i = 0; !failed && i < count; i++)
        failed = json_array_append_new(out, json_string(dumps[i])) != 0;
    for (size_t i = 0; dumps && i < count; i++)
        free(dumps[i]);
    free(dumps);
    if (!failed)
        return out;
    json_decref(out);
    return NULL;
}

/* A new reference, NULL when out of memory. */
static json_t *canonical_value(json_t *value)
{
    if (json_is_array(value)) {
        json_t *out = json_array();
        size_t i;
        json_t *item;
        json_array_foreach(value, i, item)
        {
            if (json_array_append_new(out, canonical_value(item)) != 0) {
                json_decref(out);
                return NULL;
            }
        }
        return out;
    }
    if (!json_is_object(value))
        return json_incref(value);
    json_t *out = json_object();
    const char *key;
    json_t *item;
    json_object_foreach(value, key, item)
    {
        json_t *kept;
        if (strcmp(key, "handle") == 0 || strcmp(key, "table") == 0)
            continue;
        if (strcmp(key, "counter") == 0)
            kept = json_null();
        else if (strcmp(key, "set") == 0 && json_is_array(item))
            kept = sorted(item);
        else
            kept = canonical_value(item);
        if (json_object_set_new(out, key, kept) != 0) {
            json_decref(out);
            return NULL;
        }
    }
    return out;
}

static char *canonical_text(json_t *value)
{
    json_t *canonical = canonical_value(value);
    char *text = canonical ? dump(canonical) : NULL;
    json_decref(canonical);
    return text;
}

/* --- the listing ----------------------------------------------------------------------------- */

/* The rule of the text form that ends in this handle, without indent and handle. The table, whose
 * handle is of another count, stands in a line that ends in "{ # handle 7". */
static char *line_of(const char *text, int64_t handle)
{
    char mark[48];
    snprintf(mark, sizeof mark, " # handle %lld\n", (long long)handle);
    const char *end = text;
    while ((end = strstr(end, mark)) && end > text && end[-1] == '{')
        end++;
    if (!end)
        return strdup("(a rule without text)");
    const char *start = end;
    while (start > text && start[-1] != '\n')
        start--;
    start += strspn(start, "\t ");
    return strndup(start, (size_t)(end - start));
}

static void read_counter(struct listing_rule *rule, const json_t *expressions)
{
    size_t i;
    json_t *expression;
    json_array_foreach(expressions, i, expression)
    {
        const json_t *counter = json_object_get(expression, "counter");
        if (!json_is_object(counter))
            continue;
        rule->counted = true;
        rule->packets = json_integer_value(json_object_get(counter, "packets"));
        rule->bytes = json_integer_value(json_object_get(counter, "bytes"));
    }
}

static bool read_rule(struct listing *listing, json_t *value, const char *text)
{
    const char *chain = json_string_value(json_object_get(value, "chain"));
    const char *comment = json_string_value(json_object_get(value, "comment"));
    struct listing_rule *rule = &listing->rules[listing->rule_count++];
    rule->chain = strdup(chain ? chain : "");
    rule->canonical = canonical_text(value);
    rule->text = line_of(text, json_integer_value(json_object_get(value, "handle")));
    rule->comment = comment ? strdup(comment) : NULL;
    read_counter(rule, json_object_get(value, "expr"));
    return rule->chain && rule->canonical && rule->text && (rule->comment || !comment);
}

static bool read_chain(struct listing *listing, json_t *value)
{
    struct listing_chain *chain = &listing->chains[listing->chain_count++];
    const char *name = json_string_value(json_object_get(value, "name"));
    const char *type = json_string_value(json_object_get(value, "type"));
    const char *hook = json_string_value(json_object_get(value, "hook"));
    const char *policy = json_string_value(json_object_get(value, "policy"));
    json_int_t priority = json_integer_value(json_object_get(value, "prio"));
    chain->name = strdup(name ? name : "");
    if (!type || !hook)
        chain->kind = strdup("detached");
    else if (asprintf(&chain->kind, "%s %s %lld %s", type, hook, (long long)priority,
                      policy ? policy : "accept") < 0)
        chain->kind = NULL;
    return chain->name && chain->kind;
}

/* From the text: libnftables 1.0.6 writes arbitrary bytes as a table's flags into its JSON. */
static bool read_flags(struct listing *listing, const char *text)
{
    const char *flags = strstr(text, "\n\tflags ");
    if (!flags)
        return true;
    flags += strlen("\n\tflags ");
    listing->flags = strndup(flags, strcspn(flags, "\n;"));
    return listing->flags != NULL;
}

static bool read_item(struct listing *listing, const json_t *item, const char *text)
{
    json_t *value;
    if (json_object_get(item, "metainfo") || json_object_get(item, "table"))
        return true;
    if ((value = json_object_get(item, "chain")))
        return read_chain(listing, value);
    if ((value = json_object_get(item, "rule")))
        return read_rule(listing, value, text);
    listing->other_count++;
    return true;
}

enum err_code listing_parse(struct listing *listing, const char *json, const char *text,
                            struct err *err)
{
    memset(listing, 0, sizeof *listing);
    if (!read_flags(listing, text))
        return err_set(err, ERR_NO_MEMORY, "no memory for the listing of the rules");
    if (listing->flags)
        return ERR_OK;
    json_error_t problem;
    json_t *root = json_loads(json, 0, &problem);
    json_t *items = json_object_get(root, "nftables");
    if (!json_is_array(items)) {
        json_decref(root);
        return err_set(err, ERR_NFT,
                       "libnftables listed the rules in a form that is not understood: expected "
                       "JSON with an array \"nftables\"");
    }
    size_t count = json_array_size(items) + 1, i;
    listing->chains = calloc(count, sizeof *listing->chains);
    listing->rules = calloc(count, sizeof *listing->rules);
    bool good = listing->chains && listing->rules;
    json_t *item;
    json_array_foreach(items, i, item)
    {
        good = good && read_item(listing, item, text);
    }
    json_decref(root);
    if (good)
        return ERR_OK;
    listing_deinit(listing);
    return err_set(err, ERR_NO_MEMORY, "no memory for the listing of the rules");
}

void listing_deinit(struct listing *listing)
{
    for (unsigned i = 0; i < listing->chain_count; i++) {
        free(listing->chains[i].name);
        free(listing->chains[i].kind);
    }
    for (unsigned i = 0; i < listing->rule_count; i++) {
        free(listing->rules[i].chain);
        free(listing->rules[i].canonical);
        free(listing->rules[i].text);
        free(listing->rules[i].comment);
    }
    free(listing->chains);
    free(listing->rules);
    free(listing->flags);
    memset(listing, 0, sizeof *listing);
}
