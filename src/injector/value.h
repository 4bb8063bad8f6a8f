/* What annotations and options may say: each kind of value checked and brought into one form.
 *
 * Every function returns a copy that the caller frees, or NULL and a sentence about what is wrong
 * with `text` and what was expected (ERR_INVALID; ERR_NO_MEMORY). Pure. */
#ifndef INJECTOR_VALUE_H
#define INJECTOR_VALUE_H

#include <stdbool.h>
#include <stdint.h>

#include "base/err.h"

enum { VALUE_LIST_MAX = 256, VALUE_ENTRY_MAX = 64 };

/* "true" or "false". */
char *value_bool(const char *text, struct err *err);
/* "80,443": entries trimmed, in the order given; an empty text is an empty list. */
char *value_ports(const char *text, struct err *err);
/* The same for what is to be captured, where "*" is everything and becomes "". An empty list, which
 * would capture nothing, is refused. */
char *value_ports_or_all(const char *text, struct err *err);
/* "10.0.0.0/8,fd00::/8", likewise. */
char *value_prefixes(const char *text, struct err *err);
char *value_prefixes_or_all(const char *text, struct err *err);
/* "net1,net2": names of network interfaces. */
char *value_interfaces(const char *text, struct err *err);
/* Processors: 1m to 1000. Memory: 1Mi to 1Ti; a limit from 16Mi on, below which no proxy lives. */
char *value_cpu(const char *text, struct err *err);
char *value_memory(const char *text, struct err *err);
char *value_memory_limit(const char *text, struct err *err);
/* error, warn, info, debug. */
char *value_log_level(const char *text, struct err *err);
/* Envoy's levels, as the nearest of ours. */
char *value_envoy_log_level(const char *text, struct err *err);
/* text, json, off. */
char *value_access_log(const char *text, struct err *err);

/* True when a list from value_ports has this port. */
bool value_has_port(const char *list, uint16_t port);

/* `text` cut at `size` bytes and with '?' for everything but printable ASCII: what may go into
 * sentences, logs and JSON, wherever it came from. Returns `out`. */
const char *value_printable(const char *text, char *out, size_t size);

#endif
