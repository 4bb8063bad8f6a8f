/* Where a cluster's API server is and how to show it who we are: from the files that every pod has,
 * or from a kubeconfig. Read once; only the token is read again later (client.h). Blocking; any
 * thread. */
#ifndef KUBE_CONFIG_H
#define KUBE_CONFIG_H

#include <stdint.h>

#include "base/err.h"

enum {
    KUBE_CONFIG_FILE_MAX = 4 << 20, /* bytes of a kubeconfig */
    KUBE_TOKEN_MAX = 16 << 10,      /* bytes of a token */
};

struct kube_config {
    char *host; /* to connect to: a DNS name or an IP address */
    uint16_t port;
    char *base_path;   /* before every path, "/k8s/clusters/c-1"; "" for most servers */
    char *server_name; /* DNS name or IP address that the certificate must carry */
    char *ca_pem;
    char *token;      /* NULL, or shown as it is */
    char *token_file; /* NULL, or read for every request: kubelet rotates it; wins over `token` */
    char *client_cert_pem, *client_key_pem; /* both or neither */
    char *namespace;                        /* ours, or the context's; never NULL */
};

/* From the environment and the folder that kubelet mounts into a pod. `out` is filled on success
 * only. ERR_NOT_FOUND when this is no pod, ERR_INVALID, ERR_SYSTEM, ERR_TOO_LARGE. */
enum err_code kube_config_in_cluster(struct kube_config *out, struct err *err);

/* The same with what the environment would say. */
enum err_code kube_config_of_pod(struct kube_config *out, const char *host, const char *port,
                                 const char *folder, struct err *err);

/* From one kubeconfig file; `context` NULL is its current-context. Certificates, keys and tokens
 * may be in the file or beside it (paths are relative to its folder). What would make us trust
 * anybody, or needs another program, is refused: insecure-skip-tls-verify, exec, auth-provider;
 * passwords, impersonation and proxies likewise. As above; ERR_NOT_FOUND also for a context,
 * cluster or user that is not there. */
enum err_code kube_config_file(struct kube_config *out, const char *path, const char *context,
                               struct err *err);

/* Wipes and frees what is inside; a zeroed one is fine. */
void kube_config_deinit(struct kube_config *config);

#endif
