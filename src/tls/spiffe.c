#include "tls/spiffe.h"

#include <string.h>

static const char scheme[] = "spiffe://";

enum { SCHEME_LEN = sizeof scheme - 1, DOMAIN_MAX = 255 };

static bool is_lower_or_digit(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9');
}

static bool is_mark(char c)
{
    return c == '.' || c == '-' || c == '_';
}

/* SPIFFE-ID section 2.2: letters, digits and the marks. */
static bool is_path_char(char c)
{
    return is_lower_or_digit(c) || (c >= 'A' && c <= 'Z') || is_mark(c);
}

/* The length of the path segment at `path`, which follows a '/'; 0 when it is not well-formed. */
static size_t segment_len(const char *path, size_t len)
{
    size_t n = 0;
    while (n < len && path[n] != '/') {
        if (!is_path_char(path[n]))
            return 0;
        n++;
    }
    bool dots = (n == 1 && path[0] == '.') || (n == 2 && path[0] == '.' && path[1] == '.');
    return dots ? 0 : n;
}

/* Fills in where namespace and service account are when the path is exactly /ns/<>/sa/<>. */
static void find_parts(struct spiffe_id *id, const unsigned short at[4],
                       const unsigned short len[4], unsigned segments)
{
    if (segments != 4 || len[0] != 2 || memcmp(id->text + at[0], "ns", 2) != 0 || len[2] != 2 ||
        memcmp(id->text + at[2], "sa", 2) != 0)
        return;
    id->ns_at = at[1];
    id->ns_len = len[1];
    id->sa_at = at[3];
    id->sa_len = len[3];
}

static bool parse_path(struct spiffe_id *id, size_t at)
{
    unsigned short seg_at[4] = {0}, seg_len[4] = {0};
    unsigned segments = 0;
    while (at < id->len) {
        at++; /* the '/' */
        size_t n = segment_len(id->text + at, id->len - at);
        if (n == 0)
            return false;
        if (segments < 4) {
            seg_at[segments] = (unsigned short)at;
            seg_len[segments] = (unsigned short)n;
        }
        segments++;
        at += n;
    }
    find_parts(id, seg_at, seg_len, segments);
    return true;
}

bool spiffe_parse(struct spiffe_id *out, const char *uri, size_t len)
{
    memset(out, 0, sizeof *out);
    if (len <= SCHEME_LEN || len >= SPIFFE_TEXT_MAX || memcmp(uri, scheme, SCHEME_LEN) != 0)
        return false;
    size_t domain = 0;
    while (SCHEME_LEN + domain < len && uri[SCHEME_LEN + domain] != '/') {
        char c = uri[SCHEME_LEN + domain];
        if (!is_lower_or_digit(c) && !is_mark(c))
            return false;
        domain++;
    }
    if (domain == 0 || domain > DOMAIN_MAX)
        return false;
    memcpy(out->text, uri, len);
    out->len = (unsigned short)len;
    out->domain_len = (unsigned short)domain;
    if (parse_path(out, SCHEME_LEN + domain))
        return true;
    memset(out, 0, sizeof *out);
    return false;
}

bool spiffe_make(struct spiffe_id *out, const char *trust_domain, const char *ns,
                 const char *service_account)
{
    char text[SPIFFE_TEXT_MAX];
    const char *parts[] = {scheme, trust_domain, "/ns/", ns, "/sa/", service_account};
    size_t len = 0;
    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++) {
        size_t part = strlen(parts[i]);
        if (part >= sizeof text - len) {
            memset(out, 0, sizeof *out);
            return false;
        }
        memcpy(text + len, parts[i], part);
        len += part;
    }
    /* A '/' inside a part moves the boundaries, and then the parts are not where they should be. */
    if (spiffe_parse(out, text, len) && out->domain_len == strlen(trust_domain) &&
        out->ns_len == strlen(ns) && out->sa_len == strlen(service_account))
        return true;
    memset(out, 0, sizeof *out);
    return false;
}

bool spiffe_equal(const struct spiffe_id *a, const struct spiffe_id *b)
{
    return a->len == b->len && memcmp(a->text, b->text, a->len) == 0;
}
