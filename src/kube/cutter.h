/* Cuts JSON that arrives in arbitrary chunks into the values that are of interest, so that neither
 * a list of thousands nor an endless watch is ever in memory as a whole. It knows strings and
 * brackets; whether a piece is JSON is found out by whoever parses it. Pure; one thread.
 *
 * KUBE_CUTTER_STREAM: the pieces are the objects of a sequence ({..} white space {..}).
 * KUBE_CUTTER_LIST: the pieces are the objects in the array "items" of one object; all else, with
 * the array empty, is the frame. A piece over the ceiling is left out and counted. */
#ifndef KUBE_CUTTER_H
#define KUBE_CUTTER_H

#include "base/err.h"
#include "kube/buffer.h"

enum {
    /* etcd takes objects of 1.5 MiB; text of nothing but control characters is six times as long
     * in JSON. */
    KUBE_PIECE_MAX = 12 << 20,
    KUBE_FRAME_MAX = 1 << 20,
};

enum kube_cutter_kind { KUBE_CUTTER_STREAM, KUBE_CUTTER_LIST };

struct kube_cutter {
    enum kube_cutter_kind kind;
    /* A whole piece. False ends the feeding: the cutter may be gone. */
    bool (*on_piece)(void *arg, const char *bytes, size_t len);
    void *arg;
    struct kube_buffer piece, frame;
    unsigned depth;   /* brackets that are open */
    unsigned base;    /* how many of them a piece is inside of */
    unsigned dropped; /* pieces over the ceiling */
    size_t key_at;    /* in the frame: the last string of the outer object */
    bool in_string, escaped, in_piece, dropping;
    bool key_is_items, done;
};

void kube_cutter_init(struct kube_cutter *cutter, enum kube_cutter_kind kind,
                      bool (*on_piece)(void *, const char *, size_t), void *arg);
void kube_cutter_deinit(struct kube_cutter *cutter);

/* Takes the next bytes; calls on_piece for every piece that ends in them. ERR_INVALID: this is not
 * such JSON; ERR_TOO_LARGE: the frame is; ERR_NO_MEMORY; ERR_CANCELLED: on_piece was false, and
 * nothing has been touched since. */
enum err_code kube_cutter_feed(struct kube_cutter *cutter, const char *bytes, size_t len,
                               struct err *err);

/* True when the input may end here: between two pieces, or behind the list. */
bool kube_cutter_is_whole(const struct kube_cutter *cutter);

#endif
