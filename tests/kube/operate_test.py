"""What an operator asks: handfast check says ok when all is well and names what somebody broke; helm test gets an identity."""
import json
import os
import subprocess

from kube import cluster, main, pod
from mesh import SYSTEM, MeshCase, account, client, helm, install

HANDFAST = os.path.join(os.environ.get("HANDFAST_BIN") or os.path.join(os.path.dirname(__file__), "..", "..", "build", "release"), "handfast")
WEBHOOK = "mutatingwebhookconfiguration/handfast-injector"
TRUST = "configmap/handfast-ca-root-cert"


class Check(MeshCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.kube.apply(account("web"), pod("web", client(), serviceAccountName="web"))
        cls.kube.wait("condition=Ready", "pod/web")

    def check(self):
        """(exit status, {level: [lines]})"""
        ended = subprocess.run([HANDFAST, "check", "--json", "--kubeconfig", cluster().kubeconfig, "--namespace", SYSTEM],
                               capture_output=True, text=True, timeout=120)
        lines = {"ok": [], "unknown": [], "warning": [], "failed": []}
        for each in json.loads(ended.stdout)["findings"]:
            lines[each["level"]].append(f"{each['subject']}: {each['found']}")
        return ended.returncode, lines

    def well(self):
        status, lines = self.check()
        return status == 0 and not lines["warning"] and not lines["failed"] and lines

    def wait_until_well(self):
        try:
            return self.wait_for("handfast check has nothing to say", self.well, 60, 1)
        except Exception:
            self.fail(json.dumps(self.check(), indent=1))

    def assert_says(self, level, *words):
        def found():
            status, lines = self.check()
            return (status != 0) == bool(lines["failed"]) and any(all(word in line for word in words) for line in lines[level])
        self.wait_for(f"a line '{level}' with {words}", found, 30, 1)

    def test_all_is_ok_after_the_installation(self):
        lines = self.wait_until_well()
        self.assertEqual(lines["unknown"], [])
        self.assertTrue(any("got its sidecar" in line for line in lines["ok"]), lines)
        self.assertTrue(any("node-1" in line for line in lines["ok"]) or "KUBECONFIG" in os.environ, lines)

    def test_helm_test_passes_and_fails_without_a_control_plane(self):
        self.wait_until_well()
        self.assertIn("Succeeded", helm("test", "handfast"))
        self.kube.kubectl("scale", "deployment/handfast-control", "--replicas=0", namespace=SYSTEM)
        self.kube.kubectl("wait", "--for=delete", "pod", "-l", "app.kubernetes.io/name=handfast-control", "--timeout=60s", namespace=SYSTEM)
        with self.assertRaises(Exception):
            helm("test", "handfast")
        self.assertIn("no certificate", self.kube.kubectl("logs", "handfast-test", namespace=SYSTEM))
        self.kube.kubectl("scale", "deployment/handfast-control", "--replicas=2", namespace=SYSTEM)
        self.wait_until_well()

    def test_a_pod_from_before_the_label_is_named(self):
        self.wait_until_well()
        self.kube.kubectl("label", "namespace", self.namespace, "handfast.io/inject-")
        self.kube.apply(pod("early", client()))
        self.kube.kubectl("label", "namespace", self.namespace, "handfast.io/inject=enabled")
        self.assert_says("warning", f"{self.namespace}/early")
        self.kube.kubectl("delete", "pod", "early", "--now")
        self.wait_until_well()

    def test_a_webhook_that_is_not_believed_and_one_that_is_gone(self):
        """The control plane puts its own bundle back at once, so it is away meanwhile."""
        self.wait_until_well()
        self.kube.kubectl("scale", "deployment/handfast-control", "--replicas=0", namespace=SYSTEM)
        self.assert_says("failed", "handfast-control: 0 of 0")
        self.kube.kubectl("patch", WEBHOOK, "--type=json", "-p",
                          json.dumps([{"op": "remove", "path": "/webhooks/0/clientConfig/caBundle"}]))
        self.assert_says("failed", "caBundle is empty")
        self.assert_says("failed", "webhook:", "x509")
        self.kube.kubectl("delete", TRUST)
        self.assert_says("failed", f"{self.namespace} (none)")
        self.kube.kubectl("delete", WEBHOOK)
        self.assert_says("failed", "no MutatingWebhookConfiguration")
        self.assert_says("failed", "got no sidecar")
        install()
        self.kube.kubectl("scale", "deployment/handfast-control", "--replicas=2", namespace=SYSTEM)
        self.wait_until_well()

    def test_a_permission_that_is_gone_is_named(self):
        self.wait_until_well()
        binding = self.kube.get("rolebinding", "handfast-injector", namespace=SYSTEM)
        self.kube.kubectl("delete", "rolebinding", "handfast-injector", namespace=SYSTEM)
        self.assert_says("failed", "handfast-injector may not", "list secrets handfast-injector-tls")
        for key in "resourceVersion", "uid", "creationTimestamp":
            del binding["metadata"][key]
        self.kube.apply(binding, namespace=SYSTEM)
        self.wait_until_well()


if __name__ == "__main__":
    main()
