"""A mesh over two nodes: what is said between them, and a third that joins and leaves under load."""
from kube import CLUSTER, Node, main, needs_nodes, pod, run, service
from mesh import MeshCase, account, client, deployment, load_image, policy, server, uninstall

SERVER_HELLO_1_3 = b"\x00\x2b\x00\x02\x03\x04"  # supported_versions as a server answers: TLS 1.3
joined = []


def on(node):
    return {"nodeSelector": {"kubernetes.io/hostname": node}}


def spread(name, otherwise):
    return {"topologySpreadConstraints": [{"maxSkew": 1, "topologyKey": "kubernetes.io/hostname", "whenUnsatisfiable": otherwise,
                                           "labelSelector": {"matchLabels": {"app": name}}}]}


@needs_nodes
class TwoNodes(MeshCase):
    @classmethod
    def setUpClass(cls):
        if "node-2" not in run(CLUSTER, "status", check=False):
            run(CLUSTER, "up", timeout=900)
            run(CLUSTER, "join", "node-2", timeout=300)
            joined.append("node-2")
        super().setUpClass()
        strict = policy("PeerAuthentication", "default", mtls={"mode": "STRICT"})
        cls.kube.apply(account("web"), account("far"), account("client"), account("stranger"), service("web"), service("far"), strict,
                       deployment("web", server(), replicas=2, **spread("web", "ScheduleAnyway")), deployment("far", server(), **on("node-2")),
                       deployment("client", client(), **on("node-1")), deployment("stranger", client(), **on("node-1")))
        for name in "web", "far", "client", "stranger":
            cls.kube.wait("condition=Available", f"deployment/{name}")

    @classmethod
    def tearDownClass(cls):
        cls.kube.kubectl("delete", "namespace", cls.namespace, "--timeout=120s", timeout=150)

    def test_between_the_nodes_there_is_tls_1_3_and_nothing_of_what_is_said(self):
        open_pod = pod("open", server(), labels={"handfast.io/inject": "false"}, **on("node-2"))
        self.kube.apply(open_pod)
        self.kube.wait("condition=Ready", "pod/open")
        far, plain = self.pods("far")[0]["status"]["podIP"], self.kube.get("pod", "open")["status"]["podIP"]
        with Node("node-2").capture("tcp", "eth0") as capture:
            self.assertEqual(self.fetch(f"http://{far}:8080/?marker-in-the-mesh")[0], 0)
            self.assertEqual(self.fetch(f"http://{plain}:8080/?marker-in-the-open")[0], 0)
            self.wait_for("the open request is in the capture", lambda: capture.count(b"marker-in-the-open"))
            self.wait_for("the handshake is in the capture", lambda: capture.count(SERVER_HELLO_1_3))
            self.assertEqual(capture.count(b"marker-in-the-mesh"), 0)
        self.proxy_says(self.pods("far")[0]["metadata"]["name"], f"source_principal={self.spiffe('client')}", "tls_version=TLSv1.3", "result=ok")

    def test_policies_count_on_the_other_node(self):
        allow = {"rules": [{"from": [{"source": {"principals": [self.spiffe("client").removeprefix("spiffe://")]}}]}]}
        self.assertEqual(self.fetch("http://far/", pod="deploy/stranger")[0], 0)
        self.kube.apply(policy("AuthorizationPolicy", "far", selector={"matchLabels": {"app": "far"}}, **allow))
        self.addCleanup(self.kube.kubectl, "delete", "authorizationpolicy.handfast.io", "far")
        self.wait_for("the stranger is refused", lambda: self.fetch("http://far/", pod="deploy/stranger")[0], 20)
        self.assertEqual(self.fetch("http://far/")[0], 0)

    def test_probes_pass_on_each_node(self):
        kinds = {"http": {"httpGet": {"path": "/", "port": "http"}}, "tcp": {"tcpSocket": {"port": 9000}}, "grpc": {"grpc": {"port": 9090}}}
        names = [f"{kind}-{node}" for kind in kinds for node in ("node-1", "node-2")]
        self.kube.apply(*(pod(name, server(readinessProbe={**kinds[name.split("-")[0]], "periodSeconds": 1, "timeoutSeconds": 3}),
                              **on(name.split("-", 1)[1])) for name in names))
        for name in names:
            self.kube.wait("condition=Ready", f"pod/{name}")
        self.kube.kubectl("delete", "pod", "--wait=false", *names)

    def test_a_stateful_set_on_both_nodes_is_reached_by_the_address_and_the_name_of_a_pod(self):
        self.kube.apply(account("db"), service("db", 8080, clusterIP="None"), deployment(
            "db", server(), kind="StatefulSet", replicas=2, also={"serviceName": "db", "podManagementPolicy": "Parallel"},
            **spread("db", "DoNotSchedule")))
        self.kube.kubectl("rollout", "status", "statefulset/db", "--timeout=120s", timeout=150)
        found = self.pods("db")
        self.assertEqual({each["spec"]["nodeName"] for each in found}, {"node-1", "node-2"})
        for each in found:
            name = each["metadata"]["name"]
            for host in each["status"]["podIP"], f"{name}.db":
                self.wait_for(f"{host} answers", lambda: self.fetch(f"http://{host}:8080/") == (0, name), 30)
            self.proxy_says(name, f"source_principal={self.spiffe('client')}", "security=mutual_tls", "result=ok")

    def test_a_node_joins_serves_is_drained_and_leaves(self):
        self.addCleanup(run, CLUSTER, "leave", "node-3", check=False)
        with self.load("http://web/") as figures:
            run(CLUSTER, "join", "node-3", timeout=300)
            load_image("node-3")
            self.kube.kubectl("wait", "--for=condition=Ready", "node/node-3", "--timeout=120s", timeout=150)
            self.kube.kubectl("scale", "deployment/web", "--replicas=6")
            self.kube.kubectl("rollout", "status", "deployment/web", "--timeout=120s", timeout=150)
            here = {each["metadata"]["name"] for each in self.pods("web") if each["spec"]["nodeName"] == "node-3"}
            figures.more(500)
            self.kube.kubectl("drain", "node-3", "--ignore-daemonsets", "--delete-emptydir-data", "--timeout=120s", timeout=150)
            self.kube.kubectl("rollout", "status", "deployment/web", "--timeout=120s", timeout=150)
            run(CLUSTER, "leave", "node-3", timeout=120)
        self.assertEqual((figures["failed"], figures.get("failures")), (0, []))
        self.assertTrue(here)
        self.assertLessEqual(here, set(figures["pods"]))


def tearDownModule():
    uninstall()
    for node in joined:
        run(CLUSTER, "leave", node, timeout=120)


if __name__ == "__main__":
    main()
