/* A process in a network namespace of its own, joined to ours by a veth pair: somebody outside of
 * the pod, for a moment. Blocking up to deadlines; one thread. */
#ifndef OUTSIDER_H
#define OUTSIDER_H

#include "redirect/trap.h"

struct outsider {
    pid_t pid;
    int channel; /* to the child; -1 when there is none */
};

/* Forks the child, gives it the namespace and makes the interfaces. ERR_PERMISSION when neither a
 * network namespace nor, around it, a user namespace is allowed; ERR_NOT_FOUND when the kernel has
 * no veth. Nothing stays behind on failure. */
enum err_code outsider_start(struct outsider *outsider, struct err *err);

/* Gives both ends addresses of the family; the pod's own is in *pod. ERR_NOT_FOUND when the
 * namespace has the family switched off. */
enum err_code outsider_join(struct outsider *outsider, int family, struct addr *pod,
                            struct err *err);

/* Has the child connect to `to`; its own address goes to *from. The connection stays until the next
 * call. ERR_SYSTEM when the child fails. */
enum err_code outsider_connect(struct outsider *outsider, const struct addr_port *to,
                               enum trap_answer *answer, struct addr_port *from, struct err *err);

/* Ends the child and takes the interfaces away. */
void outsider_stop(struct outsider *outsider);

#endif
