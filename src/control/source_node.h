/* A YAML file as a tree in which everything knows its line and column. What a mesh file does not
 * need is refused: anchors and aliases (and with them files that grow when they are read), tags,
 * several documents, keys that are no text. One thread. */
#ifndef SOURCE_NODE_H
#define SOURCE_NODE_H

#include <stdbool.h>
#include <stddef.h>

#include "control/source_arena.h"
#include "control/source_report.h"

enum {
    SOURCE_FILE_MAX = 8 << 20, /* bytes of a mesh file */
    SOURCE_DEPTH_MAX = 16,     /* lists and mappings inside each other */
    SOURCE_NODES_MAX = 400000, /* values of a file */
    SOURCE_KEYS_MAX = 256      /* keys of one mapping */
};

enum source_kind { SOURCE_SCALAR, SOURCE_LIST, SOURCE_MAP };

struct source_node {
    enum source_kind kind;
    unsigned line, column; /* from 1, columns in characters */
    const char *text;      /* a scalar's; null-terminated, but a null may also be inside */
    size_t len;
    bool plain;                    /* a scalar without quotes: may be a number, true or false */
    const struct source_node *key; /* in a mapping: the key of this value */
    struct source_node *first, *last, *next; /* children, and the sibling that follows */
    unsigned count;                          /* of children */
};

/* Parses `len` bytes into a tree that lives in `arena`. NULL when there is something to report, or
 * when the arena failed. Duplicate keys are reported and the tree is returned all the same, with
 * the first of them. */
struct source_node *source_node_parse(struct source_arena *arena, const char *data, size_t len,
                                      struct source_report *report);

enum { SOURCE_DESCRIBE_MAX = 128 };

/* What was found, for a sentence: "nothing", "a list", "the text \"80\"" ...; cut, and without
 * control characters. Returns `text`. */
const char *source_node_describe(const struct source_node *node, char text[SOURCE_DESCRIBE_MAX]);
/* A scalar that says nothing: empty, ~ or null. */
bool source_node_is_null(const struct source_node *node);

#endif
