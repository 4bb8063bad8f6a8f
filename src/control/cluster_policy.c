#include "control/cluster_policy.h"

#include <stdlib.h>
#include <string.h>

#include "control/cluster_json.h"
#include "control/cluster_rules.h"
#include "control/compile_record.h"

/* --- what a policy is in outline; false: refused, and the finding says why ------------------- */

static bool read_action(const json_t *spec, enum mesh_action *action,
                        struct cluster_finding *finding)
{
    const json_t *value = json_object_get(spec, "action");
    const char *text = json_string_value(value);
    *action = MESH_ACTION_ALLOW;
    if (cluster_json_says_nothing(value) || (text && strcmp(text, "ALLOW") == 0))
        return true;
    if (text && strcmp(text, "DENY") == 0) {
        *action = MESH_ACTION_DENY;
        return true;
    }
    if (text && (strcmp(text, "AUDIT") == 0 || strcmp(text, "CUSTOM") == 0))
        cluster_finding_add(finding, CLUSTER_UNSUPPORTED,
                            "action %s asks for something beside letting a connection in or not: "
                            "the policy is not in force",
                            text);
    else
        cluster_finding_add(finding, CLUSTER_INVALID,
                            "action is \"%.64s\", expected ALLOW or DENY: the policy is not in "
                            "force",
                            text ? text : "no text");
    return false;
}

static bool check_targets(const json_t *spec, struct cluster_finding *finding)
{
    if (cluster_json_says_nothing(json_object_get(spec, "targetRef")) &&
        cluster_json_says_nothing(json_object_get(spec, "targetRefs")))
        return true;
    cluster_finding_add(finding, CLUSTER_UNSUPPORTED,
                        "targetRefs attach a policy to a gateway or a service, where this mesh has "
                        "nobody to ask it; pick workloads by selector: the policy is not in force");
    return false;
}

static bool read_selector(const json_t *spec, struct cluster_policy *policy, struct err *err)
{
    enum err_code code =
        cluster_selector_read(json_object_get(spec, "selector"), &policy->selector, err);
    if (code == ERR_INVALID)
        cluster_finding_add(&policy->finding, CLUSTER_INVALID, "%s: the policy is not in force",
                            err->text);
    return code == ERR_OK;
}

/* --- its record ------------------------------------------------------------------------------- */

/* In the place of a record that the mesh refuses. */
static void close_draft(struct mesh_policy *draft)
{
    static const struct mesh_rule everything;
    draft->rules = &everything;
    draft->rule_count = draft->action == MESH_ACTION_DENY;
}

static enum err_code make_resource(struct mesh_policy *draft, struct cluster_policy *policy,
                                   struct err *err)
{
    enum err_code code = compile_policy_resource(draft, &policy->resource, err);
    if (code != ERR_XDS_RESOURCE && code != ERR_TOO_LARGE)
        return code;
    cluster_finding_add(&policy->finding, CLUSTER_INVALID, "%s: %s", err->text,
                        draft->action == MESH_ACTION_DENY ? "everything is denied"
                                                          : "nothing is allowed");
    close_draft(draft);
    return compile_policy_resource(draft, &policy->resource, err);
}

static enum err_code read_rules(const struct cluster_policy_context *context, const json_t *object,
                                enum mesh_action action, struct cluster_policy *policy,
                                struct err *err)
{
    struct source_arena arena = {0};
    const struct cluster_rules_reader reader = {.arena = &arena,
                                                .action = action,
                                                .ns = context->ns,
                                                .trust_domain = context->trust_domain,
                                                .finding = &policy->finding};
    policy->scope = policy->selector->count > 0 ? MESH_SCOPE_WORKLOAD
                    : context->root             ? MESH_SCOPE_GLOBAL
                                                : MESH_SCOPE_NAMESPACE;
    struct mesh_policy draft = {
        .name = source_arena_format(&arena, "%s%s", context->wire_prefix, context->name),
        .namespace = policy->scope == MESH_SCOPE_GLOBAL ? "" : context->ns,
        .scope = policy->scope,
        .action = action,
        .dry_run = cluster_json_annotated(object, "handfast.io/dry-run") ||
                   cluster_json_annotated(object, "istio.io/dry-run"),
    };
    cluster_rules_read(&reader, cluster_json_at(object, "spec.rules"), &draft.rules,
                       &draft.rule_count);
    enum err_code code = arena.failed ? err_set(err, ERR_NO_MEMORY, "no memory for a policy")
                                      : make_resource(&draft, policy, err);
    if (action == MESH_ACTION_DENY && draft.rule_count == 0)
        cluster_finding_add(&policy->finding, CLUSTER_INVALID,
                            "a DENY policy without rules never matches ([{}] matches everything)");
    cluster_finding_finish(&policy->finding,
                           draft.dry_run ? "evaluated and reported, but decides nothing (dry run)"
                                         : "in force as it is written");
    source_arena_free(&arena);
    return code;
}

static enum err_code read_policy(const struct cluster_policy_context *context, const json_t *object,
                                 struct cluster_policy *policy, struct err *err)
{
    const json_t *spec = json_object_get(object, "spec");
    enum mesh_action action;
    policy->generation = json_integer_value(cluster_json_at(object, "metadata.generation"));
    bool good = read_action(spec, &action, &policy->finding);
    good = check_targets(spec, &policy->finding) && good;
    if (!read_selector(spec, policy, err)) {
        if (err->code == ERR_NO_MEMORY)
            return ERR_NO_MEMORY;
        good = false;
    }
    if (good)
        return read_rules(context, object, action, policy, err);
    cluster_finding_finish(&policy->finding, "");
    return ERR_OK;
}

enum err_code cluster_policy_read(const struct cluster_policy_context *context,
                                  const json_t *object, struct cluster_policy **out,
                                  struct err *err)
{
    struct cluster_policy *policy = calloc(1, sizeof *policy);
    if (!policy)
        return err_set(err, ERR_NO_MEMORY, "no memory for policy %s/%s", context->ns,
                       context->name);
    enum err_code code = read_policy(context, object, policy, err);
    if (code == ERR_OK)
        *out = policy;
    else
        cluster_policy_free(policy);
    return code;
}

bool cluster_policy_equal(const struct cluster_policy *a, const struct cluster_policy *b)
{
    if (!a->resource != !b->resource || !a->selector != !b->selector ||
        a->generation != b->generation || !cluster_finding_equal(&a->finding, &b->finding))
        return false;
    return (!a->resource || (a->resource->hash == b->resource->hash && a->scope == b->scope)) &&
           (!a->selector || cluster_selector_equal(a->selector, b->selector));
}

void cluster_policy_free(struct cluster_policy *policy)
{
    if (!policy)
        return;
    xds_resource_unref(policy->resource);
    free(policy->selector);
    free(policy);
}
