#include "identities.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tls/ca.h"

static struct tls_context *client_context, *server_context;
static struct spiffe_id server_id;

static void must(enum err_code code, const struct err *err)
{
    if (code == ERR_OK)
        return;
    fprintf(stderr, "identities: %s\n", err->text);
    abort();
}

static struct tls_context *make_context(const struct ca *ca, struct tls_bundle *bundle,
                                        const char *account, struct spiffe_id *id)
{
    static const char *const alpn[] = {"istio", NULL};
    struct err err = {0};
    struct tls_context *context;
    struct ca_issued issued = {0};
    struct tls_key *key = tls_key_new();
    char *csr;
    if (!key || !spiffe_make(id, "test.mesh", "default", account))
        abort();
    must(tls_key_make_csr(key, id, &csr, &err), &err);
    must(ca_issue_leaf(ca, id, csr, strlen(csr), 3600, &issued, &err), &err);
    must(tls_context_new(&context, key, issued.chain_pem, strlen(issued.chain_pem), bundle, id,
                         alpn, &err),
         &err);
    ca_issued_deinit(&issued);
    tls_key_unref(key);
    free(csr);
    return context;
}

static void make_all(void)
{
    struct err err = {0};
    struct tls_key *key = tls_key_new();
    struct tls_bundle *bundle;
    struct spiffe_id client_id;
    struct ca *ca;
    char *root;
    must(ca_make_root(key, "test root", &root, &err), &err);
    must(ca_new(&ca, key, root, root, &err), &err);
    must(tls_bundle_new(&bundle, "test.mesh", root, strlen(root), &err), &err);
    client_context = make_context(ca, bundle, "client", &client_id);
    server_context = make_context(ca, bundle, "server", &server_id);
    tls_bundle_unref(bundle);
    tls_key_unref(key);
    ca_unref(ca);
    free(root);
}

static void make_once(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_all);
}

struct tls_conn *identities_client(void)
{
    make_once();
    return tls_conn_new_client(client_context, &server_id, 1);
}

struct tls_conn *identities_server(void)
{
    make_once();
    return tls_conn_new_server(server_context);
}
