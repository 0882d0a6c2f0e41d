#!/usr/bin/env python3
"""Clients that are pushed to, while leaders die.

Usage: push.py SECONDS HOST:PORT...; SIGTERM ends it sooner.

On each node a client keeps what it reads (CLIENT TRACKING, one with BCAST) and
a subscriber listens to a channel and to keyspace events. One writer, that keeps
as well, does MSET of all keys to the next number, each time when the last was
answered. So whoever has heard of a number, by a read or the reply to a write,
must find no older one in its cache: checked after every message. Messages of
one publisher arrive in order and none twice. The last line tells what happened;
status 1 with the first fault.
"""
import select
import signal
import socket
import sys
import threading
import time

KEYS = ["key:%d" % i for i in range(5)]
end = time.monotonic() + float(sys.argv[1])
nodes = sys.argv[2:]
faults = []
counts = {"kept": 0, "told": 0, "dropped": 0, "writes": 0, "messages": 0,
          "events": 0, "connections": 0}
lock = threading.Lock()


def stop(*_):
    global end
    end = 0


signal.signal(signal.SIGTERM, stop)


def count(what, n=1):
    with lock:
        counts[what] += n


def fault(text):
    with lock:
        faults.append(text)


class Conn:
    def __init__(self, node):
        host, port = node.rsplit(":", 1)
        self.s = socket.create_connection((host, int(port)), 2)
        self.s.settimeout(10)
        self.f = self.s.makefile("rb")
        self.waiting = []
        count("connections")

    def send(self, *words):
        out = b"*%d\r\n" % len(words)
        for w in words:
            w = str(w).encode()
            out += b"$%d\r\n%s\r\n" % (len(w), w)
        self.s.sendall(out)

    def read(self):
        line = self.f.readline()
        if not line:
            raise OSError("closed")
        kind, rest = line[:1], line[1:-2]
        if kind in (b"*", b">", b"~"):
            return [kind] + [self.read() for _ in range(int(rest))]
        if kind == b"%":
            return [kind] + [self.read() for _ in range(2 * int(rest))]
        if kind == b"$":
            return self.f.read(int(rest) + 2)[:-2]
        if kind == b"_":
            return None
        return line[:-2]

    def ask(self, *words):
        self.send(*words)
        return self.read()


class Keeper:
    """One client: a cache, and what it has heard of."""

    def __init__(self, i, writes, bcast):
        self.i, self.writes, self.bcast = i, writes, bcast
        self.heard = 0
        self.next = 0

    def push(self, p):
        if p[1] != b"invalidate":
            return
        if p[2] is None:
            count("dropped")
            self.cache.clear()
            return
        for k in p[2][1:]:
            count("told")
            self.cache.pop(k.decode(), None)

    def reply(self, r):
        what = self.conn.waiting.pop(0)
        if what == "MSET":
            if r == b"+OK":
                count("writes")
                self.heard = max(self.heard, self.next)
            self.writing = False
        elif isinstance(r, bytes) and r[:1] != b"-":
            n = int(r)
            if n < self.heard:
                fault(f"read {n} of {what}, {self.heard} was heard of")
            self.heard = max(self.heard, n)
            self.cache[what] = n

    def check(self):
        for k, n in self.cache.items():
            if n < self.heard:
                fault(f"{k} is kept at {n}, {self.heard} was heard of")
        count("kept", len(self.cache))

    def ask_for(self, what, *words):
        self.conn.waiting.append(what)
        self.conn.send(*words)

    def turn(self):
        for k in KEYS:
            if k not in self.cache and k not in self.conn.waiting:
                self.ask_for(k, "GET", k)
        if self.writes and not self.writing:
            self.next += 1
            self.writing = True
            pairs = [w for k in KEYS for w in (k, self.next)]
            self.ask_for("MSET", "MSET", *pairs)
        # All that has come is looked at before the cache is used.
        wait = 0.001
        while select.select([self.conn.s], [], [], wait)[0] or \
                self.conn.f.peek(1):
            r = self.conn.read()
            (self.push if isinstance(r, list) and r[0] == b">"
             else self.reply)(r)
            wait = 0
            if not select.select([self.conn.s], [], [], 0)[0]:
                break
        self.check()

    def run(self):
        while time.monotonic() < end and not faults:
            try:
                self.cache, self.writing = {}, False
                self.conn = Conn(nodes[self.i % len(nodes)])
                self.conn.ask("HELLO", 3)
                on = ["BCAST", "PREFIX", "key:"] if self.bcast else []
                if self.conn.ask("CLIENT", "TRACKING", "ON", *on) != b"+OK":
                    fault("no tracking")
                while time.monotonic() < end and not faults:
                    self.turn()
            except (OSError, ValueError):
                self.i += 1
                time.sleep(0.05)


def subscriber(i):
    last = 0
    while time.monotonic() < end and not faults:
        try:
            c = Conn(nodes[i])
            c.send("SUBSCRIBE", "numbers")
            c.send("PSUBSCRIBE", "__keyevent@0__:*")
            c.s.settimeout(1)
            while time.monotonic() < end:
                try:
                    m = c.read()
                except socket.timeout:
                    break
                if m[1] == b"pmessage":
                    count("events")
                if m[1] != b"message":
                    continue
                count("messages")
                n = int(m[3])
                if n <= last:
                    fault(f"message {n} after {last}")
                last = n
        except OSError:
            time.sleep(0.05)


def publisher():
    n, i = 0, 0
    while time.monotonic() < end and not faults:
        try:
            c = Conn(nodes[i % len(nodes)])
            while time.monotonic() < end and not faults:
                n += 1
                c.ask("PUBLISH", "numbers", n)
                time.sleep(0.002)
        except OSError:
            # What it published there arrives before the next node's.
            time.sleep(1)
            i += 1


threads = [threading.Thread(target=Keeper(i, i == 0, i == 3).run)
           for i in range(4)]
threads += [threading.Thread(target=subscriber, args=(i,))
            for i in range(len(nodes))]
threads.append(threading.Thread(target=publisher))
threading.excepthook = lambda a: fault(f"{a.exc_type.__name__}: {a.exc_value}")
for t in threads:
    t.start()
for t in threads:
    t.join()
print(", ".join(f"{n} {what}" for what, n in counts.items()))
for f in faults[:5]:
    print("fault:", f)
dull = [w for w in ("kept", "told", "dropped", "writes", "messages", "events")
        if counts[w] == 0]
if dull:
    print("nothing was", ", ".join(dull))
sys.exit(1 if faults or dull else 0)
