/* Opening the listening sockets.
 *
 * A Unix socket: make the folder (0700), refuse a path where somebody answers, remove a stale
 * socket, bind with mode 0600 from the first moment. Anything at the path that is not a socket
 * stays and is an error. */
#include <errno.h>
#include <libgen.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "admin/http_impl.h"

enum { BACKLOG = 128 };

static int stream_socket(int family)
{
    return socket(family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
}

static enum err_code remove_stale(const char *path, const struct sockaddr_un *address,
                                  struct err *err)
{
    struct stat found;
    if (lstat(path, &found) < 0)
        return errno == ENOENT ? ERR_OK : err_sys(err, ERR_SYSTEM, errno, "look at %s", path);
    if (!S_ISSOCK(found.st_mode))
        return err_set(err, ERR_INVALID, "%s exists and is not a socket", path);
    int fd = stream_socket(AF_UNIX);
    if (fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "make a Unix socket");
    int failed = connect(fd, (const struct sockaddr *)address, sizeof *address) < 0 ? errno : 0;
    close(fd);
    if (failed != ECONNREFUSED)
        return err_set(err, ERR_BUSY, "another process already listens at %s", path);
    if (unlink(path) < 0 && errno != ENOENT)
        return err_sys(err, ERR_SYSTEM, errno, "remove the stale socket %s", path);
    return ERR_OK;
}

static enum err_code open_unix(struct http_listener *listener, const char *path, struct err *err)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    if (strlen(path) >= sizeof address.sun_path)
        return err_set(err, ERR_INVALID, "the socket path %s is longer than %zu bytes", path,
                       sizeof address.sun_path - 1);
    memcpy(address.sun_path, path, strlen(path) + 1);
    char folder[sizeof address.sun_path];
    memcpy(folder, path, strlen(path) + 1);
    const char *parent = dirname(folder);
    if (mkdir(parent, 0700) < 0 && errno != EEXIST)
        return err_sys(err, ERR_SYSTEM, errno, "make the folder %s for the admin socket", parent);
    if (remove_stale(path, &address, err) != ERR_OK)
        return err ? err->code : ERR_SYSTEM;
    listener->fd = stream_socket(AF_UNIX);
    if (listener->fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "make a Unix socket");
    /* Linux gives the file the mode that the socket has when it is bound: no moment with another.
     */
    struct stat bound;
    if (fchmod(listener->fd, 0600) < 0 ||
        bind(listener->fd, (struct sockaddr *)&address, sizeof address) < 0 ||
        listen(listener->fd, BACKLOG) < 0 || lstat(path, &bound) < 0)
        return err_sys(err, ERR_SYSTEM, errno, "listen at %s", path);
    listener->device = bound.st_dev;
    listener->inode = bound.st_ino;
    listener->unix_path = strdup(path);
    return listener->unix_path ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory for %s", path);
}

static int bind_and_listen(int fd, const struct addr_port *address, bool both_families)
{
    struct sockaddr_storage storage;
    socklen_t len = addr_to_sockaddr(address, &storage);
    const int on = 1, only = !both_families;
    if (setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on) < 0 ||
        (storage.ss_family == AF_INET6 &&
         setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &only, sizeof only) < 0) ||
        bind(fd, (struct sockaddr *)&storage, len) < 0 || listen(fd, BACKLOG) < 0)
        return errno;
    return 0;
}

/* Every address is one IPv6 socket that takes IPv4 too, or IPv4 alone where there is no IPv6. */
static enum err_code open_tcp(struct http_listener *listener, const struct addr_port *wanted,
                              struct err *err)
{
    bool every = wanted->ip.len == 0;
    int failed = EAFNOSUPPORT;
    struct addr_port address = *wanted;
    for (int attempt = 0; attempt < (every ? 2 : 1); attempt++) {
        if (every)
            address.ip = (struct addr){.len = attempt == 0 ? 16 : 4};
        listener->fd = stream_socket(address.ip.len == 16 ? AF_INET6 : AF_INET);
        failed = listener->fd < 0 ? errno : bind_and_listen(listener->fd, &address, every);
        if (!failed)
            return ERR_OK;
        if (listener->fd >= 0)
            close(listener->fd);
        listener->fd = -1;
        if (failed != EAFNOSUPPORT && failed != EADDRNOTAVAIL)
            break;
    }
    char text[ADDR_TEXT_MAX];
    return err_sys(err, ERR_SYSTEM, failed, "listen on %s", addr_port_format(&address, text));
}

enum err_code http_listen_open(struct http_listener *listener,
                               const struct admin_http_listen *listen, struct err *err)
{
    if (listen->unix_path)
        return open_unix(listener, listen->unix_path, err);
    if (listen->fd > 0) {
        listener->fd = listen->fd;
        return ERR_OK;
    }
    return open_tcp(listener, &listen->address, err);
}

void http_listen_close(struct http_listener *listener)
{
    if (listener->fd >= 0)
        close(listener->fd);
    listener->fd = -1;
    struct stat found;
    if (listener->unix_path && lstat(listener->unix_path, &found) == 0 &&
        found.st_dev == listener->device && found.st_ino == listener->inode)
        unlink(listener->unix_path);
    free(listener->unix_path);
    listener->unix_path = NULL;
}
