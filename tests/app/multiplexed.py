"""Clients that have many requests under way on one connection: gRPC, HTTP/2. They log as load.py does."""
import concurrent.futures
import select
import socket
import sys

from load import Call


def grpc(port, *more):
    """Calls of every kind, one after the other; `large`: with messages beyond what is captured of a system call by
    default; `threads`: from several threads, whose calls the library sends together; `burst`: all sent before any answer
    is read, with answers and messages of all sizes."""
    import grpc as library
    channel = library.insecure_channel(f"127.0.0.1:{port}")

    def ask(name, work, status="ok", code=0, service="shop.Orders", group=""):
        call, got = Call(), 0
        try:
            work(f"/{service}/{name}")
        except library.RpcError as error:
            got = error.code().value[0]
        assert got == code, (name, got)
        call.log(f"POST /{service}/{name}", service, status, code, group)

    def unary(message, **more):
        return lambda path: channel.unary_unary(path)(message, **more)
    for i in range(10):
        parent = f"00-{i + 1:032x}-{i + 1:016x}-01"
        ask(f"Traced{i}", unary(b"hello", metadata=[("traceparent", parent), ("x-request-id", f"id-{i}")]))
    client_errors = ("INVALID_ARGUMENT", "NOT_FOUND", "ALREADY_EXISTS", "PERMISSION_DENIED", "UNAUTHENTICATED")
    for _ in range(2):
        for name in client_errors + ("RESOURCE_EXHAUSTED", "INTERNAL", "UNAVAILABLE", "DATA_LOSS"):
            status = "client_error" if name in client_errors else "server_error"
            ask("Failing", unary(b"fail " + name.encode()), status, library.StatusCode[name].value[0])
    ask("Nothing", unary(b""), "server_error", 12, "shop.Nowhere")
    for i in (0, 1, 20):
        ask(f"Down{i}", lambda path: list(channel.unary_stream(path)(b"%d" % i)))
        ask(f"Up{i}", lambda path: channel.stream_unary(path)(iter([b"part"] * i)))
        ask(f"Both{i}", lambda path: list(channel.stream_stream(path)(iter([b"part"] * i))))

    def cancelled(path):
        stream = channel.unary_stream(path)(b"")
        next(stream)
        stream.cancel()
        # What comes behind it on the connection has been answered: so it is out.
        channel.unary_unary("/shop.Orders/After")(b"hello")
    call = Call()
    cancelled("/shop.Orders/Stall")
    call.log("POST /shop.Orders/Stall", "shop.Orders", "client_error", None, "stall")
    call.log("POST /shop.Orders/After", "shop.Orders", "ok", 0)
    if "threads" in more:
        with concurrent.futures.ThreadPoolExecutor(8) as pool:
            for done in [pool.submit(ask, f"Thread{i}", unary(b"y" * i)) for i in range(80)]:
                done.result()
    if "large" in more:
        for size in (1000, 16384, 40000):
            ask(f"In{size}", unary(b"y" * size))
            ask(f"Out{size}", unary(b"size %d" % size))
        ask("Last", unary(b"hello"))
    if "burst" in more:
        def burst(asked):
            under_way = []
            for i, (name, message) in enumerate(asked):
                metadata = [("x-request-id", f"id-{i}-{'z' * 40}"), ("x-api-key", f"geheim{i}")]
                under_way.append((Call(), name, channel.unary_unary(f"/shop.Orders/{name}").future(message, metadata=metadata)))
            for call, name, future in under_way:
                future.result()
                call.log(f"POST /shop.Orders/{name}", "shop.Orders", "ok", 0)
        sizes = (5000, 20000, 60000, 100000, 200000)
        burst([(f"Burst{i}", b"y" * i) for i in range(150)])
        burst([(f"BurstOut{i}", b"size %d" % sizes[i % 5]) for i in range(50)])
        burst([(f"BurstIn{i}", b"y" * sizes[i % 5]) for i in range(50)])
    channel.close()


def http2(port):
    """By the library h2, so that what is sent when is known: one after the other, a hundred at once, cut off."""
    import h2.connection
    import h2.events
    with socket.create_connection(("127.0.0.1", int(port))) as raw:
        raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        connection = h2.connection.H2Connection()
        connection.initiate_connection()
        raw.sendall(connection.data_to_send())

        def run(asked, cancel=False):
            """`asked`: method, path, status and code of requests that are sent before any answer is read."""
            under_way = {}
            for method, path, status, code in asked:
                stream, call = connection.get_next_available_stream_id(), Call()
                connection.send_headers(stream, [(":method", method), (":path", path), (":scheme", "http"),
                                                 (":authority", "lab.example"), ("user-agent", "h2")], end_stream=True)
                raw.sendall(connection.data_to_send())
                under_way[stream] = (call, method, path, status, code)
            while under_way:
                for event in connection.receive_data(raw.recv(65536)):
                    if isinstance(event, h2.events.ResponseReceived):
                        code = int(dict(event.headers)[b":status"])
                        assert code == under_way[event.stream_id][4] or cancel, (under_way[event.stream_id], code)
                    elif isinstance(event, h2.events.DataReceived):
                        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
                        if cancel and event.stream_id in under_way:
                            connection.reset_stream(event.stream_id, 8)
                            call, method, path, status, code = under_way.pop(event.stream_id)
                            raw.sendall(connection.data_to_send())
                            call.log(method, path, status, code)
                    elif isinstance(event, h2.events.StreamEnded):
                        call, method, path, status, code = under_way.pop(event.stream_id)
                        call.log(method, path, status, code)
                raw.sendall(connection.data_to_send())
            # Nothing may be left to read when the connection closes: what then comes would be answered with a reset.
            while select.select([raw], [], [], 0.05)[0]:
                for event in connection.receive_data(raw.recv(65536)):
                    pass
        for i in range(20):
            run([("GET", f"/f20?{i}", "ok", 200)])
            run([("HEAD", f"/f20?head{i}", "ok", 200)])
            run([("GET", f"/none?{i}", "client_error", 404)])
            run([("DELETE", f"/f20?delete{i}", "client_error", 405)])
        run([("GET", f"/f20?at-once={i}", "ok", 200) for i in range(100)])
        run([("GET", f"/f300000?body={i}", "ok", 200) for i in range(5)])
        for i in range(5):
            run([("GET", f"/f5000000?cut={i}", "client_error", 200)], cancel=True)
        run([("GET", "/f20?last", "ok", 200)])
        connection.close_connection()
        raw.sendall(connection.data_to_send())


if __name__ == "__main__":
    {f.__name__: f for f in (grpc, http2)}[sys.argv[1]](*sys.argv[2:])
