/* Small files, read whole and written so that a crash leaves either the old content or the new.
 * Blocking. */
#ifndef FILE_H
#define FILE_H

#include <stdint.h>
#include <sys/types.h>

#include "base/err.h"

/* Reads the file into *data (malloc'd, caller frees; a null follows the last byte) and *len. More
 * than max_bytes is ERR_TOO_LARGE, a missing file ERR_NOT_FOUND, all else ERR_SYSTEM. Nothing is
 * allocated on failure. */
enum err_code file_read(const char *path, size_t max_bytes, char **data, size_t *len,
                        struct err *err);

/* Writes a new file beside `path`, syncs it, renames it over `path` and syncs the folder.
 * ERR_SYSTEM. */
enum err_code file_write_atomic(const char *path, const void *data, size_t len, mode_t mode,
                                struct err *err);

#endif
