#include "proxy/probe_http.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

/* --- the request ------------------------------------------------------------------------------ */

bool probe_target_init(struct probe_target *target, const struct probe *probe,
                       const struct addr *ip)
{
    target->https = probe->kind == PROBE_HTTPS;
    target->at = (struct addr_port){.ip = *ip, .port = probe->port};
    size_t len = strlen(probe->path);
    if (len >= sizeof target->path)
        return false;
    memcpy(target->path, probe->path, len + 1);
    return true;
}

char *probe_http_request(const struct probe *probe, const struct probe_target *target, size_t *len)
{
    char host[ADDR_TEXT_MAX], *request = NULL;
    int written = asprintf(
        &request, "GET %s HTTP/1.1\r\n%s%s%s%s\r\n", target->path,
        probe->has_host ? "" : "Host: ", probe->has_host ? "" : addr_port_format(&target->at, host),
        probe->has_host ? "" : "\r\n", probe->headers);
    if (written < 0)
        return NULL;
    *len = (size_t)written;
    return request;
}

/* --- the answer ------------------------------------------------------------------------------- */

/* The value of a header in the head, trimmed, into `out`; false when it is not there or too long.
 */
static bool find_header(const char *head, const char *name, char *out, size_t size)
{
    size_t name_len = strlen(name);
    for (const char *line = strstr(head, "\r\n"); line && line[2] != '\r';
         line = strstr(line + 2, "\r\n")) {
        const char *at = line + 2;
        if (strncasecmp(at, name, name_len) != 0 || at[name_len] != ':')
            continue;
        at += name_len + 1;
        at += strspn(at, " \t");
        size_t len = strcspn(at, "\r");
        while (len > 0 && strchr(" \t", at[len - 1]))
            len--;
        if (len >= size)
            return false;
        memcpy(out, at, len);
        out[len] = 0;
        return true;
    }
    return false;
}

/* "HTTP/1.1 200 OK" */
static bool parse_status(const char *head, unsigned *status)
{
    if (strncmp(head, "HTTP/1.", 7) != 0 || (head[7] != '0' && head[7] != '1') || head[8] != ' ')
        return false;
    const char *code = head + 9;
    if (strspn(code, "0123456789") != 3 || (code[3] != ' ' && code[3] != '\r'))
        return false;
    *status = (unsigned)strtoul(code, NULL, 10);
    return *status >= 100 && *status <= 599;
}

/* How long the body is (RFC 9112 section 6.3). */
static bool read_head(struct probe_http *http)
{
    char text[64];
    if (!parse_status(http->head, &http->status))
        return false;
    http->expected = SIZE_MAX;
    if (http->status == 101 || http->status == 204 || http->status == 304) {
        http->expected = 0;
    } else if (find_header(http->head, "Transfer-Encoding", text, sizeof text)) {
        http->chunked = strcasecmp(text, "chunked") == 0;
    } else if (find_header(http->head, "Content-Length", text, sizeof text)) {
        if (text[strspn(text, "0123456789")] || !*text || strlen(text) > 18)
            return false;
        http->expected = strtoul(text, NULL, 10);
    }
    return true;
}

static enum probe_http_state body_state(const struct probe_http *http)
{
    bool over = http->chunked ? http->chunks.over : http->body_len >= http->expected;
    return over || http->body_len >= PROBE_BODY_MAX ? PROBE_HTTP_DONE : PROBE_HTTP_MORE;
}

/* Takes bytes up to the end of a head; returns how many, and whether the head is whole now. */
static size_t feed_head(struct probe_http *http, const char *bytes, size_t len, bool *whole)
{
    *whole = false;
    for (size_t i = 0; i < len && http->head_len < PROBE_HEAD_MAX; i++) {
        http->head[http->head_len++] = bytes[i];
        if (bytes[i] == '\n' && http->head_len >= 4 &&
            memcmp(http->head + http->head_len - 4, "\r\n\r\n", 4) == 0) {
            http->head[http->head_len] = 0;
            *whole = true;
            return i + 1;
        }
    }
    return len;
}

enum probe_http_state probe_http_feed(struct probe_http *http, const char *bytes, size_t len)
{
    while (!http->in_body) {
        bool whole;
        size_t taken = feed_head(http, bytes, len, &whole);
        bytes += taken;
        len -= taken;
        if (!whole)
            return http->head_len < PROBE_HEAD_MAX ? PROBE_HTTP_MORE : PROBE_HTTP_BROKEN;
        if (memchr(http->head, 0, http->head_len) || !read_head(http))
            return PROBE_HTTP_BROKEN;
        /* An interim answer, and the real one follows (RFC 9110 section 15.2). */
        http->in_body = http->status >= 200 || http->status == 101;
        if (!http->in_body)
            http->head_len = 0;
    }
    if (http->chunked) {
        bool sound = probe_chunks_feed(&http->chunks, bytes, len);
        http->body_len = http->chunks.content;
        if (!sound && http->body_len < PROBE_BODY_MAX)
            return PROBE_HTTP_BROKEN;
    } else {
        http->body_len += len;
    }
    return body_state(http);
}

enum probe_http_state probe_http_end(const struct probe_http *http)
{
    bool whole = http->in_body && (body_state(http) == PROBE_HTTP_DONE ||
                                   (http->expected == SIZE_MAX && !http->chunked));
    return whole ? PROBE_HTTP_DONE : PROBE_HTTP_BROKEN;
}

/* --- redirects -------------------------------------------------------------------------------- */

static bool set_path(struct probe_target *target, const char *path)
{
    size_t len = strcspn(path, "#");
    if (len + 1 >= sizeof target->path)
        return false;
    for (size_t i = 0; i < len; i++) {
        if ((unsigned char)path[i] <= 0x20 || path[i] == 0x7f)
            return false;
    }
    target->path[0] = '/';
    memmove(target->path + (*path != '/'), path, len);
    target->path[len + (*path != '/')] = 0;
    return true;
}

/* "//10.0.0.1:8080/x" behind the scheme; another host is not followed. */
static bool set_authority(struct probe_target *target, const char *text, uint16_t default_port)
{
    char authority[ADDR_TEXT_MAX];
    struct addr_port at = {.port = default_port};
    size_t len = strcspn(text, "/?#");
    if (len >= sizeof authority)
        return false;
    memcpy(authority, text, len);
    authority[len] = 0;
    if (len > 2 && authority[0] == '[' && authority[len - 1] == ']') {
        authority[len - 1] = 0;
        if (!addr_parse(&at.ip, authority + 1))
            return false;
    } else if (!addr_parse(&at.ip, authority) && !addr_port_parse(&at, authority)) {
        return false;
    }
    if (!addr_equal(&at.ip, &target->at.ip))
        return false;
    target->at.port = at.port;
    return set_path(target, text + len);
}

/* A path relative to the present one takes the place of its last part. */
static bool set_relative(struct probe_target *target, const char *path)
{
    char joined[2 * PROBE_TARGET_MAX];
    size_t keep = strcspn(target->path, "?#");
    if (*path != '?') {
        while (keep > 0 && target->path[keep - 1] != '/')
            keep--;
    }
    snprintf(joined, sizeof joined, "%.*s%s", (int)keep, target->path, path);
    return set_path(target, joined);
}

bool probe_http_follow(const struct probe_http *http, struct probe_target *target)
{
    char location[PROBE_TARGET_MAX];
    unsigned status = http->status;
    if ((status < 301 || status > 303) && status != 307 && status != 308)
        return false;
    if (!find_header(http->head, "Location", location, sizeof location) || !*location)
        return false;
    if (strncasecmp(location, "http://", 7) == 0) {
        target->https = false;
        return set_authority(target, location + 7, 80);
    }
    if (strncasecmp(location, "https://", 8) == 0) {
        target->https = true;
        return set_authority(target, location + 8, 443);
    }
    if (strncmp(location, "//", 2) == 0)
        return set_authority(target, location + 2, target->https ? 443 : 80);
    if (*location == '/')
        return set_path(target, location);
    /* A scheme of another kind goes elsewhere; anything else is relative. */
    if (location[strcspn(location, ":/?#")] == ':')
        return false;
    return set_relative(target, location);
}
