#include "control/ca_state.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/file.h"
#include "folder.h"
#include "suite.h"

static const char *const files[] = {"root.pem", "root-key.pem", "issuer.pem", "issuer-key.pem",
                                    "token-key.pem"};
enum { FILES = 5 };

static struct folder base;
static struct ca_state state;
static struct err err;

/* <base>/state is not there yet. */
static const char *setup(void)
{
    CU_ASSERT_FATAL(folder_make(&base));
    err = (struct err){0};
    return folder_path(&base, "state");
}

static void make_state(void)
{
    CU_ASSERT_EQUAL_FATAL(ca_state_open(&state, setup(), &err), ERR_OK);
    ca_state_close(&state);
}

static enum err_code open_again(void)
{
    err = (struct err){0};
    enum err_code code = ca_state_open(&state, folder_path(&base, "state"), &err);
    if (code == ERR_OK)
        ca_state_close(&state);
    return code;
}

static mode_t mode_of(const char *name)
{
    struct stat about;
    return stat(folder_path(&base, name), &about) == 0 ? about.st_mode & 0777 : 0;
}

static char *content(const char *name)
{
    char *data = NULL;
    size_t len;
    return file_read(folder_path(&base, name), 1 << 20, &data, &len, NULL) == ERR_OK ? data : NULL;
}

static void state_makes_everything_at_the_first_start(void)
{
    make_state();
    char name[64];
    CU_ASSERT_EQUAL(mode_of("state"), 0700);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "state/%s", files[i]);
        CU_ASSERT_EQUAL(mode_of(name), 0600);
    }
    CU_ASSERT_FALSE(folder_has(&base, "state/.new"));
    folder_remove(&base);
}

static void state_fills_an_empty_folder_that_is_there(void)
{
    const char *path = setup();
    mkdir(path, 0755);
    CU_ASSERT_EQUAL(ca_state_open(&state, path, &err), ERR_OK);
    ca_state_close(&state);
    CU_ASSERT_EQUAL(mode_of("state"), 0700);
    folder_remove(&base);
}

static void state_is_the_same_the_second_time(void)
{
    make_state();
    char *before[FILES], name[64];
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "state/%s", files[i]);
        before[i] = content(name);
    }
    CU_ASSERT_EQUAL(open_again(), ERR_OK);
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "state/%s", files[i]);
        char *after = content(name);
        CU_ASSERT(before[i] && after && strcmp(before[i], after) == 0);
        free(before[i]);
        free(after);
    }
    folder_remove(&base);
}

static void state_refuses_half_a_state_and_names_what_is_missing(void)
{
    char name[64];
    for (int i = 0; i < FILES; i++) {
        make_state();
        snprintf(name, sizeof name, "state/%s", files[i]);
        unlink(folder_path(&base, name));
        CU_ASSERT_EQUAL(open_again(), ERR_CA_STATE);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, files[i]));
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is missing"));
        folder_remove(&base);
    }
}

static void state_refuses_keys_that_others_can_read(void)
{
    static const char *const keys[] = {"state/root-key.pem", "state/issuer-key.pem",
                                       "state/token-key.pem"};
    make_state();
    for (int i = 0; i < 3; i++) {
        chmod(folder_path(&base, keys[i]), 0640);
        CU_ASSERT_EQUAL(open_again(), ERR_CA_STATE);
        CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "has mode 640"));
        chmod(folder_path(&base, keys[i]), 0600);
    }
    chmod(folder_path(&base, "state/root.pem"), 0644); /* a certificate is no secret */
    CU_ASSERT_EQUAL(open_again(), ERR_OK);
    folder_remove(&base);
}

static void state_refuses_a_folder_that_others_can_look_into(void)
{
    make_state();
    chmod(folder_path(&base, "state"), 0750);
    CU_ASSERT_EQUAL(open_again(), ERR_CA_STATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "the folder has mode 750"));
    folder_remove(&base);
}

static void state_leaves_a_folder_of_somebody_else_alone(void)
{
    const char *path = setup();
    mkdir(path, 0755);
    mkdir(folder_path(&base, "state/passwd"), 0700);
    CU_ASSERT_EQUAL(open_again(), ERR_CA_STATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "files of somebody else"));
    CU_ASSERT_EQUAL(mode_of("state"), 0755);
    CU_ASSERT_EQUAL(mode_of("state/root.pem"), 0);
    folder_remove(&base);
}

/* What others put into an open folder before our first start is not our first start's. */
static void state_takes_nothing_that_was_waiting_in_an_open_folder(void)
{
    const char *path = setup();
    mkdir(path, 0777);
    mkdir(folder_path(&base, "state/.new"), 0700);
    chmod(path, 0777);
    CU_ASSERT_EQUAL(open_again(), ERR_CA_STATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "files of somebody else"));
    folder_remove(&base);
}

static void state_empties_nothing_behind_a_link(void)
{
    const char *path = setup();
    mkdir(path, 0700);
    mkdir(folder_path(&base, "precious"), 0700);
    CU_ASSERT_TRUE(folder_write(&base, "precious/file", "x", 0600));
    CU_ASSERT_EQUAL(symlink(folder_path(&base, "precious"), folder_path(&base, "state/.new")), 0);
    CU_ASSERT_EQUAL(open_again(), ERR_SYSTEM);
    CU_ASSERT_TRUE(folder_has(&base, "precious/file"));
    folder_remove(&base);
}

static void state_refuses_a_folder_that_somebody_else_owns(void)
{
    make_state();
    if (chown(folder_path(&base, "state"), 65534, (gid_t)-1) < 0) {
        perror("this test needs root, to give a folder away");
        CU_FAIL("not root");
    }
    CU_ASSERT_EQUAL(open_again(), ERR_CA_STATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "the folder belongs to uid 65534"));
    folder_remove(&base);
}

static void state_refuses_parts_of_another_state(void)
{
    char mine[64], kept[64];
    make_state();
    CU_ASSERT_EQUAL_FATAL(ca_state_open(&state, folder_path(&base, "other"), &err), ERR_OK);
    ca_state_close(&state);
    for (int i = 0; i < FILES - 1; i++) { /* any token key will do */
        snprintf(mine, sizeof mine, "state/%s", files[i]);
        snprintf(kept, sizeof kept, "other/%s", files[i]);
        rename(folder_path(&base, mine), folder_path(&base, "kept"));
        CU_ASSERT_EQUAL(link(folder_path(&base, kept), folder_path(&base, mine)), 0);
        CU_ASSERT_EQUAL(open_again(), ERR_CA_STATE);
        rename(folder_path(&base, "kept"), folder_path(&base, mine));
    }
    CU_ASSERT_EQUAL(open_again(), ERR_OK);
    folder_remove(&base);
}

static void state_refuses_what_is_no_pem(void)
{
    make_state();
    folder_write(&base, "state/issuer.pem", "nothing of the kind", 0600);
    CU_ASSERT_NOT_EQUAL(open_again(), ERR_OK);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "state folder"));
    folder_remove(&base);
}

static void state_refuses_an_expired_issuer(void)
{
    int64_t wall = clock_wall_ms();
    make_state();
    clock_fake(0, wall + INT64_C(6) * 365 * 86400 * 1000);
    CU_ASSERT_EQUAL(open_again(), ERR_CA_STATE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "expired"));
    clock_fake(0, -1);
    folder_remove(&base);
}

static void state_is_for_one_process_at_a_time(void)
{
    struct ca_state second;
    CU_ASSERT_EQUAL_FATAL(ca_state_open(&state, setup(), &err), ERR_OK);
    CU_ASSERT_EQUAL(ca_state_open(&second, folder_path(&base, "state"), &err), ERR_BUSY);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "another process"));
    ca_state_close(&state);
    CU_ASSERT_EQUAL(open_again(), ERR_OK);
    folder_remove(&base);
}

static void state_renews_the_issuer_and_keeps_the_root(void)
{
    int64_t wall = clock_wall_ms(), year_ms = INT64_C(365) * 86400 * 1000;
    bool renewed = true;
    CU_ASSERT_EQUAL_FATAL(ca_state_open(&state, setup(), &err), ERR_OK);
    char *root = content("state/root.pem");
    int64_t end_s = ca_not_after_s(state.ca);
    clock_fake(0, wall + 3 * year_ms);
    CU_ASSERT_EQUAL(ca_state_renew_if_due(&state, &renewed, &err), ERR_OK);
    CU_ASSERT_FALSE(renewed);
    clock_fake(0, wall + 4 * year_ms);
    CU_ASSERT_EQUAL(ca_state_renew_if_due(&state, &renewed, &err), ERR_OK);
    CU_ASSERT_TRUE(renewed);
    CU_ASSERT(ca_not_after_s(state.ca) > end_s);
    CU_ASSERT_STRING_EQUAL(ca_root_pem(state.ca), root);
    char *issuer = content("state/issuer.pem");
    CU_ASSERT_STRING_EQUAL(ca_issuer_pem(state.ca), issuer);
    ca_state_close(&state);
    CU_ASSERT_EQUAL(open_again(), ERR_OK);
    clock_fake(0, -1);
    free(issuer);
    free(root);
    folder_remove(&base);
}

/* The states that a crash can leave, made by hand: everything in .new, and after `moved` files. */
static void state_finishes_a_first_start_that_had_everything(void)
{
    char from[64], to[64];
    for (int moved = 0; moved <= FILES; moved++) {
        make_state();
        char *root = content("state/root.pem");
        mkdir(folder_path(&base, "state/.new"), 0700);
        for (int i = moved; i < FILES; i++) {
            snprintf(from, sizeof from, "state/%s", files[i]);
            snprintf(to, sizeof to, "state/.new/%s", files[i]);
            rename(folder_path(&base, from), folder_path(&base, to));
        }
        folder_write(&base, "state/.new/complete", "", 0600);
        CU_ASSERT_EQUAL(open_again(), ERR_OK);
        char *after = content("state/root.pem");
        CU_ASSERT(root && after && strcmp(root, after) == 0);
        CU_ASSERT_FALSE(folder_has(&base, "state/.new"));
        free(root);
        free(after);
        folder_remove(&base);
    }
}

static void state_forgets_a_first_start_that_had_not_everything(void)
{
    char to[64];
    for (int written = 0; written <= FILES; written++) {
        setup();
        mkdir(folder_path(&base, "state"), 0700);
        mkdir(folder_path(&base, "state/.new"), 0700);
        for (int i = 0; i < written; i++) {
            snprintf(to, sizeof to, "state/.new/%s", files[i]);
            folder_write(&base, to, "half", 0600);
        }
        folder_write(&base, "state/.new/root.pem.XyZ123", "a temporary file", 0600);
        CU_ASSERT_EQUAL(open_again(), ERR_OK);
        CU_ASSERT_FALSE(folder_has(&base, "state/.new"));
        folder_remove(&base);
    }
}

static void state_survives_kill_9_at_any_moment(void)
{
    unsigned finished = 0;
    for (int round = 0; round < 60; round++) {
        const char *path = setup();
        pid_t child = fork();
        if (child == 0) {
            ca_state_open(&state, path, &err);
            _exit(0);
        }
        const struct timespec delay = {.tv_nsec = round * 100 * 1000};
        nanosleep(&delay, NULL);
        kill(child, SIGKILL);
        waitpid(child, NULL, 0);
        finished += folder_has(&base, "state/root.pem") && !folder_has(&base, "state/.new");
        CU_ASSERT_EQUAL(open_again(), ERR_OK);
        CU_ASSERT_FALSE(folder_has(&base, "state/.new"));
        folder_remove(&base);
    }
    CU_ASSERT(finished < 60); /* else nothing was interrupted */
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(state_makes_everything_at_the_first_start),
        SUITE_CASE(state_fills_an_empty_folder_that_is_there),
        SUITE_CASE(state_is_the_same_the_second_time),
        SUITE_CASE(state_refuses_half_a_state_and_names_what_is_missing),
        SUITE_CASE(state_refuses_keys_that_others_can_read),
        SUITE_CASE(state_refuses_a_folder_that_others_can_look_into),
        SUITE_CASE(state_leaves_a_folder_of_somebody_else_alone),
        SUITE_CASE(state_takes_nothing_that_was_waiting_in_an_open_folder),
        SUITE_CASE(state_empties_nothing_behind_a_link),
        SUITE_CASE(state_refuses_a_folder_that_somebody_else_owns),
        SUITE_CASE(state_refuses_parts_of_another_state),
        SUITE_CASE(state_refuses_what_is_no_pem),
        SUITE_CASE(state_refuses_an_expired_issuer),
        SUITE_CASE(state_is_for_one_process_at_a_time),
        SUITE_CASE(state_renews_the_issuer_and_keeps_the_root),
        SUITE_CASE(state_finishes_a_first_start_that_had_everything),
        SUITE_CASE(state_forgets_a_first_start_that_had_not_everything),
        SUITE_CASE(state_survives_kill_9_at_any_moment),
        SUITE_END,
    };
    return suite_main("control.ca_state", cases, argc, argv);
}
