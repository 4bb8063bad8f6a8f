#include "mesh/workload.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mesh/block.h"
#include "mesh/check.h"

static enum err_code check_links(const struct mesh_workload *from, struct err *err)
{
    enum err_code code =
        mesh_check_count("services", from->link_count, MESH_WORKLOAD_LINKS_MAX, err);
    for (unsigned i = 0; i < from->link_count && !code; i++) {
        code = mesh_check_text("a key of services", from->links[i].service, err);
        if (!code)
            code = mesh_check_count("ports of a service", from->links[i].port_count, MESH_PORTS_MAX,
                                    err);
    }
    return code;
}

static enum err_code check_labels(const struct mesh_workload *from, struct err *err)
{
    enum err_code code =
        mesh_check_count("labels", from->label_count, MESH_WORKLOAD_LABELS_MAX, err);
    for (unsigned i = 0; i < from->label_count && !code; i++) {
        code = mesh_check_text("a label's key", from->labels[i].key, err);
        if (!code)
            code = mesh_check_text("a label's value", from->labels[i].value, err);
    }
    return code;
}

static enum err_code check_texts(const struct mesh_workload *from, struct err *err)
{
    const struct {
        const char *field, *text;
    } texts[] = {
        {"uid", from->uid},
        {"name", from->name},
        {"network", from->network},
        {"node", from->node},
        {"cluster_id", from->cluster},
        {"hostname", from->hostname},
        {"canonical_name", from->canonical_name},
        {"canonical_revision", from->canonical_revision},
        {"workload_name", from->workload_name},
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++) {
        enum err_code code = mesh_check_text(texts[i].field, texts[i].text, err);
        if (code)
            return code;
    }
    return ERR_OK;
}

static enum err_code check(const struct mesh_workload *from, struct err *err)
{
    if (!from->uid || !*from->uid)
        return err_set(err, ERR_XDS_RESOURCE, "uid is empty");
    enum err_code code = check_texts(from, err);
    if (!code)
        code = mesh_check_segment("namespace", from->namespace, err);
    if (!code && from->service_account && *from->service_account)
        code = mesh_check_segment("service_account", from->service_account, err);
    if (!code && from->trust_domain && *from->trust_domain)
        code = mesh_check_trust_domain("trust_domain", from->trust_domain, err);
    if (!code)
        code = mesh_check_count("addresses", from->address_count, MESH_WORKLOAD_ADDRESSES_MAX, err);
    if (!code)
        code = check_links(from, err);
    if (!code)
        code = mesh_check_texts("authorization_policies", from->policies, from->policy_count,
                                MESH_WORKLOAD_POLICIES_MAX, err);
    if (!code)
        code = check_labels(from, err);
    return code;
}

static const struct mesh_link *lay_out_links(const struct mesh_workload *from,
                                             struct mesh_block *block)
{
    if (from->link_count == 0)
        return NULL;
    struct mesh_link *links = mesh_block_take(block, from->link_count * sizeof *links);
    for (unsigned i = 0; i < from->link_count; i++) {
        struct mesh_link link = from->links[i];
        link.service = mesh_block_text(block, link.service);
        link.ports = mesh_block_array(block, link.ports, link.port_count, sizeof(struct mesh_port));
        if (links)
            links[i] = link;
    }
    return links;
}

static const struct mesh_label *lay_out_labels(const struct mesh_workload *from,
                                               struct mesh_block *block)
{
    if (from->label_count == 0)
        return NULL;
    struct mesh_label *labels = mesh_block_take(block, from->label_count * sizeof *labels);
    for (unsigned i = 0; i < from->label_count; i++) {
        const char *key = mesh_block_text(block, from->labels[i].key);
        const char *value = mesh_block_text(block, from->labels[i].value);
        if (labels)
            labels[i] = (struct mesh_label){key, value};
    }
    return labels;
}

static void lay_out(const struct mesh_workload *from, struct mesh_block *block)
{
    struct mesh_workload *out = mesh_block_take(block, sizeof *out);
    struct mesh_workload copy = *from;
    const char **texts[] = {
        &copy.uid,          &copy.name,           &copy.namespace,
        &copy.network,      &copy.node,           &copy.cluster,
        &copy.hostname,     &copy.canonical_name, &copy.canonical_revision,
        &copy.trust_domain, &copy.workload_name,  &copy.service_account,
    };
    for (size_t i = 0; i < sizeof texts / sizeof texts[0]; i++)
        *texts[i] = mesh_block_text(block, *texts[i]);
    copy.addresses =
        mesh_block_array(block, from->addresses, from->address_count, sizeof(struct addr));
    copy.links = lay_out_links(from, block);
    copy.policies = mesh_block_texts(block, from->policies, from->policy_count);
    copy.labels = lay_out_labels(from, block);
    if (out) {
        *out = copy;
        ref_init(&out->ref);
        out->hash = mesh_hash(out->uid);
    }
}

enum err_code mesh_workload_new(const struct mesh_workload *from, struct mesh_workload **out,
                                struct err *err)
{
    enum err_code code = check(from, err);
    if (code)
        return code;
    struct mesh_block block = {0};
    lay_out(from, &block);
    block.base = malloc(block.used);
    if (!block.base)
        return err_set(err, ERR_NO_MEMORY, "out of memory for workload %.128s", from->uid);
    block.used = 0;
    lay_out(from, &block);
    *out = (struct mesh_workload *)(void *)block.base;
    return ERR_OK;
}

struct mesh_workload *mesh_workload_ref(struct mesh_workload *workload)
{
    ref_get(&workload->ref);
    return workload;
}

void mesh_workload_unref(struct mesh_workload *workload)
{
    if (workload && ref_put(&workload->ref))
        free(workload);
}

const char *mesh_workload_account(const struct mesh_workload *workload)
{
    return *workload->service_account ? workload->service_account : "default";
}

const char *mesh_workload_trust_domain(const struct mesh_workload *workload,
                                       const char *mesh_trust_domain)
{
    return *workload->trust_domain ? workload->trust_domain : mesh_trust_domain;
}

size_t mesh_workload_spiffe_id(const struct mesh_workload *workload, const char *mesh_trust_domain,
                               char text[MESH_SPIFFE_MAX])
{
    int len = snprintf(text, MESH_SPIFFE_MAX, "spiffe://%s/ns/%s/sa/%s",
                       mesh_workload_trust_domain(workload, mesh_trust_domain), workload->namespace,
                       mesh_workload_account(workload));
    if (len > 0 && len < MESH_SPIFFE_MAX)
        return (size_t)len;
    text[0] = 0;
    return 0;
}

const char *mesh_workload_label(const struct mesh_workload *workload, const char *key)
{
    for (unsigned i = 0; i < workload->label_count; i++) {
        if (strcmp(workload->labels[i].key, key) == 0)
            return workload->labels[i].value;
    }
    return NULL;
}
