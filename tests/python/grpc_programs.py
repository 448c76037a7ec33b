"""gRPC peers for the gateway's tests, with the grpcio package and no generated code: `server` prints its port;
`client PORT` calls it through a gateway.
"""
import sys
import time
from concurrent import futures

import grpc


class Echo(grpc.GenericRpcHandler):
    def service(self, details):
        method = details.method.rsplit("/", 1)[1]
        if method == "Unary":
            return grpc.unary_unary_rpc_method_handler(self.unary)
        if method == "Count":
            return grpc.unary_stream_rpc_method_handler(self.count)
        if method == "Chat":
            return grpc.stream_stream_rpc_method_handler(self.chat)
        if method == "Fail":
            return grpc.unary_unary_rpc_method_handler(self.fail)
        return None

    def unary(self, request, context):
        seen = dict(context.invocation_metadata())
        assert "x-amzn-oidc-identity" not in seen, seen
        context.set_trailing_metadata((("x-length", str(len(request))),))
        return request

    def count(self, request, context):
        for number in range(int(request)):
            time.sleep(0.02)
            yield str(number).encode()

    def chat(self, requests, context):
        for request in requests:
            yield b"> " + request

    def fail(self, request, context):
        context.abort(grpc.StatusCode.RESOURCE_EXHAUSTED, "none left")


def server():
    running = grpc.server(futures.ThreadPoolExecutor(8))
    running.add_generic_rpc_handlers((Echo(),))
    print(running.add_insecure_port("127.0.0.1:0"), flush=True)
    running.start()
    running.wait_for_termination()


def client(port):
    channel = grpc.insecure_channel(f"127.0.0.1:{port}", options=[("grpc.default_authority", "localhost")])
    unary = channel.unary_unary("/test.Echo/Unary")
    for size in (0, 10, 500_000):
        answer, call = unary.with_call(b"x" * size, timeout=10, metadata=(("x-amzn-oidc-identity", "spoofed"),))
        assert answer == b"x" * size
        assert dict(call.trailing_metadata())["x-length"] == str(size), call.trailing_metadata()
        assert call.code() is grpc.StatusCode.OK
    counted = list(channel.unary_stream("/test.Echo/Count")(b"20", timeout=10))
    assert counted == [str(number).encode() for number in range(20)], counted

    def words():
        for word in (b"a", b"b", b"c"):
            yield word
            time.sleep(0.05)

    assert list(channel.stream_stream("/test.Echo/Chat")(words(), timeout=10)) == [b"> a", b"> b", b"> c"]
    for method, expected in (("Fail", grpc.StatusCode.RESOURCE_EXHAUSTED), ("Nothing", grpc.StatusCode.UNIMPLEMENTED)):
        try:
            channel.unary_unary(f"/test.Echo/{method}")(b"", timeout=10)
            raise AssertionError(method)
        except grpc.RpcError as error:
            assert error.code() is expected, error


if __name__ == "__main__":
    server() if sys.argv[1] == "server" else client(int(sys.argv[2]))
