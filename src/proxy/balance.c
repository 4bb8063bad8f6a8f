#include "proxy/balance.h"

#include <stdlib.h>
#include <string.h>

#include "base/clock.h"

void balance_init(struct balance *balance, struct timers *timers)
{
    balance->timers = timers;
    map_init(&balance->loads);
    balance->random = (uint64_t)clock_now_ms() ^ (uint64_t)(uintptr_t)balance;
}

void balance_deinit(struct balance *balance)
{
    map_deinit(&balance->loads);
}

/* splitmix64 */
static uint64_t next_random(struct balance *balance)
{
    uint64_t z = balance->random += 0x9e3779b97f4a7c15u;
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9u;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebu;
    return z ^ (z >> 31);
}

unsigned balance_count(const struct balance *balance, const char *uid)
{
    const struct balance_load *load = map_get_str(&balance->loads, uid);
    return load ? load->count : 0;
}

const struct mesh_workload *balance_pick(struct balance *balance,
                                         const struct mesh_snapshot *snapshot,
                                         const struct mesh_service *service, uint16_t service_port,
                                         const struct mesh_workload *except, uint16_t *port)
{
    struct mesh_endpoints endpoints = mesh_service_endpoints(snapshot, service);
    const struct mesh_workload *best = NULL;
    unsigned best_count = 0, found = 0;
    if (endpoints.count == 0)
        return NULL;
    unsigned start = (unsigned)(next_random(balance) % endpoints.count);
    /* Usually every endpoint serves the port and two looks are enough; the second place is random
     * too, and those that do not serve it are stepped over. One more step than there are endpoints
     * reaches all of them in any case. */
    unsigned stride =
        endpoints.count > 1 ? 1 + (unsigned)(next_random(balance) % (endpoints.count - 1)) : 1;
    for (unsigned i = 0, at = start; i <= endpoints.count && found < 2; i++) {
        const struct mesh_endpoint *one = &endpoints.items[at];
        at = (at + (i == 0 ? stride : 1)) % endpoints.count;
        uint16_t target = mesh_endpoint_port(one, service, service_port);
        if (target == 0 || one->workload == best ||
            (except && strcmp(one->workload->uid, except->uid) == 0))
            continue;
        unsigned count = balance_count(balance, one->workload->uid);
        if (!best || count < best_count) {
            best = one->workload;
            best_count = count;
            *port = target;
        }
        found++;
    }
    return best;
}

struct balance_load *balance_begin(struct balance *balance, const struct mesh_workload *workload)
{
    struct balance_load *load = map_get_str(&balance->loads, workload->uid);
    if (!load) {
        size_t size = strlen(workload->uid) + 1;
        load = calloc(1, sizeof *load + size);
        if (!load)
            return NULL;
        load->waiting = (struct hold_queue){.whose = "connections to the workload",
                                            .timers = balance->timers,
                                            .max = BALANCE_QUEUE_MAX};
        memcpy(load->uid, workload->uid, size);
        if (!map_set_str(&balance->loads, load->uid, load, NULL)) {
            free(load);
            return NULL;
        }
    }
    load->count++;
    return load;
}

void balance_end(struct balance *balance, struct balance_load *load)
{
    if (!load || --load->count > 0)
        return;
    map_remove_str(&balance->loads, load->uid);
    free(load);
}
