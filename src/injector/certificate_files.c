#include "injector/certificate_files.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/log.h"

enum { KEY_BYTES_MAX = 16 * 1024 };

static void wipe(char **text, size_t len)
{
    if (*text)
        explicit_bzero(*text, len);
    free(*text);
    *text = NULL;
}

static bool same(const char *a, size_t a_len, const char *b, size_t b_len)
{
    return b && a_len == b_len && memcmp(a, b, a_len) == 0;
}

static enum err_code use(struct certificate_files *files, struct err *err)
{
    struct tls_key *key;
    struct tls_context *context;
    enum err_code code = tls_key_parse_pem(&key, files->key, files->key_len, err);
    if (code != ERR_OK)
        return err_wrap(err, "%s", files->key_path);
    code = tls_context_new_https(&context, key, files->chain, files->chain_len, err);
    tls_key_unref(key);
    if (code != ERR_OK)
        return err_wrap(err, "%s", files->chain_path);
    files->base.on_context(&files->base, context);
    tls_context_unref(context);
    return ERR_OK;
}

/* Reads both files and uses them when they are others than before. */
static enum err_code look(struct certificate_files *files, bool *changed, struct err *err)
{
    char *chain = NULL, *key = NULL;
    size_t chain_len, key_len;
    *changed = false;
    enum err_code code = file_read(files->chain_path, TLS_CHAIN_PEM_MAX, &chain, &chain_len, err);
    if (code != ERR_OK)
        return code;
    code = file_read(files->key_path, KEY_BYTES_MAX, &key, &key_len, err);
    if (code != ERR_OK) {
        free(chain);
        return code;
    }
    *changed = !same(chain, chain_len, files->chain, files->chain_len) ||
               !same(key, key_len, files->key, files->key_len);
    if (!*changed) {
        free(chain);
        wipe(&key, key_len);
        return ERR_OK;
    }
    free(files->chain);
    wipe(&files->key, files->key_len);
    files->chain = chain;
    files->chain_len = chain_len;
    files->key = key;
    files->key_len = key_len;
    return use(files, err);
}

static void on_due(struct timer *timer)
{
    struct certificate_files *files =
        (struct certificate_files *)(void *)((char *)timer -
                                             offsetof(struct certificate_files, timer));
    struct err err = {0};
    bool changed;
    if (look(files, &changed, &err) != ERR_OK)
        LOG_WARN("certificate_not_renewed", F_ERR(&err));
    else if (changed)
        LOG_INFO("certificate_renewed", F_STR("file", files->chain_path));
    timer_start(files->base.env->timers, timer, CERTIFICATE_FILES_MS, on_due);
}

static enum err_code start(struct webhook_certificate *certificate, struct err *err)
{
    struct certificate_files *files = (struct certificate_files *)(void *)certificate;
    bool changed;
    enum err_code code = look(files, &changed, err);
    if (code == ERR_OK &&
        !timer_start(certificate->env->timers, &files->timer, CERTIFICATE_FILES_MS, on_due))
        code = err_set(err, ERR_NO_MEMORY, "no memory for a deadline");
    return code;
}

static void close_files(struct webhook_certificate *certificate)
{
    struct certificate_files *files = (struct certificate_files *)(void *)certificate;
    timer_stop(certificate->env->timers, &files->timer);
    free(files->chain);
    files->chain = NULL;
    wipe(&files->key, files->key_len);
    certificate->on_closed(certificate);
}

void certificate_files_init(struct certificate_files *files, const char *chain_path,
                            const char *key_path)
{
    static const struct webhook_certificate_type type = {start, close_files};
    *files = (struct certificate_files){
        .base.type = &type, .chain_path = chain_path, .key_path = key_path};
}
