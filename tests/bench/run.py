"""Direct, a plain HAProxy pair, a bare TLS pair and Handfast, in one run: requests, new connections, throughput, memory.

    tools/test bench            or /usr/bin/python3 tests/bench/run.py [--seconds 3] [--rounds 3] [--idle 1000,8000]

Two pods on one machine, wrk, curl or a socket client in one, nginx in the other; one worker in each relay. The four ways
are measured in turn, round by round, so that the machine's mood hits all alike; the median of the rounds is shown.
Figures compare only inside one run. The JSON is in build/bench/result.json.
"""
import argparse
import json
import os
import re
import shutil
import socket
import statistics
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

from mesh import Mesh  # noqa: E402
from process import PROXY_UID, wait_for  # noqa: E402

PORT, BULK_BYTES = 8080, 1 << 30
FLOOR = 1.15  # of the probe's CPU, and no more
WAYS = ("direct", "haproxy", "probe", "handfast")
BIN = os.environ.get("HANDFAST_BIN", os.path.join(ROOT, "build", "release"))


def nginx_conf(pod, directory):
    path = os.path.join(directory, "nginx.conf")
    with open(path, "w") as file:
        file.write(f"""worker_processes 2; daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx.log;
worker_rlimit_nofile 20000; events {{ worker_connections 9000; }}
http {{ access_log off; keepalive_requests 100000000; sendfile on;
  server {{ listen {pod.ip4}:{PORT} backlog=4096; location / {{ return 200 "ok\\n"; }}
           location /bulk {{ root {directory}; }} }} }}
""")
    with open(os.path.join(directory, "bulk"), "wb") as file:
        file.truncate(BULK_BYTES)
    return path


def haproxy_conf(directory, name, listen, to):
    path = os.path.join(directory, f"{name}.cfg")
    with open(path, "w") as file:
        file.write(f"""global
  maxconn 9000
  nbthread 1
defaults
  mode tcp
  timeout connect 5s
  timeout client 300s
  timeout server 300s
listen relay
  bind {listen}
  server far {to}
""")
    return path


def certificates(directory):
    """What our own authority makes, for the probe's two ends: a root, an issuer and a leaf with a SPIFFE ID, all P-256."""
    def openssl(*args):
        subprocess.run(["openssl", *args], cwd=directory, check=True, capture_output=True)

    def issue(name, by, extensions):
        with open(os.path.join(directory, f"{name}.ext"), "w") as file:
            file.write(extensions)
        openssl("req", *curve, "-keyout", f"{name}.key", "-out", f"{name}.csr", "-subj", f"/CN=bench {name}")
        openssl("x509", "-req", "-in", f"{name}.csr", "-CA", f"{by}.pem", "-CAkey", f"{by}.key", "-CAcreateserial",
                "-days", "1", "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    curve = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes")
    openssl("req", "-x509", *curve, "-keyout", "root.key", "-out", "root.pem", "-subj", "/CN=bench root", "-days", "1")
    issue("issuer", "root", "basicConstraints=critical,CA:TRUE,pathlen:0\nkeyUsage=critical,keyCertSign\n")
    issue("leaf", "issuer", "subjectAltName=critical,URI:spiffe://bench/ns/a/sa/b\nkeyUsage=critical,digitalSignature\n"
                            "extendedKeyUsage=clientAuth,serverAuth\n")
    chain, key, root = (os.path.join(directory, name) for name in ("chain.pem", "leaf.key", "root.pem"))
    with open(chain, "w") as file:
        for name in ("leaf", "issuer"):
            file.write(open(os.path.join(directory, f"{name}.pem")).read())
    os.chmod(key, 0o644)
    return [chain, key, root]


class Way:
    """One way from a client in pod a to nginx in pod b; the client dials nginx's own address."""

    def __init__(self, name):
        self.name = name
        pods = [{"name": pod, "start": name == "handfast"} for pod in "ab"]
        self.mesh = Mesh(f"bench-{name}", pods, mode="direct" if name == "direct" else "mesh",
                         proxy={"access_log": "off", "workers": 1})
        self.proxies = []

    def up(self):
        self.mesh.up()
        self.a, self.b = self.mesh.pods["a"], self.mesh.pods["b"]
        directory = self.mesh.run_dir
        os.chmod(directory, 0o755)
        self.nginx = self.b.start(["nginx", "-c", nginx_conf(self.b, directory)], "nginx")
        if self.name in ("haproxy", "probe"):
            self.proxies = self.start_pair(directory)
        elif self.name == "handfast":
            self.proxies = [self.a.proxy, self.b.proxy]
        wait_for(f"{self.name}: an answer", self.answers, 10)
        return self

    def start_pair(self, directory):
        """Two relays behind the same redirect as ours, so that the kernel does the same work for them."""
        near, far, target = "0.0.0.0:15001", "0.0.0.0:15006", f"{self.b.ip4}:{PORT}"
        if self.name == "haproxy":
            lines = [["haproxy", "-db", "-f", haproxy_conf(directory, pod.pod_name, listen, target)]
                     for pod, listen in ((self.a, near), (self.b, far))]
        else:
            probe = shutil.copy(os.path.join(BIN, "tests", "bench_probe"), directory)  # where uid 1337 can reach it
            files = certificates(directory)
            lines = [[probe, "near", near, target, *files], [probe, "far", far, target, *files]]
        for pod in (self.a, self.b):
            pod.redirect()
        return [pod.start(line, self.name, uid=PROXY_UID) for pod, line in zip((self.a, self.b), lines)]

    def answers(self):
        try:
            return self.a.http(PORT, "/", host=self.b.ip4)[0] == 200
        except OSError:
            return False

    def cpu_s(self):
        return sum(p.cpu_s() for p in self.proxies)

    def memory(self):
        return [p.memory() for p in self.proxies]

    def wrk(self, seconds, connections, close=False):
        """(requests per second, p50 ms, p99 ms, proxies' CPU-us per request)."""
        argv = ["wrk", "-t2", f"-c{connections}", f"-d{seconds}s", "--latency"]
        argv += ["-H", "Connection: close"] if close else []
        before = self.cpu_s()
        text = self.a.run([*argv, f"http://{self.b.ip4}:{PORT}/"])
        used = self.cpu_s() - before
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
        total = int(re.search(r"(\d+) requests in", text)[1])
        latency = {p: to_ms(v) for p, v in re.findall(r"(50|99)%\s+([\d.]+\w+)", text)}
        errors = re.search(r"Socket errors: (.*)", text)
        if errors and not close:
            print(f"  {self.name}: {errors[0]}")
        return rate, latency.get("50", 0.0), latency.get("99", 0.0), used / max(total, 1) * 1e6

    def throughput(self):
        """(MB/s of one stream to the client, proxies' CPU-s per GB)."""
        before = self.cpu_s()
        text = self.a.run(["curl", "-s", "-o", "/dev/null", "-w", "%{size_download} %{time_total}",
                           f"http://{self.b.ip4}:{PORT}/bulk"])
        got, took = map(float, text.split())
        assert got == BULK_BYTES, got
        return got / took / 1e6, (self.cpu_s() - before) * 1e9 / got

    def idle(self, count):
        """Private bytes that one idle connection costs (client's proxy, server's proxy)."""
        before = self.memory()
        socks = []
        try:
            for _ in range(count):
                socks.append(self.a.connect(self.b.ip4, PORT))
                socks[-1].sendall(b"G")  # nginx waits for the rest for 60 s
            wait_for(f"{self.name}: {count} connections at nginx", lambda: self.nginx_holds(count), 30)
            time.sleep(1)  # allocators give back what handshakes used
            return [(now - then) / count for now, then in zip(self.memory(), before)]
        finally:
            for sock in socks:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.close()

    def nginx_holds(self, count):
        """How many connections have come all the way."""
        found = self.b.run(["ss", "-Htn", "state", "established", f"( sport = :{PORT} )"])
        return len(found.splitlines()) >= count


def to_ms(text):
    number, unit = re.match(r"([\d.]+)(\w+)", text).groups()
    return float(number) * {"us": 0.001, "ms": 1, "s": 1000}[unit]


def measure(ways, options):
    rows = {way.name: {} for way in ways}

    def note(way, name, value):
        if value is not None:
            rows[way.name].setdefault(name, []).append(value)
    for _ in range(options.rounds):
        for way in ways:
            rate, p50, p99, cpu = way.wrk(options.seconds, 32)
            note(way, "requests/s", rate)
            note(way, "p50 ms", p50)
            note(way, "p99 ms", p99)
            note(way, "proxy CPU-us per request", cpu)
            rate, _, _, cpu = way.wrk(options.seconds, 32, close=True)
            note(way, "new connections/s", rate)
            note(way, "proxy CPU-us per connection", cpu)
            speed, cpu = way.throughput()
            note(way, "MB/s, one stream", speed)
            note(way, "proxy CPU-s per GB", cpu)
    for count in options.idle:
        for way in ways:
            if way.proxies:
                near, far = way.idle(count)
                note(way, f"private KB per idle connection of {count}, client side", near / 1024)
                note(way, f"private KB per idle connection of {count}, server side", far / 1024)
    for way in ways:
        for side, proxy in zip(("client", "server"), way.proxies):
            note(way, f"private MB of the {side}'s proxy at the end", proxy.memory() / 1e6)
    return {way: {name: statistics.median(values) for name, values in row.items()} for way, row in rows.items()}


def show(result):
    names = list(dict.fromkeys(name for row in result.values() for name in row))
    print(f"\n{'':58}" + "".join(f"{way:>12}" for way in WAYS) + f"{'to haproxy':>12}{'to probe':>12}")
    for name in names:
        cells = [result[way].get(name) for way in WAYS]
        direct, haproxy, probe, ours = cells
        cells += [ours / peer if ours and peer else None for peer in (haproxy, probe)]
        print(f"{name:58}" + "".join(f"{'-' if c is None else format(c, ',.2f' if c < 100 else ',.0f'):>12}"
                                     for c in cells))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=int, default=3, help="of each wrk run")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--idle", type=lambda text: [int(n) for n in text.split(",")], default=[1000, 8000])
    options = parser.parse_args()
    if os.geteuid() != 0:
        sys.exit("tests/bench/run.py: needs root to make network namespaces")
    ways = [Way(name) for name in WAYS]
    try:
        for way in ways:
            way.up()
        result = measure(ways, options)
    finally:
        for way in ways:
            way.mesh.down()
    show(result)
    dear = [name for name, ours in result["handfast"].items()
            if "CPU" in name and ours > FLOOR * result["probe"][name]]
    for name in dear:
        print(f"above the floor: {name} is more than {FLOOR} times the probe's")
    os.makedirs(os.path.join(ROOT, "build", "bench"), exist_ok=True)
    with open(os.path.join(ROOT, "build", "bench", "result.json"), "w") as file:
        json.dump({"cpus": os.cpu_count(), "kernel": os.uname().release, "figures": result}, file, indent=1)
    return 1 if dear else 0


if __name__ == "__main__":
    sys.exit(main())
