/* One request: find the route, read the body, let the handler answer, send and close.
 *
 * Refused before a handler sees it: an unknown path (404), another method (405), a missing
 * parameter (400), a body over its listener's limit (413) or of unknown length (411). What is not
 * HTTP at all, libmicrohttpd answers with 400 or closes. */
#include <ctype.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "admin/http_impl.h"

static struct admin_http_response fresh_response(void)
{
    return (struct admin_http_response){.status = 200, .content_type = "application/json"};
}

/* From here on the end of the client's sending side means nothing: it may wait for the answer. */
static void mark_answering(struct MHD_Connection *connection)
{
    struct http_place *place = http_place_of(connection);
    if (place)
        place->answering = true;
}

/* One request a connection: a client that keeps connections open keeps others out. */
static enum MHD_Result send_response(struct MHD_Connection *connection,
                                     struct admin_http_response *answer, const char *allow)
{
    mark_answering(connection);
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->body_len, answer->body, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(answer->body);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->content_type);
    if (allow)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, allow);
    enum MHD_Result queued = MHD_queue_response(connection, answer->status, response);
    MHD_destroy_response(response);
    return queued;
}

static bool method_fits(const struct admin_http_route *route, const char *method)
{
    return strcmp(route->method, method) == 0 ||
           (strcmp(route->method, "GET") == 0 && strcmp(method, "HEAD") == 0);
}

/* The route, or NULL with `response` filled; *allow gets the method that the path would take. */
static const struct admin_http_route *find_route(const struct admin_http_route *routes,
                                                 const char *method, const char *path,
                                                 const char **allow,
                                                 struct admin_http_response *response)
{
    for (const struct admin_http_route *route = routes; route->path; route++) {
        if (strcmp(route->path, path) != 0)
            continue;
        if (method_fits(route, method))
            return route;
        *allow = route->method;
    }
    if (*allow)
        admin_http_error(response, 405, "%s takes %s, not %.16s", path, *allow, method);
    else
        admin_http_error(response, 404, "there is no %.200s here", path);
    return NULL;
}

static const char *header(struct MHD_Connection *connection, const char *name)
{
    return MHD_lookup_connection_value(connection, MHD_HEADER_KIND, name);
}

static void refuse_large_body(const struct http_listener *listener,
                              struct admin_http_response *response)
{
    admin_http_error(response, 413, "the body is over %zu bytes", listener->body_max);
}

/* True when the body, of *length bytes, is to be read, be it to throw it away. */
static bool body_is_acceptable(struct MHD_Connection *connection,
                               const struct http_listener *listener, size_t *length,
                               struct admin_http_response *response)
{
    const char *text = header(connection, MHD_HTTP_HEADER_CONTENT_LENGTH);
    *length = text ? strtoull(text, NULL, 10) : 0;
    if (header(connection, MHD_HTTP_HEADER_TRANSFER_ENCODING)) {
        admin_http_error(response, 411, "a body needs a Content-Length");
        return false;
    }
    bool discard = listener->body_max > ADMIN_HTTP_BODY_MAX && *length <= ADMIN_HTTP_DISCARD_MAX;
    if (*length > listener->body_max && !discard) {
        refuse_large_body(listener, response);
        return false;
    }
    if (*length <= listener->body_max && *length > listener->bodies_max - listener->bodies) {
        admin_http_error(response, 503, "requests of %zu bytes are being read already",
                         listener->bodies);
        return false;
    }
    return true;
}

/* The first call, when the headers are there. Queues a refusal, or makes the request. */
static enum MHD_Result begin(struct http_listener *listener, struct MHD_Connection *connection,
                             const char *path, const char *method, void **context)
{
    const char *allow = NULL;
    size_t length;
    struct admin_http_response response = fresh_response();
    struct admin_http_request probe = {.connection = connection};
    const struct admin_http_route *route =
        find_route(listener->routes, method, path, &allow, &response);
    if (!route || !body_is_acceptable(connection, listener, &length, &response))
        return send_response(connection, &response, allow);
    const char *value = route->needs ? admin_http_query(&probe, route->needs) : "-";
    if (!value || !*value) {
        admin_http_error(&response, 400, "%s %s needs ?%s=", route->method, route->path,
                         route->needs);
        return send_response(connection, &response, NULL);
    }
    struct admin_http_request *request = calloc(1, sizeof *request);
    if (!request)
        return MHD_NO;
    request->connection = connection;
    request->listener = listener;
    request->route = route;
    request->too_large = length > listener->body_max;
    if (!request->too_large) {
        request->body_size = length;
        listener->bodies += length;
    }
    *context = request;
    return MHD_YES;
}

static bool body_append(struct admin_http_request *request, const char *data, size_t len)
{
    if (request->too_large)
        return true;
    if (len > request->body_size - request->body_len)
        return false;
    if (!request->body)
        request->body = calloc(1, request->body_size + 1);
    if (!request->body)
        return false;
    memcpy(request->body + request->body_len, data, len);
    request->body_len += len;
    return true;
}

enum MHD_Result http_request_handle(void *cls, struct MHD_Connection *connection, const char *path,
                                    const char *method, const char *version, const char *data,
                                    size_t *data_len, void **context)
{
    (void)version;
    struct http_listener *listener = cls;
    struct admin_http_request *request = *context;
    if (!request)
        return begin(listener, connection, path, method, context);
    if (*data_len > 0) {
        bool fits = body_append(request, data, *data_len);
        *data_len = 0;
        return fits ? MHD_YES : MHD_NO;
    }
    mark_answering(connection);
    struct admin_http_response response = fresh_response();
    if (request->pending) {
        http_defer_take(request, &response);
    } else if (request->too_large) {
        refuse_large_body(listener, &response);
    } else {
        request->route->handle(listener->arg, request, &response);
        if (request->pending) {
            MHD_suspend_connection(connection);
            return MHD_YES;
        }
    }
    return send_response(connection, &response, NULL);
}

void http_request_completed(void *cls, struct MHD_Connection *connection, void **context,
                            enum MHD_RequestTerminationCode reason)
{
    (void)cls;
    (void)connection;
    (void)reason;
    struct admin_http_request *request = *context;
    if (!request)
        return;
    request->listener->bodies -= request->body_size;
    if (request->pending) {
        struct admin_http_response unsent = {0};
        http_defer_take(request, &unsent);
        free(unsent.body);
    }
    free(request->body);
    free(request);
    *context = NULL;
}

const char *admin_http_path(const struct admin_http_request *request)
{
    return request->route->path;
}

const char *admin_http_header(const struct admin_http_request *request, const char *name)
{
    return header(request->connection, name);
}

const char *admin_http_query(const struct admin_http_request *request, const char *name)
{
    const char *value = NULL;
    size_t len = 0;
    if (MHD_lookup_connection_value_n(request->connection, MHD_GET_ARGUMENT_KIND, name,
                                      strlen(name), &value, &len) != MHD_YES)
        return NULL;
    return value && strlen(value) == len ? value : "";
}

bool admin_http_query_int(const struct admin_http_request *request, const char *name, int64_t min,
                          int64_t max, int64_t fallback, int64_t *out,
                          struct admin_http_response *response)
{
    const char *text = admin_http_query(request, name);
    *out = fallback;
    if (!text)
        return true;
    char *end;
    errno = 0;
    long long number = strtoll(text, &end, 10);
    if (errno || end == text || *end || isspace((unsigned char)*text) || number < min ||
        number > max) {
        admin_http_error(response, 400, "%s: '%.40s' is not a number from %lld to %lld", name, text,
                         (long long)min, (long long)max);
        return false;
    }
    *out = number;
    return true;
}

const char *admin_http_body(const struct admin_http_request *request, size_t *len)
{
    if (len)
        *len = request->body_len;
    return request->body ? request->body : "";
}
