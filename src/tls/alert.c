#include "tls/alert.h"

#include <openssl/ssl.h>

static const struct {
    uint8_t number;
    const char *name;
} names[] = {
    {0, "close_notify"},
    {10, "unexpected_message"},
    {20, "bad_record_mac"},
    {22, "record_overflow"},
    {40, "handshake_failure"},
    {42, "bad_certificate"},
    {43, "unsupported_certificate"},
    {44, "certificate_revoked"},
    {45, "certificate_expired"},
    {46, "certificate_unknown"},
    {47, "illegal_parameter"},
    {48, "unknown_ca"},
    {49, "access_denied"},
    {50, "decode_error"},
    {51, "decrypt_error"},
    {70, "protocol_version"},
    {71, "insufficient_security"},
    {80, "internal_error"},
    {86, "inappropriate_fallback"},
    {90, "user_canceled"},
    {109, "missing_extension"},
    {110, "unsupported_extension"},
    {112, "unrecognized_name"},
    {113, "bad_certificate_status_response"},
    {115, "unknown_psk_identity"},
    {116, "certificate_required"},
    {120, "no_application_protocol"},
};

const char *alert_name(uint8_t alert)
{
    for (unsigned i = 0; i < sizeof names / sizeof names[0]; i++)
        if (names[i].number == alert)
            return names[i].name;
    return "unassigned";
}

uint8_t alert_for(enum err_code code)
{
    switch (code) {
    case ERR_TLS_UNKNOWN_ROOT:
    case ERR_TLS_TRUST_DOMAIN:
        return SSL_AD_UNKNOWN_CA;
    case ERR_TLS_EXPIRED:
    case ERR_TLS_NOT_YET_VALID: /* "has expired or is not currently valid" */
        return SSL_AD_CERTIFICATE_EXPIRED;
    case ERR_TLS_CA_LEAF:
    case ERR_TLS_KEY_USAGE:
    case ERR_TLS_EKU:
        return SSL_AD_UNSUPPORTED_CERTIFICATE;
    case ERR_TLS_ID_MISMATCH: /* "valid, but access control decided not to proceed" */
        return SSL_AD_ACCESS_DENIED;
    case ERR_TLS_NAME:
        return SSL_AD_CERTIFICATE_UNKNOWN;
    case ERR_TLS_REVOKED:
        return SSL_AD_CERTIFICATE_REVOKED;
    case ERR_TLS_NO_CERTIFICATE:
        return SSL_AD_CERTIFICATE_REQUIRED;
    case ERR_TLS_ALPN:
        return SSL_AD_NO_APPLICATION_PROTOCOL;
    case ERR_NO_MEMORY:
        return SSL_AD_INTERNAL_ERROR;
    default:
        return SSL_AD_BAD_CERTIFICATE;
    }
}
