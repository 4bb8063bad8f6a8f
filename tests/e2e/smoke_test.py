"""The test bed itself: pods reach each other, everything is removed again."""
import socket

from case import DIRECT, MeshCase, main


class Smoke(MeshCase):
    def test_pods_reach_each_other_over_both_families(self):
        for family in (socket.AF_INET, socket.AF_INET6):
            with self.b.listen(family=family) as server:
                port, host = server.getsockname()[1], self.b.address(family)
                with self.a.connect(host, port) as client:
                    peer, _ = server.accept()
                    with peer:
                        client.sendall(b"ping")
                        self.assertEqual(peer.recv(10), b"ping")
                if not DIRECT:  # and what the other tests rest on: the bytes went through both proxies
                    for pod, direction in ((self.a, "outbound"), (self.b, "inbound")):
                        entry = self.wait_for(f"the {direction} line", lambda: pod.access_log(
                            direction=direction, destination=f"[{host}]:{port}" if ":" in host else f"{host}:{port}"))
                        self.assertEqual(entry[-1]["security"], "mutual_tls")


if __name__ == "__main__":
    main()
