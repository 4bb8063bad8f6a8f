"""The cluster itself: what the other programs here rest on, each seen once without a mesh."""
import base64
import json
import os
import time

from kube import BESIDE, CLUSTER, Cluster, KubeCase, Node, container, kubectl, main, needs_nodes, pod, run, service

SLEEP = "import signal, threading; signal.signal(15, lambda *_: exit(0)); threading.Event().wait()"
FETCH = ["curl", "-sS", "--fail", "--max-time", "10"]

MACHINE_WIDE = ["/proc/sys/" + key for key in ("vm/overcommit_memory", "vm/panic_on_oom", "kernel/panic", "kernel/panic_on_oops",
                                               "kernel/keys/root_maxkeys", "kernel/keys/root_maxbytes")]


def native_sidecar(**spec):
    """An init container that stays; its startup probe holds what comes after it."""
    probe = {"httpGet": {"path": "/etc/hostname", "port": 8080}, "periodSeconds": 1, "failureThreshold": 60}
    return container("sidecar", restartPolicy="Always", startupProbe=probe, **spec)


class Pods(KubeCase):
    def test_a_pod_becomes_ready(self):
        self.kube.apply(pod("web"))
        self.kube.wait("condition=Ready", "pod/web")

    def test_a_startup_probe_of_a_native_sidecar_holds_the_application(self):
        self.kube.apply(pod("held", container("app", "python3", "-c", SLEEP), initContainers=[native_sidecar(
            command=["sh", "-c", "sleep 2; exec python3 -m http.server 8080"])]))
        self.kube.wait("condition=Ready", "pod/held")
        status = self.kube.get("pod", "held")["status"]
        sidecar, app = (status[kind][0]["state"]["running"]["startedAt"] for kind in ("initContainerStatuses", "containerStatuses"))
        seconds = [time.mktime(time.strptime(at, "%Y-%m-%dT%H:%M:%SZ")) for at in (sidecar, app)]
        self.assertGreaterEqual(seconds[1] - seconds[0], 2)

    def test_a_job_with_a_native_sidecar_completes(self):
        template = pod("job", container("app", *FETCH, "http://127.0.0.1:8080/etc/hostname"), initContainers=[native_sidecar()],
                       restartPolicy="Never")
        self.kube.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"},
                         "spec": {"backoffLimit": 0, "template": {"metadata": {"labels": {"app": "once"}}, "spec": template["spec"]}}})
        self.kube.wait("condition=Complete", "job/once")
        self.wait_for("the sidecar has ended", lambda: self.kube.get("pods", "-l", "app=once")["items"][0]["status"]["phase"] == "Succeeded")

    def test_exec_and_logs_reach_a_container(self):
        self.kube.apply(pod("said", container("app", "sh", "-c", "echo a sentence; exec sleep 600")))
        self.kube.wait("condition=Ready", "pod/said")
        self.assertEqual(self.kube.logs("said"), "a sentence\n")
        self.assertEqual(self.kube.exec("said", "hostname"), "said\n")


class Tokens(KubeCase):
    def review(self, token, audience):
        spec = {"token": token, "audiences": [audience]}
        return self.kube.create({"apiVersion": "authentication.k8s.io/v1", "kind": "TokenReview", "spec": spec})["status"]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        source = {"serviceAccountToken": {"audience": "handfast", "expirationSeconds": 3600, "path": "token"}}
        cls.kube.apply(pod("holder", container("app", "sleep", "600", volumeMounts=[{"name": "token", "mountPath": "/var/run/secrets/handfast"}]),
                           volumes=[{"name": "token", "projected": {"sources": [source]}}]))
        cls.kube.wait("condition=Ready", "pod/holder")
        cls.token = cls.kube.exec("holder", "cat", "/var/run/secrets/handfast/token")

    def test_a_projected_token_names_its_audience_and_its_pod(self):
        payload = self.token.split(".")[1]
        claims = json.loads(base64.urlsafe_b64decode(payload + "=" * (-len(payload) % 4)))
        self.assertEqual(claims["aud"], ["handfast"])
        self.assertEqual(claims["kubernetes.io"]["pod"]["name"], "holder")

    def test_a_token_review_accepts_it_and_names_the_service_account(self):
        status = self.review(self.token, "handfast")
        self.assertTrue(status["authenticated"])
        self.assertEqual(status["user"]["username"], f"system:serviceaccount:{self.namespace}:default")
        self.assertEqual(status["user"]["extra"]["authentication.kubernetes.io/pod-name"], ["holder"])

    def test_a_token_review_refuses_another_audience(self):
        status = self.review(self.token, "somebody-else")
        self.assertFalse(status.get("authenticated", False))
        self.assertIn("audience", status["error"])


class Network(KubeCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.kube.apply(pod("server"), service("server"), pod("client", container("app", "sleep", "600")))
        cls.kube.wait("condition=Ready", "pod/server")
        cls.kube.wait("condition=Ready", "pod/client")
        cls.address = cls.kube.get("pod", "server")["status"]["podIP"]

    def fetch(self, url, pod="client"):
        return self.kube.exec(pod, *FETCH, "--retry", "5", "--retry-connrefused", url)

    def test_a_service_is_reached_by_its_name(self):
        for name in "server", f"server.{self.namespace}", f"server.{self.namespace}.svc.cluster.local":
            self.assertEqual(self.fetch(f"http://{name}/etc/hostname"), "server\n")

    def test_a_pod_reaches_itself_through_its_service(self):
        self.assertEqual(self.fetch(f"http://server.{self.namespace}/etc/hostname", pod="server"), "server\n")

    def test_a_headless_service_is_the_addresses_of_its_pods(self):
        self.kube.apply(pod("alone"), service("alone", clusterIP="None"))
        self.kube.wait("condition=Ready", "pod/alone")
        address = self.kube.get("pod", "alone")["status"]["podIP"]
        self.wait_for("the name has the pod's address", lambda: address in self.kube.exec("client", "getent", "hosts", "alone", check=False))

    def test_an_init_container_with_net_admin_alone_redirects(self):
        rules = "table ip t { chain c { type nat hook prerouting priority -100; tcp dport 80 redirect to :8080; }; }"
        security = {"capabilities": {"drop": ["ALL"], "add": ["NET_ADMIN"]}, "allowPrivilegeEscalation": False}
        self.kube.apply(pod("redirected", initContainers=[container("redirect", "nft", rules, securityContext=security)]))
        self.kube.wait("condition=Ready", "pod/redirected")
        address = self.kube.get("pod", "redirected")["status"]["podIP"]
        self.assertEqual(self.fetch(f"http://{address}:80/etc/hostname"), "redirected\n")

    @needs_nodes
    def test_a_node_reaches_a_service_as_an_api_server_reaches_its_webhooks(self):
        address = self.kube.get("service", "server")["spec"]["clusterIP"]
        self.assertEqual(Node("node-1").exec(*FETCH, "--retry", "5", "--retry-connrefused", f"http://{address}/etc/hostname"), "server\n")

    @needs_nodes
    def test_a_capture_on_the_bridge_shows_what_pods_say_to_each_other(self):
        with Node("node-1").capture("tcp port 8080") as capture:
            self.fetch(f"http://{self.address}:8080/etc/hostname?marker")
            self.wait_for("the request is in the capture", lambda: capture.count(b"/etc/hostname?marker"))


@needs_nodes
class Nodes(KubeCase):
    """A cluster beside that of the other programs, because these tests do to it what others could not bear."""

    @classmethod
    def setUpClass(cls):
        cls.state = BESIDE
        cls.cluster("down")  # what a run that was killed has left
        cls.machine = {path: cls.read(path) for path in MACHINE_WIDE}
        cls.addClassCleanup(cls.cluster, "down")
        cls.kube = Cluster(cls.cluster("up").split()[-1], kubectl())
        cls.namespace = "default"

    @classmethod
    def tearDownClass(cls):
        pass

    @classmethod
    def cluster(cls, *words, **options):
        return run(CLUSTER, *words, env=dict(os.environ, HANDFAST_KUBE_STATE=cls.state), timeout=600, **options)

    @classmethod
    def hardware_address(cls):
        """Who knows it must not lose node-1 when another node's link comes or goes."""
        return Node("node-1", cls.state).exec("cat", "/sys/class/net/eth0/address")

    @staticmethod
    def read(path):
        with open(path) as file:
            return file.read()

    def test_1_a_second_node_joins_and_pods_reach_each_other_across(self):
        before = self.hardware_address()
        self.cluster("up", "--nodes", "2")
        here, there = (pod(f"on-{n}", nodeName=f"node-{n}") for n in (1, 2))
        self.kube.apply(here, there, service("on-2"))
        self.kube.wait("condition=Ready", "pod/on-1")
        self.kube.wait("condition=Ready", "pod/on-2")
        address = self.kube.get("pod", "on-2")["status"]["podIP"]
        for host in f"{address}:8080", "on-2":
            self.assertEqual(self.kube.exec("on-1", *FETCH, "--retry", "5", "--retry-connrefused", f"http://{host}/etc/hostname"), "on-2\n")
        self.assertEqual(self.hardware_address(), before)
        self.cluster("leave", "node-2")
        self.assertEqual([node["metadata"]["name"] for node in self.kube.get("nodes")["items"]], ["node-1"])

    def test_2_without_watch_cache_and_after_a_compaction_an_old_watch_is_gone(self):
        self.cluster("restart", "node-1", "kube-apiserver", "--apiserver-arg=--watch-cache=false")
        versions = []
        for number in range(3):
            self.kube.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "moved"}, "data": {"number": str(number)}})
            versions.append(self.kube.get("configmap", "moved")["metadata"]["resourceVersion"])
        self.cluster("compact")
        said = self.kube.kubectl("get", "--raw", f"/api/v1/configmaps?watch=true&resourceVersion={versions[0]}&timeoutSeconds=5", check=False)
        self.assertEqual(json.loads(said.splitlines()[0])["object"]["code"], 410)

    def test_3_a_component_that_does_not_start_is_named_with_its_last_words(self):
        with self.assertRaises(RuntimeError) as raised:
            self.cluster("restart", "node-1", "kube-apiserver", "--apiserver-arg=--no-such-flag")
        self.assertIn("kube-apiserver of node-1 says", str(raised.exception))
        self.assertIn("no-such-flag", str(raised.exception))

    def test_4_down_leaves_nothing_behind(self):
        node = Node("node-1", self.state)
        namespaces = [os.readlink(f"/proc/{node.init()}/ns/{kind}") for kind in ("pid", "mnt", "net", "uts", "ipc", "cgroup")]
        link, cgroups = f"hfkube{self.read(self.state + '/slot').strip()}", self.read(f"{self.state}/node-1/cgroups").split()
        self.cluster("down")
        self.assertFalse(os.path.exists(self.state))
        self.assertEqual([path for path in cgroups if os.path.exists(path)], [])
        self.assertFalse(os.path.exists(f"/sys/class/net/{link}"))
        self.assertNotIn(self.state, self.read("/proc/self/mountinfo"))
        self.assertEqual(self.inhabitants(namespaces), [])
        self.assertEqual(self.machine, {path: self.read(path) for path in self.machine})
        self.assertIn("no cluster", self.cluster("status", check=False))

    @staticmethod
    def inhabitants(namespaces):
        found = []
        for pid in filter(str.isdigit, os.listdir("/proc")):
            try:
                found += [(pid, kind) for kind in os.listdir(f"/proc/{pid}/ns") if os.readlink(f"/proc/{pid}/ns/{kind}") in namespaces]
            except OSError:
                pass  # it has ended meanwhile
        return found


if __name__ == "__main__":
    main()
