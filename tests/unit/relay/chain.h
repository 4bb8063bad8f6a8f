/* A chain for the relay tests: two applications with blocking sockets at the ends and, between
 * them, either one plain relay or two relays that speak mutual TLS to each other. All relays run on
 * one loop in a thread of its own; all sockets are real TCP connections over loopback. */
#ifndef CHAIN_H
#define CHAIN_H

#include <pthread.h>
#include <stdbool.h>

#include "loop/mailbox.h"
#include "relay/handshake.h"
#include "relay/relay.h"

/* One relay of the chain; side 0 is its application's. */
struct chain_end {
    struct relay relay;
    struct handshake handshake;
    struct chain *chain;
    int app_fd, wire_fd;
    struct tls_conn *tls;
    bool shaken, ended;
    enum err_code code;
    int failed_side;
};

struct chain {
    struct loop loop;
    struct timers timers;
    struct mailbox mailbox;
    struct relay_env env;
    pthread_t thread;
    pthread_mutex_t mutex; /* guards every `ended`, `shaken`, `code`, `failed_side` */
    pthread_cond_t changed;
    bool tls;
    int relays; /* 1, or 2 under TLS */
    struct chain_end end[2];
    int client,
        server; /* the applications' sockets; the test sets them to -1 when it closes them */
};

/* Builds the chain, handshakes done; aborts the test program when that cannot be done. */
struct chain *chain_new(bool tls);
struct chain *chain_new_with_timeout(bool tls, int user_timeout_ms);
/* Closes what the test left open, aborts the relays that go on, frees. */
void chain_free(struct chain *chain);
/* Waits (20 s at most) until every relay has ended; false when one did not. */
bool chain_wait_ended(struct chain *chain);
/* Runs `work` on the loop thread and waits for it. */
void chain_on_loop(struct chain *chain, void (*work)(struct chain *));

#endif
