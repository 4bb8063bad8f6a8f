#include "web.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "suite.h"

static int connected(int family, const void *address, socklen_t len)
{
    const struct timeval patience = {.tv_sec = 10};
    int fd = socket(family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    CU_ASSERT_FATAL(fd >= 0);
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
    CU_ASSERT_EQUAL_FATAL(connect(fd, address, len), 0);
    return fd;
}

int web_connect(uint16_t port)
{
    const struct sockaddr_in address = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    return connected(AF_INET, &address, sizeof address);
}

int web_connect_unix(const char *path)
{
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    CU_ASSERT_FATAL(strlen(path) < sizeof address.sun_path);
    memcpy(address.sun_path, path, strlen(path) + 1);
    return connected(AF_UNIX, &address, sizeof address);
}

void web_send(int fd, const void *data, size_t len)
{
    const char *at = data;
    while (len > 0) {
        ssize_t sent = send(fd, at, len, MSG_NOSIGNAL);
        if (sent <= 0)
            return; /* the server may have closed already: that is for the reader to see */
        at += sent;
        len -= (size_t)sent;
    }
}

char *web_read_all(int fd, bool *ended)
{
    size_t used = 0, capacity = 16 << 20;
    char *data = malloc(capacity);
    CU_ASSERT_PTR_NOT_NULL_FATAL(data);
    ssize_t got = 1;
    bool late = false;
    while (got > 0 && used < capacity - 1) {
        got = recv(fd, data + used, capacity - 1 - used, 0);
        late = got < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
        used += got > 0 ? (size_t)got : 0;
    }
    data[used] = 0;
    if (ended)
        *ended = !late;
    else
        CU_ASSERT_FALSE(late);
    return data;
}

char *web_ask(uint16_t port, const char *request)
{
    int fd = web_connect(port);
    web_send(fd, request, strlen(request));
    char *answer = web_read_all(fd, NULL);
    close(fd);
    return answer;
}

int web_status(const char *answer)
{
    return strncmp(answer, "HTTP/1.", 7) == 0 ? atoi(answer + 9) : 0;
}

const char *web_body(const char *answer)
{
    const char *end = strstr(answer, "\r\n\r\n");
    return end ? end + 4 : "";
}

static unsigned count_entries(const char *path)
{
    DIR *folder = opendir(path);
    unsigned count = 0;
    CU_ASSERT_PTR_NOT_NULL_FATAL(folder);
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

unsigned web_count_fds(void)
{
    return count_entries("/proc/self/fd");
}

unsigned web_count_threads(void)
{
    return count_entries("/proc/self/task");
}
