/* A folder of a test's own. */
#ifndef FOLDER_H
#define FOLDER_H

#include <limits.h>
#include <stdbool.h>
#include <sys/types.h>

struct folder {
    char path[PATH_MAX / 2];
};

/* An empty one, mode 0700. */
bool folder_make(struct folder *folder);
/* Removes it and everything in it. */
void folder_remove(struct folder *folder);
/* "<folder>/<name>", valid until the fourth call after this one. */
const char *folder_path(const struct folder *folder, const char *name);
/* Writes a whole file, in place. */
bool folder_write(const struct folder *folder, const char *name, const char *text, mode_t mode);
bool folder_has(const struct folder *folder, const char *name);

#endif
