#include "proxy/news.h"

#include <stdio.h>
#include <string.h>

#include "base/log.h"
#include "proxy/policy.h"

/* --- the policies that guard this pod --------------------------------------------------------- */

struct guards {
    const struct mesh_snapshot *snapshot;
    struct mesh_policies global, namespace;
    const struct mesh_workload *own; /* names the others; NULL when it has not arrived */
    unsigned count;
};

static struct guards find_guards(const struct config *config, const struct view *view)
{
    struct guards guards = {.snapshot = view->snapshot,
                            .global = mesh_global_policies(view->snapshot),
                            .namespace = mesh_namespace_policies(view->snapshot, config->ns)};
    for (unsigned i = 0; i < config->pod_ip_count && !guards.own; i++)
        guards.own = policy_own_workload(config, view, &config->pod_ips[i]);
    guards.count = guards.global.count + guards.namespace.count;
    guards.count += guards.own ? guards.own->policy_count : 0;
    return guards;
}

/* Guard number `at`, and its key; NULL for one that is named and has not arrived. */
static const struct mesh_policy *guard_at(const struct guards *guards, unsigned at,
                                          const char **key)
{
    const struct mesh_policy *policy;
    if (at < guards->global.count) {
        policy = guards->global.items[at];
    } else if ((at -= guards->global.count) < guards->namespace.count) {
        policy = guards->namespace.items[at];
    } else {
        *key = guards->own->policies[at - guards->namespace.count];
        return mesh_find_policy(guards->snapshot, *key);
    }
    *key = policy->key;
    return policy;
}

/* Records are shared between snapshots as long as they do not change, so pointers tell. */
static bool same_guards(const struct guards *a, const struct guards *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++) {
        const char *key_a, *key_b;
        if (guard_at(a, i, &key_a) != guard_at(b, i, &key_b) || strcmp(key_a, key_b) != 0)
            return false;
    }
    return true;
}

/* "/strict, shop/p, shop/q (not here)", cut with " ..."; "" for none. */
static const char *name_guards(const struct guards *guards, char text[NEWS_NAMES_MAX])
{
    static const char cut[] = " ...";
    size_t used = 0;
    text[0] = 0;
    for (unsigned i = 0; i < guards->count; i++) {
        const char *key;
        bool here = guard_at(guards, i, &key);
        size_t room = NEWS_NAMES_MAX - sizeof cut - used;
        int len =
            snprintf(text + used, room, "%s%s%s", i ? ", " : "", key, here ? "" : " (not here)");
        if ((size_t)len >= room) {
            memcpy(text + used, cut, sizeof cut);
            break;
        }
        used += (size_t)len;
    }
    return text;
}

static void tell_configuration(const struct news *news, const struct view *view)
{
    char names[NEWS_NAMES_MAX];
    const struct mesh_snapshot *snapshot = view->snapshot;
    struct guards now = find_guards(news->config, view);
    if (!news->view) {
        LOG_INFO("configuration", F_INT("generation", mesh_snapshot_generation(snapshot)),
                 F_INT("workloads", mesh_workload_count(snapshot)),
                 F_INT("services", mesh_service_count(snapshot)),
                 F_INT("policies", mesh_policy_count(snapshot)), F_INT("own_policies", now.count),
                 F_STR("names", now.count ? name_guards(&now, names) : NULL));
        return;
    }
    struct guards before = find_guards(news->config, news->view);
    if (!same_guards(&before, &now))
        LOG_LIMITED(LOG_LEVEL_INFO, 2, "policies_changed",
                    F_INT("generation", mesh_snapshot_generation(snapshot)),
                    F_INT("own_policies", now.count),
                    F_STR("names", now.count ? name_guards(&now, names) : NULL));
}

/* --- the addresses of this pod ---------------------------------------------------------------- */

bool news_knows_address(const struct config *config, const struct view *view, unsigned at,
                        struct err *err)
{
    const struct addr *ip = &config->pod_ips[at];
    char text[ADDR_TEXT_MAX];
    if (!view || !view->complete || policy_own_workload(config, view, ip))
        return true;
    const struct mesh_workload *other = mesh_find_workload_at(view->snapshot, ip);
    addr_format(ip, text);
    if (other)
        err_set(err, ERR_CONN_UNKNOWN_WORKLOAD,
                "the address %s (--pod-ip) belongs to %.100s/%.100s, not to this pod, "
                "%.100s/%.100s: connections to it are refused",
                text, other->namespace, other->name, config->ns, config->pod_name);
    else
        err_set(err, ERR_CONN_UNKNOWN_WORKLOAD,
                "no record of this pod, %.100s/%.100s, has the address %s (--pod-ip): connections "
                "to it are refused",
                config->ns, config->pod_name, text);
    return false;
}

static void on_grace(struct timer *timer)
{
    struct news *news = (struct news *)((char *)timer - offsetof(struct news, grace));
    for (unsigned i = 0; i < news->config->pod_ip_count; i++) {
        struct err err;
        if (news->warned[i] || news_knows_address(news->config, news->view, i, &err))
            continue;
        news->warned[i] = true;
        LOG_WARN("pod_address_unknown", F_ERR(&err));
    }
}

static void watch_addresses(struct news *news)
{
    struct err err;
    for (unsigned i = 0; i < news->config->pod_ip_count && !news->grace.slot; i++) {
        if (!news->warned[i] && !news_knows_address(news->config, news->view, i, &err))
            timer_start(news->timers, &news->grace, news->grace_ms, on_grace);
    }
}

/* --- both ------------------------------------------------------------------------------------- */

void news_view(struct news *news, struct view *view)
{
    if (!view->complete || (news->view && news->view->snapshot == view->snapshot))
        return;
    tell_configuration(news, view);
    view_ref(view);
    view_unref(news->view);
    news->view = view;
    watch_addresses(news);
}

void news_close(struct news *news)
{
    timer_stop(news->timers, &news->grace);
    view_unref(news->view);
    news->view = NULL;
}
