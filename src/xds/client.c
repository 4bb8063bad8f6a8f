#include "xds/client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "mesh/builder.h"
#include "xds/delta_client.h"

enum {
    NODE_MAX = 1024,
    FIRST_ANSWER_MS = 30000, /* a server that takes the stream and says nothing is given up */
    CATCH_UP_MS = 5000,
};

struct xds_client {
    struct timers *timers;
    struct xds_client_events events;
    void *arg;
    char *cluster_id;
    struct xds_delta_client *delta;
    struct mesh_snapshot *snapshot;
    struct mesh_builder *changes;  /* since the snapshot; NULL: none */
    struct timer publish;          /* a round of the loop later: a burst makes one snapshot */
    bool published, out_of_memory; /* a change was lost: the stream must start anew */
    struct rpc_call *call;         /* NULL: no stream */
    int64_t catch_up_ms;
    struct timer catch_up;     /* runs from a stream's first message until it is current */
    bool silent;               /* that took too long: what is there goes out */
    struct timer first_answer; /* runs until the stream's first message */
    struct err failure;        /* why we gave the stream up ourselves; code ERR_OK: we did not */
    bool answered, closing;
    void (*on_closed)(void *arg);
    void *closed_arg;
    struct xds_client_stats stats;
};

/* --- the stream's end ----------------------------------------------------------------------- */

/* Gives the stream up for a reason of our own; on_call_end follows. */
static void give_up(struct xds_client *client, enum err_code code, const char *text)
{
    if (client->failure.code == ERR_OK)
        err_set(&client->failure, code, "%s", text);
    if (client->call)
        rpc_call_cancel(client->call, RPC_CANCELLED, text);
}

static void free_client(struct xds_client *client)
{
    void (*on_closed)(void *) = client->on_closed;
    void *arg = client->closed_arg;
    timer_stop(client->timers, &client->publish);
    timer_stop(client->timers, &client->catch_up);
    timer_stop(client->timers, &client->first_answer);
    mesh_builder_free(client->changes);
    mesh_snapshot_unref(client->snapshot);
    xds_delta_client_free(client->delta);
    free(client->cluster_id);
    free(client);
    if (on_closed)
        on_closed(arg);
}

static void on_call_end(struct rpc_call *call, int status, const char *message, void *arg)
{
    struct xds_client *client = arg;
    struct err err = client->failure;
    (void)call;
    client->call = NULL;
    timer_stop(client->timers, &client->catch_up);
    timer_stop(client->timers, &client->first_answer);
    client->stats.connected = false;
    if (client->closing) {
        free_client(client);
        return;
    }
    if (err.code == ERR_OK)
        err_set(&err, status == RPC_UNAVAILABLE ? ERR_RPC_UNAVAILABLE : ERR_RPC_STATUS,
                "the stream ended with %s%s%s", rpc_status_name(status), *message ? ": " : "",
                message);
    client->events.on_end(&err, client->answered, client->arg);
}

/* --- what comes: from the delta protocol into a builder -------------------------------------- */

static struct mesh_builder *changes_of(struct xds_client *client)
{
    if (!client->changes)
        client->changes = mesh_builder_new(client->snapshot);
    return client->changes;
}

/* A lost change cannot be named later, so everything has to be had again. */
static void must(struct xds_client *client, bool done)
{
    if (!done)
        client->out_of_memory = true;
}

static void start_over(struct xds_client *client)
{
    /* What is left of the changes may be all but a policy: not ready, so it is not published. */
    mesh_builder_free(client->changes);
    client->changes = NULL;
    xds_delta_client_forget(client->delta);
    give_up(client, ERR_NO_MEMORY, "out of memory for the mesh");
}

static void on_workload(struct mesh_workload *workload, void *arg)
{
    struct xds_client *client = arg;
    struct mesh_builder *changes = changes_of(client);
    must(client, changes && mesh_builder_put_workload(changes, workload));
}

static void on_service(struct mesh_service *service, void *arg)
{
    struct xds_client *client = arg;
    struct mesh_builder *changes = changes_of(client);
    must(client, changes && mesh_builder_put_service(changes, service));
}

static void on_policy(struct mesh_policy *policy, void *arg)
{
    struct xds_client *client = arg;
    struct mesh_builder *changes = changes_of(client);
    must(client, changes && mesh_builder_put_policy(changes, policy));
}

static void on_unreadable_policy(struct mesh_policy *policy, void *arg)
{
    struct xds_client *client = arg;
    struct mesh_builder *changes = changes_of(client);
    must(client, changes && mesh_builder_put_unreadable(changes, policy));
}

static void on_removed_address(const char *name, void *arg)
{
    struct xds_client *client = arg;
    struct mesh_builder *changes = changes_of(client);
    must(client, changes);
    if (changes)
        mesh_builder_remove_address(changes, name);
}

static void on_removed_policy(const char *key, void *arg)
{
    struct xds_client *client = arg;
    struct mesh_builder *changes = changes_of(client);
    must(client, changes);
    if (changes)
        mesh_builder_remove_policy(changes, key);
}

static void on_bundle(const struct xds_bundle *bundle, void *arg)
{
    struct xds_client *client = arg;
    client->events.on_bundle(bundle, client->arg);
}

static void on_request(void *data, size_t len, void *arg)
{
    struct xds_client *client = arg;
    enum err_code code = client->call ? rpc_call_send_take(client->call, data, len) : ERR_CANCELLED;
    if (code == ERR_OK)
        return;
    free(data);
    give_up(client, code, "the server does not read our answers");
}

static const struct xds_delta_events delta_events = {
    .on_request = on_request,
    .on_workload = on_workload,
    .on_service = on_service,
    .on_policy = on_policy,
    .on_unreadable_policy = on_unreadable_policy,
    .on_removed_address = on_removed_address,
    .on_removed_policy = on_removed_policy,
    .on_bundle = on_bundle,
};

/* --- snapshots ------------------------------------------------------------------------------ */

/* Half an answer must not be in force, not even for a moment, nor what came before we had to give
 * up in the middle of one, nor one type as of now with the other as of the last stream: a workload
 * may name a policy that has changed too. The end of what is missing publishes. */
static bool is_due(const struct xds_client *client)
{
    return client->failure.code == ERR_OK && xds_delta_client_ready(client->delta) &&
           xds_delta_client_settled(client->delta) &&
           (xds_delta_client_current(client->delta) || client->silent) &&
           (client->changes || !client->published);
}

static void on_publish(struct timer *timer)
{
    struct xds_client *client =
        (struct xds_client *)(void *)((char *)timer - offsetof(struct xds_client, publish));
    struct mesh_snapshot *next = NULL;
    struct err err = {0};
    if (!is_due(client))
        return;
    if (client->changes) {
        struct mesh_builder *changes = client->changes;
        client->changes = NULL;
        if (mesh_builder_finish(changes, &next, &err) != ERR_OK) {
            start_over(client);
            return;
        }
        mesh_snapshot_unref(client->snapshot);
        client->snapshot = next;
    }
    client->published = true;
    client->stats.snapshots++;
    client->stats.last_update_wall_ms = clock_wall_ms();
    client->events.on_snapshot(mesh_snapshot_ref(client->snapshot), client->arg);
}

static void publish_if_due(struct xds_client *client)
{
    if (is_due(client) && !client->publish.slot &&
        !timer_start(client->timers, &client->publish, 0, on_publish))
        start_over(client);
}

/* A server need not answer where nothing has changed. */
static void on_catch_up_due(struct timer *timer)
{
    struct xds_client *client =
        (struct xds_client *)(void *)((char *)timer - offsetof(struct xds_client, catch_up));
    client->silent = true;
    if (is_due(client))
        LOG_LIMITED(LOG_LEVEL_INFO, 2, "xds_type_silent", F_INT("waited_ms", client->catch_up_ms));
    publish_if_due(client);
}

static void wait_until_current(struct xds_client *client)
{
    if (xds_delta_client_current(client->delta))
        timer_stop(client->timers, &client->catch_up);
    else if (!client->silent && !client->catch_up.slot &&
             !timer_start(client->timers, &client->catch_up, client->catch_up_ms, on_catch_up_due))
        start_over(client);
}

static void on_first_answer_due(struct timer *timer)
{
    struct xds_client *client =
        (struct xds_client *)(void *)((char *)timer - offsetof(struct xds_client, first_answer));
    give_up(client, ERR_TIMEOUT, "the server took the stream and answered nothing for 30 s");
}

static void copy_counts(struct xds_client *client)
{
    const struct xds_delta_client_counts *counts = xds_delta_client_counts(client->delta);
    struct xds_client_stats *stats = &client->stats;
    stats->messages = counts->responses;
    stats->resources = counts->resources;
    stats->removed = counts->removed;
    stats->rejected = counts->rejected;
    if (stats->nacks != counts->nacks)
        LOG_LIMITED(LOG_LEVEL_WARN, 5, "xds_nack", F_STR("error", counts->last_nack));
    stats->nacks = counts->nacks;
    memcpy(stats->last_nack, counts->last_nack, sizeof stats->last_nack);
}

static void on_message(struct rpc_call *call, const void *data, size_t len, void *arg)
{
    struct xds_client *client = arg;
    struct err err = {0};
    (void)call;
    timer_stop(client->timers, &client->first_answer);
    enum err_code code = xds_delta_client_response(client->delta, data, len, &err);
    copy_counts(client);
    if (code == ERR_XDS_UNKNOWN_TYPE) {
        LOG_LIMITED(LOG_LEVEL_WARN, 5, "xds_unknown_type", F_ERR(&err));
    } else if (code != ERR_OK) {
        client->stats.malformed++;
        give_up(client, code, err.text);
    } else if (!client->answered) {
        client->answered = client->stats.connected = true;
        if (client->events.on_answer)
            client->events.on_answer(client->arg);
    }
    if (client->out_of_memory)
        start_over(client);
    client->stats.ready = xds_delta_client_ready(client->delta);
    wait_until_current(client);
    publish_if_due(client);
}

/* --- begin and end -------------------------------------------------------------------------- */

struct xds_client *xds_client_new(struct timers *timers, const struct xds_client_config *config,
                                  const struct xds_client_events *events, void *arg,
                                  struct err *err)
{
    char id[NODE_MAX];
    int len = snprintf(id, sizeof id, "sidecar~%s~%s.%s~%s.svc.cluster.local", config->pod_ip,
                       config->pod_name, config->namespace, config->namespace);
    if (len < 0 || len >= NODE_MAX) {
        err_set(err, ERR_INVALID,
                "the pod's name and namespace make a node identifier over %d bytes", NODE_MAX);
        return NULL;
    }
    struct xds_client *client = calloc(1, sizeof *client);
    if (client) {
        const struct xds_delta_node node = {
            .id = id, .namespace = config->namespace, .cluster = config->cluster_id};
        client->timers = timers;
        client->events = *events;
        client->arg = arg;
        client->catch_up_ms = config->catch_up_ms ? config->catch_up_ms : CATCH_UP_MS;
        client->cluster_id = strdup(config->cluster_id);
        client->snapshot = mesh_snapshot_new(config->trust_domain);
        client->delta = xds_delta_client_new(&node, &delta_events, client);
        if (client->cluster_id && client->snapshot && client->delta)
            return client;
        free_client(client);
    }
    err_set(err, ERR_NO_MEMORY, "no memory for the control protocol");
    return NULL;
}

void xds_client_close(struct xds_client *client, void (*on_closed)(void *arg), void *arg)
{
    client->closing = true;
    client->on_closed = on_closed;
    client->closed_arg = arg;
    timer_stop(client->timers, &client->publish);
    timer_stop(client->timers, &client->catch_up);
    if (client->call)
        rpc_call_cancel(client->call, RPC_CANCELLED, "the proxy ends");
    else
        free_client(client);
}

enum err_code xds_client_attach(struct xds_client *client, struct rpc_channel *channel,
                                const char *token, struct err *err)
{
    static const struct rpc_call_events events = {.on_message = on_message, .on_end = on_call_end};
    struct err local;
    err = err ? err : &local;
    char *bearer;
    if (client->call)
        return err_set(err, ERR_BUSY, "a stream is on already");
    int len = asprintf(&bearer, "Bearer %s", token);
    if (len < 0)
        return err_set(err, ERR_NO_MEMORY, "no memory for a stream");
    const struct rpc_metadata metadata[] = {
        {"authorization", bearer, (size_t)len},
        {"clusterid", client->cluster_id, strlen(client->cluster_id)},
    };
    client->failure = (struct err){0};
    client->answered = client->out_of_memory = client->silent = false;
    client->call = rpc_call_start(channel, XDS_METHOD_DELTA, metadata, *client->cluster_id ? 2 : 1,
                                  0, &events, client, err);
    explicit_bzero(bearer, (size_t)len);
    free(bearer);
    if (!client->call)
        return err->code;
    client->stats.attached++;
    timer_start(client->timers, &client->first_answer, FIRST_ANSWER_MS, on_first_answer_due);
    struct err why = {0};
    if (xds_delta_client_start(client->delta, &why) != ERR_OK)
        give_up(client, why.code, why.text);
    return ERR_OK;
}

void xds_client_detach(struct xds_client *client)
{
    give_up(client, ERR_CANCELLED, "the stream was given up on request");
}

bool xds_client_ready(const struct xds_client *client)
{
    return client->published;
}

struct mesh_snapshot *xds_client_snapshot(const struct xds_client *client)
{
    return client->snapshot;
}

const struct xds_client_stats *xds_client_stats(const struct xds_client *client)
{
    return &client->stats;
}
