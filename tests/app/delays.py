"""HTTP that takes between 0.5 and 5 ms; every path with `fail` in it is answered with 503. Usage: delays.py PORT"""
import asyncio
import random
import sys


async def serve(reader, writer):
    try:
        while True:
            head = await reader.readuntil(b"\r\n\r\n")
            await asyncio.sleep(random.uniform(0.0005, 0.005))
            status = b"503 Service Unavailable" if b"fail" in head.split(b"\r\n")[0] else b"200 OK"
            writer.write(b"HTTP/1.1 " + status + b"\r\nContent-Length: 2\r\n\r\nok")
            await writer.drain()
    except (asyncio.IncompleteReadError, ConnectionError):
        pass
    writer.close()


async def main():
    server = await asyncio.start_server(serve, "127.0.0.1", int(sys.argv[1]), backlog=500)
    await server.serve_forever()


asyncio.run(main())
