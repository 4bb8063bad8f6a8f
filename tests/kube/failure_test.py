"""What breaks in real life, under a steady load of new and lasting connections, none of whose requests may fail."""
import os
import signal
import subprocess
import time

from kube import CLUSTER, Node, main, needs_nodes, pod, run, service
from mesh import SYSTEM, MeshCase, account, client, deployment, helm, install, policy, second_image, server, uninstall

CONTROL = ("-l", "app.kubernetes.io/name=handfast-control")


class UnderLoad(MeshCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.kube.apply(account("web"), account("client"), service("web"), policy("PeerAuthentication", "default", mtls={"mode": "STRICT"}),
                       deployment("web", server(), replicas=2, also={"strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}}),
                       deployment("client", client()))
        for name in "web", "client":
            cls.kube.wait("condition=Available", f"deployment/{name}")

    def rolled(self, name, **options):
        self.kube.kubectl("rollout", "status", f"deployment/{name}", "--timeout=120s", timeout=150, **options)

    def roll(self, name, **options):
        self.kube.kubectl("rollout", "restart", f"deployment/{name}", **options)
        self.rolled(name, **options)

    def names(self):
        return {each["metadata"]["name"] for each in self.pods("web")}

    def gone(self, names, **options):
        self.wait_for(f"{names} are gone", lambda: not names & {each["metadata"]["name"] for each in self.kube.get("pods", **options)["items"]}, 60)

    def scale(self, replicas):
        """Returns when there are so many, and those that were too many have ended."""
        self.kube.kubectl("scale", "deployment/web", f"--replicas={replicas}")
        self.rolled("web")
        self.wait_for(f"{replicas} are left", lambda: len(self.kube.get("pods", "-l", "app=web")["items"]) == replicas, 90)

    def assert_none_failed(self, figures, reopened=True):
        self.assertEqual((figures["failed"], figures.get("failures")), (0, []))
        if not reopened:
            self.assertEqual(figures["reopened"], 0)

    def assert_a_new_pod_serves(self):
        """It is a mesh, with certificates and endpoints, not just what was known before."""
        self.kube.kubectl("delete", "pod", sorted(self.names())[0], "--wait=false")
        self.rolled("web")
        for each in self.pods("web"):
            self.wait_for("it answers", lambda: self.fetch(f"http://{each['status']['podIP']}:8080/")[0] == 0, 30)

    def leader(self):
        lease = self.kube.get("lease", "handfast-control", namespace=SYSTEM)["spec"]
        return lease.get("holderIdentity") or ""

    def test_the_control_plane_restarts_replica_after_replica(self):
        with self.load("http://web/") as figures:
            self.roll("handfast-control", namespace=SYSTEM)
        self.assert_none_failed(figures, reopened=False)

    def test_the_leader_goes_and_both_replicas_go_at_once(self):
        pods = {each["metadata"]["name"] for each in self.kube.get("pods", *CONTROL, namespace=SYSTEM)["items"]}
        leader = self.wait_for("there is a leader", lambda: next((name for name in pods if name in self.leader()), None), 30)
        with self.load("http://web/") as figures:
            start = time.monotonic()
            self.kube.kubectl("delete", "pod", leader, "--wait=false", namespace=SYSTEM)
            self.wait_for("another leads", lambda: self.leader() and leader not in self.leader(), 60)
            print(f"the Lease moved after {time.monotonic() - start:.1f} s", flush=True)
            self.kube.kubectl("delete", "pods", *CONTROL, "--grace-period=0", "--force", namespace=SYSTEM)
            self.rolled("handfast-control", namespace=SYSTEM)
        self.assert_none_failed(figures, reopened=False)
        self.assert_a_new_pod_serves()

    def test_the_server_restarts_replica_after_replica_and_scales_to_ten_and_one(self):
        before = self.names()
        with self.load("http://web/") as figures:
            self.roll("web")
            self.gone(before)
            after = self.names()
            figures.more()
            self.scale(10)
            figures.more(1000)
            self.scale(1)
        self.assert_none_failed(figures)
        self.assertFalse(after & before)
        self.assertLessEqual(after, set(figures["pods"]))
        self.assertGreaterEqual(len(figures["pods"]), 10)
        self.scale(2)

    @needs_nodes
    def test_the_api_server_is_killed_and_comes_back(self):
        with self.load("http://web/") as figures:
            run(CLUSTER, "stop", "node-1", "kube-apiserver")  # kill -9
            figures.more(500)
            run(CLUSTER, "start", "node-1", "kube-apiserver")
            self.roll("web")
        self.assert_none_failed(figures)
        self.assert_a_new_pod_serves()

    @needs_nodes
    def test_a_sidecar_is_killed_and_comes_back(self):
        """Its own connections end with a reset, never as if the server had said all; requests to other pods do not notice."""
        victim, other = self.pods("web")
        address = {each["metadata"]["name"]: each["status"]["podIP"] for each in (victim, other)}
        name = victim["metadata"]["name"]
        # An echo that waits for a second line, through the sidecar that is killed.
        script = (f"import socket\ns = socket.create_connection(('{address[name]}', 9000), 5)\ns.settimeout(60)\ns.sendall(b'a\\n')\n"
                  "print(s.recv(9), flush=True)\ntry: print('end', s.recv(9))\nexcept OSError as e: print(type(e).__name__)")
        held = subprocess.Popen([self.kube.program, "--kubeconfig", self.kube.kubeconfig, "-n", self.namespace, "exec", "deploy/client",
                                 "-c", "app", "--", "python3", "-c", script], stdout=subprocess.PIPE, text=True)
        with self.load(f"http://{address[other['metadata']['name']]}:8080/") as figures:
            self.assertEqual(held.stdout.readline(), "b'a\\n'\n")
            start = time.monotonic()
            os.kill(Node.process(victim, "handfast-proxy"), signal.SIGKILL)
            self.wait_for("it serves again", lambda: self.fetch(f"http://{address[name]}:8080/")[1] == name, 90)
            print(f"a pod whose sidecar was killed serves again after {time.monotonic() - start:.1f} s", flush=True)
        self.assertEqual(held.communicate(timeout=90)[0].strip(), "ConnectionResetError")
        self.assert_none_failed(figures, reopened=False)
        restarted = self.kube.get("pod", name)["status"]
        self.assertEqual(restarted["initContainerStatuses"][-1]["restartCount"], 1)
        self.assertEqual(restarted["containerStatuses"][0]["restartCount"], 0)

    def test_without_the_injector_pods_wait_and_come_with_it(self):
        plain = f"plain-{self.namespace}"
        self.kube.kubectl("scale", "deployment/handfast-injector", "--replicas=0", namespace=SYSTEM)
        try:
            self.wait_for("no injector is left", lambda: not self.kube.get("pods", "-l", "app.kubernetes.io/name=handfast-injector",
                                                                          namespace=SYSTEM))
            self.kube.kubectl("scale", "deployment/web", "--replicas=3")
            self.kube.wait("condition=ReplicaFailure", "deployment/web")
            self.assertEqual(len(self.pods("web")), 2)
            self.kube.apply(pod(plain, client()), namespace="default")
            self.addCleanup(self.kube.kubectl, "delete", "pod", plain, "--wait=false", namespace="default")
            self.kube.wait("condition=Ready", f"pod/{plain}", namespace="default")
            self.assertEqual(self.fetch("http://web/")[0], 0)
        finally:
            self.kube.kubectl("scale", "deployment/handfast-injector", "--replicas=2", namespace=SYSTEM)
        self.rolled("handfast-injector", namespace=SYSTEM)
        self.rolled("web")
        self.assertTrue(all(any(each["name"] == "handfast-proxy" for each in found["spec"]["initContainers"]) for found in self.pods("web")))
        self.scale(2)

    def test_an_upgrade_and_a_rollback(self):
        second = second_image().rsplit(":", 1)[1]
        with self.load("http://web/") as figures:
            install(**{"image.tag": second})
            self.roll("web")
            images = {each["image"] for found in self.pods("web") for each in found["spec"]["initContainers"]}
            helm("rollback", "handfast", "--wait", "--timeout", "120s", timeout=180)
            figures.more()
        self.assert_none_failed(figures)
        self.assertTrue(all(image.endswith(":" + second) for image in images), images)
        self.roll("web")
        images = {each["image"] for found in self.pods("web") for each in found["spec"]["initContainers"]}
        self.assertFalse(any(image.endswith(":" + second) for image in images), images)


def tearDownModule():
    uninstall()


if __name__ == "__main__":
    main()
