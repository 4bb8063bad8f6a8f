#include "control/authenticator.h"

#include <stdio.h>
#include <string.h>

static void check_token(struct authenticator *self, struct authenticator_request *request)
{
    const struct authenticator_tokens *tokens = (const struct authenticator_tokens *)self;
    struct err err = {0};
    enum err_code code = token_check_bearer(&tokens->rules, request->header, request->header_len,
                                            &request->subject, &err);
    request->on_done(request, code, &err);
}

void authenticator_tokens_init(struct authenticator_tokens *tokens, const struct signature_key *key,
                               const char *audience)
{
    *tokens = (struct authenticator_tokens){.authenticator = {.check = check_token},
                                            .rules = {.key = key, .audience = audience}};
}

static enum err_code check_cluster(const struct authenticator_call *question, struct err *err)
{
    size_t len = 0;
    const char *cluster = rpc_call_initial(question->call, "clusterid", &len);
    if (!cluster ||
        (len == strlen(question->cluster_id) && memcmp(cluster, question->cluster_id, len) == 0))
        return ERR_OK;
    return err_set(err, ERR_CLUSTER_ID,
                   "the caller says cluster '%.*s', this is the control plane of '%s'",
                   len < 64 ? (int)len : 64, cluster, question->cluster_id);
}

static void on_checked(struct authenticator_request *request, enum err_code code, struct err *err)
{
    struct authenticator_call *question = (struct authenticator_call *)request;
    if (question->answered)
        *question->answered = true;
    if (code == ERR_OK)
        code = check_cluster(question, err);
    question->on_done(question, code, err);
}

void authenticator_check_call(struct authenticator *authenticator, const char *cluster_id,
                              struct rpc_call *call, struct authenticator_call *question,
                              void (*on_done)(struct authenticator_call *, enum err_code,
                                              struct err *))
{
    bool answered = false;
    *question = (struct authenticator_call){.request = {.on_done = on_checked},
                                            .call = call,
                                            .cluster_id = cluster_id,
                                            .answered = &answered,
                                            .on_done = on_done};
    question->request.header =
        rpc_call_initial(call, "authorization", &question->request.header_len);
    authenticator->check(authenticator, &question->request);
    if (answered)
        return; /* `question` may be gone */
    question->answered = NULL;
    rpc_call_defer(call);
}

void authenticator_refuse(struct rpc_call *call, const struct err *err)
{
    char text[RPC_TEXT_MAX];
    bool unknown = err->code == ERR_TIMEOUT || err->code == ERR_CANCELLED ||
                   err->code == ERR_NO_MEMORY || err->code == ERR_BUSY;
    int status = err->code == ERR_QUOTA ? RPC_RESOURCE_EXHAUSTED
                 : unknown              ? RPC_UNAVAILABLE
                                        : RPC_UNAUTHENTICATED;
    snprintf(text, sizeof text, "%s: %s", err_label(err->code), err->text);
    rpc_call_finish(call, status, text);
}
