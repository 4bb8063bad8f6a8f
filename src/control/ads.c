#include "control/ads.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "xds/encode.h"

/* --- streams ---------------------------------------------------------------------------------- */

struct opening {
    struct authenticator_call question; /* first */
    struct ads *ads;
};

static void on_gone(void *arg)
{
    quota_give(arg, QUOTA_STREAMS);
}

static void on_authenticated(struct authenticator_call *question, enum err_code code,
                             struct err *err)
{
    struct opening *opening = (struct opening *)question;
    struct ads *ads = opening->ads;
    struct rpc_call *call = question->call;
    const struct token_subject subject = question->request.subject;
    struct quota_caller *caller = NULL;
    free(opening);
    if (code == ERR_OK && !ads->xds) {
        rpc_call_finish(call, RPC_UNAVAILABLE, "the control plane ends");
        return;
    }
    if (code == ERR_OK)
        code = ads->admit(call, &subject, err);
    if (code == ERR_OK)
        code = quota_take(ads->quota, QUOTA_STREAMS, subject.ns, subject.service_account, &caller,
                          err);
    if (code != ERR_OK) {
        ads->tally->streams_refused[code]++;
        LOG_LIMITED(LOG_LEVEL_WARN, 20, "stream_refused", F_ERR(err));
        authenticator_refuse(call, err);
        return;
    }
    const struct xds_peer peer = {.namespace = subject.ns,
                                  .service_account = subject.service_account,
                                  .expires_wall_s = subject.expires_s,
                                  .names = &caller->names,
                                  .on_gone = on_gone,
                                  .arg = caller};
    xds_server_open(ads->xds, call, &peer);
}

void ads_open(struct ads *ads, struct rpc_call *call)
{
    struct opening *opening = calloc(1, sizeof *opening);
    if (!opening) {
        rpc_call_finish(call, RPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    opening->ads = ads;
    authenticator_check_call(ads->authenticator, ads->cluster_id, call, &opening->question,
                             on_authenticated);
}

/* --- the mesh --------------------------------------------------------------------------------- */

static enum err_code publish(struct ads *ads, enum xds_type type, struct xds_set *set)
{
    struct err err = {0};
    if (!set)
        err_set(&err, ERR_NO_MEMORY, "no memory for the resources");
    else
        xds_server_publish(ads->xds, type, set, &err);
    if (err.code != ERR_OK)
        LOG_ERROR("publish_failed", F_STR("type", xds_type_name(type)), F_ERR(&err));
    return err.code;
}

static void policies_free(struct compiled_policy **policies, unsigned *count)
{
    for (unsigned i = 0; i < *count; i++)
        xds_resource_unref((*policies)[i].resource);
    free(*policies);
    *policies = NULL;
    *count = 0;
}

static void publish_policies(struct ads *ads)
{
    struct xds_set *set = xds_set_new();
    struct err err;
    for (unsigned i = 0; set && i < ads->published_count; i++) {
        struct xds_resource *resource = xds_resource_ref(ads->published[i].resource);
        if (xds_set_add(set, resource, &err) != ERR_OK) {
            xds_resource_unref(resource);
            xds_set_free(set);
            set = NULL;
        }
    }
    publish(ads, XDS_AUTHORIZATION, set);
}

static const struct compiled_policy *find(const struct map *map, const struct compiled_policy *like)
{
    return map_get_str(map, like->resource->name);
}

static bool index_policies(struct map *map, struct compiled_policy *policies, unsigned count)
{
    map_init(map);
    for (unsigned i = 0; i < count; i++) {
        if (!map_set_str(map, policies[i].resource->name, &policies[i], NULL))
            return false;
    }
    return true;
}

/* What goes out first: everything that is wanted, except where a policy's scope narrows, and what
 * was there before and is not wanted any more. NULL: out of memory. *settled: that is all there is
 * to do. */
static struct compiled_policy *between(struct ads *ads, unsigned *count, bool *settled)
{
    struct map before, after;
    struct compiled_policy *list =
        calloc(ads->published_count + ads->wanted_count + 1, sizeof *list);
    bool indexed = index_policies(&before, ads->published, ads->published_count);
    indexed = index_policies(&after, ads->wanted, ads->wanted_count) && indexed;
    *count = 0;
    *settled = true;
    for (unsigned i = 0; indexed && list && i < ads->wanted_count; i++) {
        const struct compiled_policy *old = find(&before, &ads->wanted[i]);
        bool narrows = old && old->scope < ads->wanted[i].scope;
        list[(*count)++] = narrows ? *old : ads->wanted[i];
        *settled = *settled && !narrows;
    }
    for (unsigned i = 0; indexed && list && i < ads->published_count; i++) {
        if (find(&after, &ads->published[i]))
            continue;
        list[(*count)++] = ads->published[i];
        *settled = false;
    }
    for (unsigned i = 0; list && i < *count; i++)
        xds_resource_ref(list[i].resource);
    map_deinit(&before);
    map_deinit(&after);
    if (!indexed) {
        free(list);
        return NULL;
    }
    return list;
}

static void on_settled(struct timer *timer)
{
    struct ads *ads = (struct ads *)(void *)((char *)timer - offsetof(struct ads, settle));
    policies_free(&ads->published, &ads->published_count);
    ads->published = ads->wanted;
    ads->published_count = ads->wanted_count;
    ads->wanted = NULL;
    ads->wanted_count = 0;
    publish_policies(ads);
}

enum err_code ads_publish(struct ads *ads, struct compiled *compiled)
{
    unsigned count;
    bool settled;
    timer_stop(ads->timers, &ads->settle);
    policies_free(&ads->wanted, &ads->wanted_count);
    ads->wanted = compiled->policies;
    ads->wanted_count = compiled->policy_count;
    compiled->policies = NULL;
    compiled->policy_count = 0;
    struct compiled_policy *list = between(ads, &count, &settled);
    if (list) {
        policies_free(&ads->published, &ads->published_count);
        ads->published = list;
        ads->published_count = count;
        publish_policies(ads);
    }
    enum err_code code = publish(ads, XDS_ADDRESS, compiled->addresses);
    compiled->addresses = NULL;
    quota_expect(ads->quota, &compiled->identities);
    if (!list || settled)
        on_settled(&ads->settle);
    else if (!timer_start(ads->timers, &ads->settle, ADS_SETTLE_MS, on_settled))
        on_settled(&ads->settle);
    return code;
}

enum err_code ads_publish_bundle(struct ads *ads, const char *pem, struct err *err)
{
    const struct xds_trust_domain domain = {.name = "", .pem = pem, .pem_len = strlen(pem)};
    const struct xds_bundle bundle = {&domain, 1};
    struct xds_resource *resource;
    struct xds_set *set = xds_set_new();
    if (!set)
        return err_set(err, ERR_NO_MEMORY, "no memory for the trust bundle");
    enum err_code code = xds_encode_bundle(&bundle, &resource, err);
    if (code == ERR_OK) {
        code = xds_set_add(set, resource, err);
        if (code != ERR_OK)
            xds_resource_unref(resource);
    }
    if (code != ERR_OK) {
        xds_set_free(set);
        return code;
    }
    return xds_server_publish(ads->xds, XDS_SECRET, set, err);
}

void ads_deinit(struct ads *ads)
{
    timer_stop(ads->timers, &ads->settle);
    policies_free(&ads->published, &ads->published_count);
    policies_free(&ads->wanted, &ads->wanted_count);
    ads->xds = NULL;
}
