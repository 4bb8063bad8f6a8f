"""Programs that know nothing of us, through service addresses of both families, and what each side proved to be.

PostgreSQL's client speaks first, MariaDB's server does; Redis, HTTP/1.1, HTTP/2, gRPC and a program's own TLS besides.
"""
import os
import pwd
import re
import socket
import subprocess
import sys

from case import DIRECT, MeshCase, fewer, main
from peers import Background, pair, read_exactly, read_to_end, send_stream

HERE = os.path.dirname(os.path.abspath(__file__))
POSTGRES_BIN = "/usr/lib/postgresql/15/bin"
PORTS = {"web": (80, 8080), "h2": (81, 8081), "h2s": (443, 8443), "redis": (6379, 6379), "postgres": (5432, 5432),
         "maria": (3306, 3306), "grpc": (50051, 50051)}


class Apps(MeshCase):
    pods = [{"name": "client"}, {"name": "server"}, {"name": "outside", "mesh": False, "proxy": False}]
    services = [{"name": name, "namespace": "shop", "addresses": [f"10.96.0.{n}", f"fd96::{n}"],
                 "ports": [{"port": outer, "target_port": inner}], "selector": {"app": "server"}}
                for n, (name, (outer, inner)) in enumerate(PORTS.items(), 10)]

    def address(self, service, family=socket.AF_INET):
        """(host, port) that the client dials: the service's address in the mesh, the pod's without."""
        if DIRECT:
            return self.server.address(family), PORTS[service][1]
        return self.services[list(PORTS).index(service)]["addresses"][family == socket.AF_INET6], PORTS[service][0]

    def urls(self, scheme, service, path="/"):
        for family in (socket.AF_INET, socket.AF_INET6):
            host, port = self.address(service, family)
            yield f"{scheme}://{f'[{host}]' if ':' in host else host}:{port}{path}"

    def folder(self, name, user=None):
        path = os.path.join(self.mesh.run_dir, name)
        os.makedirs(path)
        if user:
            os.chown(path, pwd.getpwnam(user).pw_uid, pwd.getpwnam(user).pw_gid)
        return path

    def serve(self, argv, name, service, uid=None, timeout=60):
        process = self.server.start(argv, name, uid=uid)

        def listening():
            if not process.running():
                raise AssertionError(f"{name} ended:\n{process.tail()}")
            with self.server.socket() as sock:
                return sock.connect_ex(("127.0.0.1", PORTS[service][1])) == 0
        self.wait_for(f"{name} listens", listening, timeout)
        self.addCleanup(process.stop)
        return process

    def assert_mutual_tls(self, service, least=1):
        """Both proxies wrote that the connections to the service were mutual TLS between the right two."""
        if DIRECT:
            return
        for pod, direction in ((self.client, "outbound"), (self.server, "inbound")):
            def entries(pod=pod, direction=direction):
                return [e for e in pod.access_log(direction=direction)
                        if e["destination"].endswith(f":{PORTS[service][1]}")
                        and e.get("source_principal") == self.client.spiffe_id]
            found = self.wait_for(f"{direction} entries of {service}", lambda: len(entries()) >= least and entries())
            self.assertEqual({(e["destination_principal"], e["security"]) for e in found},
                             {(self.server.spiffe_id, "mutual_tls")})

    def test_nginx_and_curl(self):
        folder = self.folder("nginx")
        with open(os.path.join(folder, "large"), "wb") as file:
            file.write(os.urandom(1 << 20) * fewer(200, 40))
        with open(os.path.join(folder, "nginx.conf"), "w") as file:
            file.write(f"daemon off; pid {folder}/pid; error_log stderr; events {{}} http {{ access_log off;"
                       f" client_max_body_size 0; server {{ listen 8080; listen [::]:8080; root {folder};"
                       f" location /echo {{ return 200 $request_method; }} }} }}")
        self.mesh_readable(folder)
        self.serve(["nginx", "-c", os.path.join(folder, "nginx.conf")], "nginx", "web")
        with open(os.path.join(folder, "large"), "rb") as file:
            want = file.read()
        for url in self.urls("http", "web", "/large"):
            with self.subTest(url=url):
                to = os.path.join(folder, "got")
                self.client.run(["curl", "-sS", "--fail", "--max-time", "60", "-o", to, url])
                with open(to, "rb") as file:
                    self.assertTrue(file.read() == want, "the page differs")
                self.assertEqual(self.client.run(["curl", "-sS", "--fail", "--max-time", "60", "--data-binary",
                                                  "@" + to, url.replace("large", "echo")]), "POST")
        self.assert_mutual_tls("web", 4)

    def mesh_readable(self, folder):
        subprocess.run(["chmod", "-R", "a+rX", folder], check=True)

    def test_http_2(self):
        folder = self.folder("h2")
        with open(os.path.join(folder, "page"), "wb") as file:
            file.write(os.urandom(300_000))
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                        "-subj", "/CN=app", "-keyout", f"{folder}/key.pem", "-out", f"{folder}/cert.pem"],
                       check=True, capture_output=True)
        self.serve(["nghttpd", "--no-tls", "-d", folder, "8081"], "nghttpd", "h2")
        self.serve(["nghttpd", "-d", folder, "8443", f"{folder}/key.pem", f"{folder}/cert.pem"], "nghttpd-tls", "h2s")
        for scheme, service in (("http", "h2"), ("https", "h2s")):  # the second: TLS of its own inside of ours
            for url in self.urls(scheme, service, "/page"):
                with self.subTest(url=url):
                    said = self.client.run(["h2load", "-n", "200", "-c", "4", "-m", "10", url], timeout=60)
                    self.assertIn("200 done, 200 succeeded, 0 failed, 0 errored", said)
            self.assert_mutual_tls(service, 2)

    def test_redis(self):
        self.serve(["redis-server", "--port", "6379", "--bind", "*", "-::*", "--protected-mode", "no", "--save", ""],
                   "redis", "redis")
        for family in (socket.AF_INET, socket.AF_INET6):
            host, port = self.address("redis", family)
            with self.subTest(host=host):
                cli = ["redis-cli", "-h", host, "-p", str(port)]
                self.assertEqual(self.client.run([*cli, "set", "key", "value"]).strip(), "OK")
                self.assertEqual(self.client.run([*cli, "get", "key"]).strip(), "value")
                said = self.client.run(["redis-benchmark", "-h", host, "-p", str(port), "-n", "4000", "-c", "50", "-q",
                                        "-t", "set,get,lpush,lrange_100"], timeout=100)
                self.assertEqual(said.count("requests per second"), 5)
        self.assert_mutual_tls("redis", 4)

    def test_postgresql_whose_client_speaks_first(self):
        folder, user = self.folder("postgres", "postgres"), pwd.getpwnam("postgres")
        subprocess.run(["setpriv", f"--reuid={user.pw_uid}", f"--regid={user.pw_gid}", "--clear-groups",
                        f"{POSTGRES_BIN}/initdb", "-D", folder, "-A", "trust", "-U", "postgres", "--no-sync"],
                       check=True, capture_output=True)
        with open(os.path.join(folder, "pg_hba.conf"), "a") as file:
            file.write("host all all 0.0.0.0/0 trust\nhost all all ::/0 trust\n")
        os.chmod(folder, 0o700)
        self.serve([f"{POSTGRES_BIN}/postgres", "-D", folder, "-h", "*", "-k", folder, "-F"], "postgres", "postgres",
                   uid=user.pw_uid)
        for family in (socket.AF_INET, socket.AF_INET6):
            host, port = self.address("postgres", family)
            with self.subTest(host=host):
                psql = ["psql", "-h", host, "-p", str(port), "-U", "postgres", "-XAtq", "-v", "ON_ERROR_STOP=1"]
                out = self.client.run([*psql, "-c", "drop table if exists t; create table t as select i, md5(i::text) h "
                                       "from generate_series(1, 100000) i; select count(*) from t"], timeout=60)
                self.assertEqual(out.strip(), "100000")
                rows = self.client.run([*psql, "-c", "copy t to stdout"], timeout=60)
                self.client.run([*psql, "-c", "create table if not exists u (i int, h text); truncate u; "
                                 "copy u from stdin"], input=rows, timeout=60)
                same = "select md5(string_agg(h, ',' order by i)) from "
                self.assertEqual(self.client.run([*psql, "-c", same + "t"]), self.client.run([*psql, "-c", same + "u"]))
        self.assert_mutual_tls("postgres", 8)

    def test_mariadb_whose_server_speaks_first(self):
        folder = self.folder("maria")
        subprocess.run(["mariadb-install-db", "--no-defaults", f"--datadir={folder}/data", "--user=root",
                        "--auth-root-authentication-method=normal", "--skip-test-db"], check=True, capture_output=True)
        with open(os.path.join(folder, "init.sql"), "w") as file:
            file.write("create user 'app'@'%';\ngrant all on *.* to 'app'@'%';\n")
        self.serve(["/usr/sbin/mariadbd", "--no-defaults", f"--datadir={folder}/data", "--user=root", "--port=3306",
                    "--bind-address=*", f"--socket={folder}/sock", f"--init-file={folder}/init.sql",
                    "--skip-name-resolve"], "mariadbd", "maria")
        for family in (socket.AF_INET, socket.AF_INET6):
            host, port = self.address("maria", family)
            with self.subTest(host=host):
                out = self.client.run(self.mariadb(host, port) + ["-e", "select sum(seq) from seq_1_to_100000"])
                self.assertEqual(out.strip(), "5000050000")
        self.assert_mutual_tls("maria", 2)
        # From outside the mesh, in plaintext: permissive lets it in, and the server's greeting is not held up.
        out = self.outside.run(self.mariadb(self.server.ip4, 3306) + ["-e", "select 1 + 1"])
        self.assertEqual(out.strip(), "2")

    @staticmethod
    def mariadb(host, port):
        return ["mariadb", "--no-defaults", "-h", host, "-P", str(port), "-u", "app", "--connect-timeout=10", "-N", "-B",
                "-D", "mysql"]

    def test_grpc(self):
        self.serve([sys.executable, f"{HERE}/app_grpc.py", "serve", "50051"], "grpc-server", "grpc")
        for family in (socket.AF_INET, socket.AF_INET6):
            host, port = self.address("grpc", family)
            with self.subTest(host=host):
                target = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
                said = self.client.run([sys.executable, f"{HERE}/app_grpc.py", "call", target], timeout=60)
                self.assertTrue(re.search(r"^unary 50 streamed 500 bytes \d+$", said, re.MULTILINE), said)
        self.assert_mutual_tls("grpc", 2)

    def test_a_client_that_half_closes(self):
        for family in (socket.AF_INET, socket.AF_INET6):
            with self.subTest(family=family):
                client, server = pair(self.client, self.server, family=family)
                with client, server:
                    reader = Background(read_to_end, server)
                    digest = send_stream(client, 5_000_000, 1)
                    client.shutdown(socket.SHUT_WR)
                    self.assertEqual(reader.result(), ("fin", 5_000_000, digest))
                    answer = Background(send_stream, server, 5_000_000, 2)
                    self.assertEqual(read_exactly(client, 5_000_000), answer.result())


if __name__ == "__main__":
    main()
