/* The command line of handfast-control. */
#ifndef CONTROL_CONFIG_H
#define CONTROL_CONFIG_H

#include <stdbool.h>
#include <stdint.h>

#include "base/addr.h"
#include "base/err.h"
#include "base/log.h"
#include "control/listener.h"
#include "tls/ca.h"

struct config {
    bool version; /* print it, and no more */
    bool check;   /* the word `check`: look at the mesh file, and no more */
    const char *mesh, *state;
    bool kubernetes;          /* --source: the mesh is a cluster's, not a file's */
    const char *kubeconfig;   /* NULL: we run in the cluster */
    const char *ns;           /* the installation's namespace; NULL: what the credentials say */
    const char *trust_domain; /* of a cluster's mesh; a file has its own */
    const char *ca_secret;    /* an issuing certificate that somebody else keeps; NULL: our own */
    const char *injector_dns_name; /* NULL: there is no injector to make certificates for */
    bool istio_policies;
    const char *audience, *cluster_id;
    struct addr_port listen[LISTENERS_MAX];
    unsigned listen_count;
    const char *dns_names[CA_DNS_NAMES_MAX];
    unsigned dns_count;
    int64_t metrics_port;
    int64_t ttl_s, ttl_max_s;      /* of certificates: when none is asked for, and at most */
    int64_t issue_deadline_ms;     /* of a call for a certificate; no option */
    struct listener_limits limits; /* no options; 0 connections: what the process may open */
    enum log_format log_format;
    enum log_level log_level;
};

/* What holds where nothing is said. */
void config_defaults(struct config *config);
/* Borrows from argv and the environment. ERR_USAGE. */
enum err_code config_parse(struct config *config, int argc, char **argv, struct err *err);
void config_print_help(void);

#endif
