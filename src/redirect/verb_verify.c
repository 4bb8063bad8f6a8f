/* The rules are compared with those of a second table, made from the options in chains that no
 * packet meets, and read back in the same way: what libnftables and the kernel do to a rule on its
 * way in and out they do to both. */
#include <stdio.h>
#include <stdlib.h>

#include "redirect/compare.h"
#include "redirect/nftables.h"
#include "redirect/probe.h"
#include "redirect/rules.h"
#include "redirect/verb.h"

static enum err_code read_table(const char *table, struct listing *listing, struct err *err)
{
    char *json = NULL, *text = NULL;
    enum err_code code = nftables_list(table, NFTABLES_JSON, &json, err);
    if (code == ERR_OK)
        code = nftables_list(table, NFTABLES_TEXT, &text, err);
    if (code == ERR_OK)
        code = listing_parse(listing, json, text, err);
    free(json);
    free(text);
    return code;
}

static enum err_code make_reference(const struct capture *capture, struct listing *listing,
                                    struct err *err)
{
    char *script, *removal;
    if (rules_format(capture, RULES_REFERENCE_TABLE, true, &script, err) != ERR_OK)
        return err->code;
    enum err_code code = rules_format_removal(RULES_REFERENCE_TABLE, &removal, err);
    if (code == ERR_OK) {
        code = nftables_run(script, err);
        if (code == ERR_OK)
            code = read_table(RULES_REFERENCE_TABLE, listing, err);
        struct err late;
        if (nftables_run(removal, &late) != ERR_OK && code == ERR_OK) {
            listing_deinit(listing);
            *err = late;
            code = late.code;
        }
        free(removal);
    }
    free(script);
    return code;
}

static enum err_code compare(const struct capture *capture, const struct listing *installed,
                             struct report *report, struct err *err)
{
    struct listing expected;
    enum err_code code = make_reference(capture, &expected, err);
    if (code != ERR_OK)
        return code;
    unsigned differences = compare_tables(installed, &expected, report);
    if (differences == 0)
        report_add(report, "rules", REPORT_PROVEN, ERR_OK,
                   "the %u rules in the kernel are those of these options", installed->rule_count);
    else
        report_add(report, "rules", REPORT_FAILED, ERR_NFT_DIFFERS,
                   "the rules in the kernel are not those of these options, %u differences; was "
                   "apply given the same options, and has somebody changed the table since?",
                   differences);
    listing_deinit(&expected);
    return ERR_OK;
}

static enum err_code verify(const struct verb_options *options, struct report *report,
                            struct listing *installed, bool *have_listing, struct err *err)
{
    enum err_code code = read_table(RULES_TABLE, installed, err);
    if (code == ERR_NOT_FOUND) {
        report_add(report, "rules", REPORT_FAILED, ERR_NFT_DIFFERS,
                   "there is no table inet %s in this network namespace: apply was not run here, "
                   "or its rules were removed",
                   RULES_TABLE);
        return ERR_OK;
    }
    if (code != ERR_OK)
        return code;
    *have_listing = true;
    code = compare(&options->capture, installed, report, err);
    if (code != ERR_OK)
        return code;
    probe_outbound(&options->capture, report);
    probe_inbound(&options->capture, report);
    return ERR_OK;
}

enum err_code verb_verify(const struct verb_options *options, struct err *err)
{
    struct report report;
    struct listing installed;
    bool have_listing = false;
    report_init(&report);
    enum err_code code = verify(options, &report, &installed, &have_listing, err);
    if (code == ERR_OK)
        code = report_print(&report, have_listing ? &installed : NULL, options->json, stdout, err);
    if (code == ERR_OK && (code = report_code(&report)) != ERR_OK)
        err_set(err, code, "%s", err_sentence(code));
    if (have_listing)
        listing_deinit(&installed);
    report_deinit(&report);
    return code;
}
