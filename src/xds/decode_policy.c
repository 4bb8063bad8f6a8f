/* istio.security.Authorization -> struct mesh_policy. */
#include <string.h>

#include "istio/security/authorization.pb-c.h"
#include "xds/decode.h"
#include "xds/wire.h"

struct decoder {
    struct xds_arena arena;
    struct err *err;
};

/* Zeroed; one more than asked for, so that an empty array has an address too. */
static void *array(struct decoder *decoder, size_t count, size_t size)
{
    void *out = xds_arena_take(&decoder->arena, (count + 1) * size);
    if (!out)
        err_set(decoder->err, ERR_NO_MEMORY, "out of memory for a policy");
    return out;
}

/* Everywhere else what we do not know is passed over; in a policy it may be one more condition, or
 * turn one round, and without it the policy allows or refuses somebody else. That has happened: the
 * top level has got `dry_run`, matches have got service accounts. */
static bool is_understood(struct decoder *decoder, const ProtobufCMessage *message)
{
    if (message->n_unknown_fields == 0)
        return true;
    err_set(decoder->err, ERR_XDS_RESOURCE, "%s has field %u, which this proxy does not understand",
            message->descriptor->short_name, message->unknown_fields[0].tag);
    return false;
}

static bool decode_string(struct decoder *decoder, const Istio__Security__StringMatch *from,
                          struct mesh_string *out)
{
    ProtobufCBinaryData text = {0};
    if (!is_understood(decoder, &from->base))
        return false;
    switch (from->match_type_case) {
    case ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_EXACT:
        out->kind = MESH_EXACT;
        text = from->exact;
        break;
    case ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PREFIX:
        out->kind = MESH_PREFIX;
        text = from->prefix;
        break;
    case ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_SUFFIX:
        out->kind = MESH_SUFFIX;
        text = from->suffix;
        break;
    case ISTIO__SECURITY__STRING_MATCH__MATCH_TYPE_PRESENCE:
        out->kind = MESH_PRESENCE;
        out->text = "";
        return is_understood(decoder, &from->presence->base);
    default:
        err_set(decoder->err, ERR_XDS_RESOURCE,
                "a string match is none of exact, prefix, suffix and presence");
        return false;
    }
    if (text.len > 0 && memchr(text.data, 0, text.len)) {
        err_set(decoder->err, ERR_XDS_RESOURCE, "a string match holds a null byte");
        return false;
    }
    char *copy = array(decoder, text.len, 1);
    if (copy && text.len > 0)
        memcpy(copy, text.data, text.len);
    out->text = copy;
    return copy != NULL;
}

static bool decode_strings(struct decoder *decoder, const char *field,
                           Istio__Security__StringMatch **from, size_t count,
                           struct mesh_strings *out)
{
    struct mesh_string *items = array(decoder, count, sizeof *items);
    if (!items)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!decode_string(decoder, from[i], &items[i])) {
            err_wrap(decoder->err, "%s", field);
            return false;
        }
    }
    *out = (struct mesh_strings){items, (unsigned)count};
    return true;
}

static bool decode_prefix(const Istio__Security__Address *from, struct addr_prefix *out)
{
    if (!addr_from_bytes(&out->ip, from->address.data, from->address.len) ||
        from->length > from->address.len * 8)
        return false;
    /* An IPv4 address in IPv6 clothes has 96 bits less. */
    uint32_t clothes = (uint32_t)(from->address.len - out->ip.len) * 8;
    if (from->length < clothes)
        return false;
    out->bits = (uint8_t)(from->length - clothes);
    return true;
}

static bool decode_prefixes(struct decoder *decoder, const char *field,
                            Istio__Security__Address **from, size_t count,
                            struct mesh_prefixes *out)
{
    struct addr_prefix *items = array(decoder, count, sizeof *items);
    if (!items)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_understood(decoder, &from[i]->base))
            return false;
        if (!decode_prefix(from[i], &items[i])) {
            err_set(decoder->err, ERR_XDS_RESOURCE,
                    "%s[%zu] has %u bits of an address of %zu bytes", field, i, from[i]->length,
                    from[i]->address.len);
            return false;
        }
    }
    *out = (struct mesh_prefixes){items, (unsigned)count};
    return true;
}

static bool decode_ports(struct decoder *decoder, const char *field, const uint32_t *from,
                         size_t count, struct mesh_ports *out)
{
    uint16_t *items = array(decoder, count, sizeof *items);
    if (!items)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (from[i] > UINT16_MAX) {
            err_set(decoder->err, ERR_XDS_RESOURCE, "%s[%zu] is %u, which is no port", field, i,
                    from[i]);
            return false;
        }
        items[i] = (uint16_t)from[i];
    }
    *out = (struct mesh_ports){items, (unsigned)count};
    return true;
}

static bool decode_accounts(struct decoder *decoder, Istio__Security__ServiceAccountMatch **from,
                            size_t count, struct mesh_accounts *out)
{
    struct mesh_account *items = array(decoder, count, sizeof *items);
    if (!items)
        return false;
    for (size_t i = 0; i < count; i++) {
        if (!is_understood(decoder, &from[i]->base))
            return false;
        items[i] = (struct mesh_account){from[i]->namespace_, from[i]->serviceaccount};
    }
    *out = (struct mesh_accounts){items, (unsigned)count};
    return true;
}

static bool decode_match(struct decoder *decoder, const Istio__Security__Match *from,
                         struct mesh_match *out)
{
    if (!is_understood(decoder, &from->base))
        return false;
    if (from->n_extensions > 0) { /* a condition like the others, of a kind we do not evaluate */
        err_set(decoder->err, ERR_XDS_RESOURCE,
                "Match has the extension `%.64s` (field 13), which this proxy does not understand",
                from->extensions[0]->name);
        return false;
    }
#define DECODE(kind, field)                                                                        \
    decode_##kind(decoder, #field, from->field, from->n_##field, &out->field)
    return DECODE(strings, namespaces) && DECODE(strings, not_namespaces) &&
           DECODE(strings, principals) && DECODE(strings, not_principals) &&
           DECODE(prefixes, source_ips) && DECODE(prefixes, not_source_ips) &&
           DECODE(prefixes, destination_ips) && DECODE(prefixes, not_destination_ips) &&
           DECODE(ports, destination_ports) && DECODE(ports, not_destination_ports) &&
           decode_accounts(decoder, from->service_accounts, from->n_service_accounts,
                           &out->service_accounts) &&
           decode_accounts(decoder, from->not_service_accounts, from->n_not_service_accounts,
                           &out->not_service_accounts);
#undef DECODE
}

static bool decode_clause(struct decoder *decoder, const Istio__Security__Clause *from,
                          struct mesh_clause *out)
{
    if (!is_understood(decoder, &from->base))
        return false;
    struct mesh_match *matches = array(decoder, from->n_matches, sizeof *matches);
    if (!matches)
        return false;
    for (size_t i = 0; i < from->n_matches; i++) {
        if (!decode_match(decoder, from->matches[i], &matches[i]))
            return false;
    }
    *out = (struct mesh_clause){matches, (unsigned)from->n_matches};
    return true;
}

static bool decode_rule(struct decoder *decoder, const Istio__Security__Rule *from,
                        struct mesh_rule *out)
{
    if (!is_understood(decoder, &from->base))
        return false;
    struct mesh_clause *clauses = array(decoder, from->n_clauses, sizeof *clauses);
    if (!clauses)
        return false;
    for (size_t i = 0; i < from->n_clauses; i++) {
        if (!decode_clause(decoder, from->clauses[i], &clauses[i]))
            return false;
    }
    *out = (struct mesh_rule){clauses, (unsigned)from->n_clauses};
    return true;
}

static enum err_code decode(struct decoder *decoder, const Istio__Security__Authorization *from,
                            struct mesh_policy **out)
{
    /* `extensions` of the whole policy are passed over: whatever they tell about the object, scope,
     * action and rules, which say whom it lets in, are complete without them. */
    if (!is_understood(decoder, &from->base))
        return decoder->err->code;
    struct mesh_rule *rules = array(decoder, from->n_rules, sizeof *rules);
    if (!rules)
        return decoder->err->code;
    for (size_t i = 0; i < from->n_rules; i++) {
        if (!decode_rule(decoder, from->rules[i], &rules[i])) {
            err_wrap(decoder->err, "rules[%zu]", i);
            return decoder->err->code;
        }
    }
    const struct mesh_policy policy = {
        .name = from->name,
        .namespace = from->namespace_,
        .scope = (enum mesh_scope)from->scope,
        .action = (enum mesh_action)from->action,
        .dry_run = from->dry_run,
        .rules = rules,
        .rule_count = (unsigned)from->n_rules,
    };
    return mesh_policy_new(&policy, out, decoder->err);
}

enum err_code xds_decode_policy(const void *data, size_t len, struct mesh_policy **out,
                                struct err *err)
{
    struct err local;
    struct decoder decoder = {.err = err ? err : &local};
    xds_arena_init(&decoder.arena);
    const Istio__Security__Authorization *from =
        xds_unpack(&decoder.arena, &istio__security__authorization__descriptor, data, len,
                   XDS_GROWTH_RESOURCE, decoder.err);
    enum err_code code = from ? decode(&decoder, from, out) : decoder.err->code;
    xds_arena_deinit(&decoder.arena);
    return code;
}
