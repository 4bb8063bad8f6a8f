"""A pod: a network namespace with an address of each family, and in the mesh a redirect and a proxy."""
import json
import os
import re
import socket
import struct
import subprocess

from netns import Namespace
from process import PROXY_UID, Process, wait_for

OUTBOUND, INBOUND, METRICS, HEALTH = 15001, 15006, 15020, 15021


class Pod(Namespace):
    """Made by Mesh. The fields of `spec` are those of mesh.yaml's workload; see README.md for the others."""

    def __init__(self, mesh, number, spec):
        super().__init__(mesh.prefix, spec["name"])
        self.mesh, self.spec, self.pod_name = mesh, spec, spec["name"]
        self.namespace = spec.get("namespace", "shop")
        self.account = spec.get("service_account", spec["name"])
        self.number = number
        self.ip4, self.ip6 = mesh.node.attach(self, number)
        self.directory = os.path.join(mesh.run_dir, self.pod_name)
        os.mkdir(self.directory)
        os.chown(self.directory, PROXY_UID, PROXY_UID)
        self.admin = os.path.join(self.directory, "admin.sock")
        self.token = os.path.join(self.directory, "token")
        self.has_proxy = mesh.mode == "mesh" and spec.get("proxy", spec.get("mesh", True))
        self.proxy = None

    @property
    def spiffe_id(self):
        return f"spiffe://{self.mesh.trust_domain}/ns/{self.namespace}/sa/{self.account}"

    def workload(self):
        """Its record in mesh.yaml, or None when it is not listed."""
        if not self.spec.get("listed", True):
            return None
        record = {"name": self.pod_name, "namespace": self.namespace, "service_account": self.account,
                  "addresses": [self.ip4, self.ip6], "labels": self.spec.get("labels", {"app": self.pod_name})}
        if not self.spec.get("mesh", True):
            record["mesh"] = False
        return record

    # --- the sidecar ---------------------------------------------------------------------------------------------
    def redirect(self, verb="apply", *args):
        return self.run([self.mesh.binary("handfast-redirect"), verb, *map(str, args)])

    def write_token(self, text=None):
        if text is None:
            text = self.mesh.control.token(self.namespace, self.account)
        with open(self.token, "w") as file:
            file.write(text)
        os.chown(self.token, PROXY_UID, PROXY_UID)

    def proxy_argv(self, **options):
        """The command line; an option with the value None is left out."""
        settings = {"pod-name": self.pod_name, "namespace": self.namespace, "service-account": self.account,
                    "pod-ip": f"{self.ip4},{self.ip6}", "trust-domain": self.mesh.trust_domain,
                    "control": f"{self.mesh.control.ip4}:15012", "control-ca": self.mesh.control.root,
                    "token-file": self.token, "admin-socket": self.admin, "access-log": "json", "log-format": "json",
                    "drain-ms": 3000}
        settings.update({k.replace("_", "-"): v for k, v in {**self.mesh.proxy_options, **options}.items()})
        argv = [self.mesh.binary("handfast-proxy")]
        for name, value in settings.items():
            if value is not None:
                argv += [f"--{name}", str(value)]
        return argv

    def start_proxy(self, ready=True, **options):
        argv = self.proxy_argv(**{**self.spec.get("options", {}), **options})
        if self.proxy is None:
            self.proxy = Process(argv, self, f"proxy-{self.pod_name}", self.mesh.directory, uid=PROXY_UID)
            self.mesh.processes.append(self.proxy)
        self.proxy.argv = argv
        self.proxy.start()
        if ready:
            self.wait_ready()
        return self.proxy

    def restart_proxy(self, **options):
        if self.proxy.running():
            status = self.proxy.stop()
            assert status in self.proxy.expect_exit, f"{self.proxy.name} exited with {status}"
        return self.start_proxy(**options)

    def ready(self):
        try:
            return self.http(HEALTH, "/healthz/ready")[0] == 200
        except OSError:
            return False

    def wait_ready(self, timeout=30):
        def condition():
            if not self.proxy.running():
                raise AssertionError(f"{self.proxy.name} exited with {self.proxy.popen.returncode}:\n{self.proxy.tail()}")
            return self.ready()
        wait_for(f"{self.pod_name}'s proxy is ready", condition, timeout)

    def metrics(self):
        """The samples of /metrics: a list of (name, labels, value)."""
        status, body = self.http(METRICS, "/metrics")
        assert status == 200, status
        samples = []
        for line in body.splitlines():
            found = re.match(r"([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (\S+)", line)
            if found and not line.startswith("#"):
                labels = dict(re.findall(r'(\w+)="((?:[^"\\]|\\.)*)"', found[2] or ""))
                samples.append((found[1], labels, float(found[3])))
        return samples

    def metric(self, name, **labels):
        """The sum of the samples with this name whose labels include `labels`."""
        return sum(value for n, have, value in self.metrics()
                   if n == name and all(have.get(k) == str(v) for k, v in labels.items()))

    def access_log(self, **fields):
        """The access-log entries whose fields include `fields`."""
        entries = []
        for line in self.proxy.out().splitlines():
            try:
                entry = json.loads(line)
            except ValueError:
                continue  # the last line may still be on its way
            if all(entry.get(k) == v for k, v in fields.items()):
                entries.append(entry)
        return entries

    def handfast(self, verb, *args):
        """`handfast VERB --json` as this pod's operator: the parsed answer. Its exit status says how the pod is."""
        argv = [self.mesh.binary("handfast"), verb, *args, "--json", "--admin-socket", self.admin]
        done = subprocess.run(argv, capture_output=True, text=True)
        if not done.stdout.startswith("{"):
            raise RuntimeError(f"{' '.join(argv)}: exit {done.returncode}: {done.stdout}{done.stderr}")
        return json.loads(done.stdout)

    # --- what applications do ------------------------------------------------------------------------------------
    def address(self, family=socket.AF_INET):
        return self.ip4 if family == socket.AF_INET else self.ip6

    def listen(self, port=0, family=socket.AF_INET, host=None, backlog=4096):
        """A listening socket in the pod, on all addresses unless `host` is given; port 0 lets the kernel choose."""
        sock = self.socket(family)
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if family == socket.AF_INET6:
            sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
        sock.bind((host or ("0.0.0.0" if family == socket.AF_INET else "::"), port))
        sock.listen(backlog)
        sock.settimeout(30)
        return sock

    def connect(self, host, port, timeout=30, source_port=0):
        """A connected socket in the pod; every later operation has `timeout` seconds."""
        sock = self.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
        sock.settimeout(timeout)
        try:
            if source_port:
                sock.bind(("::" if ":" in host else "0.0.0.0", source_port))
            sock.connect((host, port))
        except BaseException:
            sock.close()
            raise
        return sock

    def start(self, argv, name, uid=None, **options):
        """Starts a program in the pod; it is ended with the mesh."""
        process = Process(argv, self, f"{self.pod_name}-{name}", self.mesh.directory, uid=uid, **options)
        process.expect_exit |= {-2, -9, -15, 143, 130, 1}  # other people's programs end as they like
        self.mesh.processes.append(process)
        return process.start()

    def http(self, port, path, host=None, timeout=10):
        """(status, body) of a GET in plaintext to this pod's own loopback, or to `host`."""
        with self.connect(host or "127.0.0.1", port, timeout) as sock:
            sock.sendall(f"GET {path} HTTP/1.1\r\nHost: {host or 'localhost'}\r\nConnection: close\r\n\r\n".encode())
            data = b""
            while chunk := sock.recv(65536):
                data += chunk
        head, _, body = data.partition(b"\r\n\r\n")
        if not head:
            raise ConnectionError("an empty answer")
        return int(head.split()[1]), body.decode(errors="replace")


def reset(sock):
    """Closes with RST instead of FIN."""
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    sock.close()


__all__ = ["Pod", "reset", "OUTBOUND", "INBOUND", "METRICS", "HEALTH"]
