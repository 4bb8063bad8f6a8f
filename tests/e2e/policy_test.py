"""Who may talk to whom: permissive and strict, allow and deny, dry run, changes under live connections."""
import socket

from case import MeshCase, main
from peers import EchoServer, read_to_end

ROUND = b"round trip"


class Policy(MeshCase):
    pods = [{"name": "client"}, {"name": "batch", "namespace": "jobs"}, {"name": "web"}, {"name": "db"},
            {"name": "outside", "mesh": False, "proxy": False}]

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.servers = {pod: EchoServer(cls.mesh.pods[pod]) for pod in ("web", "db")}
        cls.second = EchoServer(cls.web)
        cls.all_servers = [*cls.servers.values(), cls.second]
        cls.all_servers += [EchoServer(s.pod, s.port, socket.AF_INET6) for s in cls.all_servers]
        cls.number = 0

    @classmethod
    def tearDownClass(cls):
        for server in cls.all_servers:
            server.close()
        super().tearDownClass()

    def setUp(self):
        self.apply([], [])

    def apply(self, policies, mtls=()):
        """Puts policies in force, under names that are new so that their arrival can be seen."""
        type(self).number += 1
        named = [{"name": f"p{self.number}-{n}", **policy} for n, policy in enumerate(policies)]
        self.mesh.apply(policies=named, mtls=mtls)
        return [policy["name"] for policy in named]

    def attempt(self, caller, server="web", port=None, family=socket.AF_INET):
        """What the caller's application sees: "answered", or "reset" when it got not a single byte."""
        host = self.mesh.pods[server].address(family)
        try:
            sock = self.mesh.pods[caller].connect(host, port or self.servers[server].port)
        except ConnectionResetError:  # it may be here before connect(2) returns
            return "reset"
        with sock:
            try:
                sock.sendall(ROUND)
                sock.shutdown(socket.SHUT_WR)
            except OSError:  # ECONNRESET, EPIPE, ENOTCONN: the reset was here first
                return "reset"
            end, got, _ = read_to_end(sock)
            return {("fin", len(ROUND)): "answered", ("reset", 0): "reset"}.get((end, got), f"{end} after {got} bytes")

    def assert_callers(self, server="web", port=None, **outcomes):
        """Each caller's attempt ends as said, over both families. What was answered for is polled: workers take a new
        configuration a moment after the proxy's main thread."""
        for caller, outcome in outcomes.items():
            for family in (socket.AF_INET, socket.AF_INET6):
                with self.subTest(caller=caller, server=server, family=family.name):
                    self.wait_for(f"{caller} -> {server}: {outcome}",
                                  lambda: self.attempt(caller, server, port, family) == outcome, 5)

    def denied(self, server="web", **fields):
        return self.mesh.pods[server].access_log(direction="inbound", result="conn_policy_denied", **fields)

    def rule(self, policies, mtls=(), **outcomes):
        names = self.apply(policies, mtls)
        self.assert_callers(**outcomes)
        return names

    def test_without_a_policy_everybody_may_even_in_plaintext(self):
        self.assert_callers(client="answered", batch="answered", outside="answered")
        plain = self.wait_for("the plaintext connection's line", lambda: self.web.access_log(
            direction="inbound", security="plaintext"))
        self.assertEqual(plain[-1]["source"].rpartition(":")[0] in (self.outside.ip4, f"[{self.outside.ip6}]"), True)
        self.assertNotIn("source_principal", plain[-1])

    def test_strict_refuses_plaintext_and_says_so(self):
        before = self.web.metric("handfast_connections_refused_total", reason="conn_policy_denied")
        self.apply([], [{"mode": "strict"}])
        self.assert_callers(client="answered", batch="answered", outside="reset")
        line = self.wait_for("the refusal's line", lambda: self.denied(security="plaintext"))[-1]
        self.assertIn("policy", line)
        self.assertTrue(self.outside.ip4 in line["error"] or self.outside.ip6 in line["error"], line)
        self.assertIn("proved no identity", line["error"])
        self.assertGreater(self.web.metric("handfast_connections_refused_total", reason="conn_policy_denied"), before)

    def test_strict_for_a_selector_or_a_port(self):
        self.apply([], [{"mode": "strict", "namespace": "shop", "selector": {"app": "web"}}])
        self.assert_callers(server="web", client="answered", outside="reset")
        self.assert_callers(server="db", client="answered", outside="answered")
        self.apply([], [{"mode": "strict", "namespace": "shop", "ports": [self.second.port]}])
        self.assert_callers(server="web", port=self.second.port, client="answered", outside="reset")
        self.assert_callers(server="web", client="answered", outside="answered")

    def test_an_allow_policy_lets_in_only_whom_it_names(self):
        principal = self.client.spiffe_id.removeprefix("spiffe://")
        for source in ({"principals": [principal]}, {"principals": ["demo.handfast/ns/shop/*"]},
                       {"principals": ["*/sa/client"]}, {"namespaces": ["shop"]},
                       {"service_accounts": ["shop/client"]},
                       {"ip_blocks": [self.client.ip4 + "/32", self.client.ip6 + "/128"]},
                       {"principals": ["*"], "not_namespaces": ["jobs"]}):
            with self.subTest(source=source):
                self.rule([{"namespace": "shop", "selector": {"app": "web"}, "action": "allow",
                            "rules": [{"from": [source]}]}], client="answered", batch="reset", outside="reset")
        self.assert_callers(server="db", batch="answered", outside="answered")

    def test_the_refusal_names_the_peer_and_the_policy(self):
        name, = self.rule([{"namespace": "shop", "action": "allow", "rules": [{"from": [{"namespaces": ["shop"]}]}]}],
                          batch="reset")
        line = self.wait_for("the line", lambda: self.denied(source_principal=self.batch.spiffe_id))[-1]
        self.assertIn(self.batch.spiffe_id, line["error"])
        self.assertEqual(line["destination_principal"], self.web.spiffe_id)
        self.assertTrue(name in line["error"] or name in line.get("policy", "") or "allow" in line["error"], line)

    def test_deny_beats_allow(self):
        everybody = {"namespace": "shop", "action": "allow", "rules": [{"from": [{"principals": ["*"]}]}]}
        jobs = {"namespace": "shop", "action": "deny", "rules": [{"from": [{"namespaces": ["jobs"]}]}]}
        self.rule([everybody, jobs], client="answered", batch="reset", outside="reset")

    def test_a_policy_for_the_whole_mesh(self):
        self.apply([{"action": "deny", "rules": [{"from": [{"service_accounts": ["jobs/batch"]}]}]}])
        for server in ("web", "db"):
            self.assert_callers(server=server, client="answered", batch="reset", outside="answered")

    def test_rules_about_ports(self):
        self.apply([{"namespace": "shop", "action": "deny",
                     "rules": [{"to": [{"ports": [self.second.port]}]}]}])
        self.assert_callers(port=self.second.port, client="reset", outside="reset")
        self.assert_callers(client="answered", outside="answered")

    def test_an_allow_policy_without_rules_lets_nobody_in(self):
        self.rule([{"namespace": "shop", "action": "allow", "rules": []}], client="reset", outside="reset")

    def test_a_dry_run_is_counted_and_denies_nobody(self):
        before = self.web.metric("handfast_policy_dry_run_denials_total")
        name, = self.apply([{"namespace": "shop", "action": "deny", "dry_run": True,
                             "rules": [{"from": [{"namespaces": ["jobs"]}]}]}])
        self.assert_callers(client="answered", batch="answered")
        self.wait_for("the dry run is counted", lambda: self.attempt("batch") == "answered" and self.web.metric(
            "handfast_policy_dry_run_denials_total", policy=f"shop/{name}") > 0, 10)
        self.assertGreater(self.web.metric("handfast_policy_dry_run_denials_total"), before)

    def test_a_new_policy_ends_what_it_forbids_and_nothing_else(self):
        def live(caller):
            sock = self.mesh.pods[caller].connect(self.web.ip4, self.servers["web"].port)
            self.addCleanup(sock.close)
            sock.sendall(ROUND)
            self.assertEqual(sock.recv(len(ROUND), socket.MSG_WAITALL), ROUND)
            return sock
        socks = {caller: live(caller) for caller in ("client", "batch", "outside")}
        self.apply([{"namespace": "shop", "action": "deny", "rules": [{"from": [{"namespaces": ["jobs"]}]}]}])
        self.assertEqual(read_to_end(socks["batch"])[0], "reset")
        for caller in ("client", "outside"):
            socks[caller].sendall(ROUND)
            self.assertEqual(socks[caller].recv(len(ROUND), socket.MSG_WAITALL), ROUND)


if __name__ == "__main__":
    main()
