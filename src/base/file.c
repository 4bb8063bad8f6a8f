#include "base/file.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum err_code file_read(const char *path, size_t max_bytes, char **data, size_t *len,
                        struct err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, errno == ENOENT ? ERR_NOT_FOUND : ERR_SYSTEM, errno, "open %s", path);
    size_t used = 0, capacity = 4096;
    enum err_code code = ERR_SYSTEM;
    char *buffer = malloc(capacity + 1);
    while (buffer) {
        ssize_t got = read(fd, buffer + used, capacity - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            code = err_sys(err, ERR_SYSTEM, errno, "read %s", path);
            break;
        }
        used += (size_t)got;
        if (used > max_bytes) {
            code = err_set(err, ERR_TOO_LARGE, "%s is larger than %zu bytes", path, max_bytes);
            break;
        }
        if (got == 0) {
            close(fd);
            buffer[used] = 0;
            *data = buffer;
            *len = used;
            return ERR_OK;
        }
        if (used == capacity) {
            capacity *= 2;
            char *bigger = realloc(buffer, capacity + 1);
            if (!bigger) {
                free(buffer);
                buffer = NULL;
                break;
            }
            buffer = bigger;
        }
    }
    close(fd);
    if (!buffer)
        return err_set(err, ERR_NO_MEMORY, "no memory to read %s", path);
    free(buffer);
    return code;
}

static int write_all(int fd, const char *data, size_t len)
{
    while (len > 0) {
        ssize_t sent = write(fd, data, len);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent < 0)
            return errno;
        data += sent;
        len -= (size_t)sent;
    }
    return fsync(fd) < 0 ? errno : 0;
}

static int sync_folder_of(const char *path)
{
    char copy[PATH_MAX];
    snprintf(copy, sizeof copy, "%s", path);
    int fd = open(dirname(copy), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0)
        return errno;
    int failed = fsync(fd) < 0 ? errno : 0;
    close(fd);
    return failed;
}

enum err_code file_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
                                struct err *err)
{
    char temporary[PATH_MAX];
    if (snprintf(temporary, sizeof temporary, "%s.XXXXXX", path) >= (int)sizeof temporary)
        return err_set(err, ERR_SYSTEM, "the path %s is too long", path);
    int fd = mkostemp(temporary, O_CLOEXEC);
    if (fd < 0)
        return err_sys(err, ERR_SYSTEM, errno, "create a file beside %s", path);
    int failed = fchmod(fd, mode) < 0 ? errno : write_all(fd, data, len);
    close(fd);
    if (!failed && rename(temporary, path) < 0)
        failed = errno;
    if (failed)
        unlink(temporary);
    else
        failed = sync_folder_of(path);
    return failed ? err_sys(err, ERR_SYSTEM, failed, "write %s", path) : ERR_OK;
}
