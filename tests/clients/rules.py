"""rules.py SEEDS FILE: what every node says on its cluster port, all the time
while the leader is lost: CLUSTER SLOTS, a read, CLUSTER SLOTS again, one after
the other. Each is held against what clients need:

  agree    -MOVED names the master that CLUSTER SLOTS of that node names
  self     -MOVED never names the node that says it
  empty    CLUSTER SLOTS always has a master, with a host and a port
  words    -MOVED has three words
  error    nothing but a value or -MOVED; a read is held while nobody leads
  dead     a node that refuses or says nothing is in no CLUSTER SLOTS for
           longer than DEAD_MS

Ends as load.py does; FILE then has a line for each fault found, and "ok" and
a count when there are none."""

import os
import socket
import sys
import threading
import time

DEAD_MS = int(os.environ.get("HF_DEAD_MS", "2000"))

NO_MAP = (b"-CLUSTERDOWN this node has not met its cluster",
          b"-CLUSTERDOWN this node is reading its data")
if os.path.basename(os.path.dirname(sys.argv[2])).startswith("cut"):
    NO_MAP += (b"-CLUSTERDOWN this node knows no leader",)

seeds, path = sys.argv[1].split(","), sys.argv[2]
found = []
samples = 0
lock = threading.Lock()
ending = threading.Event()
refused = {}  # address -> since when
named = []  # (when, by whom, address) of one that is gone


def fault(rule, node, text):
    with lock:
        found.append(f"{rule}: node {node}: {text}")


def answers(node):
    """It does. Others may have heard of that a little earlier."""
    with lock:
        if refused.pop(node, None) is not None:
            back = time.monotonic() - 1
            named[:] = [n for n in named if n[2] != node or n[0] < back]


def read(f):
    line = f.readline()
    if not line:
        raise OSError("closed")
    kind, rest = line[:1], line[1:-2]
    if kind == b"*":
        return [read(f) for _ in range(int(rest))]
    if kind == b"$":
        n = int(rest)
        return f.read(n + 2)[:-2] if n >= 0 else None
    return int(rest) if kind == b":" else line[:-2]


def addresses(node, slots):
    try:
        (_, _, *nodes), = slots
        out = [f"{n[0].decode()}:{n[1]}" for n in nodes]
        if not out or any(a.startswith(":") or a.endswith(":0") for a in out):
            raise ValueError
        return out
    except (ValueError, AttributeError, TypeError, IndexError):
        fault("empty", node, f"CLUSTER SLOTS {slots}")
        return None


def look(node, before, value, after):
    global samples
    before, after = addresses(node, before), addresses(node, after)
    if before is None or after is None:
        return
    samples += 1
    now = time.monotonic()
    with lock:
        for a, at in refused.items():
            if a in before and now - at > DEAD_MS / 1000:
                named.append((now, node, a))
    if isinstance(value, bytes) and value.startswith(b"-"):
        words = value.decode().split(" ")
        if words[0] != "-MOVED":
            fault("error", node, value.decode())
        elif len(words) != 3:
            fault("words", node, value.decode())
        elif words[2] == node:
            fault("self", node, value.decode())
        elif words[2] not in (before[0], after[0]):
            fault("agree", node, f"{value.decode()}; SLOTS {before[0]}, {after[0]}")


def watch(node):
    host, port = node.rsplit(":", 1)
    f = None

    def ask(request):
        f.write(request + b"\r\n")
        f.flush()
        reply = read(f)
        answers(node)
        return reply

    while not ending.is_set():
        try:
            if f is None:
                f = socket.create_connection((host, int(port)), 1).makefile("rwb")
            before = ask(b"CLUSTER SLOTS")
            value = ask(b"GET rules:key")
            after = ask(b"CLUSTER SLOTS")
            # One that starts again says that it does; clients go elsewhere.
            if not any(isinstance(x, bytes) and x.startswith(NO_MAP)
                       for x in (before, value, after)):
                look(node, before, value, after)
            time.sleep(0.002)
        except OSError:
            # It is dead, or says nothing for a second.
            with lock:
                refused.setdefault(node, time.monotonic())
            f = None
            time.sleep(0.02)


threads = [threading.Thread(target=watch, args=(n,), daemon=True) for n in seeds]
for t in threads:
    t.start()
directory = os.path.dirname(path)


def ended():
    return os.path.exists(path + ".stop") or not os.path.exists(directory)


while samples < 10 and not ended():
    time.sleep(0.02)
open(path + ".ready", "w").close()
while not ended():
    time.sleep(0.02)
ending.set()
time.sleep(1.3)
for at, node, a in named:
    if a not in refused or at < time.monotonic() - 1.3:
        fault("dead", node, f"names {a}, which is gone")
with open(path, "w") as f:
    for line in found[:20]:
        f.write(line + "\n")
    if not found:
        f.write(f"ok {samples} samples\n")
os._exit(0)
