/* The inside of the HTTP server. Everything here belongs to the server's thread, except what
 * http_defer.c says about pending answers. */
#ifndef ADMIN_HTTP_IMPL_H
#define ADMIN_HTTP_IMPL_H

#include <microhttpd.h>
#include <pthread.h>
#include <sys/types.h>

#include "admin/http.h"

/* One connection's place: how long it has been there, and the way to end it. */
struct http_place {
    int fd; /* -1: free */
    bool ended, answering, half_closed;
    int64_t since_ms, until_ms;
};

struct http_listener {
    struct admin_http *http;
    struct MHD_Daemon *daemon;
    const struct admin_http_route *routes;
    void *arg;
    int fd; /* before the daemon has it, else -1 */
    int epoll_fd;
    size_t body_max, bodies_max;
    size_t bodies; /* bytes reserved for bodies now */
    char *unix_path;
    dev_t device;
    ino_t inode;
    unsigned place_count, places_max;
    struct http_place *places; /* places_max of them */
};

struct admin_http {
    pthread_t thread;
    int wake_fd;
    bool stopping; /* atomic */
    struct admin_http_pending *pending;
    unsigned listener_count;
    struct http_listener listeners[];
};

struct admin_http_request {
    struct MHD_Connection *connection;
    struct http_listener *listener;
    const struct admin_http_route *route;
    struct admin_http_pending *pending; /* the request's reference, or NULL */
    char *body;                         /* of body_size bytes and a null, once some have come */
    size_t body_len, body_size;
    bool too_large; /* the body is thrown away */
};

/* http_listen.c: opens the socket of `listen` into listener->fd; ERR_SYSTEM, ERR_BUSY, ERR_INVALID.
 */
enum err_code http_listen_open(struct http_listener *listener,
                               const struct admin_http_listen *listen, struct err *err);
/* Closes a socket that no daemon took and removes the socket file if it is still ours. */
void http_listen_close(struct http_listener *listener);

/* The place of a connection, or NULL. */
struct http_place *http_place_of(struct MHD_Connection *connection);

/* http_request.c: libmicrohttpd's callbacks. */
enum MHD_Result http_request_handle(void *listener, struct MHD_Connection *connection,
                                    const char *path, const char *method, const char *version,
                                    const char *data, size_t *data_len, void **context);
void http_request_completed(void *listener, struct MHD_Connection *connection, void **context,
                            enum MHD_RequestTerminationCode reason);

/* http_defer.c */
/* Resumes the connections whose answer has come or is overdue; returns true while some wait. */
bool http_defer_run(struct admin_http *http, int64_t now_ms);
/* Takes the answer out of request->pending, or fills in a 504, and lets go of it. */
void http_defer_take(struct admin_http_request *request, struct admin_http_response *response);
/* Drops all pending answers and resumes their connections; before the daemons are stopped. */
void http_defer_abandon_all(struct admin_http *http);

#endif
