/* The mesh file, watched: read at the start, and again when it changes.
 *
 *   a good edit -> on_compiled, without a restart
 *   a bad edit -> every mistake logged with its place, counted; what was published stays
 *
 * The folder is watched, so that a file that is renamed over, or a symbolic link that is turned (as
 * Kubernetes does for a config map), is seen; every MESH_FILE_POLL_MS the content is compared as
 * well, for file systems that say nothing. Loop thread. */
#ifndef MESH_FILE_H
#define MESH_FILE_H

#include "control/compile.h"
#include "control/tally.h"
#include "loop/timer.h"

enum {
    MESH_FILE_SETTLE_MS = 50,      /* an edit is rarely one event */
    MESH_FILE_SETTLE_MAX_MS = 500, /* events that never end are not waited for longer */
    MESH_FILE_POLL_MS = 2000,
};

struct mesh_file {
    const char *path; /* borrowed, as all up to on_compiled: set by the caller */
    const char *cluster_id;
    struct timers *timers;
    struct tally *tally;
    /* A new mesh: takes what is in `compiled`. */
    void (*on_compiled)(struct mesh_file *file, struct compiled *compiled);
    char trust_domain[256]; /* set by the first load; a later file must not change it */
    char *content;          /* as last read, good or bad */
    size_t content_len;
    uv_fs_event_t watch;
    bool watching;
    struct timer timer;     /* the poll, or the end of an edit */
    int64_t first_event_ms; /* of the edit that is under way; 0: none is */
    void (*on_closed)(struct mesh_file *file);
};

/* Reads and compiles the file once; on_compiled is called inside. ERR_MESH_FILE, ERR_NOT_FOUND,
 * ERR_TOO_LARGE ... */
enum err_code mesh_file_load(struct mesh_file *file, struct err *err);
/* Watches from now on. A folder that cannot be watched is logged, and polled. */
void mesh_file_watch(struct mesh_file *file, struct loop *loop);
/* Looks now (SIGHUP): a failure is logged and counted, never fatal. */
void mesh_file_reload(struct mesh_file *file);
void mesh_file_close(struct mesh_file *file, void (*on_closed)(struct mesh_file *));

/* Reads and checks a file and prints every mistake to stderr: for `handfast-control check`. ERR_OK
 * also with warnings. */
enum err_code mesh_file_check(const char *path, struct err *err);

#endif
