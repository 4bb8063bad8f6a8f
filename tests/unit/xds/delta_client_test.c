#include "xds/delta_client.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kit.h"
#include "suite.h"
#include "xds/wire.h"

#define REQUEST Envoy__Service__Discovery__V3__DeltaDiscoveryRequest

enum { REQUESTS_MAX = 64 };

/* A client, the requests that it sent and the events that it gave, as text. */
struct world {
    struct xds_delta_client *client;
    REQUEST *requests[REQUESTS_MAX];
    size_t request_count;
    char events[4096];
    /* of the last policy that could not be read */
    enum mesh_scope scope;
    char guarded[64], why[256];
    bool dry_run;
};

static void note(struct world *world, const char *what, const char *name)
{
    size_t len = strlen(world->events);
    snprintf(world->events + len, sizeof world->events - len, "%s%s%s", len ? " " : "", what, name);
}

static void on_request(void *data, size_t len, void *arg)
{
    struct world *world = arg;
    CU_ASSERT_FATAL(world->request_count < REQUESTS_MAX);
    REQUEST *request =
        envoy__service__discovery__v3__delta_discovery_request__unpack(NULL, len, data);
    CU_ASSERT_PTR_NOT_NULL_FATAL(request);
    world->requests[world->request_count++] = request;
    free(data);
}

static void on_workload(struct mesh_workload *workload, void *arg)
{
    note(arg, "+", workload->uid);
}

static void on_service(struct mesh_service *service, void *arg)
{
    note(arg, "+", service->key);
}

static void on_policy(struct mesh_policy *policy, void *arg)
{
    note(arg, "+policy:", policy->key);
}

static void on_unreadable_policy(struct mesh_policy *policy, void *arg)
{
    struct world *world = arg;
    note(world, "?policy:", policy->key);
    world->scope = policy->scope;
    snprintf(world->guarded, sizeof world->guarded, "%s", policy->namespace);
    snprintf(world->why, sizeof world->why, "%s", policy->unreadable);
    world->dry_run = policy->dry_run;
}

static void on_removed_address(const char *name, void *arg)
{
    note(arg, "-", name);
}

static void on_removed_policy(const char *key, void *arg)
{
    note(arg, "-policy:", key);
}

static void on_bundle(const struct xds_bundle *bundle, void *arg)
{
    note(arg, "bundle:", bundle->domains[0].pem);
}

static void open_world(struct world *world)
{
    static const struct xds_delta_events events = {
        .on_request = on_request,
        .on_workload = on_workload,
        .on_service = on_service,
        .on_policy = on_policy,
        .on_unreadable_policy = on_unreadable_policy,
        .on_removed_address = on_removed_address,
        .on_removed_policy = on_removed_policy,
        .on_bundle = on_bundle,
    };
    const struct xds_delta_node node = {.id = KIT_NODE, .namespace = "shop", .cluster = ""};
    memset(world, 0, sizeof *world);
    world->client = xds_delta_client_new(&node, &events, world);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world->client);
    CU_ASSERT_EQUAL(xds_delta_client_start(world->client, NULL), ERR_OK);
}

static void forget_requests(struct world *world)
{
    for (size_t i = 0; i < world->request_count; i++)
        envoy__service__discovery__v3__delta_discovery_request__free_unpacked(world->requests[i],
                                                                              NULL);
    world->request_count = 0;
    world->events[0] = 0;
}

static void close_world(struct world *world)
{
    forget_requests(world);
    xds_delta_client_free(world->client);
}

/* A response of these resources (which it takes; up to a NULL) and removed names. */
static enum err_code respond(struct world *world, const char *type_url, const char *nonce,
                             const char *version, struct xds_resource *const *resources,
                             const char *const *removed)
{
    Envoy__Service__Discovery__V3__DeltaDiscoveryResponse response =
        ENVOY__SERVICE__DISCOVERY__V3__DELTA_DISCOVERY_RESPONSE__INIT;
    Envoy__Service__Discovery__V3__Resource *list[16];
    response.resources = list;
    for (; resources && resources[response.n_resources]; response.n_resources++) {
        struct xds_resource *resource = resources[response.n_resources];
        list[response.n_resources] = envoy__service__discovery__v3__resource__unpack(
            NULL, resource->wire_len, resource->wire);
        CU_ASSERT_PTR_NOT_NULL_FATAL(list[response.n_resources]);
        xds_resource_unref(resource);
    }
    response.removed_resources = (char **)(uintptr_t)removed;
    while (removed && removed[response.n_removed_resources])
        response.n_removed_resources++;
    response.type_url = (char *)(uintptr_t)type_url;
    response.nonce = (char *)(uintptr_t)nonce;
    response.system_version_info = (char *)(uintptr_t)version;
    void *data;
    size_t len;
    struct err err;
    CU_ASSERT_FATAL(xds_pack(&response.base, &data, &len));
    enum err_code code = xds_delta_client_response(world->client, data, len, &err);
    free(data);
    for (size_t i = 0; i < response.n_resources; i++)
        envoy__service__discovery__v3__resource__free_unpacked(list[i], NULL);
    return code;
}

#define RESOURCES(...)                                                                             \
    (struct xds_resource *const[])                                                                 \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }
#define NAMES(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static const char *address(void)
{
    return xds_type_url(XDS_ADDRESS);
}

static const char *authorization(void)
{
    return xds_type_url(XDS_AUTHORIZATION);
}

/* Sorted "name=version" of a request, version cut to 4. */
static const char *versions_of(const REQUEST *request)
{
    static char text[512];
    text[0] = 0;
    const char *before = "";
    for (size_t i = 0; i < request->n_initial_resource_versions; i++) {
        const char *least = NULL, *version = NULL;
        for (size_t k = 0; k < request->n_initial_resource_versions; k++) {
            const char *name = request->initial_resource_versions[k]->key;
            if (strcmp(name, before) > 0 && (!least || strcmp(name, least) < 0)) {
                least = name;
                version = request->initial_resource_versions[k]->value;
            }
        }
        size_t len = strlen(text);
        snprintf(text + len, sizeof text - len, "%s%s=%.4s", len ? " " : "", least, version);
        before = least;
    }
    return text;
}

static struct xds_resource *with_version(struct xds_resource *resource, const char *version)
{
    Envoy__Service__Discovery__V3__Resource *message =
        envoy__service__discovery__v3__resource__unpack(NULL, resource->wire_len, resource->wire);
    free(message->version);
    message->version = strdup(version);
    struct xds_resource *copy = calloc(1, sizeof *copy + 4096);
    ref_init(&copy->ref);
    copy->wire_len = protobuf_c_message_pack(&message->base, (uint8_t *)(copy + 1));
    copy->wire = (const uint8_t *)(copy + 1);
    envoy__service__discovery__v3__resource__free_unpacked(message, NULL);
    xds_resource_unref(resource);
    return copy;
}

static void client_asks_for_three_types_at_first(void)
{
    struct world world;
    open_world(&world);
    CU_ASSERT_EQUAL_FATAL(world.request_count, 3);
    for (int i = 0; i < 3; i++) {
        CU_ASSERT_STRING_EQUAL(world.requests[i]->node->id, KIT_NODE);
        CU_ASSERT_STRING_EQUAL(world.requests[i]->type_url, xds_type_url((enum xds_type)i));
        CU_ASSERT_EQUAL(world.requests[i]->n_initial_resource_versions, 0);
        CU_ASSERT_STRING_EQUAL(world.requests[i]->response_nonce, "");
    }
    CU_ASSERT_EQUAL(world.requests[0]->n_resource_names_subscribe, 0);
    CU_ASSERT_EQUAL(world.requests[1]->n_resource_names_subscribe, 0);
    CU_ASSERT_EQUAL(world.requests[2]->n_resource_names_subscribe, 1);
    CU_ASSERT_STRING_EQUAL(world.requests[2]->resource_names_subscribe[0], "ROOTCA");
    close_world(&world);
}

static void client_acknowledges_and_is_ready_after_both_first_answers(void)
{
    struct world world;
    open_world(&world);
    forget_requests(&world);
    CU_ASSERT_EQUAL(respond(&world, address(), "n1", "1",
                            RESOURCES(kit_workload("a", 1), kit_service("web", "10.0.0.1")), NULL),
                    ERR_OK);
    CU_ASSERT_STRING_EQUAL(world.events, "+a +shop/web");
    CU_ASSERT_EQUAL_FATAL(world.request_count, 1);
    CU_ASSERT_STRING_EQUAL(world.requests[0]->response_nonce, "n1");
    CU_ASSERT_PTR_NULL(world.requests[0]->error_detail);
    CU_ASSERT_EQUAL(world.requests[0]->n_resource_names_subscribe, 0);
    CU_ASSERT_FALSE(xds_delta_client_ready(world.client));
    CU_ASSERT_EQUAL(respond(&world, authorization(), "n2", "1", NULL, NULL), ERR_OK);
    CU_ASSERT(xds_delta_client_ready(world.client)); /* without a word of ROOTCA */
    CU_ASSERT_EQUAL(
        respond(&world, xds_type_url(XDS_SECRET), "n3", "1", RESOURCES(kit_bundle("PEM")), NULL),
        ERR_OK);
    CU_ASSERT_STRING_EQUAL(world.events, "+a +shop/web bundle:PEM");
    close_world(&world);
}

static void client_waits_for_the_rest_of_a_split_answer(void)
{
    struct world world;
    open_world(&world);
    respond(&world, authorization(), "1", "5", NULL, NULL);
    respond(&world, address(), "2", "5+", RESOURCES(kit_workload("a", 1)), NULL);
    CU_ASSERT_FALSE(xds_delta_client_ready(world.client));
    respond(&world, address(), "3", "5", RESOURCES(kit_workload("b", 1)), NULL);
    CU_ASSERT(xds_delta_client_ready(world.client));
    close_world(&world);
}

static void client_is_current_when_a_stream_has_answered_both(void)
{
    struct world world;
    open_world(&world);
    CU_ASSERT_FALSE(xds_delta_client_current(world.client));
    respond(&world, authorization(), "1", "5", NULL, NULL);
    respond(&world, address(), "2", "5", RESOURCES(kit_workload("a", 1)), NULL);
    CU_ASSERT(xds_delta_client_current(world.client));
    CU_ASSERT_EQUAL(xds_delta_client_start(world.client, NULL), ERR_OK);
    CU_ASSERT_FALSE(xds_delta_client_current(world.client));
    respond(&world, address(), "1", "6", RESOURCES(kit_workload("a", 2)), NULL);
    CU_ASSERT_FALSE(xds_delta_client_current(world.client));
    respond(&world, authorization(), "2", "6+", RESOURCES(kit_policy("p", true)), NULL);
    CU_ASSERT_FALSE(xds_delta_client_current(world.client));
    respond(&world, authorization(), "3", "6", RESOURCES(kit_policy("q", true)), NULL);
    CU_ASSERT(xds_delta_client_current(world.client));
    respond(&world, address(), "4", "7+", RESOURCES(kit_workload("b", 1)), NULL);
    CU_ASSERT(xds_delta_client_current(world.client)); /* settled is another matter */
    CU_ASSERT_FALSE(xds_delta_client_settled(world.client));
    close_world(&world);
}

static void client_refuses_the_bad_and_keeps_the_good_of_one_response(void)
{
    struct world world;
    open_world(&world);
    forget_requests(&world);
    CU_ASSERT_EQUAL(respond(&world, address(), "n", "1",
                            RESOURCES(kit_workload("a", 1), kit_blob("bad", "\xff\xff", 2),
                                      kit_blob("empty", "", 0), kit_workload("b", 1)),
                            NULL),
                    ERR_OK);
    CU_ASSERT_STRING_EQUAL(world.events, "+a +b");
    CU_ASSERT_EQUAL_FATAL(world.request_count, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world.requests[0]->error_detail);
    CU_ASSERT_STRING_EQUAL(world.requests[0]->response_nonce, "n");
    CU_ASSERT_EQUAL(world.requests[0]->error_detail->code, 3);
    CU_ASSERT_PTR_NOT_NULL(strstr(world.requests[0]->error_detail->message, "bad: "));
    const struct xds_delta_client_counts *counts = xds_delta_client_counts(world.client);
    CU_ASSERT_EQUAL(counts->nacks, 1);
    CU_ASSERT_EQUAL(counts->rejected, 2);
    CU_ASSERT_EQUAL(counts->resources, 2);
    CU_ASSERT_PTR_NOT_NULL(strstr(counts->last_nack, "bad"));
    close_world(&world);
}

static void client_states_what_it_holds_when_it_comes_back(void)
{
    struct world world;
    open_world(&world);
    respond(&world, address(), "1", "1",
            RESOURCES(with_version(kit_workload("a", 1), "v1"),
                      with_version(kit_workload("b", 1), "v2"),
                      with_version(kit_workload("c", 1), "v3")),
            NULL);
    respond(&world, address(), "2", "2", RESOURCES(with_version(kit_workload("b", 2), "v4")),
            NAMES("c", "never-held"));
    respond(&world, authorization(), "3", "2", RESOURCES(with_version(kit_policy("p", true), "")),
            NULL);
    respond(&world, xds_type_url(XDS_SECRET), "4", "2",
            RESOURCES(with_version(kit_bundle("PEM"), "v9")), NULL);
    forget_requests(&world);
    CU_ASSERT_EQUAL(xds_delta_client_start(world.client, NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(versions_of(world.requests[0]), "a=v1 b=v4");
    CU_ASSERT_STRING_EQUAL(versions_of(world.requests[1]), "shop/p=");
    CU_ASSERT_STRING_EQUAL(versions_of(world.requests[2]), "ROOTCA=v9");
    CU_ASSERT(xds_delta_client_ready(world.client)); /* a new stream does not take that back */
    close_world(&world);
}

static void client_does_not_claim_versions_that_it_refused(void)
{
    struct world world;
    open_world(&world);
    respond(&world, address(), "1", "1", RESOURCES(with_version(kit_workload("a", 1), "v1")), NULL);
    respond(&world, authorization(), "2", "1", RESOURCES(with_version(kit_policy("p", true), "")),
            NULL);
    /* A later content of `a` and `shop/p` is bad, and so is the first one of `new`. */
    respond(&world, address(), "3", "2",
            RESOURCES(with_version(kit_blob("a", "\xff", 1), "v2"),
                      with_version(kit_blob("new", "\xff", 1), "v2")),
            NULL);
    respond(&world, authorization(), "4", "2",
            RESOURCES(with_version(kit_blob("shop/p", "\xff", 1), "")), NULL);
    forget_requests(&world);
    xds_delta_client_start(world.client, NULL);
    CU_ASSERT_STRING_EQUAL(versions_of(world.requests[0]), "a=v1");
    CU_ASSERT_STRING_EQUAL(versions_of(world.requests[1]), "shop/p=-");
    close_world(&world);
}

/* --- policies that cannot be read --- */

/* Field 8 is nobody's yet. */
#define POLICY_OF_THE_FUTURE "\x0a\x01p\x12\x04shop\x18\x01\x40\x01"

static struct xds_resource *bad_policy(const char *name, const char *body, size_t len)
{
    return with_version(kit_blob_of(XDS_AUTHORIZATION, name, body, len), "");
}

#define BAD_POLICY(name, body) bad_policy(name, body, sizeof(body) - 1)

static void client_gives_a_policy_on_that_it_cannot_read(void)
{
    struct world world;
    open_world(&world);
    forget_requests(&world);
    respond(&world, authorization(), "1", "1",
            RESOURCES(BAD_POLICY("shop/p", POLICY_OF_THE_FUTURE), kit_policy("good", true)), NULL);
    CU_ASSERT_STRING_EQUAL(world.events, "?policy:shop/p +policy:shop/good");
    CU_ASSERT_EQUAL(world.scope, MESH_SCOPE_NAMESPACE);
    CU_ASSERT_STRING_EQUAL(world.guarded, "shop");
    CU_ASSERT_STRING_EQUAL(world.why,
                           "Authorization has field 8, which this proxy does not understand");
    CU_ASSERT_EQUAL_FATAL(world.request_count, 1);
    CU_ASSERT_PTR_NOT_NULL_FATAL(world.requests[0]->error_detail);
    CU_ASSERT_STRING_EQUAL(world.requests[0]->error_detail->message,
                           "shop/p: Authorization has field 8, which this proxy does not "
                           "understand");
    CU_ASSERT(xds_delta_client_settled(world.client));

    /* Of another type, and of another name: nothing that the body says about whom it guards
     * counts in the first case. */
    respond(&world, authorization(), "2", "1",
            RESOURCES(kit_blob("shop/q", POLICY_OF_THE_FUTURE, sizeof POLICY_OF_THE_FUTURE - 1)),
            NULL);
    CU_ASSERT_STRING_EQUAL(world.guarded, "shop");
    CU_ASSERT_PTR_NOT_NULL(strstr(world.why, "the resource is a `"));
    respond(&world, authorization(), "3", "1",
            RESOURCES(BAD_POLICY("shop/r", "\x0a\x01p\x12\x04jobs\x18\x01")), NULL);
    CU_ASSERT_STRING_EQUAL(world.guarded, "jobs");
    CU_ASSERT_PTR_NOT_NULL(strstr(world.why, "its key is jobs/p"));
    close_world(&world);
}

static void client_makes_the_reason_printable(void)
{
    struct world world;
    open_world(&world);
    respond(&world, authorization(), "1", "1",
            RESOURCES(BAD_POLICY("shop/p", "\x0a\x01p\x12\x04\xc3\x0a\x1b.\x18\x01")), NULL);
    CU_ASSERT_STRING_EQUAL(world.events, "?policy:shop/p");
    CU_ASSERT_STRING_EQUAL(world.why, "namespace `?\?\?.` cannot stand in a SPIFFE ID");
    close_world(&world);
}

static void client_lets_the_server_take_back_what_it_could_not_read(void)
{
    struct world world;
    open_world(&world);
    respond(&world, authorization(), "1", "1",
            RESOURCES(BAD_POLICY("shop/p", POLICY_OF_THE_FUTURE),
                      BAD_POLICY("shop/q", POLICY_OF_THE_FUTURE),
                      BAD_POLICY("shop/r", POLICY_OF_THE_FUTURE)),
            NULL);
    respond(&world, authorization(), "2", "2", RESOURCES(with_version(kit_policy("q", true), "")),
            NAMES("shop/r"));
    forget_requests(&world);
    xds_delta_client_start(world.client, NULL);
    CU_ASSERT_STRING_EQUAL(versions_of(world.requests[1]), "shop/p=- shop/q=");
    respond(&world, authorization(), "3", "2", NULL, NAMES("shop/p"));
    CU_ASSERT_STRING_EQUAL(world.events, "-policy:shop/p");
    close_world(&world);
}

static void client_that_lost_something_asks_for_everything_again(void)
{
    struct world world;
    open_world(&world);
    respond(&world, authorization(), "0", "1", NULL, NULL);
    respond(&world, address(), "1", "1", RESOURCES(with_version(kit_workload("a", 1), "v1")), NULL);
    CU_ASSERT(xds_delta_client_ready(world.client));
    xds_delta_client_forget(world.client);
    xds_delta_client_forget(world.client);
    CU_ASSERT_FALSE(xds_delta_client_ready(world.client));
    forget_requests(&world);
    xds_delta_client_start(world.client, NULL);
    CU_ASSERT_STRING_EQUAL(versions_of(world.requests[0]), "a=-");
    respond(&world, address(), "1", "1", RESOURCES(with_version(kit_workload("a", 1), "v1")), NULL);
    CU_ASSERT_FALSE(xds_delta_client_ready(world.client));
    respond(&world, authorization(), "2", "1", NULL, NULL);
    CU_ASSERT(xds_delta_client_ready(world.client));
    forget_requests(&world);
    xds_delta_client_start(world.client, NULL);
    CU_ASSERT_STRING_EQUAL(versions_of(world.requests[0]), "a=v1");
    close_world(&world);
}

static void client_removes_before_it_adds(void)
{
    struct world world;
    open_world(&world);
    respond(&world, address(), "1", "1", RESOURCES(kit_workload("a", 1)), NAMES("a", "b"));
    CU_ASSERT_STRING_EQUAL(world.events, "-a -b +a");
    respond(&world, authorization(), "2", "1", NULL, NAMES("shop/p"));
    CU_ASSERT_STRING_EQUAL(world.events, "-a -b +a -policy:shop/p");
    /* A removed bundle stays. */
    respond(&world, xds_type_url(XDS_SECRET), "3", "1", NULL, NAMES("ROOTCA"));
    CU_ASSERT_STRING_EQUAL(world.events, "-a -b +a -policy:shop/p");
    close_world(&world);
}

static void client_refuses_names_and_types_that_do_not_fit(void)
{
    struct world world;
    open_world(&world);
    struct xds_resource *policy = kit_policy("p", true);
    respond(&world, address(), "1", "1", RESOURCES(policy), NULL);
    CU_ASSERT_EQUAL(xds_delta_client_counts(world.client)->rejected, 1);
    struct xds_resource *workload = kit_workload("a", 1);
    Envoy__Service__Discovery__V3__Resource *message =
        envoy__service__discovery__v3__resource__unpack(NULL, workload->wire_len, workload->wire);
    respond(&world, address(), "2", "1",
            RESOURCES(kit_blob("somebody-else", message->resource->value.data,
                               message->resource->value.len)),
            NULL);
    CU_ASSERT_EQUAL(xds_delta_client_counts(world.client)->rejected, 2);
    CU_ASSERT_PTR_NOT_NULL(
        strstr(xds_delta_client_counts(world.client)->last_nack, "its key is a"));
    CU_ASSERT_STRING_EQUAL(world.events, "");
    envoy__service__discovery__v3__resource__free_unpacked(message, NULL);
    xds_resource_unref(workload);
    close_world(&world);
}

static void client_says_what_it_cannot_read(void)
{
    struct world world;
    open_world(&world);
    struct err err;
    forget_requests(&world);
    CU_ASSERT_EQUAL(xds_delta_client_response(world.client, "\xff\xff\xff", 3, &err),
                    ERR_XDS_MALFORMED);
    CU_ASSERT_EQUAL(respond(&world, "type.googleapis.com/other", "1", "1", NULL, NULL),
                    ERR_XDS_UNKNOWN_TYPE);
    CU_ASSERT_EQUAL(world.request_count, 0);
    CU_ASSERT_FALSE(xds_delta_client_ready(world.client));
    close_world(&world);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(client_asks_for_three_types_at_first),
        SUITE_CASE(client_acknowledges_and_is_ready_after_both_first_answers),
        SUITE_CASE(client_waits_for_the_rest_of_a_split_answer),
        SUITE_CASE(client_is_current_when_a_stream_has_answered_both),
        SUITE_CASE(client_refuses_the_bad_and_keeps_the_good_of_one_response),
        SUITE_CASE(client_states_what_it_holds_when_it_comes_back),
        SUITE_CASE(client_does_not_claim_versions_that_it_refused),
        SUITE_CASE(client_gives_a_policy_on_that_it_cannot_read),
        SUITE_CASE(client_makes_the_reason_printable),
        SUITE_CASE(client_lets_the_server_take_back_what_it_could_not_read),
        SUITE_CASE(client_that_lost_something_asks_for_everything_again),
        SUITE_CASE(client_removes_before_it_adds),
        SUITE_CASE(client_refuses_names_and_types_that_do_not_fit),
        SUITE_CASE(client_says_what_it_cannot_read),
        SUITE_END,
    };
    return suite_main("delta_client", cases, argc, argv);
}
