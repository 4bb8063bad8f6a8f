/* The mesh file's bytes as a checked model. One thread. */
#ifndef SOURCE_H
#define SOURCE_H

#include "control/source_model.h"
#include "control/source_mtls.h"

struct source {
    struct source_arena arena; /* everything below lives in it */
    struct source_model model;
    struct source_guards guards; /* what the mtls entries come to */
    struct source_report report; /* mistakes, or warnings, in the order of the file */
};

/* Reads `len` bytes; `path` is for sentences. ERR_OK: model and guards can be used, and the report
 * may hold warnings. ERR_MESH_FILE: the report says what is wrong, *err holds its first line.
 * ERR_NO_MEMORY. The caller calls source_deinit in every case. */
enum err_code source_parse(struct source *source, const char *path, const char *data, size_t len,
                           struct err *err);
void source_deinit(struct source *source);

#endif
