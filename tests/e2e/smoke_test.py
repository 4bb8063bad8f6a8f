"""The test bed itself: pods reach each other, everything is removed again."""
import socket

from case import MeshCase, main


class Smoke(MeshCase):
    def test_pods_reach_each_other_over_both_families(self):
        for family in (socket.AF_INET, socket.AF_INET6):
            with self.b.listen(family=family) as server:
                with self.a.connect(self.b.address(family), server.getsockname()[1]) as client:
                    peer, _ = server.accept()
                    with peer:
                        client.sendall(b"ping")
                        self.assertEqual(peer.recv(10), b"ping")


if __name__ == "__main__":
    main()
