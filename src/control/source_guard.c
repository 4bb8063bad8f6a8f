#include "control/source_guard.h"

#include <stdio.h>
#include <stdlib.h>

enum { NAME_PORTS = 4 /* more than these are named by a hash of them */ };

static int compare_ports(const void *left, const void *right)
{
    return (int)*(const uint16_t *)left - (int)*(const uint16_t *)right;
}

static void sort_ports(struct source_guard *guard)
{
    unsigned kept = 0;
    if (guard->port_count > 1)
        qsort(guard->ports, guard->port_count, sizeof *guard->ports, compare_ports);
    for (unsigned i = 0; i < guard->port_count; i++) {
        if (kept == 0 || guard->ports[kept - 1] != guard->ports[i])
            guard->ports[kept++] = guard->ports[i];
    }
    guard->port_count = kept;
}

void source_guard_name(struct source_arena *arena, struct source_guard *guard, const char *base)
{
    char ports[64] = "";
    size_t used = 0;
    uint32_t hash = 2166136261u;
    sort_ports(guard);
    for (unsigned i = 0; i < guard->port_count; i++)
        hash = (hash ^ guard->ports[i]) * 16777619u;
    if (guard->port_count > NAME_PORTS)
        snprintf(ports, sizeof ports, "-%08x", hash);
    for (unsigned i = 0; i < guard->port_count && guard->port_count <= NAME_PORTS; i++)
        used += (size_t)snprintf(ports + used, sizeof ports - used, "-%u", guard->ports[i]);
    guard->name = source_arena_format(arena, "%s%s%s%s", base,
                                      guard->scope == MESH_SCOPE_WORKLOAD ? "-selected" : "",
                                      guard->port_count == 0 ? ""
                                      : guard->all_ports     ? "-except"
                                                             : "-port",
                                      ports);
    guard->key = guard->name ? source_arena_format(arena, "%s/%s", guard->ns, guard->name) : NULL;
}
