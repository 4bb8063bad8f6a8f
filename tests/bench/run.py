"""Direct, a plain HAProxy pair and Handfast, in one run: requests, new connections, throughput, memory.

    tools/test bench            or /usr/bin/python3 tests/bench/run.py [--seconds 3] [--rounds 3] [--idle 1000,8000]

Two pods on one machine, wrk or a socket client in one, nginx in the other. The three ways are measured in turn, round
by round, so that the machine's mood hits all alike; the median of the rounds is shown. Figures compare only inside one
run. The JSON is in build/bench/result.json.
"""
import argparse
import json
import os
import re
import socket
import statistics
import subprocess
import sys
import threading
import time

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(ROOT, "tests", "e2e"))

from mesh import Mesh  # noqa: E402
from process import wait_for  # noqa: E402

PORT, BULK_BYTES = 8080, 1 << 30
WAYS = ("direct", "haproxy", "handfast")


def nginx_conf(pod, directory):
    path = os.path.join(directory, "nginx.conf")
    with open(path, "w") as file:
        file.write(f"""worker_processes 2; daemon off; pid {directory}/nginx.pid; error_log {directory}/nginx.log;
worker_rlimit_nofile 20000; events {{ worker_connections 9000; }}
http {{ access_log off; keepalive_requests 100000000;
  server {{ listen {pod.ip4}:{PORT} backlog=4096; location / {{ return 200 "ok\\n"; }} }} }}
""")
    return path


def haproxy_conf(directory, name, listen, to):
    path = os.path.join(directory, f"{name}.cfg")
    with open(path, "w") as file:
        file.write(f"""global
  maxconn 9000
  nbthread 2
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


class Way:
    """One way to reach nginx; `host:port` is what the client in pod a dials."""

    def __init__(self, name):
        self.name = name
        self.mesh = Mesh(f"bench-{name}", [{"name": "a"}, {"name": "b"}],
                         mode="mesh" if name == "handfast" else "direct", proxy={"access_log": "off"})
        self.proxies = []

    def up(self):
        self.mesh.up()
        self.a, self.b = self.mesh.pods["a"], self.mesh.pods["b"]
        directory = self.mesh.run_dir
        os.chmod(directory, 0o755)
        self.nginx = self.b.start(["nginx", "-c", nginx_conf(self.b, directory)], "nginx")
        self.host, self.port = self.b.ip4, PORT
        if self.name == "haproxy":
            far = haproxy_conf(directory, "b", f"{self.b.ip4}:9000", f"{self.b.ip4}:{PORT}")
            near = haproxy_conf(directory, "a", "127.0.0.1:9000", f"{self.b.ip4}:9000")
            self.proxies = [self.a.start(["haproxy", "-db", "-f", near], "haproxy"),
                            self.b.start(["haproxy", "-db", "-f", far], "haproxy")]
            self.host, self.port = "127.0.0.1", 9000
        elif self.name == "handfast":
            self.proxies = [self.a.proxy, self.b.proxy]
        self.bulk = self.b.listen(PORT + 1)
        wait_for(f"{self.name}: an answer", self.answers, 10)
        return self

    def answers(self):
        try:
            return self.a.http(self.port, "/", host=self.host)[0] == 200
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
        text = self.a.run([*argv, f"http://{self.host}:{self.port}/"])
        used = self.cpu_s() - before
        rate = float(re.search(r"Requests/sec:\s+([\d.]+)", text)[1])
        total = int(re.search(r"(\d+) requests in", text)[1])
        latency = {p: to_ms(v) for p, v in re.findall(r"(50|99)%\s+([\d.]+\w+)", text)}
        errors = re.search(r"Socket errors: (.*)", text)
        if errors and not close:
            print(f"  {self.name}: {errors[0]}")
        return rate, latency.get("50", 0.0), latency.get("99", 0.0), used / max(total, 1) * 1e6

    def throughput(self):
        """(MB/s of one stream to the client, proxies' CPU-s per GB). HAProxy's pair relays to nginx only: skipped."""
        if self.name == "haproxy":
            return None, None

        def serve():
            sock, _ = self.bulk.accept()
            block = bytes(1 << 20)
            with sock:
                for _ in range(BULK_BYTES >> 20):
                    sock.sendall(block)
        thread = threading.Thread(target=serve)
        thread.start()
        before, start, got = self.cpu_s(), time.monotonic(), 0
        buffer = bytearray(1 << 20)
        with self.a.connect(self.b.ip4, PORT + 1) as sock:
            while n := sock.recv_into(buffer):
                got += n
        took = time.monotonic() - start
        thread.join()
        assert got == BULK_BYTES, got
        return got / took / 1e6, (self.cpu_s() - before) * 1e9 / got

    def idle(self, count):
        """Private bytes that one idle connection costs (client's proxy, server's proxy)."""
        before = self.memory()
        socks = []
        listener = self.b.listen(PORT + 2)
        accepted = []

        def accept():
            try:
                while len(accepted) < count:
                    accepted.append(listener.accept()[0])
            except OSError:
                pass
        thread = threading.Thread(target=accept)
        thread.start()
        host, port = (self.host, self.port) if self.name == "haproxy" else (self.b.ip4, PORT + 2)
        if self.name == "haproxy":
            listener.close()  # its pair leads to nginx, which keeps idle connections for 75 s
        try:
            for _ in range(count):
                socks.append(self.a.connect(host, port))
            if self.name != "haproxy":
                for sock in socks:
                    sock.sendall(b"x")
                thread.join(30)
                for sock in accepted:
                    assert sock.recv(1) == b"x"
            time.sleep(1)  # allocators give back what handshakes used
            return [(now - then) / count for now, then in zip(self.memory(), before)]
        finally:
            for sock in socks + accepted:
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\1\0\0\0\0\0\0\0")
                sock.close()
            listener.close()
            thread.join(30)


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
    print(f"\n{'':58}" + "".join(f"{way:>14}" for way in WAYS))
    for name in names:
        cells = (result[way].get(name) for way in WAYS)
        print(f"{name:58}" + "".join(f"{'-' if c is None else format(c, ',.2f' if c < 100 else ',.0f'):>14}"
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
    os.makedirs(os.path.join(ROOT, "build", "bench"), exist_ok=True)
    with open(os.path.join(ROOT, "build", "bench", "result.json"), "w") as file:
        json.dump({"cpus": os.cpu_count(), "kernel": os.uname().release, "figures": result}, file, indent=1)
    return 0


if __name__ == "__main__":
    sys.exit(main())
