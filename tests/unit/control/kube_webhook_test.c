/* The injector's certificate, and the caBundle of its webhook. */
#include "control/kube_webhook.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "kube/bed.h"
#include "kube/shelf.h"

#define SECRET "/api/v1/namespaces/handfast-system/secrets/handfast-injector-tls"
#define HOOK "/apis/admissionregistration.k8s.io/v1/mutatingwebhookconfigurations/handfast-injector"
#define NAME "handfast-injector.handfast-system.svc"

static struct bed bed;
static struct shelf shelf;
static struct kube_keeper keeper;
static struct kube_webhook webhook;
static struct ca_state state;
static int64_t now_ms, wall_ms;

static void new_authority(void)
{
    char *parts[CA_PARTS] = {0};
    struct err err;
    CU_ASSERT_EQUAL_FATAL(ca_parts_make(parts, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(ca_state_adopt(&state, parts, &err), ERR_OK);
    ca_parts_free(parts);
}

static void start(bool leading)
{
    bed_start(&bed);
    bed_connect(&bed);
    shelf_start(&shelf, &bed.server);
    state = (struct ca_state){.lock_fd = -1};
    new_authority();
    keeper =
        (struct kube_keeper){.client = bed.client, .ns = "handfast-system", .leading = leading};
    webhook = (struct kube_webhook){
        .keeper = &keeper, .timers = &bed.timers, .state = &state, .dns_name = NAME};
    now_ms = clock_now_ms();
    wall_ms = clock_wall_ms();
    clock_fake(now_ms, wall_ms);
}

static void follow(void)
{
    struct err err;
    CU_ASSERT_EQUAL_FATAL(kube_webhook_start(&webhook, &err), ERR_OK);
}

static void stop(void)
{
    clock_fake(0, -1);
    kube_webhook_close(&webhook);
    kube_webhook_close(&webhook); /* twice is harmless */
    ca_state_close(&state);
    bed_stop(&bed);
    shelf_stop(&shelf);
}

static void later(int64_t ms)
{
    now_ms += ms;
    wall_ms += ms;
    clock_fake(now_ms, wall_ms);
}

static bool is_settled(void *arg)
{
    return shelf.writes >= *(const unsigned *)arg && !webhook.secret_call && !webhook.hook_call &&
           webhook.secret_root;
}

static void wait_writes(unsigned count)
{
    CU_ASSERT_TRUE_FATAL(bed_wait(&bed, is_settled, &count));
}

/* Nothing happens for as long as nobody's clock moves. The bed's own waits by the clock. */
static void idle(void)
{
    for (int i = 0; i < 20; i++)
        uv_run(&bed.loop.uv, UV_RUN_ONCE);
}

static const char *root64(void)
{
    static char text[8192];
    base64_encode(ca_root_pem(state.ca), strlen(ca_root_pem(state.ca)), text);
    return text;
}

static json_t *hook(const char *bundle)
{
    return json_pack("{s:[{s:s, s:{s:s*}}, {s:s, s:{s:s*}}]}", "webhooks", "name", "one",
                     "clientConfig", "caBundle", bundle, "name", "two", "clientConfig", "caBundle",
                     bundle);
}

static void certificate_is_made_for_the_service_by_our_own_authority(void)
{
    struct cert_info info;
    char pem[8192];
    size_t len;
    start(true);
    follow();
    wait_writes(1);
    idle();
    CU_ASSERT_EQUAL(shelf.writes, 1);
    CU_ASSERT_STRING_EQUAL(shelf_text(&shelf, SECRET, "data", "ca.crt"), root64());
    CU_ASSERT_STRING_NOT_EQUAL(shelf_text(&shelf, SECRET, "data", "tls.key"), "");
    const char *chain = shelf_text(&shelf, SECRET, "data", "tls.crt");
    CU_ASSERT_TRUE_FATAL(base64_decode(chain, strlen(chain), pem, &len));
    CU_ASSERT_EQUAL(cert_info_parse(&info, pem, len, NULL), ERR_OK);
    CU_ASSERT_TRUE(info.not_after_s - wall_ms / 1000 >= WEBHOOK_TTL_S - 1);
    stop();
}

static void only_the_leader_writes_the_certificate(void)
{
    start(false);
    follow();
    for (int i = 0; i < 5; i++)
        idle();
    CU_ASSERT_EQUAL(shelf.writes, 0);
    keeper.leading = true;
    CU_ASSERT_TRUE_FATAL(bed_wait_flag(&bed, &webhook.secrets_synced));
    kube_webhook_check(&webhook);
    wait_writes(1);
    stop();
}

static void certificate_is_renewed_at_half_its_life(void)
{
    start(true);
    follow();
    wait_writes(1);
    later((int64_t)WEBHOOK_TTL_S * 1000 / 2 - 200000);
    kube_webhook_check(&webhook);
    CU_ASSERT_PTR_NULL(webhook.secret_call);
    later(200000);
    kube_webhook_check(&webhook);
    CU_ASSERT_PTR_NOT_NULL(webhook.secret_call);
    wait_writes(2);
    stop();
}

static void new_root_or_a_deleted_secret_means_a_new_certificate(void)
{
    start(true);
    follow();
    wait_writes(1);
    new_authority();
    later(WEBHOOK_RETRY_MS);
    kube_webhook_check(&webhook);
    wait_writes(2);
    CU_ASSERT_STRING_EQUAL(shelf_text(&shelf, SECRET, "data", "ca.crt"), root64());
    idle();
    later(WEBHOOK_RETRY_MS);
    shelf_delete(&shelf, SECRET);
    wait_writes(3);
    CU_ASSERT_STRING_EQUAL(shelf_text(&shelf, SECRET, "data", "ca.crt"), root64());
    stop();
}

/* Somebody who puts his own back at once must not make us issue without end. */
static void certificate_is_not_written_again_and_again(void)
{
    start(true);
    follow();
    wait_writes(1);
    for (int i = 0; i < 5; i++) {
        shelf_put(&shelf, SECRET,
                  json_pack("{s:{s:s, s:s}}", "data", "tls.crt", "eA==", "ca.crt", "eA=="));
        idle();
    }
    CU_ASSERT_EQUAL(shelf.writes, 1);
    CU_ASSERT_TRUE(webhook.timer.slot);
    CU_ASSERT_TRUE(webhook.timer.due_ms - (int64_t)(uv_hrtime() / 1000000) <= WEBHOOK_RETRY_MS);
    later(WEBHOOK_RETRY_MS);
    timer_start(&bed.timers, &webhook.timer, 0, webhook.timer.on_due);
    wait_writes(2);
    stop();
}

static void odd_secrets_are_replaced(void)
{
    static const char *const odd[] = {"{}", "{\"data\":[]}",
                                      "{\"data\":{\"tls.crt\":{},\"ca.crt\":7}}",
                                      "{\"data\":{\"tls.crt\":\"%%\",\"ca.crt\":\"\"}}"};
    for (unsigned i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        start(true);
        shelf_put(&shelf, SECRET, json_loads(odd[i], 0, NULL));
        follow();
        wait_writes(1);
        CU_ASSERT_STRING_EQUAL(shelf_text(&shelf, SECRET, "data", "ca.crt"), root64());
        stop();
    }
}

static void write_that_failed_is_tried_again(void)
{
    start(true);
    shelf.fail = 500;
    follow();
    while (keeper.failures == 0)
        uv_run(&bed.loop.uv, UV_RUN_ONCE);
    shelf.fail = 0;
    later(WEBHOOK_RETRY_MS);
    CU_ASSERT_TRUE_FATAL(webhook.timer.slot);
    timer_start(&bed.timers, &webhook.timer, 0, webhook.timer.on_due);
    wait_writes(2);
    stop();
}

/* --- caBundle --------------------------------------------------------------------------------- */

static void bundle_of_every_entry_follows_the_certificate(void)
{
    start(true);
    shelf_put(&shelf, HOOK, hook(NULL));
    follow();
    wait_writes(2);
    CU_ASSERT_STRING_EQUAL(shelf.last_write, "PATCH " HOOK);
    CU_ASSERT_STRING_EQUAL(bed.server.last_content_type, "application/json-patch+json");
    json_t *patch = json_loads(bed.server.last_body, 0, NULL);
    CU_ASSERT_EQUAL(json_array_size(patch), 4);
    for (size_t i = 0; i < 2; i++) {
        char path[64];
        const json_t *test = json_array_get(patch, 2 * i), *add = json_array_get(patch, 2 * i + 1);
        snprintf(path, sizeof path, "/webhooks/%zu/name", i);
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(test, "op")), "test");
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(test, "path")), path);
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(test, "value")),
                               i ? "two" : "one");
        snprintf(path, sizeof path, "/webhooks/%zu/clientConfig/caBundle", i);
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(add, "op")), "add");
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(add, "path")), path);
        CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(add, "value")), root64());
    }
    json_decref(patch);
    later(WEBHOOK_RETRY_MS);
    shelf_put(&shelf, HOOK, hook(root64()));
    idle();
    CU_ASSERT_EQUAL(shelf.writes, 2);
    shelf_put(&shelf, HOOK, hook("b3RoZXI="));
    wait_writes(3);
    stop();
}

static void odd_webhooks_are_left_alone(void)
{
    static const char *const odd[] = {"{}", "{\"webhooks\":{}}", "{\"webhooks\":[]}"};
    for (unsigned i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        start(true);
        shelf_put(&shelf, HOOK, json_loads(odd[i], 0, NULL));
        follow();
        wait_writes(1);
        idle();
        CU_ASSERT_EQUAL(shelf.writes, 1);
        stop();
    }
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(certificate_is_made_for_the_service_by_our_own_authority),
        SUITE_CASE(only_the_leader_writes_the_certificate),
        SUITE_CASE(certificate_is_renewed_at_half_its_life),
        SUITE_CASE(new_root_or_a_deleted_secret_means_a_new_certificate),
        SUITE_CASE(certificate_is_not_written_again_and_again),
        SUITE_CASE(odd_secrets_are_replaced),
        SUITE_CASE(write_that_failed_is_tried_again),
        SUITE_CASE(bundle_of_every_entry_follows_the_certificate),
        SUITE_CASE(odd_webhooks_are_left_alone),
        SUITE_END,
    };
    return suite_main("control/kube_webhook", cases, argc, argv);
}
