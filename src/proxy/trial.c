#include "proxy/trial.h"

#include <stdio.h>

#include "base/clock.h"
#include "proxy/identity.h"
#include "proxy/link.h"

struct trial {
    struct loop loop;
    struct timers timers;
    struct relay_env env;
    struct timer deadline;
    struct link link;
    struct identity identity;
    struct err *err;
    bool ended;
};

#define TRIAL_OF(pointer, member)                                                                  \
    ((struct trial *)(void *)((char *)(pointer)-offsetof(struct trial, member)))

/* --- the end: identity, link, gRPC, timers ---------------------------------------------------- */

static void on_timers_closed(struct timers *timers)
{
    loop_stop(&TRIAL_OF(timers, timers)->loop);
}

static void on_rpc_closed(void *arg)
{
    struct trial *trial = arg;
    relay_env_deinit(&trial->env);
    timers_close(&trial->timers, on_timers_closed);
}

static void on_link_closed(struct link *link)
{
    rpc_close(link->rpc, on_rpc_closed, TRIAL_OF(link, link));
}

static void on_identity_closed(struct identity *identity)
{
    link_close(&TRIAL_OF(identity, identity)->link, on_link_closed);
}

/* From a timer: not inside a callback of what is being closed. */
static void on_end(struct timer *timer)
{
    identity_close(&TRIAL_OF(timer, deadline)->identity, on_identity_closed);
}

static void end(struct trial *trial)
{
    trial->ended = true;
    timer_start(&trial->timers, &trial->deadline, 0, on_end);
}

/* --- what happens ----------------------------------------------------------------------------- */

/* A control plane that is starting looks so; all else is still so in a minute. */
static bool may_pass(enum err_code code)
{
    return code == ERR_RPC_UNAVAILABLE || code == ERR_CONN_REFUSED || code == ERR_CONN_RESET ||
           code == ERR_CONN_UNREACHABLE || code == ERR_CONN_CONNECT_TIMEOUT ||
           code == ERR_TLS_TIMEOUT || code == ERR_TLS_PEER_CLOSED || code == ERR_TLS_PEER_RESET;
}

static void on_context(struct identity *identity, struct tls_context *context)
{
    struct trial *trial = TRIAL_OF(identity, identity);
    char until[CLOCK_TEXT_MAX];
    if (trial->ended || !context)
        return;
    const struct tls_identity_info *info = tls_context_identity(context);
    printf("identity  %s\nserial    %s\nexpires   %s\nissuer    %s\n", info->id.text, info->serial,
           clock_format(info->not_after_s, until), info->issuer);
    for (unsigned i = 0; i < identity->root_count; i++)
        printf("root      %s, until %s\n", identity->roots[i].subject,
               clock_format(identity->roots[i].not_after_s, until));
    *trial->err = (struct err){0};
    end(trial);
}

static void on_request(struct identity *identity, enum err_code code)
{
    struct trial *trial = TRIAL_OF(identity, identity);
    if (trial->ended || code == ERR_OK || may_pass(code))
        return;
    *trial->err = identity->last_error;
    end(trial);
}

static void on_up(struct link *link, struct rpc_channel *channel)
{
    identity_set_channel(&TRIAL_OF(link, link)->identity, channel);
}

static void on_down(struct link *link, const struct err *err, bool again)
{
    struct trial *trial = TRIAL_OF(link, link);
    (void)again;
    identity_set_channel(&trial->identity, NULL);
    if (trial->ended)
        return;
    *trial->err = *err;
    if (!may_pass(err->code))
        end(trial);
}

static void on_deadline(struct timer *timer)
{
    struct trial *trial = TRIAL_OF(timer, deadline);
    if (trial->err->code == ERR_OK)
        err_set(trial->err, ERR_TIMEOUT, "the control plane %s did not answer within %d ms",
                trial->link.config->control, TRIAL_DEADLINE_MS);
    trial->ended = true;
    on_end(timer);
}

static void begin(struct trial *trial, const struct config *config, struct rpc *rpc)
{
    trial->identity.config = trial->link.config = config;
    trial->identity.timers = &trial->timers;
    trial->identity.on_context = on_context;
    trial->identity.on_request = on_request;
    trial->link.env = &trial->env;
    trial->link.rpc = rpc;
    trial->link.on_up = on_up;
    trial->link.on_down = on_down;
    timer_start(&trial->timers, &trial->deadline, TRIAL_DEADLINE_MS, on_deadline);
    identity_init(&trial->identity);
    link_start(&trial->link);
}

enum err_code trial_run(const struct config *config, struct err *err)
{
    /* Static, so that a leak checker sees what a failed start leaves behind. */
    static struct trial trial;
    trial = (struct trial){.err = err};
    if (loop_init(&trial.loop, err) != ERR_OK ||
        timers_init(&trial.timers, &trial.loop, err) != ERR_OK ||
        relay_env_init(&trial.env, &trial.loop, &trial.timers, err) != ERR_OK)
        return err->code;
    struct rpc *rpc = rpc_start(&trial.loop, err);
    if (!rpc)
        return err->code;
    *err = (struct err){0};
    begin(&trial, config, rpc);
    loop_run(&trial.loop);
    /* A name server that is dead still has the resolver's thread, and the loop. */
    if (!trial.link.lookup)
        loop_deinit(&trial.loop);
    return err->code;
}
