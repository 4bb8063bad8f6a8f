"""The story as a user lives it: a labelled namespace, a server of two replicas and a client of it, policies, probes, a Job."""
import time

from kube import Node, container, main, needs_nodes, pod, service
from mesh import MeshCase, account, client, deployment, policy, server, template, uninstall

SERVER_HELLO_1_3 = b"\x00\x2b\x00\x02\x03\x04"  # supported_versions as a server answers: TLS 1.3


class Meshed(MeshCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.kube.apply(account("web"), account("client"), account("stranger"), service("web"), deployment("web", server(), replicas=2),
                       deployment("client", client()), deployment("stranger", client()))
        for name in "web", "client", "stranger":
            cls.kube.wait("condition=Available", f"deployment/{name}")
        cls.outside = f"outside-{cls.namespace}"
        cls.kube.apply(pod(cls.outside, client()), namespace="default")
        cls.addClassCleanup(cls.kube.kubectl, "delete", "pod", cls.outside, "--wait=false", namespace="default")
        cls.kube.wait("condition=Ready", f"pod/{cls.outside}", namespace="default")
        cls.address = cls.kube.get("pods", "-l", "app=web")["items"][0]["status"]["podIP"]

    def setUp(self):
        self.delete_policies()

    def delete_policies(self):
        self.kube.kubectl("delete", "authorizationpolicies.handfast.io,peerauthentications.handfast.io", "--all")

    def outsider(self, url):
        return self.fetch(url, pod=f"pod/{self.outside}", namespace="default")

    def test_pods_come_up_with_a_native_sidecar(self):
        found = self.pods("web")
        self.assertEqual(len(found), 2)
        for each in found:
            status = each["status"]
            self.assertTrue(all(entry["ready"] for entry in status["containerStatuses"]))
            sidecar = next(entry for entry in each["spec"]["initContainers"] if entry["name"] == "handfast-proxy")
            self.assertEqual(sidecar["restartPolicy"], "Always")
            self.assertTrue(next(entry for entry in status["initContainerStatuses"] if entry["name"] == "handfast-proxy")["ready"])

    def test_a_service_is_reached_by_its_names_and_each_replica_by_its_address(self):
        names = {each["metadata"]["name"] for each in self.pods("web")}
        for host in "web", f"web.{self.namespace}", f"web.{self.namespace}.svc.cluster.local":
            self.assertIn(self.fetch(f"http://{host}/")[1], names)
        self.assertEqual({self.fetch(f"http://{each['status']['podIP']}:8080/")[1] for each in self.pods("web")}, names)

    @needs_nodes
    def test_the_wire_shows_tls_1_3_and_nothing_of_what_is_said(self):
        with Node("node-1").capture("tcp") as capture:
            self.wait_for("the outsider is let in", lambda: self.outsider(f"http://{self.address}:8080/?marker-in-the-open")[0] == 0, 5)
            self.assertEqual(self.fetch(f"http://{self.address}:8080/?marker-in-the-mesh")[0], 0)
            self.wait_for("the handshake is in the capture", lambda: capture.count(SERVER_HELLO_1_3))
            self.wait_for("the open request is in the capture", lambda: capture.count(b"marker-in-the-open"))
            self.assertEqual(capture.count(b"marker-in-the-mesh"), 0)

    def test_the_servers_log_and_metrics_name_the_client(self):
        self.assertEqual(self.fetch(f"http://{self.address}:8080/")[0], 0)
        name = next(each["metadata"]["name"] for each in self.pods("web") if each["status"]["podIP"] == self.address)
        said = self.proxy_says(name, "direction=inbound", f"source_principal={self.spiffe('client')}")
        for words in f"destination_principal={self.spiffe('web')}", "security=mutual_tls", "tls_version=TLSv1.3", "result=ok":
            self.assertIn(words, said)
        _, metrics = self.outsider(f"http://{self.address}:15020/metrics")
        rows = [row for row in metrics.splitlines() if row.startswith("istio_tcp_connections_opened_total") and 'reporter="destination"' in row]
        self.assertTrue([row for row in rows if f'source_principal="{self.spiffe("client")}"' in row and 'policy="mutual_tls"' in row], rows)

    def test_strict_refuses_a_pod_without_a_sidecar(self):
        url = f"http://{self.address}:8080/"
        self.wait_for("the outsider is let in", lambda: self.outsider(url)[0] == 0, 5)
        self.kube.apply(policy("PeerAuthentication", "default", mtls={"mode": "STRICT"}))
        self.wait_for("the outsider is refused", lambda: self.outsider(url)[0], 5)
        self.assertEqual(self.fetch(url)[0], 0)
        self.assertEqual(self.fetch("http://web/")[0], 0)
        self.delete_policies()
        self.wait_for("the outsider is let in again", lambda: self.outsider(url)[0] == 0, 5)

    def test_a_policy_lets_one_service_account_in_and_another_not_within_a_second(self):
        url, principal = f"http://{self.address}:8080/", f"cluster.local/ns/{self.namespace}/sa/client"
        for name in "client", "stranger":
            self.wait_for(f"the {name} is let in", lambda: self.fetch(url, pod=f"deploy/{name}")[0] == 0, 5)
        self.kube.apply(policy("AuthorizationPolicy", "web", selector={"matchLabels": {"app": "web"}},
                               rules=[{"from": [{"source": {"principals": [principal]}}]}]))
        time.sleep(1)  # what is promised
        self.assertNotEqual(self.fetch(url, pod="deploy/stranger")[0], 0)
        self.assertEqual(self.fetch(url)[0], 0)
        name = next(each["metadata"]["name"] for each in self.pods("web") if each["status"]["podIP"] == self.address)
        self.assertIn("policy=", self.proxy_says(name, self.spiffe("stranger"), "result=conn_policy_denied"))

    def test_a_policy_says_whether_it_is_accepted(self):
        self.kube.apply(policy("PeerAuthentication", "default", mtls={"mode": "STRICT"}))
        self.kube.wait("condition=Accepted", "peerauthentication.handfast.io/default", timeout=10)
        condition = self.kube.get("peerauthentication.handfast.io", "default")["status"]["conditions"][0]
        self.assertEqual((condition["status"], condition["observedGeneration"]), ("True", 1))

    def test_a_job_that_talks_to_the_server_completes(self):
        job = template("job", container("app", "curl", "-sS", "--fail", "--max-time", "10", "http://web/"), serviceAccountName="client",
                       restartPolicy="Never")
        self.kube.apply({"apiVersion": "batch/v1", "kind": "Job", "metadata": {"name": "once"}, "spec": {"backoffLimit": 0, "template": job}})
        self.kube.wait("condition=Complete", "job/once")

    def test_a_stateful_set_is_reached_by_the_address_and_the_name_of_a_pod(self):
        self.kube.apply(account("db"), service("db", 8080, clusterIP="None"), policy("PeerAuthentication", "default", mtls={"mode": "STRICT"}),
                        deployment("db", server(), kind="StatefulSet", replicas=2, also={"serviceName": "db", "podManagementPolicy": "Parallel"}))
        self.kube.kubectl("rollout", "status", "statefulset/db", "--timeout=60s")
        for each in self.pods("db"):
            name, address = each["metadata"]["name"], each["status"]["podIP"]
            for host in address, f"{name}.db":
                self.wait_for(f"{host} answers", lambda: self.fetch(f"http://{host}:8080/") == (0, name), 10)
            self.proxy_says(name, f"source_principal={self.spiffe('client')}", "security=mutual_tls", "result=ok")
        self.assertIn(self.fetch("http://db:8080/")[1], [each["metadata"]["name"] for each in self.pods("db")])


class Probes(MeshCase):
    """Each kind of probe alone, in a namespace that is strict before the pod comes."""

    kinds = {"http": {"httpGet": {"path": "/", "port": "http"}}, "tcp": {"tcpSocket": {"port": 9000}}, "grpc": {"grpc": {"port": 9090}},
             "exec": {"exec": {"command": ["curl", "-sSf", "http://127.0.0.1:8080/"]}}}

    def test_each_kind_passes_under_strict(self):
        self.kube.apply(policy("PeerAuthentication", "default", mtls={"mode": "STRICT"}))
        for kind, probe in self.kinds.items():
            quick = {**probe, "periodSeconds": 1, "timeoutSeconds": 3}
            self.kube.apply(pod(kind, server(readinessProbe=quick, livenessProbe={**quick, "initialDelaySeconds": 3, "failureThreshold": 5},
                                             startupProbe={**quick, "failureThreshold": 30})))
        for kind in self.kinds:
            with self.subTest(kind):
                self.kube.wait("condition=Ready", f"pod/{kind}")
        time.sleep(6)  # longer than liveness needs to restart what fails
        for kind in self.kinds:
            self.assertEqual(self.kube.get("pod", kind)["status"]["containerStatuses"][0]["restartCount"], 0, kind)

    def test_a_probe_that_fails_is_not_made_to_pass(self):
        for kind, probe in {"no-http": {"httpGet": {"path": "/", "port": 8081}}, "no-tcp": {"tcpSocket": {"port": 9001}},
                            "no-grpc": {"grpc": {"port": 9091}}}.items():
            self.kube.apply(pod(kind, server(readinessProbe={**probe, "periodSeconds": 1})))
        for kind in "no-http", "no-tcp", "no-grpc":
            self.kube.wait("jsonpath={.status.containerStatuses[0].started}=true", f"pod/{kind}")
            with self.assertRaisesRegex(RuntimeError, "timed out"):
                self.kube.wait("condition=Ready", f"pod/{kind}", timeout=4)


def tearDownModule():
    uninstall()


if __name__ == "__main__":
    main()
