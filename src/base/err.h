/* Errors: a code that machines count, an errno when the kernel had one, and a sentence for the
 * person on call.
 *
 * A function that can fail returns `enum err_code` (ERR_OK is 0) and, on failure, fills a `struct
 * err` that its caller owns. The sentence says what was tried, with whom, what was found and what
 * was expected. Callers on the way out add context with err_wrap(); the place that decides logs
 * once. */
#ifndef ERR_H
#define ERR_H

#include <stdarg.h>
#include <stddef.h>

/* code, label (metrics, logs and `response_flags`), default sentence. Labels are stable: dashboards
 * read them. */
#define ERR_TABLE(X)                                                                               \
    X(OK, "ok", "no error")                                                                        \
    /* general */                                                                                  \
    X(NO_MEMORY, "no_memory", "out of memory")                                                     \
    X(SYSTEM, "system", "a system call failed")                                                    \
    X(INVALID, "invalid", "the value is not valid")                                                \
    X(TOO_LARGE, "too_large", "the value is over its limit")                                       \
    X(NOT_FOUND, "not_found", "there is no such thing")                                            \
    X(BUSY, "busy", "a limit on things at once is reached")                                        \
    X(CANCELLED, "cancelled", "given up on request")                                               \
    X(TIMEOUT, "timeout", "a deadline passed")                                                     \
    X(USAGE, "usage", "the command line is not valid")                                             \
    X(PERMISSION, "permission", "a privilege is missing")                                          \
    /* the life of a connection */                                                                 \
    X(CONN_RESET, "conn_reset", "the peer reset the connection")                                   \
    X(CONN_APP_RESET, "conn_app_reset", "the application reset the connection")                    \
    X(CONN_REFUSED, "conn_refused", "the destination refused the connection")                      \
    X(CONN_UNREACHABLE, "conn_unreachable", "the destination cannot be reached")                   \
    X(CONN_CONNECT_TIMEOUT, "conn_connect_timeout", "the destination did not answer in time")      \
    X(CONN_USER_TIMEOUT, "conn_user_timeout", "the peer vanished")                                 \
    X(CONN_TRUNCATED, "conn_truncated", "the peer ended without close_notify")                     \
    X(CONN_NOT_REDIRECTED, "conn_not_redirected",                                                  \
      "the connection did not come through the redirect")                                          \
    X(CONN_OWN_PORT, "conn_own_port", "the destination is one of the proxy's own ports")           \
    X(CONN_NO_ENDPOINT, "conn_no_endpoint", "the service has no healthy endpoint")                 \
    X(CONN_NO_PORT, "conn_no_port", "the service has no such port")                                \
    X(CONN_UNSUPPORTED_TUNNEL, "conn_unsupported_tunnel",                                          \
      "the workload speaks a tunnel protocol that we do not")                                      \
    X(CONN_UNPROVEN, "conn_unproven", "too many clients have not proven yet who they are")         \
    X(CONN_NOT_READY, "conn_not_ready",                                                            \
      "the proxy had no certificate or configuration before the deadline")                         \
    X(CONN_DRAINED, "conn_drained", "the grace period of the shutdown ended")                      \
    X(CONN_POLICY_DENIED, "conn_policy_denied", "policy refused the connection")                   \
    X(CONN_POLICY_PENDING, "conn_policy_pending",                                                  \
      "a policy that the workload names has not arrived")                                          \
    X(CONN_POLICY_UNREADABLE, "conn_policy_unreadable",                                            \
      "a policy that may apply cannot be read by this proxy")                                      \
    X(CONN_UNKNOWN_WORKLOAD, "conn_unknown_workload",                                              \
      "the destination address is not a known workload of this pod")                               \
    /* TLS, one code for each thing that an operator would treat differently */                    \
    X(TLS_PROTOCOL, "tls_protocol", "the TLS handshake failed")                                    \
    X(TLS_TIMEOUT, "tls_timeout", "the TLS handshake did not finish in time")                      \
    X(TLS_PEER_CLOSED, "tls_peer_closed",                                                          \
      "the peer closed the connection during the TLS handshake")                                   \
    X(TLS_PEER_RESET, "tls_peer_reset", "the peer reset the connection during the TLS handshake")  \
    X(TLS_PLAINTEXT, "tls_plaintext", "the peer does not speak TLS")                               \
    X(TLS_VERSION, "tls_version", "the peer does not speak TLS 1.3")                               \
    X(TLS_ALPN, "tls_alpn", "no common application protocol (ALPN)")                               \
    X(TLS_NO_CERTIFICATE, "tls_no_certificate", "the peer presented no certificate")               \
    X(TLS_BAD_CERTIFICATE, "tls_bad_certificate", "the peer's certificate cannot be parsed")       \
    X(TLS_UNKNOWN_ROOT, "tls_unknown_root",                                                        \
      "the peer's certificate chains to no root of the trust bundle")                              \
    X(TLS_SIGNATURE, "tls_signature", "a signature in the peer's certificate chain is wrong")      \
    X(TLS_EXPIRED, "tls_expired", "the peer's certificate has expired")                            \
    X(TLS_NOT_YET_VALID, "tls_not_yet_valid", "the peer's certificate is not yet valid")           \
    X(TLS_URI_SAN_COUNT, "tls_uri_san_count",                                                      \
      "the peer's certificate does not have exactly one URI SAN")                                  \
    X(TLS_SPIFFE_ID, "tls_spiffe_id", "the peer's URI SAN is not a well-formed SPIFFE ID")         \
    X(TLS_TRUST_DOMAIN, "tls_trust_domain", "the peer's trust domain is not one of ours")          \
    X(TLS_ID_MISMATCH, "tls_id_mismatch", "the peer is not who was expected")                      \
    X(TLS_CA_LEAF, "tls_ca_leaf", "the peer's leaf certificate is a CA certificate")               \
    X(TLS_KEY_USAGE, "tls_key_usage",                                                              \
      "the peer's certificate lacks digitalSignature or has a CA's key usage")                     \
    X(TLS_EKU, "tls_eku", "the peer's certificate lacks an extended key usage")                    \
    X(TLS_REVOKED, "tls_revoked", "the peer's certificate is revoked")                             \
    X(TLS_NAME, "tls_name", "the server's certificate is for another name")                        \
    X(TLS_KEY_MISMATCH, "tls_key_mismatch", "the certificate does not belong to the key")          \
    X(TLS_ALERT, "tls_alert", "the peer ended the TLS connection with an alert")                   \
    X(TLS_RECORD, "tls_record", "a TLS record is damaged")                                         \
    /* the certificate authority and its callers */                                                \
    X(TOKEN_MISSING, "token_missing", "there is no bearer token")                                  \
    X(TOKEN_MALFORMED, "token_malformed", "the token is not a JWT")                                \
    X(TOKEN_ALG, "token_alg", "the token's signature algorithm is not ES256")                      \
    X(TOKEN_SIGNATURE, "token_signature", "the token's signature is wrong")                        \
    X(TOKEN_AUDIENCE, "token_audience", "the token is for another audience")                       \
    X(TOKEN_EXPIRED, "token_expired", "the token has expired")                                     \
    X(TOKEN_NOT_YET_VALID, "token_not_yet_valid", "the token is not yet valid")                    \
    X(TOKEN_ISSUER, "token_issuer", "the token is from another issuer")                            \
    X(TOKEN_SUBJECT, "token_subject", "the token's subject is not a service account")              \
    X(TOKEN_REFUSED, "token_refused", "the cluster does not accept the token")                     \
    X(TOKEN_POD, "token_pod", "the token is not bound to a pod that is there")                     \
    X(CLUSTER_ID, "cluster_id", "the caller belongs to another cluster")                           \
    X(QUOTA, "quota", "the caller holds its share already")                                        \
    X(CSR_MALFORMED, "csr_malformed", "the certificate signing request cannot be parsed")          \
    X(CSR_SIGNATURE, "csr_signature",                                                              \
      "the certificate signing request does not prove possession of its key")                      \
    X(CSR_KEY, "csr_key", "the certificate signing request's key is not P-256")                    \
    X(CSR_IDENTITY, "csr_identity",                                                                \
      "the certificate signing request asks for somebody else's identity")                         \
    X(CERT_REJECTED, "cert_rejected", "the issued certificate is not what was asked for")          \
    X(CA_STATE, "ca_state", "the certificate authority's state cannot be used")                    \
    /* control protocol */                                                                         \
    X(RPC_UNAVAILABLE, "rpc_unavailable", "the control plane cannot be reached")                   \
    X(RPC_STATUS, "rpc_status", "the control plane answered with an error")                        \
    X(RPC_PROTOCOL, "rpc_protocol", "the client does not keep to HTTP/2 or to one of its limits")  \
    X(XDS_MALFORMED, "xds_malformed", "the protobuf message cannot be parsed")                     \
    X(XDS_UNKNOWN_TYPE, "xds_unknown_type", "the resource type is not known")                      \
    X(XDS_RESOURCE, "xds_resource", "a resource is not valid")                                     \
    X(XDS_NODE, "xds_node", "the node identifier does not fit the token")                          \
    X(MESH_FILE, "mesh_file", "the mesh file is not valid")                                        \
    /* the redirect step */                                                                        \
    X(NFT, "nft", "nftables refused the rules")                                                    \
    X(NFT_MODULE, "nft_module", "a kernel module is missing")                                      \
    X(NFT_DIFFERS, "nft_differs", "the rules in the kernel are not the ones that were installed")  \
    X(CAPTURE_FAILED, "capture_failed", "a connection that should have been captured was not")

enum err_code {
#define X(name, label, sentence) ERR_##name,
    ERR_TABLE(X)
#undef X
        ERR_COUNT_
};

enum { ERR_TEXT_MAX = 480 };

struct err {
    enum err_code code;
    int sys; /* errno, or 0 */
    char text[ERR_TEXT_MAX];
};

/* Sets code and sentence (cut at ERR_TEXT_MAX - 1 bytes); returns `code`, so that `return
 * err_set(...)` reads well. `err` may be NULL when the caller does not want the sentence. */
enum err_code err_set(struct err *err, enum err_code code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* As err_set, and appends ": <strerror(sys)>"; `sys` is an errno value, either sign. */
enum err_code err_sys(struct err *err, enum err_code code, int sys, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Puts "context: " in front of the sentence; returns the code that was there. */
enum err_code err_wrap(struct err *err, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The stable label, "tls_expired", of a code; never NULL. */
const char *err_label(enum err_code code);

/* The default sentence of a code; never NULL. */
const char *err_sentence(enum err_code code);

#endif
