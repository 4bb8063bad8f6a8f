#include "tls/bio.h"

#include <pthread.h>
#include <string.h>

#include "tls/conn_impl.h"

static int on_read(BIO *bio, char *out, int size)
{
    struct tls_conn *conn = BIO_get_data(bio);
    struct tls_io *io = conn->io;
    BIO_clear_retry_flags(bio);
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

static int on_write(BIO *bio, const char *in, int size)
{
    struct tls_conn *conn = BIO_get_data(bio);
    struct tls_io *io = conn->io;
    BIO_clear_retry_flags(bio);
    size_t room = io ? io->out_size - io->out_len : 0;
    size_t n = room < (size_t)size ? room : (size_t)size;
    if (n == 0) {
        BIO_set_retry_write(bio);
        return -1;
    }
    memcpy(io->out + io->out_len, in, n);
    io->out_len += n;
    return (int)n;
}

static long on_ctrl(BIO *bio, int command, long number, void *pointer)
{
    (void)bio;
    (void)number;
    (void)pointer;
    return command == BIO_CTRL_FLUSH;
}

static int on_create(BIO *bio)
{
    BIO_set_init(bio, 1);
    return 1;
}

static BIO_METHOD *method;

static void make_method(void)
{
    method = BIO_meth_new(0, "lent spans");
    if (method) {
        BIO_meth_set_read(method, on_read);
        BIO_meth_set_write(method, on_write);
        BIO_meth_set_ctrl(method, on_ctrl);
        BIO_meth_set_create(method, on_create);
    }
}

BIO *tls_bio_new(struct tls_conn *conn)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    pthread_once(&once, make_method);
    BIO *bio = method ? BIO_new(method) : NULL;
    if (bio)
        BIO_set_data(bio, conn);
    return bio;
}
