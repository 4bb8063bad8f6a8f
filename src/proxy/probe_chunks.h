/* A chunked body as it arrives, cut anywhere: how much of it is content, and where it ends (RFC
 * 9112 section 7.1). What it says is not kept. Pure. */
#ifndef PROBE_CHUNKS_H
#define PROBE_CHUNKS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    PROBE_CHUNKS_EXTRA_MAX = 16 * 1024, /* bytes of all extensions and trailers */
};

/* Zeroed at the start. */
struct probe_chunks {
    size_t content; /* bytes of the body so far, without what is around its chunks */
    bool over;      /* the last chunk and its trailers are there */
    /* private */
    unsigned state;
    unsigned digits; /* of the size being read */
    uint64_t left;   /* bytes of this chunk that are still to come */
    size_t extra;    /* bytes of extensions and trailers so far */
};

/* Takes bytes; those behind the end are passed over. False: this is no chunked body, or one with
 * more than PROBE_CHUNKS_EXTRA_MAX around its chunks. */
bool probe_chunks_feed(struct probe_chunks *chunks, const char *bytes, size_t len);

#endif
