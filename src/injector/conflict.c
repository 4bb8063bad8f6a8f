#include "injector/conflict.h"

#include <string.h>

#include "injector/sidecar.h"
#include "injector/value.h"

enum { NAME_SHOWN = 80 };

/* The user or group, whichever of an object's securityContext is the proxy's; NULL: neither. */
static const char *proxy_identity(json_t *security_context)
{
    static const char *const keys[] = {"runAsUser", "runAsGroup"};
    for (int i = 0; i < 2; i++) {
        json_t *id = json_object_get(security_context, keys[i]);
        if (json_is_number(id) && json_number_value(id) == SIDECAR_UID)
            return keys[i];
    }
    return NULL;
}

static enum err_code check_pod_identity(const struct pod *pod, struct err *err)
{
    const char *key = proxy_identity(pod->security_context);
    if (!key)
        return ERR_OK;
    return err_set(err, ERR_INVALID,
                   "securityContext.%s of the pod is %d, which is the proxy's: what runs as it is "
                   "not captured; choose another number",
                   key, SIDECAR_UID);
}

static enum err_code check_container_identity(const struct pod_container *container,
                                              struct err *err)
{
    char shown[NAME_SHOWN];
    const char *key = proxy_identity(json_object_get(container->container, "securityContext"));
    if (!key)
        return ERR_OK;
    return err_set(
        err, ERR_INVALID,
        "securityContext.%s of the container '%s' is %d, which is the proxy's: what runs "
        "as it is not captured; choose another number",
        key, value_printable(container->name, shown, sizeof shown), SIDECAR_UID);
}

static enum err_code check_name(const struct pod_container *container, struct err *err)
{
    if (strcmp(container->name, SIDECAR_PROXY) != 0 &&
        strcmp(container->name, SIDECAR_REDIRECT) != 0)
        return ERR_OK;
    return err_set(err, ERR_INVALID,
                   "the pod has a container '%s' that was not put there by Handfast (there is no "
                   "annotation " CHOICE_STATUS "): give it another name",
                   container->name);
}

static enum err_code check_ports(const struct pod_container *container, struct err *err)
{
    size_t index;
    json_t *port;
    json_array_foreach(json_object_get(container->container, "ports"), index, port)
    {
        char shown[NAME_SHOWN];
        json_int_t number = json_integer_value(json_object_get(port, "containerPort"));
        const char *protocol = pod_text(port, "protocol");
        if (!sidecar_owns_port(number) || (protocol && strcmp(protocol, "TCP") != 0))
            continue;
        return err_set(err, ERR_INVALID,
                       "the container '%s' has the port %d, which is the proxy's: 15001, 15006, "
                       "15020 and 15021 are taken in a pod of the mesh",
                       value_printable(container->name, shown, sizeof shown), (int)number);
    }
    return ERR_OK;
}

static enum err_code check_volumes(const struct pod *pod, struct err *err)
{
    size_t index;
    json_t *volume;
    json_array_foreach(pod->volumes, index, volume)
    {
        const char *name = pod_text(volume, "name");
        if (strcmp(name, SIDECAR_RUN) == 0 || strcmp(name, SIDECAR_TOKEN) == 0 ||
            strcmp(name, SIDECAR_TRUST) == 0)
            return err_set(err, ERR_INVALID,
                           "the pod has a volume '%s' that was not put there by Handfast: give it "
                           "another name",
                           name);
    }
    return ERR_OK;
}

enum err_code conflict_check(const struct pod *pod, struct err *err)
{
    struct pod_container container;
    if (check_pod_identity(pod, err) != ERR_OK || check_volumes(pod, err) != ERR_OK)
        return ERR_INVALID;
    for (size_t i = 0; pod_container_at(pod, i, &container); i++) {
        if (check_container_identity(&container, err) != ERR_OK ||
            check_name(&container, err) != ERR_OK || check_ports(&container, err) != ERR_OK)
            return ERR_INVALID;
    }
    return ERR_OK;
}
