#include "tls/bio.h"

#include <pthread.h>
#include <string.h>

static struct tls_io *lent(BIO *bio)
{
    struct tls_io **slot = BIO_get_data(bio);
    return *slot;
}

static int on_read(BIO *bio, char *out, int size)
{
    struct tls_io *io = lent(bio);
    BIO_clear_retry_flags(bio);
    if (size <= 0)
        return 0;
    if (!io || io->in_len == 0) {
        BIO_set_retry_read(bio);
        return -1;
    }
    size_t n = io->in_len < (size_t)size ? io->in_len : (size_t)size;
    memcpy(out, io->in, n);
    io->in += n;
    io->in_len -= n;
    return (int)n;
}

static int on_write(BIO *bio, const char *bytes, int len)
{
    struct tls_io *io = lent(bio);
    BIO_clear_retry_flags(bio);
    if (len <= 0)
        return 0;
    size_t room = io ? io->out_size - io->out_len : 0;
    if (room == 0) {
        BIO_set_retry_write(bio);
        return -1;
    }
    size_t n = room < (size_t)len ? room : (size_t)len;
    memcpy(io->out + io->out_len, bytes, n);
    io->out_len += n;
    return (int)n;
}

static long on_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio, (void)number, (void)pointer;
    return command == BIO_CTRL_FLUSH; /* BoringSSL flushes at the end of a flight */
}

/* One for the process; it has no state and stays until the end. */
static BIO_METHOD *method;
static pthread_once_t once = PTHREAD_ONCE_INIT;

static void make_method(void)
{
    BIO_METHOD *made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "lent spans");
    if (made && BIO_meth_set_read(made, on_read) && BIO_meth_set_write(made, on_write) &&
        BIO_meth_set_ctrl(made, on_ctrl))
        method = made;
    else
        BIO_meth_free(made);
}

BIO *bio_new(struct tls_io **slot)
{
    pthread_once(&once, make_method);
    BIO *bio = method ? BIO_new(method) : NULL;
    if (!bio)
        return NULL;
    BIO_set_data(bio, slot);
    BIO_set_init(bio, 1);
    return bio;
}
