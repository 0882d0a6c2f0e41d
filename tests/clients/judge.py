"""judge.py SCENARIO DIR HOST:PORT [DOWN-MS]: one row for each history in DIR,
its name is library.mode. What it holds is compared with what the node at
HOST:PORT has; the probe's longest gap tells when the new leader was there.
DOWN-MS: how long the old one stayed away. Status 1, and a line that begins
with BAD, for what must not be."""

import collections
import os
import socket
import sys

LIMIT_MS = int(os.environ.get("HF_RECOVERY_MS", "1000"))

# Where a library, with the settings of docs/CLIENTS.md, is back within the
# limit of the new leader; the others need the old one to be back, or wait for
# a leader that says nothing.
ALL = {"redis-py-4.3.4", "redis-py-6.1.0", "ioredis-5", "ioredis-6",
       "node-redis-4", "node-redis-5", "node-redis-6", "hiredis", "redis-cli",
       "valkey-cli"}
QUICK = {"redis-py-6.1.0", "ioredis-5", "ioredis-6", "node-redis-6", "hiredis",
         "redis-cli", "valkey-cli"}
ABLE = {"kill": QUICK, "restart": QUICK, "stop": set(), "cut": set(),
        "transfer": ALL}

scenario, directory, at = sys.argv[1:4]
down_ms = int(sys.argv[4]) if len(sys.argv) > 4 else 0
host, port = at.rsplit(":", 1)
conn = socket.create_connection((host, int(port)), 10).makefile("rwb")


def get(key):
    conn.write(b"*2\r\n$3\r\nGET\r\n$%d\r\n%s\r\n" % (len(key), key.encode()))
    conn.flush()
    line = conn.readline()
    if not line.startswith(b"$"):
        sys.exit(f"BAD: GET {key}: {line!r}")
    n = int(line[1:])
    return conn.read(n + 2)[:-2].decode() if n >= 0 else ""


Op = collections.namedtuple("Op", "sent heard writer number kind status text")


def read(name):
    ops = []
    for line in open(os.path.join(directory, name)):
        f = line.rstrip("\n").split("\t")
        ops.append(Op(*map(int, f[:4]), *f[4:7]))
    return ops


def longest_gap(ops, since, until=float("inf")):
    """The longest time between two acknowledged writes of one writer, and
    when it ended; of those that ended between @since and @until."""
    best = (0, since)
    last = {}
    for op in sorted(ops, key=lambda op: op.heard):
        if op.status == "ok":
            w = op.writer
            if since < op.heard < until:
                best = max(best, (op.heard - last.get(w, op.heard), op.heard))
            last[w] = op.heard
    for w, heard in last.items():
        if until != float("inf"):
            break
        end = max(op.heard for op in ops if op.writer == w)
        best = max(best, (end - heard, end))
    return best


def recovery(ops, leader):
    """How long after the new leader the last writer heard of a success."""
    worst = 0
    for w in {op.writer for op in ops}:
        oks = [op.heard for op in ops
               if op.writer == w and op.status == "ok" and op.heard >= leader]
        if not oks:
            return None
        worst = max(worst, min(oks) - leader)
    return worst // 1000


def count_lost_and_doubled(name, ops):
    lost = doubled = 0
    key = f"{os.path.basename(directory)}/{name}"
    for w in {op.writer for op in ops}:
        mine = [op for op in ops if op.writer == w]
        have = collections.Counter(get(f"{key}:log:{w}").split(";")[:-1])
        for op in mine:
            if op.kind == "append":
                times = have.pop(str(op.number), 0)
                lost += op.status == "ok" and times == 0
                doubled += max(0, times - 1)
        if have:
            sys.exit(f"BAD: {name}: in the log, but never sent: {dict(have)}")
        count = int(get(f"{key}:count:{w}") or 0)
        incrs = [op for op in mine if op.kind == "incr"]
        acked = sum(op.status == "ok" for op in incrs)
        lost += max(0, acked - count)
        doubled += max(0, count - len(incrs))
    return lost, doubled


def must(row):
    bad = []
    library, mode = row["library"], row["mode"]
    if row["lost"]:
        bad.append(f"{row['lost']} acknowledged writes are lost")
    if row["doubled"] and mode in ("plain", "once") and library != "redis-py-4.3.4":
        bad.append(f"{row['doubled']} writes are there twice")
    if mode == "plain" and row["errors"]:
        bad.append(f"{row['errors']} errors on a live node's plain port")
    able = mode == "plain" or (mode != "cluster" and library in ABLE[scenario])
    late = row["recovery"] is None or row["recovery"] > LIMIT_MS
    if able and late:
        bad.append(f"back {row['recovery']} ms after the new leader, "
                   f"at most {LIMIT_MS} allowed")
    return bad


def main():
    ops = read("probe")
    with open(os.path.join(directory, "probe.clock")) as f:
        fault = int(os.stat(os.path.join(directory, "fault")).st_mtime * 1e6)
        fault += int(f.read())
    # Later ones are of a busy machine.
    gap, leader = longest_gap(ops, fault, fault + 2500000)
    if any(op.status != "ok" for op in ops):
        sys.exit("BAD: probe: an error")
    print(f"probe: {scenario}: the cluster's own gap {gap // 1000} ms")
    status = 0
    for name in sorted(os.listdir(directory)):
        if name + ".ready" not in os.listdir(directory) or "." not in name:
            continue
        ops = read(name)
        library, mode = name.rsplit(".", 1)
        errors = collections.Counter(
            op.text for op in ops if op.status == "error")
        lost, doubled = count_lost_and_doubled(name, ops)
        row = {
            "library": library,
            "mode": mode,
            "acked": sum(op.status == "ok" for op in ops),
            "errors": sum(errors.values()),
            "lost": lost,
            "doubled": doubled,
            "gap": longest_gap(ops, fault)[0] // 1000,
            "recovery": recovery(ops, leader),
        }
        late = row["recovery"]
        if late is None:
            told = "never"
        elif down_ms and late >= down_ms - 400:
            told = "when it is back"
        else:
            told = f"{late} ms"
        print(f"| {library} | {mode} | {scenario} | {row['acked']} "
              f"| {row['errors']} | {lost} | {doubled} | {row['gap']} ms "
              f"| {told} |")
        for text, n in errors.most_common(3):
            print(f"    {n} times: {text}")
        for bad in must(row):
            print(f"BAD: {library} {mode} {scenario}: {bad}")
            status = 1
    sys.exit(status)


main()
