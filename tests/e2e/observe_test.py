"""What an operator sees of one connection of known size: its access line in both formats, its metrics with every label."""
import re
import socket

from case import MeshCase, main
from peers import read_exactly, read_to_end, send_stream

SENT, RECEIVED = 300_000, 70_000
# The labels that Istio's dashboards select by; nothing more and nothing less.
LABELS = {
    "reporter", "source_workload", "source_canonical_service", "source_canonical_revision", "source_workload_namespace",
    "source_principal", "source_app", "source_version", "source_cluster", "destination_service",
    "destination_service_namespace", "destination_service_name", "destination_workload", "destination_canonical_service",
    "destination_canonical_revision", "destination_workload_namespace", "destination_principal", "destination_app",
    "destination_version", "destination_cluster", "request_protocol", "response_flags", "connection_security_policy",
}
FAMILIES = {
    "istio_tcp_connections_opened_total", "istio_tcp_connections_closed_total", "istio_tcp_sent_bytes_total",
    "istio_tcp_received_bytes_total", "handfast_certificate_expiry_timestamp_seconds", "handfast_certificate_seconds_left",
    "handfast_clock_skew_seconds", "handfast_control_connected", "handfast_xds_ready", "handfast_xds_responses_total",
    "handfast_xds_nacks_total", "handfast_trust_bundle_generation", "process_open_fds", "process_max_fds",
    "process_resident_memory_bytes", "process_cpu_seconds_total",
}


class Observe(MeshCase):
    pods = [{"name": "a", "labels": {"app": "shopfront", "version": "v7"}}, {"name": "b", "labels": {"app": "till"}}]
    services = [{"name": "till", "namespace": "shop", "addresses": ["10.96.0.77"], "ports": [{"port": 80, "target_port": 7070}],
                 "selector": {"app": "till"}},
                {"name": "nobody", "namespace": "shop", "addresses": ["10.96.0.78"], "ports": [{"port": 80}],
                 "selector": {"app": "nobody"}}]

    def talk(self):
        """One connection to the service: SENT bytes there, RECEIVED bytes back, a clean end."""
        with self.b.listen(7070) as listener, self.a.connect("10.96.0.77", 80) as client:
            server, _ = listener.accept()
            with server:
                send_stream(client, SENT, 1)
                read_exactly(server, SENT)
                send_stream(server, RECEIVED, 2)
                read_exactly(client, RECEIVED)
                client.shutdown(socket.SHUT_WR)
                self.assertEqual(read_to_end(server)[:2], ("fin", 0))
            self.assertEqual(read_to_end(client)[:2], ("fin", 0))

    def test_the_access_line(self):
        self.talk()
        for pod, direction, ways in ((self.a, "outbound", (SENT, RECEIVED)), (self.b, "inbound", (RECEIVED, SENT))):
            line = self.wait_for(f"the {direction} line", lambda: pod.access_log(direction=direction, result="ok"))[-1]
            # Bytes are the application's: sent is what this pod's application sent.
            self.assertEqual((line["bytes_sent"], line["bytes_received"]), ways)
            self.assertEqual(line["destination"], f"{self.b.ip4}:7070")
            self.assertEqual(line["source_principal"], self.a.spiffe_id)
            self.assertEqual(line["destination_principal"], self.b.spiffe_id)
            self.assertEqual(line["security"], "mutual_tls")
            self.assertTrue(0 <= line["duration_ms"] < 30000, line)
            if direction == "outbound":
                self.assertEqual(line["original_destination"], "10.96.0.77:80")

    def test_the_access_line_as_text(self):
        self.a.restart_proxy(access_log="text")
        try:
            self.talk()
            line = self.wait_for("the line", lambda: re.search(r".*direction=outbound.*", self.a.proxy.out()))[0]
        finally:
            self.a.restart_proxy()
        self.assertRegex(line, rf"\bbytes_sent={SENT}\b")
        self.assertRegex(line, rf"\bbytes_received={RECEIVED}\b")
        self.assertRegex(line, r"\bduration_ms=\d+\b")
        self.assertIn(f"destination_principal={self.b.spiffe_id}", line)
        self.assertIn("original_destination=10.96.0.77:80", line)
        self.assertIn("result=ok", line)

    @staticmethod
    def total(samples, reporter, name):
        return sum(value for family, labels, value in samples if family == f"istio_tcp_{name}_total"
                   and labels["reporter"] == reporter and labels["destination_workload"] == "b")

    def settled(self, pod, reporter):
        """The samples of one moment at which every connection to b that was opened has ended."""
        samples = pod.metrics()
        opened, closed = (self.total(samples, reporter, f"connections_{what}") for what in ("opened", "closed"))
        return samples if opened == closed >= 1 else None

    def test_the_metrics(self):
        self.talk()
        for pod, reporter in ((self.a, "source"), (self.b, "destination")):
            samples = self.wait_for("all connections are counted as closed", lambda: self.settled(pod, reporter))
            self.assertLessEqual(FAMILIES, {name for name, _, _ in samples})
            ours = [(name, labels, value) for name, labels, value in samples
                    if name.startswith("istio_tcp_") and labels["reporter"] == reporter]
            for name, labels, _ in ours:
                self.assertEqual(set(labels), LABELS, name)
            labels = next(labels for name, labels, _ in ours if name == "istio_tcp_connections_closed_total")
            self.assertEqual(labels["source_workload"], "a")
            self.assertEqual(labels["source_app"], "shopfront")
            self.assertEqual(labels["source_version"], "v7")
            self.assertEqual(labels["source_workload_namespace"], "shop")
            self.assertEqual(labels["source_principal"], self.a.spiffe_id)
            self.assertEqual(labels["destination_workload"], "b")
            self.assertEqual(labels["destination_app"], "till")
            self.assertEqual(labels["destination_version"], "latest")  # no label says otherwise
            self.assertEqual(labels["destination_principal"], self.b.spiffe_id)
            self.assertEqual(labels["destination_service_name"], "till")
            self.assertEqual(labels["destination_service_namespace"], "shop")
            self.assertEqual(labels["request_protocol"], "tcp")
            self.assertEqual(labels["response_flags"], "-")
            self.assertEqual(labels["connection_security_policy"], "mutual_tls")
            # Istio's two reporters agree: sent is what the server sent.
            sent, received, closed = (self.total(samples, reporter, name) for name in (
                "sent_bytes", "received_bytes", "connections_closed"))
            self.assertEqual((sent, received), (RECEIVED * closed, SENT * closed))

    def end_of(self, host, port):
        """How a connection ends on which nothing is said; a reset may be there before connect(2) returns."""
        try:
            with self.a.connect(host, port) as client:
                return read_to_end(client)[0]
        except ConnectionResetError:
            return "reset"

    def test_a_failure_is_counted_with_its_reason(self):
        with self.b.socket(socket.AF_INET) as reserved:  # bound, never listening
            reserved.bind(("0.0.0.0", 0))
            self.assertEqual(self.end_of(self.b.ip4, reserved.getsockname()[1]), "reset")
        self.wait_for("the failure is counted", lambda: self.b.metric(
            "istio_tcp_connections_failed_total", reporter="destination", destination_workload="b") == 1)

    def test_a_service_without_endpoints_says_so(self):
        self.assertEqual(self.end_of("10.96.0.78", 80), "reset")
        line = self.wait_for("the line", lambda: self.a.access_log(result="conn_no_endpoint"))[0]
        self.assertIn("shop/nobody", line["error"])

    def test_a_stream_that_ended_with_its_token_comes_back_with_the_versions_it_holds(self):
        def streams():
            return self.a.metric("handfast_xds_streams_total"), self.a.metric("handfast_xds_resources_total")
        with open(self.a.token) as file:
            lasting = file.read()
        self.a.write_token(self.mesh.control.token("shop", "a", ttl_s=3))
        self.a.restart_proxy()
        try:
            _, resources = streams()
            self.assertGreater(resources, 0)
            self.a.write_token(lasting)
            self.wait_for("the second stream", lambda: streams()[0] >= 2, 30)
            self.wait_for("it is connected", lambda: self.a.metric("handfast_control_connected") == 1)
            self.assertEqual(self.a.metric("handfast_xds_streams_ended_total", result="rpc_status"), 1)
            self.talk()
            self.assertEqual(streams()[1], resources, "what it held was sent again")
        finally:
            self.a.write_token(lasting)


if __name__ == "__main__":
    main()
