/* The resource types of the control protocol. */
#ifndef XDS_TYPES_H
#define XDS_TYPES_H

#include <stdbool.h>

enum xds_type { XDS_ADDRESS, XDS_AUTHORIZATION, XDS_SECRET };
enum { XDS_TYPE_COUNT = 3 };

#define XDS_METHOD_DELTA                                                                           \
    "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
#define XDS_METHOD_CERTIFICATE "/istio.v1.auth.IstioCertificateService/CreateCertificate"

/* The one Secret that we know: the trust bundle. */
#define XDS_ROOTCA "ROOTCA"

/* "type.googleapis.com/istio.workload.Address" and so on; never NULL. */
const char *xds_type_url(enum xds_type type);
/* "address", "authorization", "secret": for metric labels and sentences. */
const char *xds_type_name(enum xds_type type);
/* False, and *type untouched, for a URL that is none of them. */
bool xds_type_parse(const char *url, enum xds_type *type);

#endif
