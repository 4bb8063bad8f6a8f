/* What a model must obey as a whole: names and addresses that occur once, references that lead
 * somewhere. One thread. */
#ifndef SOURCE_CHECK_H
#define SOURCE_CHECK_H

#include "control/source_model.h"

/* Reports duplicates, services without endpoints' source, names of workloads that are not there,
 * policies and rules that cannot mean anything. */
void source_check(struct source_arena *arena, const struct source_model *model,
                  struct source_report *report);
/* Warnings about what is allowed and yet probably a mistake; only for a model without errors. */
void source_check_warn(struct source_arena *arena, const struct source_model *model,
                       struct source_report *report);
/* The rules of one policy (source_rules.c). */
void source_check_rules(struct source_arena *arena, const struct source_model *model,
                        const struct source_policy *policy, struct source_report *report);

/* A policy with this selector and namespace (either may be absent) guards the workload. */
bool source_check_guards(const struct source_text *ns, const struct source_labels *selector,
                         const struct source_workload *workload);
/* The workload is behind the service. */
bool source_check_serves(const struct source_service *service,
                         const struct source_workload *workload);
/* False for `mesh: false`. */
bool source_check_in_mesh(const struct source_workload *workload);

#endif
