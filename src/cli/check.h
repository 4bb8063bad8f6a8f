/* The parts of `handfast check`. Each looks at one thing and adds what it finds. */
#ifndef CHECK_H
#define CHECK_H

#include <stdbool.h>

#include "cli/api.h"
#include "cli/finding.h"

struct check {
    struct api *api;
    const char *ns; /* where Handfast is installed */
    struct findings findings;
    json_t *trust; /* the text of the trust bundle, or NULL */
};

/* False: the API server does not answer, and there is nothing more to ask. */
bool check_cluster(struct check *check);
void check_permissions(struct check *check);
void check_crds(struct check *check);
/* The two Deployments and what their pods say of themselves. */
void check_programs(struct check *check);
/* Leaves check->trust. */
void check_trust_root(struct check *check);
void check_webhook(struct check *check);
/* Every namespace that asks for sidecars: its trust bundle, its pods, and the webhook's answer. */
void check_namespaces(struct check *check);
/* A pod as the webhook would change it, made in `ns` without being kept. */
void check_dry_run(struct check *check, const char *ns);
/* What the redirect's init containers in `pods` (lists of pods) say of their nodes' kernels. */
void check_kernels(struct check *check, const json_t *pods);

/* True when one of the pod's containers has this name; `kind` is "containers" or
 * "initContainers". */
bool check_has_container(const json_t *pod, const char *kind, const char *name);

#endif
