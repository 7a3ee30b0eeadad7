"""The same calls as calls.js makes, by aiohttp. `async`: all in coroutines. `executor`: each call by a thread of a pool,
which does not answer. Usage: calls.py PORT BACKEND REDIS MODE"""
import asyncio
import concurrent.futures
import http.client
import socket
import sys
import threading

import aiohttp
from aiohttp import web

PORT, BACKEND, REDIS = map(int, sys.argv[1:4])
LOCAL = threading.local()


def command(key):
    return b"*2\r\n$4\r\nINCR\r\n$%d\r\n%s\r\n" % (len(key), key)


def ask_in_thread(path):
    if not hasattr(LOCAL, "http"):
        LOCAL.http = http.client.HTTPConnection("127.0.0.1", BACKEND)
    LOCAL.http.request("GET", path)
    response = LOCAL.http.getresponse()
    response.read()
    return response.status


def count_in_thread(key):
    if not hasattr(LOCAL, "redis"):
        LOCAL.redis = socket.create_connection(("127.0.0.1", REDIS))
        LOCAL.file = LOCAL.redis.makefile("rb")
    LOCAL.redis.sendall(command(key))
    LOCAL.file.readline()


async def main():
    session = aiohttp.ClientSession(connector=aiohttp.TCPConnector(limit=50))
    loop, pool = asyncio.get_running_loop(), concurrent.futures.ThreadPoolExecutor(8)
    idle = []

    async def ask(path):
        if sys.argv[4] == "executor":
            return await loop.run_in_executor(pool, ask_in_thread, path)
        async with session.get(f"http://127.0.0.1:{BACKEND}{path}") as response:
            await response.read()
            return response.status

    async def count(key):
        if sys.argv[4] == "executor":
            return await loop.run_in_executor(pool, count_in_thread, key)
        reader, writer = idle.pop() if idle else await asyncio.open_connection("127.0.0.1", REDIS)
        writer.write(command(key))
        await reader.readline()
        idle.append((reader, writer))

    async def page(request):
        n = int(request.query["n"])
        if n % 3 == 0:
            await asyncio.sleep(n % 5 / 1000)
        if n % 7 == 0:
            await asyncio.gather(*(ask(f"/ask?n={n}") for _ in range(5)))
        else:
            await count(b"k:%d" % n)
            if n % 5 == 0:
                assert await ask(f"/fail?n={n}") == 503
            await ask(f"/ask?n={n}")
            if n % 2:
                await asyncio.gather(ask(f"/ask?n={n}"), ask(f"/ask?n={n}"))
        return web.Response(text=f"done {n}")

    app = web.Application()
    app.router.add_get("/page", page)
    runner = web.AppRunner(app)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", PORT).start()
    await asyncio.Event().wait()


asyncio.run(main())
