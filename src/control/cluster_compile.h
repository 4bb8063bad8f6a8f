/* From the graph to the resources that proxies get: makes anew what is dirty, and nothing else. One
 * thread. */
#ifndef CLUSTER_COMPILE_H
#define CLUSTER_COMPILE_H

#include "control/cluster_graph.h"
#include "control/compile.h"

/* Works off what is dirty. ERR_NO_MEMORY: a part is still dirty; call again. graph->changed says
 * whether a resource is another one than before. */
enum err_code cluster_compile(struct cluster_graph *graph, struct err *err);
/* The mesh as ads_publish() takes it: what changed among the records since the last call, or all of
 * them where graph->whole says so; and all policies. The caller owns *out, on success only.
 * ERR_NO_MEMORY. */
enum err_code cluster_compile_take(struct cluster_graph *graph, struct compiled *out,
                                   struct err *err);

#endif
