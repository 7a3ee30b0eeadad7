"""The workload of zmq.pcap.zst: libzmq on both sides, recorded in a network namespace of its own with
`tcpdump -i lo -s 0 -w zmq.pcap -U tcp`, then `zstd -19`. Debian: python3-zmq. tests: analyzer/replay/tests/queues.rs"""
import zmq, threading, time, sys
ctx = zmq.Context()
def rep(n):
    s = ctx.socket(zmq.REP); s.bind('tcp://127.0.0.1:6001')
    for i in range(n):
        parts = s.recv_multipart(); s.send_multipart([b'ok', parts[0]])
    s.close()
t = threading.Thread(target=rep, args=(50,)); t.start()
s = ctx.socket(zmq.REQ); s.connect('tcp://127.0.0.1:6001')
for i in range(50):
    s.send_multipart([b'ask %d' % i] + [b'x' * (i * 40)] * (i % 3)); s.recv_multipart()
s.close(); t.join()
# PUB/SUB
p = ctx.socket(zmq.PUB); p.bind('tcp://127.0.0.1:6002')
q = ctx.socket(zmq.SUB); q.connect('tcp://127.0.0.1:6002'); q.setsockopt(zmq.SUBSCRIBE, b'news')
time.sleep(0.5)
for i in range(20): p.send_multipart([b'news.%d' % (i % 2), b'y' * i]); p.send_multipart([b'sport', b'z'])
for i in range(20): q.recv_multipart()
q.close(); p.close()
# PUSH/PULL, large
a = ctx.socket(zmq.PULL); a.bind('tcp://127.0.0.1:6003')
b = ctx.socket(zmq.PUSH); b.connect('tcp://127.0.0.1:6003')
for i in range(5): b.send(b"w" * 20000)
for i in range(5): a.recv()
a.close(); b.close()
# DEALER/ROUTER
r = ctx.socket(zmq.ROUTER); r.bind('tcp://127.0.0.1:6004')
d = ctx.socket(zmq.DEALER); d.connect('tcp://127.0.0.1:6004')
for i in range(5):
    d.send(b'hi'); m = r.recv_multipart(); r.send_multipart(m); d.recv()
r.close(); d.close()
# PLAIN with heartbeats, wrong and right password
from zmq.auth.thread import ThreadAuthenticator
auth = ThreadAuthenticator(ctx); auth.start(); auth.configure_plain(domain='*', passwords={'admin': 'secret'})
r = ctx.socket(zmq.REP); r.plain_server = True; r.bind('tcp://127.0.0.1:6005')
for pw in (b'secret', b'wrong'):
    d = ctx.socket(zmq.REQ); d.plain_username = b'admin'; d.plain_password = pw; d.setsockopt(zmq.LINGER, 0); d.setsockopt(zmq.HEARTBEAT_IVL, 100); d.connect('tcp://127.0.0.1:6005')
    d.send(b'hello'); 
    if r.poll(700): r.send(r.recv()); d.recv()
    time.sleep(0.4); d.close()
r.close(); auth.stop()
# CURVE
pub, sec = zmq.curve_keypair(); cpub, csec = zmq.curve_keypair()
r = ctx.socket(zmq.REP); r.curve_server = True; r.curve_secretkey = sec; r.curve_publickey = pub; r.bind('tcp://127.0.0.1:6006')
d = ctx.socket(zmq.REQ); d.curve_serverkey = pub; d.curve_publickey = cpub; d.curve_secretkey = csec; d.connect('tcp://127.0.0.1:6006')
for i in range(3): d.send(b'hello'); r.send(r.recv()); d.recv()
r.close(); d.close(); ctx.term()
