#include "loop/mailbox.h"

/* Senders push onto a stack with one compare-and-swap; the loop takes the whole stack with one
 * exchange and turns it round. Nobody pops a single node, so there is no ABA. */
static struct mail *take_all(struct mailbox *mailbox)
{
    struct mail *newest = atomic_exchange_explicit(&mailbox->newest, NULL, memory_order_acquire);
    struct mail *oldest = NULL;
    while (newest) {
        struct mail *next = newest->next;
        newest->next = oldest;
        oldest = newest;
        newest = next;
    }
    return oldest;
}

static void discard_all(struct mailbox *mailbox)
{
    for (struct mail *mail = take_all(mailbox); mail;) {
        struct mail *next = mail->next;
        mail->discard(mail);
        mail = next;
    }
}

static void on_wake(uv_async_t *wake)
{
    struct mailbox *mailbox = wake->data;
    for (struct mail *mail = take_all(mailbox); mail;) {
        struct mail *next = mail->next;
        /* A delivery may close the mailbox; the rest is then discarded. */
        if (atomic_load_explicit(&mailbox->closed, memory_order_relaxed))
            mail->discard(mail);
        else
            mail->deliver(mail, mailbox->owner);
        mail = next;
    }
}

enum err_code mailbox_open(struct mailbox *mailbox, struct loop *loop, void *owner, struct err *err)
{
    atomic_init(&mailbox->newest, NULL);
    atomic_init(&mailbox->closed, false);
    mailbox->owner = owner;
    mailbox->on_closed = NULL;
    int failed = uv_async_init(&loop->uv, &mailbox->wake, on_wake);
    if (failed)
        return err_sys(err, ERR_SYSTEM, failed, "open a mailbox");
    mailbox->wake.data = mailbox;
    return ERR_OK;
}

void mailbox_post(struct mailbox *mailbox, struct mail *mail)
{
    if (atomic_load_explicit(&mailbox->closed, memory_order_acquire)) {
        mail->discard(mail);
        return;
    }
    struct mail *newest = atomic_load_explicit(&mailbox->newest, memory_order_relaxed);
    do
        mail->next = newest;
    while (!atomic_compare_exchange_weak_explicit(&mailbox->newest, &newest, mail,
                                                  memory_order_release, memory_order_relaxed));
    uv_async_send(&mailbox->wake);
}

static void on_wake_closed(uv_handle_t *handle)
{
    struct mailbox *mailbox = handle->data;
    discard_all(mailbox);
    if (mailbox->on_closed)
        mailbox->on_closed(mailbox);
}

void mailbox_close(struct mailbox *mailbox, void (*on_closed)(struct mailbox *))
{
    atomic_store_explicit(&mailbox->closed, true, memory_order_release);
    mailbox->on_closed = on_closed;
    discard_all(mailbox);
    uv_close((uv_handle_t *)&mailbox->wake, on_wake_closed);
}
