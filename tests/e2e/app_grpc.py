"""A gRPC server and client that know nothing of us (Debian's python3-grpcio): `serve PORT`, `call HOST:PORT`."""
import concurrent.futures
import sys

import grpc

METHODS = "/demo.Echo/Unary", "/demo.Echo/Stream"


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        if details.method == METHODS[0]:
            return grpc.unary_unary_rpc_method_handler(lambda request, context: request)
        return grpc.stream_stream_rpc_method_handler(lambda requests, context: requests)


def serve(port):
    server = grpc.server(concurrent.futures.ThreadPoolExecutor(8), handlers=[Echo()])
    server.add_insecure_port(f"[::]:{port}")
    server.start()
    server.wait_for_termination()


def call(target):
    with grpc.insecure_channel(target) as channel:
        unary, stream = channel.unary_unary(METHODS[0]), channel.stream_stream(METHODS[1])
        for number in range(50):
            message = bytes([number]) * 10_000
            assert unary(message, timeout=20) == message
        sent = [bytes([number % 251]) * (number * 40) for number in range(500)]
        got = list(stream(iter(sent), timeout=40))
        assert got == sent, f"{len(got)} messages"
    print(f"unary 50 streamed {len(got)} bytes {sum(map(len, got))}")


if __name__ == "__main__":
    {"serve": lambda: serve(sys.argv[2]), "call": lambda: call(sys.argv[2])}[sys.argv[1]]()
