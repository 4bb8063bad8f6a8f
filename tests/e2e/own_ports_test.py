"""The own-port table: what somebody who connects straight to one of our ports finds there, over IPv4 and IPv6.

    from                     15001                   15006                   15020, 15021   control 15012, 15014
    app in the pod           reset, not redirected   reset, not redirected   plaintext      TLS, plaintext (relayed)
    uid 1337 in the pod      reset, not redirected   reset, not redirected   plaintext      TLS, plaintext (direct)
    app in a meshed pod      reset by its own proxy  reset by its own proxy  plaintext      as the app in the pod
    uid 1337 in that pod     reset, own port         reset, not redirected   plaintext      as uid 1337 in the pod
    unmeshed pod             reset, own port         reset, not redirected   plaintext      TLS, plaintext (direct)

Every reset is counted, by the proxy that sent it, under its reason: `conn_not_redirected` when the kernel knows no other
destination than the listener, `conn_own_port` when the redirect brought the connection and it was going to one of
our ports. (A redirect from 15006 to 15006 changes nothing, so the kernel does not tell it from none; the proxy of the
meshed pod refuses before that, having seen the destination.) A service address with one of our ports is refused like a pod's address.
"""
import contextlib
import ctypes
import socket
import ssl
import threading

from case import MeshCase, main, needs_mesh
from pod import HEALTH, INBOUND, METRICS, OUTBOUND
from process import PROXY_UID

FAMILIES = (socket.AF_INET, socket.AF_INET6)
CONTROL_GRPC, CONTROL_METRICS = 15012, 15014
SERVICE = ("10.96.0.10", "fd96::10")

# A caller is (pod, runs as the proxy's user). The address is one of the pod `a`, or its loopback.
CALLERS = {
    "app": ("a", False),
    "uid 1337": ("a", True),
    "app in a meshed pod": ("b", False),
    "uid 1337 in a meshed pod": ("b", True),
    "unmeshed pod": ("c", False),
}
NOT_REDIRECTED, OWN_PORT = "conn_not_redirected", "conn_own_port"

# port -> caller -> (whose proxy refuses, its reporter label, reason)
REFUSED = {
    OUTBOUND: {
        "app": ("a", "source", NOT_REDIRECTED),
        "uid 1337": ("a", "source", NOT_REDIRECTED),
        "app in a meshed pod": ("b", "source", OWN_PORT),
        "uid 1337 in a meshed pod": ("a", "destination", OWN_PORT),
        "unmeshed pod": ("a", "destination", OWN_PORT),
    },
    INBOUND: {
        "app": ("a", "destination", NOT_REDIRECTED),
        "uid 1337": ("a", "destination", NOT_REDIRECTED),
        "app in a meshed pod": ("b", "source", OWN_PORT),
        "uid 1337 in a meshed pod": ("a", "destination", NOT_REDIRECTED),
        "unmeshed pod": ("a", "destination", NOT_REDIRECTED),
    },
}

_libc = ctypes.CDLL(None)


@contextlib.contextmanager
def proxy_user():
    """Sockets that this thread makes meanwhile belong to uid and gid 1337, as nftables sees it."""
    gid, uid = _libc.setfsgid(PROXY_UID), _libc.setfsuid(PROXY_UID)
    try:
        yield
    finally:
        _libc.setfsuid(uid)
        _libc.setfsgid(gid)


class OwnPorts(MeshCase):
    pods = [{"name": "a"}, {"name": "b"}, {"name": "c", "mesh": False, "proxy": False}]
    services = [{"name": "a", "namespace": "shop", "addresses": list(SERVICE),
                 "ports": [{"port": 80, "target_port": 8080}], "selector": {"app": "a"}}]

    def connect(self, caller, host, port):
        name, as_proxy = CALLERS[caller]
        with proxy_user() if as_proxy else contextlib.nullcontext():
            sock = self.mesh.pods[name].connect(host, port, timeout=15)
        self.addCleanup(sock.close)
        return sock

    def cells(self):
        """Every caller with every address of pod `a` that it can dial."""
        for caller, (pod, _) in CALLERS.items():
            hosts = [self.a.address(family) for family in FAMILIES]
            for host in hosts + (["127.0.0.1", "::1"] if pod == "a" else []):
                yield caller, host

    def refused_total(self, pod, reporter, reason):
        return self.mesh.pods[pod].metric("handfast_connections_refused_total", reporter=reporter, reason=reason)

    def assert_reset(self, caller, host, port):
        with self.assertRaises(ConnectionResetError):
            answer = self.connect(caller, host, port).recv(1)
            self.fail(f"{caller} -> {host} {port}: expected a reset, found {answer!r}")

    def refused_everywhere(self, port):
        for caller, host in self.cells():
            pod, reporter, reason = REFUSED[port][caller]
            with self.subTest(caller=caller, host=host, port=port):
                before = self.refused_total(pod, reporter, reason)
                self.assert_reset(caller, host, port)
                self.wait_for(f"{pod} counts {reason} as {reporter}",
                              lambda: self.refused_total(pod, reporter, reason) == before + 1, 5)

    @needs_mesh
    def test_the_outbound_listener_resets_everybody(self):
        self.refused_everywhere(OUTBOUND)

    @needs_mesh
    def test_the_inbound_listener_resets_everybody(self):
        self.refused_everywhere(INBOUND)

    @needs_mesh
    def test_a_service_address_with_one_of_our_ports_is_reset(self):
        for caller in ("app", "app in a meshed pod"):
            for host in SERVICE:
                for port in (OUTBOUND, INBOUND):
                    with self.subTest(caller=caller, host=host, port=port):
                        pod = CALLERS[caller][0]
                        before = self.refused_total(pod, "source", OWN_PORT)
                        self.assert_reset(caller, host, port)
                        self.wait_for("it is counted",
                                      lambda: self.refused_total(pod, "source", OWN_PORT) == before + 1)

    @needs_mesh
    def test_metrics_and_readiness_answer_everybody_in_plaintext(self):
        for port, path, words in ((METRICS, "/metrics", "handfast_build_info"), (HEALTH, "/healthz/ready", "")):
            for caller, host in self.cells():
                with self.subTest(caller=caller, host=host, port=port):
                    self.assertIn(words, self.get(caller, host, port, path))

    @needs_mesh
    def test_the_control_plane_answers_everybody(self):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname = False
        context.load_verify_locations(self.mesh.control.root)
        context.set_alpn_protocols(["h2"])
        for caller in CALLERS:
            for host in (self.mesh.control.ip4, self.mesh.control.ip6):
                with self.subTest(caller=caller, host=host, port=CONTROL_GRPC):
                    with context.wrap_socket(self.connect(caller, host, CONTROL_GRPC)) as tls:
                        self.assertEqual((tls.version(), tls.selected_alpn_protocol()), ("TLSv1.3", "h2"))
                with self.subTest(caller=caller, host=host, port=CONTROL_METRICS):
                    self.assertIn("# TYPE", self.get(caller, host, CONTROL_METRICS, "/metrics"))

    def get(self, caller, host, port, path):
        sock = self.connect(caller, host, port)
        sock.sendall(f"GET {path} HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n".encode())
        answer = b""
        while chunk := sock.recv(65536):
            answer += chunk
        head, _, body = answer.partition(b"\r\n\r\n")
        self.assertEqual(head.split()[1:2], [b"200"], head)
        return body.decode()

    @needs_mesh
    def test_a_storm_on_the_listeners_does_not_hold_up_anybody(self):
        """200 straight connections at each listener from inside and outside, while an exchange goes on beside them."""
        with self.a.listen(8080) as server, self.b.connect(SERVICE[0], 80) as client:
            peer, _ = server.accept()
            with peer:
                storm = threading.Thread(target=self.storm)
                storm.start()
                for i in range(200):
                    client.sendall(b"ping")
                    self.assertEqual(peer.recv(4), b"ping", i)
                    peer.sendall(b"pong")
                    self.assertEqual(client.recv(4), b"pong", i)
                storm.join()
        self.assertTrue(self.a.ready())

    def storm(self):
        for _ in range(200):
            for caller, host in (("app", "127.0.0.1"), ("unmeshed pod", self.a.ip4)):
                for port in (OUTBOUND, INBOUND):
                    with contextlib.suppress(ConnectionResetError):
                        name, _ = CALLERS[caller]
                        with self.mesh.pods[name].connect(host, port) as sock:
                            sock.recv(1)

    @needs_mesh
    def test_verify_proves_capture_beside_the_running_proxy(self):
        for pod in (self.a, self.b):
            said = pod.redirect("verify")
            self.assertEqual(said.count("proven"), 5, said)


if __name__ == "__main__":
    main()
