"""An application in front of MariaDB. `threads`: a thread per connection. `handover`: one thread reads all requests and
hands them to workers, which answer. Usage: backend.py MODE PORT"""
import http.server
import queue
import re
import selectors
import socket
import socketserver
import sys
import threading

import pymysql

LOCAL = threading.local()
MODE, PORT = sys.argv[1], int(sys.argv[2])


def work(n):
    if not hasattr(LOCAL, "db"):
        LOCAL.db = pymysql.connect(host="127.0.0.1", user="app", password="geheim77", autocommit=True)
    with LOCAL.db.cursor() as cursor:
        for statement in (f"SELECT sleep(0.002) AS n{n}", f"SELECT 1 AS n{n}"):
            cursor.execute(statement)
            cursor.fetchall()


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self):
        work(int(self.path.split("n=")[1]))
        self.send_response(200)
        self.send_header("Content-Length", "2")
        self.end_headers()
        self.wfile.write(b"ok")

    def log_message(self, *_):
        pass


class Server(socketserver.ThreadingTCPServer):
    allow_reuse_address = daemon_threads = True
    request_queue_size = 100


def worker(jobs):
    while True:
        connection, n = jobs.get()
        work(n)
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")


if MODE == "threads":
    Server(("127.0.0.1", PORT), Handler).serve_forever()
jobs, selector = queue.Queue(), selectors.DefaultSelector()
for _ in range(6):
    threading.Thread(target=worker, args=(jobs,), daemon=True).start()
listening = socket.create_server(("127.0.0.1", PORT), backlog=100)
selector.register(listening, selectors.EVENT_READ)
while True:
    for key, _ in selector.select():
        if key.fileobj is listening:
            selector.register(listening.accept()[0], selectors.EVENT_READ)
            continue
        request = key.fileobj.recv(65536)
        if request:
            jobs.put((key.fileobj, int(re.search(rb"n=(\d+)", request)[1])))
        else:
            selector.unregister(key.fileobj)
            key.fileobj.close()
