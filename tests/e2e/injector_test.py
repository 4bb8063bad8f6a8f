"""handfast-injector over HTTPS: the patch as another implementation applies it, and bad input at every door."""
import base64
import concurrent.futures
import copy
import glob
import http.client
import json
import os
import shutil
import socket
import ssl
import subprocess
import threading
import unittest

import jsonpatch
import yaml

from case import ASAN, fewer, main
from certs import Authority
from mesh import BIN, ROOT
from process import Process, wait_for

NAME = "handfast-injector.handfast-system.svc"
PODS = os.path.join(ROOT, "tests", "unit", "injector", "pods")
SIMPLE = {"metadata": {"name": "p"}, "spec": {"containers": [{"name": "web", "image": "web"}]}}
MIB = 1 << 20


def version():
    said = subprocess.run([os.path.join(BIN, "handfast-injector"), "--version"], check=True, capture_output=True, text=True)
    return said.stdout.split()[1]


def load(name):
    with open(os.path.join(PODS, name + ".json")) as file:
        return json.loads(file.read().replace("@VERSION@", version()))


def review(pod=SIMPLE, uid="u-1", operation="CREATE", kind="Pod", group="", **more):
    request = {"uid": uid, "kind": {"group": group, "version": "v1", "kind": kind}, "operation": operation,
               "namespace": "shop", "object": pod, **more}
    return {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "request": request}


class Injector:
    """One process, with its certificate, on ports that the kernel chose."""

    def __init__(self, directory, name, *options):
        self.directory = os.path.join(directory, name)
        os.makedirs(self.directory)
        self.authority = Authority(os.path.join(self.directory, "ca"))
        self.key, self.cert = (os.path.join(self.directory, file) for file in ("tls.key", "tls.crt"))
        self.renew()
        argv = [os.path.join(BIN, "handfast-injector"), "--listen", "127.0.0.1:0", "--metrics-port", "0", "--cert-file",
                self.cert, "--key-file", self.key, "--image", "handfast:test", "--log-format", "json", *options]
        self.process = Process(argv, None, name, self.directory).start()
        started = json.loads(self.process.wait_line(r'^.*"event":"started".*$')[0])
        self.port, self.metrics_port = started["port"], started["metrics_port"]
        self.trust = ssl.create_default_context(cafile=self.authority.cert)
        self.trust.set_alpn_protocols(["h2", "http/1.1"])  # what the API server's client offers

    def renew(self, **options):
        """Another certificate in the same place; each file changes in one rename."""
        key, chain = self.authority.issue_server(NAME, **options)
        for made, place in ((key, self.key), (chain, self.cert)):
            shutil.copy(made, place + ".new")
            os.rename(place + ".new", place)

    def connect(self, timeout=20):
        raw = socket.create_connection(("127.0.0.1", self.port), timeout)
        return self.trust.wrap_socket(raw, server_hostname=NAME)

    def ask(self, method, path, body=None, headers=None, timeout=20):
        """(status, parsed or text) of one request."""
        connection = http.client.HTTPConnection(NAME)
        connection.sock = self.connect(timeout)
        try:
            connection.request(method, path, body, {"Content-Type": "application/json", **(headers or {})})
            answer = connection.getresponse()
            text = answer.read()
            is_json = answer.headers["Content-Type"] == "application/json"
            return answer.status, json.loads(text) if is_json else text.decode()
        finally:
            connection.close()

    def inject(self, *args, **options):
        """The `response` of the answer to a review."""
        status, answer = self.ask("POST", "/inject", json.dumps(review(*args, **options)))
        assert status == 200, (status, answer)
        assert answer["apiVersion"] == "admission.k8s.io/v1" and answer["kind"] == "AdmissionReview", answer
        return answer["response"]

    def metric(self, line):
        """The value of the sample that begins so."""
        connection = http.client.HTTPConnection("127.0.0.1", self.metrics_port, timeout=10)
        connection.request("GET", "/metrics")
        for sample in connection.getresponse().read().decode().splitlines():
            if sample.startswith(line + " "):
                return float(sample.split()[-1])
        return None

    def stop(self):
        status = self.process.stop()
        assert status == 0, f"exit {status}\n{self.process.tail()}"
        report = self.process.sanitizer_report()
        assert report is None, report


def patched(pod, response):
    """The pod with the patch, by python3-jsonpatch."""
    operations = json.loads(base64.b64decode(response["patch"], validate=True))
    return jsonpatch.apply_patch(copy.deepcopy(pod), operations)


class InjectorCase(unittest.TestCase):
    options = ("--drain-ms", "0")

    @classmethod
    def setUpClass(cls):
        cls.directory = os.path.join(ROOT, "build", "e2e", f"injector_test-{cls.__name__}")
        shutil.rmtree(cls.directory, ignore_errors=True)
        os.makedirs(cls.directory)
        cls.injector = Injector(cls.directory, "injector", *cls.options)

    @classmethod
    def tearDownClass(cls):
        cls.injector.stop()


class Patch(InjectorCase):
    def test_the_patch_as_another_implementation_applies_it_gives_the_expected_pods(self):
        names = sorted(os.path.basename(path)[:-5] for path in glob.glob(os.path.join(PODS, "*.json")))
        self.assertGreaterEqual(len(names), 3)
        for name in names:
            with self.subTest(pod=name):
                case = load(name)
                injector = self.injector
                if "kube_version" in case:
                    injector = Injector(self.directory, name, "--kube-version", case["kube_version"], *self.options)
                    self.addCleanup(injector.stop)
                response = injector.inject(case["pod"])
                self.assertEqual(response.get("warnings", []), case["warnings"])
                self.assertEqual(response["patchType"], "JSONPatch")
                self.assertEqual(patched(case["pod"], response), case["expected"])

    def test_the_command_line_makes_the_same_of_them(self):
        for name in ("plain", "rich", "classic"):
            case = load(name)
            argv = [os.path.join(BIN, "handfast"), "inject", "-f", "-", "--image", "handfast:test"]
            argv += ["--kube-version", case["kube_version"]] if "kube_version" in case else []
            for form, parse in (([], yaml.safe_load), (["--json"], json.loads)):
                with self.subTest(pod=name, form=form):
                    done = subprocess.run(argv + form, input=json.dumps(case["pod"]), capture_output=True, text=True)
                    self.assertEqual(done.returncode, 0, done.stderr)
                    self.assertEqual(parse(done.stdout), case["expected"])
                    self.assertEqual([line.split(": warning: ")[1] for line in done.stderr.splitlines()], case["warnings"])

    def test_a_second_time_there_is_nothing_to_do(self):
        pod = patched(SIMPLE, self.injector.inject())
        again = self.injector.inject(pod, uid="u-2")
        self.assertEqual(again, {"allowed": True, "uid": "u-2"})

    def test_a_dry_run_is_answered_alike(self):
        self.assertEqual(self.injector.inject(dryRun=True), self.injector.inject(dryRun=False))


class BadInput(InjectorCase):
    def refused(self, body, status, sentence, **headers):
        got, answer = self.injector.ask("POST", "/inject", body, headers)
        self.assertEqual((got, list(answer)), (status, ["error"]), answer)
        self.assertIn(sentence, answer["error"])

    def test_what_is_no_review_is_a_bad_request(self):
        whole = json.dumps(review())
        for what, body, status, sentence in (
                ("nothing", b"", 400, "not JSON"),
                ("text", b"hello", 400, "not JSON"),
                ("another object", json.dumps(SIMPLE), 400, "expected apiVersion admission.k8s.io/v1"),
                ("v1beta1", whole.replace("k8s.io/v1", "k8s.io/v1beta1"), 400, "found admission.k8s.io/v1beta1"),
                ("no uid", whole.replace('"uid"', '"id"'), 400, "no uid"),
                ("half of one", whole[:len(whole) // 2], 400, "not JSON"),
                ("two", whole + whole, 400, "end of file expected"),
                ("bad UTF-8", whole.encode().replace(b'"web"', b'"\xff\xfe"'), 400, "unable to decode byte 0xff"),
                ("half a surrogate", whole.replace('"web"', '"\\ud800"'), 400, "not JSON"),
                ("a null", whole.replace('"web"', '"\\u0000"'), 400, "not JSON"),
                ("a key twice", whole.replace('"uid": "u-1"', '"uid": "u-1", "uid": "u-2"'), 400, "duplicate object key"),
                ("10 MiB of spaces", b" " * (10 * MIB), 413, "over 3145728 bytes"),
                ("a large string", json.dumps(review({"x": "y" * (10 * MIB)})), 413, "over 3145728 bytes"),
                ("nested lists", b"[" * (3 * MIB), 413, "nested deeper than 64"),
                ("nested objects", b'{"a":' * (MIB // 2), 413, "nested deeper than 64"),
                ("a flood of values", b"[" + b"[]," * (MIB - 10) + b"1]", 413, "more than 200000 values")):
            with self.subTest(what=what):
                self.refused(body, status, sentence)

    def test_what_is_no_new_pod_is_allowed_as_it_is(self):
        for what, options in (("UPDATE", {"operation": "UPDATE"}), ("DELETE", {"operation": "DELETE", "pod": None}),
                              ("ephemeral containers", {"operation": "UPDATE", "subResource": "ephemeralcontainers"}),
                              ("binding", {"subResource": "binding"})):
            with self.subTest(what=what):
                self.assertEqual(self.injector.inject(**options), {"allowed": True, "uid": "u-1"})
        response = self.injector.inject({}, kind="Deployment", group="apps")
        self.assertTrue(response["allowed"])
        self.assertNotIn("patch", response)
        self.assertIn("asked about a Deployment", response["warnings"][0])

    def test_a_pod_that_must_not_be_is_refused_with_a_sentence(self):
        pod = copy.deepcopy(SIMPLE)
        pod["spec"]["containers"][0]["securityContext"] = {"runAsUser": 1337}
        response = self.injector.inject(pod)
        self.assertFalse(response["allowed"])
        self.assertEqual(response["status"]["code"], 422)
        self.assertIn("runAsUser of the container 'web' is 1337", response["status"]["message"])
        self.assertNotIn("patch", response)
        self.assertFalse(self.injector.inject(None)["allowed"])

    def test_the_rest_of_http(self):
        ask, whole = self.injector.ask, json.dumps(review())
        self.assertEqual(ask("GET", "/inject")[0], 405)
        self.assertEqual(ask("POST", "/", whole)[0], 404)
        self.assertEqual(ask("POST", "/inject", whole, {"Content-Type": "text/plain"})[0], 415)
        self.assertEqual(ask("POST", "/inject", whole, {"Content-Type": "application/json; charset=utf-8"})[0], 200)
        self.assertEqual(ask("POST", "/inject", iter([whole.encode()]), {"Transfer-Encoding": "chunked"})[0], 411)
        self.assertEqual(ask("GET", "/healthz"), (200, "ok\n"))
        self.assertEqual(ask("GET", "/metrics")[0], 404)

    def test_what_is_no_tls_is_turned_away(self):
        before = self.injector.metric('handfast_injector_connections_refused_total{reason="tls_plaintext"}') or 0
        with socket.create_connection(("127.0.0.1", self.injector.port), 10) as plain:
            plain.sendall(b"POST /inject HTTP/1.1\r\nHost: x\r\n\r\n")
            try:
                self.assertEqual(plain.recv(100), b"")
            except ConnectionResetError:
                pass
        wait_for("it is counted", lambda: self.injector.metric(
            'handfast_injector_connections_refused_total{reason="tls_plaintext"}') == before + 1)
        old = ssl.create_default_context(cafile=self.injector.authority.cert)
        old.maximum_version = ssl.TLSVersion.TLSv1_2
        with socket.create_connection(("127.0.0.1", self.injector.port), 10) as raw, self.assertRaises(ssl.SSLError):
            old.wrap_socket(raw, server_hostname=NAME)
        self.assertTrue(self.injector.inject()["allowed"])

    def test_reviews_are_counted_by_their_outcome(self):
        before = self.injector.metric('handfast_injector_reviews_total{outcome="opted_out"}')
        pod = {"metadata": {"labels": {"handfast.io/inject": "disabled"}}, "spec": SIMPLE["spec"]}
        self.assertEqual(self.injector.inject(pod), {"allowed": True, "uid": "u-1"})
        self.assertEqual(self.injector.metric('handfast_injector_reviews_total{outcome="opted_out"}'), before + 1)
        self.assertEqual(self.injector.metric('handfast_injector_reviews_total{outcome="failed"}'), 0)


class Crowd(InjectorCase):
    def test_hundreds_of_reviews_at_once_are_all_answered(self):
        with concurrent.futures.ThreadPoolExecutor(fewer(100, asan=40)) as pool:
            for response in pool.map(lambda n: self.injector.inject(uid=f"u-{n}"), range(fewer(600, asan=200))):
                self.assertIn("patch", response)

    def test_who_only_holds_on_does_not_keep_others_out(self):
        idle = [self.injector.connect() for _ in range(500)]
        begun = [self.injector.connect() for _ in range(20)]
        try:
            for client in begun:  # and of the largest body just the beginning
                client.sendall(b"POST /inject HTTP/1.1\r\nHost: x\r\nContent-Type: application/json\r\n"
                               b"Content-Length: 3000\r\n\r\n{")
            for _ in range(20):
                self.assertIn("patch", self.injector.inject())
            self.assertLessEqual(self.injector.metric("handfast_injector_connections"), 480)
        finally:
            for client in idle + begun:
                client.close()

    def test_who_stops_half_way_is_cut_off(self):
        with self.injector.connect(30) as client:
            client.sendall(b"POST /inject HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\nhalf")
            try:
                self.assertEqual(client.recv(100), b"")
            except OSError as cut:  # the deadline is a reset, or an end without close_notify
                self.assertNotIsInstance(cut, TimeoutError)

    @unittest.skipIf(ASAN, "AddressSanitizer keeps what was freed")
    def test_memory_does_not_grow_with_what_was_sent(self):
        for _ in range(20):
            self.injector.ask("POST", "/inject", b"[" + b"[]," * 60000 + b"1]")
        before = self.injector.process.memory()
        for _ in range(100):
            self.injector.ask("POST", "/inject", b"[" + b"[]," * 60000 + b"1]")
        self.assertLess(self.injector.process.memory() - before, 8 * MIB)


class Certificate(InjectorCase):
    def served(self):
        with self.injector.connect() as client:
            return client.getpeercert()["serialNumber"]

    def test_a_new_certificate_is_taken_over_and_a_bad_one_is_not(self):
        before = self.served()
        stop = threading.Event()
        with concurrent.futures.ThreadPoolExecutor(1) as pool:
            def load():
                count = 0
                while not stop.is_set():
                    self.assertIn("patch", self.injector.inject())
                    count += 1
                return count
            running = pool.submit(load)
            try:
                self.injector.renew()
                wait_for("the new certificate is served", lambda: self.served() != before, 25, 0.2)
                after = self.served()
                with open(self.injector.cert, "w") as file:
                    file.write("-----BEGIN CERTIFICATE-----\nnonsense\n-----END CERTIFICATE-----\n")
                self.injector.process.wait_line("certificate_not_renewed", 25)
                self.assertEqual(self.served(), after)
                self.injector.renew()
                wait_for("it recovers", lambda: self.served() != after, 25, 0.2)
            finally:
                stop.set()
            self.assertGreater(running.result(), 10)

    def test_the_program_says_what_is_wrong_with_its_files(self):
        for key, cert, sentence in (("/nowhere", self.injector.cert, "/nowhere"),
                                    (self.injector.cert, self.injector.cert, "tls.crt"),
                                    (os.path.join(self.injector.authority.key), self.injector.cert, "another key")):
            with self.subTest(sentence=sentence):
                done = subprocess.run([os.path.join(BIN, "handfast-injector"), "--listen", "127.0.0.1:0", "--metrics-port",
                                       "0", "--cert-file", cert, "--key-file", key], capture_output=True, text=True, timeout=30)
                self.assertEqual(done.returncode, 1)
                self.assertIn("start_failed", done.stderr)
                self.assertIn(sentence, done.stderr)


class Ending(unittest.TestCase):
    def test_requests_are_answered_for_a_while_after_sigterm(self):
        directory = os.path.join(ROOT, "build", "e2e", "injector_test-Ending")
        shutil.rmtree(directory, ignore_errors=True)
        injector = Injector(directory, "injector", "--drain-ms", "60000")
        injector.process.send_signal(15)
        wait_for("it says that it ends", lambda: injector.ask("GET", "/healthz") == (503, "ending\n"))
        self.assertIn("patch", injector.inject())
        injector.stop()  # the second signal ends it at once


if __name__ == "__main__":
    main()
