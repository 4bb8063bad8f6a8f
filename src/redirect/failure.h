/* Turns what nf_tables answers into a sentence for an operator. Pure, except for the caller's
 * `attempt`. */
#ifndef FAILURE_H
#define FAILURE_H

#include <stdbool.h>

#include "base/err.h"

struct failure {
    const char *tried;   /* "install the rules" */
    const char *message; /* what libnftables said */
    bool net_admin;      /* this process has CAP_NET_ADMIN */
    /* Has the kernel check a script without taking it; returns 0 or an errno value. */
    int (*attempt)(void *arg, const char *script);
    void *arg;
};

/* The errno value that a message of libnftables ends in, 0 when it names none. */
int failure_errno(const char *message);

/* Fills `err`: ERR_PERMISSION for a missing privilege; ERR_NFT_MODULE when a part of the kernel is
 * missing, which is found out by attempting one small script for each part; else ERR_NFT with the
 * first line of the message in quotes. Returns the code. */
enum err_code failure_explain(const struct failure *failure, struct err *err);

#endif
