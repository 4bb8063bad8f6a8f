/* What may be chosen for one pod: by annotation of the pod (ours, or Istio's where there is one of
 * the same meaning), and as the installation's default by an option of the program. One table knows
 * the names, the kinds of values and the options; one thread. */
#ifndef INJECTOR_CHOICE_H
#define INJECTOR_CHOICE_H

#include <jansson.h>

#include "base/options.h"

#define CHOICE_PREFIX "handfast.io/"
/* Known, but no choices about the sidecar: see consent.h and inject.h. */
#define CHOICE_INJECT CHOICE_PREFIX "inject"
#define CHOICE_INJECT_ALIAS "sidecar.istio.io/inject"
#define CHOICE_STATUS CHOICE_PREFIX "status"

enum choice {
    CHOICE_REWRITE_PROBES,
    CHOICE_NATIVE_SIDECAR, /* "": as the server's version allows */
    CHOICE_EXCLUDE_INBOUND_PORTS,
    CHOICE_INCLUDE_INBOUND_PORTS,
    CHOICE_EXCLUDE_OUTBOUND_PORTS,
    CHOICE_INCLUDE_OUTBOUND_PORTS,
    CHOICE_EXCLUDE_OUTBOUND_CIDRS,
    CHOICE_INCLUDE_OUTBOUND_CIDRS,
    CHOICE_EXCLUDE_INTERFACES,
    CHOICE_PROXY_CPU,
    CHOICE_PROXY_CPU_LIMIT,
    CHOICE_PROXY_MEMORY,
    CHOICE_PROXY_MEMORY_LIMIT,
    CHOICE_LOG_LEVEL,
    CHOICE_ACCESS_LOG,
    CHOICE_COUNT_
};

/* Values in the form that value.h gives them; NULL where nothing was chosen. */
struct choices {
    char *value[CHOICE_COUNT_];
};

void choices_init(struct choices *choices);
void choices_deinit(struct choices *choices);
/* A copy into an initialised `to`; false without memory. */
bool choices_copy(struct choices *to, const struct choices *from);

/* The value of a list or amount, "" when there is none; of what is true or false. */
const char *choice_text(const struct choices *choices, enum choice choice);
bool choice_true(const struct choices *choices, enum choice choice);

/* Checks `text` and takes it for `choice` in place of what was there; `alias`: by the rules of
 * Istio's annotation. ERR_INVALID with a sentence about the value, ERR_NO_MEMORY. */
enum err_code choice_set(struct choices *choices, enum choice choice, const char *text, bool alias,
                         struct err *err);

/* Reads a pod's annotations (string to string, or NULL) over what `choices` has, and appends to
 * `warnings` (an array) what is unknown or said twice. ERR_INVALID names the annotation, its value
 * and what was expected; what contradicts another annotation is refused, too. */
enum err_code choices_read(struct choices *choices, json_t *annotations, json_t *warnings,
                           struct err *err);
/* Refuses defaults that contradict each other. */
enum err_code choices_check(struct choices *choices, struct err *err);

/* The argument of an option's callback. */
struct choice_slot {
    struct choices *choices;
    enum choice choice;
};
/* Fills specs[0..CHOICE_COUNT_-1] with an option for each choice; they set `defaults`. `slots` must
 * live as long as they. */
void choices_add_options(struct choices *defaults, struct choice_slot slots[CHOICE_COUNT_],
                         struct option_spec *specs);

#endif
