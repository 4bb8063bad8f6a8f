/* A certificate authority and what it signs, made at run time. A failure aborts the program. */
#ifndef CERTS_H
#define CERTS_H

#include <openssl/ssl.h>
#include <stdbool.h>

struct certs {
    EVP_PKEY *ca_key;
    X509 *ca;
    char *ca_pem;
};

void certs_init(struct certs *certs);

/* A server's TLS as Go would do it: TLS 1.3, ALPN h2, a client certificate asked for and any of
 * ours taken. `dns` and `ip` are what the certificate is for; either may be NULL. */
SSL_CTX *certs_server(const struct certs *certs, const char *dns, const char *ip, bool rsa);

/* A client's certificate and key, malloc'd texts; the common name is who it is. */
void certs_client(const struct certs *certs, const char *common_name, bool rsa, char **chain_pem,
                  char **key_pem);

#endif
