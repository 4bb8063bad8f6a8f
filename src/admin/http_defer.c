/* Answers that another thread gives.
 *
 * Happy path: a handler defers, the server suspends the connection, some thread finishes, the
 * server's thread wakes up, resumes the connection and sends. A pending answer has two references,
 * the request's and the finisher's; whichever goes last frees it. Late or abandoned: the server has
 * let go first, `http` is NULL then, and what the finisher brings is freed. The mutex is held for a
 * few instructions only. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "admin/http_impl.h"
#include "base/clock.h"

struct admin_http_pending {
    pthread_mutex_t lock;
    struct admin_http *http; /* under lock; NULL: nobody waits any more */
    struct admin_http_response response;
    bool answered; /* under lock */
    unsigned refs; /* under lock */
    /* the server's thread */
    struct admin_http_request *request;
    struct admin_http_pending *next, **link;
    int64_t limit_ms, deadline_ms;
    bool resumed;
};

struct admin_http_pending *admin_http_defer(struct admin_http_request *request)
{
    return admin_http_defer_for(request, ADMIN_HTTP_DEFER_MAX_MS);
}

/* The connection lives longer than its answer may take, so that there is time to send a 504. */
static void extend_place(struct admin_http_request *request, int64_t limit_ms)
{
    struct http_place *place = http_place_of(request->connection);
    int64_t until_ms = clock_now_ms() + limit_ms + ADMIN_HTTP_DEADLINE_MS;
    if (place && limit_ms > ADMIN_HTTP_DEFER_MAX_MS && until_ms > place->until_ms)
        place->until_ms = until_ms;
}

struct admin_http_pending *admin_http_defer_for(struct admin_http_request *request,
                                                int64_t limit_ms)
{
    struct admin_http *http = request->listener->http;
    if (limit_ms > ADMIN_HTTP_PATIENCE_MAX_MS)
        limit_ms = ADMIN_HTTP_PATIENCE_MAX_MS;
    struct admin_http_pending *pending = calloc(1, sizeof *pending);
    if (!pending || request->pending) {
        free(pending);
        return NULL;
    }
    pthread_mutex_init(&pending->lock, NULL);
    pending->http = http;
    pending->refs = 2;
    pending->request = request;
    pending->limit_ms = limit_ms;
    pending->deadline_ms = clock_now_ms() + limit_ms;
    extend_place(request, limit_ms);
    pending->next = http->pending;
    pending->link = &http->pending;
    if (pending->next)
        pending->next->link = &pending->next;
    http->pending = pending;
    request->pending = pending;
    return pending;
}

static void unref_and_unlock(struct admin_http_pending *pending)
{
    bool last = --pending->refs == 0;
    pthread_mutex_unlock(&pending->lock);
    if (!last)
        return;
    free(pending->response.body);
    pthread_mutex_destroy(&pending->lock);
    free(pending);
}

void admin_http_finish(struct admin_http_pending *pending, struct admin_http_response *response)
{
    pthread_mutex_lock(&pending->lock);
    if (pending->http) {
        pending->response = *response;
        pending->answered = true;
        const uint64_t one = 1;
        /* A full counter is a wake-up already. */
        while (write(pending->http->wake_fd, &one, sizeof one) < 0 && errno == EINTR) {
        }
    } else {
        free(response->body);
    }
    response->body = NULL;
    unref_and_unlock(pending);
}

/* The server's side lets go; *response, when not NULL, gets the answer if there is one. */
static bool let_go(struct admin_http_pending *pending, struct admin_http_response *response)
{
    if (pending->next)
        pending->next->link = pending->link;
    *pending->link = pending->next;
    pending->request->pending = NULL;
    pthread_mutex_lock(&pending->lock);
    pending->http = NULL;
    bool answered = pending->answered;
    if (answered && response) {
        *response = pending->response;
        pending->response.body = NULL;
    }
    unref_and_unlock(pending);
    return answered;
}

void http_defer_take(struct admin_http_request *request, struct admin_http_response *response)
{
    long long limit_ms = request->pending->limit_ms;
    if (!let_go(request->pending, response))
        admin_http_error(response, 504, "the answer was not ready within %lld ms", limit_ms);
}

bool http_defer_run(struct admin_http *http, int64_t now_ms)
{
    bool waiting = false;
    for (struct admin_http_pending *pending = http->pending; pending; pending = pending->next) {
        pthread_mutex_lock(&pending->lock);
        bool answered = pending->answered;
        pthread_mutex_unlock(&pending->lock);
        if (pending->resumed)
            continue;
        if (answered || now_ms >= pending->deadline_ms) {
            pending->resumed = true;
            MHD_resume_connection(pending->request->connection);
        } else {
            waiting = true;
        }
    }
    return waiting;
}

void http_defer_abandon_all(struct admin_http *http)
{
    while (http->pending) {
        struct admin_http_request *request = http->pending->request;
        bool resumed = http->pending->resumed;
        let_go(http->pending, NULL);
        if (!resumed)
            MHD_resume_connection(request->connection);
    }
}
