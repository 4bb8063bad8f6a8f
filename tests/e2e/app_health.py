"""A gRPC server that answers grpc.health.v1.Health/Check (Debian's python3-grpcio): `PORT SERVICE=STATUS...`.

Requests and answers are the raw bytes of the two messages: a service's name, a status.
"""
import concurrent.futures
import sys

import grpc


class Health(grpc.GenericRpcHandler):
    def __init__(self, statuses):
        self.statuses = statuses

    def service(self, details):
        if details.method == "/grpc.health.v1.Health/Check":
            return grpc.unary_unary_rpc_method_handler(self.check)
        return None

    def check(self, request, context):
        name = request[2:].decode() if request else ""
        if name not in self.statuses:
            context.abort(grpc.StatusCode.NOT_FOUND, "there is no such service")
        return bytes([8, self.statuses[name]])


def main(port, *pairs):
    statuses = {name: int(status) for name, status in (pair.split("=") for pair in pairs)}
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), handlers=[Health(statuses)])
    server.add_insecure_port(f"0.0.0.0:{port}")
    server.start()
    server.wait_for_termination()


if __name__ == "__main__":
    main(*sys.argv[1:])
