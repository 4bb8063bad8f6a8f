/* ES256 signatures and public keys. */
#include "tls/signature.h"

#include <stdlib.h>
#include <string.h>

#include "pki.h"
#include "suite.h"

static struct tls_key *key;
static struct signature_key *public_key;

static void signature_is_good_for_its_bytes_and_key_alone(void)
{
    static const char text[] = "header.claims";
    uint8_t signature[SIGNATURE_SIZE];
    CU_ASSERT_EQUAL(signature_sign(key, text, sizeof text - 1, signature, NULL), ERR_OK);
    CU_ASSERT_TRUE(
        signature_verify(public_key, text, sizeof text - 1, signature, sizeof signature));
    CU_ASSERT_FALSE(
        signature_verify(public_key, text, sizeof text - 2, signature, sizeof signature));
    CU_ASSERT_FALSE(signature_verify(public_key, text, sizeof text - 1, signature, 63));
    CU_ASSERT_FALSE(signature_verify(public_key, text, sizeof text - 1, signature, 0));
    for (size_t at = 0; at < sizeof signature; at++) {
        signature[at] ^= 1;
        CU_ASSERT_FALSE(signature_verify(public_key, text, sizeof text - 1, signature, 64));
        signature[at] ^= 1;
    }
    struct tls_key *other = tls_key_new();
    struct signature_key *other_public = signature_key_of(other);
    CU_ASSERT_FALSE(signature_verify(other_public, text, sizeof text - 1, signature, 64));
    signature_key_unref(other_public);
    tls_key_unref(other);
}

static void degenerate_signatures_are_refused(void)
{
    uint8_t signature[SIGNATURE_SIZE] = {0};
    CU_ASSERT_FALSE(signature_verify(public_key, "x", 1, signature, 64));
    signature[31] = signature[63] = 1;
    CU_ASSERT_FALSE(signature_verify(public_key, "x", 1, signature, 64));
    memset(signature, 0xff, sizeof signature);
    CU_ASSERT_FALSE(signature_verify(public_key, "x", 1, signature, 64));
}

static void public_key_survives_the_way_through_pem(void)
{
    char *pem = NULL;
    struct signature_key *back = NULL;
    uint8_t signature[SIGNATURE_SIZE];
    CU_ASSERT_EQUAL_FATAL(signature_key_format_pem(public_key, &pem, NULL), ERR_OK);
    CU_ASSERT_PTR_NULL(strstr(pem, "PRIVATE"));
    CU_ASSERT_EQUAL_FATAL(signature_key_parse_pem(&back, pem, strlen(pem), NULL), ERR_OK);
    CU_ASSERT_EQUAL(signature_sign(key, "x", 1, signature, NULL), ERR_OK);
    CU_ASSERT_TRUE(signature_verify(back, "x", 1, signature, 64));
    signature_key_unref(back);
    for (size_t cut = 0; cut < strlen(pem) - 2; cut++)
        CU_ASSERT_EQUAL(signature_key_parse_pem(&back, pem, cut, NULL), ERR_INVALID);
    free(pem);
}

static void other_kinds_of_keys_are_refused(void)
{
    /* A point on P-384. */
    static const char p384[] = "-----BEGIN PUBLIC KEY-----\n"
                               "MHYwEAYHKoZIzj0CAQYFK4EEACIDYgAEqofKIr6LBTeOscce8yCtdG4dO2KLp5uY\n"
                               "WfdB4IJUKjhVAvJdv1UpbDpUXjhydgq3NhfeSpYmLG9dnpi/kpLcKfj0Hb0omhR8\n"
                               "6doxE7XwuMAKYLHOHX6BnXpDHXyQ6g5f\n-----END PUBLIC KEY-----\n";
    struct signature_key *made = NULL;
    CU_ASSERT_EQUAL(signature_key_parse_pem(&made, p384, sizeof p384 - 1, NULL), ERR_INVALID);
    struct pki_ca *ca = pki_ca_new("x", PKI_P256, NULL, NULL);
    CU_ASSERT_EQUAL(signature_key_parse_pem(&made, ca->pem, strlen(ca->pem), NULL), ERR_INVALID);
    CU_ASSERT_PTR_NULL(made);
    pki_ca_free(ca);
}

static void sha256_is_sha256(void)
{
    static const uint8_t abc[] = {0xba, 0x78, 0x16, 0xbf, 0x8f, 0x01, 0xcf, 0xea};
    uint8_t digest[SIGNATURE_SHA256_SIZE];
    signature_sha256("abc", 3, digest);
    CU_ASSERT_TRUE(memcmp(digest, abc, sizeof abc) == 0);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(signature_is_good_for_its_bytes_and_key_alone),
        SUITE_CASE(degenerate_signatures_are_refused),
        SUITE_CASE(public_key_survives_the_way_through_pem),
        SUITE_CASE(other_kinds_of_keys_are_refused),
        SUITE_CASE(sha256_is_sha256),
        SUITE_END,
    };
    key = tls_key_new();
    public_key = signature_key_of(key);
    int status = suite_main("tls/signature", cases, argc, argv);
    signature_key_unref(public_key);
    tls_key_unref(key);
    return status;
}
