"""Certificates change every second for a minute, and nobody's bytes notice; nor when the control plane is away for half
of it."""
import re
import signal
import socket
import threading
import time

from case import DIRECT, MeshCase, fewer, main
from peers import Background, EchoServer, block, pair

LIVE = fewer(200, 60)
MINUTE_S, AWAY_S = 60, 30
TTL_S = 2  # renewed at half life: about once a second
PIECE = 16 << 10


class Rotation(MeshCase):
    proxy = {"certificate_ttl_s": TTL_S}
    away_ttl = 50  # renewal falls into the absence, expiry does not

    def live(self, stop, pairs):
        """One thread for all live connections: pieces go through each of them in turn and are compared."""
        rounds = 0
        while not stop.is_set():
            want = bytes(block(rounds, rounds, PIECE))
            for client, server in pairs:
                for source, sink in ((client, server), (server, client)):
                    source.sendall(want)
                for sock in (server, client):
                    got = b""
                    while len(got) < PIECE:
                        data = sock.recv(PIECE - len(got))
                        if not data:
                            raise EOFError(f"end of file in round {rounds}")
                        got += data
                    if got != want:
                        raise AssertionError(f"wrong bytes in round {rounds}")
            rounds += 1
        return rounds

    def fresh(self, stop, port):
        """New connections one after another, each with a small exchange and a clean end."""
        made = 0
        while not stop.is_set():
            with self.a.connect(self.b.ip4, port) as sock:
                sock.sendall(b"new")
                sock.shutdown(socket.SHUT_WR)
                got = b""
                while data := sock.recv(10):
                    got += data
            if got != b"new":
                raise AssertionError(f"connection {made} got {got!r}")
            made += 1
        return made

    def under_load(self, seconds, meanwhile=lambda: None):
        """Load for `seconds`; meanwhile() runs in this thread. Any loss, reset or failed connect raises."""
        stop = threading.Event()
        with EchoServer(self.b) as server:
            pairs = [pair(self.a, self.b, 60) for _ in range(LIVE)]
            loads = [Background(self.live, stop, pairs), Background(self.fresh, stop, server.port)]
            end = time.monotonic() + seconds
            meanwhile()
            self.wait_for("the time is up", lambda: time.monotonic() > end or any(load.done() for load in loads),
                          seconds + 60, 0.2)
            stop.set()
            rounds, made = (load.result() for load in loads)
            for client, server_end in pairs:
                client.close()
                server_end.close()
            self.assertEqual(server.resets, 0)
        print(f"[{rounds} rounds on {LIVE} connections, {made} new ones]", end=" ", flush=True)
        self.assertGreater(rounds, 3)
        self.assertGreater(made, 20)

    def assert_nothing_failed(self, since):
        for pod in (self.a, self.b):
            bad = [entry for entry in pod.access_log()[since[pod.pod_name]:] if entry["result"] != "ok"]
            self.assertEqual(bad, [])

    def entries(self):
        return {} if DIRECT else {pod.pod_name: len(pod.access_log()) for pod in (self.a, self.b)}

    def serials(self, pod):
        return re.findall(r'"serial":"([0-9a-f]+)"', pod.proxy.err())

    def test_every_second_for_a_minute(self):
        since = self.entries()
        self.under_load(MINUTE_S)
        if not DIRECT:
            self.assert_nothing_failed(since)
            for pod in (self.a, self.b):
                serials = self.serials(pod)
                self.assertEqual(len(serials), len(set(serials)))
                self.assertGreater(len(serials), MINUTE_S * fewer(0.75, 0.5))

    def test_the_control_plane_is_killed_for_half_of_it(self):
        if not DIRECT:
            for pod in (self.a, self.b):
                pod.restart_proxy(certificate_ttl_s=self.away_ttl)
        since = self.entries()

        def away():
            if DIRECT:
                return
            self.mesh.control.process.kill()
            self.wait_for("the proxies miss it", lambda: all(
                pod.metric("handfast_control_connected") == 0 for pod in (self.a, self.b)), 20)
            back = time.monotonic() + AWAY_S
            self.wait_for("half of the time is over", lambda: time.monotonic() > back, AWAY_S + 10, 0.2)
            self.assertTrue(self.a.ready() and self.b.ready())
            self.mesh.control.start()
            self.wait_for("the proxies have it back", lambda: all(
                pod.metric("handfast_control_connected") == 1 for pod in (self.a, self.b)), 40)
        self.under_load(AWAY_S + 15, away)
        if not DIRECT:
            self.assert_nothing_failed(since)
            for pod in (self.a, self.b):
                self.wait_for(f"{pod.pod_name} renewed afterwards", lambda: pod.metric(
                    "handfast_certificate_seconds_left") > self.away_ttl * 0.4, 60, 0.5)
            self.mesh.control.process.expect_exit.add(-signal.SIGKILL)


if __name__ == "__main__":
    main()
