/* How many CPUs we may use: the scheduler's affinity and the cgroup's quota. Blocking; the start
 * only. */
#ifndef CGROUP_H
#define CGROUP_H

/* The quota in thousandths of a CPU of the cgroup `path` ("/a/b") and those above it, the least of
 * them: version 2 (cpu.max) or version 1 (cpu.cfs_quota_us) below `mount` ("/sys/fs/cgroup").
 * -1: no limit, or none that can be read. */
long cgroup_cpu_millis(const char *mount, const char *path);

/* Worker threads to start: the quota rounded up, at most `most`, at most the CPUs that we may run
 * on, at least 1. */
unsigned cgroup_worker_count(unsigned most);

#endif
