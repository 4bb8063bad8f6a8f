#include "mesh/authorize.h"

#include <stdio.h>
#include <string.h>

/* The source's identity, cut into its parts; all empty without one or when it is not of the form
 * <trust domain>/ns/<namespace>/sa/<service account>. */
struct source {
    const char *principal; /* without spiffe:// ; NULL = none */
    size_t principal_len;
    const char *trust_domain, *namespace, *account; /* NULL when the ID has another form */
    size_t trust_domain_len, namespace_len, account_len;
};

/* What one evaluation looks at. */
struct context {
    const struct mesh_request *request;
    struct source source;
    const char *trust_domain; /* the destination's */
};

static bool text_is(const char *text, const char *bytes, size_t len)
{
    return strlen(text) == len && memcmp(text, bytes, len) == 0;
}

static void parse_source(const struct mesh_request *request, struct source *out)
{
    static const char scheme[] = "spiffe://";
    *out = (struct source){0};
    const char *at = request->principal;
    size_t len = request->principal_len;
    if (!at || len == 0)
        return;
    if (len >= sizeof scheme - 1 && memcmp(at, scheme, sizeof scheme - 1) == 0) {
        at += sizeof scheme - 1;
        len -= sizeof scheme - 1;
    }
    out->principal = at;
    out->principal_len = len;
    const char *end = at + len;
    const char *domain_end = memchr(at, '/', len);
    if (!domain_end || end - domain_end < 4 || memcmp(domain_end, "/ns/", 4) != 0)
        return;
    const char *namespace = domain_end + 4;
    const char *namespace_end = memchr(namespace, '/', (size_t)(end - namespace));
    if (!namespace_end || end - namespace_end < 4 || memcmp(namespace_end, "/sa/", 4) != 0)
        return;
    const char *account = namespace_end + 4;
    if (memchr(account, '/', (size_t)(end - account)) || account == end ||
        namespace_end == namespace || domain_end == at)
        return;
    out->trust_domain = at;
    out->trust_domain_len = (size_t)(domain_end - at);
    out->namespace = namespace;
    out->namespace_len = (size_t)(namespace_end - namespace);
    out->account = account;
    out->account_len = (size_t)(end - account);
}

/* --- the fields of a match: true when any value fits --- */

static bool string_fits(const struct mesh_string *string, const char *text, size_t len)
{
    if (!text || len == 0)
        return false;
    switch (string->kind) {
    case MESH_EXACT:
        return string->len == len && memcmp(string->text, text, len) == 0;
    case MESH_PREFIX:
        return string->len <= len && memcmp(string->text, text, string->len) == 0;
    case MESH_SUFFIX:
        return string->len <= len &&
               memcmp(string->text, text + len - string->len, string->len) == 0;
    case MESH_PRESENCE:
        return true;
    }
    return false;
}

static bool any_string(const struct mesh_strings *strings, const char *text, size_t len)
{
    for (unsigned i = 0; i < strings->count; i++) {
        if (string_fits(&strings->items[i], text, len))
            return true;
    }
    return false;
}

static bool any_prefix(const struct mesh_prefixes *prefixes, const struct addr *ip)
{
    for (unsigned i = 0; i < prefixes->count; i++) {
        if (addr_prefix_contains(&prefixes->items[i], ip))
            return true;
    }
    return false;
}

static bool any_port(const struct mesh_ports *ports, uint16_t port)
{
    for (unsigned i = 0; i < ports->count; i++) {
        if (ports->items[i] == port)
            return true;
    }
    return false;
}

/* An account of the same name in a foreign trust domain is somebody else. */
static bool any_account(const struct mesh_accounts *accounts, const struct context *context)
{
    const struct source *source = &context->source;
    if (!source->account ||
        !text_is(context->trust_domain, source->trust_domain, source->trust_domain_len))
        return false;
    for (unsigned i = 0; i < accounts->count; i++) {
        if (text_is(accounts->items[i].namespace, source->namespace, source->namespace_len) &&
            text_is(accounts->items[i].name, source->account, source->account_len))
            return true;
    }
    return false;
}

static bool match_is_empty(const struct mesh_match *match)
{
    return match->namespaces.count + match->not_namespaces.count + match->principals.count +
               match->not_principals.count + match->source_ips.count + match->not_source_ips.count +
               match->destination_ips.count + match->not_destination_ips.count +
               match->destination_ports.count + match->not_destination_ports.count +
               match->service_accounts.count + match->not_service_accounts.count ==
           0;
}

/* `any` is asked for a field that has values; a field without says nothing. */
#define FIELD_FITS(list, not_list, any)                                                            \
    (((list).count == 0 || any(list)) && ((not_list).count == 0 || !any(not_list)))

static bool match_fits(const struct mesh_match *match, const struct context *context)
{
    const struct source *source = &context->source;
    const struct mesh_request *request = context->request;
#define NAMESPACE(list) any_string(&(list), source->namespace, source->namespace_len)
#define PRINCIPAL(list) any_string(&(list), source->principal, source->principal_len)
#define SOURCE_IP(list) any_prefix(&(list), &request->source_ip)
#define DESTINATION_IP(list) any_prefix(&(list), &request->destination_ip)
#define PORT(list) any_port(&(list), request->destination_port)
#define ACCOUNT(list) any_account(&(list), context)
    return FIELD_FITS(match->namespaces, match->not_namespaces, NAMESPACE) &&
           FIELD_FITS(match->principals, match->not_principals, PRINCIPAL) &&
           FIELD_FITS(match->source_ips, match->not_source_ips, SOURCE_IP) &&
           FIELD_FITS(match->destination_ips, match->not_destination_ips, DESTINATION_IP) &&
           FIELD_FITS(match->destination_ports, match->not_destination_ports, PORT) &&
           FIELD_FITS(match->service_accounts, match->not_service_accounts, ACCOUNT);
}

static bool clause_fits(const struct mesh_clause *clause, const struct context *context)
{
    bool asked = false;
    for (unsigned i = 0; i < clause->match_count; i++) {
        if (match_is_empty(&clause->matches[i]))
            continue;
        asked = true;
        if (match_fits(&clause->matches[i], context))
            return true;
    }
    return !asked;
}

static bool policy_fits(const struct mesh_policy *policy, const struct context *context)
{
    for (unsigned r = 0; r < policy->rule_count; r++) {
        const struct mesh_rule *rule = &policy->rules[r];
        unsigned c = 0;
        while (c < rule->clause_count && clause_fits(&rule->clauses[c], context))
            c++;
        if (c == rule->clause_count)
            return true;
    }
    return false;
}

/* --- all policies of a workload --- */

/* What the policies seen so far said. */
struct tally {
    const struct mesh_policy *deny, *allow, *allow_unmatched;             /* enforced */
    const struct mesh_policy *dry_deny, *dry_allow, *dry_allow_unmatched; /* dry runs */
    const struct mesh_policy *unreadable;
};

static void tally_policy(struct tally *tally, const struct mesh_policy *policy,
                         const struct context *context)
{
    if (policy->unreadable) {
        if (!policy->dry_run && !tally->unreadable)
            tally->unreadable = policy;
        return;
    }
    bool fits = policy_fits(policy, context);
    const struct mesh_policy **slot;
    if (policy->action == MESH_ACTION_DENY)
        slot = fits ? (policy->dry_run ? &tally->dry_deny : &tally->deny) : NULL;
    else if (policy->dry_run)
        slot = fits ? &tally->dry_allow : &tally->dry_allow_unmatched;
    else
        slot = fits ? &tally->allow : &tally->allow_unmatched;
    if (slot && !*slot)
        *slot = policy;
}

static void tally_policies(struct tally *tally, struct mesh_policies policies,
                           const struct context *context)
{
    for (unsigned i = 0; i < policies.count; i++)
        tally_policy(tally, policies.items[i], context);
}

/* The dry run that, if it were enforced, would turn an allowed connection away. */
static const struct mesh_policy *dry_run_refusal(const struct tally *tally)
{
    if (tally->dry_deny)
        return tally->dry_deny;
    if (!tally->allow && !tally->dry_allow)
        return tally->dry_allow_unmatched;
    return NULL;
}

static void decide(const struct tally *tally, const char *missing, struct mesh_verdict *verdict)
{
    *verdict = (struct mesh_verdict){.decision = MESH_ALLOW, .reason = MESH_REASON_NO_POLICY};
    if (tally->deny) {
        verdict->decision = MESH_DENY;
        verdict->reason = MESH_REASON_DENY_MATCH;
        verdict->policy = tally->deny;
    } else if (tally->unreadable) { /* as a missing one; waiting helps less, so it is said first */
        verdict->decision = MESH_PENDING;
        verdict->reason = MESH_REASON_UNREADABLE;
        verdict->policy = tally->unreadable;
    } else if (missing) { /* it may be a DENY that matches, or the only ALLOW that does */
        verdict->decision = MESH_PENDING;
        verdict->reason = MESH_REASON_MISSING;
        verdict->missing = missing;
    } else if (tally->allow) {
        verdict->reason = MESH_REASON_ALLOW_MATCH;
        verdict->policy = tally->allow;
    } else if (tally->allow_unmatched) {
        verdict->decision = MESH_DENY;
        verdict->reason = MESH_REASON_NO_ALLOW_MATCH;
        verdict->policy = tally->allow_unmatched;
    }
    if (verdict->decision == MESH_ALLOW)
        verdict->dry_run = dry_run_refusal(tally);
}

void mesh_authorize(const struct mesh_snapshot *snapshot, const struct mesh_workload *destination,
                    const struct mesh_request *request, struct mesh_verdict *verdict)
{
    struct context context = {
        .request = request,
        .trust_domain =
            mesh_workload_trust_domain(destination, mesh_snapshot_trust_domain(snapshot)),
    };
    parse_source(request, &context.source);
    struct tally tally = {0};
    tally_policies(&tally, mesh_global_policies(snapshot), &context);
    tally_policies(&tally, mesh_namespace_policies(snapshot, destination->namespace), &context);
    const char *missing = NULL;
    for (unsigned i = 0; i < destination->policy_count; i++) {
        const struct mesh_policy *policy = mesh_find_policy(snapshot, destination->policies[i]);
        if (policy)
            tally_policy(&tally, policy, &context);
        else if (!missing)
            missing = destination->policies[i];
    }
    decide(&tally, missing, verdict);
}

const char *mesh_verdict_format(const struct mesh_verdict *verdict,
                                const struct mesh_request *request,
                                char text[MESH_VERDICT_TEXT_MAX])
{
    char ip[ADDR_TEXT_MAX];
    char who[160];
    if (request->principal)
        snprintf(who, sizeof who, "%.*s",
                 request->principal_len < 150 ? (int)request->principal_len : 150,
                 request->principal);
    else
        snprintf(who, sizeof who, "%s, which proved no identity,",
                 addr_format(&request->source_ip, ip));
    const char *key = verdict->policy ? verdict->policy->key : "";
    switch (verdict->reason) {
    case MESH_REASON_NO_POLICY:
        snprintf(text, MESH_VERDICT_TEXT_MAX, "no policy stands against %s", who);
        break;
    case MESH_REASON_ALLOW_MATCH:
        snprintf(text, MESH_VERDICT_TEXT_MAX, "policy %.100s allows %s", key, who);
        break;
    case MESH_REASON_DENY_MATCH:
        snprintf(text, MESH_VERDICT_TEXT_MAX, "policy %.100s denies %s to connect to port %u", key,
                 who, request->destination_port);
        break;
    case MESH_REASON_NO_ALLOW_MATCH:
        snprintf(text, MESH_VERDICT_TEXT_MAX,
                 "no policy allows %s to connect to port %u (policy %.80s, for one, does not)", who,
                 request->destination_port, key);
        break;
    case MESH_REASON_UNREADABLE:
        snprintf(text, MESH_VERDICT_TEXT_MAX,
                 "policy %.80s could not be read by this proxy (%.160s): %s has to wait", key,
                 verdict->policy->unreadable, who);
        break;
    case MESH_REASON_MISSING:
        snprintf(text, MESH_VERDICT_TEXT_MAX, "policy %.100s has not arrived: %s has to wait",
                 verdict->missing, who);
        break;
    }
    return text;
}
