#include "xds/types.h"

#include <string.h>

static const struct {
    const char *url, *name;
} types[XDS_TYPE_COUNT] = {
    [XDS_ADDRESS] = {"type.googleapis.com/istio.workload.Address", "address"},
    [XDS_AUTHORIZATION] = {"type.googleapis.com/istio.security.Authorization", "authorization"},
    [XDS_SECRET] = {"type.googleapis.com/envoy.extensions.transport_sockets.tls.v3.Secret",
                    "secret"},
};

const char *xds_type_url(enum xds_type type)
{
    return types[type].url;
}

const char *xds_type_name(enum xds_type type)
{
    return types[type].name;
}

bool xds_type_parse(const char *url, enum xds_type *type)
{
    for (int i = 0; i < XDS_TYPE_COUNT; i++) {
        if (strcmp(types[i].url, url) == 0) {
            *type = (enum xds_type)i;
            return true;
        }
    }
    return false;
}
