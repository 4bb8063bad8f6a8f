#include <stdio.h>

#include "base/clock.h"
#include "cli/admin_client.h"
#include "cli/human.h"
#include "cli/page.h"
#include "cli/verb.h"

static void print_leaf(const json_t *certs, int64_t now)
{
    int64_t begin = page_int(certs, "not_before", 0), end = page_int(certs, "not_after", 0);
    char from[CLOCK_TEXT_MAX], until[CLOCK_TEXT_MAX], moment[HUMAN_TEXT_MAX];
    if (!page_text(certs, "serial")) {
        page_row("certificate", "none yet");
        return;
    }
    page_row("serial", "%s", page_text(certs, "serial"));
    page_row("issuer", "%s", page_text_or(certs, "issuer", "unknown"));
    page_row("valid from", "%s, %s", clock_format(begin, from), human_moment(begin, now, moment));
    page_row(end > now ? "valid until" : "EXPIRED", "%s, %s", clock_format(end, until),
             human_moment(end, now, moment));
}

static void print_roots(const json_t *bundle, int64_t now)
{
    static const char *const heads[] = {"TRUST DOMAIN", "ROOT", "EXPIRES", "LEFT"};
    struct page_table table;
    const json_t *root;
    size_t i;
    if (json_array_size(json_object_get(bundle, "roots")) == 0) {
        page_row("trust bundle", "none yet");
        return;
    }
    page_row("trust bundle", "generation %lld, sha256 %s",
             (long long)page_int(bundle, "generation", 0), page_text_or(bundle, "digest", "-"));
    page_table_begin(&table, heads, 4);
    json_array_foreach(json_object_get(bundle, "roots"), i, root)
    {
        int64_t end = page_int(root, "not_after", 0);
        char when[CLOCK_TEXT_MAX], moment[HUMAN_TEXT_MAX];
        const char *const cells[] = {page_text(root, "trust_domain"), page_text(root, "subject"),
                                     clock_format(end, when), human_moment(end, now, moment)};
        page_table_row(&table, cells);
    }
    page_table_end(&table, 2);
}

static void print_renewal(const json_t *certs)
{
    int64_t next_s = page_int(certs, "next_renewal_s", 0), done = page_int(certs, "renewals", 0);
    char span[HUMAN_TEXT_MAX], count[HUMAN_TEXT_MAX] = "none";
    if (done > 0)
        snprintf(count, sizeof count, "%lld", (long long)done);
    page_row("renewal", "%s%s, %s so far", next_s > 0 ? "in " : "",
             next_s > 0 ? human_duration(next_s, span) : "due now", count);
}

int verb_certs(const struct verb_options *options, struct err *err)
{
    json_t *certs;
    int64_t now = clock_wall_s();
    if (admin_client_ask(options->admin_socket, "GET", "/certs", ADMIN_CLIENT_TIMEOUT_MS, &certs,
                         err) != ERR_OK)
        return VERB_FAILED;
    if (options->json) {
        page_json(certs);
    } else {
        page_row("identity", "%s", page_text_or(certs, "identity", "unknown"));
        print_leaf(certs, now);
        print_renewal(certs);
        if (page_text(certs, "last_error"))
            page_row("last error", "%s", page_text(certs, "last_error"));
        print_roots(json_object_get(certs, "bundle"), now);
    }
    json_decref(certs);
    return VERB_DONE;
}
