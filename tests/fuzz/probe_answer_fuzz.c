/* What an application answers a probe with: the verdict does not depend on how the bytes are cut. */
#include "fuzz.h"
#include "proxy/probe_http.h"

static enum probe_http_state read_in_pieces(struct probe_http *http, const char *bytes, size_t len,
                                            size_t piece)
{
    enum probe_http_state state = PROBE_HTTP_MORE;
    memset(http, 0, sizeof *http);
    for (size_t at = 0; at < len && state == PROBE_HTTP_MORE; at += piece)
        state = probe_http_feed(http, bytes + at, len - at < piece ? len - at : piece);
    return state == PROBE_HTTP_MORE ? probe_http_end(http) : state;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static struct probe_http http;
    static struct probe_target target;
    char path[] = "/ready", headers[] = "Connection: close\r\n";
    const struct probe probe = {.kind = PROBE_HTTP, .port = 80, .path = path, .headers = headers};
    struct addr ip;
    CLAIM(addr_parse(&ip, "10.0.0.5"));
    if (len == 0)
        return 0;
    size_t piece = 1 + data[0] % 16;
    const char *bytes = (const char *)data + 1;
    enum probe_http_state whole = read_in_pieces(&http, bytes, len - 1, SIZE_MAX / 2);
    unsigned status = http.status;
    enum probe_http_state cut = read_in_pieces(&http, bytes, len - 1, piece);
    CLAIM(whole == cut);
    if (cut == PROBE_HTTP_DONE) {
        CLAIM(http.status >= 100 && http.status <= 599);
        CLAIM(status == http.status);
        CLAIM(probe_target_init(&target, &probe, &ip));
        if (probe_http_follow(&http, &target))
            CLAIM(addr_equal(&target.at.ip, &ip) && target.path[0] == '/');
    }
    return 0;
}
