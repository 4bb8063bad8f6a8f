"""The kubelet's probes under strict mTLS: what it would ask the application, it asks port 15021.

The table that the proxy gets is what `handfast inject` makes of the pod, so this is the whole way. The kubelet is a pod
outside of the mesh.
"""
import http.server
import json
import os
import ssl
import subprocess
import sys
import threading
import time

from case import MeshCase, main, needs_mesh
from certs import Authority
from pod import HEALTH
from process import PROXY_UID

HERE = os.path.dirname(os.path.abspath(__file__))
HTTP, HTTPS, OLD_HTTPS, TCP, GRPC, SLOW, SLOW_TLS, LOOPBACK, POD_ONLY, NOBODY = range(8000, 8010)


def http_get(port, path="/ok", **more):
    return {"httpGet": {"port": port, "path": path, **more}}


# one container for each probe: liveness, readiness, startup of each would be three alike
PROBES = {
    "web": http_get("http", "/ok?from=kubelet", httpHeaders=[{"name": "X-Color", "value": "$(BLUE)"}]),
    "missing": http_get(HTTP, "/missing"),
    "moved": http_get(HTTP, "/moved"),
    "elsewhere": http_get(HTTP, "/elsewhere"),
    "tls": http_get(HTTPS, scheme="HTTPS"),
    "tls12": http_get(OLD_HTTPS, scheme="HTTPS"),
    "tls-plain": http_get(HTTP, scheme="HTTPS"),
    "tcp": {"tcpSocket": {"port": TCP}},
    "grpc": {"grpc": {"port": GRPC}},
    "grpc-shop": {"grpc": {"port": GRPC, "service": "shop"}},
    "grpc-down": {"grpc": {"port": GRPC, "service": "down"}},
    "grpc-none": {"grpc": {"port": GRPC, "service": "none"}},
    "grpc-http": {"grpc": {"port": HTTP}},
    "slow": {**http_get(SLOW, "/"), "timeoutSeconds": 1},
    "patient": {**http_get(SLOW, "/"), "timeoutSeconds": 60},
    "patient-tls": {**http_get(SLOW_TLS, "/", scheme="HTTPS"), "timeoutSeconds": 60},
    "loopback": http_get(LOOPBACK),
    "pod-only": http_get(POD_ONLY),
    "nobody": http_get(NOBODY),
    "nobody-tcp": {"tcpSocket": {"port": NOBODY}},
    "nobody-grpc": {"grpc": {"port": NOBODY}},
    "exec": {"exec": {"command": ["true"]}},
}


class Application(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.server.seen.append((self.path, dict(self.headers), self.client_address[0]))
        status = {"/missing": 404, "/moved": 302, "/elsewhere": 302}.get(self.path, 200)
        self.send_response(status)
        if status == 302:
            self.send_header("Location", "/ok" if self.path == "/moved" else "http://example.com/")
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *args):
        pass


class Probes(MeshCase):
    pods = [{"name": "app", "start": False}, {"name": "kubelet", "mesh": False, "proxy": False}]
    mtls = [{"mode": "strict"}]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.servers = []
        if cls.mesh.mode != "mesh":
            return
        cls.injected = cls.inject()
        env = {e["name"]: e.get("value") for e in cls.injected["initContainers"][1]["env"]}
        cls.table = env["HANDFAST_APP_PROBES"]
        cls.app.write_token()
        cls.app.redirect("apply")
        cls.app.start_proxy(app_probes=cls.table)
        cls.web = cls.serve(HTTP)
        authority = Authority(os.path.join(cls.mesh.directory, "ca"))
        key, chain = authority.issue_server("nobody.checks.this", ends_s=-60)  # not even that it has expired
        cls.serve(HTTPS, tls=(chain, key))
        cls.serve(OLD_HTTPS, tls=(chain, key), version=ssl.TLSVersion.TLSv1_2)
        cls.slow_tls = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        cls.slow_tls.load_cert_chain(chain, key)
        cls.serve(LOOPBACK, host="127.0.0.1")
        cls.serve(POD_ONLY, host=cls.app.ip4)
        cls.tcp, cls.slow = cls.app.listen(TCP), cls.app.listen(SLOW)
        cls.app.start([sys.executable, os.path.join(HERE, "app_health.py"), str(GRPC), "=1", "shop=1", "down=2"], "grpc")

        def serving():
            with cls.app.socket() as sock:
                return sock.connect_ex(("127.0.0.1", GRPC)) == 0
        cls.wait_for("the gRPC server listens", serving, 30)

    @classmethod
    def inject(cls):
        containers = [{"name": name, "image": "x", "ports": [{"name": "http", "containerPort": HTTP}],
                       "readinessProbe": probe} for name, probe in PROBES.items()]
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app"}, "spec": {"containers": containers}}
        done = subprocess.run([cls.mesh.binary("handfast"), "inject", "--json", "-f", "-"], input=json.dumps(pod),
                              capture_output=True, text=True, check=True)
        return json.loads(done.stdout)["spec"]

    @classmethod
    def serve(cls, port, host=None, tls=None, version=None):
        """An HTTP server in the pod, in a thread of ours."""
        server = http.server.ThreadingHTTPServer(("", 0), Application, bind_and_activate=False)
        server.socket.close()
        server.socket, server.seen = cls.app.listen(port, host=host), []
        server.socket.settimeout(None)
        if tls:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            if version:
                context.maximum_version = version
            server.socket = context.wrap_socket(server.socket, server_side=True)
        threading.Thread(target=server.serve_forever, daemon=True).start()
        cls.servers.append(server)
        return server

    @classmethod
    def tearDownClass(cls):
        for server in cls.servers:
            server.shutdown()
            server.server_close()
        super().tearDownClass()

    def probe(self, name, timeout=20):
        """What the kubelet gets for this container: (status, text). It does what the injected pod says."""
        container = next(c for c in self.injected["containers"] if c["name"] == name)
        get = container["readinessProbe"]["httpGet"]
        self.assertEqual((get["port"], get["scheme"]), (HEALTH, "HTTP"))
        return self.kubelet.http(HEALTH, get["path"], host=self.app.ip4, timeout=timeout)

    @needs_mesh
    def test_asked_directly_the_application_is_out_of_the_kubelets_reach(self):
        with self.kubelet.connect(self.app.ip4, HTTP) as sock, self.assertRaises(ConnectionResetError):
            sock.sendall(b"GET /ok HTTP/1.1\r\nHost: x\r\n\r\n")
            self.assertEqual(sock.recv(100), b"never")

    @needs_mesh
    def test_http_probes_get_the_applications_status(self):
        for name, status in (("web", 200), ("missing", 404), ("moved", 200), ("elsewhere", 302), ("pod-only", 200)):
            with self.subTest(probe=name):
                self.assertEqual(self.probe(name)[0], status)
        path, headers, source = next(seen for seen in self.web.seen if seen[0].startswith("/ok?"))
        self.assertEqual(path, "/ok?from=kubelet")
        self.assertEqual(headers["X-Color"], "$(BLUE)")
        self.assertEqual(headers["Host"], f"{self.app.ip4}:{HTTP}")
        self.assertRegex(headers["User-Agent"], r"\Akube-probe/")
        self.assertEqual(source, self.app.ip4)

    @needs_mesh
    def test_https_probes_believe_any_certificate_as_the_kubelet_does(self):
        self.assertEqual(self.probe("tls")[0], 200)
        self.assertEqual(self.probe("tls12")[0], 200)
        status, text = self.probe("tls-plain")
        self.assertEqual(status, 503)
        self.assertIn("does not speak TLS", text)

    @needs_mesh
    def test_tcp_probes_connect(self):
        self.assertEqual(self.probe("tcp")[0], 200)
        accepted, _ = self.tcp.accept()
        with accepted:
            accepted.settimeout(10)
            self.assertEqual(accepted.recv(1), b"")  # a clean end, no reset

    @needs_mesh
    def test_grpc_probes_ask_for_the_service(self):
        self.assertEqual(self.probe("grpc")[0], 200)
        self.assertEqual(self.probe("grpc-shop")[0], 200)
        for name, sentence in (("grpc-down", "NOT_SERVING"), ("grpc-none", "NOT_FOUND"), ("grpc-http", "Health/Check")):
            with self.subTest(probe=name):
                status, text = self.probe(name)
                self.assertEqual(status, 503)
                self.assertIn(sentence, text)

    @needs_mesh
    def test_where_the_kubelet_would_find_nobody_there_is_nobody(self):
        for name in ("nobody", "nobody-tcp", "nobody-grpc", "loopback"):
            with self.subTest(probe=name):
                status, text = self.probe(name)
                self.assertEqual(status, 503)
                self.assertIn("nobody is listening there", text)

    @needs_mesh
    def test_exec_probes_are_none_of_ours(self):
        self.assertEqual(self.injected["containers"][-1]["readinessProbe"], PROBES["exec"])
        self.assertEqual(self.kubelet.http(HEALTH, "/app-health/exec/readyz", host=self.app.ip4)[0], 404)

    @needs_mesh
    def test_an_application_that_hangs_holds_nothing_else_up(self):
        began = time.monotonic()
        results = {}
        slow = threading.Thread(target=lambda: results.update(slow=self.probe("slow")))
        slow.start()
        for _ in range(20):
            self.assertEqual(self.probe("web")[0], 200)
            self.assertEqual(self.app.http(HEALTH, "/healthz/ready")[0], 200)
        quick = time.monotonic() - began
        slow.join()
        self.assertEqual(results["slow"][0], 503)
        self.assertIn("did not answer within 1000 ms", results["slow"][1])
        self.assertLess(quick, 20)

    @needs_mesh
    def test_a_flood_of_strangers_costs_the_application_one_question_at_a_time(self):
        before = len(self.web.seen)
        flood = [self.kubelet.connect(self.app.ip4, HEALTH) for _ in range(40)]
        for sock in flood:
            sock.sendall(b"GET /app-health/patient/readyz HTTP/1.1\r\nHost: x\r\n\r\n")
        waiting = [self.slow.accept()[0]]
        self.slow.settimeout(0.5)
        try:
            while True:  # earlier tests may have left one; the flood is one more
                waiting.append(self.slow.accept()[0])
        except TimeoutError:
            pass
        self.slow.settimeout(30)
        self.assertLessEqual(len(waiting), 3)
        for sock in waiting:
            sock.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
            sock.close()
        for sock in flood:
            self.assertTrue(sock.recv(100).startswith(b"HTTP/1.1 200 "))
            sock.close()
        self.assertEqual(len(self.web.seen), before)

    @needs_mesh
    def test_zz_the_proxy_ends_while_probes_are_under_way(self):
        with self.app.listen(SLOW_TLS) as listening:
            plain, tls = (self.kubelet.connect(self.app.ip4, HEALTH) for _ in range(2))
            plain.sendall(b"GET /app-health/patient/readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            tls.sendall(b"GET /app-health/patient-tls/readyz HTTP/1.1\r\nHost: x\r\n\r\n")
            held = self.slow.accept()[0]
            held_tls = self.slow_tls.wrap_socket(listening.accept()[0], server_side=True)
            self.assertTrue(held_tls.recv(100).startswith(b"GET / HTTP/1.1\r\n"))
            self.assertEqual(self.app.proxy.stop(), 0)  # though neither application says or closes anything
            for sock in (held, held_tls, plain, tls):
                sock.close()
        self.app.start_proxy(app_probes=self.table)


class Unready(MeshCase):
    """Without a control plane the proxy is not ready, and the application's liveness is its own."""
    pods = [{"name": "app", "start": False}]

    def outlive(self, *args):
        argv = ["setpriv", f"--reuid={PROXY_UID}", f"--regid={PROXY_UID}", "--clear-groups", self.mesh.binary("handfast"),
                "outlive", "--json", *args]
        return json.loads(self.app.run(argv))

    @needs_mesh
    def test_the_application_is_probed_before_the_proxy_is_ready(self):
        table = {"/app-health/web/livez": {"kind": "tcp", "port": TCP, "timeout_s": 1}}
        self.app.write_token()
        self.app.redirect("apply")
        self.app.start_proxy(ready=False, control="10.77.250.2:1", app_probes=json.dumps(table))
        with self.app.listen(TCP):
            self.wait_for("the proxy answers", lambda: self.answers("/app-health/web/livez"))
            self.assertEqual(self.app.http(HEALTH, "/app-health/web/livez")[0], 200)
            self.assertEqual(self.app.http(HEALTH, "/healthz/ready")[0], 503)
        wait = [self.mesh.binary("handfast"), "wait", "--admin-socket", self.app.admin]
        self.assertEqual(subprocess.run(wait + ["--timeout-s", "1"], capture_output=True).returncode, 3)
        waiting = subprocess.Popen(wait + ["--timeout-s", "60"])
        self.app.restart_proxy(control=f"{self.mesh.control.ip4}:15012", app_probes=json.dumps(table))
        self.assertEqual(waiting.wait(30), 0)

    def answers(self, path):
        try:
            return self.app.http(HEALTH, path)
        except OSError:
            return None

    @needs_mesh
    def test_a_bad_table_is_no_start(self):
        done = subprocess.run(self.app.proxy_argv(app_probes="{\"/x\": 5}"), capture_output=True, text=True, timeout=30)
        self.assertEqual(done.returncode, 1)
        self.assertIn("the table of probes: /x: expected a path that begins with /app-health/", done.stderr)

    @needs_mesh
    def test_outlive_waits_for_the_sockets_of_others(self):
        self.assertEqual(self.outlive("--at-most-s", "20")["sockets_left"], 0)
        with self.app.listen(TCP):
            said = self.outlive("--at-most-s", "1")
            self.assertGreaterEqual(said["waited_ms"], 1000)
            self.assertGreaterEqual(said["sockets_left"], 1)
        server = self.app.listen(TCP)
        timer = threading.Timer(1, server.close)
        timer.start()
        said = self.outlive("--at-most-s", "30")
        timer.join()
        self.assertEqual(said["sockets_left"], 0)
        self.assertGreaterEqual(said["waited_ms"], 900)
        self.assertGreaterEqual(self.outlive("--at-least-s", "1", "--at-most-s", "30")["waited_ms"], 1000)


if __name__ == "__main__":
    main()
