#include "control/authenticator.h"

#include <string.h>

static enum err_code check_token(struct authenticator *self, const char *header, size_t len,
                                 struct token_subject *out, struct err *err)
{
    const struct authenticator_tokens *tokens = (const struct authenticator_tokens *)self;
    return token_check_bearer(&tokens->rules, header, len, out, err);
}

void authenticator_tokens_init(struct authenticator_tokens *tokens, const struct signature_key *key,
                               const char *audience)
{
    *tokens = (struct authenticator_tokens){.authenticator = {.check = check_token},
                                            .rules = {.key = key, .audience = audience}};
}

enum err_code authenticator_check_call(struct authenticator *authenticator, const char *cluster_id,
                                       const struct rpc_call *call, struct token_subject *out,
                                       struct err *err)
{
    size_t len = 0;
    const char *header = rpc_call_initial(call, "authorization", &len);
    enum err_code code = authenticator->check(authenticator, header, len, out, err);
    if (code != ERR_OK)
        return code;
    const char *cluster = rpc_call_initial(call, "clusterid", &len);
    if (cluster && (len != strlen(cluster_id) || memcmp(cluster, cluster_id, len) != 0))
        return err_set(err, ERR_CLUSTER_ID,
                       "the caller says cluster '%.*s', this is the control plane of '%s'",
                       len < 64 ? (int)len : 64, cluster, cluster_id);
    return ERR_OK;
}
