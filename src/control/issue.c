#include "control/issue.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/clock.h"
#include "base/log.h"
#include "xds/certificate.h"

/* One call, from its token to its answer. */
struct issue {
    struct authenticator_call question; /* first */
    struct issuer *issuer;
    struct token_subject subject;
    struct rpc_call *call;
    struct timer deadline;
    struct quota_caller *place;
    bool answered;
};

static int status_of(enum err_code code)
{
    switch (code) {
    case ERR_CSR_IDENTITY:
        return RPC_PERMISSION_DENIED;
    case ERR_CA_STATE:
    case ERR_CERT_REJECTED:
        return RPC_INTERNAL;
    case ERR_NO_MEMORY:
        return RPC_RESOURCE_EXHAUSTED;
    default:
        return RPC_INVALID_ARGUMENT;
    }
}

static void refuse(struct issuer *issuer, struct rpc_call *call, int status, const char *who,
                   const struct err *err)
{
    char text[RPC_TEXT_MAX];
    issuer->tally->certificates_refused[err->code]++;
    snprintf(text, sizeof text, "%s: %s", err_label(err->code), err->text);
    LOG_LIMITED(LOG_LEVEL_WARN, 20, "cert_refused", F_STR("caller", who), F_ERR(err));
    rpc_call_finish(call, status, text);
}

static enum err_code choose_ttl(const struct issuer *issuer, int64_t asked_s, int64_t *ttl_s,
                                struct err *err)
{
    *ttl_s = asked_s > 0 ? asked_s : issuer->ttl_s;
    if (*ttl_s <= issuer->ttl_max_s)
        return ERR_OK;
    return err_set(err, ERR_INVALID,
                   "a certificate for %lld s was asked for, at most %lld s are given",
                   (long long)asked_s, (long long)issuer->ttl_max_s);
}

static enum err_code answer(struct rpc_call *call, const struct issuer *issuer,
                            const struct ca_issued *issued, struct err *err)
{
    void *message;
    size_t len;
    const struct ca *ca = issuer->state->ca;
    const char *chain[] = {issued->leaf_pem, ca_issuer_pem(ca), ca_root_pem(ca)};
    enum err_code code = xds_certificate_response_encode(chain, 3, &message, &len, err);
    if (code != ERR_OK)
        return code;
    code = rpc_call_send_take(call, message, len);
    if (code != ERR_OK)
        free(message);
    return code == ERR_OK ? ERR_OK : err_set(err, code, "the answer cannot be sent");
}

static enum err_code issue(struct rpc_call *call, const struct issue *issue, const void *data,
                           size_t len, struct err *err)
{
    const struct issuer *issuer = issue->issuer;
    struct spiffe_id id;
    struct ca_issued issued = {0};
    char *csr = NULL, until[CLOCK_TEXT_MAX];
    int64_t ttl_s = 0;
    if (!spiffe_make(&id, issuer->trust_domain, issue->subject.ns, issue->subject.service_account))
        return err_set(err, ERR_TOKEN_SUBJECT, "%s/%s makes no SPIFFE ID", issue->subject.ns,
                       issue->subject.service_account);
    enum err_code code = xds_certificate_request_decode(data, len, &csr, &ttl_s, err);
    if (code == ERR_OK)
        code = choose_ttl(issuer, ttl_s, &ttl_s, err);
    if (code == ERR_OK)
        code = ca_issue_leaf(issuer->state->ca, &id, csr, strlen(csr), ttl_s, &issued, err);
    if (code == ERR_OK)
        code = answer(call, issuer, &issued, err);
    if (code == ERR_OK)
        LOG_INFO("cert_issued", F_STR("identity", id.text), F_STR("serial", issued.leaf.serial),
                 F_STR("not_after", clock_format(issued.leaf.not_after_s, until)));
    ca_issued_deinit(&issued);
    free(csr);
    return code;
}

static void on_message(struct rpc_call *call, const void *data, size_t len, void *arg)
{
    struct issue *this = arg;
    struct err err = {0};
    char who[2 * TOKEN_NAME_MAX];
    if (this->answered)
        return;
    this->answered = true;
    snprintf(who, sizeof who, "%s/%s", this->subject.ns, this->subject.service_account);
    if (issue(call, this, data, len, &err) == ERR_OK) {
        this->issuer->tally->certificates_issued++;
        rpc_call_finish(call, RPC_OK, NULL);
    } else {
        refuse(this->issuer, call, status_of(err.code), who, &err);
    }
}

static void on_half_closed(struct rpc_call *call, void *arg)
{
    struct issue *this = arg;
    if (!this->answered)
        rpc_call_finish(call, RPC_INVALID_ARGUMENT, "the call ended without a request");
    this->answered = true;
}

static void release(struct issue *this)
{
    timer_stop(this->issuer->timers, &this->deadline);
    if (this->place)
        quota_give(this->place, QUOTA_REQUESTS);
    free(this);
}

static void on_end(struct rpc_call *call, int status, const char *message, void *arg)
{
    struct issue *this = arg;
    (void)call;
    (void)status;
    (void)message;
    release(this);
}

static void on_deadline(struct timer *timer)
{
    struct issue *this = (struct issue *)(void *)((char *)timer - offsetof(struct issue, deadline));
    struct err err;
    err_set(&err, ERR_TIMEOUT, "%s within %lld ms",
            this->answered ? "the answer was not taken" : "no request came",
            (long long)this->issuer->deadline_ms);
    this->issuer->tally->certificates_refused[ERR_TIMEOUT]++;
    LOG_LIMITED(LOG_LEVEL_WARN, 20, "cert_refused", F_STR("caller", this->place->key), F_ERR(&err));
    this->answered = true;
    rpc_call_cancel(this->call, RPC_DEADLINE_EXCEEDED, "the call took too long");
}

static void on_authenticated(struct authenticator_call *question, enum err_code code,
                             struct err *err)
{
    static const struct rpc_call_events events = {
        .on_message = on_message, .on_half_closed = on_half_closed, .on_end = on_end};
    struct issue *this = (struct issue *)question;
    struct issuer *issuer = this->issuer;
    struct rpc_call *call = question->call;
    this->subject = question->request.subject;
    this->call = call;
    if (code == ERR_OK)
        code = issuer->admit(call, &this->subject, err);
    if (code == ERR_OK)
        code = quota_take(issuer->quota, QUOTA_REQUESTS, this->subject.ns,
                          this->subject.service_account, &this->place, err);
    if (code == ERR_OK &&
        !timer_start(issuer->timers, &this->deadline, issuer->deadline_ms, on_deadline))
        code = err_set(err, ERR_NO_MEMORY, "no memory for a deadline");
    if (code == ERR_OK && (code = rpc_call_accept(call, NULL, 0, &events, this)) == ERR_OK)
        return;
    if (err->code == ERR_OK)
        err_set(err, code, "%s", err_sentence(code));
    release(this);
    issuer->tally->certificates_refused[err->code]++;
    LOG_LIMITED(LOG_LEVEL_WARN, 20, "cert_refused", F_ERR(err));
    authenticator_refuse(call, err);
}

void issue_open(struct issuer *issuer, struct rpc_call *call)
{
    struct issue *this = calloc(1, sizeof *this);
    if (!this) {
        rpc_call_finish(call, RPC_RESOURCE_EXHAUSTED, "out of memory");
        return;
    }
    this->issuer = issuer;
    authenticator_check_call(issuer->authenticator, issuer->cluster_id, call, &this->question,
                             on_authenticated);
}
