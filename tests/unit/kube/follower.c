#include "follower.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

__attribute__((format(printf, 2, 3))) static void tell(struct follower *follower,
                                                       const char *format, ...)
{
    size_t used = strlen(follower->story);
    va_list args;
    va_start(args, format);
    if (used > 0 && used < sizeof follower->story - 1)
        follower->story[used++] = ' ';
    vsnprintf(follower->story + used, sizeof follower->story - used, format, args);
    va_end(args);
}

static void on_object(const char *key, json_t *object, void *arg)
{
    struct follower *follower = arg;
    json_t *metadata = json_object_get(object, "metadata");
    follower->objects++;
    follower->managed += json_object_get(metadata, "managedFields") != NULL;
    tell(follower, "+%s@%s", key, json_string_value(json_object_get(metadata, "resourceVersion")));
    if (follower->close_at_object)
        follower_stop(follower);
}

static void on_gone(const char *key, void *arg)
{
    struct follower *follower = arg;
    follower->gone++;
    tell(follower, "-%s", key);
}

static void on_synced(void *arg)
{
    struct follower *follower = arg;
    follower->synced++;
    tell(follower, "synced");
}

static void on_absent(void *arg)
{
    struct follower *follower = arg;
    follower->absent++;
    tell(follower, "absent");
}

void follower_start(struct follower *follower, struct bed *bed, const char *path)
{
    static const struct kube_reflector_events events = {
        .on_object = on_object, .on_gone = on_gone, .on_synced = on_synced, .on_absent = on_absent};
    struct err err = {0};
    follower->bed = bed;
    follower->reflector = kube_reflector_start(bed->client, path, &events, follower, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(follower->reflector);
}

void follower_stop(struct follower *follower)
{
    if (follower->reflector)
        kube_reflector_close(follower->reflector);
    follower->reflector = NULL;
}

struct expectation {
    struct follower *follower;
    const char *story;
};

static bool is_told(void *arg)
{
    struct expectation *expectation = arg;
    return strcmp(expectation->follower->story, expectation->story) == 0;
}

bool follower_tells(struct follower *follower, const char *story)
{
    struct expectation expectation = {follower, story};
    bool good = bed_wait(follower->bed, is_told, &expectation);
    if (!good)
        fprintf(stderr, "\nexpected %s\nfound    %s\n", story, follower->story);
    return good;
}

void follower_clear(struct follower *follower)
{
    follower->story[0] = 0;
}
