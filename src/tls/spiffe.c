#include "tls/spiffe.h"

#include <stdio.h>
#include <string.h>

static const char scheme[] = "spiffe://";
enum { SCHEME_LEN = sizeof scheme - 1, DOMAIN_MAX = 255 };

static bool is_domain_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '.' || c == '-' || c == '_';
}

static bool is_path_byte(char c)
{
    return is_domain_byte(c) || (c >= 'A' && c <= 'Z');
}

/* One path segment at `at`; its length, or 0 when it is empty, "." or "..", or holds a byte that is
 * not allowed. */
static size_t segment_len(const char *at, size_t left)
{
    size_t len = 0;
    while (len < left && at[len] != '/') {
        if (!is_path_byte(at[len++]))
            return 0;
    }
    if ((len == 1 && at[0] == '.') || (len == 2 && at[0] == '.' && at[1] == '.'))
        return 0;
    return len;
}

bool spiffe_parse(struct spiffe_id *out, const char *uri, size_t len)
{
    struct spiffe_id id = {0};
    if (len >= sizeof id.text || len <= SCHEME_LEN || memcmp(uri, scheme, SCHEME_LEN) != 0)
        return false;
    size_t at = SCHEME_LEN;
    while (at < len && is_domain_byte(uri[at]))
        at++;
    if (at == SCHEME_LEN || at - SCHEME_LEN > DOMAIN_MAX || (at < len && uri[at] != '/'))
        return false;
    id.domain_len = (unsigned short)(at - SCHEME_LEN);
    struct {
        unsigned short at, len;
    } segment[4] = {{0}};
    unsigned segments = 0;
    while (at < len) {
        size_t n = segment_len(uri + at + 1, len - at - 1);
        if (n == 0)
            return false;
        if (segments < 4) {
            segment[segments].at = (unsigned short)(at + 1);
            segment[segments].len = (unsigned short)n;
        }
        segments++;
        at += 1 + n;
    }
    memcpy(id.text, uri, len);
    id.len = (unsigned short)len;
    if (segments == 4 && segment[0].len == 2 && memcmp(uri + segment[0].at, "ns", 2) == 0 &&
        segment[2].len == 2 && memcmp(uri + segment[2].at, "sa", 2) == 0) {
        id.ns_at = segment[1].at;
        id.ns_len = segment[1].len;
        id.sa_at = segment[3].at;
        id.sa_len = segment[3].len;
    }
    *out = id;
    return true;
}

bool spiffe_make(struct spiffe_id *out, const char *trust_domain, const char *ns,
                 const char *service_account)
{
    char text[SPIFFE_TEXT_MAX];
    int len =
        snprintf(text, sizeof text, "%s%s/ns/%s/sa/%s", scheme, trust_domain, ns, service_account);
    struct spiffe_id id;
    if (len < 0 || len >= (int)sizeof text || !spiffe_parse(&id, text, (size_t)len) || !id.sa_len)
        return false;
    *out = id;
    return true;
}

bool spiffe_equal(const struct spiffe_id *a, const struct spiffe_id *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}
