/* Objects on the stand-in API server: kept by their path, listed, watched, written. Knows as much
 * of the API as the control plane uses; selectors are not looked at. One at a time. */
#ifndef SHELF_H
#define SHELF_H

#include <jansson.h>

#include "apiserver.h"

enum { SHELF_OBJECTS = 256 };

struct shelf {
    struct apiserver *server;
    struct shelf_object {
        char path[256];
        json_t *object; /* NULL: there is none */
    } objects[SHELF_OBJECTS];
    unsigned version;
    unsigned reads, writes; /* that were asked for, lists and watches not counted */
    unsigned at_once, most; /* writes that hang now, and the most there were */
    int fail;               /* HTTP status of every write; 0: as it should be */
    const char *fail_at;    /* ... of those only that have this in their path; NULL: of all */
    bool hang_reads;        /* no answers */
    bool hang_writes;       /* the same; what was asked is done */
    bool mute;              /* watches hear nothing */
    char last_write[2048];  /* "METHOD path" */
};

void shelf_start(struct shelf *shelf, struct apiserver *server);
void shelf_stop(struct shelf *shelf);
/* As if somebody else wrote or deleted it; watches hear of it. `object` is taken. */
void shelf_put(struct shelf *shelf, const char *path, json_t *object);
void shelf_delete(struct shelf *shelf, const char *path);
/* Borrowed, or NULL. */
json_t *shelf_get(struct shelf *shelf, const char *path);
/* The same after a way of names in it, as a string: "spec", "holderIdentity". "" for none. */
const char *shelf_text(struct shelf *shelf, const char *path, const char *a, const char *b);

#endif
