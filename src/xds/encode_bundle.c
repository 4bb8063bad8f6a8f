/* struct xds_bundle -> the Secret `ROOTCA`. */
#include <stdlib.h>

#include "envoy/extensions/transport_sockets/tls/v3/secret.pb-c.h"
#include "xds/encode.h"
#include "xds/types.h"
#include "xds/wire.h"

/* What protoc-c makes of the package's name. */
#define TLS_V3(name) Envoy__Extensions__TransportSockets__Tls__V3__##name
#define TLS_V3_FN(name) envoy__extensions__transport_sockets__tls__v3__##name

static Envoy__Config__Core__V3__DataSource *make_source(struct xds_arena *arena,
                                                        const struct xds_trust_domain *domain)
{
    Envoy__Config__Core__V3__DataSource *source = xds_arena_take(arena, sizeof *source);
    if (!source)
        return NULL;
    envoy__config__core__v3__data_source__init(source);
    source->specifier_case = ENVOY__CONFIG__CORE__V3__DATA_SOURCE__SPECIFIER_INLINE_BYTES;
    source->inline_bytes.data = (uint8_t *)(uintptr_t)domain->pem;
    source->inline_bytes.len = domain->pem_len;
    return source;
}

/* The configuration of the SPIFFE validator, packed; false: out of memory. */
static bool pack_domains(struct xds_arena *arena, const struct xds_trust_domain *const *domains,
                         unsigned count, ProtobufCBinaryData *out)
{
    TLS_V3(SPIFFECertValidatorConfig) config;
    TLS_V3_FN(spiffecert_validator_config__init)(&config);
    TLS_V3(SPIFFECertValidatorConfig__TrustDomain) *items =
        xds_arena_take(arena, count * sizeof *items);
    config.trust_domains = xds_arena_take(arena, count * sizeof *config.trust_domains);
    if (!items || !config.trust_domains)
        return false;
    for (unsigned i = 0; i < count; i++) {
        TLS_V3_FN(spiffecert_validator_config__trust_domain__init)(&items[i]);
        items[i].name = (char *)(uintptr_t)domains[i]->name;
        items[i].trust_bundle = make_source(arena, domains[i]);
        if (!items[i].trust_bundle)
            return false;
        config.trust_domains[i] = &items[i];
    }
    config.n_trust_domains = count;
    out->len = protobuf_c_message_get_packed_size(&config.base);
    out->data = xds_arena_take(arena, out->len);
    if (!out->data)
        return false;
    protobuf_c_message_pack(&config.base, out->data);
    return true;
}

struct messages {
    TLS_V3(Secret) secret;
    TLS_V3(CertificateValidationContext) context;
    Envoy__Config__Core__V3__TypedExtensionConfig validator;
    Envoy__Config__Core__V3__TypedConfig config;
};

static bool fill(struct xds_arena *arena, const struct xds_bundle *bundle,
                 struct messages *messages)
{
    static char name[] = XDS_ROOTCA, validator_name[] = "envoy.tls.cert_validator.spiffe";
    static char url[] = "type.googleapis.com/"
                        "envoy.extensions.transport_sockets.tls.v3.SPIFFECertValidatorConfig";
    TLS_V3_FN(secret__init)(&messages->secret);
    TLS_V3_FN(certificate_validation_context__init)(&messages->context);
    envoy__config__core__v3__typed_extension_config__init(&messages->validator);
    envoy__config__core__v3__typed_config__init(&messages->config);
    messages->secret.name = name;
    messages->secret.type_case =
        ENVOY__EXTENSIONS__TRANSPORT_SOCKETS__TLS__V3__SECRET__TYPE_VALIDATION_CONTEXT;
    messages->secret.validation_context = &messages->context;

    const struct xds_trust_domain **named =
        xds_arena_take(arena, (bundle->domain_count + 1) * sizeof *named);
    if (!named)
        return false;
    unsigned count = 0;
    for (unsigned i = 0; i < bundle->domain_count; i++) {
        const struct xds_trust_domain *domain = &bundle->domains[i];
        if (*domain->name)
            named[count++] = domain;
        else if (!(messages->context.trusted_ca = make_source(arena, domain)))
            return false;
    }
    if (count == 0)
        return true;
    messages->validator.name = validator_name;
    messages->validator.typed_config = &messages->config;
    messages->config.type_url = url;
    messages->context.custom_validator_config = &messages->validator;
    return pack_domains(arena, named, count, &messages->config.value);
}

enum err_code xds_encode_bundle(const struct xds_bundle *bundle, struct xds_resource **out,
                                struct err *err)
{
    struct xds_arena arena;
    xds_arena_init(&arena);
    struct messages messages;
    struct xds_resource_spec spec = {.name = XDS_ROOTCA, .type_url = xds_type_url(XDS_SECRET)};
    enum err_code code;
    void *body = NULL;
    if (!fill(&arena, bundle, &messages) ||
        !xds_pack(&messages.secret.base, &body, &spec.body_len)) {
        code = err_set(err, ERR_NO_MEMORY, "out of memory for the trust bundle");
    } else {
        spec.body = body;
        code = xds_resource_new(&spec, out, err);
    }
    free(body);
    xds_arena_deinit(&arena);
    return code;
}
