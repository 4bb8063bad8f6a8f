#include "xds/certificate.h"

#include <stdlib.h>
#include <string.h>

#include "suite.h"

static void certificate_request_comes_out_as_it_went_in(void)
{
    void *data;
    size_t len;
    char *csr;
    int64_t ttl_s;
    CU_ASSERT_FATAL(xds_certificate_request_encode("CSR", 3600, &data, &len, NULL) == ERR_OK);
    CU_ASSERT_FATAL(xds_certificate_request_decode(data, len, &csr, &ttl_s, NULL) == ERR_OK);
    CU_ASSERT_STRING_EQUAL(csr, "CSR");
    CU_ASSERT_EQUAL(ttl_s, 3600);
    free(csr);
    free(data);
    CU_ASSERT_FATAL(xds_certificate_request_encode("CSR", -1, &data, &len, NULL) == ERR_OK);
    CU_ASSERT_FATAL(xds_certificate_request_decode(data, len, &csr, &ttl_s, NULL) == ERR_OK);
    CU_ASSERT_EQUAL(ttl_s, -1);
    free(csr);
    free(data);
}

static void certificate_request_refuses_what_is_no_request(void)
{
    struct err err;
    char *csr = NULL;
    int64_t ttl_s;
    CU_ASSERT_EQUAL(xds_certificate_request_decode("", 0, &csr, &ttl_s, &err), ERR_CSR_MALFORMED);
    CU_ASSERT_EQUAL(xds_certificate_request_decode("\xff", 1, &csr, &ttl_s, &err),
                    ERR_XDS_MALFORMED);
    char *large = malloc(1 << 20);
    memset(large, 'a', 1 << 20);
    large[(1 << 20) - 1] = 0;
    void *data;
    size_t len;
    CU_ASSERT_FATAL(xds_certificate_request_encode(large, 0, &data, &len, NULL) == ERR_OK);
    CU_ASSERT_EQUAL(xds_certificate_request_decode(data, len, &csr, &ttl_s, &err), ERR_TOO_LARGE);
    CU_ASSERT_PTR_NULL(csr);
    free(large);
    free(data);
}

/* Puts the tag and the length of a field in front of what is at *at already. */
static void prepend(uint8_t *data, size_t *at, uint8_t tag, size_t len)
{
    uint8_t head[8];
    size_t count = 0;
    head[count++] = tag;
    for (; len > 127; len >>= 7)
        head[count++] = (uint8_t)(len | 128);
    head[count++] = (uint8_t)len;
    *at -= count;
    memcpy(data + *at, head, count);
}

/* Metadata that nests a hundred thousand levels deep must not be followed on the stack. */
static void certificate_request_does_not_look_into_metadata(void)
{
    static uint8_t data[1 << 20];
    static const uint8_t tags[] = {0x2a, 0x12, 0x0a}; /* struct_value, a field's value, fields */
    size_t at = sizeof data;
    for (int i = 0; i < 99999; i++)
        prepend(data, &at, tags[i % 3], sizeof data - at);
    prepend(data, &at, 0x22, sizeof data - at); /* metadata */
    static const uint8_t csr_field[] = {0x0a, 3, 'C', 'S', 'R'};
    at -= sizeof csr_field;
    memcpy(data + at, csr_field, sizeof csr_field);
    char *csr;
    int64_t ttl_s;
    CU_ASSERT_EQUAL_FATAL(
        xds_certificate_request_decode(data + at, sizeof data - at, &csr, &ttl_s, NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(csr, "CSR");
    free(csr);
}

static void certificate_response_parts_the_root_from_the_chain(void)
{
    const char *const three[] = {"LEAF\n", "ISSUER", "ROOT\n"};
    void *data;
    size_t len;
    char *chain, *root;
    CU_ASSERT_FATAL(xds_certificate_response_encode(three, 3, &data, &len, NULL) == ERR_OK);
    CU_ASSERT_FATAL(xds_certificate_response_decode(data, len, &chain, &root, NULL) == ERR_OK);
    CU_ASSERT_STRING_EQUAL(chain, "LEAF\nISSUER\n");
    CU_ASSERT_STRING_EQUAL(root, "ROOT\n");
    free(chain);
    free(root);
    free(data);
    CU_ASSERT_FATAL(xds_certificate_response_encode(three, 1, &data, &len, NULL) == ERR_OK);
    CU_ASSERT_FATAL(xds_certificate_response_decode(data, len, &chain, &root, NULL) == ERR_OK);
    CU_ASSERT_STRING_EQUAL(chain, "LEAF\n");
    CU_ASSERT_STRING_EQUAL(root, "");
    free(chain);
    free(root);
    free(data);
}

static void certificate_response_refuses_an_empty_and_an_endless_one(void)
{
    struct err err;
    char *chain = NULL, *root = NULL;
    CU_ASSERT_EQUAL(xds_certificate_response_decode("", 0, &chain, &root, &err), ERR_CERT_REJECTED);
    CU_ASSERT_EQUAL(xds_certificate_response_decode("\x0a\x00", 2, &chain, &root, &err),
                    ERR_CERT_REJECTED);
    CU_ASSERT_EQUAL(xds_certificate_response_decode("\x0a", 1, &chain, &root, &err),
                    ERR_XDS_MALFORMED);
    char *large = malloc(XDS_CHAIN_MAX + 2);
    memset(large, 'a', XDS_CHAIN_MAX + 1);
    large[XDS_CHAIN_MAX + 1] = 0;
    const char *const chains[] = {large};
    void *data;
    size_t len;
    CU_ASSERT_FATAL(xds_certificate_response_encode(chains, 1, &data, &len, NULL) == ERR_OK);
    CU_ASSERT_EQUAL(xds_certificate_response_decode(data, len, &chain, &root, &err), ERR_TOO_LARGE);
    CU_ASSERT_PTR_NULL(chain);
    free(large);
    free(data);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(certificate_request_comes_out_as_it_went_in),
        SUITE_CASE(certificate_request_refuses_what_is_no_request),
        SUITE_CASE(certificate_request_does_not_look_into_metadata),
        SUITE_CASE(certificate_response_parts_the_root_from_the_chain),
        SUITE_CASE(certificate_response_refuses_an_empty_and_an_endless_one),
        SUITE_END,
    };
    return suite_main("certificate", cases, argc, argv);
}
