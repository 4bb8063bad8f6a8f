#include "base/file.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "suite.h"

static char folder[64], path[128];

static void make_folder(void)
{
    strcpy(folder, "/tmp/base-file-XXXXXX");
    CU_ASSERT_PTR_NOT_NULL_FATAL(mkdtemp(folder));
    snprintf(path, sizeof path, "%s/file", folder);
}

/* Fails when anything but `path` is left. */
static void remove_folder(void)
{
    unlink(path);
    CU_ASSERT_EQUAL(rmdir(folder), 0);
}

static void what_is_written_is_read_back_with_its_mode(void)
{
    char *data;
    size_t len;
    make_folder();
    mode_t before = umask(077);
    CU_ASSERT_EQUAL(file_write_atomic(path, "a\0b", 3, 0644, NULL), ERR_OK);
    umask(before);
    CU_ASSERT_EQUAL_FATAL(file_read(path, 3, &data, &len, NULL), ERR_OK);
    CU_ASSERT_EQUAL(len, 3);
    CU_ASSERT_EQUAL(memcmp(data, "a\0b", 4), 0);
    free(data);
    struct stat found;
    stat(path, &found);
    CU_ASSERT_EQUAL(found.st_mode & 07777, 0644);
    CU_ASSERT_EQUAL(file_write_atomic(path, "secret", 6, 0600, NULL), ERR_OK);
    stat(path, &found);
    CU_ASSERT_EQUAL(found.st_mode & 07777, 0600);
    remove_folder();
}

static void large_and_empty_files_are_read_whole(void)
{
    enum { LARGE = 300000 };
    char *large = malloc(LARGE), *data;
    size_t len;
    make_folder();
    memset(large, 'z', LARGE);
    CU_ASSERT_EQUAL(file_write_atomic(path, large, LARGE, 0600, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(file_read(path, LARGE, &data, &len, NULL), ERR_OK);
    CU_ASSERT(len == LARGE && memcmp(data, large, LARGE) == 0);
    free(data);
    CU_ASSERT_EQUAL(file_write_atomic(path, "", 0, 0600, NULL), ERR_OK);
    CU_ASSERT_EQUAL_FATAL(file_read(path, 0, &data, &len, NULL), ERR_OK);
    CU_ASSERT_EQUAL(len, 0);
    CU_ASSERT_STRING_EQUAL(data, "");
    free(data);
    free(large);
    remove_folder();
}

static void a_file_over_its_limit_is_refused_with_or_without_a_sentence(void)
{
    char *data;
    size_t len;
    struct err err = {0};
    make_folder();
    CU_ASSERT_EQUAL(file_write_atomic(path, "12345", 5, 0600, NULL), ERR_OK);
    CU_ASSERT_EQUAL(file_read(path, 4, &data, &len, &err), ERR_TOO_LARGE);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "is larger than 4 bytes"));
    CU_ASSERT_EQUAL(file_read(path, 4, &data, &len, NULL), ERR_TOO_LARGE);
    remove_folder();
}

static void missing_files_and_folders_are_told_apart(void)
{
    char *data;
    size_t len;
    struct err err = {0};
    make_folder();
    CU_ASSERT_EQUAL(file_read(path, 10, &data, &len, &err), ERR_NOT_FOUND);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/file: No such file or directory"));
    CU_ASSERT_EQUAL(file_read(folder, 10, &data, &len, &err), ERR_SYSTEM);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "Is a directory"));
    remove_folder();
}

static void a_write_that_fails_leaves_the_old_file_and_nothing_else(void)
{
    char *data, below[160];
    size_t len;
    struct err err = {0};
    make_folder();
    CU_ASSERT_EQUAL(file_write_atomic(path, "old", 3, 0600, NULL), ERR_OK);
    snprintf(below, sizeof below, "%s/below", path);
    CU_ASSERT_EQUAL(file_write_atomic(below, "new", 3, 0600, &err), ERR_SYSTEM);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "create a file beside "));
    /* A folder cannot be replaced by a file: the rename is what fails. */
    CU_ASSERT_EQUAL(file_write_atomic(folder, "new", 3, 0600, &err), ERR_SYSTEM);
    CU_ASSERT_EQUAL_FATAL(file_read(path, 10, &data, &len, NULL), ERR_OK);
    CU_ASSERT_STRING_EQUAL(data, "old");
    free(data);
    DIR *tmp = opendir("/tmp");
    for (struct dirent *entry = readdir(tmp); entry; entry = readdir(tmp)) {
        size_t own = strlen(folder + 5);
        CU_ASSERT(strncmp(entry->d_name, folder + 5, own) != 0 || entry->d_name[own] == 0);
    }
    closedir(tmp);
    remove_folder();
}

int main(int argc, char **argv)
{
    static const struct suite_case cases[] = {
        SUITE_CASE(what_is_written_is_read_back_with_its_mode),
        SUITE_CASE(large_and_empty_files_are_read_whole),
        SUITE_CASE(a_file_over_its_limit_is_refused_with_or_without_a_sentence),
        SUITE_CASE(missing_files_and_folders_are_told_apart),
        SUITE_CASE(a_write_that_fails_leaves_the_old_file_and_nothing_else),
        SUITE_END,
    };
    return suite_main("base_file", cases, argc, argv);
}
