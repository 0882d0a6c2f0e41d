"""probe.py HOST:PORT FILE: a writer with a bare connection to a node that
lives: when it goes on, the cluster has its new leader."""

import socket
import sys

import load

at, path = sys.argv[1:3]
host, port = at.rsplit(":", 1)


def writer():
    s = socket.create_connection((host, int(port)), 10)
    f = s.makefile("rb")

    def send(*words):
        s.sendall(b"*%d\r\n" % len(words))
        for w in words:
            s.sendall(b"$%d\r\n%s\r\n" % (len(w), w.encode()))
        line = f.readline()
        if not line.startswith(b":"):
            raise RuntimeError(line)

    s.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return lambda k, v: send("APPEND", k, v), lambda k: send("INCR", k)


load.WRITERS = 1
load.PAUSE_S = 0.005
load.run(path, writer)
