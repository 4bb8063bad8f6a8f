/* However the file is edited, it is noticed. */
#include "control/mesh_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "folder.h"
#include "suite.h"

enum { WAIT_MS = 10000 };

static const char good[] =
    "trust_domain: a\nworkloads: [{name: w, namespace: n, addresses: [10.0.0.1]}]\n";
static const char better[] =
    "trust_domain: a\nworkloads: [{name: w, namespace: n, addresses: [10.0.0.2]}]\n";
static const char bad[] = "trust_domain: a\nworkloads: [{name: w}]\n";

static struct folder folder;
static struct loop loop;
static struct timers timers;
static struct timer tick;
static struct tally tally;
static struct mesh_file file;
static unsigned compiled_count;
static bool file_closed;
static char path[PATH_MAX];

static void on_compiled(struct mesh_file *self, struct compiled *compiled)
{
    (void)self;
    compiled_count++;
    CU_ASSERT_EQUAL(compiled->workload_count, 1);
    compiled_deinit(compiled);
}

static void on_tick(struct timer *timer)
{
    timer_start(&timers, timer, 20, on_tick);
}

static void prepare(void)
{
    struct err err;
    log_set_level(LOG_LEVEL_ERROR);
    log_init(open("/dev/null", O_WRONLY), LOG_FORMAT_TEXT, LOG_LEVEL_ERROR);
    CU_ASSERT_FATAL(folder_make(&folder));
    CU_ASSERT_EQUAL_FATAL(loop_init(&loop, &err), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(timers_init(&timers, &loop, &err), ERR_OK);
    on_tick(&tick);
    tally = (struct tally){0};
    compiled_count = 0;
    strcpy(path, folder_path(&folder, "mesh.yaml"));
    file = (struct mesh_file){.path = path,
                              .cluster_id = "Kubernetes",
                              .timers = &timers,
                              .tally = &tally,
                              .on_compiled = on_compiled};
}

static void start(void)
{
    struct err err = {0};
    CU_ASSERT_EQUAL_FATAL(mesh_file_load(&file, &err), ERR_OK);
    mesh_file_watch(&file, &loop);
}

static void setup(void)
{
    prepare();
    CU_ASSERT_FATAL(folder_write(&folder, "mesh.yaml", good, 0644));
    start();
}

static void on_file_closed(struct mesh_file *self)
{
    (void)self;
    file_closed = true;
}

static bool timers_closed;
static void on_timers_closed(struct timers *self)
{
    (void)self;
    timers_closed = true;
}

static void teardown(void)
{
    file_closed = timers_closed = false;
    mesh_file_close(&file, on_file_closed);
    timer_stop(&timers, &tick);
    timers_close(&timers, on_timers_closed);
    while (!file_closed || !timers_closed)
        uv_run(&loop.uv, UV_RUN_ONCE);
    loop_deinit(&loop);
    folder_remove(&folder);
}

static bool wait_for(const uint64_t *count, uint64_t value)
{
    int64_t begin = clock_now_ms();
    while (*count < value && clock_now_ms() - begin < WAIT_MS)
        uv_run(&loop.uv, UV_RUN_ONCE);
    return *count == value;
}

static void file_is_read_again_when_written_in_place(void)
{
    setup();
    CU_ASSERT_TRUE(folder_write(&folder, "mesh.yaml", better, 0644));
    CU_ASSERT_TRUE(wait_for(&tally.mesh_loads, 2));
    CU_ASSERT_EQUAL(compiled_count, 2);
    teardown();
}

static void file_is_read_again_when_renamed_over(void)
{
    setup();
    for (uint64_t round = 2; round < 6; round++) {
        CU_ASSERT_TRUE(folder_write(&folder, ".mesh.swp", round % 2 ? good : better, 0644));
        CU_ASSERT_EQUAL(rename(folder_path(&folder, ".mesh.swp"), path), 0);
        CU_ASSERT_TRUE(wait_for(&tally.mesh_loads, round));
    }
    teardown();
}

/* mesh.yaml -> ..data/mesh.yaml, ..data -> ..1; then ..data is turned to ..2 by a rename. */
static void file_is_read_again_when_a_kubernetes_volume_is_updated(void)
{
    prepare();
    mkdir(folder_path(&folder, "..1"), 0755);
    CU_ASSERT_TRUE(folder_write(&folder, "..1/mesh.yaml", good, 0644));
    CU_ASSERT_EQUAL(symlink("..1", folder_path(&folder, "..data")), 0);
    CU_ASSERT_EQUAL(symlink("..data/mesh.yaml", path), 0);
    start();
    int64_t begin = clock_now_ms();
    mkdir(folder_path(&folder, "..2"), 0755);
    CU_ASSERT_TRUE(folder_write(&folder, "..2/mesh.yaml", better, 0644));
    CU_ASSERT_EQUAL(symlink("..2", folder_path(&folder, "..data_tmp")), 0);
    CU_ASSERT_EQUAL(rename(folder_path(&folder, "..data_tmp"), folder_path(&folder, "..data")), 0);
    CU_ASSERT_TRUE(wait_for(&tally.mesh_loads, 2));
    CU_ASSERT(clock_now_ms() - begin < MESH_FILE_POLL_MS); /* an event, not the poll */
    teardown();
}

/* Nothing happens in the file's own folder: the poll has to find it. */
static void file_is_read_again_when_it_is_a_link_to_elsewhere(void)
{
    struct folder elsewhere;
    prepare();
    CU_ASSERT_FATAL(folder_make(&elsewhere));
    CU_ASSERT_TRUE(folder_write(&elsewhere, "real.yaml", good, 0644));
    CU_ASSERT_EQUAL(symlink(folder_path(&elsewhere, "real.yaml"), path), 0);
    start();
    CU_ASSERT_TRUE(folder_write(&elsewhere, "real.yaml", better, 0644));
    CU_ASSERT_TRUE(wait_for(&tally.mesh_loads, 2));
    teardown();
    folder_remove(&elsewhere);
}

static void file_that_says_the_same_is_not_taken_over_again(void)
{
    setup();
    CU_ASSERT_TRUE(folder_write(&folder, "mesh.yaml", good, 0644));
    CU_ASSERT_TRUE(folder_write(&folder, "other.yaml", bad, 0644));
    mesh_file_reload(&file);
    CU_ASSERT_TRUE(folder_write(&folder, "mesh.yaml", better, 0644));
    CU_ASSERT_TRUE(wait_for(&tally.mesh_loads, 2));
    CU_ASSERT_EQUAL(tally.mesh_load_failures, 0);
    teardown();
}

static void file_with_a_mistake_is_counted_once_and_the_next_one_taken(void)
{
    setup();
    CU_ASSERT_TRUE(folder_write(&folder, "mesh.yaml", bad, 0644));
    CU_ASSERT_TRUE(wait_for(&tally.mesh_load_failures, 1));
    mesh_file_reload(&file);
    CU_ASSERT_EQUAL(tally.mesh_load_failures, 1);
    CU_ASSERT_EQUAL(compiled_count, 1);
    /* Back to what it was: taken over anew, so that the counters show that all is well. */
    CU_ASSERT_TRUE(folder_write(&folder, "mesh.yaml", good, 0644));
    CU_ASSERT_TRUE(wait_for(&tally.mesh_loads, 2));
    teardown();
}

static void file_that_is_gone_is_missed_once_and_taken_when_it_is_back(void)
{
    setup();
    CU_ASSERT_EQUAL(unlink(path), 0);
    CU_ASSERT_TRUE(wait_for(&tally.mesh_load_failures, 1));
    mesh_file_reload(&file);
    CU_ASSERT_EQUAL(tally.mesh_load_failures, 1);
    CU_ASSERT_TRUE(folder_write(&folder, "mesh.yaml", better, 0644));
    CU_ASSERT_TRUE(wait_for(&tally.mesh_loads, 2));
    teardown();
}

static void file_cannot_change_the_trust_domain(void)
{
    setup();
    CU_ASSERT_TRUE(folder_write(&folder, "mesh.yaml", "trust_domain: b\n", 0644));
    CU_ASSERT_TRUE(wait_for(&tally.mesh_load_failures, 1));
    CU_ASSERT_STRING_EQUAL(file.trust_domain, "a");
    teardown();
}

static void file_must_be_good_at_the_start(void)
{
    struct err err = {0};
    prepare();
    CU_ASSERT_EQUAL(mesh_file_load(&file, &err), ERR_NOT_FOUND);
    CU_ASSERT_TRUE(folder_write(&folder, "mesh.yaml", bad, 0644));
    CU_ASSERT_EQUAL(mesh_file_load(&file, &err), ERR_MESH_FILE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "mesh.yaml:2:13: "));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "(and 1 more)"));
    CU_ASSERT_EQUAL(compiled_count, 0);
    teardown();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(file_is_read_again_when_written_in_place),
        SUITE_CASE(file_is_read_again_when_renamed_over),
        SUITE_CASE(file_is_read_again_when_a_kubernetes_volume_is_updated),
        SUITE_CASE(file_is_read_again_when_it_is_a_link_to_elsewhere),
        SUITE_CASE(file_that_says_the_same_is_not_taken_over_again),
        SUITE_CASE(file_with_a_mistake_is_counted_once_and_the_next_one_taken),
        SUITE_CASE(file_that_is_gone_is_missed_once_and_taken_when_it_is_back),
        SUITE_CASE(file_cannot_change_the_trust_domain),
        SUITE_CASE(file_must_be_good_at_the_start),
        SUITE_END,
    };
    return suite_main("control.mesh_file", cases, argc, argv);
}
