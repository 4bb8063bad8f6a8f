"""What breaks in real life, under a steady load of new and lasting connections, none of whose requests may fail."""
import time

from kube import main, service
from mesh import SYSTEM, MeshCase, account, client, deployment, policy, server, uninstall


class UnderLoad(MeshCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.kube.apply(account("web"), account("client"), service("web"), policy("PeerAuthentication", "default", mtls={"mode": "STRICT"}),
                       deployment("web", server(), replicas=2, also={"strategy": {"rollingUpdate": {"maxUnavailable": 0, "maxSurge": 1}}}),
                       deployment("client", client()))
        for name in "web", "client":
            cls.kube.wait("condition=Available", f"deployment/{name}")

    def roll(self, name, **options):
        self.kube.kubectl("rollout", "restart", f"deployment/{name}", **options)
        self.kube.kubectl("rollout", "status", f"deployment/{name}", "--timeout=120s", timeout=150, **options)

    def gone(self, names, **options):
        self.wait_for(f"{names} are gone", lambda: not names & {each["metadata"]["name"] for each in self.kube.get("pods", **options)["items"]}, 60)

    def assert_none_failed(self, figures):
        self.assertEqual((figures["failed"], figures.get("failures")), (0, []))
        self.assertGreater(figures["requests"], 200)

    def test_the_control_plane_restarts_replica_after_replica(self):
        with self.load("http://web/") as figures:
            time.sleep(2)
            self.roll("handfast-control", namespace=SYSTEM)
            time.sleep(3)
        self.assert_none_failed(figures)
        self.assertEqual(figures["reopened"], 0)

    def test_both_replicas_of_the_control_plane_go_at_once(self):
        with self.load("http://web/") as figures:
            time.sleep(2)
            self.kube.kubectl("delete", "pods", "-l", "app.kubernetes.io/name=handfast-control", "--grace-period=0", "--force", namespace=SYSTEM)
            self.kube.kubectl("rollout", "status", "deployment/handfast-control", "--timeout=120s", namespace=SYSTEM, timeout=150)
            time.sleep(3)
        self.assert_none_failed(figures)
        self.assertEqual(figures["reopened"], 0)
        self.kube.kubectl("scale", "deployment/web", "--replicas=3")  # and it is a mesh again
        self.wait_for("a third replica is there and answers", lambda: len(self.pods("web")) == 3 and all(
            self.fetch(f"http://{each['status'].get('podIP')}:8080/")[0] == 0 for each in self.pods("web")))
        self.kube.kubectl("scale", "deployment/web", "--replicas=2")

    def test_the_server_restarts_replica_after_replica(self):
        before = {each["metadata"]["name"] for each in self.pods("web")}
        with self.load("http://web/") as figures:
            time.sleep(2)
            self.roll("web")
            self.gone(before)
            time.sleep(2)
        self.assert_none_failed(figures)
        after = {each["metadata"]["name"] for each in self.pods("web")}
        self.assertFalse(after & before)
        self.assertLess(after, set(figures["pods"]))


def tearDownModule():
    uninstall()


if __name__ == "__main__":
    main()
