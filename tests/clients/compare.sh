#!/bin/sh
# Send the commands of compare.txt (or of FILE) to Holdfast and to a redis-server, and show
# where their replies differ.
# Usage: compare.sh HOLDFAST-PORT REDIS-PORT [FILE]; with
# RESP=3 in the environment by the newer protocol. Status 1 when replies differ.
set -eu
dir=$(dirname "$0")
exec python3 - "${3:-$dir/compare.txt}" "$1" "$2" <<'PY'
import os, socket, sys, time

def connect(port):
    s = socket.create_connection(("127.0.0.1", int(port)), 5)
    return s, s.makefile("rb")

def read(f):
    line = f.readline()
    kind, rest = line[:1], line[1:-2]
    if kind in (b"*", b"~", b">"):
        return line + b"".join(read(f) for _ in range(max(0, int(rest))))
    if kind == b"%":
        return line + b"".join(read(f) for _ in range(2 * int(rest)))
    if kind in (b"$", b"="):
        return line + (f.read(int(rest) + 2) if int(rest) >= 0 else b"")
    return line

three = os.environ.get("RESP", "2") == "3"
mine, other = connect(sys.argv[2]), connect(sys.argv[3])
lines = differ = 0
for s, f in (mine, other) if three else ():
    s.sendall(b"HELLO 3\r\n")
    read(f)
for line in open(sys.argv[1]):
    line = line.rstrip("\n")
    if not line or line.startswith("#"):
        continue
    if line.startswith("!sleep"):
        time.sleep(int(line.split()[1]) / 1000)
        continue
    meant = line.startswith("~")
    line = line.lstrip("~")
    for s, f in (mine, other):
        s.sendall(line.encode() + b"\r\n")
    a, b = read(mine[1]), read(other[1])
    lines += 1
    if (a != b) != meant:
        differ += 1
        print(line, "\n    holdfast", a, "\n    redis   ", b)
print(f"{lines} commands, {differ} replies not as expected")
sys.exit(1 if differ else 0)
PY
