/* The live connections of all workers, for people. Main asks every worker by mail for a copy; the
 * answer is made on the main loop when the last copy is in. No worker waits, and a worker that does
 * not answer leaves the asker with admin's own deadline. */
#ifndef LISTING_H
#define LISTING_H

#include "admin/http.h"
#include "proxy/worker.h"

/* Answers `pending` (taken) with the `limit` oldest connections. `main_box` is the main loop's
 * mailbox; it must outlive the workers. Main loop. */
void listing_start(struct worker *workers, unsigned worker_count, struct mailbox *main_box,
                   const struct config *config, struct admin_http_pending *pending, int64_t limit);

#endif
