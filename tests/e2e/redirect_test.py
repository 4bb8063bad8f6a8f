"""handfast-redirect in real network namespaces: what is captured, what is left alone, what verify notices.

There is no proxy here: the test itself listens on 15001 and 15006 and asks the kernel where a connection was going.

    peer --- node --- pod --- inner        pod and peer also share a wire of their own, net1
"""
import json
import os
import re
import socket
import struct
import subprocess
import unittest

import netns
from case import main
from mesh import BIN
from netns import Namespace, Router, ip
from process import wait_for

REDIRECT = os.path.join(BIN, "handfast-redirect")
OUTBOUND, INBOUND, METRICS, HEALTH = 15001, 15006, 15020, 15021
FAMILIES = (socket.AF_INET, socket.AF_INET6)
NOWHERE = {socket.AF_INET: "192.0.2.7", socket.AF_INET6: "2001:db8::7"}
CONNECT = """
import socket, sys
try:
    s = socket.create_connection((sys.argv[1], int(sys.argv[2])), 5)
    print("connected", s.recv(100).decode())
except OSError as e:
    print(type(e).__name__)
"""


def any_address(family):
    return "0.0.0.0" if family == socket.AF_INET else "::"


def loopback(family):
    return "127.0.0.1" if family == socket.AF_INET else "::1"


def listen(ns, family, port=0, host=None):
    sock = ns.socket(family)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        sock.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    sock.bind((host or any_address(family), port))
    sock.listen(16)
    sock.settimeout(5)
    return sock


def original_destination(sock):
    if sock.family == socket.AF_INET:
        data = sock.getsockopt(socket.SOL_IP, 80, 16)
        return socket.inet_ntop(socket.AF_INET, data[4:8]), struct.unpack("!H", data[2:4])[0]
    data = sock.getsockopt(socket.IPPROTO_IPV6, 80, 28)
    return socket.inet_ntop(socket.AF_INET6, data[8:24]), struct.unpack("!H", data[2:4])[0]


class RedirectCase(unittest.TestCase):
    wait_for = staticmethod(wait_for)

    @classmethod
    def setUpClass(cls):
        netns.remove_stale()
        prefix = netns.new_prefix()
        cls.node = Router(prefix)
        cls.pod, cls.peer, cls.inner = (Namespace(prefix, role) for role in ("pod", "peer", "inner"))
        cls.address = {}
        for number, ns in ((1, cls.pod), (2, cls.peer)):
            addresses = cls.node.attach(ns, number)
            for family, text in zip(FAMILIES, addresses):
                cls.address[ns, family] = text
        cls._wire(cls.pod, cls.peer, "net1", "10.78.1", "fd78:1:")
        cls._wire(cls.pod, cls.inner, "net2", "10.78.2", "fd78:2:")
        for family, prefix_text in zip(FAMILIES, ("10.78.2.0/24", "fd78:2::/64")):
            ip("route", "add", prefix_text, "via", cls.address[cls.pod, family], ns=cls.node)
        ip("route", "add", "default", "via", "10.78.2.1", ns=cls.inner)
        ip("-6", "route", "add", "default", "via", "fd78:2::1", ns=cls.inner)
        cls.pod.sysctl("net.ipv4.ip_forward", 1)
        cls.pod.sysctl("net.ipv6.conf.all.forwarding", 1)

    @classmethod
    def _wire(cls, near, far, device, v4, v6):
        ip("link", "add", device, "type", "veth", "peer", "name", device, "netns", far.name, ns=near)
        for ns, host in ((near, 1), (far, 2)):
            ip("addr", "add", f"{v4}.{host}/24", "dev", device, ns=ns)
            ip("addr", "add", f"{v6}:{host}/64", "dev", device, "nodad", ns=ns)
            ip("link", "set", device, "up", ns=ns)

    @classmethod
    def tearDownClass(cls):
        for ns in (cls.inner, cls.peer, cls.pod, cls.node):
            ns.remove()

    def setUp(self):
        self.redirect("remove")

    def redirect(self, verb, *args, status=0, wrap=()):
        """Runs it in the pod; (stdout, stderr)."""
        with self.pod.entered():
            done = subprocess.run([*wrap, REDIRECT, verb, *args], capture_output=True, text=True)
        self.assertEqual(done.returncode, status, f"{verb} {args}: {done.stdout}{done.stderr}")
        self.assertNotIn("Sanitizer", done.stderr)
        return done.stdout, done.stderr

    def rules(self):
        return self.pod.run(["nft", "-s", "list", "ruleset"])

    def counted(self, chain, comment):
        """The packets that a rule has counted."""
        text = self.pod.run(["nft", "list", "chain", "inet", "handfast", chain])
        return int(re.search(rf'counter packets (\d+) bytes \d+ \w+.*comment "{comment}"', text)[1])

    def connect(self, ns, host, port, timeout=5, source_port=0):
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        sock = ns.socket(family)
        self.addCleanup(sock.close)
        sock.settimeout(timeout)
        if source_port:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind((any_address(family), source_port))
        sock.connect((host, port))
        return sock

    def accepted(self, listener):
        sock, _ = listener.accept()
        sock.settimeout(5)
        self.addCleanup(sock.close)
        return sock

    def captured(self, ns, host, port, at):
        """Asserts that a connection from `ns` to host:port arrives in the pod at port `at`, and is known there as one
        to host:port."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with listen(self.pod, family, at) as proxy:
            client = self.connect(ns, host, port)
            server = self.accepted(proxy)
            self.assertEqual(server.getpeername()[:2], client.getsockname()[:2])
            self.assertEqual(original_destination(server), (host.partition("%")[0], port))

    def untouched(self, ns, to, host, port=0):
        """Asserts that a connection from `ns` reaches a server in `to` at host:port itself, with listeners at the
        proxy's ports standing by."""
        family = socket.AF_INET6 if ":" in host else socket.AF_INET
        with listen(self.pod, family, OUTBOUND), listen(self.pod, family, INBOUND), listen(to, family, port) as server:
            port = server.getsockname()[1]
            client = self.connect(ns, host, port)
            peer = self.accepted(server)
            self.assertEqual(peer.getpeername()[:2], client.getsockname()[:2])
            client.sendall(b"ping")
            self.assertEqual(peer.recv(10), b"ping")


class Capture(RedirectCase):
    def test_outbound_connections_are_captured_with_their_destination(self):
        self.redirect("apply")
        for family in FAMILIES:
            self.captured(self.pod, NOWHERE[family], 8080, OUTBOUND)
            self.captured(self.pod, self.address[self.peer, family], 80, OUTBOUND)

    def test_inbound_connections_are_captured_with_their_destination(self):
        self.redirect("apply")
        for family in FAMILIES:
            self.captured(self.peer, self.address[self.pod, family], 8080, INBOUND)

    def test_other_ports_and_another_uid_can_be_chosen(self):
        self.redirect("apply", "--outbound-port=4001", "--inbound-port=4006", "--proxy-uid=4444")
        for family in FAMILIES:
            self.captured(self.pod, NOWHERE[family], 15020 + 5, 4001)
            self.captured(self.peer, self.address[self.pod, family], 15001, 4006)
        self.proxy_user_is_left_alone(4444)

    def test_the_listeners_are_reached_through_the_redirect_only(self):
        """From outside both ports lead to the inbound listener, which sees its own ports as the destination."""
        self.redirect("apply")
        for family in FAMILIES:
            for port in (OUTBOUND, INBOUND):
                self.captured(self.peer, self.address[self.pod, family], port, INBOUND)
                self.captured(self.pod, self.address[self.peer, family], port, OUTBOUND)
            for port in (OUTBOUND, INBOUND):  # over loopback nothing was redirected, and the kernel says so
                with listen(self.pod, family, port) as proxy:
                    self.connect(self.pod, loopback(family), port)
                    self.assertEqual(original_destination(self.accepted(proxy)), (loopback(family), port))

    def test_without_a_proxy_connections_are_refused_not_let_through(self):
        self.redirect("apply")
        for family in FAMILIES:
            with listen(self.pod, family) as server, listen(self.peer, family) as other:
                with self.assertRaises(ConnectionRefusedError):
                    self.connect(self.peer, self.address[self.pod, family], server.getsockname()[1])
                with self.assertRaises(ConnectionRefusedError):
                    self.connect(self.pod, self.address[self.peer, family], other.getsockname()[1])

    def test_a_link_local_address_of_the_pod_is_no_way_past_the_policy(self):
        self.redirect("apply")
        link_local = self.link_local(self.pod, "net1")
        scope = self.index(self.peer, "net1")
        with listen(self.pod, socket.AF_INET6, INBOUND) as proxy:
            sock = self.peer.socket(socket.AF_INET6)
            self.addCleanup(sock.close)
            sock.settimeout(5)
            sock.connect((link_local, 8080, 0, scope))
            self.assertEqual(original_destination(self.accepted(proxy)), (link_local, 8080))

    @staticmethod
    def link_local(ns, device):
        found = json.loads(ip("-j", "-6", "addr", "show", "dev", device, "scope", "link", ns=ns))
        return next(a["local"] for a in found[0]["addr_info"] if "local" in a)

    @staticmethod
    def index(ns, device):
        return json.loads(ip("-j", "link", "show", "dev", device, ns=ns))[0]["ifindex"]

    def proxy_user_is_left_alone(self, number):
        for family in FAMILIES:
            for who in (["--reuid", str(number)], ["--regid", str(number)]):
                with listen(self.peer, family) as server, self.pod.entered():
                    child = subprocess.Popen(
                        ["setpriv", *who, "--clear-groups", "/usr/bin/python3", "-c", CONNECT,
                         self.address[self.peer, family], str(server.getsockname()[1])],
                        stdout=subprocess.PIPE, text=True)
                    with server.accept()[0] as sock:
                        sock.sendall(b"untouched")
                    self.assertEqual(child.communicate()[0].strip(), "connected untouched", who)

    # --- what is left alone --------------------------------------------------------------------------------------
    def test_the_proxys_own_connections_are_left_alone(self):
        self.redirect("apply")
        self.proxy_user_is_left_alone(1337)

    def test_loopback_and_the_pods_own_addresses_are_left_alone(self):
        self.redirect("apply")
        for family in FAMILIES:
            self.untouched(self.pod, self.pod, loopback(family))
            self.untouched(self.pod, self.pod, self.address[self.pod, family])

    def test_metrics_and_health_are_left_alone_in_and_out(self):
        self.redirect("apply")
        for family in FAMILIES:
            for port in (METRICS, HEALTH):
                self.untouched(self.peer, self.pod, self.address[self.pod, family], port)
                self.untouched(self.pod, self.peer, self.address[self.peer, family], port)

    def test_excluded_inbound_ports_are_left_alone(self):
        self.redirect("apply", "--exclude-inbound-ports", "8022,9000")
        for family in FAMILIES:
            here = self.address[self.pod, family]
            self.untouched(self.peer, self.pod, here, 9000)
            self.captured(self.peer, here, 9001, INBOUND)
            self.captured(self.pod, NOWHERE[family], 9000, OUTBOUND)

    def test_excluded_outbound_ports_are_left_alone(self):
        self.redirect("apply", "--exclude-outbound-ports", "9000")
        for family in FAMILIES:
            there = self.address[self.peer, family]
            self.untouched(self.pod, self.peer, there, 9000)
            self.captured(self.pod, there, 9001, OUTBOUND)
            self.captured(self.peer, self.address[self.pod, family], 9000, INBOUND)

    def test_excluded_outbound_ranges_are_left_alone(self):
        self.redirect("apply", "--exclude-outbound-cidrs", "10.77.2.0/24,fd77:2::/64")
        for family in FAMILIES:
            self.untouched(self.pod, self.peer, self.address[self.peer, family])
            self.captured(self.pod, NOWHERE[family], 80, OUTBOUND)

    def test_everything_outbound_can_be_excluded(self):
        self.redirect("apply", "--exclude-outbound-cidrs", "0.0.0.0/0,::/0")
        for family in FAMILIES:
            self.untouched(self.pod, self.peer, self.address[self.peer, family])
        out, _ = self.redirect("verify", "--exclude-outbound-cidrs", "0.0.0.0/0,::/0")
        self.assertIn("the options leave every address alone", out)

    def test_excluded_interfaces_are_left_alone(self):
        self.redirect("apply", "--exclude-interfaces", "net1")
        for there, here in (("10.78.1.2", "10.78.1.1"), ("fd78:1::2", "fd78:1::1")):
            self.untouched(self.pod, self.peer, there)
            self.untouched(self.peer, self.pod, here)
        for family in FAMILIES:
            self.captured(self.pod, NOWHERE[family], 80, OUTBOUND)
            self.captured(self.peer, self.address[self.pod, family], 80, INBOUND)

    def test_only_included_ports_and_ranges_are_captured(self):
        self.redirect("apply", "--include-inbound-ports=80", "--include-outbound-cidrs=192.0.2.0/24")
        for family in FAMILIES:
            here = self.address[self.pod, family]
            self.captured(self.peer, here, 80, INBOUND)
            self.captured(self.peer, here, OUTBOUND, INBOUND)
            self.untouched(self.peer, self.pod, here, 81)
            self.untouched(self.pod, self.peer, self.address[self.peer, family])
        self.captured(self.pod, "192.0.2.7", 80, OUTBOUND)

    def test_included_outbound_ports_are_captured_wherever_they_go(self):
        options = ("--include-outbound-cidrs=192.0.2.0/24", "--include-outbound-ports=80,443")
        self.redirect("apply", *options)
        for family in FAMILIES:
            self.untouched(self.pod, self.peer, self.address[self.peer, family], 81)
            self.captured(self.pod, self.address[self.peer, family], 443, OUTBOUND)
        self.captured(self.pod, "192.0.2.7", 81, OUTBOUND)
        self.redirect("verify", *options)

    def test_link_local_destinations_are_left_alone(self):
        self.redirect("apply")
        there = self.link_local(self.peer, "net1")
        with listen(self.peer, socket.AF_INET6) as server:
            sock = self.pod.socket(socket.AF_INET6)
            self.addCleanup(sock.close)
            sock.connect((there, server.getsockname()[1], 0, self.index(self.pod, "net1")))
            self.accepted(server)
        ip("addr", "add", "169.254.9.9/32", "dev", "net1", ns=self.peer)
        ip("route", "add", "169.254.9.9", "dev", "net1", ns=self.pod)
        self.untouched(self.pod, self.peer, "169.254.9.9")

    def test_forwarded_connections_are_left_alone(self):
        self.redirect("apply")
        for host in ("10.78.2.2", "fd78:2::2"):
            self.untouched(self.peer, self.inner, host)
        for family in FAMILIES:
            self.untouched(self.inner, self.peer, self.address[self.peer, family])

    def test_udp_is_left_alone(self):
        self.redirect("apply")
        for family in FAMILIES:
            for source, target in ((self.pod, self.peer), (self.peer, self.pod)):
                with source.socket(family, socket.SOCK_DGRAM) as a, target.socket(family, socket.SOCK_DGRAM) as b:
                    b.bind((any_address(family), 0))
                    b.settimeout(5)
                    a.settimeout(5)
                    a.connect((self.address[target, family], b.getsockname()[1]))
                    a.send(b"ping")
                    data, sender = b.recvfrom(10)
                    b.sendto(data, sender)
                    self.assertEqual(a.recv(10), b"ping")

    def test_icmp_is_left_alone(self):
        self.redirect("apply")
        for source, target in ((self.pod, self.peer), (self.peer, self.pod)):
            with source.entered(), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP) as sock:
                sock.settimeout(5)
                sock.sendto(struct.pack("!BBHHH", 8, 0, 0xf7ff - 77, 77, 0), (self.address[target, socket.AF_INET], 0))
                while True:
                    packet = sock.recv(200)
                    if packet[20] == 0 and packet[24:26] == struct.pack("!H", 77):
                        break
            with source.entered(), socket.socket(socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6) as sock:
                sock.settimeout(5)
                sock.sendto(struct.pack("!BBHHH", 128, 0, 0, 77, 0), (self.address[target, socket.AF_INET6], 0))
                while True:
                    packet = sock.recv(200)
                    if packet[0] == 129 and packet[4:6] == struct.pack("!H", 77):
                        break


class Conntrack(RedirectCase):
    """Connections that are older than the rules, and packets that pretend to be."""

    def test_connections_older_than_the_rules_go_on(self):
        pairs = []
        for family in FAMILIES:
            for source, target in ((self.pod, self.peer), (self.peer, self.pod)):
                with listen(target, family) as server:
                    client = self.connect(source, self.address[target, family], server.getsockname()[1])
                    pairs.append((client, self.accepted(server)))
        self.redirect("apply")
        for client, server in pairs:
            for one, other in ((server, client), (client, server)):
                one.sendall(b"still here")
                self.assertEqual(other.recv(20), b"still here")

    def test_captured_connections_outlive_a_change_of_the_rules(self):
        self.redirect("apply")
        with listen(self.pod, socket.AF_INET, INBOUND) as proxy:
            client = self.connect(self.peer, self.address[self.pod, socket.AF_INET], 8080)
            server = self.accepted(proxy)
        self.redirect("apply", "--exclude-inbound-ports=8080")
        client.sendall(b"still here")
        self.assertEqual(server.recv(20), b"still here")
        server.sendall(b"so am I")
        self.assertEqual(client.recv(20), b"so am I")

    def test_removing_the_last_rule_that_translates_cuts_captured_connections(self):
        self.redirect("apply")
        with listen(self.pod, socket.AF_INET, INBOUND) as proxy:
            client = self.connect(self.peer, self.address[self.pod, socket.AF_INET], 8080)
            self.accepted(proxy)
        self.redirect("remove")
        client.sendall(b"still here")
        with self.assertRaises(ConnectionResetError):
            client.recv(20)

    def test_an_ack_first_opens_no_way_past_the_proxy(self):
        """Conntrack takes the ACK for an old connection and does not redirect what follows on the same ports. An MD5
        option makes the pod's TCP drop it without the reset that would end conntrack's entry."""
        self.redirect("apply")
        here, there = (self.address[ns, socket.AF_INET] for ns in (self.pod, self.peer))
        with listen(self.pod, socket.AF_INET, INBOUND), listen(self.pod, socket.AF_INET, 8080) as app:
            app.setblocking(False)
            for source_port in (40001, 40002, 40003):
                self.send_ack(there, source_port, here, 8080)
                self.wait_for("the ACK is in the pod", lambda: self.counted(
                    "prerouting", "connection older than the rules") == source_port - 40000)
                try:
                    self.connect(self.peer, here, 8080, 1.5, source_port)
                except OSError:
                    pass  # refused and silence are both fine
                with self.assertRaises(BlockingIOError):
                    app.accept()
        self.assertGreater(self.counted("input", "slipped past the redirect"), 0)

    def send_ack(self, source, source_port, target, port):
        segment = struct.pack("!HHIIBBHHH", source_port, port, 1000, 2000, 10 << 4, 0x10, 1024, 0, 0)
        segment += bytes([19, 18]) + bytes(16) + bytes([1, 1])
        pseudo = socket.inet_aton(source) + socket.inet_aton(target) + struct.pack("!BBH", 0, 6, len(segment))
        total = sum(struct.unpack(f"!{len(pseudo + segment) // 2}H", pseudo + segment))
        while total >> 16:
            total = (total & 0xffff) + (total >> 16)
        segment = segment[:16] + struct.pack("!H", ~total & 0xffff) + segment[18:]
        with self.peer.entered(), socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_TCP) as sock:
            sock.sendto(segment, (target, 0))


class Verbs(RedirectCase):
    def checks(self, *args, status=0, wrap=()):
        """verify's checks by name: (result, text)."""
        out, _ = self.redirect("verify", "--json", *args, status=status, wrap=wrap)
        report = json.loads(out)
        self.assertEqual(report["ok"], status == 0)
        self.report = report
        return {check["name"]: (check["result"], check["text"]) for check in report["checks"]}

    ALL = ("rules", "outbound_ipv4", "outbound_ipv6", "inbound_ipv4", "inbound_ipv6")

    def test_apply_twice_gives_the_same_rules(self):
        self.redirect("apply", "--exclude-inbound-ports=22")
        once = self.rules()
        self.redirect("apply", "--exclude-inbound-ports=22")
        self.assertEqual(self.rules(), once)
        self.redirect("apply")
        self.assertNotEqual(self.rules(), once)
        self.assertNotIn("excluded", self.rules())

    def test_remove_takes_its_own_table_only_and_may_be_repeated(self):
        self.pod.nft("table inet somebody { chain c { accept; }; }")
        try:
            before = self.rules()
            self.redirect("apply")
            self.redirect("verify")
            self.redirect("remove")
            self.assertEqual(self.rules(), before)
            self.redirect("remove")
            self.assertEqual(self.rules(), before)
        finally:
            self.pod.nft("delete table inet somebody")

    def test_verify_proves_every_direction_and_leaves_nothing_behind(self):
        self.redirect("apply")
        before = self.rules(), ip("link", ns=self.pod), ip("addr", ns=self.pod)
        checks = self.checks()
        for name in self.ALL:
            self.assertEqual(checks[name][0], "proven", checks[name])
        self.assertIn("with its original destination", checks["inbound_ipv6"][1])
        self.assertEqual((self.rules(), ip("link", ns=self.pod), ip("addr", ns=self.pod)), before)
        self.assertEqual({c["chain"] for c in self.report["counters"]}, {"prerouting", "input", "output"})
        out, _ = self.redirect("verify")
        self.assertEqual(len(re.findall(r"^proven", out, re.M)), 5)
        self.assertIn("packets: captured inbound", out)

    def test_verify_proves_capture_while_the_proxy_runs(self):
        self.redirect("apply")
        sockets = [listen(self.pod, family, port) for family in FAMILIES for port in (OUTBOUND, INBOUND)]
        try:
            checks = self.checks()
        finally:
            for sock in sockets:
                sock.close()
        for name in self.ALL:
            self.assertEqual(checks[name][0], "proven", checks[name])
        self.assertIn("port 15001 is in use", checks["outbound_ipv4"][1])
        self.assertIn("where nobody listens", checks["inbound_ipv4"][1])

    def test_verify_without_apply_says_so(self):
        out, err = self.redirect("verify", status=1)
        self.assertIn("apply was not run here", out)
        self.assertIn("[nft_differs]", err)

    def test_verify_with_other_options_says_what_differs(self):
        self.redirect("apply", "--exclude-inbound-ports=22")
        self.checks("--exclude-inbound-ports=23", status=1)
        lines = "\n".join(self.report["differences"])
        self.assertIn("chain prerouting lacks: tcp dport 23", lines)
        self.assertIn("chain prerouting has besides: tcp dport 22", lines)
        self.assertIn("chain input lacks: tcp dport 23", lines)
        self.assertEqual(len(self.report["differences"]), 4)

    def test_verify_accepts_the_same_options_in_another_spelling(self):
        self.redirect("apply", "--exclude-inbound-ports=22,8080", "--exclude-outbound-cidrs=10.9.0.0/16,fd09::/16,10.9.9.9",
                      "--exclude-interfaces=net1,net2")
        self.redirect("verify", "--exclude-inbound-ports=8080, 22 ,22", "--exclude-outbound-cidrs=fd09::7/16,10.9.1.1/16",
                      "--exclude-interfaces=net2", "--exclude-interfaces=net1")

    def test_verify_notices_every_change_by_hand(self):
        table = "inet handfast"
        changes = {
            "chain output has besides: tcp dport 5432 accept": [f"insert rule {table} output tcp dport 5432 accept"],
            "chain output lacks: meta skuid 1337": ["delete first skuid"],
            "chain input lacks: meta l4proto tcp counter": ["delete first slipped"],
            "chain output: rule": ["move first to last"],
            "chain mine is not ours": [f"add chain {table} mine"],
            "the table has 1 sets": [f"add set {table} s {{ type ipv4_addr; }}"],
            "chain input is missing": [f"flush chain {table} input", f"delete chain {table} input"],
            "the table has the flag dormant": [f"add table {table} {{ flags dormant; }}"],
        }
        for expected, scripts in changes.items():
            with self.subTest(expected):
                self.redirect("apply")
                for script in scripts:
                    self.change(script)
                self.redirect("verify", "--json", status=1)
                self.checks(status=1)
                self.assertIn(expected, "\n".join(self.report["differences"]))
                self.redirect("apply")
                self.redirect("verify")

    def change(self, script):
        table = "inet handfast"
        listing = self.pod.run(["nft", "-a", "list", "table", *table.split()])
        if script.startswith("delete first"):
            chain = "input" if "slipped" in script else "output"
            handle = re.search(rf"{script.split()[-1]}.*# handle (\d+)", listing)[1]
            script = f"delete rule {table} {chain} handle {handle}"
        elif script.startswith("move"):
            rule, handle = re.search(r"(meta skuid .*comment.*) # handle (\d+)", listing).groups()
            rule = re.sub(r"packets \d+ bytes \d+ ", "", rule)
            script = f"delete rule {table} output handle {handle}\nadd rule {table} output {rule}"
        self.pod.nft(script)

    def test_verify_notices_when_the_right_rules_do_not_capture(self):
        self.redirect("apply")
        self.pod.nft("table inet somebody { chain o { type nat hook output priority -150;"
                     " meta nfproto ipv4 meta l4proto tcp redirect to :9; };"
                     " chain i { type filter hook input priority -10;"
                     " iifname != lo meta nfproto ipv6 meta l4proto tcp reject with tcp reset; }; }")
        try:
            checks = self.checks(status=1)
        finally:
            self.pod.nft("delete table inet somebody")
        self.assertEqual({name: result for name, (result, _) in checks.items()},
                         {"rules": "proven", "outbound_ipv4": "failed", "outbound_ipv6": "proven",
                          "inbound_ipv4": "proven", "inbound_ipv6": "failed"})
        self.assertIn("was not captured: it was refused", checks["outbound_ipv4"][1])

    def test_verify_does_not_blame_a_pod_without_a_route(self):
        self.redirect("apply")
        ip("-6", "route", "del", "default", ns=self.pod)
        try:
            checks = self.checks()
        finally:
            ip("-6", "route", "add", "default", "via", "fd77:1::1", ns=self.pod)
        self.assertEqual(checks["outbound_ipv6"][0], "not tried")
        self.assertIn("no route", checks["outbound_ipv6"][1])

    def test_verify_does_not_blame_a_pod_without_ipv6(self):
        self.redirect("apply")
        self.pod.sysctl("net.ipv6.conf.default.disable_ipv6", 1)
        try:
            checks = self.checks()
        finally:
            self.pod.sysctl("net.ipv6.conf.default.disable_ipv6", 0)
        self.assertEqual(checks["inbound_ipv6"], ("not tried", "IPv6 is switched off in this network namespace"))
        self.assertEqual(checks["inbound_ipv4"][0], "proven")

    def test_verify_says_when_it_runs_as_the_proxy(self):
        self.redirect("apply", "--proxy-uid=4444")
        checks = self.checks("--proxy-uid=4444", wrap=("setpriv", "--regid", "4444", "--clear-groups"))
        self.assertEqual(checks["outbound"][0], "not tried")
        self.assertEqual(checks["inbound_ipv4"][0], "proven")

    def test_net_admin_alone_is_enough(self):
        wrap = ("setpriv", "--bounding-set", "-all,+net_admin", "--inh-caps", "-all,+net_admin")
        self.redirect("apply", wrap=wrap)
        checks = self.checks(wrap=wrap)
        self.assertEqual(checks["rules"][0], "proven")
        self.assertEqual(checks["outbound_ipv6"][0], "proven")
        if "inbound" in checks:  # this kernel allows no user namespaces
            self.assertIn("CAP_SYS_ADMIN or user namespaces", checks["inbound"][1])
        else:
            self.assertEqual(checks["inbound_ipv4"][0], "proven")

    def test_without_net_admin_there_is_one_sentence_with_the_fix(self):
        for verb in ("apply", "verify", "remove"):
            for wrap in (("setpriv", "--bounding-set", "-net_admin", "--inh-caps", "-net_admin"),
                         ("setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups")):
                out, err = self.redirect(verb, status=1, wrap=wrap)
                self.assertEqual(out, "")
                self.assertRegex(err, r"\Ahandfast-redirect \w+: cannot .* lacks the capability CAP_NET_ADMIN; run it"
                                      r" as root, or add NET_ADMIN .* \[permission\]\n\Z")

    def test_a_capability_in_the_wrong_user_namespace_is_told_apart(self):
        _, err = self.redirect("apply", status=1, wrap=("unshare", "--user", "--map-root-user"))
        self.assertIn("the user namespace that owns the network namespace", err)
        self.assertEqual(err.count("\n"), 1)

    def test_nonsense_is_refused_and_changes_nothing(self):
        self.redirect("apply")
        before = self.rules()
        for args in (["--exclude-inbound-ports", "http"], ["--exclude-outbound-cidrs", "10.0.0.0/33"],
                     ["--exclude-interfaces", "a\"b"], ["--proxy-uid", "0"], ["--inbound-port", "15001"],
                     ["--inbound-port", "0"], ["--exclude-inbound-ports", "15006"], ["--unknown"], ["stray"],
                     ["--exclude-inbound-ports"], ["--json"]):
            _, err = self.redirect("apply", *args, status=2)
            self.assertRegex(err, r"\Ahandfast-redirect apply: .+ \[usage\]\n\Z")
        self.assertEqual(self.rules(), before)
        self.redirect("install", status=2)

    def test_the_help_names_every_verb_and_option(self):
        out, _ = self.redirect("--help")
        for word in ("apply", "verify", "remove", "--outbound-port", "--inbound-port", "--proxy-uid", "--json",
                     "--exclude-inbound-ports", "--exclude-outbound-ports", "--exclude-outbound-cidrs",
                     "--exclude-interfaces", "default 15006"):
            self.assertIn(word, out)


if __name__ == "__main__":
    main()
