/* The TLS handshake on a connected socket, with a deadline.
 *
 *   handshake_start -> flights go back and forth -> on_done(ERR_OK); bytes that came behind are in
 *     `early`
 *   the peer closes, resets, sends something else, is not who it should be, or is silent ->
 *     on_done(code, sentence) */
#ifndef RELAY_HANDSHAKE_H
#define RELAY_HANDSHAKE_H

#include "relay/env.h"

struct handshake {
    struct poll_item item;
    struct timer deadline;
    struct relay_env *env;
    struct tls_conn *tls;
    uint8_t *early; /* ciphertext that arrived behind the handshake; malloc'd, whoever ends the
                       handshake takes it */
    size_t early_len;
    uint8_t *unsent; /* private: a flight that did not fit the socket */
    size_t unsent_len, unsent_at;
    int send_sys;  /* private: errno of a send(); the socket does not tell it again */
    bool finished; /* private: only `unsent` is left to do */
    /* ERR_OK or the reason. fd and tls stay the caller's (an alert was sent where there is one to
     * send). The struct may be freed in the callback. */
    void (*on_done)(struct handshake *handshake, enum err_code code, struct err *err);
};

/* Starts on `fd` with `tls`, both borrowed until on_done. An error means that on_done never
 * comes. */
enum err_code handshake_start(struct handshake *handshake, struct relay_env *env, int fd,
                              struct tls_conn *tls, int64_t timeout_ms,
                              void (*on_done)(struct handshake *, enum err_code, struct err *),
                              struct err *err);
/* Gives up; on_done does not come. Frees `early`. */
void handshake_cancel(struct handshake *handshake);

#endif
