#include "control/kube_plane.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"

enum { RENEWAL_MS = 60000, OWNER_RETRY_MS = 1000 };

#define PLANE_OF(pointer, member)                                                                  \
    ((struct kube_plane *)(void *)((char *)(pointer)-offsetof(struct kube_plane, member)))

/* --- the authority --------------------------------------------------------------------------- */

static void on_authority_changed(struct kube_authority *authority)
{
    struct kube_plane *plane = PLANE_OF(authority, authority);
    struct err err = {0};
    if (plane->serving &&
        (kube_trust_set(&plane->trust, ca_root_pem(plane->state->ca), &err) != ERR_OK ||
         ads_publish_bundle(plane->ads, ca_root_pem(plane->state->ca), &err) != ERR_OK))
        LOG_ERROR("trust_not_published", F_ERR(&err));
    if (plane->serving)
        kube_webhook_check(&plane->webhook);
    plane->on_authority(plane);
}

static void on_renewal(struct timer *timer)
{
    struct kube_plane *plane = PLANE_OF(timer, renewal);
    if (plane->keeper.leading)
        kube_authority_renew(&plane->authority);
    timer_start(plane->env->timers, timer, RENEWAL_MS, on_renewal);
}

static void on_owner(const struct kube_answer *answer, const struct err *reason, void *arg);

static void ask_owner(struct timer *timer)
{
    struct kube_plane *plane = PLANE_OF(timer, retry);
    struct err err = {0};
    plane->owner_call = kube_request(plane->client, "GET", KEEPER_OWNER_PATH, NULL, NULL,
                                     KEEPER_CALL_MS, on_owner, plane, &err);
    if (!plane->owner_call)
        timer_start(plane->env->timers, &plane->retry, OWNER_RETRY_MS, ask_owner);
}

/* Owner first, so that whatever is made belongs to it. */
static void on_owner(const struct kube_answer *answer, const struct err *reason, void *arg)
{
    struct kube_plane *plane = arg;
    struct err err = {0};
    plane->owner_call = NULL;
    if (reason->code != ERR_OK)
        err = *reason;
    else if (answer->status == 429 || answer->status >= 500)
        err_set(&err, ERR_RPC_STATUS, "the API server answered %d", answer->status);
    if (err.code != ERR_OK) {
        LOG_LIMITED(LOG_LEVEL_WARN, 2, "api_server", F_ERR(&err));
        timer_start(plane->env->timers, &plane->retry, OWNER_RETRY_MS, ask_owner);
        return;
    }
    kube_keeper_set_owner(&plane->keeper, answer);
    if (kube_authority_start(&plane->authority, &err) != ERR_OK)
        LOG_ERROR("authority_not_followed", F_ERR(&err));
}

/* --- the mesh -------------------------------------------------------------------------------- */

static enum err_code on_compiled(struct compiled *compiled, void *arg)
{
    struct kube_plane *plane = arg;
    return ads_publish(plane->ads, compiled);
}

static void on_verdict(const struct cluster_verdict *verdict, void *arg)
{
    struct kube_plane *plane = arg;
    kube_status_verdict(&plane->status, verdict);
}

static bool pod_exists(void *arg, const char *ns, const char *name, const char *uid)
{
    struct kube_plane *plane = arg;
    return kube_source_has_pod(&plane->source, ns, name, uid);
}

static void on_leading(struct kube_lease *lease)
{
    struct kube_plane *plane = PLANE_OF(lease, lease);
    kube_trust_check(&plane->trust);
    kube_webhook_check(&plane->webhook);
    kube_status_check(&plane->status);
}

/* --- begin ----------------------------------------------------------------------------------- */

static enum err_code find_cluster(struct kube_plane *plane, struct err *err)
{
    const char *file = plane->config->kubeconfig;
    enum err_code code = file ? kube_config_file(&plane->access, file, NULL, err)
                              : kube_config_in_cluster(&plane->access, err);
    if (code != ERR_OK)
        return code;
    plane->ns = strdup(plane->config->ns ? plane->config->ns : plane->access.namespace);
    const char *pod = getenv("POD_NAME");
    if (pod && *pod)
        snprintf(plane->holder, sizeof plane->holder, "%s", pod);
    else if (gethostname(plane->holder, sizeof plane->holder) == 0)
        plane->holder[sizeof plane->holder - 1] = 0;
    return plane->ns ? ERR_OK : err_set(err, ERR_NO_MEMORY, "no memory for a name");
}

enum err_code kube_plane_start(struct kube_plane *plane, struct err *err)
{
    const struct config *config = plane->config;
    enum err_code code = find_cluster(plane, err);
    if (code == ERR_OK)
        code = kube_client_new(&plane->client, plane->env, &plane->access, err);
    if (code != ERR_OK)
        return err_wrap(err, "the cluster's API server");
    struct timers *timers = plane->env->timers;
    plane->keeper = (struct kube_keeper){.client = plane->client, .ns = plane->ns};
    plane->authority =
        (struct kube_authority){.keeper = &plane->keeper,
                                .timers = timers,
                                .secret = config->ca_secret ? config->ca_secret : "handfast-ca",
                                .foreign = config->ca_secret != NULL,
                                .state = plane->state,
                                .on_changed = on_authority_changed};
    plane->reviews = (struct kube_reviews){.client = plane->client,
                                           .audience = config->audience,
                                           .pod_exists = pod_exists,
                                           .arg = plane};
    plane->lease = (struct kube_lease){.keeper = &plane->keeper,
                                       .timers = timers,
                                       .name = "handfast-control",
                                       .holder = plane->holder,
                                       .on_leading = on_leading};
    plane->trust = (struct kube_trust){.keeper = &plane->keeper, .timers = timers};
    plane->webhook = (struct kube_webhook){.keeper = &plane->keeper,
                                           .timers = timers,
                                           .state = plane->state,
                                           .dns_name = config->injector_dns_name};
    plane->status = (struct kube_status){.keeper = &plane->keeper, .timers = timers};
    kube_reviews_init(&plane->reviews);
    kube_status_init(&plane->status);
    plane->owner_call = kube_request(plane->client, "GET", KEEPER_OWNER_PATH, NULL, NULL,
                                     KEEPER_CALL_MS, on_owner, plane, err);
    return plane->owner_call ? ERR_OK : err->code;
}

enum err_code kube_plane_serve(struct kube_plane *plane, struct err *err)
{
    static const struct cluster_events events = {.on_compiled = on_compiled,
                                                 .on_verdict = on_verdict};
    const struct config *config = plane->config;
    const struct cluster_config settings = {
        .cluster_id = config->cluster_id,
        .trust_domain = config->trust_domain,
        .root_namespace = plane->ns,
        .istio_root_namespace = config->istio_policies ? "istio-system" : NULL,
    };
    plane->serving = true;
    cluster_init(&plane->cluster, &settings, plane->env->timers, plane->tally, &events, plane);
    plane->source = (struct kube_source){
        .client = plane->client, .cluster = &plane->cluster, .status = &plane->status};
    enum err_code code = kube_source_start(&plane->source, config->istio_policies, err);
    if (code == ERR_OK)
        code = kube_trust_start(&plane->trust, err);
    if (code == ERR_OK)
        code = kube_trust_set(&plane->trust, ca_root_pem(plane->state->ca), err);
    if (code == ERR_OK)
        code = kube_webhook_start(&plane->webhook, err);
    if (code != ERR_OK)
        return code;
    kube_lease_start(&plane->lease);
    timer_start(plane->env->timers, &plane->renewal, RENEWAL_MS, on_renewal);
    return ERR_OK;
}

bool kube_plane_is_ready(const struct kube_plane *plane)
{
    return plane->serving && cluster_is_published(&plane->cluster);
}

/* --- end ------------------------------------------------------------------------------------- */

static void on_client_closed(void *arg)
{
    struct kube_plane *plane = arg;
    kube_keeper_deinit(&plane->keeper);
    kube_config_deinit(&plane->access);
    free(plane->ns);
    plane->ns = NULL;
    plane->client = NULL;
    plane->on_closed(plane);
}

static void on_lease_closed(struct kube_lease *lease)
{
    struct kube_plane *plane = PLANE_OF(lease, lease);
    kube_client_close(plane->client, on_client_closed, plane);
}

void kube_plane_close(struct kube_plane *plane, void (*on_closed)(struct kube_plane *plane))
{
    plane->on_closed = on_closed;
    timer_stop(plane->env->timers, &plane->renewal);
    timer_stop(plane->env->timers, &plane->retry);
    if (plane->owner_call)
        kube_call_cancel(plane->owner_call);
    plane->owner_call = NULL;
    kube_reviews_deinit(&plane->reviews);
    if (plane->serving) {
        kube_source_close(&plane->source);
        cluster_deinit(&plane->cluster);
        kube_trust_close(&plane->trust);
        kube_webhook_close(&plane->webhook);
    }
    kube_status_deinit(&plane->status);
    kube_authority_close(&plane->authority);
    kube_lease_close(&plane->lease, on_lease_closed);
}
