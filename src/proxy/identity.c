#include "proxy/identity.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "proxy/bearer.h"
#include "proxy/view.h"
#include "tls/cert_info.h"
#include "xds/certificate.h"
#include "xds/types.h"

static void request(struct identity *identity);

/* --- when ----------------------------------------------------------------------------------- */

int64_t identity_renewal_ms(int64_t life_ms)
{
    int64_t wait_ms = life_ms / 2 - backoff_random_ms(life_ms / 10);
    return wait_ms > IDENTITY_PAUSE_MIN_MS ? wait_ms : IDENTITY_PAUSE_MIN_MS;
}

int64_t identity_retry_ms(int64_t proposed_ms, int64_t left_ms)
{
    int64_t most_ms = left_ms > 0 ? left_ms / 10 : IDENTITY_URGENT_MAX_MS;
    int64_t wait_ms = proposed_ms < most_ms ? proposed_ms : most_ms;
    return wait_ms > IDENTITY_PAUSE_MIN_MS ? wait_ms : IDENTITY_PAUSE_MIN_MS;
}

static int64_t left_ms(const struct identity *identity)
{
    if (!identity->context)
        return 0;
    return (tls_context_identity(identity->context)->not_after_s - clock_wall_s()) * 1000;
}

static void on_timer(struct timer *timer);

static void arm(struct identity *identity)
{
    int64_t wait_ms = identity->renew_at_ms - clock_now_ms();
    if (wait_ms > IDENTITY_TICK_MS)
        wait_ms = IDENTITY_TICK_MS;
    timer_start(identity->timers, &identity->timer, wait_ms > 0 ? wait_ms : 0, on_timer);
}

static void on_timer(struct timer *timer)
{
    struct identity *identity =
        (struct identity *)((char *)timer - offsetof(struct identity, timer));
    bool expired = identity->context && left_ms(identity) <= 0;
    if (clock_now_ms() >= identity->renew_at_ms || expired)
        request(identity);
    else
        arm(identity);
}

static void fail(struct identity *identity, const struct err *err)
{
    /* Peers with the new bundle refuse an outdated certificate like one that has expired. */
    int64_t useful_ms = identity->outdated ? 0 : left_ms(identity);
    int64_t wait_ms = identity_retry_ms(backoff_next_ms(&identity->backoff), useful_ms);
    identity->failures++;
    identity->last_error = *err;
    identity->renew_at_ms = clock_now_ms() + wait_ms;
    LOG_LIMITED(LOG_LEVEL_WARN, 2, "certificate_failed",
                F_STR("identity", identity->config->id.text), F_INT("retry_ms", wait_ms),
                F_INT("valid_for_s", left_ms(identity) / 1000), F_ERR(err));
    if (identity->on_request)
        identity->on_request(identity, err->code);
    arm(identity);
}

/* --- trust ---------------------------------------------------------------------------------- */

static void describe_roots(struct identity *identity, const char *trust_domain, const char *pem,
                           size_t len)
{
    struct cert_info *infos = calloc(CERT_INFO_CHAIN_MAX, sizeof *infos);
    size_t count = 0;
    if (infos && cert_info_parse_chain(infos, &count, pem, len, NULL) == ERR_OK) {
        for (size_t i = 0; i < count && identity->root_count < IDENTITY_ROOTS_MAX; i++) {
            struct identity_root *root = &identity->roots[identity->root_count++];
            snprintf(root->trust_domain, sizeof root->trust_domain, "%s", trust_domain);
            snprintf(root->subject, sizeof root->subject, "%s", infos[i].subject);
            root->not_after_s = infos[i].not_after_s;
        }
    }
    free(infos);
}

static const char *domain_of(const struct identity *identity, const struct xds_trust_domain *domain)
{
    return domain->name && domain->name[0] ? domain->name : identity->config->trust_domain;
}

static enum err_code make_bundle(const struct identity *identity, const struct xds_bundle *from,
                                 struct tls_bundle **out, struct err *err)
{
    struct tls_bundle *bundle = NULL;
    enum err_code code = ERR_OK;
    if (from->domain_count == 0)
        return err_set(err, ERR_TLS_BAD_CERTIFICATE, "the trust bundle is empty");
    for (unsigned i = 0; i < from->domain_count && code == ERR_OK; i++) {
        const struct xds_trust_domain *domain = &from->domains[i];
        const char *name = domain_of(identity, domain);
        code = bundle ? tls_bundle_add(bundle, name, domain->pem, domain->pem_len, err)
                      : tls_bundle_new(&bundle, name, domain->pem, domain->pem_len, err);
    }
    if (code == ERR_OK)
        *out = bundle;
    else
        tls_bundle_unref(bundle);
    return code;
}

static bool is_in_force(const struct identity *identity, const struct tls_bundle *bundle)
{
    return identity->bundle &&
           memcmp(tls_bundle_digest(identity->bundle), tls_bundle_digest(bundle), 32) == 0;
}

static void adopt_bundle(struct identity *identity, struct tls_bundle *bundle,
                         const struct xds_bundle *from)
{
    tls_bundle_unref(identity->bundle);
    identity->bundle = bundle;
    identity->bundle_generation++;
    identity->root_count = 0;
    for (unsigned i = 0; i < from->domain_count; i++)
        describe_roots(identity, domain_of(identity, &from->domains[i]), from->domains[i].pem,
                       from->domains[i].pem_len);
}

/* Puts the present leaf under the present bundle, at once and whatever the bundle says about the
 * leaf: a root that has gone must not vouch for a peer a moment longer. A leaf that the bundle does
 * not cover is still presented. It proves who we are and lends nobody trust; peers decide about it,
 * and those that the new bundle has not reached yet take it. Holding connections instead would cut
 * the pod off from them too, for as long as the control plane does not answer. */
static void change_trust(struct identity *identity)
{
    struct err err;
    struct tls_context *context = tls_context_with_bundle(identity->context, identity->bundle);
    if (!context)
        LOG_ERROR("context_lost", F_STR("error", "out of memory; connections wait"));
    tls_context_unref(identity->context);
    identity->context = context;
    identity->outdated = !context || tls_context_check(context, &err) != ERR_OK;
    if (identity->outdated) {
        if (context)
            LOG_WARN("certificate_outdated", F_ERR(&err));
        identity->renew_at_ms = clock_now_ms();
        if (!identity->call)
            arm(identity);
    }
    identity->on_context(identity, context);
}

void identity_set_bundle(struct identity *identity, const struct xds_bundle *from)
{
    struct err err;
    struct tls_bundle *bundle = NULL;
    if (identity->closing)
        return;
    if (make_bundle(identity, from, &bundle, &err) != ERR_OK) {
        LOG_WARN("trust_bundle_refused", F_ERR(&err));
        return;
    }
    identity->bundle_from_xds = true;
    if (is_in_force(identity, bundle)) {
        tls_bundle_unref(bundle);
        return;
    }
    adopt_bundle(identity, bundle, from);
    LOG_INFO("trust_bundle", F_INT("roots", tls_bundle_count(bundle)),
             F_INT("generation", identity->bundle_generation));
    if (identity->context)
        change_trust(identity);
}

/* --- the request ---------------------------------------------------------------------------- */

static void drop_answer(struct identity *identity)
{
    free(identity->answer_chain);
    free(identity->answer_root);
    identity->answer_chain = identity->answer_root = NULL;
    identity->answer_err = (struct err){0};
    tls_key_unref(identity->asked_key);
    identity->asked_key = NULL;
}

/* Before the certificate is judged: when it is "not yet valid", both clocks must be in the reason.
 */
static void measure_skew(struct identity *identity)
{
    struct cert_info leaf;
    const char *chain = identity->answer_chain;
    if (cert_info_parse(&leaf, chain, strlen(chain), NULL) != ERR_OK)
        return;
    identity->skew_s = leaf.not_before_s + IDENTITY_BACKDATED_S - clock_wall_s();
    identity->skew_known = true;
    tls_clock_skew_set(identity->skew_s);
    if (identity->skew_s > IDENTITY_BACKDATED_S / 2 || identity->skew_s < -IDENTITY_BACKDATED_S / 2)
        LOG_WARN("clock_skew", F_INT("control_minus_ours_s", identity->skew_s));
}

/* The answer is in: whatever is wrong with it, the certificate in use stays. */
static enum err_code adopt(struct identity *identity, struct err *err)
{
    struct tls_context *context = NULL;
    struct tls_bundle *bundle = NULL;
    const char *root = identity->answer_root;
    const struct xds_trust_domain domain = {
        .name = "", .pem = root, .pem_len = root ? strlen(root) : 0};
    const struct xds_bundle fallback = {.domains = &domain, .domain_count = 1};
    measure_skew(identity);
    if (!identity->bundle_from_xds && root && *root &&
        make_bundle(identity, &fallback, &bundle, err) != ERR_OK)
        return err_wrap(err, "the root at the end of the issued chain");
    if (!bundle && !identity->bundle)
        return err_set(err, ERR_CERT_REJECTED,
                       "the control plane sent neither a trust bundle nor a root");
    enum err_code code = tls_context_new(
        &context, identity->asked_key, identity->answer_chain, strlen(identity->answer_chain),
        bundle ? bundle : identity->bundle, &identity->config->id, view_alpn, err);
    if (code != ERR_OK) {
        tls_bundle_unref(bundle);
        return err_wrap(err, "the issued certificate");
    }
    if (bundle && is_in_force(identity, bundle))
        tls_bundle_unref(bundle);
    else if (bundle)
        adopt_bundle(identity, bundle, &fallback);
    tls_context_unref(identity->context);
    identity->context = context;
    identity->outdated = false;
    return ERR_OK;
}

/* How long the certificate lives from now on. By our clock when it agrees with the issuer's:
 * certificates know whole seconds only, and one that lives for two may have lost half of one. */
static int64_t life_ms(const struct identity *identity, const struct tls_identity_info *info)
{
    int64_t issued_ms = (info->not_after_s - info->not_before_s - IDENTITY_BACKDATED_S) * 1000;
    int64_t rest_ms = info->not_after_s * 1000 - clock_wall_ms();
    bool agree = identity->skew_s >= -1 && identity->skew_s <= 1;
    int64_t life = agree && rest_ms < issued_ms ? rest_ms : issued_ms;
    return life > 0 ? life : 0;
}

static void succeed(struct identity *identity)
{
    char until[CLOCK_TEXT_MAX];
    const struct tls_identity_info *info = tls_context_identity(identity->context);
    int64_t wait_ms = identity_renewal_ms(life_ms(identity, info));
    backoff_reset(&identity->backoff);
    identity->renewals++;
    identity->last_error = (struct err){0};
    identity->renew_at_ms = clock_now_ms() + wait_ms;
    LOG_INFO("certificate", F_STR("identity", info->id.text), F_STR("serial", info->serial),
             F_STR("not_after", clock_format(info->not_after_s, until)),
             F_INT("renewal_s", wait_ms / 1000), F_INT("skew_s", identity->skew_s));
    if (identity->on_request)
        identity->on_request(identity, ERR_OK);
    arm(identity);
    identity->on_context(identity, identity->context);
}

static void on_message(struct rpc_call *call, const void *data, size_t len, void *arg)
{
    struct identity *identity = arg;
    (void)call;
    if (!identity->answer_chain && identity->answer_err.code == ERR_OK)
        xds_certificate_response_decode(data, len, &identity->answer_chain, &identity->answer_root,
                                        &identity->answer_err);
}

static void on_end(struct rpc_call *call, int status, const char *message, void *arg)
{
    struct identity *identity = arg;
    struct err err = identity->answer_err;
    (void)call;
    identity->call = NULL;
    if (identity->closing) {
        drop_answer(identity);
        identity->on_closed(identity);
        return;
    }
    if (status != RPC_OK)
        err_set(&err, status == RPC_UNAVAILABLE ? ERR_RPC_UNAVAILABLE : ERR_RPC_STATUS,
                "CreateCertificate at %s: %s: %s", identity->config->control,
                rpc_status_name(status), message);
    else if (err.code == ERR_OK && !identity->answer_chain)
        err_set(&err, ERR_CERT_REJECTED, "CreateCertificate at %s: an empty answer",
                identity->config->control);
    if (err.code == ERR_OK && adopt(identity, &err) == ERR_OK)
        err.code = ERR_OK;
    drop_answer(identity);
    if (err.code == ERR_OK)
        succeed(identity);
    else
        fail(identity, &err);
}

static enum err_code send_request(struct identity *identity, const char *csr, const char *token,
                                  struct err *err)
{
    static const struct rpc_call_events events = {.on_message = on_message, .on_end = on_end};
    const struct config *config = identity->config;
    char *authorization = NULL;
    void *message = NULL;
    size_t len = 0;
    if (xds_certificate_request_encode(csr, config->certificate_ttl_s, &message, &len, err) !=
        ERR_OK)
        return err->code;
    int authorization_len = asprintf(&authorization, "Bearer %s", token);
    if (authorization_len < 0) {
        free(message);
        return err_set(err, ERR_NO_MEMORY, "no memory for a request");
    }
    const struct rpc_metadata metadata[] = {
        {"authorization", authorization, (size_t)authorization_len},
        {"clusterid", config->cluster_id, strlen(config->cluster_id)},
    };
    identity->call =
        rpc_call_start(identity->channel, XDS_METHOD_CERTIFICATE, metadata,
                       config->cluster_id[0] ? 2 : 1, IDENTITY_CALL_MS, &events, identity, err);
    bearer_free(authorization);
    if (!identity->call) {
        free(message);
        return err->code;
    }
    /* When this fails the call ends by its deadline, with a reason. */
    if (rpc_call_send_take(identity->call, message, len) != ERR_OK)
        free(message);
    rpc_call_half_close(identity->call);
    return ERR_OK;
}

static void request(struct identity *identity)
{
    struct err err = {0};
    char *token = NULL, *csr = NULL;
    if (identity->call || identity->closing)
        return;
    identity->wanted = !identity->channel;
    if (!identity->channel)
        return;
    drop_answer(identity);
    identity->asked_key = tls_key_new();
    if (!identity->asked_key)
        err_set(&err, ERR_NO_MEMORY, "no memory for a key");
    else if (tls_key_make_csr(identity->asked_key, &identity->config->id, &csr, &err) == ERR_OK &&
             bearer_read(identity->config->token_file, &token, &err) == ERR_OK)
        send_request(identity, csr, token, &err);
    bearer_free(token);
    free(csr);
    if (!identity->call) {
        drop_answer(identity);
        fail(identity, &err);
    }
}

/* --- begin and end -------------------------------------------------------------------------- */

void identity_init(struct identity *identity)
{
    identity->backoff =
        (struct backoff){.first_ms = IDENTITY_BACKOFF_FIRST_MS, .max_ms = IDENTITY_BACKOFF_MAX_MS};
    identity->wanted = true;
}

void identity_set_channel(struct identity *identity, struct rpc_channel *channel)
{
    identity->channel = channel;
    if (channel && (identity->wanted || !identity->context))
        request(identity);
}

void identity_close(struct identity *identity, void (*on_closed)(struct identity *))
{
    identity->closing = true;
    identity->on_closed = on_closed;
    timer_stop(identity->timers, &identity->timer);
    tls_context_unref(identity->context);
    tls_bundle_unref(identity->bundle);
    identity->context = NULL;
    identity->bundle = NULL;
    if (identity->call) {
        rpc_call_cancel(identity->call, RPC_CANCELLED, NULL);
        return;
    }
    drop_answer(identity);
    on_closed(identity);
}
