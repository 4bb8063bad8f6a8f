#include "proxy/report.h"

#include <string.h>

#include "mesh/builder.h"
#include "suite.h"

/* What the documents are made from, without anything that runs. */
static struct {
    struct loop loop;
    struct timers timers;
    struct config config;
    struct metrics *registry;
    struct drain drain;
    struct control control;
} bed;

static void begin(void)
{
    static const struct xds_client_config client = {.pod_ip = "10.0.0.1",
                                                    .pod_name = "web-1",
                                                    .namespace = "shop",
                                                    .cluster_id = "",
                                                    .trust_domain = "test.mesh"};
    static const struct xds_client_events events = {0};
    struct err err = {0};
    memset(&bed, 0, sizeof bed);
    CU_ASSERT_EQUAL_FATAL(loop_init(&bed.loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(timers_init(&bed.timers, &bed.loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(stats_new(&bed.registry, &err), ERR_OK);
    bed.config = (struct config){.control = "control:15012", .pod_name = "web-1", .ns = "shop"};
    bed.control.config = bed.control.identity.config = &bed.config;
    bed.control.xds = xds_client_new(&bed.timers, &client, &events, NULL, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bed.control.xds);
}

static void end(void)
{
    xds_client_close(bed.control.xds, NULL, NULL);
    timers_close(&bed.timers, NULL);
    loop_deinit(&bed.loop);
    metrics_free(bed.registry);
}

static json_t *status(const char *reason)
{
    return report_status(&bed.control, &bed.drain, "starting", reason, 0, bed.registry);
}

static const char *text_of(const json_t *object, const char *key)
{
    return json_string_value(json_object_get(object, key));
}

static void a_refused_certificate_says_why_before_there_is_one(void)
{
    begin();
    err_set(&bed.control.identity.last_error, ERR_RPC_STATUS, "CreateCertificate: csr_identity");
    json_t *json = status("waiting");
    const json_t *certificate = json_object_get(json, "certificate");
    CU_ASSERT_TRUE(json_is_null(json_object_get(certificate, "serial")));
    CU_ASSERT_TRUE(json_is_null(json_object_get(certificate, "not_after")));
    CU_ASSERT_TRUE(json_is_null(json_object_get(certificate, "seconds_left")));
    CU_ASSERT_PTR_NOT_NULL_FATAL(text_of(certificate, "last_error"));
    CU_ASSERT_STRING_EQUAL(text_of(certificate, "last_error"), "CreateCertificate: csr_identity");
    CU_ASSERT_STRING_EQUAL(text_of(certificate, "last_error_code"), err_label(ERR_RPC_STATUS));
    json_decref(json);
    end();
}

static void what_a_server_said_is_shown_though_it_is_not_utf8(void)
{
    begin();
    err_set(&bed.control.last_error, ERR_RPC_STATUS, "no \xff\xfe \xc3\xa4 entry");
    json_t *json = status(NULL);
    const char *said = text_of(json_object_get(json, "control"), "last_error");
    CU_ASSERT_PTR_NOT_NULL_FATAL(said);
    CU_ASSERT_STRING_EQUAL(said, "no ?? ?? entry");
    json_decref(json);
    end();
}

static void an_address_that_the_mesh_does_not_know_is_a_warning(void)
{
    begin();
    bed.config.pod_ip_count = 1;
    addr_parse(&bed.config.pod_ips[0], "10.0.0.9");
    for (int complete = 0; complete <= 1; complete++) {
        bed.control.view = view_new(xds_client_snapshot(bed.control.xds), NULL, complete);
        json_t *json = status(NULL), *warnings = json_object_get(json, "warnings");
        CU_ASSERT_EQUAL(json_array_size(warnings), (size_t)complete);
        if (complete) {
            const char *text = json_string_value(json_array_get(warnings, 0));
            CU_ASSERT_PTR_NOT_NULL_FATAL(text);
            CU_ASSERT_PTR_NOT_NULL(strstr(text, "10.0.0.9"));
        }
        json_decref(json);
        view_unref(bed.control.view);
    }
    end();
}

static int64_t renewals_after(uint64_t certificates)
{
    bed.control.identity.renewals = certificates;
    json_t *json = report_certs(&bed.control.identity);
    int64_t renewals = json_integer_value(json_object_get(json, "renewals"));
    json_decref(json);
    return renewals;
}

static void the_first_certificate_is_no_renewal(void)
{
    begin();
    CU_ASSERT_EQUAL(renewals_after(0), 0);
    CU_ASSERT_EQUAL(renewals_after(1), 0);
    CU_ASSERT_EQUAL(renewals_after(5), 4);
    end();
}

static void a_policy_is_shown_with_its_rules(void)
{
    static const struct mesh_string anybody = {.kind = MESH_PRESENCE, .text = ""};
    static const struct mesh_match match = {.not_principals = {&anybody, 1}};
    static const struct mesh_clause clause = {&match, 1};
    static const struct mesh_rule rule = {&clause, 1};
    static const struct mesh_policy from = {.name = "strict",
                                            .namespace = "",
                                            .action = MESH_ACTION_DENY,
                                            .rules = &rule,
                                            .rule_count = 1};
    struct err err = {0};
    struct mesh_policy *policy;
    struct mesh_snapshot *empty = mesh_snapshot_new("test.mesh"), *snapshot = NULL;
    struct mesh_builder *builder = mesh_builder_new(empty);
    CU_ASSERT_EQUAL_FATAL(mesh_policy_new(&from, &policy, &err), ERR_OK);
    CU_ASSERT_TRUE(mesh_builder_put_policy(builder, policy));
    CU_ASSERT_EQUAL_FATAL(mesh_builder_finish(builder, &snapshot, &err), ERR_OK);
    json_t *json = report_config(snapshot);
    const char *text = text_of(json_array_get(json_object_get(json, "policies"), 0), "text");
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_STRING_EQUAL(text, "principal not *");
    json_decref(json);
    mesh_policy_unref(policy);
    mesh_snapshot_unref(snapshot);
    mesh_snapshot_unref(empty);
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(a_refused_certificate_says_why_before_there_is_one),
        SUITE_CASE(what_a_server_said_is_shown_though_it_is_not_utf8),
        SUITE_CASE(an_address_that_the_mesh_does_not_know_is_a_warning),
        SUITE_CASE(the_first_certificate_is_no_renewal),
        SUITE_CASE(a_policy_is_shown_with_its_rules),
        SUITE_END,
    };
    return suite_main("proxy/report", cases, argc, argv);
}
