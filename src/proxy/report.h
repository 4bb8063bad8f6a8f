/* The documents of the admin socket (src/admin/contract.md), as JSON. Main loop. NULL or a partial
 * document without memory; admin_http_json copes with both. */
#ifndef REPORT_H
#define REPORT_H

#include <jansson.h>

#include "proxy/control.h"
#include "proxy/drain.h"

json_t *report_status(const struct control *control, const struct drain *drain, const char *state,
                      const char *reason, int64_t started_ms, const struct metrics *registry);
json_t *report_certs(const struct identity *identity);
json_t *report_config(const struct mesh_snapshot *snapshot);

#endif
