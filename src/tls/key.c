#include "tls/key.h"

#include <openssl/bio.h>
#include <openssl/ec_key.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <openssl/nid.h>
#include <openssl/pem.h>
#include <stdlib.h>
#include <string.h>

#include "tls/csr.h"
#include "tls/pem.h"

enum { KEY_PEM_MAX = 16 * 1024 };

bool key_is_p256(const EVP_PKEY *pkey)
{
    const EC_KEY *ec = EVP_PKEY_get0_EC_KEY(pkey);
    return ec && EC_GROUP_get_curve_name(EC_KEY_get0_group(ec)) == NID_X9_62_prime256v1;
}

/* Takes `pkey`, also on failure. */
static struct tls_key *wrap(EVP_PKEY *pkey)
{
    struct tls_key *key = malloc(sizeof *key);
    if (!key) {
        EVP_PKEY_free(pkey);
        return NULL;
    }
    ref_init(&key->ref);
    key->pkey = pkey;
    return key;
}

struct tls_key *tls_key_new(void)
{
    EVP_PKEY *pkey = EVP_PKEY_new();
    EC_KEY *ec = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    if (pkey && ec && EC_KEY_generate_key(ec) && EVP_PKEY_set1_EC_KEY(pkey, ec)) {
        EC_KEY_free(ec);
        return wrap(pkey);
    }
    EC_KEY_free(ec);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return NULL;
}

/* An encrypted key gets no password: without this BoringSSL would take the argument for one. */
static int no_password(char *buffer, int size, int writing, void *arg)
{
    (void)buffer, (void)size, (void)writing, (void)arg;
    return 0;
}

enum err_code key_read(EVP_PKEY **out, const char *pem, size_t len, struct err *err)
{
    *out = NULL;
    if (len > KEY_PEM_MAX)
        return err_set(err, ERR_TOO_LARGE, "private key of %zu bytes, expected at most %d", len,
                       KEY_PEM_MAX);
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    if (!bio)
        return err_set(err, ERR_NO_MEMORY, "no memory to read a private key");
    *out = PEM_read_bio_PrivateKey(bio, NULL, no_password, NULL);
    BIO_free(bio);
    char reason[PEM_REASON_MAX];
    if (!*out)
        return err_set(err, ERR_INVALID,
                       "private key cannot be parsed (%s), expected an unencrypted PKCS #8 PEM",
                       pem_reason(reason));
    ERR_clear_error();
    return ERR_OK;
}

enum err_code tls_key_parse_pem(struct tls_key **out, const char *pem, size_t len, struct err *err)
{
    EVP_PKEY *pkey = NULL;
    *out = NULL;
    enum err_code code = key_read(&pkey, pem, len, err);
    if (code != ERR_OK)
        return code;
    if (!key_is_p256(pkey)) {
        EVP_PKEY_free(pkey);
        return err_set(err, ERR_INVALID,
                       "private key is not on P-256, expected an ECDSA P-256 key");
    }
    *out = wrap(pkey);
    return *out ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory for a private key");
}

enum err_code tls_key_format_pem(const struct tls_key *key, char **pem, size_t *len,
                                 struct err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    *pem = NULL;
    if (bio && PEM_write_bio_PKCS8PrivateKey(bio, key->pkey, NULL, NULL, 0, NULL, NULL))
        *pem = pem_take(bio, len); /* the BIO's own copy is wiped by BoringSSL's free */
    BIO_free(bio);
    ERR_clear_error();
    return *pem ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory to write a private key");
}

struct tls_key *tls_key_ref(struct tls_key *key)
{
    ref_get(&key->ref);
    return key;
}

void tls_key_unref(struct tls_key *key)
{
    if (!key || !ref_put(&key->ref))
        return;
    EVP_PKEY_free(key->pkey);
    free(key);
}

enum err_code tls_key_make_csr(const struct tls_key *key, const struct spiffe_id *id, char **pem,
                               struct err *err)
{
    return csr_make(key->pkey, id, pem, err);
}
