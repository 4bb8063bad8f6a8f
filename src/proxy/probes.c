#include "proxy/probes.h"

#include <stdio.h>
#include <stdlib.h>

#include "proxy/probe_run.h"

enum { ANSWER_SLACK_MS = 2000 }; /* for our own answer, behind the probe's deadline */

/* --- who asks --------------------------------------------------------------------------------- */

void probes_answer(struct probe_ask *ask, unsigned status, const char *sentence)
{
    struct admin_http_response response = {.status = status, .content_type = "text/plain"};
    char line[ERR_TEXT_MAX + 2];
    snprintf(line, sizeof line, "%s\n", sentence);
    admin_http_text(&response, status, line);
    admin_http_finish(ask->pending, &response);
    free(ask);
}

static void discard_ask(struct mail *mail)
{
    probes_answer((struct probe_ask *)mail, 503, "the proxy is ending");
}

static void on_ask(struct mail *mail, void *owner)
{
    struct probe_ask *ask = (struct probe_ask *)mail;
    struct probe *probe = ask->probe;
    (void)owner;
    if (ask->probes->stopped) { /* and `probe` is gone */
        discard_ask(mail);
        return;
    }
    bool first = !probe->run;
    if (first && !probe_run_new(ask->probes, probe)) {
        probes_answer(ask, 503, "out of memory");
        return;
    }
    probe->waiting++;
    ask->next = probe->run->asks;
    probe->run->asks = ask;
    if (first)
        probe_run_begin(probe->run);
}

void probes_ask(struct probes *probes, struct admin_http_request *request,
                struct admin_http_response *response)
{
    struct probe *probe = probe_table_find(&probes->table, admin_http_path(request));
    struct probe_ask *ask = probe ? calloc(1, sizeof *ask) : NULL;
    struct admin_http_pending *pending =
        ask ? admin_http_defer_for(request, probe->timeout_ms + ANSWER_SLACK_MS) : NULL;
    if (!pending) {
        free(ask);
        admin_http_text(response, 503, "out of memory\n");
        return;
    }
    *ask = (struct probe_ask){.mail = {.deliver = on_ask, .discard = discard_ask},
                              .probes = probes,
                              .probe = probe,
                              .pending = pending};
    mailbox_post(probes->main_box, &ask->mail);
}

/* --- begin and end ---------------------------------------------------------------------------- */

static void finish_close(struct probes *probes)
{
    if (!probes->closing || probes->pending > 0)
        return;
    probes->closing = false;
    probe_table_deinit(&probes->table);
    tls_context_unref(probes->unverified);
    probes->unverified = NULL;
    probes->on_closed(probes);
}

void probes_gone(struct probes *probes)
{
    probes->pending--;
    finish_close(probes);
}

enum err_code probes_init(struct probes *probes, const char *table, struct err *err)
{
    return probe_table_parse(&probes->table, table, err);
}

void probes_close(struct probes *probes, void (*on_closed)(struct probes *))
{
    probes->stopped = true;
    for (unsigned i = 0; i < probes->table.count; i++) {
        struct probe_run *run = probes->table.probes[i].run;
        if (run)
            probe_run_finish(run, 503, "the proxy is ending");
    }
    probe_shake_abort(probes);
    probes->on_closed = on_closed;
    probes->closing = true;
    finish_close(probes);
}
