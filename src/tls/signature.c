#include "tls/signature.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/ecdsa.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/sha.h>
#include <stdlib.h>

#include "tls/key.h"
#include "tls/pem.h"

enum { COORDINATE = SIGNATURE_SIZE / 2, PUBLIC_PEM_MAX = 8 * 1024 };

struct signature_key {
    struct ref ref;
    EVP_PKEY *pkey;
};

/* Takes `pkey`, also on failure. */
static struct signature_key *wrap(EVP_PKEY *pkey)
{
    struct signature_key *key = malloc(sizeof *key);
    if (!key) {
        EVP_PKEY_free(pkey);
        return NULL;
    }
    ref_init(&key->ref);
    key->pkey = pkey;
    return key;
}

enum err_code signature_key_parse_pem(struct signature_key **out, const char *pem, size_t len,
                                      struct err *err)
{
    *out = NULL;
    if (len > PUBLIC_PEM_MAX)
        return err_set(err, ERR_INVALID, "public key of %zu bytes, expected at most %d", len,
                       PUBLIC_PEM_MAX);
    BIO *bio = BIO_new_mem_buf(pem, (int)len);
    EVP_PKEY *pkey = bio ? PEM_read_bio_PUBKEY(bio, NULL, NULL, NULL) : NULL;
    BIO_free(bio);
    if (!pkey || !key_is_p256(pkey)) {
        char reason[PEM_REASON_MAX];
        EVP_PKEY_free(pkey);
        return err_set(err, ERR_INVALID, "public key is no P-256 key in PEM \"PUBLIC KEY\" (%s)",
                       pkey ? "another kind of key" : pem_reason(reason));
    }
    *out = wrap(pkey);
    return *out ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory for a public key");
}

struct signature_key *signature_key_of(const struct tls_key *key)
{
    /* A copy of the public point alone: whoever only checks tokens should hold no secret. */
    EC_KEY *public_half = EC_KEY_new_by_curve_name(NID_X9_62_prime256v1);
    EVP_PKEY *pkey = EVP_PKEY_new();
    const EC_KEY *whole = EVP_PKEY_get0_EC_KEY(key->pkey);
    bool made = public_half && pkey &&
                EC_KEY_set_public_key(public_half, EC_KEY_get0_public_key(whole)) &&
                EVP_PKEY_set1_EC_KEY(pkey, public_half);
    EC_KEY_free(public_half);
    if (made)
        return wrap(pkey);
    EVP_PKEY_free(pkey);
    ERR_clear_error();
    return NULL;
}

enum err_code signature_key_format_pem(const struct signature_key *key, char **pem, struct err *err)
{
    BIO *bio = BIO_new(BIO_s_mem());
    *pem = NULL;
    if (bio && PEM_write_bio_PUBKEY(bio, key->pkey))
        *pem = pem_take(bio, NULL);
    BIO_free(bio);
    ERR_clear_error();
    return *pem ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory to write a public key");
}

void signature_key_unref(struct signature_key *key)
{
    if (!key || !ref_put(&key->ref))
        return;
    EVP_PKEY_free(key->pkey);
    free(key);
}

enum err_code signature_sign(const struct tls_key *key, const void *data, size_t len,
                             uint8_t out[SIGNATURE_SIZE], struct err *err)
{
    uint8_t digest[SIGNATURE_SHA256_SIZE];
    signature_sha256(data, len, digest);
    ECDSA_SIG *signature = ECDSA_do_sign(digest, sizeof digest, EVP_PKEY_get0_EC_KEY(key->pkey));
    const BIGNUM *r, *s;
    bool made = signature != NULL;
    if (made) {
        ECDSA_SIG_get0(signature, &r, &s);
        made = BN_bn2bin_padded(out, COORDINATE, r) &&
               BN_bn2bin_padded(out + COORDINATE, COORDINATE, s);
    }
    ECDSA_SIG_free(signature);
    ERR_clear_error();
    return made ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory to sign");
}

bool signature_verify(const struct signature_key *key, const void *data, size_t len,
                      const void *signature, size_t signature_len)
{
    if (signature_len != SIGNATURE_SIZE)
        return false;
    uint8_t digest[SIGNATURE_SHA256_SIZE];
    const uint8_t *bytes = signature;
    signature_sha256(data, len, digest);
    ECDSA_SIG *parsed = ECDSA_SIG_new();
    BIGNUM *r = BN_bin2bn(bytes, COORDINATE, NULL);
    BIGNUM *s = BN_bin2bn(bytes + COORDINATE, COORDINATE, NULL);
    bool good = false;
    if (parsed && r && s && ECDSA_SIG_set0(parsed, r, s)) {
        r = s = NULL; /* they are the signature's now */
        good = ECDSA_do_verify(digest, sizeof digest, parsed, EVP_PKEY_get0_EC_KEY(key->pkey)) == 1;
    }
    BN_free(r);
    BN_free(s);
    ECDSA_SIG_free(parsed);
    ERR_clear_error();
    return good;
}

void signature_sha256(const void *data, size_t len, uint8_t out[SIGNATURE_SHA256_SIZE])
{
    SHA256(data, len, out);
}

void signature_random(void *out, size_t len)
{
    RAND_bytes(out, len);
}
