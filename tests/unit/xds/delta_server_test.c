#include "xds/delta_server.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit.h"
#include "suite.h"
#include "xds/wire.h"

struct world {
    struct xds_store store;
    struct xds_server_stats stats;
    struct xds_delta_server *stream;
};

static void open_world(struct world *world, size_t target_bytes)
{
    memset(world, 0, sizeof *world);
    xds_store_init(&world->store);
    world->stream = xds_delta_server_new(&world->store, "shop", target_bytes, &world->stats);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world->stream);
}

static void reopen(struct world *world)
{
    xds_delta_server_free(world->stream);
    world->stream = xds_delta_server_new(&world->store, "shop", 0, &world->stats);
}

static void close_world(struct world *world)
{
    xds_delta_server_free(world->stream);
    xds_store_deinit(&world->store);
}

#define SEND(world, ...) kit_send((world)->stream, &(const struct kit_request){__VA_ARGS__})
#define STEP(world, text) CU_ASSERT_STRING_EQUAL(kit_step((world)->stream), text)
#define ADDRESSES(world, ...) kit_publish(&(world)->store, XDS_ADDRESS, __VA_ARGS__, NULL)

static const char *version_of(struct world *world, const char *name)
{
    return xds_list_find(&world->store.lists[XDS_ADDRESS], name)->resource->version;
}

static void server_sends_everything_to_a_wildcard_then_what_changed(void)
{
    struct world world;
    open_world(&world, 0);
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("b", 1), kit_workload("c", 1));
    STEP(&world, "nothing");
    CU_ASSERT_EQUAL(SEND(&world, .type_url = NULL), ERR_OK);
    STEP(&world, "a,b,c");
    STEP(&world, "nothing");
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("b", 2), kit_workload("d", 1));
    STEP(&world, "b,d,-c");
    STEP(&world, "nothing");
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("b", 2), kit_workload("d", 1));
    STEP(&world, "nothing");
    CU_ASSERT_EQUAL(world.store.generation, 2);
    close_world(&world);
}

static void server_answers_the_first_request_also_with_nothing(void)
{
    struct world world;
    open_world(&world, 0);
    CU_ASSERT_EQUAL(SEND(&world, .type_url = xds_type_url(XDS_AUTHORIZATION)), ERR_OK);
    STEP(&world, "");
    STEP(&world, "nothing");
    close_world(&world);
}

static void server_keeps_one_response_unanswered_and_merges_what_changes(void)
{
    struct world world;
    open_world(&world, 0);
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("b", 1));
    SEND(&world, .type_url = NULL);
    KIT_RESPONSE *first = kit_next(world.stream);
    CU_ASSERT_STRING_EQUAL(kit_text(first), "a,b");
    for (int i = 2; i < 500; i++)
        ADDRESSES(&world, kit_workload("a", i), kit_workload("b", 1));
    ADDRESSES(&world, kit_workload("a", 500), kit_workload("x", 1));
    ADDRESSES(&world, kit_workload("a", 500));
    STEP(&world, "nothing");
    CU_ASSERT_EQUAL(SEND(&world, .nonce = first->nonce), ERR_OK);
    kit_free(first);
    STEP(&world,
         "a,-b"); /* x came and went in between: it was never told, so it is not taken back */
    STEP(&world, "nothing");
    close_world(&world);
}

static void server_sends_nothing_again_when_content_comes_back(void)
{
    struct world world;
    open_world(&world, 0);
    ADDRESSES(&world, kit_workload("a", 1));
    char version[XDS_VERSION_MAX];
    snprintf(version, sizeof version, "%s", version_of(&world, "a"));
    ADDRESSES(&world, kit_workload("a", 2));
    CU_ASSERT_STRING_NOT_EQUAL(version, version_of(&world, "a"));
    ADDRESSES(&world, kit_workload("a", 1));
    CU_ASSERT_STRING_EQUAL(version, version_of(&world, "a"));
    close_world(&world);
}

static void server_takes_a_nack_as_an_answer_and_goes_on(void)
{
    struct world world;
    open_world(&world, 0);
    ADDRESSES(&world, kit_workload("a", 1));
    SEND(&world, .type_url = NULL);
    for (int i = 0; i < 10000; i++) {
        KIT_RESPONSE *response = kit_next(world.stream);
        CU_ASSERT_PTR_NOT_NULL_FATAL(response);
        CU_ASSERT_EQUAL(SEND(&world, .nonce = response->nonce, .error = "I do not like it"),
                        ERR_OK);
        kit_free(response);
        CU_ASSERT_PTR_NULL(kit_next(world.stream));
        ADDRESSES(&world, kit_workload("a", i + 2));
    }
    CU_ASSERT_EQUAL(world.stats.nacks, 10000);
    CU_ASSERT_PTR_NOT_NULL(strstr(world.stats.last_nack, "I do not like it"));
    STEP(&world, "a");
    close_world(&world);
}

static void server_survives_a_nack_as_the_first_message(void)
{
    struct world world;
    open_world(&world, 0);
    ADDRESSES(&world, kit_workload("a", 1));
    CU_ASSERT_EQUAL(SEND(&world, .nonce = "77", .error = "no"), ERR_OK);
    STEP(&world, "a");
    close_world(&world);
}

static void server_ignores_a_stale_nonce_but_not_the_names_beside_it(void)
{
    struct world world;
    open_world(&world, 0);
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("b", 1));
    SEND(&world, .subscribe = {"a"});
    KIT_RESPONSE *response = kit_next(world.stream);
    CU_ASSERT_EQUAL(SEND(&world, .nonce = "no such", .subscribe = {"b"}), ERR_OK);
    CU_ASSERT_PTR_NULL(kit_next(world.stream)); /* the first one is still unanswered */
    CU_ASSERT_EQUAL(SEND(&world, .nonce = response->nonce), ERR_OK);
    kit_free(response);
    STEP(&world, "b");
    close_world(&world);
}

static void server_skips_what_the_client_holds_and_removes_what_is_gone(void)
{
    struct world world;
    open_world(&world, 0);
    ADDRESSES(&world, kit_workload("same", 1), kit_workload("changed", 2), kit_workload("new", 1));
    SEND(&world, .versions = {"same", version_of(&world, "same"), "changed", "0000000000000000",
                              "gone", "1111111111111111"});
    STEP(&world, "changed,new,-gone");
    STEP(&world, "nothing");
    /* What it holds is known: a later removal is told. */
    ADDRESSES(&world, kit_workload("changed", 2));
    STEP(&world, "-new,-same");
    close_world(&world);
}

static void server_resends_a_held_resource_that_changes_before_the_walk_reaches_it(void)
{
    struct world world;
    open_world(&world, 0);
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("b", 1));
    SEND(&world, .versions = {"a", version_of(&world, "a"), "b", version_of(&world, "b")});
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("b", 2));
    STEP(&world, "b");
    close_world(&world);
}

static void server_does_not_remove_what_came_back_before_the_answer(void)
{
    struct world world;
    open_world(&world, 0);
    SEND(&world, .versions = {"a", "1111111111111111"});
    ADDRESSES(&world, kit_workload("a", 1));
    STEP(&world, "a");
    close_world(&world);
}

static void server_answers_names_aliases_and_the_members_of_a_service(void)
{
    struct world world;
    open_world(&world, 0);
    ADDRESSES(&world, kit_workload_at("w1", 1, "10.0.0.1", "shop/web"),
              kit_workload_at("w2", 1, "10.0.0.2", "shop/web"),
              kit_workload_at("w3", 1, "10.0.0.3", NULL), kit_service("web", "10.96.0.1"));
    SEND(&world, .subscribe = {"*"}, .unsubscribe = {"*"}); /* on demand */
    STEP(&world, "");
    SEND(&world, .subscribe = {"/10.0.0.3"});
    STEP(&world, "w3");
    SEND(&world, .subscribe = {"/10.96.0.1"});
    STEP(&world, "shop/web,w1,w2");
    SEND(&world, .subscribe = {"w9", "/10.9.9.9"});
    STEP(&world, "-/10.9.9.9,-w9");
    /* Asking again for what is held is answered again. */
    SEND(&world, .subscribe = {"w3"});
    STEP(&world, "w3");
    STEP(&world, "nothing");
    /* A new member of a service that was asked for by its address; a stranger is not told. */
    ADDRESSES(&world, kit_workload_at("w1", 1, "10.0.0.1", "shop/web"),
              kit_workload_at("w2", 1, "10.0.0.2", NULL),
              kit_workload_at("w4", 1, "10.0.0.4", "shop/web"),
              kit_workload_at("w5", 1, "10.0.0.5", NULL), kit_service("web", "10.96.0.1"));
    STEP(&world, "w2,w4,-w3"); /* w2 left the service, but the client holds it */
    /* An unknown name that appears. */
    ADDRESSES(&world, kit_workload("w9", 1), kit_service("web", "10.96.0.1"));
    STEP(&world, "w9,-w1,-w2,-w4");
    close_world(&world);
}

static void server_forgets_what_is_unsubscribed(void)
{
    struct world world;
    open_world(&world, 0);
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("b", 1));
    SEND(&world, .subscribe = {"a", "b"});
    STEP(&world, "a,b");
    SEND(&world, .unsubscribe = {"a"});
    ADDRESSES(&world, kit_workload("a", 2), kit_workload("b", 2));
    STEP(&world, "b");
    ADDRESSES(&world, NULL);
    STEP(&world, "-b");
    close_world(&world);
}

static void server_goes_from_names_to_wildcard_and_back(void)
{
    struct world world;
    open_world(&world, 0);
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("b", 1), kit_workload("c", 1));
    SEND(&world, .subscribe = {"a"});
    STEP(&world, "a");
    SEND(&world, .subscribe = {"*"});
    STEP(&world, "b,c"); /* a is held already */
    SEND(&world, .unsubscribe = {"*"});
    ADDRESSES(&world, kit_workload("a", 2), kit_workload("b", 2), kit_workload("c", 2));
    STEP(&world, "a");
    SEND(&world, .subscribe = {"*"});
    STEP(&world, "b,c");
    close_world(&world);
}

static void server_keeps_types_apart(void)
{
    struct world world;
    open_world(&world, 0);
    ADDRESSES(&world, kit_workload("a", 1));
    kit_publish(&world.store, XDS_AUTHORIZATION, kit_policy("p", true), NULL);
    kit_publish(&world.store, XDS_SECRET, kit_bundle("PEM"), NULL);
    SEND(&world, .type_url = NULL);
    SEND(&world, .type_url = xds_type_url(XDS_AUTHORIZATION), .node = "");
    SEND(&world, .type_url = xds_type_url(XDS_SECRET), .subscribe = {"ROOTCA"});
    KIT_RESPONSE *responses[3];
    for (int i = 0; i < 3; i++)
        responses[i] = kit_next(world.stream);
    CU_ASSERT_PTR_NULL(kit_next(world.stream));
    CU_ASSERT_STRING_EQUAL(kit_text(responses[0]), "a");
    CU_ASSERT_STRING_EQUAL(kit_text(responses[1]), "shop/p");
    CU_ASSERT_STRING_EQUAL(kit_text(responses[2]), "ROOTCA");
    CU_ASSERT_STRING_EQUAL(responses[2]->type_url, xds_type_url(XDS_SECRET));
    for (int i = 0; i < 3; i++)
        kit_free(responses[i]);
    close_world(&world);
}

static void server_checks_the_node_of_the_first_request(void)
{
    static const char *const bad[] = {
        "",
        "sidecar",
        "sidecar~10.0.0.1~web.shop",
        "sidecar~10.0.0.1~web.shop~shop.svc.cluster.local~more",
        "sidecar~not-an-ip~web.shop~shop.svc.cluster.local",
        "sidecar~10.0.0.1~web.other~other.svc.cluster.local",
        "sidecar~10.0.0.1~web.shop~other.svc.cluster.local",
        "sidecar~10.0.0.1~web.other~shop.svc.cluster.local",
        "sidecar~10.0.0.1~shop~shop.svc.cluster.local",
        "sidecar~10.0.0.1~.shop~shop.svc.cluster.local",
        "sidecar~10.0.0.1~webshop~shop.svc.cluster.local",
        "sidecar~10.0.0.1~web.shop~shop.evil.cluster.local",
        "~10.0.0.1~web.shop~shop.svc.cluster.local",
    };
    static const char *const good[] = {
        KIT_NODE,
        "sidecar~fd00::1~web.v2.shop~shop.svc.cluster.local",
        "ztunnel~10.0.0.1~z.shop~shop.svc.example.org",
    };
    struct world world;
    open_world(&world, 0);
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        enum err_code code = SEND(&world, .node = bad[i]);
        if (code != ERR_XDS_NODE)
            printf("\n    node: %s\n", bad[i]);
        CU_ASSERT_EQUAL(code, ERR_XDS_NODE);
        CU_ASSERT_PTR_NULL(kit_next(world.stream));
    }
    for (size_t i = 0; i < sizeof good / sizeof good[0]; i++) {
        reopen(&world);
        CU_ASSERT_EQUAL(SEND(&world, .node = good[i]), ERR_OK);
        CU_ASSERT_STRING_EQUAL(xds_delta_server_node(world.stream), good[i]);
    }
    close_world(&world);
}

static void server_answers_an_unknown_type_and_ends_whoever_goes_on(void)
{
    static const char url[] = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    struct world world;
    open_world(&world, 0);
    CU_ASSERT_EQUAL(SEND(&world, .type_url = url, .subscribe = {"x", "y"}), ERR_OK);
    KIT_RESPONSE *response = kit_next(world.stream);
    CU_ASSERT_PTR_NOT_NULL_FATAL(response);
    CU_ASSERT_STRING_EQUAL(kit_text(response), "-x,-y");
    CU_ASSERT_STRING_EQUAL(response->type_url, url);
    CU_ASSERT_EQUAL(SEND(&world, .type_url = url, .nonce = response->nonce), ERR_OK);
    kit_free(response);
    STEP(&world, "nothing"); /* an answer is not answered */
    /* Nobody else is harmed. */
    ADDRESSES(&world, kit_workload("a", 1));
    SEND(&world, .type_url = NULL);
    STEP(&world, "a");
    enum err_code code = ERR_OK;
    for (int i = 0; i < XDS_DELTA_UNKNOWN_MAX && code == ERR_OK; i++)
        code = SEND(&world, .type_url = url);
    CU_ASSERT_EQUAL(code, ERR_XDS_UNKNOWN_TYPE);
    close_world(&world);
}

static enum err_code subscribe_many(struct world *world, int count, int len)
{
    Envoy__Service__Discovery__V3__DeltaDiscoveryRequest message =
        ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_REQUEST__INIT;
    Envoy__Config__Core__V3__Node node = ENVOY__CONFIG__CORE__V3__NODE__INIT;
    static char id[] = KIT_NODE;
    node.id = id;
    message.node = &node;
    message.type_url = (char *)(uintptr_t)xds_type_url(XDS_ADDRESS);
    char **names = calloc((size_t)count, sizeof *names);
    for (int i = 0; i < count; i++)
        CU_ASSERT_FATAL(asprintf(&names[i], "%0*d", len, i) == len);
    message.resource_names_subscribe = names;
    message.n_resource_names_subscribe = (size_t)count;
    enum err_code code = kit_send_message(world->stream, &message);
    for (int i = 0; i < count; i++)
        free(names[i]);
    free(names);
    return code;
}

static void server_takes_ten_thousand_names_and_no_more(void)
{
    struct world world;
    open_world(&world, 0);
    CU_ASSERT_EQUAL(subscribe_many(&world, XDS_DELTA_NAMES_MAX, 20), ERR_OK);
    CU_ASSERT_EQUAL(subscribe_many(&world, XDS_DELTA_NAMES_MAX, 20), ERR_OK);
    KIT_RESPONSE *response = kit_next(world.stream);
    CU_ASSERT_EQUAL(response->n_removed_resources, XDS_DELTA_NAMES_MAX);
    kit_free(response);
    CU_ASSERT_EQUAL(SEND(&world, .subscribe = {"one more"}), ERR_TOO_LARGE);
    reopen(&world);
    CU_ASSERT_EQUAL(subscribe_many(&world, 5000, 300), ERR_TOO_LARGE); /* 1.5 MB */
    reopen(&world);
    CU_ASSERT_EQUAL(subscribe_many(&world, 1, 2000), ERR_TOO_LARGE);
    close_world(&world);
}

/* Streams of one identity: what each may remember alone is too much for all of them together. */
static void server_counts_the_names_of_streams_that_share_a_budget(void)
{
    static const char unknown[] = "type.googleapis.com/envoy.config.cluster.v3.Cluster";
    enum { NAME = 2 + XDS_DELTA_NAME_COST };
    struct world one, two;
    struct xds_delta_budget budget = {.max = 6 * NAME};
    open_world(&one, 0);
    open_world(&two, 0);
    xds_delta_server_share(one.stream, &budget);
    xds_delta_server_share(two.stream, &budget);
    ADDRESSES(&one, kit_workload("w1", 1));
    CU_ASSERT_EQUAL(SEND(&one, .subscribe = {"w1", "x1", "w1", "x1"}), ERR_OK);
    CU_ASSERT_EQUAL(budget.used, 3 * NAME); /* two names, and one to be told of */
    STEP(&one, "w1,-x1");
    CU_ASSERT_EQUAL(budget.used, 2 * NAME);
    CU_ASSERT_EQUAL(SEND(&one, .subscribe = {"x1"}), ERR_OK);
    CU_ASSERT_EQUAL(SEND(&one, .unsubscribe = {"x1", "x9"}), ERR_OK);
    CU_ASSERT_EQUAL(budget.used, NAME);
    CU_ASSERT_EQUAL(SEND(&one, .type_url = unknown, .subscribe = {"u1", "u2"}), ERR_OK);
    CU_ASSERT_EQUAL(budget.used, 3 * NAME);
    CU_ASSERT_EQUAL(SEND(&two, .versions = {"g1", "x", "g2", "x", "g3", "x"}), ERR_OK);
    CU_ASSERT_EQUAL(budget.used, 6 * NAME);
    struct err err;
    CU_ASSERT_EQUAL(xds_delta_server_request(two.stream, "\x1a\x02no", 4, &err), ERR_QUOTA);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "remember 492 bytes of names, at most 492"));
    close_world(&one);
    CU_ASSERT_EQUAL(budget.used, 3 * NAME);
    STEP(&two, "-g1,-g2,-g3");
    CU_ASSERT_EQUAL(budget.used, 0);
    CU_ASSERT_EQUAL(SEND(&two, .subscribe = {"a1", "a2", "a3"}), ERR_OK);
    close_world(&two);
    CU_ASSERT_EQUAL(budget.used, 0);
}

static void server_splits_ten_thousand_workloads(void)
{
    struct world world;
    open_world(&world, 0);
    struct xds_set *set = xds_set_new();
    for (int i = 0; i < 10000; i++) {
        char uid[600], ip[32];
        snprintf(uid, sizeof uid, "Kubernetes//Pod/shop/web-%0400d", i);
        snprintf(ip, sizeof ip, "10.0.%d.%d", i >> 8, i & 255);
        xds_set_add(set, kit_workload_at(uid, 1, ip, "shop/web"), NULL);
    }
    bool changed;
    CU_ASSERT_EQUAL(xds_store_update(&world.store, XDS_ADDRESS, set, &changed, NULL), ERR_OK);
    SEND(&world, .type_url = NULL);
    size_t total = 0, responses = 0;
    for (;; responses++) {
        void *data;
        size_t len;
        CU_ASSERT_FATAL(xds_delta_server_next(world.stream, &data, &len, NULL) == ERR_OK);
        if (!data)
            break;
        CU_ASSERT(len <= XDS_DELTA_TARGET_BYTES + 256);
        KIT_RESPONSE *response =
            envoy__service__discovery__v3__delta_discovery_response__unpack(NULL, len, data);
        free(data);
        total += response->n_resources;
        size_t version_len = strlen(response->system_version_info);
        CU_ASSERT_EQUAL(response->system_version_info[version_len - 1] == '+', total < 10000);
        SEND(&world, .nonce = response->nonce);
        kit_free(response);
    }
    CU_ASSERT_EQUAL(total, 10000);
    CU_ASSERT(responses >= 4 && responses <= 8);
    close_world(&world);
}

static void server_sends_one_large_resource_by_itself_and_refuses_a_larger_one(void)
{
    struct world world;
    open_world(&world, 0);
    size_t len = 2900 << 10;
    char *body = calloc(1, 4 << 20);
    ADDRESSES(&world, kit_workload("a", 1), kit_blob("large", body, len), kit_workload("b", 1));
    SEND(&world, .type_url = NULL);
    size_t total = 0;
    for (KIT_RESPONSE *response; (response = kit_next(world.stream)); kit_free(response)) {
        total += response->n_resources;
        CU_ASSERT(response->n_resources == 1 || response->resources[0]->resource->value.len < 1000);
        SEND(&world, .nonce = response->nonce);
    }
    CU_ASSERT_EQUAL(total, 3);
    const struct xds_resource_spec spec = {
        .type_url = "t", .name = "n", .body = body, .body_len = 4 << 20};
    struct xds_resource *resource;
    CU_ASSERT_EQUAL(xds_resource_new(&spec, &resource, NULL), ERR_TOO_LARGE);
    free(body);
    close_world(&world);
}

static void server_ends_a_stream_that_is_too_far_behind(void)
{
    struct world world;
    open_world(&world, 0);
    world.store.tombstones_max = 2;
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("b", 1), kit_workload("c", 1),
              kit_workload("d", 1));
    SEND(&world, .type_url = NULL);
    KIT_RESPONSE *response = kit_next(world.stream);
    ADDRESSES(&world, kit_workload("d", 1));
    SEND(&world, .nonce = response->nonce);
    kit_free(response);
    void *data;
    size_t len;
    struct err err;
    CU_ASSERT_EQUAL(xds_delta_server_next(world.stream, &data, &len, &err), ERR_CANCELLED);
    CU_ASSERT_PTR_NULL(data);
    /* It comes back with what it holds. */
    reopen(&world);
    SEND(&world, .versions = {"a", "x", "b", "x", "c", "x", "d", version_of(&world, "d")});
    STEP(&world, "-a,-b,-c");
    close_world(&world);
}

static void server_drops_tombstones_that_every_stream_has_passed(void)
{
    struct world world;
    open_world(&world, 0);
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("b", 1));
    SEND(&world, .type_url = NULL);
    STEP(&world, "a,b");
    ADDRESSES(&world, kit_workload("a", 1));
    uint64_t place;
    CU_ASSERT(xds_delta_server_place(world.stream, XDS_ADDRESS, &place));
    xds_store_prune(&world.store, XDS_ADDRESS, place);
    CU_ASSERT_EQUAL(world.store.lists[XDS_ADDRESS].tombstones, 1);
    STEP(&world, "-b");
    CU_ASSERT(xds_delta_server_place(world.stream, XDS_ADDRESS, &place));
    xds_store_prune(&world.store, XDS_ADDRESS, place);
    CU_ASSERT_EQUAL(world.store.lists[XDS_ADDRESS].tombstones, 0);
    /* The number of the dropped name goes to another one, which is not mistaken for it. */
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("c", 1));
    STEP(&world, "c");
    close_world(&world);
}

static void server_tells_of_each_lost_name_once_when_it_has_to_split(void)
{
    struct world world;
    open_world(&world, 60); /* bytes: three or four names a response */
    SEND(&world,
         .versions = {"lost-name-0", "x", "lost-name-1", "x", "lost-name-2", "x", "lost-name-3",
                      "x", "lost-name-4", "x", "lost-name-5", "x", "lost-name-6", "x"});
    unsigned told[7] = {0}, responses = 0;
    for (KIT_RESPONSE *response; (response = kit_next(world.stream)); kit_free(response)) {
        for (size_t i = 0; i < response->n_removed_resources; i++)
            told[response->removed_resources[i][10] - '0']++;
        SEND(&world, .nonce = response->nonce);
        CU_ASSERT_FATAL(++responses < 10);
    }
    for (int i = 0; i < 7; i++)
        CU_ASSERT_EQUAL(told[i], 1);
    CU_ASSERT(responses > 1);
    close_world(&world);
}

static void server_is_not_confused_by_a_wildcard_that_is_given_up_half_way(void)
{
    struct world world;
    open_world(&world, 60); /* one resource a response */
    ADDRESSES(&world, kit_workload("a", 1));
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("b", 1));
    SEND(&world, .versions = {"b", version_of(&world, "b")});
    KIT_RESPONSE *response = kit_next(world.stream);
    CU_ASSERT_STRING_EQUAL(kit_text(response), "a");
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("b", 1), kit_workload("c", 1));
    SEND(&world, .unsubscribe = {"*"});
    ADDRESSES(&world, kit_workload("a", 1), kit_workload("b", 2), kit_workload("c", 1));
    SEND(&world, .subscribe = {"*"}, .nonce = response->nonce);
    kit_free(response);
    bool b_came = false;
    for (const char *text; strcmp(text = kit_step(world.stream), "nothing") != 0;)
        b_came = b_came || strstr(text, "b");
    CU_ASSERT(b_came);
    close_world(&world);
}

static void server_refuses_what_is_not_protobuf(void)
{
    struct world world;
    open_world(&world, 0);
    struct err err;
    CU_ASSERT_EQUAL(xds_delta_server_request(world.stream, "\xff\xff\xff\xff", 4, &err),
                    ERR_XDS_MALFORMED);
    CU_ASSERT_EQUAL(xds_delta_server_request(world.stream, "\x0a\x7fgarbage", 9, &err),
                    ERR_XDS_MALFORMED);
    /* 4 MiB of empty names would take 128 MiB. */
    size_t len = 4 << 20;
    char *flood = malloc(len);
    for (size_t i = 0; i + 1 < len; i += 2) {
        flood[i] = 0x1a;
        flood[i + 1] = 0;
    }
    CU_ASSERT_EQUAL(xds_delta_server_request(world.stream, flood, len, &err), ERR_TOO_LARGE);
    free(flood);
    close_world(&world);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(server_sends_everything_to_a_wildcard_then_what_changed),
        SUITE_CASE(server_answers_the_first_request_also_with_nothing),
        SUITE_CASE(server_keeps_one_response_unanswered_and_merges_what_changes),
        SUITE_CASE(server_sends_nothing_again_when_content_comes_back),
        SUITE_CASE(server_takes_a_nack_as_an_answer_and_goes_on),
        SUITE_CASE(server_survives_a_nack_as_the_first_message),
        SUITE_CASE(server_ignores_a_stale_nonce_but_not_the_names_beside_it),
        SUITE_CASE(server_skips_what_the_client_holds_and_removes_what_is_gone),
        SUITE_CASE(server_resends_a_held_resource_that_changes_before_the_walk_reaches_it),
        SUITE_CASE(server_does_not_remove_what_came_back_before_the_answer),
        SUITE_CASE(server_answers_names_aliases_and_the_members_of_a_service),
        SUITE_CASE(server_forgets_what_is_unsubscribed),
        SUITE_CASE(server_goes_from_names_to_wildcard_and_back),
        SUITE_CASE(server_keeps_types_apart),
        SUITE_CASE(server_checks_the_node_of_the_first_request),
        SUITE_CASE(server_answers_an_unknown_type_and_ends_whoever_goes_on),
        SUITE_CASE(server_takes_ten_thousand_names_and_no_more),
        SUITE_CASE(server_counts_the_names_of_streams_that_share_a_budget),
        SUITE_CASE(server_splits_ten_thousand_workloads),
        SUITE_CASE(server_sends_one_large_resource_by_itself_and_refuses_a_larger_one),
        SUITE_CASE(server_ends_a_stream_that_is_too_far_behind),
        SUITE_CASE(server_drops_tombstones_that_every_stream_has_passed),
        SUITE_CASE(server_tells_of_each_lost_name_once_when_it_has_to_split),
        SUITE_CASE(server_is_not_confused_by_a_wildcard_that_is_given_up_half_way),
        SUITE_CASE(server_refuses_what_is_not_protobuf),
        SUITE_END,
    };
    return suite_main("delta_server", cases, argc, argv);
}
