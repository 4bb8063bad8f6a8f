#include "redirect/compare.h"

#include <stdio.h>
#include <string.h>

#include "redirect/rules.h"

static const struct listing_chain *find_chain(const struct listing *listing, const char *name)
{
    for (unsigned i = 0; i < listing->chain_count; i++) {
        if (strcmp(listing->chains[i].name, name) == 0)
            return &listing->chains[i];
    }
    return NULL;
}

static bool known_chain(const char *name)
{
    for (unsigned i = 0; i < RULES_CHAIN_COUNT; i++) {
        if (strcmp(rules_chains[i].name, name) == 0)
            return true;
    }
    return false;
}

static unsigned compare_chains(const struct listing *found, struct report *report)
{
    unsigned differences = 0;
    for (unsigned i = 0; i < RULES_CHAIN_COUNT; i++) {
        const struct rules_chain *want = &rules_chains[i];
        const struct listing_chain *have = find_chain(found, want->name);
        char kind[80];
        snprintf(kind, sizeof kind, "%s %s %d accept", want->type, want->hook, want->priority);
        if (have && strcmp(have->kind, kind) == 0)
            continue;
        if (!have)
            report_difference(report, "chain %s is missing", want->name);
        else
            report_difference(report, "chain %s is '%s', expected '%s'", want->name, have->kind,
                              kind);
        differences++;
    }
    for (unsigned i = 0; i < found->chain_count; i++) {
        if (!known_chain(found->chains[i].name)) {
            report_difference(report, "chain %s is not ours", found->chains[i].name);
            differences++;
        }
    }
    return differences;
}

/* How often the rule stands in the listing before position `end`. */
static unsigned occurrences(const struct listing *listing, const struct listing_rule *rule,
                            unsigned end)
{
    unsigned count = 0;
    for (unsigned i = 0; i < end; i++)
        count += strcmp(listing->rules[i].canonical, rule->canonical) == 0;
    return count;
}

/* Rules of `left` that `right` does not have as often. The canonical text names the chain. */
static unsigned report_surplus(const struct listing *left, const struct listing *right,
                               const char *verb, struct report *report)
{
    unsigned surplus = 0;
    for (unsigned i = 0; i < left->rule_count; i++) {
        const struct listing_rule *rule = &left->rules[i];
        if (occurrences(left, rule, i) < occurrences(right, rule, right->rule_count))
            continue;
        report_difference(report, "chain %s %s: %s", rule->chain, verb, rule->text);
        surplus++;
    }
    return surplus;
}

/* The nth rule of a chain, NULL behind the last. */
static const struct listing_rule *nth_rule(const struct listing *listing, const char *chain,
                                           unsigned n)
{
    for (unsigned i = 0; i < listing->rule_count; i++) {
        if (strcmp(listing->rules[i].chain, chain) == 0 && n-- == 0)
            return &listing->rules[i];
    }
    return NULL;
}

/* Both have the same rules; the first one that matches decides, so their order matters. */
static unsigned compare_order(const struct listing *found, const struct listing *expected,
                              struct report *report)
{
    unsigned differences = 0;
    for (unsigned i = 0; i < RULES_CHAIN_COUNT; i++) {
        const char *chain = rules_chains[i].name;
        const struct listing_rule *want, *have;
        for (unsigned n = 0; (want = nth_rule(expected, chain, n)); n++) {
            have = nth_rule(found, chain, n);
            if (have && strcmp(have->canonical, want->canonical) == 0)
                continue;
            report_difference(report, "chain %s: rule %u is '%s', expected '%s'", chain, n + 1,
                              have ? have->text : "missing", want->text);
            differences++;
            break;
        }
    }
    return differences;
}

unsigned compare_tables(const struct listing *found, const struct listing *expected,
                        struct report *report)
{
    unsigned differences = 0;
    if (found->flags) {
        report_difference(report, "the table has the flag %s%s", found->flags,
                          strstr(found->flags, "dormant") ? ": its rules have no effect" : "");
        return 1;
    }
    if (found->other_count > 0) {
        report_difference(report, "the table has %u sets, maps or objects that are not ours",
                          found->other_count);
        differences++;
    }
    differences += compare_chains(found, report);
    unsigned rules = report_surplus(expected, found, "lacks", report);
    rules += report_surplus(found, expected, "has besides", report);
    if (rules == 0)
        rules = compare_order(found, expected, report);
    return differences + rules;
}
