/* Reads nodes into typed values. Each function reports what it does not understand, with the place
 * and with what it expected, and then leaves the target as it was (zero). Mappings are read by
 * tables of fields: the same rows say which keys there are, which are needed and how each is read.
 * One thread. */
#ifndef SOURCE_READ_H
#define SOURCE_READ_H

#include "control/source_model.h"

struct source_reader {
    struct source_arena *arena;
    struct source_report *report;
    const char *field; /* the key whose value is being read: sentences start with it */
};

struct source_field {
    const char *name; /* NULL ends the table */
    bool required;
    size_t offset; /* of the target in the record */
    void (*read)(struct source_reader *reader, const struct source_node *node, void *target);
    const char *expected; /* of a required one, for when it is missing */
};

/* Reports `node`: "<field>: found <what it is>, expected <expected>". */
void source_read_refuse(struct source_reader *reader, const struct source_node *node,
                        const char *expected);
/* Reads a mapping: every key by its row, an unknown key and a missing one are reported. `what` is
 * "a workload". */
void source_read_map(struct source_reader *reader, const struct source_node *node,
                     const struct source_field *fields, void *record, const char *what);
/* Reads a list of `item_size` each, at least `min` of them, into *items (in the arena) and *count;
 * `what` is "a list of workloads". */
void source_read_list(struct source_reader *reader, const struct source_node *node,
                      size_t item_size, unsigned min, unsigned max,
                      void (*read)(struct source_reader *, const struct source_node *, void *),
                      void **items, unsigned *count, const char *what);

/* --- for the rows ---------------------------------------------------------------------------- */
void source_read_trust_domain(struct source_reader *reader, const struct source_node *node,
                              void *target); /* struct source_text */
/* A DNS label (RFC 1123 section 2.1): lower case, digits, hyphens, at most 63 characters. */
void source_read_label_name(struct source_reader *reader, const struct source_node *node,
                            void *target);
/* A DNS subdomain: labels and dots, at most 253 characters. */
void source_read_name(struct source_reader *reader, const struct source_node *node, void *target);
void source_read_names(struct source_reader *reader, const struct source_node *node, void *target);
void source_read_action(struct source_reader *reader, const struct source_node *node, void *target);
void source_read_mode(struct source_reader *reader, const struct source_node *node, void *target);
void source_read_flag(struct source_reader *reader, const struct source_node *node, void *target);
void source_read_port(struct source_reader *reader, const struct source_node *node, void *target);
void source_read_ports(struct source_reader *reader, const struct source_node *node, void *target);
void source_read_addresses(struct source_reader *reader, const struct source_node *node,
                           void *target);
void source_read_prefixes(struct source_reader *reader, const struct source_node *node,
                          void *target);
void source_read_labels(struct source_reader *reader, const struct source_node *node, void *target);
/* At least one label: without any it would be a selector that says nothing. */
void source_read_selector(struct source_reader *reader, const struct source_node *node,
                          void *target);
/* Lists of patterns: a text, text*, *text or *; the text is checked by what it is for. */
void source_read_principals(struct source_reader *reader, const struct source_node *node,
                            void *target);
void source_read_namespaces(struct source_reader *reader, const struct source_node *node,
                            void *target);
/* A list of "namespace/name". */
void source_read_service_accounts(struct source_reader *reader, const struct source_node *node,
                                  void *target);

#endif
