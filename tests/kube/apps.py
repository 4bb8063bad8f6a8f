"""What runs in the application containers of the tests; mesh.py hands it to python3 -c, so it needs nothing but Debian's python3.

    serve                   HTTP on 8080 (GET is answered with the host's name, POST with the body), an echo on 9000, gRPC health on 9090. On
                            SIGTERM it goes on for three seconds, asks its clients to leave, and ends: a graceful end.
    load URL                requests, a new connection for each and, over connections that stay, bodies that must come back byte for
                            byte, until stdin ends; prints how many there were for each line on stdin, and figures in the end
    grpc HOST:PORT CA NAME  asks the CA for a certificate with the token on stdin and an empty request; prints the status
"""
import http.client
import http.server
import json
import os
import random
import signal
import socketserver
import sys
import threading
import time
import urllib.parse

stopping = threading.Event()


class Answers(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        self.answer(os.uname().nodename.encode() + b"\n")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def answer(self, body):
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.send_header("X-Host", os.uname().nodename)
        if stopping.is_set():
            self.send_header("Connection", "close")
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments):
        pass


class Echo(socketserver.StreamRequestHandler):
    def handle(self):
        for line in self.rfile:
            self.wfile.write(line)


class Threads(socketserver.ThreadingMixIn, socketserver.TCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 128


def grpc_health(port):
    import concurrent.futures
    import grpc

    class Health(grpc.GenericRpcHandler):
        def service(self, details):
            return grpc.unary_unary_rpc_method_handler(lambda request, context: b"\x08\x01")  # SERVING
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(2), handlers=[Health()])
    server.add_insecure_port(f"0.0.0.0:{port}")
    server.start()
    return server


def serve():
    signal.signal(signal.SIGTERM, lambda *_: stopping.set())
    held = grpc_health(9090)
    for port, handler in ((9000, Echo), (8080, Answers)):
        threading.Thread(target=Threads(("", port), handler).serve_forever, daemon=True).start()
    stopping.wait()
    time.sleep(3)  # who does not know yet still comes
    held.stop(None)
    os._exit(0)  # without waiting for idle threads


class Tally:
    def __init__(self):
        self.lock = threading.Lock()
        self.done = self.reopened = 0
        self.failures, self.pods, self.slowest = [], set(), 0.0

    def ask(self, connection, body):
        """One request, a POST if there is a body; whether the connection stays."""
        start = time.monotonic()
        connection.request("POST" if body else "GET", "/", body)
        answer = connection.getresponse()
        said = answer.read()
        with self.lock:
            if answer.status != 200:
                self.failures.append(f"status {answer.status}")
            elif body and said != body:
                self.failures.append(f"of {len(body)} bytes {len(said)} came back, not the same")
            self.done += 1
            self.pods.add(answer.headers["X-Host"])
            connection.pod = answer.headers["X-Host"]
            self.slowest = max(self.slowest, time.monotonic() - start)
        return not answer.will_close

    def repeat(self, host, lasting, pause):
        connection = None
        while not stopping.wait(pause):
            try:
                if connection is None:
                    connection = http.client.HTTPConnection(host, timeout=10)
                    with self.lock:
                        self.reopened += lasting
                body = os.urandom(random.randrange(1, 65536)) if lasting else None
                if not self.ask(connection, body) or not lasting:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                with self.lock:
                    self.failures.append(f"{time.strftime('%H:%M:%S')} {'lasting' if lasting else 'new'} "
                                         f"{getattr(connection, 'pod', '')}: {error!r}")
                connection.close()
                connection = None


def load(url, new=4, lasting=4):
    tally, host = Tally(), urllib.parse.urlparse(url).netloc
    threads = [threading.Thread(target=tally.repeat, args=(host, number < lasting, 0.02)) for number in range(new + lasting)]
    for thread in threads:
        thread.start()
    print("started", flush=True)
    for _ in iter(sys.stdin.readline, ""):
        print(tally.done, len(tally.failures), flush=True)
    stopping.set()
    for thread in threads:
        thread.join()
    print(json.dumps({"requests": tally.done, "failed": len(tally.failures), "failures": tally.failures[:10],
                      "reopened": tally.reopened - lasting, "pods": sorted(tally.pods), "slowest_s": round(tally.slowest, 3)}))


def ask_ca(target, root, name):
    import grpc
    with open(root, "rb") as file:
        credentials = grpc.ssl_channel_credentials(file.read())
    with grpc.secure_channel(target, credentials, [("grpc.ssl_target_name_override", name)]) as channel:
        method = channel.unary_unary("/istio.v1.auth.IstioCertificateService/CreateCertificate")
        try:
            method(b"", timeout=20, metadata=[("authorization", "Bearer " + sys.stdin.read().strip())])
            print("OK")
        except grpc.RpcError as error:
            print(error.code().name, error.details())


{"serve": serve, "load": load, "grpc": ask_ca}[sys.argv[1]](*sys.argv[2:])
