"""From the first packet of a pod to its last: held until ready, drained at the end; without a control plane."""
import os
import signal
import socket
import subprocess
import time

from case import MeshCase, main, needs_mesh
from peers import Background, EchoServer, pair, read_to_end, send_until_error
from process import wait_for

MARKER = b"the-plaintext-that-nobody-on-the-wire-may-read"


class Capture:
    """tcpdump on the node's side of a pod's link."""

    def __init__(self, case, pod):
        self.path = os.path.join(case.mesh.directory, f"{pod.pod_name}.pcap")
        self.process = pod.start.__func__(_on_node(case.mesh, pod), [
            "tcpdump", "-i", f"veth{pod.number}", "--immediate-mode", "-U", "-s", "0", "-w", self.path, "tcp"],
            "tcpdump")
        self.process.wait_line("listening on", 20)

    def bytes(self):
        with open(self.path, "rb") as file:
            return file.read()

    def packets(self, pattern):
        """What it holds, once something that must be in it has been written."""
        wait_for(f"{pattern!r} is captured", lambda: pattern in self.bytes())
        self.process.stop(signal.SIGINT)
        return self.bytes()


def _on_node(mesh, pod):
    """The node's namespace with the pod's name, for Pod.start."""
    mesh.node.pod_name, mesh.node.mesh = pod.pod_name, mesh
    return mesh.node


class Hold(MeshCase):
    pods = [{"name": "a", "start": False}, {"name": "b"}, {"name": "outside", "mesh": False, "proxy": False}]

    def setUp(self):
        self.a.write_token()
        self.a.redirect("apply")
        self.mesh.control.process.kill()

    def tearDown(self):
        if not self.mesh.control.process.running():
            self.mesh.control.start()
        if self.a.proxy and self.a.proxy.running():
            self.a.proxy.stop()

    @needs_mesh
    def test_connections_wait_for_the_first_certificate_and_no_plaintext_leaves(self):
        capture = Capture(self, self.a)
        self.a.start_proxy(ready=False, hold_ms=60000)
        self.wait_for("the proxy answers", lambda: self.health(self.a) is not None)
        self.assertEqual(self.health(self.a), 503)
        with self.b.listen() as listener:
            client = self.a.connect(self.b.ip4, listener.getsockname()[1], 60)
            client.sendall(MARKER)
            self.wait_for("the connection is held", lambda: self.a.metric("handfast_connections_held") == 1)
            listener.settimeout(2)
            with self.assertRaises(TimeoutError):
                listener.accept()
            listener.settimeout(60)
            self.mesh.control.start()
            server, _ = listener.accept()
        self.assertEqual(server.recv(len(MARKER), socket.MSG_WAITALL), MARKER)
        server.sendall(MARKER)
        self.assertEqual(client.recv(len(MARKER), socket.MSG_WAITALL), MARKER)
        client.close()
        server.close()
        self.a.wait_ready()
        self.assertFalse(MARKER in capture.packets(b"\x17\x03\x03"), "plaintext on the wire")
        self.wait_for("a line", lambda: self.a.access_log(direction="outbound", security="mutual_tls", result="ok"))

    @needs_mesh
    def test_the_wait_has_a_deadline(self):
        self.a.start_proxy(ready=False, hold_ms=1500)
        self.wait_for("the proxy answers", lambda: self.health(self.a) is not None)
        with self.b.listen() as listener:
            began = time.monotonic()
            with self.a.connect(self.b.ip4, listener.getsockname()[1]) as client:
                client.sendall(MARKER)
                self.assertEqual(read_to_end(client)[0], "reset")
            self.assertGreater(time.monotonic() - began, 1)
            listener.setblocking(False)
            with self.assertRaises(BlockingIOError):
                listener.accept()
        self.wait_for("a line", lambda: self.a.access_log(direction="outbound", result="conn_not_ready"))

    @needs_mesh
    def test_inbound_plaintext_waits_too(self):
        """Nobody knows yet whether policy allows it."""
        self.a.start_proxy(ready=False, hold_ms=60000)
        self.wait_for("the proxy answers", lambda: self.health(self.a) is not None)
        with EchoServer(self.a) as server:
            with self.outside.connect(self.a.ip4, server.port, 60) as client:
                client.sendall(MARKER)
                self.wait_for("it is held", lambda: self.a.metric("handfast_connections_held") >= 1)
                self.assertEqual(server.accepted, 0)
                self.mesh.control.start()
                self.assertEqual(client.recv(len(MARKER), socket.MSG_WAITALL), MARKER)

    def health(self, pod):
        try:
            return pod.http(15021, "/healthz/ready")[0]
        except OSError:
            return None


class Drain(MeshCase):
    proxy = {"drain_ms": 60000}

    def tearDown(self):
        if self.b.proxy and not self.b.proxy.running():
            self.b.start_proxy()

    def refused(self, host, port):
        try:
            with self.a.connect(host, port, 3) as sock:
                return read_to_end(sock)[0] == "reset"
        except (ConnectionRefusedError, ConnectionResetError):
            return True

    def assert_drains(self):
        """`b` takes nothing new, keeps what there is, and its application may still call others."""
        with EchoServer(self.b) as at_b, EchoServer(self.a) as at_a:
            # Readiness goes first: a connection may be taken in the moment between the two.
            self.wait_for("nothing new is taken", lambda: self.refused(self.b.ip4, at_b.port))
            self.wait_for("nor over IPv6", lambda: self.refused(self.b.ip6, at_b.port))
            with self.b.connect(self.a.ip4, at_a.port) as sock:
                sock.sendall(b"outbound")
                self.assertEqual(sock.recv(8, socket.MSG_WAITALL), b"outbound")

    def assert_alive(self, client, server):
        for source, sink in ((client, server), (server, client)):
            source.sendall(b"still here")
            self.assertEqual(sink.recv(10, socket.MSG_WAITALL), b"still here")

    @needs_mesh
    def test_sigterm_waits_for_the_last_connection(self):
        client, server = pair(self.a, self.b)
        self.assert_alive(client, server)
        self.b.proxy.send_signal(signal.SIGTERM)
        self.wait_for("readiness is false", lambda: not self.b.ready())
        self.assert_drains()
        self.assert_alive(client, server)
        self.assertTrue(self.b.proxy.running())
        client.shutdown(socket.SHUT_WR)
        self.assertEqual(read_to_end(server)[0], "fin")
        server.sendall(b"last words")
        server.close()
        self.assertEqual(read_to_end(client)[:2], ("fin", 10))
        client.close()
        self.assertEqual(self.b.proxy.wait(10), 0)

    @needs_mesh
    def test_sigterm_without_connections_ends_at_once(self):
        began = time.monotonic()
        self.assertEqual(self.b.proxy.stop(), 0)
        self.assertLess(time.monotonic() - began, 5)

    @needs_mesh
    def test_what_outlives_the_grace_period_is_reset(self):
        self.b.restart_proxy(drain_ms=1500)
        client, server = pair(self.a, self.b)
        idle = pair(self.a, self.b)
        self.assert_alive(*idle)
        watches = [Background(send_until_error, client), Background(read_to_end, server)]
        watches += [Background(read_to_end, sock) for sock in idle]
        self.b.proxy.send_signal(signal.SIGTERM)
        ends = [watch.result(30) for watch in watches]
        self.assertEqual({end[0] if isinstance(end, tuple) else end for end in ends}, {"reset"})
        self.assertEqual(self.b.proxy.wait(10), 0)
        lines = self.wait_for("lines", lambda: self.b.access_log(direction="inbound", result="conn_drained"))
        self.assertGreaterEqual(len(lines), 2)
        for sock in (client, server, *idle):
            sock.close()

    @needs_mesh
    def test_the_operator_drains_and_the_program_goes_on(self):
        client, server = pair(self.a, self.b)
        self.assertEqual(self.b.handfast("drain"), {"state": "draining", "grace_s": 60})
        self.wait_for("readiness is false", lambda: not self.b.ready())
        self.assertEqual(self.b.handfast("status")["state"], "draining")
        self.assert_drains()
        self.assert_alive(client, server)
        client.close()
        server.close()
        self.assertTrue(self.b.proxy.running())
        self.assertEqual(self.b.proxy.stop(), 0)


class DeadNameServer(MeshCase):
    """A name server that takes questions and answers none; resolv.conf(5) makes the resolver wait for it."""

    pods = [{"name": "a", "start": False}]

    def setUp(self):
        with open("/etc/resolv.conf") as file:
            servers = [line.split()[1] for line in file if line.startswith("nameserver ")] or ["127.0.0.1"]
        self.silent = []
        for server in servers:
            family = socket.AF_INET6 if ":" in server else socket.AF_INET
            self.a.run(["ip", "address", "replace", f"{server}/{128 if ':' in server else 32}", "dev", "lo"])
            sock = self.a.socket(family, socket.SOCK_DGRAM)
            sock.bind((server, 53))
            self.silent.append(sock)

    def tearDown(self):
        for sock in self.silent:
            sock.close()

    def start(self, **options):
        self.a.write_token()
        self.a.start_proxy(ready=False, control="control.test:15012", **options)
        self.wait_for("the name server is asked", lambda: self.status()["control"]["link"] == "resolving")

    def status(self):
        try:
            return self.a.handfast("status")
        except RuntimeError:
            return {"control": {"link": None}}

    @needs_mesh
    def test_it_does_not_hold_up_the_end(self):
        self.start(drain_ms=1000)
        said = subprocess.run([self.mesh.binary("handfast"), "status", "--admin-socket", self.a.admin],
                              capture_output=True, text=True).stdout
        self.assertIn("(link resolving)", said)
        began = time.monotonic()
        self.assertEqual(self.a.proxy.stop(), 0)
        self.assertLess(time.monotonic() - began, 3)
        self.assertIn('"ended"', self.a.proxy.err())


class ControlPlane(MeshCase):
    services = [{"name": "one", "namespace": "shop", "addresses": ["10.96.0.10"], "ports": [{"port": 80}],
                 "selector": {"app": "b"}}]

    def talk(self):
        with EchoServer(self.b) as server:
            with self.a.connect(self.b.ip4, server.port) as sock:
                sock.sendall(b"ping")
                return sock.recv(4, socket.MSG_WAITALL) == b"ping"

    def loads(self, name):
        return self.mesh.control.metric(f"handfast_control_mesh_{name}_total")

    @needs_mesh
    def test_a_bad_edit_keeps_the_last_good_state_and_a_good_one_is_pushed(self):
        failures = self.loads("load_failures")
        self.mesh.write("trust_domain: demo.handfast\nworkloads:\n  - name: a\n    addresses: [10.77.1.300]\n")
        self.wait_for("the mistake is counted", lambda: self.loads("load_failures") > failures)
        said = self.mesh.control.process.wait_line(r"mesh\.yaml:4:\d+: .*10\.77\.1\.300", 5)
        self.assertTrue(said)
        self.assertTrue(self.talk())
        self.assertEqual(len(self.a.handfast("config")["workloads"]), 2)
        more = {**self.services[0], "name": "two", "addresses": ["10.96.0.11"]}
        self.mesh.apply(services=[*self.services, more])
        self.mesh.apply(services=self.services)

    @needs_mesh
    def test_killed_and_back_with_the_same_identity(self):
        before = self.a.handfast("certs")["bundle"]["digest"]
        self.mesh.control.process.kill()
        self.wait_for("the proxies miss it", lambda: not self.a.handfast("status")["control"]["connected"])
        self.assertTrue(self.talk())
        self.assertTrue(self.a.ready())
        self.mesh.control.start()
        self.wait_for("they have it back", lambda: self.a.handfast("status")["control"]["connected"], 30)
        self.assertEqual(self.a.handfast("certs")["bundle"]["digest"], before)
        self.assertTrue(self.talk())

    @needs_mesh
    def test_without_it_new_connections_end_with_the_certificate_and_come_back_with_it(self):
        self.a.restart_proxy(certificate_ttl_s=4, hold_ms=500)
        with EchoServer(self.b) as server:
            live = self.a.connect(self.b.ip4, server.port)
            live.sendall(b"ping")
            self.assertEqual(live.recv(4, socket.MSG_WAITALL), b"ping")
            self.mesh.control.process.kill()

            def refused():
                try:
                    with self.a.connect(self.b.ip4, server.port) as sock:
                        sock.sendall(b"ping")
                        return sock.recv(4) == b"the reset raises"
                except (ConnectionResetError, BrokenPipeError):
                    return True
            self.wait_for("new connections are refused", refused, 20)
            # Not simply the last line: that of an earlier connection may come after it. The alert is
            # certificate_expired, of the peer whose clock was first.
            self.wait_for("the log says why", lambda: {"conn_not_ready", "tls_expired", "tls_alert"} & {
                line["result"] for line in
                self.a.access_log(direction="outbound", destination=f"{self.b.ip4}:{server.port}")})
            live.sendall(b"ping")  # made while the certificate was good
            self.assertEqual(live.recv(4, socket.MSG_WAITALL), b"ping")
            live.close()
            self.mesh.control.start()
            self.wait_for("new connections work again", self.talk_or_not, 40)
        self.a.restart_proxy()

    def talk_or_not(self):
        try:
            return self.talk()
        except OSError:
            return False

    @needs_mesh
    def test_the_operator_reads_all_of_it(self):
        client, server = pair(self.a, self.b)
        status = self.a.handfast("status")
        self.assertEqual((status["state"], status["identity"]), ("ready", self.a.spiffe_id))
        certs = self.a.handfast("certs")
        self.assertGreater(certs["not_after"], time.time())
        found = [c for c in self.a.handfast("connections")["connections"] if c["state"] == "open"]
        self.assertEqual([(c["peer_identity"], c["security"]) for c in found], [(self.b.spiffe_id, "mutual_tls")])
        self.assertEqual({w["name"] for w in self.a.handfast("config")["workloads"]}, {"a", "b"})
        self.assertEqual(self.a.handfast("log-level", "debug")["level"], "debug")
        self.assertEqual(self.a.handfast("log-level")["level"], "debug")
        self.a.handfast("log-level", "info")
        self.assertRegex(self.a.handfast("version")["version"], r"^\d+\.\d+\.\d+$")
        for verb in ("status", "certs", "connections", "config"):  # for people
            with self.subTest(verb=verb):
                said = subprocess.run([self.mesh.binary("handfast"), verb, "--admin-socket", self.a.admin], check=True,
                                      capture_output=True, text=True).stdout
                self.assertIn("handfast", said)
        client.close()
        server.close()


if __name__ == "__main__":
    main()
