#include "admin/process.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "admin/exposition.h"
#include "base/file.h"

int64_t process_open_fds(void)
{
    DIR *folder = opendir("/proc/self/fd");
    if (!folder)
        return -1;
    int64_t count = 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count - 3; /* ".", ".." and the folder itself */
}

int64_t process_resident_bytes(void)
{
    char *text;
    size_t len;
    if (file_read("/proc/self/statm", 4096, &text, &len, NULL) != ERR_OK)
        return -1;
    long long total, resident;
    int found = sscanf(text, "%lld %lld", &total, &resident);
    free(text);
    return found == 2 ? resident * sysconf(_SC_PAGESIZE) : -1;
}

/* Seconds since 1970, or -1. Field 22 of /proc/self/stat is in clock ticks since boot (proc(5));
 * field 2 may hold blanks and brackets, so we count from the last bracket. */
static double read_start_time_s(void)
{
    char *stat;
    size_t len;
    struct timespec wall, boot;
    if (file_read("/proc/self/stat", 4096, &stat, &len, NULL) != ERR_OK)
        return -1;
    const char *at = strrchr(stat, ')');
    for (int field = 2; at && field < 22; field++)
        at = strchr(at + 1, ' ');
    double ticks = at ? (double)strtoull(at + 1, NULL, 10) : -1;
    free(stat);
    if (ticks < 0 || clock_gettime(CLOCK_REALTIME, &wall) < 0 ||
        clock_gettime(CLOCK_BOOTTIME, &boot) < 0)
        return -1;
    return (double)(wall.tv_sec - boot.tv_sec) + (double)(wall.tv_nsec - boot.tv_nsec) / 1e9 +
           ticks / (double)sysconf(_SC_CLK_TCK);
}

/* Read once: a start time that moved with every correction of the clock would look like a restart.
 */
static double start_time_s(void)
{
    static double started;
    if (started <= 0)
        started = read_start_time_s();
    return started;
}

static double seconds(struct timeval time)
{
    return (double)time.tv_sec + (double)time.tv_usec / 1e6;
}

void process_collect(void *arg, struct exposition *text)
{
    (void)arg;
    struct rlimit limit;
    struct rusage usage;
    int64_t fds = process_open_fds(), resident = process_resident_bytes();
    double started = start_time_s();
    if (fds >= 0)
        exposition_gauge(text, "process_open_fds", "Open file descriptors.", (double)fds);
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0)
        exposition_gauge(text, "process_max_fds", "The limit on open file descriptors.",
                         (double)limit.rlim_cur);
    if (resident >= 0)
        exposition_gauge(text, "process_resident_memory_bytes", "Resident memory.",
                         (double)resident);
    if (getrusage(RUSAGE_SELF, &usage) == 0) {
        exposition_family(text, "process_cpu_seconds_total", METRICS_COUNTER,
                          "Processor time of user and kernel.");
        exposition_real(text, NULL, NULL, 0, seconds(usage.ru_utime) + seconds(usage.ru_stime));
    }
    if (started >= 0)
        exposition_gauge(text, "process_start_time_seconds", "When the process began, since 1970.",
                         started);
}
