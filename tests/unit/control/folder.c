#include "folder.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

bool folder_make(struct folder *folder)
{
    strcpy(folder->path, "/tmp/handfast-control-test-XXXXXX");
    return mkdtemp(folder->path) != NULL;
}

static int remove_one(const char *path, const struct stat *about, int kind, struct FTW *ftw)
{
    (void)about;
    (void)kind;
    (void)ftw;
    return remove(path);
}

void folder_remove(struct folder *folder)
{
    nftw(folder->path, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

const char *folder_path(const struct folder *folder, const char *name)
{
    static char paths[4][PATH_MAX];
    static unsigned next;
    char *path = paths[next++ % 4];
    snprintf(path, PATH_MAX, "%s/%s", folder->path, name);
    return path;
}

bool folder_write(const struct folder *folder, const char *name, const char *text, mode_t mode)
{
    int fd = open(folder_path(folder, name), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, mode);
    if (fd < 0)
        return false;
    size_t len = strlen(text);
    bool good = write(fd, text, len) == (ssize_t)len;
    return close(fd) == 0 && good;
}

bool folder_has(const struct folder *folder, const char *name)
{
    return access(folder_path(folder, name), F_OK) == 0;
}
