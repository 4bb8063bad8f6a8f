"""What a sidecar costs a pod: time until it is ready, and memory. The figures are printed.

A kubelet looks at its containers once a second and goes on with a pod only then, so each step before the application costs
a second: the redirect that has ended, the proxy that runs, and the proxy's startup probe that has passed.
"""
import json
import statistics
import subprocess
import time

from kube import Node, main, needs_nodes, pod
from mesh import MeshCase, client, uninstall

ROUNDS = 5
READY_LIMIT_S = 10  # something is wrong, not slow
MEMORY_LIMIT_BYTES = 32 << 20  # what the chart requests for it


class Cost(MeshCase):
    def ready_s(self, name, injected):
        """From the request that makes a pod to the event that it is ready, as a watch hears of it."""
        watch = subprocess.Popen([self.kube.program, "--kubeconfig", self.kube.kubeconfig, "get", "--raw",
                                  f"/api/v1/namespaces/{self.namespace}/pods?watch=true&fieldSelector=metadata.name={name}&timeoutSeconds=120"],
                                 stdout=subprocess.PIPE, text=True)
        try:
            start = time.monotonic()
            self.kube.apply(pod(name, client(), labels={"app": "cost", "handfast.io/inject": "enabled" if injected else "false"}))
            for line in watch.stdout:
                conditions = json.loads(line)["object"].get("status", {}).get("conditions", [])
                if any(each["type"] == "Ready" and each["status"] == "True" for each in conditions):
                    return time.monotonic() - start
            raise AssertionError(f"{name} did not become ready in 120 s")
        finally:
            watch.kill()
            watch.communicate()

    def test_1_a_pod_is_ready_hardly_later(self):
        self.ready_s("warm-with", True), self.ready_s("warm-without", False)
        taken = {True: [], False: []}
        for number in range(ROUNDS):
            for injected in (True, False) if number % 2 else (False, True):
                name = f"{'with' if injected else 'without'}-{number}"
                taken[injected].append(self.ready_s(name, injected))
                self.kube.kubectl("delete", "pod", name, "--wait=true")
        with_it, without = (statistics.median(taken[injected]) for injected in (True, False))
        print(f"ready after {with_it:.2f} s with a sidecar ({min(taken[True]):.2f} to {max(taken[True]):.2f}), {without:.2f} s without "
              f"({min(taken[False]):.2f} to {max(taken[False]):.2f}); median of {ROUNDS}: {with_it - without:.2f} s more", flush=True)
        self.assertLess(with_it - without, READY_LIMIT_S)

    @needs_nodes
    def test_2_a_sidecar_takes_little_memory(self):
        found = self.kube.get("pod", "warm-with")
        with open(f"/proc/{Node.process(found, 'handfast-proxy')}/cgroup") as file:
            path = next(line.strip().split(":", 2)[2] for line in file if ":memory:" in line)
        directory = f"/sys/fs/cgroup/memory{path}"
        with open(f"{directory}/memory.stat") as file:
            stat = {key: int(value) for key, value in map(str.split, file)}
        with open(f"{directory}/memory.usage_in_bytes") as file:
            working = int(file.read()) - stat["total_inactive_file"]
        print(f"an idle sidecar's working set is {working / (1 << 20):.1f} MiB, of it {stat['total_rss'] / (1 << 20):.1f} MiB its own", flush=True)
        self.assertLess(working, MEMORY_LIMIT_BYTES)


def tearDownModule():
    uninstall()


if __name__ == "__main__":
    main()
