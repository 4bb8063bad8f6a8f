#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "istio/security/authorization.pb-c.h"
#include "istio/workload/workload.pb-c.h"
#include "kit.h"
#include "suite.h"
#include "xds/decode.h"
#include "xds/encode.h"
#include "xds/wire.h"

/* The encoded body inside a resource; freed with free_body(). */
static Envoy__Service__Discovery__V3__Resource *open_body(const struct xds_resource *resource)
{
    Envoy__Service__Discovery__V3__Resource *message =
        envoy__service__discovery__v3__resource__unpack(NULL, resource->wire_len, resource->wire);
    CU_ASSERT_PTR_NOT_NULL_FATAL(message);
    return message;
}

static void free_body(Envoy__Service__Discovery__V3__Resource *message)
{
    envoy__service__discovery__v3__resource__free_unpacked(message, NULL);
}

#define BODY(message) (message)->resource->value.data, (message)->resource->value.len

static void codec_carries_a_workload(void)
{
    const struct addr addresses[] = {{.len = 4, .bytes = {10, 0, 0, 1}},
                                     {.len = 16, .bytes = {0xfd, [15] = 1}}};
    const struct mesh_port ports[] = {{80, 8080}, {443, 0}};
    const struct mesh_link links[] = {{"shop/web.shop.svc.cluster.local", ports, 2},
                                      {"shop/other", NULL, 0}};
    const char *const policies[] = {"shop/p", "shop/q"};
    const struct mesh_workload from = {
        .uid = "Kubernetes//Pod/shop/web-1",
        .name = "web-1",
        .namespace = "shop",
        .service_account = "web",
        .trust_domain = "other.test",
        .network = "net1",
        .node = "node-1",
        .cluster = "Kubernetes",
        .hostname = "web-1.local",
        .canonical_name = "web",
        .canonical_revision = "v2",
        .workload_name = "web",
        .type = MESH_TYPE_POD,
        .tunnel = MESH_TUNNEL_LEGACY_MTLS,
        .network_mode = MESH_NETWORK_HOST,
        .status = MESH_UNHEALTHY,
        .addresses = addresses,
        .address_count = 2,
        .links = links,
        .link_count = 2,
        .policies = policies,
        .policy_count = 2,
    };
    struct mesh_workload *before;
    struct xds_resource *resource;
    CU_ASSERT_FATAL(mesh_workload_new(&from, &before, NULL) == ERR_OK);
    CU_ASSERT_FATAL(xds_encode_workload(before, "mesh.test", &resource, NULL) == ERR_OK);
    CU_ASSERT_STRING_EQUAL(resource->name, from.uid);
    CU_ASSERT_EQUAL(resource->alias_count, 2);
    CU_ASSERT_STRING_EQUAL(resource->aliases[0], "net1/10.0.0.1");
    CU_ASSERT_STRING_EQUAL(resource->aliases[1], "net1/fd00::1");
    CU_ASSERT_EQUAL(resource->group_count, 2);
    Envoy__Service__Discovery__V3__Resource *message = open_body(resource);
    CU_ASSERT_STRING_EQUAL(message->name, from.uid);
    CU_ASSERT_STRING_EQUAL(message->version, resource->version);
    CU_ASSERT_EQUAL(message->n_aliases, 2);
    struct xds_address address;
    CU_ASSERT_FATAL(xds_decode_address(BODY(message), &address, NULL) == ERR_OK);
    CU_ASSERT_PTR_NULL(address.service);
    const struct mesh_workload *after = address.workload;
    CU_ASSERT_STRING_EQUAL(after->uid, from.uid);
    CU_ASSERT_STRING_EQUAL(after->name, from.name);
    CU_ASSERT_STRING_EQUAL(after->namespace, from.namespace);
    CU_ASSERT_STRING_EQUAL(after->service_account, "web");
    CU_ASSERT_STRING_EQUAL(after->trust_domain, "other.test");
    CU_ASSERT_STRING_EQUAL(after->network, "net1");
    CU_ASSERT_STRING_EQUAL(after->node, "node-1");
    CU_ASSERT_STRING_EQUAL(after->cluster, "Kubernetes");
    CU_ASSERT_STRING_EQUAL(after->hostname, "web-1.local");
    CU_ASSERT_STRING_EQUAL(after->canonical_revision, "v2");
    CU_ASSERT_STRING_EQUAL(after->workload_name, "web");
    CU_ASSERT_EQUAL(after->type, MESH_TYPE_POD);
    CU_ASSERT_EQUAL(after->tunnel, MESH_TUNNEL_LEGACY_MTLS);
    CU_ASSERT_EQUAL(after->network_mode, MESH_NETWORK_HOST);
    CU_ASSERT_EQUAL(after->status, MESH_UNHEALTHY);
    CU_ASSERT_EQUAL_FATAL(after->address_count, 2);
    CU_ASSERT(addr_equal(&after->addresses[1], &addresses[1]));
    CU_ASSERT_EQUAL_FATAL(after->link_count, 2);
    CU_ASSERT_STRING_EQUAL(after->links[0].service, links[0].service);
    CU_ASSERT_EQUAL(after->links[0].port_count, 2);
    CU_ASSERT_EQUAL(after->links[0].ports[0].target_port, 8080);
    CU_ASSERT_EQUAL(after->links[1].port_count, 0);
    CU_ASSERT_EQUAL_FATAL(after->policy_count, 2);
    CU_ASSERT_STRING_EQUAL(after->policies[1], "shop/q");
    mesh_workload_unref(address.workload);
    mesh_workload_unref(before);
    free_body(message);
    xds_resource_unref(resource);
}

static void codec_leaves_defaults_off_the_wire(void)
{
    const struct mesh_workload from = {
        .uid = "u", .namespace = "n", .service_account = "default", .trust_domain = "mesh.test"};
    struct mesh_workload *before;
    struct xds_resource *resource;
    struct xds_address address;
    CU_ASSERT_FATAL(mesh_workload_new(&from, &before, NULL) == ERR_OK);
    CU_ASSERT_FATAL(xds_encode_workload(before, "mesh.test", &resource, NULL) == ERR_OK);
    Envoy__Service__Discovery__V3__Resource *message = open_body(resource);
    CU_ASSERT_FATAL(xds_decode_address(BODY(message), &address, NULL) == ERR_OK);
    CU_ASSERT_STRING_EQUAL(address.workload->service_account, "");
    CU_ASSERT_STRING_EQUAL(address.workload->trust_domain, "");
    CU_ASSERT_STRING_EQUAL(mesh_workload_account(address.workload), "default");
    mesh_workload_unref(address.workload);
    mesh_workload_unref(before);
    free_body(message);
    xds_resource_unref(resource);
}

static void codec_carries_a_service(void)
{
    const struct addr addresses[] = {{.len = 4, .bytes = {10, 96, 0, 1}},
                                     {.len = 16, .bytes = {0xfd, [15] = 9}}};
    const struct mesh_port ports[] = {{80, 8080}};
    const char *const names[] = {"spiffe://mesh.test/ns/n/sa/x"};
    const struct mesh_service from = {.name = "web",
                                      .namespace = "shop",
                                      .hostname = "web.shop.svc.cluster.local",
                                      .addresses = addresses,
                                      .address_count = 2,
                                      .ports = ports,
                                      .port_count = 1,
                                      .subject_alt_names = names,
                                      .subject_alt_name_count = 1,
                                      .allow_unhealthy = true};
    struct mesh_service *before;
    struct xds_resource *resource;
    struct xds_address address;
    CU_ASSERT_FATAL(mesh_service_new(&from, &before, NULL) == ERR_OK);
    CU_ASSERT_FATAL(xds_encode_service(before, &resource, NULL) == ERR_OK);
    CU_ASSERT_STRING_EQUAL(resource->name, "shop/web.shop.svc.cluster.local");
    CU_ASSERT_STRING_EQUAL(resource->aliases[0], "/10.96.0.1");
    Envoy__Service__Discovery__V3__Resource *message = open_body(resource);
    CU_ASSERT_FATAL(xds_decode_address(BODY(message), &address, NULL) == ERR_OK);
    CU_ASSERT_PTR_NULL(address.workload);
    CU_ASSERT_STRING_EQUAL(address.service->key, resource->name);
    CU_ASSERT_STRING_EQUAL(address.service->name, "web");
    CU_ASSERT_EQUAL(address.service->address_count, 2);
    CU_ASSERT(addr_equal(&address.service->addresses[1], &addresses[1]));
    CU_ASSERT_EQUAL(mesh_service_port(address.service, 80)->target_port, 8080);
    CU_ASSERT_STRING_EQUAL(address.service->subject_alt_names[0], names[0]);
    CU_ASSERT(address.service->allow_unhealthy);
    mesh_service_unref(address.service);
    mesh_service_unref(before);
    free_body(message);
    xds_resource_unref(resource);
}

static const struct mesh_string strings[] = {{MESH_EXACT, "exact", 0},
                                             {MESH_PREFIX, "pre", 0},
                                             {MESH_SUFFIX, "suf", 0},
                                             {MESH_PRESENCE, "", 0}};
static const struct addr_prefix prefixes[] = {{{4, {10, 1}}, 16}, {{16, {0xfd}}, 8}};
static const uint16_t port_numbers[] = {80, 65535};
static const struct mesh_account accounts[] = {{"n", "a"}};

/* A policy that uses every field. */
static struct mesh_policy *full_policy(void)
{
    const struct mesh_match match = {
        .namespaces = {strings, 4},
        .not_namespaces = {strings, 1},
        .principals = {strings, 4},
        .not_principals = {strings, 2},
        .source_ips = {prefixes, 2},
        .not_source_ips = {prefixes, 1},
        .destination_ips = {prefixes, 2},
        .not_destination_ips = {prefixes, 1},
        .destination_ports = {port_numbers, 2},
        .not_destination_ports = {port_numbers, 1},
        .service_accounts = {accounts, 1},
        .not_service_accounts = {accounts, 1},
    };
    const struct mesh_match matches[] = {match, {.namespaces = {0}}};
    const struct mesh_clause clauses[] = {{matches, 2}, {NULL, 0}};
    const struct mesh_rule rules[] = {{clauses, 2}, {NULL, 0}};
    const struct mesh_policy from = {.name = "p",
                                     .namespace = "shop",
                                     .scope = MESH_SCOPE_WORKLOAD,
                                     .action = MESH_ACTION_DENY,
                                     .dry_run = true,
                                     .rules = rules,
                                     .rule_count = 2};
    struct mesh_policy *policy;
    CU_ASSERT_FATAL(mesh_policy_new(&from, &policy, NULL) == ERR_OK);
    return policy;
}

static bool same_strings(const struct mesh_strings *a, const struct mesh_strings *b)
{
    for (unsigned i = 0; i < a->count && i < b->count; i++) {
        if (a->items[i].kind != b->items[i].kind || a->items[i].len != b->items[i].len ||
            strcmp(a->items[i].text, b->items[i].text) != 0)
            return false;
    }
    return a->count == b->count;
}

static bool same_prefixes(const struct mesh_prefixes *a, const struct mesh_prefixes *b)
{
    for (unsigned i = 0; i < a->count && i < b->count; i++) {
        if (!addr_equal(&a->items[i].ip, &b->items[i].ip) || a->items[i].bits != b->items[i].bits)
            return false;
    }
    return a->count == b->count;
}

static void codec_carries_every_field_of_a_policy(void)
{
    struct mesh_policy *before = full_policy(), *after;
    struct xds_resource *resource;
    CU_ASSERT_FATAL(xds_encode_policy(before, &resource, NULL) == ERR_OK);
    CU_ASSERT_STRING_EQUAL(resource->name, "shop/p");
    Envoy__Service__Discovery__V3__Resource *message = open_body(resource);
    CU_ASSERT_FATAL(xds_decode_policy(BODY(message), &after, NULL) == ERR_OK);
    CU_ASSERT_STRING_EQUAL(after->key, "shop/p");
    CU_ASSERT_EQUAL(after->scope, MESH_SCOPE_WORKLOAD);
    CU_ASSERT_EQUAL(after->action, MESH_ACTION_DENY);
    CU_ASSERT(after->dry_run);
    CU_ASSERT_EQUAL_FATAL(after->rule_count, 2);
    CU_ASSERT_EQUAL_FATAL(after->rules[0].clause_count, 2);
    CU_ASSERT_EQUAL(after->rules[0].clauses[1].match_count, 0);
    CU_ASSERT_EQUAL(after->rules[1].clause_count, 0);
    CU_ASSERT_EQUAL_FATAL(after->rules[0].clauses[0].match_count, 2);
    const struct mesh_match *a = &before->rules[0].clauses[0].matches[0];
    const struct mesh_match *b = &after->rules[0].clauses[0].matches[0];
    CU_ASSERT(same_strings(&a->namespaces, &b->namespaces));
    CU_ASSERT(same_strings(&a->not_namespaces, &b->not_namespaces));
    CU_ASSERT(same_strings(&a->principals, &b->principals));
    CU_ASSERT(same_strings(&a->not_principals, &b->not_principals));
    CU_ASSERT(same_prefixes(&a->source_ips, &b->source_ips));
    CU_ASSERT(same_prefixes(&a->not_source_ips, &b->not_source_ips));
    CU_ASSERT(same_prefixes(&a->destination_ips, &b->destination_ips));
    CU_ASSERT(same_prefixes(&a->not_destination_ips, &b->not_destination_ips));
    CU_ASSERT_EQUAL(b->destination_ports.count, 2);
    CU_ASSERT_EQUAL(b->destination_ports.items[1], 65535);
    CU_ASSERT_EQUAL(b->not_destination_ports.count, 1);
    CU_ASSERT_STRING_EQUAL(b->service_accounts.items[0].name, "a");
    CU_ASSERT_STRING_EQUAL(b->not_service_accounts.items[0].namespace, "n");
    mesh_policy_unref(after);
    mesh_policy_unref(before);
    free_body(message);
    xds_resource_unref(resource);
}

static void codec_carries_bundles_of_one_and_of_several_domains(void)
{
    const struct xds_trust_domain domains[] = {
        {"", "MAIN", 4}, {"a.test", "ROOT A", 6}, {"b.test", "ROOT B", 6}};
    for (unsigned first = 0; first < 2; first++) {
        for (unsigned count = 1; first + count <= 3; count++) {
            const struct xds_bundle before = {domains + first, count};
            struct xds_resource *resource;
            struct xds_bundle *after;
            CU_ASSERT_FATAL(xds_encode_bundle(&before, &resource, NULL) == ERR_OK);
            CU_ASSERT_STRING_EQUAL(resource->name, "ROOTCA");
            Envoy__Service__Discovery__V3__Resource *message = open_body(resource);
            CU_ASSERT_FATAL(xds_decode_bundle(BODY(message), &after, NULL) == ERR_OK);
            CU_ASSERT_EQUAL_FATAL(after->domain_count, count);
            for (unsigned i = 0; i < count; i++) {
                CU_ASSERT_STRING_EQUAL(after->domains[i].name, domains[first + i].name);
                CU_ASSERT_STRING_EQUAL(after->domains[i].pem, domains[first + i].pem);
                CU_ASSERT_EQUAL(after->domains[i].pem_len, domains[first + i].pem_len);
            }
            free(after);
            free_body(message);
            xds_resource_unref(resource);
        }
    }
}

static void codec_gives_the_same_version_to_the_same_content(void)
{
    struct xds_resource *a = kit_workload("a", 1), *b = kit_workload("a", 1);
    struct xds_resource *c = kit_workload("a", 2), *d = kit_workload_at("a", 1, "10.0.0.1", NULL);
    CU_ASSERT_STRING_EQUAL(a->version, b->version);
    CU_ASSERT_STRING_NOT_EQUAL(a->version, c->version);
    CU_ASSERT_STRING_NOT_EQUAL(a->version, d->version);
    xds_resource_unref(a);
    xds_resource_unref(b);
    xds_resource_unref(c);
    xds_resource_unref(d);
}

/* --- what is refused, and in which words --- */

#define WORKLOAD Istio__Workload__Workload

static enum err_code decode_workload(WORKLOAD *workload, struct err *err)
{
    Istio__Workload__Address message = ISTIO__WORKLOAD__ADDRESS__INIT;
    message.type_case = ISTIO__WORKLOAD__ADDRESS__TYPE_WORKLOAD;
    message.workload = workload;
    void *data;
    size_t len;
    CU_ASSERT_FATAL(xds_pack(&message.base, &data, &len));
    struct xds_address address = {0};
    enum err_code code = xds_decode_address(data, len, &address, err);
    free(data);
    mesh_workload_unref(address.workload);
    return code;
}

static void codec_names_the_field_that_is_wrong_in_a_workload(void)
{
    static char uid[] = "u", space[] = "n", bad[] = "a/b", key[] = "n/h";
    struct err err;
    WORKLOAD workload = ISTIO__WORKLOAD__WORKLOAD__INIT;
    CU_ASSERT_EQUAL(decode_workload(&workload, &err), ERR_XDS_RESOURCE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "uid"));
    workload.uid = uid;
    workload.namespace_ = bad;
    CU_ASSERT_EQUAL(decode_workload(&workload, &err), ERR_XDS_RESOURCE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "namespace"));
    workload.namespace_ = space;
    CU_ASSERT_EQUAL(decode_workload(&workload, &err), ERR_OK);

    ProtobufCBinaryData address = {5, (uint8_t *)uid};
    workload.addresses = &address;
    workload.n_addresses = 1;
    uint8_t five[5] = {0};
    address.data = five;
    CU_ASSERT_EQUAL(decode_workload(&workload, &err), ERR_XDS_RESOURCE);
    CU_ASSERT_STRING_EQUAL(err.text, "addresses[0] has 5 bytes, an IP address has 4 or 16");
    workload.n_addresses = 0;

    Istio__Workload__Port port = ISTIO__WORKLOAD__PORT__INIT, *ports = &port;
    Istio__Workload__PortList list = ISTIO__WORKLOAD__PORT_LIST__INIT;
    Istio__Workload__Workload__ServicesEntry entry =
        ISTIO__WORKLOAD__WORKLOAD__SERVICES_ENTRY__INIT;
    Istio__Workload__Workload__ServicesEntry *entries = &entry;
    entry.key = key;
    workload.services = &entries;
    workload.n_services = 1;
    CU_ASSERT_EQUAL(decode_workload(&workload, &err), ERR_OK); /* a service without a port list */
    entry.value = &list;
    list.ports = &ports;
    list.n_ports = 1;
    port.service_port = 80;
    port.target_port = 70000;
    CU_ASSERT_EQUAL(decode_workload(&workload, &err), ERR_XDS_RESOURCE);
    CU_ASSERT_STRING_EQUAL(err.text, "services[n/h]: ports[0] maps 80 to 70000, which is no port");
}

static void codec_turns_mapped_addresses_into_ipv4(void)
{
    static char uid[] = "u", space[] = "n";
    uint8_t mapped[16] = {[10] = 0xff, [11] = 0xff, 10, 0, 0, 1};
    ProtobufCBinaryData address = {16, mapped};
    WORKLOAD workload = ISTIO__WORKLOAD__WORKLOAD__INIT;
    workload.uid = uid;
    workload.namespace_ = space;
    workload.addresses = &address;
    workload.n_addresses = 1;
    Istio__Workload__Address message = ISTIO__WORKLOAD__ADDRESS__INIT;
    message.type_case = ISTIO__WORKLOAD__ADDRESS__TYPE_WORKLOAD;
    message.workload = &workload;
    void *data;
    size_t len;
    CU_ASSERT_FATAL(xds_pack(&message.base, &data, &len));
    struct xds_address out;
    CU_ASSERT_FATAL(xds_decode_address(data, len, &out, NULL) == ERR_OK);
    CU_ASSERT_EQUAL(out.workload->addresses[0].len, 4);
    mesh_workload_unref(out.workload);
    free(data);
}

static enum err_code decode_match(Istio__Security__Match *match, struct err *err)
{
    static char name[] = "p", space[] = "n";
    Istio__Security__Clause clause = ISTIO__SECURITY__CLAUSE__INIT, *clauses = &clause;
    Istio__Security__Rule rule = ISTIO__SECURITY__RULE__INIT, *rules = &rule;
    Istio__Security__Authorization message = ISTIO__SECURITY__AUTHORIZATION__INIT;
    message.name = name;
    message.namespace_ = space;
    message.rules = &rules;
    message.n_rules = 1;
    rule.clauses = &clauses;
    rule.n_clauses = 1;
    clause.matches = &match;
    clause.n_matches = 1;
    void *data;
    size_t len;
    CU_ASSERT_FATAL(xds_pack(&message.base, &data, &len));
    struct mesh_policy *policy = NULL;
    enum err_code code = xds_decode_policy(data, len, &policy, err);
    free(data);
    mesh_policy_unref(policy);
    return code;
}

static void codec_refuses_policies_that_it_would_misread(void)
{
    struct err err;
    Istio__Security__Match match = ISTIO__SECURITY__MATCH__INIT;
    CU_ASSERT_EQUAL(decode_match(&match, &err), ERR_OK);

    /* A kind of string match that we do not know: not "matches nothing", which would open a DENY.
     */
    Istio__Security__StringMatch string = ISTIO__SECURITY__STRING_MATCH__INIT, *list = &string;
    match.not_principals = &list;
    match.n_not_principals = 1;
    CU_ASSERT_EQUAL(decode_match(&match, &err), ERR_XDS_RESOURCE);
    CU_ASSERT_STRING_EQUAL(
        err.text,
        "rules[0]: not_principals: a string match is none of exact, prefix, suffix and presence");

    /* A null byte would cut the text, and a shorter prefix matches more. */
    string.match_type_case = ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PREFIX;
    uint8_t text[] = {'a', 0, 'b'};
    string.prefix = (ProtobufCBinaryData){3, text};
    CU_ASSERT_EQUAL(decode_match(&match, &err), ERR_XDS_RESOURCE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "null byte"));
    match.n_not_principals = 0;

    Istio__Security__Address address = ISTIO__SECURITY__ADDRESS__INIT, *addresses = &address;
    uint8_t ip[16] = {10};
    match.source_ips = &addresses;
    match.n_source_ips = 1;
    address.address = (ProtobufCBinaryData){4, ip};
    address.length = 32;
    CU_ASSERT_EQUAL(decode_match(&match, &err), ERR_OK);
    address.length = 33;
    CU_ASSERT_EQUAL(decode_match(&match, &err), ERR_XDS_RESOURCE);
    CU_ASSERT_STRING_EQUAL(err.text,
                           "rules[0]: source_ips[0] has 33 bits of an address of 4 bytes");
    address.address.len = 3;
    address.length = 8;
    CU_ASSERT_EQUAL(decode_match(&match, &err), ERR_XDS_RESOURCE);
    memcpy(ip, (uint8_t[16]){[10] = 0xff, [11] = 0xff, 10}, 16);
    address.address.len = 16;
    address.length = 95; /* neither an IPv4 prefix nor one of IPv6 addresses that exist */
    CU_ASSERT_EQUAL(decode_match(&match, &err), ERR_XDS_RESOURCE);
    address.length = 104;
    CU_ASSERT_EQUAL(decode_match(&match, &err), ERR_OK);
    match.n_source_ips = 0;

    uint32_t port = 65536;
    match.destination_ports = &port;
    match.n_destination_ports = 1;
    CU_ASSERT_EQUAL(decode_match(&match, &err), ERR_XDS_RESOURCE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "destination_ports[0]"));
}

/* --- unknown and malformed bytes --- */

static void codec_passes_over_unknown_fields(void)
{
    struct xds_resource *resource = kit_workload("a", 1);
    Envoy__Service__Discovery__V3__Resource *message = open_body(resource);
    size_t len = message->resource->value.len;
    /* Field 1000, a varint; field 1001, bytes; an enum value of the future inside would be field 5
     * of the workload. */
    static const uint8_t more[] = {0xc0, 0x3e, 0x07, 0xca, 0x3e, 0x03, 'a', 'b', 'c'};
    uint8_t *longer = malloc(len + sizeof more);
    memcpy(longer, message->resource->value.data, len);
    memcpy(longer + len, more, sizeof more);
    struct xds_address address;
    CU_ASSERT_EQUAL_FATAL(xds_decode_address(longer, len + sizeof more, &address, NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(address.workload->uid, "a");
    mesh_workload_unref(address.workload);
    free(longer);
    free_body(message);
    xds_resource_unref(resource);
}

static void decode_anything(const uint8_t *data, size_t len)
{
    struct err err;
    struct xds_address address = {0};
    struct mesh_policy *policy = NULL;
    struct xds_bundle *bundle = NULL;
    if (xds_decode_address(data, len, &address, &err) == ERR_OK) {
        mesh_workload_unref(address.workload);
        mesh_service_unref(address.service);
    }
    if (xds_decode_policy(data, len, &policy, &err) == ERR_OK)
        mesh_policy_unref(policy);
    if (xds_decode_bundle(data, len, &bundle, &err) == ERR_OK)
        free(bundle);
}

static void mutate(const struct xds_resource *resource, unsigned *seed)
{
    Envoy__Service__Discovery__V3__Resource *message = open_body(resource);
    size_t len = message->resource->value.len;
    for (int round = 0; round < 3000; round++) {
        uint8_t *copy = malloc(len); /* exactly as long as it says, for the sanitizer */
        memcpy(copy, message->resource->value.data, len);
        for (unsigned n = 1 + (unsigned)rand_r(seed) % 4; n > 0; n--)
            copy[(unsigned)rand_r(seed) % len] = (uint8_t)rand_r(seed);
        decode_anything(copy, round % 2 ? len : (unsigned)rand_r(seed) % len);
        free(copy);
    }
    free_body(message);
}

static void codec_survives_mutated_resources(void)
{
    unsigned seed = 42;
    struct mesh_policy *policy = full_policy();
    struct xds_resource *resources[4];
    const struct xds_trust_domain domains[] = {{"", "MAIN", 4}, {"a.test", "ROOT A", 6}};
    CU_ASSERT_FATAL(xds_encode_policy(policy, &resources[0], NULL) == ERR_OK);
    CU_ASSERT_FATAL(
        xds_encode_bundle(&(const struct xds_bundle){domains, 2}, &resources[1], NULL) == ERR_OK);
    resources[2] = kit_workload_at("Kubernetes//Pod/shop/web", 1, "10.0.0.1", "shop/web");
    resources[3] = kit_service("web", "fd00::1");
    for (int i = 0; i < 4; i++) {
        mutate(resources[i], &seed);
        xds_resource_unref(resources[i]);
    }
    mesh_policy_unref(policy);
}

static void codec_bounds_the_memory_of_a_hostile_policy(void)
{
    /* A clause of a million empty matches: 2 bytes each on the wire, more than 200 in memory. */
    enum { MATCHES = 1 << 20 };
    Istio__Security__Clause clause = ISTIO__SECURITY__CLAUSE__INIT, *clauses = &clause;
    Istio__Security__Rule rule = ISTIO__SECURITY__RULE__INIT, *rules = &rule;
    Istio__Security__Authorization message = ISTIO__SECURITY__AUTHORIZATION__INIT;
    Istio__Security__Match match = ISTIO__SECURITY__MATCH__INIT;
    message.rules = &rules;
    message.n_rules = 1;
    rule.clauses = &clauses;
    rule.n_clauses = 1;
    clause.matches = malloc(MATCHES * sizeof *clause.matches);
    clause.n_matches = MATCHES;
    for (size_t i = 0; i < MATCHES; i++)
        clause.matches[i] = &match;
    void *data;
    size_t len;
    CU_ASSERT_FATAL(xds_pack(&message.base, &data, &len));
    struct mesh_policy *policy = NULL;
    struct err err;
    CU_ASSERT(len < 3 << 20);
    enum err_code code = xds_decode_policy(data, len, &policy, &err);
    CU_ASSERT(code == ERR_TOO_LARGE || code == ERR_XDS_RESOURCE);
    CU_ASSERT_PTR_NULL(policy);
    struct xds_arena arena;
    xds_arena_init(&arena);
    CU_ASSERT_PTR_NULL(
        xds_unpack(&arena, &istio__security__authorization__descriptor, data, len, 16, &err));
    CU_ASSERT_EQUAL(err.code, ERR_TOO_LARGE);
    CU_ASSERT(arena.used <= len * 16 + (64 << 10));
    xds_arena_deinit(&arena);
    free(data);
    free(clause.matches);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(codec_carries_a_workload),
        SUITE_CASE(codec_leaves_defaults_off_the_wire),
        SUITE_CASE(codec_carries_a_service),
        SUITE_CASE(codec_carries_every_field_of_a_policy),
        SUITE_CASE(codec_carries_bundles_of_one_and_of_several_domains),
        SUITE_CASE(codec_gives_the_same_version_to_the_same_content),
        SUITE_CASE(codec_names_the_field_that_is_wrong_in_a_workload),
        SUITE_CASE(codec_turns_mapped_addresses_into_ipv4),
        SUITE_CASE(codec_refuses_policies_that_it_would_misread),
        SUITE_CASE(codec_passes_over_unknown_fields),
        SUITE_CASE(codec_survives_mutated_resources),
        SUITE_CASE(codec_bounds_the_memory_of_a_hostile_policy),
        SUITE_END,
    };
    return suite_main("codec", cases, argc, argv);
}
