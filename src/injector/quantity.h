/* Kubernetes' resource quantities, "100m", "64Mi", "1e3". Pure. */
#ifndef INJECTOR_QUANTITY_H
#define INJECTOR_QUANTITY_H

#include <stdbool.h>

enum { QUANTITY_TEXT_MAX = 32 };

/* The amount in whole units (cores, bytes); false for what the API server would not take either,
 * and for what is negative. */
bool quantity_parse(const char *text, double *out);

#endif
