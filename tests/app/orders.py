"""A gRPC service without messages of its own: bytes go in, bytes come out. Usage: orders.py PORT"""
import sys
import threading
from concurrent import futures

import grpc


def unary(request, context):
    word, _, rest = request.decode().partition(" ")
    if word == "fail":
        context.abort(grpc.StatusCode[rest], f"because {rest}")
    if word == "size":
        return b"x" * int(rest)
    return b"done"


def down(request, _context):
    for i in range(int(request)):
        yield b"item %d" % i


def stall(_request, context):
    """One item, then nothing until the client has had enough."""
    gone = threading.Event()
    context.add_callback(gone.set)
    yield b"one"
    gone.wait(60)


class Orders(grpc.GenericRpcHandler):
    def service(self, call):
        service, method = call.method[1:].split("/")
        if service != "shop.Orders":
            return None
        if method.startswith("Down"):
            return grpc.unary_stream_rpc_method_handler(down)
        if method.startswith("Up"):
            return grpc.stream_unary_rpc_method_handler(lambda requests, _: b"%d" % sum(1 for _ in requests))
        if method.startswith("Both"):
            return grpc.stream_stream_rpc_method_handler(lambda requests, _: requests)
        if method.startswith("Stall"):
            return grpc.unary_stream_rpc_method_handler(stall)
        return grpc.unary_unary_rpc_method_handler(unary)


server = grpc.server(futures.ThreadPoolExecutor(16))
server.add_generic_rpc_handlers((Orders(),))
server.add_insecure_port(f"127.0.0.1:{sys.argv[1]}")
server.start()
server.wait_for_termination()
