"""The clients of the live tests. Each call is logged as one JSON line: what was asked, how it went, and when, measured
just around the call. That log is the truth. Usage: load.py CLIENT ARGUMENTS"""
import concurrent.futures
import json
import socket
import subprocess
import sys
import threading
import time

LOCK = threading.Lock()


class Call:
    """Started where it is made; logged when it is over."""

    def __init__(self):
        self.start = time.time_ns()

    def log(self, kind, resource, status="ok", code=None, group="", size=None):
        line = json.dumps({"kind": kind, "resource": resource, "status": status, "code": code, "group": group,
                           "size": size, "start": self.start, "end": time.time_ns()})
        with LOCK:
            print(line, flush=False)


def mariadb(port, path):
    """Statements with their literals masked, as they have to appear."""
    import pymysql
    for how in ({"host": "127.0.0.1", "port": int(port)}, {"unix_socket": path}):
        group = "unix" if "unix_socket" in how else "tcp"
        for _ in range(2):
            db = pymysql.connect(user="app", password="geheim77", database="shop", autocommit=True, **how)

            def ask(sql, masked, group=group, db=db):
                call = Call()
                with db.cursor() as cursor:
                    try:
                        cursor.execute(sql)
                        cursor.fetchall()
                        call.log("COM_QUERY", masked, group=group)
                    except pymysql.err.Error as error:
                        call.log("COM_QUERY", masked, "server_error", error.args[0], group)
            for i in range(15):
                ask(f"SELECT name FROM t WHERE id = {i}", "SELECT name FROM t WHERE id = ?")
                ask(f"INSERT INTO t (name, v) VALUES ('geheim', {i}.5)", "INSERT INTO t (name, v) VALUES (?, ?)")
                ask("UPDATE t SET v = v + 1 WHERE id < 50", "UPDATE t SET v = v + ? WHERE id < ?")
                ask("SELECT * FROM nosuch", "SELECT * FROM nosuch")
                ask("SELECT * FROM t", "SELECT * FROM t")
                ask("SELECT sleep(0.005)", "SELECT sleep(?)")
            db.close()


def memcached(port):
    from pymemcache.client.base import Client
    client = Client(("127.0.0.1", int(port)), no_delay=True, default_noreply=False)

    def ask(kind, line, work):
        call = Call()
        work()
        call.log(kind, line)
    for i in range(25):
        value = "v" * (i * 90)
        ask("set", f"set k{i} 0 0 {len(value)}", lambda: client.set(f"k{i}", value))
        ask("get", f"get k{i}", lambda: client.get(f"k{i}"))
        ask("get", f"get miss{i}", lambda: client.get(f"miss{i}"))
        ask("set", "set n 0 0 1", lambda: client.set("n", "1"))
        ask("incr", "incr n 5", lambda: client.incr("n", 5))
        ask("delete", f"delete k{i}", lambda: client.delete(f"k{i}"))
    client.close()
    # The binary protocol.
    with socket.create_connection(("127.0.0.1", int(port))) as raw:
        def binary(opcode, name, key, extras=b"", value=b""):
            body = extras + key + value
            head = bytes([0x80, opcode]) + len(key).to_bytes(2, "big") + bytes([len(extras), 0, 0, 0])
            call = Call()
            raw.sendall(head + len(body).to_bytes(4, "big") + b"\0\0\0\x07" + bytes(8) + body)
            got = b""
            while len(got) < 24 or len(got) < 24 + int.from_bytes(got[8:12], "big"):
                got += raw.recv(4096)
            call.log(name, f"{name} {key.decode()}", code=got[7])
        for i in range(10):
            binary(1, "set", b"bin%d" % i, bytes(8), b"hello")
            binary(0, "get", b"bin%d" % i)
        binary(0, "get", b"none")


def redis(port, path):
    """RESP by hand: every command, and when its answer was whole, is known exactly."""
    for group, family, address in (("4", socket.AF_INET, ("127.0.0.1", int(port))),
                                   ("6", socket.AF_INET6, ("::1", int(port))), ("unix", socket.AF_UNIX, path)):
        with socket.socket(family) as raw:
            raw.connect(address)
            if family != socket.AF_UNIX:
                raw.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            file = raw.makefile("rb")

            def answer(file=file):
                line = file.readline()
                if line[:1] == b"$" and int(line[1:]) >= 0:
                    file.read(int(line[1:]) + 2)
                elif line[:1] == b"*":
                    for _ in range(max(0, int(line[1:]))):
                        answer()
                return line[:1]

            def packed(words):
                words = [str(word).encode() for word in words]
                return b"*%d\r\n" % len(words) + b"".join(b"$%d\r\n%s\r\n" % (len(w), w) for w in words)

            def ask(*words, raw=raw, group=group):
                call = Call()
                raw.sendall(packed(words))
                status = "server_error" if answer() == b"-" else "ok"
                call.log(words[0], " ".join(map(str, words)), status, group=group)
            for i in range(12):
                ask("SET", f"a{i}", "v" * (i % 5 * 20))
                ask("SET", "big", "w" * 60)
                ask("GET", f"a{i}")
                ask("GET", f"none{i}")
                ask("LPUSH", "a0", "x")
                ask("NOSUCH", "command")
                ask("MGET", "big", "big", "big", "big", "a1")
                ask("CLIENT", "NONE")
                ask("EVAL", "return {1,2,{3,4}}", 0)
            # Pipelined: all at once, within what is captured of one call.
            batch = [("SET", f"p{i}", i) for i in range(3)]
            call = Call()
            raw.sendall(b"".join(map(packed, batch)))
            for words in batch:
                answer()
            for words in batch:
                call.log(words[0], " ".join(map(str, words)), group=group)


def dns(authority, resolver):
    def dig(port, name, kind, *more, server="127.0.0.1"):
        call = Call()
        said = subprocess.run(["dig", "+tries=1", "+time=3", "-p", port, f"@{server}", name, kind, *more],
                              stdout=subprocess.PIPE, text=True, check=True).stdout
        status = said.split("status: ")[1].split(",")[0]
        call.log(kind, name, status, group=port)
    for i in range(1, 5):
        dig(authority, f"h{i}.lab.example", "A")
        dig(authority, f"x{i}.lab.example", "A")
        dig(authority, f"h{i}.lab.example", "MX")
        dig(authority, "elsewhere.example", "A")
        dig(resolver, f"h{i + 20}.lab.example", "A")
        dig(resolver, f"h{i}.lab.example", "AAAA", server="::1")
        dig(resolver, "a.static.example", "A", "+tcp")
        dig(resolver, "t.static.example", "TXT")
        dig(resolver, f"no{i}.static.example", "A")


def mqtt(port):
    import paho.mqtt.client as paho
    for version in (paho.MQTTv311, paho.MQTTv5):
        came, subscribed, connected = threading.Semaphore(0), threading.Event(), threading.Event()
        sub = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"sub{version}", protocol=version)
        sub.on_message = lambda *_, came=came: came.release()
        sub.on_subscribe = lambda *_, subscribed=subscribed: subscribed.set()
        sub.connect("127.0.0.1", int(port))
        sub.loop_start()
        sub.subscribe("plant/#", 2)
        assert subscribed.wait(5)
        pub = paho.Client(paho.CallbackAPIVersion.VERSION2, client_id=f"pub{version}", protocol=version)
        pub.username_pw_set("joe", "geheim77")
        pub.on_connect = lambda *_, connected=connected: connected.set()
        pub.connect("127.0.0.1", int(port))
        pub.loop_start()
        assert connected.wait(5)
        for i in range(18):
            call = Call()
            pub.publish(f"plant/{version}/{i}", "x" * i * 20, qos=i % 3).wait_for_publish(5)
            assert came.acquire(timeout=5)
            call.log("PUBLISH", f"plant/{version}/{i}", "ok" if i % 3 else "unknown", group=str(i % 3))
        for client in (pub, sub):
            client.disconnect()
            client.loop_stop()


def nats(port):
    import asyncio

    import nats as library

    async def main():
        one = await library.connect(f"nats://127.0.0.1:{port}")
        two = await library.connect(f"nats://joe:geheim77@127.0.0.1:{port}")

        async def add(message):
            await message.respond(b"answer")
        came = asyncio.Event()

        async def seen(_):
            came.set()
        await two.subscribe("svc.add", cb=add)
        await two.subscribe("event.*", cb=seen)
        # The client's flush overtakes what it has not sent yet; the last subscription is there when it answers.
        await two.subscribe("ready", cb=add)
        while True:
            try:
                await one.request("ready", b"", timeout=3)
                break
            except library.errors.NoRespondersError:
                await asyncio.sleep(0.02)
        for i in range(20):
            call = Call()
            await one.request("svc.add", b"q" * i, timeout=3)
            call.log("PUB", "svc.add", group="request")
        for i in range(10):
            call = Call()
            came.clear()
            await one.publish(f"event.{i}", b"x" * i)
            await asyncio.wait_for(came.wait(), 5)
            call.log("PUB", f"event.{i}", "unknown")
        await one.close()
        await two.close()
    asyncio.run(main())


def amqp(port):
    import pika
    connection = pika.BlockingConnection(pika.ConnectionParameters("127.0.0.1", int(port)))
    channel = connection.channel()

    def ask(kind, resource, work, status="ok"):
        call = Call()
        done = work()
        call.log(kind, resource, status)
        return done
    ask("Queue.Declare", "q1", lambda: channel.queue_declare("q1"))
    ask("Exchange.Declare", "ex", lambda: channel.exchange_declare("ex", "topic"))
    ask("Queue.Bind", "ex.#", lambda: channel.queue_bind("q1", "ex", "#"))
    channel.confirm_delivery()
    for i in range(12):
        ask("Basic.Publish", f"ex.key{i}", lambda: channel.basic_publish("ex", f"key{i}", b"x" * i), "unknown")
    for _ in range(12):
        ask("Basic.Get", "q1", lambda: channel.basic_get("q1", auto_ack=True))
    connection.close()


def web(plain, copied):
    """Bodies of known sizes, over kept, single and IPv6 connections, with and without sendfile, through a UNIX socket."""
    import http.client

    def ask(connection, group, method, path, status, code, **more):
        call = Call()
        connection.request(method, path, **more)
        response = connection.getresponse()
        size = len(response.read())
        assert response.status == code, (path, response.status)
        call.log(method, path, status, code, group, size)
    for host, port in (("127.0.0.1", plain), ("::1", plain), ("127.0.0.1", copied)):
        group, kept = f"{host} {port}", http.client.HTTPConnection(host, int(port))
        for size in (0, 1, 511, 512, 513, 65536, 1000000, 20000000):
            ask(kept, group, "GET", f"/f{size}?kept", "ok", 200)
        ask(kept, group, "HEAD", "/f65536?head", "ok", 200)
        ask(kept, group, "GET", "/f20000000?part", "ok", 206, headers={"Range": "bytes=100-5000099"})
        ask(kept, group, "GET", "/none", "client_error", 404)
        kept.close()
    group, kept = f"127.0.0.1 {plain}", http.client.HTTPConnection("127.0.0.1", int(plain))
    for size in (10, 3000, 200000):
        ask(kept, group, "GET", f"/up?n={size}", "ok", 200)
        ask(kept, group, "POST", f"/up?n={size}&m", "ok", 200, body=b"p" * size * 5)
    for i in range(150):
        single = http.client.HTTPConnection("127.0.0.1", int(plain))
        ask(single, group, "GET", f"/f511?single={i}", "ok", 200, headers={"Connection": "close"})
        single.close()
    # Pipelined, within what is captured of one call.
    with socket.create_connection(("127.0.0.1", int(plain))) as raw:
        call, count = Call(), 6
        raw.sendall(b"".join(b"GET /f1?p%d HTTP/1.1\r\nHost: a\r\n%s\r\n" % (i, b"Connection: close\r\n" * (i + 1 == count))
                             for i in range(count)))
        while raw.recv(200):
            pass
        for i in range(count):
            call.log("GET", f"/f1?p{i}", "ok", 200, group, 1)


def apache(port):
    """Kept and single connections; pages, what is not there, not allowed, broken, elsewhere; through its proxy."""
    import http.client

    def ask(connection, method, path, status, code, body=None, headers={}):
        call = Call()
        connection.request(method, path, body, headers)
        response = connection.getresponse()
        size = len(response.read())
        assert response.status == code, (path, response.status)
        call.log(method, path, status, code, size=size)
    kept = http.client.HTTPConnection("127.0.0.1", int(port))
    for i in range(20):
        ask(kept, "GET", f"/page.txt?{i}", "ok", 200)
        ask(kept, "HEAD", f"/page.txt?head{i}", "ok", 200)
        ask(kept, "GET", f"/none?{i}", "client_error", 404)
        ask(kept, "GET", f"/private/{i}", "client_error", 403)
        ask(kept, "POST", f"/broken/{i}", "server_error", 500, b"p" * i * 100)
        ask(kept, "GET", f"/old/{i}", "ok", 302)
        ask(kept, "GET", f"/app/page.txt?n={i}", "ok", 200)
        ask(kept, "GET", f"/app/none?n={i}", "client_error", 404)
        ask(kept, "GET", f"/gone/{i}", "server_error", 503)
    ask(kept, "GET", "/big.bin", "ok", 200)
    ask(kept, "GET", "/app/big.bin", "ok", 200)
    kept.close()
    for i in range(60):
        single = http.client.HTTPConnection("127.0.0.1", int(port))
        ask(single, "GET", f"/page.txt?single={i}", "ok", 200, headers={"Connection": "close"})
        single.close()


def gateways(port, rounds):
    """What an application answers behind nginx: pages, none, broken ones, large ones, and bodies of its own."""
    import http.client
    kept = http.client.HTTPConnection("127.0.0.1", int(port))
    for i in range(int(rounds)):
        for group in ("php", "kept", "python"):
            for method, kind, status, code in (("GET", "ok", "ok", 200), ("GET", "none", "client_error", 404),
                                               ("GET", "big", "ok", 200), ("POST", "broken", "server_error", 500)):
                call = Call()
                path = f"/{group}/{kind}?n={i}"
                kept.request(method, path, b"p" * (i * 150 + 1) if method == "POST" else None)
                response = kept.getresponse()
                size = len(response.read())
                assert response.status == code, (path, response.status)
                call.log(method, path, status, code, group, size)
    kept.close()


def secrets(port):
    """Says passwords in SQL; logs in with one."""
    import pymysql
    root = pymysql.connect(user="root", host="127.0.0.1", port=int(port), autocommit=True)
    with root.cursor() as cursor:
        cursor.execute("select 'visible-sql'")
        cursor.execute("create user 'joe'@'%' identified by 'hs3cr3t-create'")
        cursor.execute("set password for 'joe'@'%' = password('hs3cr3t-set')")
        cursor.execute("alter user 'joe'@'%' identified by 'hs3cr3t-alter'")
    pymysql.connect(user="joe", password="hs3cr3t-alter", host="127.0.0.1", port=int(port)).close()
    try:
        pymysql.connect(user="joe", password="hs3cr3t-wrong", host="127.0.0.1", port=int(port))
        raise AssertionError("a wrong password was right")
    except pymysql.err.OperationalError:
        pass
    root.close()


def chain(port, count, clients, first):
    """Numbered requests by several clients at a time."""
    import http.client

    def client(mine):
        kept = http.client.HTTPConnection("127.0.0.1", int(port))
        for n in range(int(first) + mine, int(first) + int(count), int(clients)):
            call = Call()
            kept.request("GET", f"/page?n={n}")
            response = kept.getresponse()
            assert response.read() == b"done %d" % n
            call.log("GET", f"/page?n={n}", "ok", response.status)
        kept.close()
    with concurrent.futures.ThreadPoolExecutor(int(clients)) as pool:
        list(pool.map(client, range(int(clients))))


if __name__ == "__main__":
    {f.__name__: f for f in (mariadb, memcached, redis, dns, mqtt, nats, amqp, web, apache, gateways, secrets, chain)}[sys.argv[1]](*sys.argv[2:])
