#include "tls/certificate.h"

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/err.h>
#include <openssl/mem.h>
#include <string.h>

static int64_t read_time(const ASN1_TIME *time, int64_t broken)
{
    ASN1_TIME *epoch = ASN1_TIME_set(NULL, 0);
    int days = 0, seconds = 0;
    bool known = epoch && ASN1_TIME_diff(&days, &seconds, epoch, time);
    ASN1_TIME_free(epoch);
    ERR_clear_error();
    return known ? (int64_t)days * 86400 + seconds : broken;
}

int64_t certificate_not_before_s(const X509 *certificate)
{
    return read_time(X509_get0_notBefore(certificate), INT64_MAX);
}

int64_t certificate_not_after_s(const X509 *certificate)
{
    return read_time(X509_get0_notAfter(certificate), INT64_MIN);
}

const char *certificate_serial(const X509 *certificate, char text[CERTIFICATE_SERIAL_MAX])
{
    const ASN1_INTEGER *serial = X509_get0_serialNumber(certificate);
    const uint8_t *bytes = ASN1_STRING_get0_data(serial);
    int len = ASN1_STRING_length(serial);
    static const char digits[] = "0123456789abcdef";
    size_t at = 0;
    if (len > 20)
        len = 0;
    for (int i = 0; i < len; i++) {
        text[at++] = digits[bytes[i] >> 4];
        text[at++] = digits[bytes[i] & 15];
    }
    text[at] = 0;
    size_t zeroes = strspn(text, "0");
    if (zeroes == at && at > 0)
        zeroes--;
    memmove(text, text + zeroes, at - zeroes + 1);
    return text;
}

static const char *read_name(const X509_NAME *name, char text[CERTIFICATE_NAME_MAX])
{
    BIO *bio = BIO_new(BIO_s_mem());
    const uint8_t *data = NULL;
    size_t len = 0;
    text[0] = 0;
    if (bio && X509_NAME_print_ex(bio, name, 0, XN_FLAG_RFC2253) >= 0 &&
        BIO_mem_contents(bio, &data, &len))
        certificate_text(data, len, text, CERTIFICATE_NAME_MAX);
    BIO_free(bio);
    ERR_clear_error();
    return text;
}

const char *certificate_subject(const X509 *certificate, char text[CERTIFICATE_NAME_MAX])
{
    return read_name(X509_get_subject_name(certificate), text);
}

const char *certificate_issuer(const X509 *certificate, char text[CERTIFICATE_NAME_MAX])
{
    return read_name(X509_get_issuer_name(certificate), text);
}

const char *certificate_text(const uint8_t *bytes, size_t len, char *text, size_t size)
{
    size_t n = len < size - 1 ? len : size - 1;
    for (size_t i = 0; i < n; i++)
        text[i] = bytes[i] > 0x20 && bytes[i] < 0x7f ? (char)bytes[i] : bytes[i] == ' ' ? ' ' : '?';
    text[n] = 0;
    return text;
}

bool certificate_names(const X509 *certificate, GENERAL_NAMES **out)
{
    int critical = -1;
    *out = X509_get_ext_d2i(certificate, NID_subject_alt_name, &critical, NULL);
    ERR_clear_error();
    return *out || critical == -1;
}

bool certificate_names_add(GENERAL_NAMES *names, int kind, const char *text, size_t len)
{
    GENERAL_NAME *name = GENERAL_NAME_new();
    ASN1_IA5STRING *value = ASN1_IA5STRING_new();
    if (!name || !value || !ASN1_STRING_set(value, text, (int)len)) {
        GENERAL_NAME_free(name);
        ASN1_IA5STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, kind, value);
    if (sk_GENERAL_NAME_push(names, name))
        return true;
    GENERAL_NAME_free(name);
    return false;
}

GENERAL_NAMES *certificate_names_new(int kind, const char *text, size_t len)
{
    GENERAL_NAMES *names = GENERAL_NAMES_new();
    if (names && certificate_names_add(names, kind, text, len))
        return names;
    GENERAL_NAMES_free(names);
    return NULL;
}
