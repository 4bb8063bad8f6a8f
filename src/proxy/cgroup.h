/* How many CPUs we may use: the scheduler's affinity and the cgroup's quota. Blocking; the start
 * only. */
#ifndef CGROUP_H
#define CGROUP_H

/* The quota in thousandths of a CPU of the cgroup `path` ("/a/b") and those above it, the least of
 * them: version 2 (cpu.max) or version 1 (cpu.cfs_quota_us) below `mount` ("/sys/fs/cgroup").
 * -1: no limit, or none that can be read. */
long cgroup_cpu_millis(const char *mount, const char *path);

/* Worker threads for a quota in thousandths of a CPU (<= 0: none) and `cpus` that we may run on (0:
 * not known): the quota rounded up, at most `cpus`, at most `most`, at least 1. Pure. */
unsigned cgroup_workers(long millis, unsigned cpus, unsigned most);

/* The same, with the quota and the CPUs of this process. */
unsigned cgroup_worker_count(unsigned most);

#endif
