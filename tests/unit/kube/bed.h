/* A loop, a stand-in API server and a client of it. Everything here waits: it runs the loop until
 * what is waited for has happened. */
#ifndef BED_H
#define BED_H

#include "apiserver.h"
#include "certs.h"
#include "kube/client.h"
#include "suite.h"

enum { BED_WAIT_MS = 60000 };

struct bed {
    struct loop loop;
    struct timers timers;
    struct relay_env env;
    struct timer tick;
    const struct certs *certs;
    struct apiserver server;
    struct kube_config config; /* points at the server; change it before bed_connect */
    struct kube_client *client;
    bool closed;
};

void bed_start(struct bed *bed);
/* Makes bed->client, with a clock that has less patience: pauses of 1 to 20 ms. */
void bed_connect(struct bed *bed);
void bed_stop(struct bed *bed);

/* Runs the loop until done(arg); false: it did not come to pass. */
bool bed_wait(struct bed *bed, bool (*done)(void *arg), void *arg);
/* Waits for a flag. */
bool bed_wait_flag(struct bed *bed, bool *flag);
/* Runs it for so long, to see that nothing happens. */
void bed_idle(struct bed *bed, int64_t ms);

/* --- one request --- */
struct reply {
    bool done;
    unsigned times;
    struct err err;
    int status;
    int64_t retry_after_s;
    json_t *body; /* freed by bed_stop's caller: json_decref */
};
void bed_on_answer(const struct kube_answer *answer, const struct err *err, void *reply);
/* GET `path` and wait for the answer. */
struct reply bed_get(struct bed *bed, const char *path, int64_t timeout_ms);

#endif
