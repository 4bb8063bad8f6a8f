"""What happens in the middle: the wire is cut and mended, cut for good, a proxy killed. Nothing is lost in silence."""
import socket
import threading
import time

from case import DIRECT, MeshCase, fewer, main, needs_mesh
from peers import CHUNK, Background, block, pair, pump, read_exactly, read_to_end, send_stream, send_until_error

TIMES = 20
CUT_S = 5
USER_TIMEOUT_S = 4
TCP_USER_TIMEOUT = 18
KILLS = fewer(20, 5)  # a proxy under ASan starts much more slowly
MEBI = 1 << 20


class Flow:
    """A transfer of `total` bytes that can be seen to be on its way."""

    def __init__(self, source, sink, total, seed):
        self.total, self.seed, self.received = total, seed, 0
        self.sender = Background(send_stream, source, total, seed)
        self.reader = Background(self._read, sink)

    def _read(self, sock):
        while self.received < self.total:
            size = min(MEBI, self.total - self.received)
            data = sock.recv(size)
            if not data:
                raise EOFError(f"end of file after {self.received} bytes")
            at = 0
            while at < len(data):  # compared where it arrives, so that a mistake names its place
                offset = (self.received + at) // CHUNK * CHUNK
                inside = self.received + at - offset
                piece = block(self.seed, offset, CHUNK)[inside:inside + len(data) - at]
                if data[at:at + len(piece)] != piece:
                    raise AssertionError(f"wrong bytes after {self.received + at}")
                at += len(piece)
            self.received += len(data)
        return self.received


class CutForAWhile(MeshCase):
    def test_nothing_is_lost(self):
        pairs = [pair(self.a, self.b, 120) for _ in range(TIMES)]
        gate = threading.Event()
        flows = []
        for number, (client, server) in enumerate(pairs):
            for source, sink in ((client, server), (server, client)):
                flows.append(Flow(source, sink, 20 * MEBI, len(flows)))
            if number == TIMES // 2:
                self.wait_for("bytes flow", lambda: all(flow.received > MEBI for flow in flows), 60)
                mend = self.mesh.node.swallow()
        gate.wait(CUT_S)  # the scenario itself
        mend()
        for flow in flows:
            self.assertEqual(flow.reader.result(), flow.total)
            flow.sender.result()
        for client, server in pairs:
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(server)[:2], ("fin", 0))
            server.close()
            self.assertEqual(read_to_end(client)[:2], ("fin", 0))
            client.close()


class CutForGood(MeshCase):
    proxy = {"user_timeout_ms": USER_TIMEOUT_S * 1000}

    def cut(self, use):
        """use(client, server) starts what is under way and returns the Backgrounds that must see an error."""
        before = {} if DIRECT else {pod: len(pod.access_log()) for pod in (self.a, self.b)}
        pairs = [pair(self.a, self.b, 60) for _ in range(TIMES)]
        if DIRECT:
            for sock in (sock for both in pairs for sock in both):
                sock.setsockopt(socket.IPPROTO_TCP, TCP_USER_TIMEOUT, USER_TIMEOUT_S * 1000)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, 1)
                sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, 1)
        watched = [watch for client, server in pairs for watch in use(client, server)]
        mend = self.mesh.node.swallow()
        began = time.monotonic()
        try:
            ends = [watch.result(60) for watch in watched]
        finally:
            mend()
        took = time.monotonic() - began
        for client, server in pairs:
            client.close()
            server.close()
        ends = {end[0] if isinstance(end, tuple) else end for end in ends}
        self.assertLessEqual(ends, {"error:ETIMEDOUT"} if DIRECT else {"reset"})
        self.assertGreater(took, USER_TIMEOUT_S * 0.5)
        self.assertLess(took, USER_TIMEOUT_S * fewer(3, 5))
        for pod, count in before.items():
            self.wait_for(f"the lines of {pod.pod_name}", lambda: len(pod.access_log()) == count + TIMES)
            self.assertEqual({line["result"] for line in pod.access_log()[count:]}, {"conn_user_timeout"})

    def test_both_ends_get_an_error_while_bytes_flow(self):
        def use(client, server):
            return [Background(pump, sock) for sock in (client, server)]
        self.cut(use)

    def test_both_ends_get_an_error_while_all_is_quiet(self):
        def use(client, server):
            client.sendall(b"hello")
            server.recv(5, socket.MSG_WAITALL)
            return [Background(read_to_end, sock) for sock in (client, server)]
        self.cut(use)

    def test_the_end_that_only_sends_gets_an_error(self):
        def use(client, server):
            read_ends = [Background(read_to_end, server)]
            return [Background(send_until_error, client)] + read_ends
        self.cut(use)


class SlowReader(MeshCase):
    proxy = {"user_timeout_ms": 2000}

    def test_a_reader_that_lives_and_takes_its_time_loses_nothing(self):
        size = 16 * MEBI
        pairs = [pair(self.a, self.b, 60) for _ in range(TIMES)]
        flows = [(client, server) if number % 2 else (server, client) for number, (client, server) in enumerate(pairs)]
        senders = [Background(send_stream, source, size, seed) for seed, (source, _) in enumerate(flows)]
        threading.Event().wait(8)  # the scenario itself: four user timeouts without a byte read
        readers = [Background(read_exactly, sink, size) for _, sink in flows]
        for sender, reader in zip(senders, readers):
            self.assertEqual(sender.result(), reader.result())
        for sock in (sock for both in pairs for sock in both):
            sock.close()


class KilledProxy(MeshCase):
    @needs_mesh
    def test_every_leg_ends_with_a_reset(self):
        for victim in (self.a, self.b):
            for number in range(KILLS):
                with self.subTest(victim=victim.pod_name, number=number):
                    pairs = [pair(self.a, self.b, 30) for _ in range(6)]
                    readers = []
                    for client, server in pairs[:4]:  # two pairs send both ways, two in one direction
                        duplex = len(readers) < 4
                        readers += [Background(pump if duplex else send_until_error, client),
                                    Background(pump if duplex else read_to_end, server)]
                    readers += [Background(read_to_end, sock) for both in pairs[4:] for sock in both]  # idle
                    wait_for_the_middle(self, pairs)
                    victim.proxy.kill()
                    ends = [reader.result(30) for reader in readers]
                    self.assertEqual({end[0] if isinstance(end, tuple) else end for end in ends}, {"reset"})
                    for sock in (sock for both in pairs for sock in both):
                        sock.close()
                    victim.start_proxy()


def wait_for_the_middle(case, pairs):
    """Waits until the first pairs' bytes have gone through: the transfer is in its middle."""
    case.wait_for("bytes have arrived", lambda: all(total_received(s) > MEBI for both in pairs[:2] for s in both)
                  and all(total_received(server) > MEBI for _, server in pairs[2:4]))


def total_received(sock):
    """Bytes that the kernel has received on the socket (TCP_INFO, tcpi_bytes_received)."""
    info = sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 192)
    return int.from_bytes(info[128:136], "little")


if __name__ == "__main__":
    main()
