#include "tls/server_name.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/addr.h"
#include "tls/certificate.h"

/* As pointer and length: what a certificate says may hold nulls. */
static bool is_name(const uint8_t *bytes, size_t len, const char *name)
{
    return len == strlen(name) && strncasecmp((const char *)bytes, name, len) == 0;
}

/* "*.example.com" is a.example.com, but neither a.b.example.com nor example.com (section 6.3). */
static bool is_wildcard_of(const uint8_t *bytes, size_t len, const char *name)
{
    const char *rest = strchr(name, '.');
    return len > 2 && bytes[0] == '*' && bytes[1] == '.' && memchr(bytes + 2, '.', len - 2) &&
           rest && rest != name && is_name(bytes + 1, len - 1, rest);
}

static void note(const char *text, char *found, size_t size, size_t *used)
{
    if (*used < size)
        *used += (size_t)snprintf(found + *used, size - *used, "%s%s", *used ? ", " : "", text);
}

bool server_name_in(const GENERAL_NAMES *names, const char *name, bool outside, char *found,
                    size_t size)
{
    struct addr wanted, ip;
    bool by_address = outside && addr_parse(&wanted, name);
    size_t used = 0;
    char text[100];
    for (size_t i = 0; i < sk_GENERAL_NAME_num(names); i++) {
        const GENERAL_NAME *at = sk_GENERAL_NAME_value(names, i);
        if (at->type != GEN_DNS && at->type != GEN_IPADD)
            continue;
        const ASN1_STRING *value = at->type == GEN_DNS ? at->d.dNSName : at->d.iPAddress;
        const uint8_t *bytes = ASN1_STRING_get0_data(value);
        size_t len = (size_t)ASN1_STRING_length(value);
        if (at->type == GEN_IPADD) {
            bool known = addr_from_bytes(&ip, bytes, len);
            if (known && by_address && addr_equal(&ip, &wanted))
                return true;
            note(known ? addr_format(&ip, text) : "a damaged address", found, size, &used);
            continue;
        }
        if (!by_address &&
            (is_name(bytes, len, name) || (outside && is_wildcard_of(bytes, len, name))))
            return true;
        note(certificate_text(bytes, len, text, sizeof text), found, size, &used);
    }
    return false;
}
