"""handfast-proxy --probe-control: whoever may have an identity gets one and sees it, whoever may not is told why."""
import os

from case import MeshCase, main, needs_mesh
from pod import PROXY_UID


@needs_mesh
class ProbeControl(MeshCase):
    def probe(self, name, **options):
        """Beside the pod's own proxy: (exit status, stdout, stderr)."""
        probe = self.a.start([*self.a.proxy_argv(**options), "--probe-control"], name, uid=PROXY_UID)
        status = probe.wait(60)
        self.assertFalse(probe.sanitizer_report())
        return status, probe.out(), probe.err()

    def refused(self, name, label, **options):
        status, out, err = self.probe(name, **options)
        self.assertEqual((status, out), (1, ""), err)
        self.assertRegex(err, rf"(?m)^handfast-proxy: no certificate: .*{label}")

    def test_it_prints_the_identity_and_its_root(self):
        status, out, err = self.probe("good")
        self.assertEqual(status, 0, err)
        for line in f"identity  {self.a.spiffe_id}\n", "serial    ", "expires   20", "root      ":
            self.assertIn(line, out)

    def test_it_says_why_there_is_none(self):
        other = os.path.join(self.a.directory, "other-token")
        with open(other, "w") as file:
            file.write(self.mesh.control.token("shop", "b"))
        os.chown(other, PROXY_UID, PROXY_UID)
        self.refused("account", "PERMISSION_DENIED|UNAUTHENTICATED", token_file=other)
        self.refused("token", r"\[token_missing\]", token_file="/nowhere")
        self.refused("name", r"\[tls_name\]", control_name="somebody.else.svc")
        self.refused("port", r"\[conn_refused\]", control=f"{self.mesh.control.ip4}:1")


if __name__ == "__main__":
    main()
