/* Messages to a loop from any thread. A message is handed over whole: after mailbox_post() the
 * sender does not touch it. Messages of one sender arrive in order. Posting takes no lock and never
 * waits. */
#ifndef MAILBOX_H
#define MAILBOX_H

#include <stdatomic.h>

#include "loop/loop.h"

/* Embed this first in the message. */
struct mail {
    struct mail *next;
    void (*deliver)(struct mail *mail,
                    void *owner); /* on the receiving loop; frees the message or passes it on */
    void (*discard)(struct mail *mail); /* frees a message that nobody will receive any more */
};

struct mailbox {
    _Atomic(struct mail *) newest; /* senders push here; the loop takes all and reverses */
    atomic_bool closed;
    uv_async_t wake;
    void *owner;
    void (*on_closed)(struct mailbox *mailbox);
};

/* Opens a mailbox on `loop` in memory that must not move; `owner` goes to every deliver(). Loop
 * thread, or before the loop runs. ERR_SYSTEM. */
enum err_code mailbox_open(struct mailbox *mailbox, struct loop *loop, void *owner,
                           struct err *err);
/* Any thread that knows that the mailbox has not finished closing. After mailbox_close() messages
 * are discarded. */
void mailbox_post(struct mailbox *mailbox, struct mail *mail);
/* Delivers nothing more, discards what is waiting, then calls on_closed (may be NULL), after which
 * the memory is free. Senders in other threads must have stopped. Loop thread. */
void mailbox_close(struct mailbox *mailbox, void (*on_closed)(struct mailbox *));

#endif
