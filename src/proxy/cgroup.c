#include "proxy/cgroup.h"

#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>

static long read_number(const char *mount, const char *controller, const char *path,
                        const char *file)
{
    char name[2 * PATH_MAX];
    long value = -1;
    snprintf(name, sizeof name, "%s%s%s/%s", mount, controller, path, file);
    FILE *stream = fopen(name, "re");
    if (!stream)
        return -1;
    if (fscanf(stream, "%ld", &value) != 1)
        value = -1;
    fclose(stream);
    return value;
}

/* "max 100000" or "150000 100000" */
static long read_cpu_max(const char *mount, const char *path)
{
    char name[2 * PATH_MAX];
    long quota, period, millis = -1;
    snprintf(name, sizeof name, "%s%s/cpu.max", mount, path);
    FILE *stream = fopen(name, "re");
    if (!stream)
        return -1;
    if (fscanf(stream, "%ld %ld", &quota, &period) == 2 && quota > 0 && period > 0)
        millis = quota * 1000 / period;
    fclose(stream);
    return millis;
}

static long read_level(const char *mount, const char *path)
{
    static const char *const controllers[] = {"/cpu", "/cpu,cpuacct"};
    long millis = read_cpu_max(mount, path);
    for (unsigned i = 0; millis < 0 && i < 2; i++) {
        long quota = read_number(mount, controllers[i], path, "cpu.cfs_quota_us");
        long period = read_number(mount, controllers[i], path, "cpu.cfs_period_us");
        if (quota > 0 && period > 0)
            millis = quota * 1000 / period;
    }
    return millis;
}

long cgroup_cpu_millis(const char *mount, const char *path)
{
    char at[PATH_MAX];
    long least = -1;
    snprintf(at, sizeof at, "%s", strcmp(path, "/") == 0 ? "" : path);
    for (;;) {
        long millis = read_level(mount, at);
        if (millis > 0 && (least < 0 || millis < least))
            least = millis;
        char *slash = strrchr(at, '/');
        if (!slash)
            return least;
        *slash = 0;
    }
}

/* Our path: "0::/a" under version 2, "4:cpu,cpuacct:/a" under version 1. */
static void own_path(char path[PATH_MAX])
{
    char line[PATH_MAX];
    strcpy(path, "/");
    FILE *stream = fopen("/proc/self/cgroup", "re");
    if (!stream)
        return;
    while (fgets(line, sizeof line, stream)) {
        char *controllers = strchr(line, ':'),
             *where = controllers ? strchr(controllers + 1, ':') : NULL;
        if (!where)
            continue;
        line[strcspn(line, "\n")] = 0;
        *where++ = 0;
        if (controllers[1] == 0 || strncmp(controllers + 1, "cpu", 3) == 0)
            snprintf(path, PATH_MAX, "%s", where);
        if (strcmp(controllers + 1, "cpu") == 0 || strcmp(controllers + 1, "cpu,cpuacct") == 0)
            break;
    }
    fclose(stream);
}

unsigned cgroup_workers(long millis, unsigned cpus, unsigned most)
{
    unsigned count = most;
    if (cpus > 0 && cpus < count)
        count = cpus;
    if (millis > 0 && (millis - 1) / 1000 < (long)count)
        count = (unsigned)((millis - 1) / 1000) + 1;
    return count ? count : 1;
}

unsigned cgroup_worker_count(unsigned most)
{
    char path[PATH_MAX];
    cpu_set_t set;
    own_path(path);
    long millis = cgroup_cpu_millis("/sys/fs/cgroup", path);
    int cpus = sched_getaffinity(0, sizeof set, &set) == 0 ? CPU_COUNT(&set) : 0;
    return cgroup_workers(millis, (unsigned)cpus, most);
}
