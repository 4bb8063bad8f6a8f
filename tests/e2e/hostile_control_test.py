"""Bad input at the control plane's door: tokens, signing requests, messages. The caller is openssl and curl."""
import base64
import json
import os
import signal
import subprocess
import time
import urllib.parse

import foreign
from case import MeshCase, main, needs_mesh
from foreign import CREATE_CERTIFICATE, field

DELTA = "/envoy.service.discovery.v3.AggregatedDiscoveryService/DeltaAggregatedResources"
OK, INVALID_ARGUMENT, PERMISSION_DENIED, UNIMPLEMENTED, UNAUTHENTICATED = 0, 3, 7, 12, 16
WORKLOADS = "type.googleapis.com/istio.workload.Address"


def base64url(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def from_base64url(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def raw_signature(der):
    """r and s of an ECDSA signature, 32 bytes each, as JWS has them."""
    numbers, at = b"", 2
    for _ in range(2):
        size = der[at + 1]
        numbers += der[at + 2:at + 2 + size].lstrip(b"\0").rjust(32, b"\0")
        at += 2 + size
    return numbers


class HostileControl(MeshCase):
    pods = [{"name": "a"}, {"name": "b"}, {"name": "caller", "proxy": False}]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        if cls.mesh.mode == "mesh":
            cls.plane = cls.mesh.control
            cls.key, cls.csr = foreign.make_csr(cls.caller.directory, cls.caller.spiffe_id)
            cls.good = cls.plane.token("shop", "caller")
            cls.header, cls.claims = (json.loads(from_base64url(part)) for part in cls.good.split(".")[:2])

    def tearDown(self):
        """Nobody else noticed: the proxies are connected and a good request is answered."""
        if self.mesh.mode == "mesh":
            self.assertEqual(self.create(self.csr, self.good)[0], OK)
            for pod in (self.a, self.b):
                self.assertEqual(pod.metric("handfast_control_connected"), 1)

    def jwt(self, key="token-key.pem", header=None, **claims):
        """A token signed with the control plane's own key (or another), whatever it says; None removes a claim."""
        body = {k: v for k, v in {**self.claims, **claims}.items() if v is not None}
        text = ".".join(base64url(json.dumps(part).encode()) for part in (header or self.header, body))
        path = key if "/" in key else os.path.join(self.plane.state, key)
        der = subprocess.run(["openssl", "dgst", "-sha256", "-sign", path], input=text.encode(), check=True,
                             capture_output=True).stdout
        return f"{text}.{base64url(raw_signature(der))}"

    def create(self, csr, token, validity_s=None):
        message = field(1, csr)
        if validity_s is not None:
            message += foreign.varint(3 << 3) + foreign.varint(validity_s)
        return foreign.call(self.plane, CREATE_CERTIFICATE, message, token)

    def streams_refused(self, reason):
        return self.plane.metric("handfast_control_xds_streams_refused_total", reason=reason)

    def assert_refused(self, answer, status, reason, metric="handfast_control_certificates_refused_total", before=None):
        self.assertEqual(answer[0], status, answer)
        said = urllib.parse.unquote(answer[1])
        self.assertTrue(said.startswith(reason + ": "), f"expected {reason}, found {said!r}")
        if before is not None:
            self.assertEqual(self.plane.metric(metric, reason=reason), before + 1)

    @needs_mesh
    def test_the_helpers_make_good_tokens(self):
        self.assertEqual(self.create(self.csr, self.jwt())[0], OK)

    @needs_mesh
    def test_tokens(self):
        other_key, _ = foreign.make_csr(self.caller.directory, self.caller.spiffe_id)
        header, body, signature = self.good.split(".")
        none = base64url(json.dumps({**self.header, "alg": "none"}).encode())
        now = int(time.time())
        flipped = bytearray(from_base64url(signature))
        flipped[10] ^= 1
        cases = {
            "none": (None, "token_missing"),
            "garbage": ("garbage", "token_malformed"),
            "alg: none, no signature": (f"{none}.{body}.", "token_alg"),
            "alg: none, a signature": (f"{none}.{body}.{signature}", "token_alg"),
            "alg: HS256": (self.jwt(header={**self.header, "alg": "HS256"}), "token_alg"),
            "another key": (self.jwt(key=other_key), "token_signature"),
            "a flipped bit": (f"{header}.{body}.{base64url(bytes(flipped))}", "token_signature"),
            "another body": (f"{header}.{base64url(json.dumps({**self.claims, 'sub': 'x'}).encode())}.{signature}",
                             "token_signature"),
            "another audience": (self.jwt(aud="istio-ca"), "token_audience"),
            "no audience": (self.jwt(aud=None), "token_audience"),
            "expired": (self.jwt(iat=now - 7200, nbf=now - 7200, exp=now - 3600), "token_expired"),
            "from the future": (self.jwt(nbf=now + 3600, exp=now + 7200), "token_not_yet_valid"),
            "another issuer": (self.jwt(iss="somebody else"), "token_issuer"),
            "not a service account": (self.jwt(sub="system:node:node-1"), "token_subject"),
        }
        for what, (token, reason) in cases.items():
            with self.subTest(token=what):
                before = self.plane.metric("handfast_control_certificates_refused_total", reason=reason)
                self.assert_refused(self.create(self.csr, token), UNAUTHENTICATED, reason, before=before)

    @needs_mesh
    def test_signing_requests(self):
        _, elsewhere = foreign.make_csr(self.caller.directory, self.a.spiffe_id)
        rsa = subprocess.run(["openssl", "req", "-new", "-newkey", "rsa:2048", "-nodes", "-keyout", "/dev/null",
                              "-subj", "/", "-addext", f"subjectAltName=URI:{self.caller.spiffe_id}"], check=True,
                             capture_output=True, text=True).stdout
        lines = self.csr.strip().splitlines()
        der = bytearray(base64.b64decode("".join(lines[1:-1])))
        der[-3] ^= 1
        unproven = "\n".join([lines[0], base64.b64encode(der).decode(), lines[-1], ""])
        cases = {
            "for somebody else": (elsewhere, "csr_identity"),
            "an RSA key": (rsa, "csr_key"),
            "an Ed25519 key": (self.other_csr("-algorithm", "ed25519"), "csr_key"),
            "a key on P-384": (self.other_csr("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-384"), "csr_key"),
            "a key on a curve that comes with it": (self.other_csr(
                "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:secp256k1", "-pkeyopt", "ec_param_enc:explicit"),
                "csr_key"),
            "no proof of possession": (unproven, "csr_signature"),
            "encrypted": (self.csr.replace(lines[0], lines[0] + "\nProc-Type: 4,ENCRYPTED\nDEK-Info: AES-128-CBC,"
                                           + "00" * 16 + "\n"), "csr_malformed"),
            "a certificate": (open(os.path.join(self.plane.state, "root.pem")).read(), "csr_malformed"),
            "two requests": (self.csr + self.csr, "csr_malformed"),
            "garbage": ("garbage", "csr_malformed"),
            "nothing": ("", "csr_malformed"),
            "a megabyte": ("x" * (1 << 20), "too_large"),
        }
        for what, (csr, reason) in cases.items():
            with self.subTest(csr=what):
                before = self.plane.metric("handfast_control_certificates_refused_total", reason=reason)
                status = PERMISSION_DENIED if reason == "csr_identity" else INVALID_ARGUMENT
                self.assert_refused(self.create(csr, self.good), status, reason, before=before)

    def other_csr(self, *key):
        """A request for our own name with another kind of key (arguments of openssl genpkey)."""
        path = os.path.join(self.caller.directory, "other-key.pem")
        subprocess.run(["openssl", "genpkey", *key, "-out", path], check=True, capture_output=True)
        return subprocess.run(["openssl", "req", "-new", "-key", path, "-subj", "/", "-addext",
                               f"subjectAltName=URI:{self.caller.spiffe_id}"], check=True, capture_output=True,
                              text=True).stdout

    @needs_mesh
    def test_a_key_on_p256_however_it_is_written(self):
        for encoding in ("named_curve", "explicit"):
            with self.subTest(encoding=encoding):
                csr = self.other_csr("-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256", "-pkeyopt",
                                     f"ec_param_enc:{encoding}")
                status, said, answer = self.create(csr, self.good)
                if status != OK:
                    self.assertEqual((status, said.split(":")[0]), (INVALID_ARGUMENT, "csr_key"))
                    continue
                leaf = next(value for number, value in foreign.fields(answer) if number == 1)
                text = subprocess.run(["openssl", "x509", "-noout", "-text"], input=leaf, check=True,
                                      capture_output=True).stdout.decode()
                self.assertIn("ASN1 OID: prime256v1", text)

    @needs_mesh
    def test_the_name_comes_from_the_token_alone(self):
        status, _, answer = self.create(self.csr, self.plane.token("shop", "caller"))
        self.assertEqual(status, OK)
        leaf = next(value for number, value in foreign.fields(answer) if number == 1)
        said = subprocess.run(["openssl", "x509", "-noout", "-ext", "subjectAltName"], input=leaf, check=True,
                              capture_output=True).stdout.decode()
        self.assertEqual(said.count("URI:"), 1)
        self.assertIn(f"URI:{self.caller.spiffe_id}\n", said)

    @needs_mesh
    def test_a_validity_that_is_too_long(self):
        self.assertEqual(self.create(self.csr, self.good, 100 * 365 * 86400)[0], INVALID_ARGUMENT)

    @needs_mesh
    def test_messages_that_are_not_protobuf(self):
        status, said, _ = foreign.call(self.plane, CREATE_CERTIFICATE, b"\x0a\xff\xff\xff", self.good)
        self.assertEqual(status, INVALID_ARGUMENT, said)
        self.assertTrue(said.startswith("xds_malformed"), said)
        before = self.streams_refused("xds_malformed")
        status, said, _ = foreign.call(self.plane, DELTA, b"\x12\xff\xff\xff", self.good)
        self.assertEqual(status, INVALID_ARGUMENT, said)
        self.assertTrue(said.startswith("xds_malformed"), said)
        self.assertEqual(self.streams_refused("xds_malformed"), before + 1)

    @needs_mesh
    def test_methods_and_paths_that_are_not_there(self):
        self.assertEqual(foreign.call(self.plane, "/istio.v1.auth.IstioCertificateService/Nothing", b"", self.good)[0],
                         UNIMPLEMENTED)

    @needs_mesh
    def test_a_stream_of_somebody_else(self):
        def subscribe(node, type_url=WORKLOADS, token=self.good):
            return foreign.call(self.plane, DELTA, field(1, field(1, node)) + field(2, type_url), token)
        mine = f"sidecar~{self.caller.ip4}~caller.shop~shop.svc.cluster.local"
        self.assertEqual(subscribe(mine)[0], OK)
        before = self.streams_refused("xds_node")
        status, said, _ = subscribe(mine.replace("shop", "jobs"))
        self.assertNotEqual(status, OK)
        self.assertTrue(said.startswith("xds_node"), said)
        self.assertEqual(self.streams_refused("xds_node"), before + 1)
        self.assert_refused(subscribe(mine, token=self.jwt(aud="istio-ca")), UNAUTHENTICATED, "token_audience")
        before = self.plane.metric("handfast_control_xds_unknown_types_total")
        subscribe(mine, "type.googleapis.com/no.such.Type")
        self.wait_for("the unknown type is counted", lambda: self.plane.metric(
            "handfast_control_xds_unknown_types_total") == before + 1, 5)

    @needs_mesh
    def test_a_process_that_stops_entirely_is_cut(self):
        """Its kernel goes on answering for it, so only what does not come from it tells: the answer to a ping."""
        def served():
            return (self.plane.metric("handfast_control_streams"), self.plane.metric("handfast_control_connections"))
        self.wait_for("nobody but the proxies", lambda: served() == (2, 2))
        os.kill(self.b.proxy.pid, signal.SIGSTOP)
        try:
            self.wait_for("it is cut", lambda: served() == (1, 1), 75)
            self.assertEqual(self.a.metric("handfast_control_connected"), 1)
        finally:
            os.kill(self.b.proxy.pid, signal.SIGCONT)
        self.wait_for("it comes back", lambda: served() == (2, 2), 40)
        self.wait_for("and knows it", lambda: self.b.metric("handfast_control_connected") == 1)

    @needs_mesh
    def test_a_proxy_with_a_bad_token_says_why_it_is_not_ready(self):
        bad = self.jwt(aud="istio-ca")
        self.b.write_token(bad)
        try:
            self.b.proxy.stop()
            self.b.start_proxy(ready=False)
            self.b.proxy.wait_line("token_audience", 20)
            self.assertFalse(self.b.ready())
            self.assertIn("token_audience", json.dumps(self.b.handfast("status")))
        finally:
            self.b.write_token()
            self.b.wait_ready(40)


if __name__ == "__main__":
    main()
