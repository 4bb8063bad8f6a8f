/* The SDS Secret that holds the roots -> struct xds_bundle. */
#include <stdlib.h>
#include <string.h>

#include "envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"
#include "mesh/block.h"
#include "mesh/check.h"
#include "xds/decode.h"
#include "xds/wire.h"

/* What protoc-c makes of the package's name. */
#define TLS_V3(name) Envoy__Extensions__TransportSockets__Tls__V3__##name

static const char spiffe_url[] = "type.googleapis.com/"
                                 "envoy.extensions.transport_sockets.tls.v3."
                                 "SPIFFECertValidatorConfig";

static enum err_code decode_source(const char *field,
                                   const Envoy__Config__Core__V3__DataSource *from,
                                   struct xds_trust_domain *out, struct err *err)
{
    if (from &&
        from->specifier_case == ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES) {
        out->pem = (const char *)from->inline_bytes.data;
        out->pem_len = from->inline_bytes.len;
    } else if (from && from->specifier_case ==
                           ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_STRING) {
        out->pem = from->inline_string;
        out->pem_len = strlen(from->inline_string);
    } else {
        return err_set(err, ERR_XDS_RESOURCE,
                       "%s holds neither inline_bytes nor inline_string; files are not read",
                       field);
    }
    if (out->pem_len == 0)
        return err_set(err, ERR_XDS_RESOURCE, "%s is empty", field);
    if (memchr(out->pem, 0, out->pem_len))
        return err_set(err, ERR_XDS_RESOURCE, "%s holds a null byte", field);
    return ERR_OK;
}

static enum err_code decode_domains(const TLS_V3(SPIFFECertValidatorConfig) * from,
                                    struct xds_trust_domain *domains, unsigned *count,
                                    struct err *err)
{
    enum err_code code =
        mesh_check_count("trust_domains", from->n_trust_domains, XDS_BUNDLE_DOMAINS_MAX - 1, err);
    for (size_t i = 0; i < from->n_trust_domains && !code; i++) {
        struct xds_trust_domain *domain = &domains[*count];
        domain->name = from->trust_domains[i]->name;
        code = mesh_check_trust_domain("the name of a trust domain", domain->name, err);
        if (!code)
            code = decode_source("trust_bundle", from->trust_domains[i]->trust_bundle, domain, err);
        (*count)++;
    }
    return code;
}

/* Lays out what `domains` borrow. */
static void lay_out(const struct xds_trust_domain *domains, unsigned count,
                    struct mesh_block *block)
{
    struct xds_bundle *out = mesh_block_take(block, sizeof *out);
    struct xds_trust_domain *copies = mesh_block_take(block, count * sizeof *copies);
    for (unsigned i = 0; i < count; i++) {
        struct xds_trust_domain copy = domains[i];
        copy.name = mesh_block_text(block, copy.name);
        copy.pem = mesh_block_bytes(block, copy.pem, copy.pem_len);
        if (copies)
            copies[i] = copy;
    }
    if (out)
        *out = (struct xds_bundle){copies, count};
}

static enum err_code make_bundle(const struct xds_trust_domain *domains, unsigned count,
                                 struct xds_bundle **out, struct err *err)
{
    size_t total = 0;
    for (unsigned i = 0; i < count; i++)
        total += domains[i].pem_len;
    if (count == 0)
        return err_set(err, ERR_XDS_RESOURCE, "validation_context holds no roots");
    if (total > XDS_BUNDLE_PEM_MAX)
        return err_set(err, ERR_XDS_RESOURCE, "the roots have %zu bytes, at most %d are allowed",
                       total, XDS_BUNDLE_PEM_MAX);
    struct mesh_block block = {0};
    lay_out(domains, count, &block);
    block.base = malloc(block.used);
    if (!block.base)
        return err_set(err, ERR_NO_MEMORY, "out of memory for a trust bundle");
    block.used = 0;
    lay_out(domains, count, &block);
    *out = (struct xds_bundle *)(void *)block.base;
    return ERR_OK;
}

static enum err_code decode_context(struct xds_arena *arena,
                                    const TLS_V3(CertificateValidationContext) * from,
                                    struct xds_bundle **out, struct err *err)
{
    struct xds_trust_domain *domains =
        xds_arena_take(arena, XDS_BUNDLE_DOMAINS_MAX * sizeof *domains);
    if (!domains)
        return err_set(err, ERR_NO_MEMORY, "out of memory for a trust bundle");
    unsigned count = 0;
    enum err_code code = ERR_OK;
    if (from->trusted_ca) {
        domains[count].name = "";
        code = decode_source("trusted_ca", from->trusted_ca, &domains[count++], err);
    }
    const Envoy__Config__Core__V3__TypedExtensionConfig *validator = from->custom_validator_config;
    if (!code && validator && validator->typed_config &&
        strcmp(validator->typed_config->type_url, spiffe_url) == 0) {
        const ProtobufCBinaryData *value = &validator->typed_config->value;
        const TLS_V3(SPIFFECertValidatorConfig) *config = xds_unpack(
            arena,
            &envoy__extensions__transport_sockets__tls__v3__spiffecert_validator_config__descriptor,
            value->data, value->len, XDS_GROWTH_RESOURCE, err);
        code = config ? decode_domains(config, domains, &count, err) : err->code;
    }
    return code ? code : make_bundle(domains, count, out, err);
}

enum err_code xds_decode_bundle(const void *data, size_t len, struct xds_bundle **out,
                                struct err *err)
{
    struct err local;
    err = err ? err : &local;
    struct xds_arena arena;
    xds_arena_init(&arena);
    enum err_code code;
    const TLS_V3(Secret) *from =
        xds_unpack(&arena, &envoy__extensions__transport_sockets__tls__v3__secret__descriptor, data,
                   len, XDS_GROWTH_RESOURCE, err);
    if (!from)
        code = err->code;
    else if (from->type_case ==
                 ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_VALIDATION_CONTEXT &&
             from->validation_context)
        code = decode_context(&arena, from->validation_context, out, err);
    else
        code = err_set(err, ERR_XDS_RESOURCE, "the secret holds no validation_context");
    xds_arena_deinit(&arena);
    return code;
}
