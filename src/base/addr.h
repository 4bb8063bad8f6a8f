/* IP addresses, ports and prefixes. Plain values; an IPv4-mapped IPv6 address is always turned into
 * its IPv4 form. */
#ifndef ADDR_H
#define ADDR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

struct addr {
    uint8_t len; /* 4, 16, or 0 for none */
    uint8_t bytes[16];
};

struct addr_port {
    struct addr ip;
    uint16_t port; /* host order */
};

struct addr_prefix {
    struct addr ip;
    uint8_t bits; /* 0 to 32 or 128 */
};

enum { ADDR_TEXT_MAX = 64 }; /* "[ffff:...:ffff]:65535" and the null fit */

/* From network-order bytes, `len` 4 or 16; anything else gives false. */
bool addr_from_bytes(struct addr *out, const void *bytes, size_t len);
/* "10.0.0.1" or "fd00::1", nothing else (no port, no brackets, no zone). */
bool addr_parse(struct addr *out, const char *text);
/* "10.0.0.1:80" or "[fd00::1]:80". */
bool addr_port_parse(struct addr_port *out, const char *text);
/* "10.0.0.0/8"; a bare address is its full length. False also for bits beyond the family's. */
bool addr_prefix_parse(struct addr_prefix *out, const char *text);

const char *addr_format(const struct addr *addr, char text[ADDR_TEXT_MAX]);
const char *addr_port_format(const struct addr_port *addr, char text[ADDR_TEXT_MAX]);

bool addr_equal(const struct addr *a, const struct addr *b);
bool addr_port_equal(const struct addr_port *a, const struct addr_port *b);
bool addr_prefix_contains(const struct addr_prefix *prefix, const struct addr *addr);
bool addr_is_loopback(const struct addr *addr);
bool addr_is_unspecified(const struct addr *addr);

/* To and from the kernel's form. addr_to_sockaddr returns the length to pass; addr_from_sockaddr is
 * false for families other than AF_INET and AF_INET6. */
socklen_t addr_to_sockaddr(const struct addr_port *addr, struct sockaddr_storage *out);
bool addr_from_sockaddr(struct addr_port *out, const struct sockaddr_storage *in);

#endif
