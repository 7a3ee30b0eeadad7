"""Accepts connections and passes each to one of two child processes (SCM_RIGHTS), which answer. Usage: handoff.py PORT"""
import os
import socket
import sys

pairs = []
for _ in range(2):
    ours, theirs = socket.socketpair()
    if os.fork() == 0:
        while True:
            message, descriptors, _, _ = socket.recv_fds(theirs, 16, 1)
            if not message:
                os._exit(0)
            # A second descriptor of the same socket, the first one closed before the answer.
            with socket.socket(fileno=os.dup(descriptors[0])) as connection:
                os.close(descriptors[0])
                request = connection.recv(4096)
                connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok" if request else b"")
    pairs.append(ours)
listening = socket.create_server(("127.0.0.1", int(sys.argv[1])), backlog=512)
turn = 0
while True:
    connection, _ = listening.accept()
    socket.send_fds(pairs[turn % 2], [b"take"], [connection.fileno()])
    connection.close()
    turn += 1
