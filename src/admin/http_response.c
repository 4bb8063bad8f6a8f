/* Ways to fill a response. */
#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "admin/http.h"

static void replace_body(struct admin_http_response *response, unsigned status, const char *type,
                         char *body)
{
    free(response->body);
    response->status = body ? status : 500;
    response->content_type = type;
    response->body = body;
    response->body_len = body ? strlen(body) : 0;
}

void admin_http_json(struct admin_http_response *response, json_t *root)
{
    char *text = root ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    replace_body(response, response->status, "application/json", text);
}

void admin_http_text(struct admin_http_response *response, unsigned status, const char *text)
{
    replace_body(response, status, "text/plain; charset=utf-8", strdup(text));
}

void admin_http_error(struct admin_http_response *response, unsigned status, const char *format,
                      ...)
{
    char sentence[ERR_TEXT_MAX];
    va_list args;
    va_start(args, format);
    vsnprintf(sentence, sizeof sentence, format, args);
    va_end(args);
    json_t *root = json_pack("{s:s}", "error", sentence);
    if (!root) {
        /* What a client sent need not be UTF-8, and jansson takes nothing else. */
        for (char *at = sentence; *at; at++)
            *at = (unsigned char)*at < 0x80 ? *at : '?';
        root = json_pack("{s:s}", "error", sentence);
    }
    response->status = status;
    admin_http_json(response, root);
}
