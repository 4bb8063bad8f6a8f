"""The relay tells the truth: how a connection ends at one side is how it ends at the other.

Each case runs 20 times, all at once, every second one over IPv6. `HANDFAST_MODE=direct` runs the same between plain
sockets: that is what "truth" means here.
"""
import socket
import time

from case import DIRECT, MeshCase, main
from peers import (Background, EchoServer, pair, pump, read_exactly, read_to_end, send_stream, send_until_error,
                   stream_hash)
from pod import reset

TIMES = 20
CONNECT_DEADLINE_S = 3
HALF_OPEN_S = 30
TCP_SYNCNT = 7


def family(number):
    return socket.AF_INET6 if number % 2 else socket.AF_INET


class TruthCase(MeshCase):
    proxy = {"connect_timeout_ms": CONNECT_DEADLINE_S * 1000, "handshake_timeout_ms": CONNECT_DEADLINE_S * 1000}

    def each(self, run, timeout=60):
        """run(client, server) on TIMES connections at once."""
        def one(number):
            client, server = pair(self.a, self.b, timeout, family(number))
            with client, server:
                run(client, server)
        self.repeat(TIMES, one)

    def each_way(self, run):
        """run(near, far) with the client as the near end, and then with the server."""
        for near in ("client", "server"):
            with self.subTest(near=near):
                self.each(lambda c, s, near=near: run(c, s) if near == "client" else run(s, c))


class HalfClose(TruthCase):
    def test_one_side_ends_and_the_other_answers_afterwards(self):
        def run(near, far):
            reader = Background(read_to_end, far)
            digest = send_stream(near, 3_000_000, 1)
            near.shutdown(socket.SHUT_WR)
            self.assertEqual(reader.result(), ("fin", 3_000_000, digest))
            answer = Background(send_stream, far, 2_000_000, 2)
            self.assertEqual(read_exactly(near, 2_000_000), answer.result())
            far.close()
            self.assertEqual(read_to_end(near)[:2], ("fin", 0))
        self.each_way(run)

    def test_an_end_without_a_byte_is_an_end(self):
        def run(near, far):
            near.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(far)[:2], ("fin", 0))
            far.sendall(b"still here")
            far.close()
            self.assertEqual(read_to_end(near)[:2], ("fin", 10))
        self.each_way(run)

    def test_both_sides_end_at_once(self):
        def run(near, far):
            readers = [Background(read_to_end, sock) for sock in (near, far)]
            senders = [Background(send_stream, sock, 1_000_000, seed) for sock, seed in ((near, 1), (far, 2))]
            hashes = [sender.result() for sender in senders]
            near.shutdown(socket.SHUT_WR)
            far.shutdown(socket.SHUT_WR)
            self.assertEqual(readers[1].result(), ("fin", 1_000_000, hashes[0]))
            self.assertEqual(readers[0].result(), ("fin", 1_000_000, hashes[1]))
        self.each(run)

    def test_half_open_for_30_s(self):
        def run(near, far):
            near.sendall(b"question")
            near.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(far)[:2], ("fin", 8))
            near.settimeout(HALF_OPEN_S)  # the scenario itself: nothing may end it meanwhile
            self.assertEqual(read_to_end(near)[0], "timeout")
            near.settimeout(30)
            far.sendall(b"answer")
            far.close()
            self.assertEqual(read_to_end(near)[:2], ("fin", 6))
        both = [Background(self.each, run), Background(self.each, lambda c, s: run(s, c))]
        for half in both:
            half.result()


class Reset(TruthCase):
    def test_in_mid_transfer_while_the_other_reads(self):
        def run(near, far):
            reader = Background(read_to_end, far)
            send_stream(near, 4_000_000)
            reset(near)
            self.assertEqual(reader.result()[0], "reset")
        self.each_way(run)

    def test_in_mid_transfer_while_the_other_sends(self):
        def run(near, far):
            sender = Background(send_until_error, far)
            read_exactly(near, 2_000_000)
            reset(near)
            self.assertEqual(sender.result(), "reset")
        self.each_way(run)

    def test_while_both_send_and_read(self):
        def run(near, far):
            other = Background(pump, far)
            sender = Background(send_stream, near, 2_000_000)
            read_exactly(near, 2_000_000)
            sender.result()
            reset(near)
            self.assertEqual(other.result(), "reset")
        self.each_way(run)

    def test_of_an_idle_connection(self):
        def run(near, far):
            near.sendall(b"hello")
            self.assertEqual(far.recv(5, socket.MSG_WAITALL), b"hello")
            reset(near)
            self.assertEqual(read_to_end(far)[0], "reset")
        self.each_way(run)

    def test_after_a_half_close(self):
        def run(near, far):
            near.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(far)[:2], ("fin", 0))
            far.sendall(b"x" * 1000)
            near.recv(1000, socket.MSG_WAITALL)
            reset(near)
            self.assertEqual(send_until_error(far), "reset")
        self.each_way(run)

    def test_right_after_accept(self):
        for talks in (False, True):
            with self.subTest(client_sends=talks):
                def one(number, talks=talks):
                    with self.b.listen(family=family(number)) as listener:
                        with self.a.connect(self.b.address(family(number)), listener.getsockname()[1]) as client:
                            if talks:
                                client.sendall(b"x" * 1000)
                            reset(listener.accept()[0])
                            self.assertEqual(read_to_end(client)[0], "reset")
                self.repeat(TIMES, one)


class NoServer(TruthCase):
    def dial(self, address, port, talks, timeout=30):
        """How an attempt ends for the application: refused, reset, timed out; or the lie "fin"."""
        with self.a.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as client:
            client.settimeout(timeout)
            if DIRECT:
                client.setsockopt(socket.IPPROTO_TCP, TCP_SYNCNT, 1)
            try:
                client.connect((address, port))
                if talks:
                    client.sendall(b"x" * 1000)
            except ConnectionRefusedError:
                return "refused"
            except ConnectionResetError:
                return "reset"
            except (TimeoutError, BrokenPipeError) as error:
                return type(error).__name__
            return read_to_end(client)[0]

    def test_nobody_listens(self):
        for talks in (False, True):
            with self.subTest(client_sends=talks):
                def one(number, talks=talks):
                    with self.b.socket(family(number)) as reserved:  # bound, never listening
                        reserved.bind(("", 0) if number % 2 == 0 else ("::", 0))
                        began = time.monotonic()
                        end = self.dial(self.b.address(family(number)), reserved.getsockname()[1], talks)
                        self.assertIn(end, ("refused",) if DIRECT else ("refused", "reset"))
                        self.assertLess(time.monotonic() - began, CONNECT_DEADLINE_S)
                self.repeat(TIMES, one)

    def swallowed(self, drop, talks, pod, direction):
        """`drop(port)` makes a port silent and returns what ends that; the proxy of `pod` is the one that waits."""
        before = 0 if DIRECT else len(pod.access_log(direction=direction, result="conn_connect_timeout"))

        def one(number):
            with self.b.listen(family=family(number)) as listener:
                port = listener.getsockname()[1]
                end_of_drop = drop(port)
                began = time.monotonic()
                end = self.dial(self.b.address(family(number)), port, talks)
                took = time.monotonic() - began
                end_of_drop()
                self.assertIn(end, ("TimeoutError", "error:ETIMEDOUT") if DIRECT else ("reset",))
                self.assertGreater(took, CONNECT_DEADLINE_S * 0.5)
                self.assertLess(took, CONNECT_DEADLINE_S * 3)
        self.repeat(TIMES, one)
        if not DIRECT:
            self.wait_for("every line names the reason", lambda: len(
                pod.access_log(direction=direction, result="conn_connect_timeout")) == before + TIMES)

    def test_the_syn_is_swallowed_between_the_pods(self):
        for talks in (False, True):
            with self.subTest(client_sends=talks):
                self.swallowed(lambda port: self.mesh.node.swallow(f"tcp dport {port}"), talks, self.a,
                               "outbound")

    def test_the_syn_is_swallowed_between_proxy_and_application(self):
        def drop(port):
            self.b.nft(f"table inet drop{port} {{ chain input {{ type filter hook input priority 0;"
                       f" tcp dport {port} drop; }}; }}")
            return lambda: self.b.nft(f"delete table inet drop{port}")
        self.swallowed(drop, False, self.b, "inbound")

    def test_the_listener_goes_and_comes_back(self):
        with EchoServer(self.b) as first:
            port = first.port
        for _ in range(TIMES):
            self.assertIn(self.dial(self.b.ip4, port, True), ("refused", "reset"))
            with EchoServer(self.b, port):
                with self.a.connect(self.b.ip4, port) as client:
                    sender = Background(send_stream, client, 300_000, 3)
                    self.assertEqual(read_exactly(client, 300_000), stream_hash(300_000, 3))
                    sender.result()
                    client.shutdown(socket.SHUT_WR)
                    self.assertEqual(read_to_end(client)[:2], ("fin", 0))


if __name__ == "__main__":
    main()
