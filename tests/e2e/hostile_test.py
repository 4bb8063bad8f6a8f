"""Bad input at the proxy's two doors: refused for a reason of its own, counted, and of no effect on anybody else."""
import contextlib
import os
import resource
import socket
import ssl
import threading

from case import MeshCase, main, needs_mesh
from certs import Authority
from peers import EchoServer, read_to_end
from pod import reset

# What may be wrong with a certificate, and what both doors call it.
CERTIFICATES = {
    "two URI SANs": ("tls_uri_san_count", lambda own, me: own.issue(me, me + "2")),
    "no URI SAN": ("tls_uri_san_count", lambda own, me: own.issue()),
    "not a SPIFFE ID": ("tls_spiffe_id", lambda own, me: own.issue("https://example.org/ns/shop/sa/stranger")),
    "a foreign trust domain": ("tls_trust_domain", lambda own, me: own.issue("spiffe://else.where/ns/shop/sa/a")),
    "expired": ("tls_expired", lambda own, me: own.issue(me, begins_s=-7200, ends_s=-3600)),
    "not yet valid": ("tls_not_yet_valid", lambda own, me: own.issue(me, begins_s=3600, ends_s=7200)),
    "wrong EKU": ("tls_eku", lambda own, me: own.issue(me, eku="codeSigning")),
    "CA:TRUE": ("tls_ca_leaf", lambda own, me: own.issue(me, ca=True, usage="digitalSignature,keyCertSign")),
    "no digitalSignature": ("tls_key_usage", lambda own, me: own.issue(me, usage="keyAgreement")),
    "an unknown root": ("tls_unknown_root",
                        lambda own, me: Authority(os.path.join(own.directory, "foreign")).issue(me)),
}
HELLO_WAIT_MS = 1500


class Hostile(MeshCase):
    pods = [{"name": "a"}, {"name": "b"}, {"name": "stranger", "proxy": False},
            {"name": "outside", "mesh": False, "proxy": False}]
    mtls = [{"mode": "strict"}]
    proxy = {"handshake_timeout_ms": HELLO_WAIT_MS}

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.server = EchoServer(cls.b)
        cls.bystander = cls.a.connect(cls.b.ip4, cls.server.port)
        if cls.mesh.mode == "mesh":
            cls.authority = Authority(os.path.join(cls.mesh.run_dir, "authority"), cls.mesh.control.state)

    @classmethod
    def tearDownClass(cls):
        cls.bystander.close()
        cls.server.close()
        super().tearDownClass()

    def tearDown(self):
        """Nobody else noticed: neither a connection of long ago nor a new one."""
        with self.a.connect(self.b.ip4, self.server.port) as fresh:
            for sock in (self.bystander, fresh):
                sock.sendall(b"undisturbed")
                self.assertEqual(sock.recv(11, socket.MSG_WAITALL), b"undisturbed")

    # --- tools ---------------------------------------------------------------------------------------------------
    def context(self, key=None, chain=None, server=False, version=ssl.TLSVersion.TLSv1_3, alpn=("istio",)):
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER if server else ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.minimum_version, context.maximum_version = ssl.TLSVersion.TLSv1_2, version
        context.set_alpn_protocols(alpn)
        if key:
            context.load_cert_chain(chain, key)
        return context

    def hello(self, context=None):
        """The bytes of a good ClientHello."""
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = (context or self.context()).wrap_bio(into, out)
        with contextlib.suppress(ssl.SSLWantReadError):
            tls.do_handshake()
        return out.read()

    def speak(self, context, send=b"hello", pod=None):
        """What a TLS client that dials `b` directly gets: "answered", or how it ended."""
        with (pod or self.stranger).connect(self.b.ip4, self.server.port) as sock:
            try:
                with context.wrap_socket(sock) as tls:
                    tls.sendall(send)
                    return "answered" if tls.recv(len(send)) == send else "fin"
            except (ssl.SSLError, ConnectionResetError, BrokenPipeError) as error:
                return type(error).__name__

    @contextlib.contextmanager
    def counted(self, pod, direction, code, handshake=True):
        """Exactly one access line with this result and one count more, and the sentence is returned in a list."""
        reporter = {"inbound": "destination", "outbound": "source"}[direction]

        def counts():
            total = pod.metric("handfast_connections_refused_total", reporter=reporter, reason=code)
            return total, pod.metric("handfast_tls_handshake_failures_total", reporter=reporter, reason=code)
        before, lines, sentence = counts(), len(pod.access_log(direction=direction, result=code)), []
        yield sentence

        def found():
            return pod.access_log(direction=direction, result=code)[lines:]
        try:
            self.wait_for(f"{pod.pod_name} says {code}", found, 10)
        except AssertionError:
            last = pod.access_log(direction=direction)[-1]
            self.fail(f"expected {code}, found {last['result']}: {last.get('error')}")
        self.assertEqual(len(found()), 1)
        sentence.append(found()[0]["error"])
        self.wait_for(f"{code} is counted", lambda: counts()[0] == before[0] + 1, 5)
        if handshake:
            self.assertEqual(counts()[1], before[1] + 1)

    # --- the inbound door ----------------------------------------------------------------------------------------
    @needs_mesh
    def test_a_good_certificate_is_let_in(self):
        """So that the refusals below are refusals of what they name."""
        key, chain = self.authority.issue(self.stranger.spiffe_id)
        self.assertEqual(self.speak(self.context(key, chain)), "answered")

    @needs_mesh
    def test_clients_with_bad_certificates(self):
        for what, (code, make) in CERTIFICATES.items():
            with self.subTest(certificate=what):
                key, chain = make(self.authority, self.stranger.spiffe_id)
                with self.counted(self.b, "inbound", code) as sentence:
                    self.assertNotEqual(self.speak(self.context(key, chain)), "answered")
                self.assertIn(self.stranger.ip4, sentence[0])
                if code == "tls_not_yet_valid":
                    self.assertRegex(sentence[0], r"\d\d:\d\d:\d\d.*\d\d:\d\d:\d\d")  # both clocks

    @needs_mesh
    def test_a_client_without_a_certificate(self):
        with self.counted(self.b, "inbound", "tls_no_certificate"):
            self.assertNotEqual(self.speak(self.context()), "answered")

    @needs_mesh
    def test_a_client_that_knows_only_tls_1_2(self):
        key, chain = self.authority.issue(self.stranger.spiffe_id)
        with self.counted(self.b, "inbound", "tls_version"):
            self.assertNotEqual(self.speak(self.context(key, chain, version=ssl.TLSVersion.TLSv1_2)), "answered")

    @needs_mesh
    def test_plaintext_on_a_strict_port(self):
        for what, data in (("HTTP", b"GET / HTTP/1.1\r\nHost: b\r\n\r\n"), ("garbage", os.urandom(3000)),
                           ("a huge header", b"GET / HTTP/1.1\r\n" + b"X: y\r\n" * 100_000),
                           ("a TLS record of the largest size", b"\x16\x03\x01\xff\xff" + b"\x01" * 70_000),
                           ("SSH", b"SSH-2.0-OpenSSH_9.2\r\n")):
            with self.subTest(what=what):
                with self.counted(self.b, "inbound", "conn_policy_denied", handshake=False):
                    with self.outside.connect(self.b.ip4, self.server.port) as sock:
                        try:
                            sock.sendall(data)
                            self.assertEqual(read_to_end(sock)[:2], ("reset", 0))
                        except (ConnectionResetError, BrokenPipeError):
                            pass  # the reset was there before all was sent

    @needs_mesh
    def test_another_programs_own_tls_is_plaintext_to_us(self):
        with self.counted(self.b, "inbound", "conn_policy_denied", handshake=False):
            self.assertNotEqual(self.speak(self.context(alpn=("h2", "http/1.1")), pod=self.outside), "answered")

    @needs_mesh
    def test_half_a_hello_and_then_silence(self):
        hello = self.hello()
        with self.counted(self.b, "inbound", "tls_timeout"):
            with self.stranger.connect(self.b.ip4, self.server.port) as sock:
                sock.sendall(hello[:len(hello) // 2])
                self.assertEqual(read_to_end(sock)[:2], ("reset", 0))

    @needs_mesh
    def test_a_hello_and_then_silence(self):
        with self.counted(self.b, "inbound", "tls_timeout"):
            with self.stranger.connect(self.b.ip4, self.server.port) as sock:
                sock.sendall(self.hello())
                self.assertEqual(read_to_end(sock)[0], "reset")

    @needs_mesh
    def test_a_hello_that_is_cut_off(self):
        with self.counted(self.b, "inbound", "tls_peer_closed"):
            with self.stranger.connect(self.b.ip4, self.server.port) as sock:
                sock.sendall(self.hello())
                sock.shutdown(socket.SHUT_WR)
                self.assertIn(read_to_end(sock)[0], ("reset", "fin"))

    @needs_mesh
    def test_a_hello_in_single_bytes_is_a_hello(self):
        key, chain = self.authority.issue(self.stranger.spiffe_id)
        into, out = ssl.MemoryBIO(), ssl.MemoryBIO()
        tls = self.context(key, chain).wrap_bio(into, out)
        with self.stranger.connect(self.b.ip4, self.server.port) as sock:
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            done = False
            while not done:
                try:
                    tls.do_handshake()
                    done = True
                except ssl.SSLWantReadError:
                    pass
                for byte in out.read():
                    sock.sendall(bytes([byte]))
                if not done:
                    into.write(sock.recv(65536))
            tls.write(b"slowly")
            sock.sendall(out.read())
            answer = b""
            while not answer:
                into.write(sock.recv(65536))
                with contextlib.suppress(ssl.SSLWantReadError):
                    answer = tls.read(6)
            self.assertEqual(answer, b"slowly")

    @needs_mesh
    def test_garbage_after_the_hello(self):
        with self.counted(self.b, "inbound", "tls_record"):
            with self.stranger.connect(self.b.ip4, self.server.port) as sock:
                sock.sendall(self.hello())
                sock.recv(65536)
                sock.sendall(b"\x17\x03\x03\x00\x40" + os.urandom(64))
                read_to_end(sock)

    @contextlib.contextmanager
    def resets(self, step, *codes):
        """Five connections in here end as resets, each with a line of its own and none of them counted twice."""
        def lines():
            return [line for line in self.b.access_log(direction="inbound") if line["source"].startswith(self.stranger.ip4)]

        def failed():
            return self.b.metric("istio_tcp_connections_failed_total", reporter="destination")
        before, failed_before = len(lines()), failed()
        yield
        self.wait_for(f"{step}: five lines", lambda: len(lines()) >= before + 5)
        found = lines()[before:]
        self.assertEqual(len(found), 5)
        self.assertLessEqual({line["result"] for line in found}, set(codes), step)
        self.wait_for(f"{step}: counted", lambda: failed() >= failed_before + 5)
        self.assertEqual(failed(), failed_before + 5)

    @needs_mesh
    def test_a_reset_at_each_step(self):
        hello = self.hello()
        # A reset that overtakes what was sent is one before it.
        for step, data, answer, code in (
                ("before the first byte", b"", False, "conn_reset"), ("after one byte", hello[:1], False, "conn_reset"),
                ("in the ClientHello", hello[:20], False, "conn_reset"), ("after it", hello, False, "tls_peer_reset"),
                ("after the answer", hello, True, "tls_peer_reset")):
            with self.subTest(step=step), self.resets(step, code, "conn_reset", "conn_app_reset"):
                for _ in range(5):
                    sock = self.stranger.connect(self.b.ip4, self.server.port)
                    sock.sendall(data)
                    if answer:
                        sock.recv(10)
                    reset(sock)
        key, chain = self.authority.issue(self.stranger.spiffe_id)
        with self.resets("while bytes flow", "conn_reset"):
            for _ in range(5):
                sock = self.stranger.connect(self.b.ip4, self.server.port)
                tls = self.context(key, chain).wrap_socket(sock)
                tls.sendall(b"x" * 1000)
                tls.recv(100)
                tls.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                tls.close()
        self.wait_for("only the bystander is left", lambda: self.b.handfast("status")["connections"]["inbound"] == 1)

    # --- the outbound door ---------------------------------------------------------------------------------------
    def answer(self, serve):
        """`a`'s application dials the stranger, whose port is served by serve(sock); how that ended for it."""
        def one(listener):
            with contextlib.suppress(OSError):
                sock, _ = listener.accept()
                with sock, contextlib.suppress(OSError, ssl.SSLError):
                    sock.settimeout(10)
                    serve(sock)
        with self.stranger.listen() as listener:
            thread = threading.Thread(target=one, args=(listener,))
            thread.start()
            try:
                with self.a.connect(self.stranger.ip4, listener.getsockname()[1]) as sock:
                    sock.sendall(b"hello")
                    return read_to_end(sock)[:2]
            except (ConnectionResetError, BrokenPipeError):
                return "reset", 0  # before our first byte
            finally:
                listener.close()
                thread.join()

    def serve_tls(self, key, chain, **options):
        def serve(sock):
            with self.context(key, chain, server=True, **options).wrap_socket(sock, server_side=True) as tls:
                tls.sendall(tls.recv(100))
                read_to_end(tls)
        return serve

    @needs_mesh
    def test_servers_with_bad_certificates(self):
        for what, (code, make) in CERTIFICATES.items():
            with self.subTest(certificate=what):
                key, chain = make(self.authority, self.stranger.spiffe_id)
                with self.counted(self.a, "outbound", code):
                    self.assertEqual(self.answer(self.serve_tls(key, chain)), ("reset", 0))

    @needs_mesh
    def test_a_server_that_is_somebody_else(self):
        key, chain = self.authority.issue(self.b.spiffe_id)
        with self.counted(self.a, "outbound", "tls_id_mismatch") as sentence:
            self.assertEqual(self.answer(self.serve_tls(key, chain)), ("reset", 0))
        self.assertIn(self.b.spiffe_id, sentence[0])
        self.assertIn(self.stranger.spiffe_id, sentence[0])

    @needs_mesh
    def test_servers_that_do_not_speak_our_tls(self):
        good = self.authority.issue(self.stranger.spiffe_id)
        cases = {
            "tls_plaintext": lambda sock: (sock.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n"), read_to_end(sock)),
            "tls_timeout": read_to_end,
            "tls_peer_closed": lambda sock: (sock.recv(65536), sock.close()),
            "tls_peer_reset": lambda sock: (sock.recv(10), reset(sock)),
            "tls_alert": self.serve_tls(*good, version=ssl.TLSVersion.TLSv1_2),  # protocol_version, by name
            "tls_alpn": self.serve_tls(*good, alpn=("h2",)),
        }
        for code, serve in cases.items():
            with self.subTest(code=code):
                with self.counted(self.a, "outbound", code):
                    self.assertEqual(self.answer(serve), ("reset", 0))


class Flood(MeshCase):
    pods = [{"name": "a"}, {"name": "b"}, {"name": "outside", "mesh": False, "proxy": False}]
    proxy = {"handshake_timeout_ms": 60000}  # nobody leaves before the end
    count = 3000

    @needs_mesh
    def test_half_open_handshakes_from_outside_keep_the_mesh_waiting_for_nothing(self):
        def unproven():
            return self.b.metric("handfast_connections_unproven", reporter="destination")
        with EchoServer(self.b) as server, contextlib.ExitStack() as stack:
            for _ in range(self.count):
                with contextlib.suppress(ConnectionResetError, BrokenPipeError):  # refused
                    sock = stack.enter_context(self.outside.connect(self.b.ip4, server.port, 60))
                    sock.sendall(b"\x16\x03\x01\x02\x00\x01")
            self.wait_for("everybody is at the door, or refused", lambda: self.count == unproven() + self.b.metric(
                "handfast_connections_refused_total", reporter="destination", reason="conn_unproven"), 30)
            self.assertLess(unproven(), self.count)
            for _ in range(100):
                with self.a.connect(self.b.ip4, server.port) as sock:
                    sock.sendall(b"undisturbed")
                    self.assertEqual(sock.recv(11, socket.MSG_WAITALL), b"undisturbed")
        self.wait_for("they are forgotten", lambda: unproven() == 0, 30)


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    main()
