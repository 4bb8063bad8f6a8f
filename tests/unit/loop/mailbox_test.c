#include "loop/mailbox.h"

#include <pthread.h>
#include <stdlib.h>

#include "suite.h"

enum { SENDERS = 4, EACH = 20000 };

struct number {
    struct mail mail;
    int sender, value;
};

struct receiver {
    struct loop loop;
    struct mailbox mailbox;
    int next[SENDERS];
    int total, out_of_order;
};

static int discarded;

static void discard_number(struct mail *mail)
{
    __atomic_add_fetch(&discarded, 1, __ATOMIC_RELAXED);
    free(mail);
}

static void deliver_number(struct mail *mail, void *owner)
{
    struct receiver *receiver = owner;
    struct number *number = (struct number *)mail;
    if (number->value != receiver->next[number->sender]++)
        receiver->out_of_order++;
    free(number);
    if (++receiver->total == SENDERS * EACH)
        loop_stop(&receiver->loop);
}

static struct number *number_new(int sender, int value)
{
    struct number *number = malloc(sizeof *number);
    *number = (struct number){.mail = {.deliver = deliver_number, .discard = discard_number},
                              .sender = sender,
                              .value = value};
    return number;
}

struct sender {
    struct receiver *to;
    int id;
};

static void *send_all(void *arg)
{
    struct sender *sender = arg;
    for (int i = 0; i < EACH; i++)
        mailbox_post(&sender->to->mailbox, &number_new(sender->id, i)->mail);
    return NULL;
}

static void mailbox_delivers_all_in_the_order_of_each_sender(void)
{
    static struct receiver receiver;
    CU_ASSERT_EQUAL_FATAL(loop_init(&receiver.loop, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(mailbox_open(&receiver.mailbox, &receiver.loop, &receiver, NULL), ERR_OK);
    pthread_t threads[SENDERS];
    struct sender senders[SENDERS];
    for (int i = 0; i < SENDERS; i++) {
        senders[i] = (struct sender){&receiver, i};
        pthread_create(&threads[i], NULL, send_all, &senders[i]);
    }
    loop_run(&receiver.loop);
    for (int i = 0; i < SENDERS; i++)
        pthread_join(threads[i], NULL);
    CU_ASSERT_EQUAL(receiver.total, SENDERS * EACH);
    CU_ASSERT_EQUAL(receiver.out_of_order, 0);
    mailbox_close(&receiver.mailbox, NULL);
    loop_deinit(&receiver.loop);
}

static void mailbox_discards_what_nobody_will_read(void)
{
    static struct receiver receiver;
    CU_ASSERT_EQUAL_FATAL(loop_init(&receiver.loop, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(mailbox_open(&receiver.mailbox, &receiver.loop, &receiver, NULL), ERR_OK);
    discarded = 0;
    mailbox_post(&receiver.mailbox, &number_new(0, 0)->mail);
    mailbox_post(&receiver.mailbox, &number_new(0, 1)->mail);
    mailbox_close(&receiver.mailbox, NULL);
    mailbox_post(&receiver.mailbox, &number_new(0, 2)->mail);
    loop_deinit(&receiver.loop);
    CU_ASSERT_EQUAL(discarded, 3);
    CU_ASSERT_EQUAL(receiver.total, 0);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(mailbox_delivers_all_in_the_order_of_each_sender),
        SUITE_CASE(mailbox_discards_what_nobody_will_read),
        SUITE_END,
    };
    return suite_main("mailbox", cases, argc, argv);
}
