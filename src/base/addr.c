#include "base/addr.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

bool addr_from_bytes(struct addr *out, const void *bytes, size_t len)
{
    static const uint8_t mapped[12] = {[10] = 0xff, [11] = 0xff};
    memset(out, 0, sizeof *out);
    if (len == 16 && memcmp(bytes, mapped, sizeof mapped) == 0) {
        bytes = (const uint8_t *)bytes + 12;
        len = 4;
    }
    if (len != 4 && len != 16)
        return false;
    out->len = (uint8_t)len;
    memcpy(out->bytes, bytes, len);
    return true;
}

bool addr_parse(struct addr *out, const char *text)
{
    uint8_t bytes[16];
    if (inet_pton(AF_INET, text, bytes) == 1)
        return addr_from_bytes(out, bytes, 4);
    if (inet_pton(AF_INET6, text, bytes) == 1)
        return addr_from_bytes(out, bytes, 16);
    return false;
}

static bool parse_number(const char *text, unsigned long max, unsigned long *out)
{
    if (*text < '0' || *text > '9' || strlen(text) > 5)
        return false;
    char *end;
    *out = strtoul(text, &end, 10);
    return *end == 0 && *out <= max;
}

bool addr_port_parse(struct addr_port *out, const char *text)
{
    char host[ADDR_TEXT_MAX];
    const char *colon = strrchr(text, ':');
    unsigned long port;
    if (!colon || (size_t)(colon - text) >= sizeof host || !parse_number(colon + 1, 65535, &port))
        return false;
    size_t len = (size_t)(colon - text);
    bool bracketed = len > 2 && text[0] == '[' && text[len - 1] == ']';
    if (bracketed) {
        text++;
        len -= 2;
    }
    memcpy(host, text, len);
    host[len] = 0;
    if (bracketed != (strchr(host, ':') != NULL))
        return false;
    out->port = (uint16_t)port;
    return addr_parse(&out->ip, host);
}

bool addr_prefix_parse(struct addr_prefix *out, const char *text)
{
    char host[ADDR_TEXT_MAX];
    size_t len = strcspn(text, "/");
    if (len >= sizeof host)
        return false;
    memcpy(host, text, len);
    host[len] = 0;
    if (!addr_parse(&out->ip, host))
        return false;
    /* Of an IPv4-mapped prefix the first 96 bits are the mapping; fewer would be more than IPv4. */
    unsigned long mapping = out->ip.len == 4 && strchr(host, ':') ? 96 : 0;
    unsigned long bits = out->ip.len * 8UL + mapping;
    if (text[len] == '/' && !parse_number(text + len + 1, bits, &bits))
        return false;
    if (bits < mapping)
        return false;
    out->bits = (uint8_t)(bits - mapping);
    return true;
}

const char *addr_format(const struct addr *addr, char text[ADDR_TEXT_MAX])
{
    if (addr->len == 0 ||
        !inet_ntop(addr->len == 4 ? AF_INET : AF_INET6, addr->bytes, text, ADDR_TEXT_MAX))
        strcpy(text, "-");
    return text;
}

const char *addr_port_format(const struct addr_port *addr, char text[ADDR_TEXT_MAX])
{
    char host[ADDR_TEXT_MAX];
    addr_format(&addr->ip, host);
    snprintf(text, ADDR_TEXT_MAX, addr->ip.len == 16 ? "[%.46s]:%u" : "%.46s:%u", host, addr->port);
    return text;
}

bool addr_equal(const struct addr *a, const struct addr *b)
{
    return a->len == b->len && memcmp(a->bytes, b->bytes, a->len) == 0;
}

bool addr_port_equal(const struct addr_port *a, const struct addr_port *b)
{
    return a->port == b->port && addr_equal(&a->ip, &b->ip);
}

bool addr_prefix_contains(const struct addr_prefix *prefix, const struct addr *addr)
{
    if (prefix->ip.len != addr->len || addr->len == 0)
        return false;
    unsigned whole = prefix->bits / 8, rest = prefix->bits % 8;
    if (memcmp(prefix->ip.bytes, addr->bytes, whole) != 0)
        return false;
    return rest == 0 || ((prefix->ip.bytes[whole] ^ addr->bytes[whole]) >> (8 - rest)) == 0;
}

bool addr_is_loopback(const struct addr *addr)
{
    static const struct addr v6 = {.len = 16, .bytes = {[15] = 1}};
    return (addr->len == 4 && addr->bytes[0] == 127) || addr_equal(addr, &v6);
}

bool addr_is_unspecified(const struct addr *addr)
{
    for (unsigned i = 0; i < addr->len; i++) {
        if (addr->bytes[i])
            return false;
    }
    return true;
}

socklen_t addr_to_sockaddr(const struct addr_port *addr, struct sockaddr_storage *out)
{
    memset(out, 0, sizeof *out);
    if (addr->ip.len == 4) {
        struct sockaddr_in *v4 = (struct sockaddr_in *)out;
        v4->sin_family = AF_INET;
        v4->sin_port = htons(addr->port);
        memcpy(&v4->sin_addr, addr->ip.bytes, 4);
        return sizeof *v4;
    }
    struct sockaddr_in6 *v6 = (struct sockaddr_in6 *)out;
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(addr->port);
    memcpy(&v6->sin6_addr, addr->ip.bytes, 16);
    return sizeof *v6;
}

bool addr_from_sockaddr(struct addr_port *out, const struct sockaddr_storage *in)
{
    if (in->ss_family == AF_INET) {
        const struct sockaddr_in *v4 = (const struct sockaddr_in *)in;
        out->port = ntohs(v4->sin_port);
        return addr_from_bytes(&out->ip, &v4->sin_addr, 4);
    }
    if (in->ss_family == AF_INET6) {
        const struct sockaddr_in6 *v6 = (const struct sockaddr_in6 *)in;
        out->port = ntohs(v6->sin6_port);
        return addr_from_bytes(&out->ip, &v6->sin6_addr, 16);
    }
    return false;
}
