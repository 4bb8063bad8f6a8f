/* Where the webhook's certificate comes from: the seam between the server and whoever issues it.
 * Loop thread.
 *
 * A provider embeds struct webhook_certificate. Started, it calls on_context with a server context
 * (tls_context_new_https) as soon as it has one, which may be inside start, and again whenever
 * there is a newer one; until the first, the server refuses connections. Closed, it calls on_closed
 * once, inside close or later, and on_context no more. */
#ifndef INJECTOR_CERTIFICATE_H
#define INJECTOR_CERTIFICATE_H

#include "relay/env.h"
#include "tls/context.h"

struct webhook_certificate;

struct webhook_certificate_type {
    /* An error is final: the program ends with the sentence. */
    enum err_code (*start)(struct webhook_certificate *certificate, struct err *err);
    void (*close)(struct webhook_certificate *certificate);
};

struct webhook_certificate {
    const struct webhook_certificate_type *type; /* set by the provider's init */
    /* set by the server before start */
    struct relay_env *env;
    void *owner;
    void (*on_context)(struct webhook_certificate *certificate, struct tls_context *context);
    void (*on_closed)(struct webhook_certificate *certificate);
};

#endif
