#include "proxy/listing.h"

#include <stdlib.h>

#include "base/clock.h"

struct listing_item {
    uint64_t id;
    unsigned worker;
    uint8_t direction, state;
    bool tls, closing;
    struct addr_port source_at, target, original;
    struct conn_peer *peer; /* own reference */
    uint64_t request_bytes, response_bytes;
    int64_t started_ms;
};

struct listing_part {
    struct mail mail;
    struct listing *listing;
    struct listing_item *items;
    size_t count, total;
};

struct listing {
    struct admin_http_pending *pending;
    struct mailbox *main_box;
    const struct config *config;
    size_t limit;
    unsigned worker_count, waiting;
    struct listing_part parts[];
};

/* --- on a worker ---------------------------------------------------------------------------- */

static void copy_conn(const struct conn *conn, struct listing_item *item)
{
    const struct relay *relay = conn->state == CONN_OPEN ? &conn->u.relay : NULL;
    *item = (struct listing_item){
        .id = conn->id,
        .worker = conn->worker->index,
        .direction = conn->direction,
        .state = conn->state,
        .tls = conn->tls_used,
        .closing = relay && (relay->side[0].read_ended || relay->side[1].read_ended),
        .source_at = conn->source_at,
        .target = conn->target,
        .original = conn->original,
        .peer = conn->peer ? conn_peer_ref(conn->peer) : NULL,
        .request_bytes = conn_request_bytes(conn),
        .response_bytes = conn_response_bytes(conn),
        .started_ms = conn->started_ms,
    };
}

static void arrive(struct mail *mail, void *owner);
static void discard_arrival(struct mail *mail);

static void send_back(struct listing_part *part)
{
    part->mail.deliver = arrive;
    part->mail.discard = discard_arrival;
    mailbox_post(part->listing->main_box, &part->mail);
}

/* The list is newest first, so the oldest are its last ones. */
static void copy_all(struct mail *mail, void *owner)
{
    struct listing_part *part = (struct listing_part *)mail;
    struct worker *worker = owner;
    size_t skip = 0, want = worker->conn_count;
    if (want > part->listing->limit) {
        skip = want - part->listing->limit;
        want = part->listing->limit;
    }
    part->total = worker->conn_count;
    part->items = want ? malloc(want * sizeof *part->items) : NULL;
    for (const struct conn *conn = worker->conns; conn && part->items; conn = conn->next) {
        if (skip > 0)
            skip--;
        else
            copy_conn(conn, &part->items[part->count++]);
    }
    send_back(part);
}

/* The worker is ending and has nothing to tell. */
static void discard_question(struct mail *mail)
{
    send_back((struct listing_part *)mail);
}

/* --- on main -------------------------------------------------------------------------------- */

static json_t *text_or_null(const char *text)
{
    return text ? json_string(text) : json_null();
}

static json_t *describe(const struct listing_item *item, const struct config *config,
                        int64_t now_ms)
{
    static const char *const states[] = {
        [CONN_NEW] = "waiting",
        [CONN_HELD] = "waiting",
        [CONN_QUEUED] = "waiting",
        [CONN_SNIFFING] = "waiting",
        [CONN_HANDSHAKING] = "handshaking",
        [CONN_CONNECTING] = "connecting",
        [CONN_OPEN] = "open",
    };
    char source[ADDR_TEXT_MAX], target[ADDR_TEXT_MAX], original[ADDR_TEXT_MAX];
    bool outbound = item->direction == CONN_OUTBOUND;
    json_t *json = json_object();
    json_object_set_new(json, "id", json_integer((json_int_t)item->id));
    json_object_set_new(json, "worker", json_integer(item->worker));
    json_object_set_new(json, "direction", json_string(outbound ? "outbound" : "inbound"));
    json_object_set_new(json, "state",
                        json_string(item->closing ? "closing" : states[item->state]));
    json_object_set_new(json, "source", json_string(addr_port_format(&item->source_at, source)));
    json_object_set_new(json, "destination", json_string(addr_port_format(&item->target, target)));
    json_object_set_new(json, "original_destination",
                        json_string(addr_port_format(&item->original, original)));
    json_object_set_new(json, "peer_identity", text_or_null(item->peer ? item->peer->id : NULL));
    json_object_set_new(json, "peer_serial", text_or_null(item->peer ? item->peer->serial : NULL));
    json_object_set_new(json, "own_identity", text_or_null(item->tls ? config->id.text : NULL));
    json_object_set_new(json, "security", json_string(item->tls ? "mutual_tls" : "plaintext"));
    json_object_set_new(
        json, "bytes_sent",
        json_integer((json_int_t)(outbound ? item->request_bytes : item->response_bytes)));
    json_object_set_new(
        json, "bytes_received",
        json_integer((json_int_t)(outbound ? item->response_bytes : item->request_bytes)));
    json_object_set_new(json, "age_ms", json_integer(now_ms - item->started_ms));
    return json;
}

static int compare_age(const void *a, const void *b)
{
    const struct listing_item *x = *(struct listing_item *const *)a;
    const struct listing_item *y = *(struct listing_item *const *)b;
    if (x->started_ms != y->started_ms)
        return x->started_ms < y->started_ms ? -1 : 1;
    return x->id < y->id ? -1 : x->id > y->id;
}

static void answer(struct listing *listing)
{
    struct admin_http_response response = {.status = 200, .content_type = "application/json"};
    size_t count = 0, total = 0;
    for (unsigned i = 0; i < listing->worker_count; i++) {
        count += listing->parts[i].count;
        total += listing->parts[i].total;
    }
    struct listing_item **sorted = malloc((count + 1) * sizeof *sorted);
    size_t at = 0;
    for (unsigned i = 0; i < listing->worker_count && sorted; i++) {
        for (size_t k = 0; k < listing->parts[i].count; k++)
            sorted[at++] = &listing->parts[i].items[k];
    }
    if (at > 1)
        qsort(sorted, at, sizeof *sorted, compare_age);
    json_t *list = json_array();
    int64_t now_ms = clock_now_ms();
    for (size_t i = 0; i < at && i < listing->limit; i++)
        json_array_append_new(list, describe(sorted[i], listing->config, now_ms));
    free(sorted);
    admin_http_json(&response,
                    json_pack("{s:I, s:o}", "total", (json_int_t)total, "connections", list));
    admin_http_finish(listing->pending, &response);
}

static void count_arrival(struct listing *listing)
{
    if (--listing->waiting > 0)
        return;
    answer(listing);
    for (unsigned i = 0; i < listing->worker_count; i++) {
        for (size_t k = 0; k < listing->parts[i].count; k++)
            conn_peer_unref(listing->parts[i].items[k].peer);
        free(listing->parts[i].items);
    }
    free(listing);
}

static void arrive(struct mail *mail, void *owner)
{
    (void)owner;
    count_arrival(((struct listing_part *)mail)->listing);
}

static void discard_arrival(struct mail *mail)
{
    count_arrival(((struct listing_part *)mail)->listing);
}

void listing_start(struct worker *workers, unsigned worker_count, struct mailbox *main_box,
                   const struct config *config, struct admin_http_pending *pending, int64_t limit)
{
    struct listing *listing = calloc(1, sizeof *listing + worker_count * sizeof listing->parts[0]);
    if (!listing) {
        struct admin_http_response response = {.status = 200, .content_type = "application/json"};
        admin_http_error(&response, 503, "out of memory");
        admin_http_finish(pending, &response);
        return;
    }
    *listing = (struct listing){.pending = pending,
                                .main_box = main_box,
                                .config = config,
                                .limit = (size_t)limit,
                                .worker_count = worker_count,
                                .waiting = worker_count};
    for (unsigned i = 0; i < worker_count; i++) {
        struct listing_part *part = &listing->parts[i];
        part->mail = (struct mail){.deliver = copy_all, .discard = discard_question};
        part->listing = listing;
        mailbox_post(&workers[i].mailbox, &part->mail);
    }
}
