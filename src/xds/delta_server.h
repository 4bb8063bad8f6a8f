/* The server's half of the delta protocol for one stream: a state machine without input and output
 * of its own. Requests go in, responses are asked for; what they hold comes from the store. Loop
 * thread.
 *
 * - First request of a type: no names = everything (wildcard). `*` subscribes to everything too.
 * Names are resource names or aliases; a resource also comes when a group of its (a service) is
 * subscribed to.
 * - At most one response of a type is unanswered. What changes meanwhile is not queued: the
 * stream's place in the store's order of changes stays where it was, and the next response holds
 * what lies behind it.
 * - The first request of a type is always answered, with an empty response if there is nothing to
 * say. Asking for a name is answered, also when it was sent before; a name that nobody has comes
 * back in removed_resources.
 * - initial_resource_versions: what the client holds is not sent again; what it holds and is gone
 * is removed.
 * - A NACK counts as an answer. The refused version is not sent again on this stream; a later
 * change is.
 * - A nonce that is not the outstanding one answers nothing, but the names beside it count.
 * - A type that we do not know is answered with an empty response that lists the names asked for as
 * removed, so that nobody waits for them; after XDS_DELTA_UNKNOWN_MAX such requests the stream
 * ends.
 * - A response is closed before it would grow past the target. When more follows at once,
 * system_version_info ends in
 *   "+": our own client waits for the rest before it calls itself ready, others do not look at it.
 */
#ifndef XDS_DELTA_SERVER_H
#define XDS_DELTA_SERVER_H

#include "xds/server_stats.h"
#include "xds/store.h"

enum {
    XDS_DELTA_NAMES_MAX = 10000,         /* subscribed to at once, of one type */
    XDS_DELTA_NAMES_MAX_BYTES = 1 << 20, /* all of them together */
    XDS_DELTA_NAME_MAX_BYTES = 1024,
    XDS_DELTA_NAME_COST = 80,          /* what a name takes beside its bytes, about */
    XDS_DELTA_UNKNOWN_MAX = 16,        /* requests for types that we do not know, of one stream */
    XDS_DELTA_UNKNOWN_NAMES_MAX = 100, /* in one of them */
    XDS_DELTA_TARGET_BYTES = 2 << 20,
};

struct xds_delta_server;

/* What the names that streams make us remember take in memory; shared by streams that must not take
 * more than this together. Of `used`, each stream gives back its part when it is freed. */
struct xds_delta_budget {
    size_t used, max; /* bytes, XDS_DELTA_NAME_COST for each name included */
};

/* `store` and `stats` (which may be NULL) outlive it. `namespace` is what the node identifier must
 * name; NULL = anything. target_bytes 0 = XDS_DELTA_TARGET_BYTES. NULL: out of memory. */
struct xds_delta_server *xds_delta_server_new(const struct xds_store *store, const char *namespace,
                                              size_t target_bytes, struct xds_server_stats *stats);
void xds_delta_server_free(struct xds_delta_server *stream);

/* From now on names count against `budget`, which outlives the stream; NULL: none. Before the first
 * request. */
void xds_delta_server_share(struct xds_delta_server *stream, struct xds_delta_budget *budget);

/* Takes in a request. An error ends the stream: ERR_XDS_MALFORMED, ERR_XDS_NODE,
 * ERR_XDS_UNKNOWN_TYPE, ERR_TOO_LARGE (too many names), ERR_QUOTA (too many with those of others
 * that share the budget), ERR_NO_MEMORY. */
enum err_code xds_delta_server_request(struct xds_delta_server *stream, const void *data,
                                       size_t len, struct err *err);

/* The next response that may go out now, malloc'd, for the caller to free; *data is NULL when there
 * is none. Ask again after every request and every change of the store. ERR_CANCELLED: the stream
 * is too far behind and has to end; ERR_NO_MEMORY. */
enum err_code xds_delta_server_next(struct xds_delta_server *stream, void **data, size_t *len,
                                    struct err *err);

/* The node identifier of the first request, borrowed; "" before it came. */
const char *xds_delta_server_node(const struct xds_delta_server *stream);
/* A subscription to `type` has begun, and has passed every change up to *seq. */
bool xds_delta_server_place(const struct xds_delta_server *stream, enum xds_type type,
                            uint64_t *seq);

#endif
