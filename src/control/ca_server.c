#include "control/ca_server.h"

#include <string.h>

enum err_code ca_server_make(const struct ca *ca, const char *const *dns_names, unsigned dns_count,
                             struct tls_context **out, int64_t *renew_at_s, struct err *err)
{
    struct ca_issued issued = {0};
    struct tls_key *key = tls_key_new();
    if (!key)
        return err_set(err, ERR_NO_MEMORY, "no memory for a key");
    enum err_code code =
        ca_issue_server(ca, key, dns_names, dns_count, CA_SERVER_TTL_S, &issued, err);
    if (code == ERR_OK)
        code = tls_context_new_server(out, key, issued.chain_pem, strlen(issued.chain_pem), err);
    if (code == ERR_OK)
        *renew_at_s =
            issued.leaf.not_before_s + (issued.leaf.not_after_s - issued.leaf.not_before_s) / 2;
    ca_issued_deinit(&issued);
    tls_key_unref(key);
    return code;
}
