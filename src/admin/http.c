#include "admin/http.h"

#include <errno.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "admin/http_impl.h"
#include "base/clock.h"

enum {
    LISTENERS_MAX = 8,
    STACK_BYTES = 256 * 1024,
    TICK_MS = 250, /* how often deadlines are looked at, while there is a connection */
    /* When no more than so many places are left, the oldest connection goes when one comes:
     * libmicrohttpd accepts up to ten before we see the next event. */
    PLACES_SPARE = 16
};

/* The daemon sees the end of the connection and frees it; we only pull. */
static void end_place(struct http_place *place)
{
    place->ended = true;
    shutdown(place->fd, SHUT_RDWR);
}

static void end_oldest(struct http_listener *listener)
{
    struct http_place *oldest = NULL;
    for (unsigned i = 0; i < listener->places_max; i++) {
        struct http_place *place = &listener->places[i];
        if (place->fd >= 0 && !place->ended && (!oldest || place->since_ms < oldest->since_ms))
            oldest = place;
    }
    if (oldest)
        end_place(oldest);
}

struct http_place *http_place_of(struct MHD_Connection *connection)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_SOCKET_CONTEXT);
    return info ? info->socket_context : NULL;
}

static void on_connection(void *cls, struct MHD_Connection *connection, void **context,
                          enum MHD_ConnectionNotificationCode event)
{
    struct http_listener *listener = cls;
    struct http_place *place = *context;
    if (event == MHD_CONNECTION_NOTIFY_CLOSED) {
        if (place) {
            place->fd = -1;
            listener->place_count--;
        }
        return;
    }
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    if (listener->place_count + PLACES_SPARE >= listener->places_max)
        end_oldest(listener);
    for (unsigned i = 0; i < listener->places_max && info; i++) {
        place = &listener->places[i];
        if (place->fd >= 0)
            continue;
        int64_t now_ms = clock_now_ms();
        *place = (struct http_place){.fd = info->connect_fd,
                                     .since_ms = now_ms,
                                     .until_ms = now_ms + ADMIN_HTTP_DEADLINE_MS};
        *context = place;
        listener->place_count++;
        return;
    }
}

/* libmicrohttpd 0.9.75 does not read again after a short read, so it misses an end that came along
 * with half a request. Seen in two rounds with nothing left to read, we end the connection. */
static bool gave_up(struct http_place *place)
{
    struct pollfd closed = {.fd = place->fd, .events = POLLRDHUP};
    int unread = 0;
    if (place->answering || poll(&closed, 1, 0) <= 0 || ioctl(place->fd, FIONREAD, &unread) < 0 ||
        unread > 0)
        return false;
    bool before = place->half_closed;
    place->half_closed = true;
    return before;
}

/* Ends what is overdue; true while there are connections. */
static bool check_places(struct http_listener *listener, int64_t now_ms)
{
    for (unsigned i = 0; i < listener->places_max && listener->place_count; i++) {
        struct http_place *place = &listener->places[i];
        if (place->fd < 0 || place->ended)
            continue;
        if (now_ms >= place->until_ms || gave_up(place))
            end_place(place);
    }
    return listener->place_count > 0;
}

/* How long poll may sleep: until libmicrohttpd wants to run, and not past the next tick. */
static int sleep_ms(struct admin_http *http, bool busy)
{
    int wait = busy ? TICK_MS : -1;
    for (unsigned i = 0; i < http->listener_count; i++) {
        MHD_UNSIGNED_LONG_LONG wanted;
        if (MHD_get_timeout(http->listeners[i].daemon, &wanted) == MHD_YES &&
            (wait < 0 || wanted < (unsigned)wait))
            wait = wanted < TICK_MS ? (int)wanted : TICK_MS;
    }
    return wait;
}

static void *run(void *arg)
{
    struct admin_http *http = arg;
    struct pollfd fds[LISTENERS_MAX + 1] = {{.fd = http->wake_fd, .events = POLLIN}};
    for (unsigned i = 0; i < http->listener_count; i++)
        fds[i + 1] = (struct pollfd){.fd = http->listeners[i].epoll_fd, .events = POLLIN};
    bool busy = false;
    while (!__atomic_load_n(&http->stopping, __ATOMIC_ACQUIRE)) {
        poll(fds, http->listener_count + 1, sleep_ms(http, busy));
        uint64_t wakes;
        if ((fds[0].revents & POLLIN) && read(http->wake_fd, &wakes, sizeof wakes) < 0 &&
            errno != EAGAIN && errno != EINTR)
            break;
        int64_t now_ms = clock_now_ms();
        busy = http_defer_run(http, now_ms);
        for (unsigned i = 0; i < http->listener_count; i++) {
            MHD_run(http->listeners[i].daemon);
            busy = check_places(&http->listeners[i], now_ms) || busy;
        }
    }
    http_defer_abandon_all(http);
    return NULL;
}

static enum err_code start_daemon(struct http_listener *listener, struct err *err)
{
    listener->daemon = MHD_start_daemon(
        MHD_USE_EPOLL | MHD_ALLOW_SUSPEND_RESUME, 0, NULL, NULL, http_request_handle, listener,
        MHD_OPTION_LISTEN_SOCKET, listener->fd, MHD_OPTION_CONNECTION_LIMIT, listener->places_max,
        MHD_OPTION_CONNECTION_MEMORY_LIMIT, (size_t)ADMIN_HTTP_HEADER_MAX,
        MHD_OPTION_NOTIFY_COMPLETED, http_request_completed, listener, MHD_OPTION_NOTIFY_CONNECTION,
        on_connection, listener, MHD_OPTION_STRICT_FOR_CLIENT, 1, MHD_OPTION_END);
    const union MHD_DaemonInfo *info =
        listener->daemon ? MHD_get_daemon_info(listener->daemon, MHD_DAEMON_INFO_EPOLL_FD) : NULL;
    if (!info)
        return err_sys(err, ERR_SYSTEM, errno, "start an HTTP listener");
    listener->fd = -1;
    listener->epoll_fd = info->epoll_fd;
    return ERR_OK;
}

static enum err_code start_thread(struct admin_http *http, struct err *err)
{
    pthread_attr_t attributes;
    sigset_t all, before;
    sigfillset(&all);
    pthread_attr_init(&attributes);
    pthread_attr_setstacksize(&attributes, STACK_BYTES);
    pthread_sigmask(SIG_BLOCK, &all, &before);
    int failed = pthread_create(&http->thread, &attributes, run, http);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pthread_attr_destroy(&attributes);
    if (failed)
        return err_sys(err, ERR_SYSTEM, failed, "start the HTTP thread");
    pthread_setname_np(http->thread, "admin-http");
    return ERR_OK;
}

static void close_all(struct admin_http *http)
{
    for (unsigned i = 0; i < http->listener_count; i++) {
        if (http->listeners[i].daemon)
            MHD_stop_daemon(http->listeners[i].daemon);
        http_listen_close(&http->listeners[i]);
        free(http->listeners[i].places);
    }
    if (http->wake_fd >= 0)
        close(http->wake_fd);
    free(http);
}

static struct admin_http *allocate(unsigned count)
{
    struct admin_http *http = calloc(1, sizeof *http + count * sizeof http->listeners[0]);
    if (!http)
        return NULL;
    http->listener_count = count;
    http->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    for (unsigned i = 0; i < count; i++) {
        struct http_listener *listener = &http->listeners[i];
        listener->http = http;
        listener->fd = -1;
    }
    return http;
}

static enum err_code make_places(struct http_listener *listener, unsigned max, struct err *err)
{
    listener->places_max = max ? max : ADMIN_HTTP_CONNECTIONS_MAX;
    listener->places = calloc(listener->places_max, sizeof *listener->places);
    if (!listener->places)
        return err_set(err, ERR_NO_MEMORY, "no memory for an HTTP listener");
    for (unsigned i = 0; i < listener->places_max; i++)
        listener->places[i].fd = -1;
    return ERR_OK;
}

enum err_code admin_http_start(struct admin_http **out, const struct admin_http_listen *listens,
                               unsigned count, struct err *err)
{
    if (count == 0 || count > LISTENERS_MAX)
        abort();
    struct admin_http *http = allocate(count);
    if (!http)
        return err_set(err, ERR_NO_MEMORY, "no memory for the HTTP server");
    enum err_code code = ERR_OK;
    if (http->wake_fd < 0)
        code = err_sys(err, ERR_SYSTEM, errno, "make an eventfd");
    for (unsigned i = 0; i < count && code == ERR_OK; i++) {
        struct http_listener *listener = &http->listeners[i];
        listener->routes = listens[i].routes;
        listener->arg = listens[i].arg;
        listener->body_max = listens[i].body_max ? listens[i].body_max : ADMIN_HTTP_BODY_MAX;
        listener->bodies_max = listens[i].bodies_max ? listens[i].bodies_max : SIZE_MAX;
        code = make_places(listener, listens[i].connections_max, err);
        if (code == ERR_OK)
            code = http_listen_open(listener, &listens[i], err);
        if (code == ERR_OK)
            code = start_daemon(listener, err);
    }
    if (code == ERR_OK)
        code = start_thread(http, err);
    if (code != ERR_OK) {
        close_all(http);
        return code;
    }
    *out = http;
    return ERR_OK;
}

uint16_t admin_http_port(const struct admin_http *http, unsigned index)
{
    const union MHD_DaemonInfo *info =
        MHD_get_daemon_info(http->listeners[index].daemon, MHD_DAEMON_INFO_LISTEN_FD);
    struct sockaddr_storage bound = {0};
    socklen_t len = sizeof bound;
    struct addr_port address;
    if (!info || getsockname(info->listen_fd, (struct sockaddr *)&bound, &len) < 0 ||
        !addr_from_sockaddr(&address, &bound))
        return 0;
    return address.port;
}

void admin_http_stop(struct admin_http *http)
{
    if (!http)
        return;
    const uint64_t one = 1;
    __atomic_store_n(&http->stopping, true, __ATOMIC_RELEASE);
    while (write(http->wake_fd, &one, sizeof one) < 0 && errno == EINTR) {
    }
    pthread_join(http->thread, NULL);
    close_all(http);
}
