/* The authority in a Secret: made, followed, refused, renewed. */
#include "control/kube_authority.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/base64.h"
#include "base/clock.h"
#include "kube/bed.h"
#include "kube/shelf.h"

#define SECRETS "/api/v1/namespaces/handfast-system/secrets"
#define SECRET SECRETS "/handfast-ca"

static struct bed bed;
static struct shelf shelf;
static struct kube_keeper keeper;
static struct kube_authority authority;
static struct ca_state state;
static unsigned changes;

static void on_changed(struct kube_authority *changed)
{
    CU_ASSERT_PTR_EQUAL(changed, &authority);
    CU_ASSERT_PTR_NOT_NULL(state.ca);
    changes++;
}

static void follow(bool foreign)
{
    struct err err;
    authority = (struct kube_authority){.keeper = &keeper,
                                        .timers = &bed.timers,
                                        .secret = "handfast-ca",
                                        .foreign = foreign,
                                        .state = &state,
                                        .on_changed = on_changed};
    CU_ASSERT_EQUAL_FATAL(kube_authority_start(&authority, &err), ERR_OK);
}

static void start(void)
{
    bed_start(&bed);
    bed_connect(&bed);
    shelf_start(&shelf, &bed.server);
    keeper = (struct kube_keeper){.client = bed.client, .ns = "handfast-system"};
    state = (struct ca_state){.lock_fd = -1};
    changes = 0;
}

static void stop(void)
{
    clock_fake(0, -1);
    kube_authority_close(&authority);
    kube_authority_close(&authority); /* twice is harmless */
    kube_keeper_deinit(&keeper);
    ca_state_close(&state);
    bed_stop(&bed);
    shelf_stop(&shelf);
}

static bool has_changed(void *arg)
{
    return changes >= *(const unsigned *)arg;
}

static void wait_changes(unsigned count)
{
    CU_ASSERT_TRUE_FATAL(bed_wait(&bed, has_changed, &count));
}

static bool has_written(void *arg)
{
    return shelf.writes >= *(const unsigned *)arg && !authority.call;
}

static void wait_writes(unsigned count)
{
    CU_ASSERT_TRUE_FATAL(bed_wait(&bed, has_written, &count));
}

static json_t *encode(const char *text)
{
    char *base64 = malloc(BASE64_TEXT_SIZE(strlen(text)));
    json_t *value = json_stringn(base64, base64_encode(text, strlen(text), base64));
    free(base64);
    return value;
}

/* A Secret of an authority of its own; `foreign` as cert-manager would keep it. */
static json_t *secret(bool foreign)
{
    static const char *const names[CA_PARTS] = {"ca.crt", NULL, "tls.crt", "tls.key", NULL};
    char *parts[CA_PARTS] = {0};
    json_t *data = json_object();
    struct err err;
    CU_ASSERT_EQUAL_FATAL(ca_parts_make(parts, &err), ERR_OK);
    for (int part = 0; part < CA_PARTS; part++) {
        const char *name = foreign ? names[part] : ca_part_names[part];
        if (name)
            json_object_set_new(data, name, encode(parts[part]));
    }
    ca_parts_free(parts);
    return json_pack("{s:o}", "data", data);
}

static bool is_in_use(const char *key)
{
    json_t *root = encode(ca_root_pem(state.ca));
    bool same = strcmp(json_string_value(root), shelf_text(&shelf, SECRET, "data", key)) == 0;
    json_decref(root);
    return same;
}

/* --- made ------------------------------------------------------------------------------------- */

static void authority_is_made_where_there_is_none_and_belongs_to_the_installation(void)
{
    json_t *role = json_loads("{\"metadata\":{\"uid\":\"u-7\"}}", 0, NULL);
    start();
    kube_keeper_set_owner(&keeper, &(struct kube_answer){.status = 200, .body = role});
    json_decref(role);
    follow(false);
    wait_changes(1);
    CU_ASSERT_EQUAL(shelf.writes, 1);
    CU_ASSERT_STRING_EQUAL(shelf.last_write, "POST " SECRETS);
    CU_ASSERT_TRUE(is_in_use("root.pem"));
    CU_ASSERT_STRING_NOT_EQUAL(shelf_text(&shelf, SECRET, "data", "issuer-key.pem"), "");
    CU_ASSERT_STRING_EQUAL(shelf_text(&shelf, SECRET, "data", "token-key.pem"), "");
    CU_ASSERT_STRING_EQUAL(shelf_text(&shelf, SECRET, "metadata", "name"), "handfast-ca");
    const json_t *metadata = json_object_get(shelf_get(&shelf, SECRET), "metadata");
    const json_t *owner = json_array_get(json_object_get(metadata, "ownerReferences"), 0);
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(owner, "uid")), "u-7");
    CU_ASSERT_STRING_EQUAL(json_string_value(json_object_get(owner, "kind")), "ClusterRole");
    stop();
}

static void authority_that_is_there_is_adopted_and_never_written(void)
{
    start();
    shelf_put(&shelf, SECRET, secret(false));
    follow(false);
    wait_changes(1);
    CU_ASSERT_TRUE(is_in_use("root.pem"));
    shelf_put(&shelf, SECRET, secret(false));
    wait_changes(2);
    CU_ASSERT_TRUE(is_in_use("root.pem"));
    CU_ASSERT_EQUAL(shelf.writes, 0);
    stop();
}

static void replica_that_comes_second_adopts_what_the_first_has_made(void)
{
    start();
    shelf.fail = 409;
    follow(false);
    wait_writes(1);
    CU_ASSERT_EQUAL(changes, 0);
    CU_ASSERT_EQUAL(authority.retry.slot, 0);
    shelf_put(&shelf, SECRET, secret(false));
    wait_changes(1);
    CU_ASSERT_TRUE(is_in_use("root.pem"));
    stop();
}

static void authority_that_could_not_be_made_is_tried_again(void)
{
    start();
    shelf.fail = 500;
    follow(false);
    wait_writes(1);
    CU_ASSERT_TRUE_FATAL(authority.retry.slot);
    shelf.fail = 0;
    timer_start(&bed.timers, &authority.retry, 0, authority.retry.on_due);
    wait_changes(1);
    CU_ASSERT_TRUE(is_in_use("root.pem"));
    stop();
}

/* --- refused ---------------------------------------------------------------------------------- */

static void secret_that_cannot_be_used_leaves_what_was_in_use(void)
{
    static const char *const odd[] = {"{}", "{'data':7}",
                                      "{'data':{'root.pem':{},'issuer.pem':'%'}}",
                                      "{'data':{'root.pem':'eA==','issuer.pem':'eA=='}}"};
    start();
    shelf_put(&shelf, SECRET, secret(false));
    follow(false);
    wait_changes(1);
    struct ca *in_use = state.ca;
    for (unsigned i = 0; i < sizeof odd / sizeof odd[0]; i++) {
        char text[120];
        snprintf(text, sizeof text, "%s", odd[i]);
        for (char *at = text; *at; at++)
            *at = *at == '\'' ? '"' : *at;
        authority.refused = false;
        shelf_put(&shelf, SECRET, json_loads(text, 0, NULL));
        CU_ASSERT_TRUE_FATAL(bed_wait_flag(&bed, &authority.refused));
        CU_ASSERT_PTR_EQUAL(state.ca, in_use);
    }
    json_t *mixed = secret(false), *other = secret(false); /* a key of another authority */
    json_object_set(json_object_get(mixed, "data"), "issuer-key.pem",
                    json_object_get(json_object_get(other, "data"), "issuer-key.pem"));
    json_decref(other);
    authority.refused = false;
    shelf_put(&shelf, SECRET, mixed);
    CU_ASSERT_TRUE_FATAL(bed_wait_flag(&bed, &authority.refused));
    CU_ASSERT_PTR_EQUAL(state.ca, in_use);
    CU_ASSERT_EQUAL(changes, 1);
    CU_ASSERT_EQUAL(shelf.writes, 0);
    shelf_put(&shelf, SECRET, secret(false));
    wait_changes(2);
    stop();
}

static void secret_that_was_never_of_use_is_not_overwritten_but_made_anew_once_deleted(void)
{
    start();
    shelf_put(&shelf, SECRET, json_pack("{s:{}}", "data"));
    follow(false);
    CU_ASSERT_TRUE_FATAL(bed_wait_flag(&bed, &authority.refused));
    bed_idle(&bed, 30);
    CU_ASSERT_EQUAL(shelf.writes, 0);
    shelf_delete(&shelf, SECRET);
    wait_changes(1);
    CU_ASSERT_EQUAL(shelf.writes, 1);
    stop();
}

static void authority_in_use_is_not_made_anew_when_its_secret_is_deleted(void)
{
    start();
    shelf_put(&shelf, SECRET, secret(false));
    follow(false);
    wait_changes(1);
    shelf_delete(&shelf, SECRET);
    bed_idle(&bed, 50);
    CU_ASSERT_EQUAL(shelf.writes, 0);
    CU_ASSERT_PTR_NOT_NULL(state.ca);
    stop();
}

/* --- somebody else's -------------------------------------------------------------------------- */

static void foreign_authority_is_followed_and_never_written(void)
{
    int64_t now_ms = clock_now_ms(), wall_ms = clock_wall_ms();
    start();
    follow(true);
    bed_idle(&bed, 50);
    CU_ASSERT_EQUAL(shelf.writes, 0);
    shelf_put(&shelf, SECRET, secret(true));
    wait_changes(1);
    CU_ASSERT_TRUE(is_in_use("ca.crt"));
    clock_fake(now_ms, wall_ms + (int64_t)4 * 365 * 86400 * 1000);
    kube_authority_renew(&authority);
    CU_ASSERT_PTR_NULL(authority.call);
    CU_ASSERT_EQUAL(shelf.writes, 0);
    stop();
}

/* --- renewed ---------------------------------------------------------------------------------- */

static void issuer_is_renewed_at_two_thirds_of_its_life_and_the_rest_stays(void)
{
    int64_t now_ms = clock_now_ms(), wall_ms = clock_wall_ms();
    char root[4096], issuer[4096];
    start();
    shelf_put(&shelf, SECRET, secret(false));
    json_object_set_new(json_object_get(shelf_get(&shelf, SECRET), "data"), "more",
                        json_string("eA=="));
    follow(false);
    wait_changes(1);
    snprintf(root, sizeof root, "%s", ca_root_pem(state.ca));
    snprintf(issuer, sizeof issuer, "%s", ca_issuer_pem(state.ca));
    clock_fake(now_ms, wall_ms + (int64_t)3 * 365 * 86400 * 1000);
    kube_authority_renew(&authority);
    CU_ASSERT_PTR_NULL(authority.call);
    clock_fake(now_ms, wall_ms + (int64_t)4 * 365 * 86400 * 1000);
    kube_authority_renew(&authority);
    struct kube_call *call = authority.call;
    CU_ASSERT_PTR_NOT_NULL(call);
    kube_authority_renew(&authority); /* one at a time */
    CU_ASSERT_PTR_EQUAL(authority.call, call);
    wait_changes(2);
    CU_ASSERT_EQUAL(shelf.writes, 1);
    CU_ASSERT_STRING_EQUAL(shelf.last_write, "PUT " SECRET);
    CU_ASSERT_STRING_EQUAL(shelf_text(&shelf, SECRET, "data", "more"), "eA==");
    CU_ASSERT_STRING_EQUAL(ca_root_pem(state.ca), root);
    CU_ASSERT_STRING_NOT_EQUAL(ca_issuer_pem(state.ca), issuer);
    stop();
}

static void renewal_does_not_undo_a_change_that_came_between(void)
{
    int64_t now_ms = clock_now_ms(), wall_ms = clock_wall_ms();
    start();
    shelf_put(&shelf, SECRET, secret(false));
    follow(false);
    wait_changes(1);
    shelf.mute = true;
    json_t *theirs = secret(false);
    shelf_put(&shelf, SECRET, theirs);
    json_t *kept = json_deep_copy(theirs);
    clock_fake(now_ms, wall_ms + (int64_t)4 * 365 * 86400 * 1000);
    kube_authority_renew(&authority);
    CU_ASSERT_PTR_NOT_NULL(authority.call);
    wait_writes(1);
    CU_ASSERT_TRUE(json_equal(shelf_get(&shelf, SECRET), kept));
    CU_ASSERT_EQUAL(keeper.failures, 1);
    json_decref(kept);
    stop();
}

static void nothing_comes_after_the_end(void)
{
    start();
    shelf.hang_writes = shelf.mute = true;
    follow(false);
    while (shelf.writes == 0)
        uv_run(&bed.loop.uv, UV_RUN_ONCE);
    CU_ASSERT_PTR_NOT_NULL(authority.call);
    kube_authority_close(&authority);
    bed_idle(&bed, 30);
    CU_ASSERT_EQUAL(changes, 0);
    stop();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(authority_is_made_where_there_is_none_and_belongs_to_the_installation),
        SUITE_CASE(authority_that_is_there_is_adopted_and_never_written),
        SUITE_CASE(replica_that_comes_second_adopts_what_the_first_has_made),
        SUITE_CASE(authority_that_could_not_be_made_is_tried_again),
        SUITE_CASE(secret_that_cannot_be_used_leaves_what_was_in_use),
        SUITE_CASE(secret_that_was_never_of_use_is_not_overwritten_but_made_anew_once_deleted),
        SUITE_CASE(authority_in_use_is_not_made_anew_when_its_secret_is_deleted),
        SUITE_CASE(foreign_authority_is_followed_and_never_written),
        SUITE_CASE(issuer_is_renewed_at_two_thirds_of_its_life_and_the_rest_stays),
        SUITE_CASE(renewal_does_not_undo_a_change_that_came_between),
        SUITE_CASE(nothing_comes_after_the_end),
        SUITE_END,
    };
    return suite_main("control/kube_authority", cases, argc, argv);
}
