#include "tls/pem.h"

#include <limits.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/pem.h>
#include <openssl/pool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *pem_reason(char text[PEM_REASON_MAX])
{
    uint32_t code = ERR_peek_last_error();
    const char *reason = code ? ERR_reason_error_string(code) : NULL;
    snprintf(text, PEM_REASON_MAX, "%s", reason ? reason : "no reason given");
    for (char *c = text; *c; c++)
        *c = *c == '_' ? ' ' : *c >= 'A' && *c <= 'Z' ? (char)(*c + 32) : *c;
    ERR_clear_error();
    return text;
}

size_t pem_count(const char *pem, size_t len)
{
    static const char mark[] = "-----BEGIN";
    size_t count = 0;
    const char *end = pem + len;
    while (pem < end && (pem = memmem(pem, (size_t)(end - pem), mark, sizeof mark - 1)) != NULL) {
        count++;
        pem += sizeof mark - 1;
    }
    return count;
}

/* One block of exactly one DER certificate; NULL and a sentence otherwise. */
static X509 *read_one(BIO *bio, size_t number, struct err *err)
{
    char *name = NULL, *header = NULL;
    unsigned char *der = NULL;
    long der_len = 0;
    char reason[PEM_REASON_MAX];
    if (!PEM_read_bio(bio, &name, &header, &der, &der_len)) {
        err_set(err, ERR_TLS_BAD_CERTIFICATE, "PEM block %zu cannot be read: %s", number,
                pem_reason(reason));
        return NULL;
    }
    X509 *certificate = NULL;
    if (strcmp(name, "CERTIFICATE") != 0) {
        err_set(err, ERR_TLS_BAD_CERTIFICATE,
                "PEM block %zu is \"%.40s\", expected \"CERTIFICATE\"", number, name);
    } else {
        CRYPTO_BUFFER *buffer = CRYPTO_BUFFER_new(der, (size_t)der_len, NULL);
        certificate = buffer ? X509_parse_from_buffer(buffer) : NULL;
        CRYPTO_BUFFER_free(buffer);
        if (!certificate)
            err_set(err, ERR_TLS_BAD_CERTIFICATE, "certificate %zu of the PEM cannot be parsed: %s",
                    number, pem_reason(reason));
    }
    OPENSSL_free(name);
    OPENSSL_free(header);
    OPENSSL_free(der);
    return certificate;
}

enum err_code pem_read_certificates(STACK_OF(X509) * *out, const char *pem, size_t len, size_t max,
                                    struct err *err)
{
    *out = NULL;
    size_t count = pem_count(pem, len);
    if (count == 0)
        return err_set(err, ERR_TLS_BAD_CERTIFICATE,
                       "no certificate in %zu bytes, expected PEM \"BEGIN CERTIFICATE\"", len);
    if (count > max || len > INT_MAX)
        return err_set(err, ERR_TOO_LARGE, "%zu certificates in one PEM, expected at most %zu",
                       count, max);
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    STACK_OF(X509) *stack = sk_X509_new_null();
    enum err_code code = bio && stack ? ERR_OK : ERR_NO_MEMORY;
    struct err local;
    err_set(&local, ERR_NO_MEMORY, "no memory to read certificates");
    for (size_t i = 0; i < count && code == ERR_OK; i++) {
        X509 *certificate = read_one(bio, i + 1, &local);
        if (!certificate) {
            code = local.code;
        } else if (!sk_X509_push(stack, certificate)) {
            X509_free(certificate);
            code = ERR_NO_MEMORY;
        }
    }
    BIO_free(bio);
    if (code == ERR_OK) {
        *out = stack;
        return ERR_OK;
    }
    sk_X509_pop_free(stack, X509_free);
    return err_set(err, code, "%s", local.text);
}

char *pem_take(BIO *bio, size_t *len)
{
    const uint8_t *data = NULL;
    size_t size = 0;
    if (!BIO_mem_contents(bio, &data, &size))
        return NULL;
    char *text = malloc(size + 1);
    if (!text)
        return NULL;
    memcpy(text, data, size);
    text[size] = 0;
    if (len)
        *len = size;
    return text;
}

char *pem_write_certificate(X509 *certificate)
{
    BIO *bio = BIO_new(BIO_s_mem());
    char *text = NULL;
    if (bio && PEM_write_bio_X509(bio, certificate))
        text = pem_take(bio, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return text;
}
