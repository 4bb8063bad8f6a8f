/* Short ways to write resources, requests and responses down. */
#ifndef KIT_H
#define KIT_H

#include <stdbool.h>

#include "envoy/service/discovery/v3/discovery.pb-c.h"
#include "xds/delta_server.h"
#include "xds/store.h"

#define KIT_NODE "sidecar~10.0.0.1~web-1.shop~shop.svc.cluster.local"

/* A workload resource with this uid; `revision` changes its content. */
struct xds_resource *kit_workload(const char *uid, int revision);
/* With an address and a service that it belongs to; either may be NULL. */
struct xds_resource *kit_workload_at(const char *uid, int revision, const char *ip,
                                     const char *service);
struct xds_resource *kit_service(const char *host, const char *ip);
struct xds_resource *kit_policy(const char *name, bool deny);
struct xds_resource *kit_bundle(const char *pem);
/* A resource of that name whose body is `len` bytes; the short one makes an Address. */
struct xds_resource *kit_blob_of(enum xds_type type, const char *name, const void *body,
                                 size_t len);
struct xds_resource *kit_blob(const char *name, const void *body, size_t len);

/* Publishes exactly these; the list ends with NULL. */
void kit_publish(struct xds_store *store, enum xds_type type, ...);

struct kit_request {
    const char *type_url;       /* NULL = Address */
    const char *node;           /* NULL = KIT_NODE; "" = none */
    const char *subscribe[8];   /* ends with NULL */
    const char *unsubscribe[8]; /* ends with NULL */
    const char *versions[16];   /* name, version, ..., NULL */
    const char *nonce, *error;  /* NULL = none */
};

/* Gives the request to the stream. */
enum err_code kit_send(struct xds_delta_server *stream, const struct kit_request *request);
/* The same for a prepared message. */
enum err_code kit_send_message(struct xds_delta_server *stream,
                               Envoy__Service__Discovery__V3__DeltaDiscoveryRequest *message);

#define KIT_RESPONSE Envoy__Service__Discovery__V3__DeltaDiscoveryResponse

/* The next response, or NULL; kit_free() it. */
KIT_RESPONSE *kit_next(struct xds_delta_server *stream);
void kit_free(KIT_RESPONSE *response);
/* Names of resources, sorted and joined by commas, then removed ones with a minus: "a,b,-c". The
 * text is static. */
const char *kit_text(KIT_RESPONSE *response);
/* kit_next() and its text, acknowledged; "nothing" when there is none. */
const char *kit_step(struct xds_delta_server *stream);

#endif
