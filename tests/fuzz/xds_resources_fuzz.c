/* Resources as a control plane sends them: a record that obeys the mesh's rules, or a sentence. A
 * policy that cannot be read leaves one in its place that lets nobody in. */
#include "fuzz.h"
#include "mesh/unreadable.h"
#include "xds/decode.h"

static void read_address(const void *data, size_t len)
{
    struct xds_address address = {0};
    struct err err = {0};
    if (xds_decode_address(data, len, &address, &err) != ERR_OK) {
        CLAIM(err.text[0]);
        return;
    }
    CLAIM(!address.workload != !address.service);
    if (address.workload)
        mesh_workload_unref(address.workload);
    else
        mesh_service_unref(address.service);
}

static void read_policy(const void *data, size_t len)
{
    struct mesh_policy *policy = NULL;
    struct err err = {0};
    if (xds_decode_policy(data, len, &policy, &err) != ERR_OK) {
        CLAIM(err.text[0]);
        CLAIM(xds_decode_unreadable("shop/policy", data, len, "fuzz", &policy, &err) == ERR_OK);
    }
    CLAIM(policy);
    mesh_policy_unref(policy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    struct xds_bundle *bundle = NULL;
    struct err err = {0};
    read_address(data, len);
    read_policy(data, len);
    CLAIM(xds_decode_bundle(data, len, &bundle, &err) == ERR_OK || err.text[0]);
    free(bundle);
    return 0;
}
