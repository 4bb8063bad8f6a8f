"""Much at once: bytes, connections, readers that stop. Nothing is lost, and memory stays where it was."""
import concurrent.futures
import resource
import select
import socket
import statistics
import threading
import time

from case import DIRECT, MeshCase, fewer, main
from peers import Background, EchoServer, block, pair, read_exactly, read_to_end, send_stream, stream_hash

MEBI = 1 << 20
STREAMS, STREAM_BYTES, ROUNDS = 8, fewer(200, 50) * 1000 * 1000, fewer(10, 2)
AT_ONCE, IDLE = fewer(2000, 1000), fewer(5000, 2000)
STALLED, STALL_S = 200, 10
STALLED_MEMORY = fewer(60, 2000) * MEBI  # ASan: red zones around, and freed memory in quarantine; no figure of ours
GIGABYTE = fewer(1000, 200) * 1000 * 1000


class Volume(MeshCase):
    def both_ways(self, count, size):
        """`count` connections that carry `size` bytes each way at once; hashes compared."""
        pairs = [pair(self.a, self.b, 120, socket.AF_INET6 if n % 2 else socket.AF_INET) for n in range(count)]
        flows = [flow for client, server in pairs for flow in ((client, server), (server, client))]
        readers = [Background(read_exactly, sink, size) for _, sink in flows]
        senders = [Background(send_stream, source, size, seed) for seed, (source, _) in enumerate(flows)]
        for sender, reader in zip(senders, readers):
            self.assertEqual(sender.result(600), reader.result(600))
        for client, server in pairs:
            client.shutdown(socket.SHUT_WR)
            self.assertEqual(read_to_end(server)[:2], ("fin", 0))
            server.close()
            self.assertEqual(read_to_end(client)[:2], ("fin", 0))
            client.close()

    def test_eight_connections_both_ways_at_once(self):
        for number in range(ROUNDS):
            with self.subTest(round=number):
                self.both_ways(STREAMS, STREAM_BYTES)

    def test_a_gigabyte_each_way_one_after_the_other(self):
        client, server = pair(self.a, self.b, 60)
        with client, server:
            for source, sink, seed in ((client, server, 1), (server, client, 2)):
                reader = Background(read_exactly, sink, GIGABYTE)
                self.assertEqual(send_stream(source, GIGABYTE, seed), reader.result())


class Many(MeshCase):
    # Opened all at once, handshakes queue for the processor: under ASan, or beside other work, for longer than 5 s.
    proxy = {"handshake_timeout_ms": 30000}

    def open(self, port, count, threads=8):
        with concurrent.futures.ThreadPoolExecutor(threads) as pool:
            return list(pool.map(lambda _: self.a.connect(self.b.ip4, port, 60), range(count)))

    def exchange(self, socks, size, seed):
        """Every connection sends `size` bytes and reads them back; returns how many did."""
        poll = select.epoll()
        by_fd = {sock.fileno(): sock for sock in socks}
        want = bytes(block(seed, 0, size))
        left = {fd: size for fd in by_fd}
        for fd, sock in by_fd.items():
            sock.sendall(want)
            poll.register(fd, select.EPOLLIN)
        done, deadline = 0, time.monotonic() + 120
        while done < len(socks):
            self.assertLess(time.monotonic(), deadline, f"{done} of {len(socks)} were answered")
            for fd, _ in poll.poll(1):
                data = by_fd[fd].recv(left[fd])
                self.assertTrue(data, "end of file")
                at = size - left[fd]
                self.assertEqual(data, want[at:at + len(data)])
                left[fd] -= len(data)
                if left[fd] == 0:
                    poll.unregister(fd)
                    done += 1
        poll.close()

    def end(self, socks, server):
        for sock in socks:
            sock.shutdown(socket.SHUT_WR)
        for sock in socks:
            self.assertEqual(read_to_end(sock)[:2], ("fin", 0))
            sock.close()
        self.assertEqual(server.resets, 0)

    def test_many_connections_at_once(self):
        with EchoServer(self.b) as server:
            socks = self.open(server.port, AT_ONCE, threads=32)
            self.exchange(socks, 4096, 1)
            self.end(socks, server)

    def test_idle_connections_are_all_there_afterwards(self):
        with EchoServer(self.b) as server:
            socks = []
            while len(socks) < IDLE:
                more = self.open(server.port, 500)
                self.exchange(more, 16, 2)
                socks += more
            if not DIRECT:
                self.wait_for("the proxy lists them",
                              lambda: self.a.handfast("status")["connections"]["outbound"] == IDLE)
            self.exchange(socks, 16, 3)
            self.end(socks, server)


class Stalled(MeshCase):
    @classmethod
    def setUpClass(cls):
        """Small socket buffers: the kernel's own, 200 times six of them, would fill its memory for TCP (tcp_mem)."""
        super().setUpClass()
        for pod in (cls.a, cls.b):
            pod.sysctl("net.ipv4.tcp_rmem", "4096 131072 262144")
            pod.sysctl("net.ipv4.tcp_wmem", "4096 65536 262144")

    def latency(self, sock, times=300):
        """The median of small exchanges, in seconds."""
        samples = []
        for _ in range(times):
            began = time.perf_counter()
            sock.sendall(b"ping")
            sock.recv(4, socket.MSG_WAITALL)
            samples.append(time.perf_counter() - began)
        return statistics.median(samples)

    def memory(self):
        return 0 if DIRECT else self.a.proxy.memory() + self.b.proxy.memory()

    def test_readers_that_stop_cost_little_and_hold_up_nobody(self):
        size = 8 * MEBI
        with EchoServer(self.b) as server:
            unrelated = self.a.connect(self.b.ip4, server.port)
            self.latency(unrelated)
            before_s, before = self.latency(unrelated), self.memory()
            pairs = [pair(self.a, self.b, 120) for _ in range(STALLED)]
            senders = []
            threading.stack_size(256 << 10)
            for number, (client, peer) in enumerate(pairs):
                source = client if number % 2 else peer  # half of the readers are clients, half servers
                senders.append(Background(send_stream, source, size, number))
            quiet = self.settle()
            self.assertGreaterEqual(quiet, STALL_S * 0.9)
            more = self.memory() - before
            self.assertLess(self.latency(unrelated), before_s * 2 + 0.001)
            if not DIRECT:
                print(f"[{more / MEBI:.1f} MiB more in both proxies]", end=" ", flush=True)
            self.assertLess(more, STALLED_MEMORY)
            for number, (client, peer) in enumerate(pairs):
                sink = peer if number % 2 else client
                self.assertEqual(read_exactly(sink, size), stream_hash(size, number))
                senders[number].result()
            for client, peer in pairs:
                client.close()
                peer.close()
            unrelated.close()

    def settle(self):
        """The scenario itself: for STALL_S nobody reads."""
        began = time.monotonic()
        threading.Event().wait(STALL_S)
        return time.monotonic() - began


if __name__ == "__main__":
    resource.setrlimit(resource.RLIMIT_NOFILE, (resource.getrlimit(resource.RLIMIT_NOFILE)[1],) * 2)
    main()
